// kith/sys/pidfd.hpp - a handle for a process that never comes to mean another one.
//
// A pidfd names one process for as long as the descriptor is open, whatever becomes of the pid (pidfd_open(2)).
// It is readable once the process has ended, its child or not, so it works in poll sets. Whoever turns a pid
// into a pidfd must know that the pid is still the right one: open it from a process_identity, from a child
// not yet reaped, or take it from the kernel (SO_PEERPIDFD, kith/sys/unix_socket.hpp).
// Thread, fork and close rules: kith/io_fd.hpp; only the parent of a process can reap it, a forked child's copy cannot.
// Signal handlers: no. Crash: nothing is held.
#pragma once
#include <sys/types.h>

#include <kith/io_fd.hpp>
#include <kith/sys/process.hpp>

namespace kith::inline KITH_ABI::sys {

/// The handle.
class pid_fd : public io_fd {
public:
    using io_fd::io_fd;
    explicit pid_fd(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Sends a signal to that process and to no other; signal 0 only asks (and succeeds on a zombie).
    /// Errors: `peer_gone` (ESRCH: it has ended and was reaped), `not_permitted`, `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> send_signal(int signal) const noexcept;

    /// Waits until the process, anybody's, has ended. Returns at once for a zombie and after it was reaped.
    /// Errors: `would_block` (it runs), `timed_out`, `stopped`.
    [[nodiscard]] KITH_EXPORT result<void> wait_for_end(const wait_policy& wait = {}) const noexcept;

    /// Waits until a child of the caller has ended, collects it and tells how it ended. One caller gets it.
    /// Errors: `not_found` (ECHILD: not a child of this process, or reaped already, or SIGCHLD is ignored),
    /// `would_block`, `timed_out`, `stopped`. waitid(2), P_PIDFD.
    [[nodiscard]] KITH_EXPORT result<exit_status> reap(const wait_policy& wait = {}) const noexcept;

    /// A copy of the other process's descriptor number `fd`, close-on-exec; status flags and offset are shared
    /// with it. Errors: `not_permitted` (needs the right to ptrace it), `not_found` (it has no such descriptor),
    /// `peer_gone`, `unsupported` (no pidfd_getfd(2)), `limit_reached`.
    [[nodiscard]] KITH_EXPORT result<owned_fd> copy_descriptor(int fd) const noexcept;

    /// The process's pid in the caller's pid namespace. Errors: `peer_gone` (reaped), `not_found` (not visible in this
    /// namespace), `unsupported` (no /proc).
    [[nodiscard]] KITH_EXPORT result<pid_t> pid() const noexcept;
};

/// Opens a handle for the process that has this pid now, zombie or not; close-on-exec. Errors: `not_found`
/// (ESRCH), `invalid` (pid <= 0, or a thread that is no process), `limit_reached`, `unsupported`.
[[nodiscard]] KITH_EXPORT result<pid_fd> open_pidfd(pid_t pid) noexcept;

/// Opens a handle for exactly this process; a stranger that has its pid now is `not_found`.
/// Errors: as above and as identity_of.
[[nodiscard]] KITH_EXPORT result<pid_fd> open_pidfd(const process_identity& who) noexcept;

}  // namespace kith::inline KITH_ABI::sys
