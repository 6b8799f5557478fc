// kith/compose/request_reply.hpp - requests and replies over message queues: one server name, many clients.
//
// Over System V queues the server has two queues, one for requests and one for replies, and every client receives
// replies of a type that is its own. Over POSIX queues the server has one queue, and every client a private one for its
// replies. Both put the same 56 bytes before the body, from which the server knows where to reply, until when anybody
// waits for it, and whether that process is still alive; the convention is docs/formats/request_reply.md.
//
// What goes wrong, and what becomes of it: a request whose client has died or has given up is dropped, not
// served (event `peer_died`). A reply that nobody takes does not hold the server up: replies for the dead and to calls
// that have ended are removed (event `stale_removed`), and for the rest reply() waits no longer than `reply_patience`.
// A reply that comes after its call has timed out is recognised by its number and dropped by the client's next call, as
// are replies to an earlier process with the same pid. What is no request (a stranger's message) is dropped (event
// `stale_removed`). A client is not told when the server dies: give call() a deadline.
//
// Trust: what a request says of its sender is claimed, not proven. Whoever may send to the queue can waste the server's
// time and disturb other clients; give the queue a mode that keeps others out.
// Thread safety: servers: any number of threads, on one object too; clients: one call at a time. Fork: a client belongs
// to the process that made it; in a child its calls fail with `forked`. Signal handlers: no.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>

#include <kith/sys/posix_mq.hpp>
#include <kith/sys/process.hpp>
#include <kith/sys/sysv_mq.hpp>

namespace kith::inline KITH_ABI::compose {

/// What stands before the body of each request and reply, in bytes.
inline constexpr std::size_t request_header_bytes = 56;

/// Whom to reply to. A value; may be kept and answered later, from any thread.
struct request_ticket {
    std::int64_t address;          ///< System V: the type of the reply; POSIX: what the reply queue's name ends in
    std::uint64_t number;          ///< of the client's call
    deadline until;                ///< when the client gives up
    sys::process_identity client;  ///< pid 0 if the client could not tell
};

/// A request.
struct received_request {
    request_ticket from;
    std::size_t size;  ///< bytes of body in the buffer
};

/// The server's side over System V queues. A value that does not own the queues: they stay until remove().
class sysv_request_server {
public:
    struct options {
        sys::creation create = sys::creation::create_or_open;
        unsigned mode = 0600;                       ///< of both queues; clients need to read and to write
        std::size_t capacity = 0;                   ///< bytes, of each queue; 0: the default of new ones
        sys::leftovers old = sys::leftovers::keep;  ///< requests from before
        std::chrono::milliseconds reply_patience{1000};
    };
    /// Opens or makes the queue of `key` and the one for the replies (the key with its highest bit inverted).
    /// Errors: as sys::sysv_mq::open; `invalid` (a private key, or 0x80000000).
    [[nodiscard]] KITH_EXPORT static result<sysv_request_server> open(sys::sysv_key key, const options& how) noexcept;
    [[nodiscard]] static result<sysv_request_server> open(sys::sysv_key key) noexcept { return open(key, options{}); }

    /// Takes the next request that somebody still waits for. One that is longer than the buffer is refused with a reply
    /// that says so, and the next one is taken. Errors: as sys::sysv_mq::receive.
    [[nodiscard]] KITH_EXPORT result<received_request> take(byte_span buffer,
                                                            const wait_policy& wait = {}) const noexcept;
    /// Replies. Errors: `peer_gone` (the client gave up or died; nothing was sent), `too_long` (the client is told),
    /// `would_block`, `timed_out` (no room within `reply_patience`), `stopped`, `removed`.
    [[nodiscard]] KITH_EXPORT result<void> reply(const request_ticket& to, byte_view body,
                                                 const wait_policy& wait = {}) const noexcept;
    /// Tells the client that there will be no reply: its call ends with `peer_gone`. Errors: as reply.
    [[nodiscard]] KITH_EXPORT result<void> refuse(const request_ticket& to,
                                                  const wait_policy& wait = {}) const noexcept;
    /// Waits until every reply has been taken, or nobody waits for it any more: what to do before remove(). Looks again
    /// after 20 us to 2 ms. Errors: `would_block`, `timed_out` (some are still there), `stopped`, `removed`.
    [[nodiscard]] KITH_EXPORT result<void> settle(const wait_policy& wait = {}) const noexcept;
    /// Removes both queues, with the replies in them; calls that wait end with `removed`. Errors: as
    /// sys::sysv_mq::remove.
    [[nodiscard]] KITH_EXPORT result<void> remove() const noexcept;

    [[nodiscard]] const sys::sysv_mq& requests() const noexcept { return requests_; }
    [[nodiscard]] const sys::sysv_mq& replies() const noexcept { return replies_; }

private:
    sysv_request_server(sys::sysv_mq requests, sys::sysv_mq replies, std::chrono::milliseconds patience) noexcept
        : requests_{requests}, replies_{replies}, patience_{patience} {}
    result<void> answer(const request_ticket& to, std::uint32_t status, byte_view body,
                        const wait_policy& wait) const noexcept;
    sys::sysv_mq requests_;
    sys::sysv_mq replies_;
    std::chrono::milliseconds patience_;
};

/// A client over System V queues.
class sysv_request_client {
public:
    /// Errors: `not_found` (no server has made the queues), `not_permitted`, `invalid`.
    [[nodiscard]] KITH_EXPORT static result<sysv_request_client> open(sys::sysv_key key) noexcept;
    sysv_request_client(sysv_request_client&& other) noexcept;
    sysv_request_client& operator=(sysv_request_client&&) = delete;
    /// Removes replies that came too late.
    KITH_EXPORT ~sysv_request_client();

    /// Sends a request, waits for its reply and returns how many bytes of it are in `reply`. Errors: `timed_out`,
    /// `stopped` (the request may be served all the same), `truncated` (the reply was longer than the buffer and is
    /// lost), `too_long` (the request for the queue or for the server's buffer, or the reply for its queue),
    /// `peer_gone` (the server refused), `removed`, `forked`, `invalid` (deadline::immediate()).
    [[nodiscard]] KITH_EXPORT result<std::size_t> call(byte_view request, byte_span reply,
                                                       const wait_policy& wait = {}) noexcept;

private:
    sysv_request_client(sys::sysv_mq requests, sys::sysv_mq replies, const request_ticket& self) noexcept
        : requests_{requests}, replies_{replies}, self_{self} {}
    sys::sysv_mq requests_;
    sys::sysv_mq replies_;
    request_ticket self_;
    pid_t owner_ = 0;
};

/// The server's side over a POSIX queue. The queue's name stays until it is unlinked; reply queues of clients that died
/// are removed when the server notices, at the latest with a request about a second later, for the last 64 clients.
class posix_request_server {
public:
    struct options {
        sys::creation create = sys::creation::create_or_open;
        unsigned mode = 0600;
        std::size_t max_messages = 0;
        std::size_t message_size = 0;  ///< bytes, the header included
        sys::leftovers old = sys::leftovers::keep;
        std::chrono::milliseconds reply_patience{1000};
    };
    /// Errors: as sys::posix_mq::open; `too_long` (a name above 230 characters).
    [[nodiscard]] KITH_EXPORT static result<posix_request_server> open(std::string_view name,
                                                                       const options& how) noexcept;
    [[nodiscard]] static result<posix_request_server> open(std::string_view name) noexcept {
        return open(name, options{});
    }
    KITH_EXPORT posix_request_server(posix_request_server&& other) noexcept;
    posix_request_server& operator=(posix_request_server&&) = delete;
    ~posix_request_server() = default;

    /// As sysv_request_server::take.
    [[nodiscard]] KITH_EXPORT result<received_request> take(byte_span buffer, const wait_policy& wait = {}) noexcept;
    /// As sysv_request_server::reply; also `peer_gone` when the client's queue is gone.
    [[nodiscard]] KITH_EXPORT result<void> reply(const request_ticket& to, byte_view body,
                                                 const wait_policy& wait = {}) const noexcept;
    [[nodiscard]] KITH_EXPORT result<void> refuse(const request_ticket& to,
                                                  const wait_policy& wait = {}) const noexcept;

    [[nodiscard]] const sys::posix_mq& requests() const noexcept { return requests_; }
    /// Ends the waits of other threads in take() with `stopped`.
    void close() noexcept { requests_.close(); }

private:
    static constexpr std::size_t longest_name = 230;
    struct known_client {
        std::int64_t address = 0;
        sys::process_identity who{};
    };
    posix_request_server(sys::posix_mq requests, std::string_view name, std::chrono::milliseconds patience) noexcept;
    void remember(const request_ticket& client) noexcept;
    void bury(std::int64_t address) const noexcept;
    void look_for_the_dead() noexcept;
    result<void> answer(const request_ticket& to, std::uint32_t status, byte_view body,
                        const wait_policy& wait) const noexcept;
    sys::posix_mq requests_;
    std::chrono::milliseconds patience_;
    std::uint8_t name_length_;
    char name_[longest_name];
    std::mutex clients_mutex_;  // guards what follows
    known_client clients_[64];
    std::size_t next_client_ = 0;
    deadline::clock::time_point next_look_{};
};

/// A client over POSIX queues; it owns its reply queue.
class posix_request_client {
public:
    /// `reply_size` is the longest reply in bytes, 0: what fits a message of the server's queue. `mode` is of the reply
    /// queue: a server of another user must be allowed to write. Errors: as sys::posix_mq::open.
    [[nodiscard]] KITH_EXPORT static result<posix_request_client> open(std::string_view name,
                                                                       std::size_t reply_size = 0,
                                                                       unsigned mode = 0600) noexcept;
    posix_request_client(posix_request_client&& other) noexcept;
    posix_request_client& operator=(posix_request_client&&) = delete;
    /// Removes the reply queue.
    KITH_EXPORT ~posix_request_client();

    /// As sysv_request_client::call.
    [[nodiscard]] KITH_EXPORT result<std::size_t> call(byte_view request, byte_span reply,
                                                       const wait_policy& wait = {}) noexcept;

private:
    posix_request_client(sys::posix_mq requests, sys::posix_mq replies, const request_ticket& self) noexcept
        : requests_{std::move(requests)}, replies_{std::move(replies)}, self_{self} {}
    sys::posix_mq requests_;
    sys::posix_mq replies_;
    request_ticket self_;
    pid_t owner_ = 0;
    char reply_name_[256] = {};
};

}  // namespace kith::inline KITH_ABI::compose
