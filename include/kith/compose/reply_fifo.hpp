// kith/compose/reply_fifo.hpp - requests through one well-known FIFO, replies through a private FIFO per client.
//
// Any number of clients, one server. A request is one write of at most PIPE_BUF bytes, so requests of several clients
// stay whole; it begins with a line that names the client's private FIFO. That one lies beside the well-known FIFO, as
// NAME.reply.TOKEN, so a request cannot make the server write anywhere else. Replies have any length and say it, so
// a reply that was cut by the server's death is told from a whole one. A shell can be the client or the server:
// docs/formats/reply_fifo.md is the convention.
// Clients write to one stream and must trust each other not to garble it. They need write permission in the directory,
// for their private FIFO; a server of another user needs a `reply_mode` that lets it write. A client that guesses
// another's token can send it bytes; it would have to guess the 64 random bits of the request's id as well.
// Crash: a client killed between request and reply leaves its private FIFO, which the server removes when it finds it
// without a reader. A server killed at any point ends its clients' calls with `peer_gone`; whether it did what was
// asked is then unknown. Requests that are queued stay while any client is connected, and the next server gets them.
// Threads, fork, signals: with each class.
#pragma once
#include <sys/types.h>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <kith/sys/fifo.hpp>

namespace kith::inline KITH_ABI::compose {

/// The longest request, in bytes: PIPE_BUF less the room for the line before it.
inline constexpr std::size_t reply_fifo_request_max = sys::pipe_atomic_bytes - 128;

/// Whom to answer, and about what. A value that may outlive the call that made it, and be used in any order.
struct reply_to {
    static constexpr std::size_t token_capacity = 64;
    std::uint64_t id = 0;
    std::array<char, token_capacity + 1> token{};  ///< NUL-terminated: letters, digits, '-' and '_'
};

/// The server of a well-known FIFO.
/// Thread safety: receive() by one thread at a time; reply() and refuse() from any threads beside it.
/// Fork: the child must not use it. Signal handlers: no.
class reply_server {
public:
    /// Opens the FIFO for reading and writing (so that it never ends) and keeps other servers out with flock(2).
    /// Errors: `exists` (must_be_new, or another server has it), `not_found`, `wrong_kind`, `not_permitted`, ...
    [[nodiscard]] KITH_EXPORT static result<reply_server> open(std::string_view path,
                                                               sys::creation policy = sys::creation::create_or_open,
                                                               mode_t mode = 0600) noexcept;

    /// One request: its body in `body`, and how long that is.
    struct request {
        reply_to from;
        std::size_t size = 0;
    };
    /// Takes the next request. `body` must hold `reply_fifo_request_max` bytes. Errors: `would_block`, `timed_out`,
    /// `stopped`; `bad_peer`: bytes that are no request were thrown away, the next call goes on behind them; `invalid`.
    [[nodiscard]] KITH_EXPORT result<request> receive(byte_span body, const wait_policy& wait = {}) noexcept;

    /// Sends the reply. The wait is for a client that reads slowly. Errors: `peer_gone` (the client has left, with
    /// ENXIO, ENOENT or EPIPE; its private FIFO is removed: event `stale_removed`), `wrong_kind` (something else has
    /// that name), `not_permitted`, `would_block`, `timed_out`, `stopped` (the client has a part of it, and sees that).
    [[nodiscard]] KITH_EXPORT result<void> reply(const reply_to& to, byte_view body,
                                                 const wait_policy& wait = {}) const noexcept;

    /// Tells the client that there will be no reply: its call ends with `peer_gone`. Errors: as reply.
    [[nodiscard]] KITH_EXPORT result<void> refuse(const reply_to& to) const noexcept;

    /// Ends a receive() of another thread with `stopped`.
    void close() noexcept { fifo_.close(); }
    [[nodiscard]] borrowed_fd native() const noexcept { return fifo_.native(); }

private:
    reply_server() noexcept = default;
    [[nodiscard]] result<sys::fifo_writer> open_reply(const reply_to& to) const noexcept;

    sys::fifo_both fifo_;
    owned_fd directory_;
    std::array<char, 256> name_{};
    std::array<std::byte, sys::pipe_atomic_bytes> unread_{};
    std::size_t filled_ = 0;
};

/// A client: the well-known FIFO, open for writing, and a private one, removed with the object.
/// Thread safety: one call at a time. Fork: the child must not use it. Signal handlers: no.
class reply_client {
public:
    /// Waits for a server. Errors: as sys::open_fifo_writer and sys::create_fifo.
    [[nodiscard]] KITH_EXPORT static result<reply_client> open(std::string_view path, const wait_policy& wait = {},
                                                               mode_t reply_mode = 0600) noexcept;
    KITH_EXPORT reply_client(reply_client&&) noexcept;
    KITH_EXPORT reply_client& operator=(reply_client&&) noexcept;
    KITH_EXPORT ~reply_client();

    /// Sends a request of at most `reply_fifo_request_max` bytes and waits for its reply; returns the reply's length.
    /// After a failure, or while the server has not closed the last reply, the next call uses a new private FIFO, so a
    /// late reply cannot be taken for another's.
    /// Errors: `too_long` (nothing was sent), `peer_gone` (no server, it died, or it refused), `truncated` (the reply
    /// is longer than `reply`; it is lost), `bad_peer` (no reply of this convention), `timed_out`, `would_block`,
    /// `stopped`.
    [[nodiscard]] KITH_EXPORT result<std::size_t> call(byte_view request, byte_span reply,
                                                       const wait_policy& wait = {}) noexcept;

private:
    reply_client() noexcept = default;
    [[nodiscard]] result<void> make_private_fifo() noexcept;
    [[nodiscard]] bool last_reply_ended() noexcept;
    [[nodiscard]] result<void> listen_again() noexcept;
    void withdraw() noexcept;
    [[nodiscard]] result<std::size_t> read_reply(byte_span into, const wait_policy& wait) noexcept;
    [[nodiscard]] result<std::size_t> receive(std::uint64_t id, byte_span reply, const wait_policy& wait) noexcept;

    sys::fifo_writer server_;
    sys::fifo_reader replies_;
    io_fd watch_;  // epoll: replies_ has bytes or ended, server_ lost its reader
    owned_fd directory_;
    std::array<char, 256> name_{};
    reply_to self_;
    mode_t mode_ = 0;
    pid_t owner_ = 0;
    bool clean_ = false;  // the private FIFO is there and nothing is owed on it
};

}  // namespace kith::inline KITH_ABI::compose
