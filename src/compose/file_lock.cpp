#include "compose/file_lock.hpp"

#include <sys/file.h>
#include <cerrno>

#include "base/backoff.hpp"
#include "base/errors.hpp"

namespace kith::inline KITH_ABI::detail {

result<void> lock_file(borrowed_fd file, int kind, const wait_policy& wait) noexcept {
    const auto about = object_ref::descriptor(file.get());
    const bool plain = wait.until.is_never() && wait.signal == on_signal::retry &&
                       (wait.stop == nullptr || !wait.stop->stop_possible());
    backoff looks{wait, "flock", about};
    for (;;) {
        if (::flock(file.get(), plain ? kind : kind | LOCK_NB) == 0) return {};
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) return fail_os("flock", errno, about);
        if (auto slept = looks.pause(EWOULDBLOCK); !slept) return slept;
    }
}

}  // namespace kith::inline KITH_ABI::detail
