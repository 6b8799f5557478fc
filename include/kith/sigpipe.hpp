// kith/sigpipe.hpp - many writes to pipes without a signal and without paying for it each time.
//
// Writing to a pipe without readers raises SIGPIPE. kith never changes the process's disposition: it
// writes with RWF_NOSIGNAL where the kernel has it (Linux 6.18), and else blocks the signal in the calling
// thread around each write and takes back the one it caused (pipe(7), sigtimedwait(2)).
// A guard does the blocking once for all writes of a scope. Sockets use MSG_NOSIGNAL and need no guard.
// Thread safety: a guard acts on the thread that makes it. Signal handlers: no.
#pragma once
#include <kith/version.hpp>

namespace kith::inline KITH_ABI {

/// Keeps SIGPIPE blocked in this thread while it lives; nests. On destruction the mask is as before and a
/// SIGPIPE that arrived in between, and was not pending before, is gone. The thread that made it destroys it.
/// A child forked in its scope inherits the blocked mask; kith::sys::spawn resets it.
class [[nodiscard]] sigpipe_guard {
public:
    KITH_EXPORT sigpipe_guard() noexcept;
    KITH_EXPORT ~sigpipe_guard();
    sigpipe_guard(const sigpipe_guard&) = delete;
    sigpipe_guard& operator=(const sigpipe_guard&) = delete;

private:
    bool unblock_ = false;
};

}  // namespace kith::inline KITH_ABI
