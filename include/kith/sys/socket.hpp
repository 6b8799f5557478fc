// kith/sys/socket.hpp - what all sockets share, and a connected stream of bytes over one.
//
// The kernel's own semantics: a read or a write may move less than asked, there are no boundaries. "The other
// side has finished" (`end_of_stream`) and "the other side is gone before its time" (`peer_gone`: reset,
// broken pipe, time-out of the network) are told apart. No SIGPIPE reaches the program (MSG_NOSIGNAL), and no
// call depends on the descriptor's blocking mode (MSG_DONTWAIT).
// That a write succeeded says that the kernel took the bytes, not that the other side did: only its answer does.
// Thread, fork and close rules: kith/io_fd.hpp; several threads may read and write one socket, but their bytes
// may interleave. Signal handlers: no. Crash: a process killed inside a write leaves a prefix of its bytes.
// Man pages: socket(7), send(2), recv(2), shutdown(2).
#pragma once
#include <cstddef>
#include <cstdint>

#include <kith/bytes.hpp>
#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::sys {

/// Which directions of a connection shutdown() ends.
enum class direction : std::uint8_t {
    receive,  ///< nothing more is read here; on a UNIX socket the other side's writes fail
    send,     ///< half-close: the other side reads what was sent, then the end, and may still answer
    both,
};

/// Any socket: its options and its ends. None of these calls waits. Errors of all: `invalid` (not open, or it makes no
/// sense for this socket), `wrong_kind` (no socket), and what is named.
class KITH_EXPORT socket_base : public io_fd {
public:
    using io_fd::io_fd;
    explicit socket_base(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Ends one or both directions for every copy of the socket. Errors: `peer_gone` (not connected).
    [[nodiscard]] result<void> shutdown(direction which) noexcept;
    /// Bytes that could be read now; of a datagram socket the size of the next datagram (FIONREAD).
    [[nodiscard]] result<std::size_t> queued() const noexcept;
    /// Bytes sent that the other side has not taken (UNIX) or not acknowledged (TCP) yet (SIOCOUTQ).
    [[nodiscard]] result<std::size_t> unsent() const noexcept;
    /// Takes the error that waits on the socket, as an errno; 0 if there is none (SO_ERROR).
    [[nodiscard]] result<int> take_error() noexcept;

    /// The kernel's send buffer in bytes, its own bookkeeping included (SO_SNDBUF).
    [[nodiscard]] result<std::size_t> send_buffer() const noexcept;
    /// Asks for a send buffer; the kernel doubles the number and caps it at net.core.wmem_max without saying so.
    [[nodiscard]] result<void> set_send_buffer(std::size_t bytes) noexcept;
    /// The kernel's receive buffer in bytes (SO_RCVBUF).
    [[nodiscard]] result<std::size_t> receive_buffer() const noexcept;
    /// Asks for a receive buffer; doubled and capped as the send buffer. For TCP set it before connecting.
    [[nodiscard]] result<void> set_receive_buffer(std::size_t bytes) noexcept;

    /// Any integer option, for what has no function of its own. Errors: `unsupported` (unknown option or level),
    /// `invalid`, `not_permitted`. getsockopt(2).
    [[nodiscard]] result<int> option(int level, int name) const noexcept;
    [[nodiscard]] result<void> set_option(int level, int name, int value) noexcept;
};

/// A connected stream socket: bytes both ways, each way ended on its own.
class KITH_EXPORT stream_socket : public socket_base {
public:
    using socket_base::socket_base;

    /// Reads what is there, at least one byte, at most `buffer`; waits for the first one. Returns the count
    /// (0 only for an empty buffer). Descriptors that came with the bytes over a UNIX socket are closed by the
    /// kernel unseen: use unix_stream::receive where they are expected.
    /// Errors: `end_of_stream` (the other side finished, and all was read), `peer_gone` (ECONNRESET: it closed
    /// with data of ours unread, or aborted; ETIMEDOUT: the network gave it up), `would_block`, `timed_out`,
    /// `stopped`, `invalid`, `io`.
    [[nodiscard]] result<std::size_t> read_some(byte_span buffer, const wait_policy& wait = {}) noexcept;

    /// Reads until `buffer` is full. `done` counts what has arrived since it was 0: after a failure (any of
    /// read_some's) nothing is lost, and the same call with the same `done` goes on where it stopped.
    [[nodiscard]] result<void> read_full(byte_span buffer, std::size_t& done, const wait_policy& wait = {}) noexcept;

    /// Copies what is there without taking it. Errors: as read_some.
    [[nodiscard]] result<std::size_t> peek(byte_span buffer, const wait_policy& wait = {}) noexcept;

    /// Writes what fits, at least one byte. Returns the count (0 only for empty `bytes`).
    /// Errors: `peer_gone` (EPIPE: the other side closed, or this direction was shut down; ECONNRESET),
    /// `would_block` (no room), `timed_out`, `stopped`, `invalid`, `io`.
    [[nodiscard]] result<std::size_t> write_some(byte_view bytes, const wait_policy& wait = {}) noexcept;

    /// Writes all of `bytes`; `done` as in read_full.
    [[nodiscard]] result<void> write_full(byte_view bytes, std::size_t& done, const wait_policy& wait = {}) noexcept;
};

}  // namespace kith::inline KITH_ABI::sys
