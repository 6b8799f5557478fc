// transfer - one attempt after another, with waits in between: the shape of every read and write.
#pragma once
#include <poll.h>
#include <cerrno>

#include <kith/io_fd.hpp>

#include "base/errors.hpp"

namespace kith::inline KITH_ABI::detail {

/// Calls `attempt(fd)`, a system call that returns a count or -1 with errno, until it does not report
/// EAGAIN, waiting for `events` in between. `code_of(errno)` names the failure. On a descriptor in blocking
/// mode the wait comes first, so that the attempt does not wait without a deadline.
template <class Attempt, class CodeOf>
[[nodiscard]] result<std::size_t> transfer(const io_fd& object, short events, const wait_policy& wait,
                                           const char* operation, Attempt attempt, CodeOf code_of) noexcept {
    bool wait_first = object.mode() == fd_mode::blocking;
    for (;;) {
        if (wait_first) {
            if (auto ready = object.wait_for(events, wait, operation); !ready) return fail(ready.error());
        }
        const int fd = object.native().get();
        const auto n = attempt(fd);
        if (n >= 0) [[likely]]
            return static_cast<std::size_t>(n);
        const int os_error = errno;
        if (os_error == EINTR && wait.signal == on_signal::retry && !wait.stop_requested()) continue;
        if (os_error != EAGAIN) return fail(code_of(os_error), operation, os_error, object_ref::descriptor(fd));
        if (wait.until.is_immediate()) return fail(errc::would_block, operation, EAGAIN, object_ref::descriptor(fd));
        wait_first = true;
    }
}

template <class Attempt>
[[nodiscard]] result<std::size_t> transfer(const io_fd& object, short events, const wait_policy& wait,
                                           const char* operation, Attempt attempt) noexcept {
    return transfer(object, events, wait, operation, attempt, code_for);
}

}  // namespace kith::inline KITH_ABI::detail
