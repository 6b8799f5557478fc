#include "base/sigpipe.hpp"

#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/observer.hpp"
#include "base/uapi.hpp"

namespace kith::inline KITH_ABI {
namespace {

// How many guards this thread holds, and whether SIGPIPE was pending before the first.
[[gnu::tls_model("initial-exec")]] constinit thread_local unsigned guards = 0;
[[gnu::tls_model("initial-exec")]] constinit thread_local bool pending_before = false;

// Assumed until the kernel says otherwise at the first write.
constinit std::atomic<bool> kernel_has_nosignal{true};

sigset_t only_sigpipe() noexcept {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

bool sigpipe_pending() noexcept {
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

void consume_sigpipe() noexcept {
    const sigset_t set = only_sigpipe();
    const timespec now{};
    while (::sigtimedwait(&set, nullptr, &now) < 0 && errno == EINTR) {
    }
}

ssize_t write_masked(int fd, const void* bytes, std::size_t size) noexcept {
    const sigset_t set = only_sigpipe();
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &set, &before);
    const bool was_pending = sigpipe_pending();
    const auto n = ::write(fd, bytes, size);
    const int os_error = errno;
    // Ours, and only ours, is taken back: SIGPIPE from write is directed at this thread.
    if (n < 0 && os_error == EPIPE && !was_pending) consume_sigpipe();
    if (sigismember(&before, SIGPIPE) == 0) pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = os_error;
    return n;
}

}  // namespace

sigpipe_guard::sigpipe_guard() noexcept {
    if (guards++ != 0) return;
    const sigset_t set = only_sigpipe();
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &set, &before);
    unblock_ = sigismember(&before, SIGPIPE) == 0;
    pending_before = sigpipe_pending();
}

sigpipe_guard::~sigpipe_guard() {
    if (--guards != 0) return;
    const int saved = errno;
    if (!pending_before && sigpipe_pending()) consume_sigpipe();
    const sigset_t set = only_sigpipe();
    if (unblock_) pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    errno = saved;
}

namespace detail {

ssize_t write_without_sigpipe(int fd, const void* bytes, std::size_t size) noexcept {
    if (guards != 0) return ::write(fd, bytes, size);
    if (kernel_has_nosignal.load(std::memory_order_relaxed)) {
        const iovec part{const_cast<void*>(bytes), size};
        const auto n = ::pwritev2(fd, &part, 1, -1, RWF_NOSIGNAL);
        if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return n;
        kernel_has_nosignal.store(false, std::memory_order_relaxed);
        notify(event_kind::fallback_taken, "pwritev2(RWF_NOSIGNAL)", object_ref::descriptor(fd), errno);
    }
    return write_masked(fd, bytes, size);
}

}  // namespace detail
}  // namespace kith::inline KITH_ABI
