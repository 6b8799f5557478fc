// kith/sys/sysv_mq.hpp - System V message queues: messages with a type, received by type.
//
// The kernel's queues of msgget(2), msgop(2) and msgctl(2): any program that uses those calls, ipcs or ipcrm is
// the other side without knowing kith. A message is a type, 1 or more, and a body of any bytes, which may be
// empty; it is sent and received whole. The queue is full when the bodies would exceed its capacity in bytes or
// when it holds as many messages as its capacity has bytes.
//
// A handle is the queue's id and nothing else: there is nothing to close, copies are the same queue, and the
// queue lives until somebody removes it, with no check whether anybody uses it. Nobody is told when a reader or
// a writer dies: senders to an abandoned queue fill it and wait. There is no descriptor, so poll and epoll cannot
// wait for a queue; a thread of the program's own that receives and writes to an eventfd can stand in, but what it
// has taken is no longer in the queue.
//
// Waiting: the kernel has no timed form. With `deadline::never()` and no stop token kith blocks in msgsnd or
// msgrcv (interrupted always, even under SA_RESTART; retried unless the policy says report). With a deadline or a
// stop token it asks without waiting and looks again after 20 us, 40 us ... at most 2 ms (event `polling`); such a
// receiver queues behind those that block in the kernel. What is said of errors below: `removed` comes with EIDRM
// when the queue went while waiting and with EINVAL when it was gone before the call.
//
// Thread safety: any number of threads may use one handle. Fork and exec: an id stays valid in both. Signal handlers:
// send and receive without a deadline are safe. Crash: killed inside send, the message is sent whole or not at all;
// killed inside receive, the message may have been taken already. Namespaces: a queue belongs to an IPC namespace;
// inside a container the same key names another queue, or none. The umask does not apply to the mode.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <kith/bytes.hpp>
#include <kith/result.hpp>
#include <kith/sys/creation.hpp>
#include <kith/sys/leftovers.hpp>
#include <kith/sys/sysv_key.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::sys {

/// Which message a receive takes. A value. A type below 1 makes the receive fail with `invalid`.
class message_selector {
public:
    /// The oldest message (msgtyp 0).
    [[nodiscard]] static constexpr message_selector any() noexcept { return {0, false, true}; }
    /// The oldest message of this type.
    [[nodiscard]] static constexpr message_selector of_type(long type) noexcept { return {type, false, type >= 1}; }
    /// The lowest type that is at most `type`, and the oldest message of it: types as priorities, 1 first.
    [[nodiscard]] static constexpr message_selector lowest_up_to(long type) noexcept {
        return {type >= 1 ? -type : 0, false, type >= 1};
    }
    /// The oldest message of any other type (MSG_EXCEPT).
    [[nodiscard]] static constexpr message_selector except(long type) noexcept { return {type, true, type >= 1}; }

    [[nodiscard]] constexpr bool valid() const noexcept { return valid_; }
    /// What msgrcv(2) gets as its msgtyp argument.
    [[nodiscard]] constexpr long native_type() const noexcept { return type_; }
    /// Whether MSG_EXCEPT goes with it.
    [[nodiscard]] constexpr bool is_exception() const noexcept { return except_; }
    friend constexpr bool operator==(message_selector, message_selector) = default;

private:
    constexpr message_selector(long type, bool except, bool valid) noexcept
        : type_{type}, except_{except}, valid_{valid} {}
    long type_;
    bool except_;
    bool valid_;
};

/// Borrowed memory in the layout of msgop(2): the type, directly followed by the body. Sending and receiving through
/// it copies nothing in user space. Its last byte is kith's: it is how a cut message is noticed.
class message_space {
public:
    /// `memory` must be aligned for long and hold the type, the body and one byte more; a smaller one has no capacity
    /// and every call with it fails with `invalid`.
    [[nodiscard]] static constexpr message_space over(void* memory, std::size_t size) noexcept {
        return {memory, size > sizeof(long) ? size - sizeof(long) - 1 : 0, size > sizeof(long)};
    }

    [[nodiscard]] constexpr bool usable() const noexcept { return usable_; }
    [[nodiscard]] constexpr std::size_t capacity() const noexcept { return capacity_; }  ///< bytes of body
    [[nodiscard]] long& type() const noexcept { return *static_cast<long*>(memory_); }
    [[nodiscard]] byte_span body() const noexcept {
        return {static_cast<std::byte*>(memory_) + sizeof(long), capacity_};
    }
    [[nodiscard]] constexpr void* native() const noexcept { return memory_; }

private:
    constexpr message_space(void* memory, std::size_t capacity, bool usable) noexcept
        : memory_{memory}, capacity_{capacity}, usable_{usable} {}
    void* memory_;
    std::size_t capacity_;
    bool usable_;
};

/// Memory for one message with a body of up to `Capacity` bytes: fill in type and body, then send `space()`.
template <std::size_t Capacity>
struct message_buffer {
    long type = 1;
    std::byte body[Capacity + 1];  ///< the last byte is kith's

    [[nodiscard]] message_space space() noexcept { return message_space::over(this, sizeof(long) + Capacity + 1); }
};

/// What a receive brought.
struct received_message {
    long type;         ///< 1 or more
    std::size_t size;  ///< bytes of body now in the buffer; 0 is an empty message, not an end
    bool cut = false;  ///< the message was longer than the buffer and the rest is lost; only receive_cutting sets it
};

/// How long opening waits for a queue's capacity where the queue was made a moment ago and never used: its maker sets
/// the capacity in a second call.
inline constexpr std::chrono::milliseconds sysv_mq_creator_patience{100};

/// How a queue is opened.
struct sysv_mq_options {
    creation create = creation::must_exist;
    unsigned mode = 0600;             ///< of a new queue; the umask does not apply
    std::size_t capacity = 0;         ///< bytes: of a new queue, and demanded of an existing one; 0: any, or msgmnb
    leftovers old = leftovers::keep;  ///< the messages of an existing queue
    bool check_read = false;          ///< fail now with `not_permitted` if receiving will not be allowed
    bool check_write = false;         ///< the same for sending
};

/// What msgctl(IPC_STAT) tells. Times are 0 (1970) until it happens for the first time. A pid may have been reused
/// since, and is 0 for a process that is not visible here.
struct sysv_mq_status {
    sysv_key key{0};  ///< private_object() for one without a key
    unsigned uid, gid, creator_uid, creator_gid;
    unsigned mode;                            ///< the nine permission bits
    std::size_t messages;                     ///< in the queue now
    std::size_t bytes;                        ///< of their bodies
    std::size_t capacity;                     ///< bytes (msg_qbytes); also the largest number of messages
    std::int64_t last_sender, last_receiver;  ///< pids, 0 for none
    std::chrono::system_clock::time_point last_send, last_receive, last_change;  ///< to the second
};

/// What to change; what is left out stays.
struct sysv_mq_change {
    std::optional<unsigned> uid{}, gid{}, mode{};
    std::optional<std::size_t> capacity{};  ///< above msgmnb it needs CAP_SYS_RESOURCE; messages in the queue stay
};

/// A System V message queue. A value that does not own the queue: dropping it removes nothing.
class sysv_mq {
public:
    /// Opens or makes the queue with this key; with `sysv_key::private_object()` always a new one without a key. Waits
    /// at most `sysv_mq_creator_patience`, and only for the capacity of a new queue (event `polling`). Errors:
    /// `not_found`, `exists`, `not_permitted`, `wrong_size` (another capacity), `limit_reached` (ENOSPC: msgmni queues
    /// exist), `invalid` (must_exist with a private key, bits of the mode above 0777), `removed`, `out_of_memory`.
    /// msgget(2).
    [[nodiscard]] KITH_EXPORT static result<sysv_mq> open(sysv_key key, const sysv_mq_options& options = {}) noexcept;
    /// The queue with this id, which must exist and be readable. Errors: `not_found`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT static result<sysv_mq> open_id(int id) noexcept;
    /// The queue with this id, unchecked: for ids from somewhere else that may be written but not read.
    [[nodiscard]] static constexpr sysv_mq from_id(int id) noexcept { return sysv_mq{id}; }

    [[nodiscard]] constexpr int native_id() const noexcept { return id_; }
    /// Whether open() made the queue.
    [[nodiscard]] constexpr bool created() const noexcept { return created_; }
    /// How many messages open() removed for `leftovers::drain`.
    [[nodiscard]] constexpr std::uint64_t drained() const noexcept { return drained_; }

    /// Sends the first `size` bytes of the body of `message`, with its type, from where they lie; waits for room.
    /// Errors: `too_long` (above msgmax with EINVAL; above this queue's capacity with EAGAIN: msgsnd would wait for
    /// ever, and does if somebody lowers the capacity during a wait in the kernel), `invalid` (a type below 1),
    /// `not_permitted`, `removed`, `would_block`, `timed_out`, `stopped`. msgsnd(2).
    [[nodiscard]] KITH_EXPORT result<void> send(message_space message, std::size_t size,
                                                const wait_policy& wait = {}) const noexcept;
    /// The same for a body that lies elsewhere; costs one copy of it (above 8192 bytes through a mapping made
    /// for the call, so also `out_of_memory`).
    [[nodiscard]] KITH_EXPORT result<void> send(long type, byte_view body, const wait_policy& wait = {}) const noexcept;

    /// Receives the selected message into `message`; waits for one. Errors: `truncated` with E2BIG (longer than the
    /// buffer: it stays in the queue), `invalid`, `not_permitted`, `removed`, `would_block` with ENOMSG (nothing there
    /// that fits the selector), `timed_out`, `stopped`. msgrcv(2).
    [[nodiscard]] KITH_EXPORT result<received_message> receive(message_space message,
                                                               message_selector which = message_selector::any(),
                                                               const wait_policy& wait = {}) const noexcept;
    /// The same into plain memory; costs one copy of the body (see send).
    [[nodiscard]] KITH_EXPORT result<received_message> receive(byte_span body,
                                                               message_selector which = message_selector::any(),
                                                               const wait_policy& wait = {}) const noexcept;
    /// Receives also a message that is longer than the buffer, and says so in `cut` (MSG_NOERROR): the kernel is
    /// asked for one byte more than fits, which only a longer message fills. How long it was is not known.
    [[nodiscard]] KITH_EXPORT result<received_message> receive_cutting(message_space message,
                                                                       message_selector which = message_selector::any(),
                                                                       const wait_policy& wait = {}) const noexcept;
    [[nodiscard]] KITH_EXPORT result<received_message> receive_cutting(byte_span body,
                                                                       message_selector which = message_selector::any(),
                                                                       const wait_policy& wait = {}) const noexcept;

    /// Copies the message at `index`, 0 being the oldest, and leaves it in the queue (MSG_COPY); never waits.
    /// Errors: `would_block` with ENOMSG (fewer messages), `truncated`, `unsupported` with ENOSYS (a kernel without
    /// CONFIG_CHECKPOINT_RESTORE), `not_permitted`, `removed`.
    [[nodiscard]] KITH_EXPORT result<received_message> peek(message_space message,
                                                            std::size_t index = 0) const noexcept;
    [[nodiscard]] KITH_EXPORT result<received_message> peek(byte_span body, std::size_t index = 0) const noexcept;

    /// Removes the messages that are in the queue now and returns how many it removed; what is sent meanwhile may stay.
    /// Event `messages_drained`. Errors: `not_permitted`, `removed`.
    [[nodiscard]] KITH_EXPORT result<std::uint64_t> drain() const noexcept;

    /// Errors: `not_permitted` (needs the right to receive), `removed`. msgctl(2).
    [[nodiscard]] KITH_EXPORT result<sysv_mq_status> status() const noexcept;
    /// Reads the status, changes it and writes it back, in two calls. Errors: `not_permitted` (owner, creator or
    /// CAP_SYS_ADMIN; capacity above msgmnb), `removed`.
    [[nodiscard]] KITH_EXPORT result<void> change(const sysv_mq_change& wish) const noexcept;
    /// Removes the queue and its messages at once; whoever waits in it gets `removed`. Errors: `not_permitted`,
    /// `removed`.
    [[nodiscard]] KITH_EXPORT result<void> remove() const noexcept;

    friend constexpr bool operator==(const sysv_mq& a, const sysv_mq& b) noexcept { return a.id_ == b.id_; }

private:
    constexpr explicit sysv_mq(int id, bool created = false) noexcept : id_{id}, created_{created} {}
    int id_;
    bool created_;
    std::uint64_t drained_ = 0;
};

/// The limits of this IPC namespace (IPC_INFO, /proc/sys/kernel/msg*) and what is used of them (MSG_INFO).
struct sysv_mq_limits {
    std::size_t message_bytes;  ///< msgmax: the longest body
    std::size_t queue_bytes;    ///< msgmnb: the capacity of a new queue
    std::size_t queues;         ///< msgmni: how many queues there may be
    std::size_t queues_in_use, messages_in_use, bytes_in_use;
    int highest_slot;  ///< the last slot worth asking sysv_mq_in_slot for
};
/// Errors: `unsupported` (a kernel without System V IPC).
[[nodiscard]] KITH_EXPORT result<sysv_mq_limits> read_sysv_mq_limits() noexcept;

/// A queue found by its place in the kernel's table: the way to list all of them, as ipcs does.
struct listed_sysv_mq {
    int id;
    sysv_mq_status status;
};
/// The queue in a slot, from 0 to `highest_slot`, readable or not (MSG_STAT_ANY). Errors: `not_found` (an empty slot).
[[nodiscard]] KITH_EXPORT result<listed_sysv_mq> sysv_mq_in_slot(int slot) noexcept;

}  // namespace kith::inline KITH_ABI::sys
