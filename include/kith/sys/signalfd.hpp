// kith/sys/signalfd.hpp - signals read as records from a descriptor instead of interrupting the program.
//
// A signal reaches the descriptor only if it is blocked in every thread: otherwise a thread that has it
// unblocked gets it the usual way. Block with `blocked_signals` in the first thread before others start; they
// inherit the mask. So do programs that are executed: kith::sys::spawn gives the child an empty mask.
// Pending standard signals merge (two SIGUSR1 are one record); real-time signals queue, each with its value.
// A descriptor inherited by a child reads the child's signals, not the parent's (signalfd(2)).
// Thread, fork and close rules: kith/io_fd.hpp. Signal handlers: no; there are none for signals that are read here.
// Crash: a signal taken by a process that then dies is lost.
#pragma once
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::sys {

/// A set of signals. A value.
class signal_set {
public:
    signal_set() noexcept { sigemptyset(&set_); }
    /// Numbers that are no signals are left out.
    signal_set(std::initializer_list<int> signals) noexcept : signal_set{} {
        for (const int signal : signals) sigaddset(&set_, signal);
    }
    explicit signal_set(const sigset_t& set) noexcept : set_{set} {}

    void add(int signal) noexcept { sigaddset(&set_, signal); }
    void remove(int signal) noexcept { sigdelset(&set_, signal); }
    [[nodiscard]] bool contains(int signal) const noexcept { return sigismember(&set_, signal) == 1; }
    [[nodiscard]] const sigset_t& native() const noexcept { return set_; }

private:
    sigset_t set_;
};

/// Keeps signals blocked in this thread, and in the threads it starts, while it lives; then the mask is as it
/// was before, and what is still pending is delivered. The thread that made it destroys it. Never fails.
class [[nodiscard]] blocked_signals {
public:
    KITH_EXPORT explicit blocked_signals(const signal_set& signals) noexcept;
    KITH_EXPORT ~blocked_signals();
    blocked_signals(const blocked_signals&) = delete;
    blocked_signals& operator=(const blocked_signals&) = delete;

private:
    sigset_t before_;
};

/// One signal, as the kernel tells it (sigaction(2), siginfo_t). A value.
struct signal_info {
    int signal = 0;
    int code = 0;               ///< why: SI_USER, SI_QUEUE, SI_TIMER, CLD_EXITED ...
    pid_t pid = 0;              ///< the sender, or the child for SIGCHLD; 0 where it is not visible from here
    uid_t uid = 0;              ///< the sender's real user
    int value = 0;              ///< what sigqueue(3) sent along
    std::uint64_t pointer = 0;  ///< the same as a pointer-sized number
    int status = 0;             ///< SIGCHLD: exit status or signal
    std::uint32_t overrun = 0;  ///< POSIX timers: expirations missed
};

/// The descriptor that signals are read from.
class signal_fd : public io_fd {
public:
    using io_fd::io_fd;
    explicit signal_fd(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Waits for one of the signals and takes it. Errors: `would_block`, `timed_out`, `stopped`, `io`.
    [[nodiscard]] KITH_EXPORT result<signal_info> take(const wait_policy& wait = {}) noexcept;

    /// Waits for a signal and takes as many as are pending and fit `records`, at most 16 in one call. Returns the
    /// count. Errors: as above; `invalid` (no room for one).
    [[nodiscard]] KITH_EXPORT result<std::size_t> take(std::span<signal_info> records,
                                                       const wait_policy& wait = {}) noexcept;

    /// Reads other signals from now on. Errors: `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> watch(const signal_set& signals) noexcept;
};

/// Makes a descriptor for `signals`, which the caller has blocked; close-on-exec. SIGKILL and SIGSTOP are
/// silently left out by the kernel. Errors: `limit_reached`, `out_of_memory`.
[[nodiscard]] KITH_EXPORT result<signal_fd> open_signalfd(const signal_set& signals) noexcept;

}  // namespace kith::inline KITH_ABI::sys
