// kith/sys/posix_mq.hpp - POSIX message queues: whole messages with a priority, and a descriptor to wait on.
//
// The kernel's queues of mq_overview(7), reached by a name with one leading slash. Messages come out highest priority
// first (0 to 32767), oldest first within a priority; they are sent and received whole, and an empty one is a message,
// not an end. The queue's limits, number and size of messages, are fixed when it is made. A queue lives until it is
// unlinked and the last descriptor is closed.
//
// A posix_mq is an io_fd: mqd_t is a descriptor on Linux, close-on-exec from birth, which poll and epoll understand
// (POLLIN: not empty, POLLOUT: not full). Waits happen in ppoll(2) on the monotonic clock, so setting the wall clock,
// which mq_timedreceive(3) goes by, changes nothing. kith keeps O_NONBLOCK on the open description; a descriptor taken
// over in blocking mode is left as it is. Receivers that wait in the kernel (other programs) are served by scheduling
// priority, then age; kith's compete for what poll shows.
//
// Threads, close() beside waits, fork: kith/io_fd.hpp. A child made by fork shares the description; exec closes it;
// a registered notification stays with the parent. Signal handlers: no. Crash: killed inside send, the message is
// sent whole or not at all. Namespaces: names belong to the IPC namespace; an open queue goes on working after
// unshare(2). The calls work without the mqueue file system being mounted; only listing queues needs the mount.
#pragma once
#include <signal.h>
#include <sys/types.h>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <kith/bytes.hpp>
#include <kith/io_fd.hpp>
#include <kith/sys/creation.hpp>
#include <kith/sys/leftovers.hpp>

namespace kith::inline KITH_ABI::sys {

/// The highest priority of a message; the next is refused (MQ_PRIO_MAX is one more).
inline constexpr unsigned posix_mq_highest_priority = 32767;

/// What the descriptor may be used for.
enum class posix_mq_access : std::uint8_t { send_and_receive, send_only, receive_only };

/// How a queue is opened.
struct posix_mq_options {
    creation create = creation::must_exist;
    posix_mq_access access = posix_mq_access::send_and_receive;
    unsigned mode = 0600;             ///< of a new queue; the umask applies
    std::size_t max_messages = 0;     ///< of a new queue, and demanded of an existing one; 0: any, or the default (10)
    std::size_t message_size = 0;     ///< bytes, likewise; 0: any, or the default (8192)
    leftovers old = leftovers::keep;  ///< the messages of an existing queue; draining needs the right to receive
};

/// mq_getattr(3), without the flags.
struct posix_mq_attributes {
    std::size_t max_messages;
    std::size_t message_size;  ///< bytes; also the smallest buffer that receive takes
    std::size_t messages;      ///< in the queue now
};

/// What a receive brought.
struct prioritised_message {
    std::size_t size;  ///< bytes; 0 is an empty message
    unsigned priority;
};

/// The status line that read(2) on the descriptor gives.
struct posix_mq_kernel_status {
    std::size_t bytes;      ///< of the bodies in the queue
    int notification;       ///< SIGEV_SIGNAL, SIGEV_THREAD or SIGEV_NONE, where `notified` is not 0
    int signal;             ///< for SIGEV_SIGNAL
    std::int64_t notified;  ///< pid of the process that is registered for a notification; 0: none
};

/// A POSIX message queue.
class posix_mq : public io_fd {
public:
    /// Opens or makes a queue. Errors: `not_found`, `exists`, `not_permitted` (mode; nothing tells it from a name that
    /// is somebody else's), `invalid` (the name has no leading slash, nothing behind it, or another slash), `too_long`
    /// (a name above 255 characters), `wrong_size` (an existing queue with other attributes than asked for),
    /// `limit_reached` with EINVAL (attributes above msg_max or msgsize_max), with ENOSPC (queues_max), with EMFILE and
    /// the operation "mq_open(RLIMIT_MSGQUEUE)" (bytes of this user's queues) or "mq_open" (descriptors),
    /// `unsupported`. mq_open(3).
    [[nodiscard]] KITH_EXPORT static result<posix_mq> open(std::string_view name,
                                                           const posix_mq_options& options = {}) noexcept;
    /// Takes over an open mqd_t from elsewhere. Errors: `wrong_kind` (a descriptor of something else), `invalid`.
    [[nodiscard]] KITH_EXPORT static result<posix_mq> adopt(owned_fd fd) noexcept;

    posix_mq() noexcept = default;

    /// Whether open() made the queue.
    [[nodiscard]] bool created() const noexcept { return created_; }
    /// How many messages open() removed for `leftovers::drain`.
    [[nodiscard]] std::uint64_t drained() const noexcept { return drained_; }

    /// Sends a message; waits for a free place. Errors: `too_long` (above message_size), `invalid` (priority),
    /// `not_permitted` with EBADF (opened for receiving only), `would_block`, `timed_out`, `stopped`. mq_send(3).
    [[nodiscard]] KITH_EXPORT result<void> send(byte_view body, unsigned priority = 0,
                                                const wait_policy& wait = {}) const noexcept;
    /// Receives the first message. `buffer` must have room for message_size bytes, however short the message. Errors:
    /// `truncated` with EMSGSIZE (a smaller buffer; nothing is taken), `not_permitted` with EBADF (opened for sending
    /// only), `would_block`, `timed_out`, `stopped`. There is no way to look at a message without taking it.
    /// mq_receive(3).
    [[nodiscard]] KITH_EXPORT result<prioritised_message> receive(byte_span buffer,
                                                                  const wait_policy& wait = {}) const noexcept;

    /// Removes the messages that are in the queue now and returns how many it removed; what is sent meanwhile may stay.
    /// Event `messages_drained`. Errors: `not_permitted`, `out_of_memory` (a message_size above 8192 needs a mapping).
    [[nodiscard]] KITH_EXPORT result<std::uint64_t> drain() const noexcept;

    /// Its limits, and how many messages are in it now. Errors: `invalid` (closed). mq_getattr(3).
    [[nodiscard]] KITH_EXPORT result<posix_mq_attributes> attributes() const noexcept;
    /// Needs the right to receive. Errors: `not_permitted`, `bad_peer` (a line that is not understood).
    [[nodiscard]] KITH_EXPORT result<posix_mq_kernel_status> kernel_status() const noexcept;

    /// Asks for one notification, when the queue next goes from empty to not empty and nobody waits in a receive
    /// (mq_notify(3)): SIGEV_SIGNAL (si_code SI_MESGQ, with the sender's pid and uid), SIGEV_THREAD (glibc starts a
    /// thread for it) or SIGEV_NONE (only keeps others out). It is then used up. One process can be registered with a
    /// queue, and forked children inherit nothing. Prefer poll or epoll, which miss nothing. Errors: `exists` with
    /// EBUSY (somebody, perhaps this process, is registered), `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> notify(const sigevent& how) const noexcept;
    /// Ends this process's registration; none is no error.
    [[nodiscard]] KITH_EXPORT result<void> cancel_notification() const noexcept;
    /// What to do after a notification, in the only order that loses none: registers again first, then receives without
    /// waiting and hands each message to `take(prioritised_message)`, until nothing is left or `take` returns false
    /// (messages that are left then give no notification: call again). A registration of this process that is still
    /// there is kept. Returns how many were taken. Errors: as notify and receive.
    template <class Take>
    [[nodiscard]] result<std::uint64_t> rearm_then_drain(const sigevent& how, byte_span buffer, Take&& take) const {
        if (auto armed = rearm(how); !armed) return fail(armed.error());
        for (std::uint64_t taken = 0;;) {
            const auto got = receive(buffer, deadline::immediate());
            if (!got && got.error().code() == errc::would_block) return taken;
            if (!got) return fail(got.error());
            ++taken;
            if (!take(*got)) return taken;
        }
    }

private:
    explicit posix_mq(io_fd fd) noexcept : io_fd{std::move(fd)} {}
    [[nodiscard]] KITH_EXPORT result<void> rearm(const sigevent& how) const noexcept;
    bool created_ = false;
    std::uint64_t drained_ = 0;
};

/// Removes the name at once; who has the queue open goes on using it, and its memory goes with the last descriptor.
/// Errors: `not_found`, `not_permitted`, `invalid`, `too_long`. mq_unlink(3).
[[nodiscard]] KITH_EXPORT result<void> unlink_posix_mq(std::string_view name) noexcept;

/// The limits of this IPC namespace (/proc/sys/fs/mqueue) and of this process.
struct posix_mq_limits {
    std::size_t max_messages;          ///< msg_max: above it needs CAP_SYS_RESOURCE
    std::size_t message_size;          ///< msgsize_max, bytes: likewise
    std::size_t default_max_messages;  ///< msg_default
    std::size_t default_message_size;  ///< msgsize_default, bytes
    std::size_t queues;                ///< queues_max
    std::uint64_t bytes_per_user;      ///< RLIMIT_MSGQUEUE: all queues of the user together; the maximum for no limit
};
/// Errors: `not_found` (no /proc, or a kernel without POSIX queues).
[[nodiscard]] KITH_EXPORT result<posix_mq_limits> read_posix_mq_limits() noexcept;

}  // namespace kith::inline KITH_ABI::sys
