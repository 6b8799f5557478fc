// kith/io_fd.hpp - a descriptor that threads can wait on and another thread can close.
//
// Every class of kith::sys that owns a descriptor and can wait is built on this one. The descriptor is
// kept in non-blocking mode and waits happen in ppoll(2), so every wait has a deadline, can be stopped,
// and ends when the object is closed. The open file description is shared with whoever the descriptor is
// passed to: they see O_NONBLOCK too (kith::sys::spawn clears it on what a child gets).
//
// Thread safety: native() and the waits may run in several threads at once, and close() beside them: it
// ends each wait with `errc::stopped` and returns when the last waiter has left, its attempt to move data after
// the wait included (in non-blocking mode). A call that has not begun to wait is not protected: as for any object,
// close() then needs the caller's lock.
// Moving needs exclusive access. Cost: the first wait makes one eventfd, kept until the object is closed;
// where descriptors have run out, the wait looks at the object every 50 ms instead (event `polling`).
// Fork: the child's copy is independent; closing it disturbs no thread of the parent. Exec: closed, if it was opened by
// kith. Signal handlers: no. Crash: the kernel closes the descriptor; of a wait nothing is left. Man page: ppoll(2).
#pragma once
#include <sys/types.h>
#include <atomic>

#include <kith/fd.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI {
namespace detail {
class stay;
}

/// Whether the descriptor is known to be in non-blocking mode.
enum class fd_mode : bool {
    blocking,  ///< somebody else's choice that kith leaves alone: waits come before each attempt (see adopt())
    nonblocking,
};

class KITH_EXPORT io_fd {
public:
    io_fd() noexcept = default;
    io_fd(owned_fd fd, fd_mode mode) noexcept : fd_{fd.release()}, mode_{mode} {}
    io_fd(io_fd&& other) noexcept
        : fd_{other.fd_.load(std::memory_order_relaxed)},
          bell_{other.bell_.load(std::memory_order_relaxed)},
          waiters_pid_{other.waiters_pid_.load(std::memory_order_relaxed)},
          mode_{other.mode_} {
        // Moving needs exclusive access, so nothing has to be ordered.
        other.fd_.store(-1, std::memory_order_relaxed);
        other.bell_.store(-1, std::memory_order_relaxed);
    }
    io_fd& operator=(io_fd&& other) noexcept;
    io_fd(const io_fd&) = delete;
    io_fd& operator=(const io_fd&) = delete;
    ~io_fd() {
        // Whoever destroys it has it alone, and where nobody has ever waited there is only the descriptor.
        if (waiters_pid_.load(std::memory_order_relaxed) != 0)
            close();
        else
            owned_fd{native().get()}.reset();
    }

    /// Takes over a descriptor from elsewhere and reads its mode, which others may share and which kith leaves as it
    /// is. In blocking mode each attempt follows a wait that found the descriptor ready, and asks the kernel all the
    /// same not to wait, because another reader or writer may have been quicker: sockets with MSG_DONTWAIT, pipes,
    /// FIFOs and counters with RWF_NOWAIT. What cannot be asked so may then wait past the deadline: a pipe before
    /// Linux 6.5, a terminal, accept4(2), splice(2) from or to a socket, an eventfd that lacks room for more than 1.
    /// Where others use the same description, set O_NONBLOCK first. Errors: `invalid` (not open).
    [[nodiscard]] static result<io_fd> adopt(owned_fd fd) noexcept;

    [[nodiscard]] borrowed_fd native() const noexcept { return borrowed_fd{fd_.load(std::memory_order_relaxed)}; }
    [[nodiscard]] bool is_open() const noexcept { return native().valid(); }
    [[nodiscard]] fd_mode mode() const noexcept { return mode_; }

    /// Closes the descriptor; threads that wait in it return `errc::stopped`. Idempotent.
    void close() noexcept;
    /// Gives the descriptor away, as it is; nobody may be waiting.
    [[nodiscard]] owned_fd release() noexcept;

    /// Waits until ppoll(2) reports one of `events` (POLLIN, POLLOUT ...) or an error state, and returns
    /// what it reported. Errors: `would_block`, `timed_out`, `stopped`, `invalid` (closed), `io`.
    [[nodiscard]] result<short> wait_for(short events, const wait_policy& wait, const char* operation) const noexcept;

private:
    friend class detail::stay;
    std::atomic<int> fd_{-1};
    mutable std::atomic<int> bell_{-1};  // eventfd, rung once by close(), never drained
    mutable std::atomic<int> waiters_{0};
    mutable std::atomic<pid_t> waiters_pid_{0};  // whose waiters: a forked child starts with none
    fd_mode mode_ = fd_mode::nonblocking;
};

}  // namespace kith::inline KITH_ABI
