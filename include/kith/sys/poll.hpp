// kith/sys/poll.hpp - waiting for several descriptors at once: a poll set, and an epoll set for many of them.
//
// Works with everything that has a descriptor: pipes, FIFOs, sockets, POSIX message queues, eventfd, signalfd,
// timerfd, pidfd, and epoll sets themselves. System V objects, POSIX semaphores and shared memory have none:
// put an eventfd (kith/sys/eventfd.hpp) or a futex beside them. A poll set says of a regular file that it is
// always ready; an epoll set refuses it.
// A descriptor must stay open while it is in a set. One that is closed leaves an epoll set only when the last
// copy of its open file description is closed, in whatever process: remove it before closing.
// Thread, fork and close rules of event_set: kith/io_fd.hpp; a forked child shares what it watches with its parent, and
// each of them changes it for both. A poll_set belongs to one thread at a time; a child has its own copy.
// Signal handlers: no. Crash: nothing is held.
#pragma once
#include <poll.h>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::sys {

/// A few descriptors, looked at with ppoll(2).
class poll_set {
public:
    /// What happened to the descriptor that was added as number `index`: POLLIN, POLLOUT, POLLHUP, POLLERR,
    /// POLLPRI, POLLRDHUP; POLLNVAL where it is not open.
    struct ready {
        std::size_t index;
        short events;
    };

    /// Adds a descriptor to be watched for `events`; POLLERR, POLLHUP and POLLNVAL are always told. Returns its
    /// index; indices never change. Allocates. Errors: `out_of_memory`.
    [[nodiscard]] KITH_EXPORT result<std::size_t> add(borrowed_fd fd, short events) noexcept;
    /// Watches the descriptor for other events; 0 leaves errors and hang-ups.
    KITH_EXPORT void change(std::size_t index, short events) noexcept;
    /// Leaves the descriptor out from now on, e.g. after its end: POLLHUP would end every further wait at once.
    KITH_EXPORT void ignore(std::size_t index) noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return watched_.empty() ? 0 : watched_.size() - 1; }

    /// Waits until at least one descriptor is ready and returns how many are. Errors: `would_block`,
    /// `timed_out`, `stopped`, `invalid` (more descriptors than RLIMIT_NOFILE), `io`.
    [[nodiscard]] KITH_EXPORT result<std::size_t> wait(const wait_policy& how = {}) noexcept;
    /// What the last wait found for one descriptor; 0: nothing.
    [[nodiscard]] short events_of(std::size_t index) const noexcept { return watched_[index + 1].revents; }

private:
    std::vector<pollfd> watched_;  // the first is the stop request's
};

/// When an event_set tells about a descriptor.
enum class trigger : std::uint8_t {
    level,  ///< as long as it is ready
    edge,   ///< when it becomes ready: then work until `would_block`
    once,   ///< once, then not until change()
};

/// Many descriptors, looked at with epoll_wait(2).
class event_set : public io_fd {
public:
    /// What happened: EPOLLIN and so on, which have the values of POLLIN and so on, and the token given to add().
    struct ready {
        std::uint64_t token;
        std::uint32_t events;
    };

    using io_fd::io_fd;
    explicit event_set(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Watches a descriptor for `events` (POLLIN, POLLOUT, POLLRDHUP, POLLPRI); POLLERR and POLLHUP are always
    /// told. Errors: `exists`, `wrong_kind` (EPERM: a regular file or directory), `limit_reached` (fs.epoll
    /// .max_user_watches), `invalid` (not open, or the set itself), `io` (ELOOP: sets inside each other).
    [[nodiscard]] KITH_EXPORT result<void> add(borrowed_fd fd, std::uint32_t events, std::uint64_t token,
                                               trigger when = trigger::level) noexcept;
    /// Changes what a descriptor is watched for, or arms `trigger::once` anew. Errors: `not_found`, `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> change(borrowed_fd fd, std::uint32_t events, std::uint64_t token,
                                                  trigger when = trigger::level) noexcept;
    /// Stops watching it. Errors: `not_found`, `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> remove(borrowed_fd fd) noexcept;

    /// Waits until a descriptor is ready and fills `found`, at most 64 in one call; returns how many. The others
    /// come first in the next call. Errors: `would_block`, `timed_out`, `stopped`, `invalid` (no room for one).
    [[nodiscard]] KITH_EXPORT result<std::size_t> wait(std::span<ready> found, const wait_policy& how = {}) noexcept;
};

/// Makes an empty set; close-on-exec. Errors: `limit_reached`, `out_of_memory`.
[[nodiscard]] KITH_EXPORT result<event_set> open_event_set() noexcept;

}  // namespace kith::inline KITH_ABI::sys
