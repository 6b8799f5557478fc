// kith/sys/tcp.hpp - TCP connections over IPv4 and IPv6.
//
// A stream of bytes without boundaries, authentication or secrecy. The end of the other side's bytes is
// `end_of_stream` (FIN); a reset is `peer_gone`. A peer that closes with bytes of ours unread resets the
// connection: what it had sent before may or may not still be readable. Neither write nor close tells whether
// bytes arrived: only an answer does.
// Thread, fork and close rules: kith/io_fd.hpp and kith/sys/socket.hpp. Outlives the processes: no.
// Fork: parent and child share a connection or a listener. Closing it, abort() included, has its effect when the last
// copy is closed; shutdown() has it at once, for both. Exec: closed. Signal handlers: no.
// Crash: the kernel closes what a killed process had open, so its peers cannot tell this from its own close():
// `end_of_stream` after what it had sent, or `peer_gone` if it left bytes unread. Connections that wait in a killed
// listener's queue are reset. A machine that vanishes tells nobody: use deadlines, set_keep_alive, set_user_timeout.
// Man pages: tcp(7), ip(7), connect(2), accept(2).
#pragma once
#include <chrono>
#include <span>

#include <kith/sys/endpoint.hpp>
#include <kith/sys/socket.hpp>

namespace kith::inline KITH_ABI::sys {

/// How the kernel looks for a dead peer on a connection without traffic. Values are rounded to seconds, and at least
/// one.
struct keep_alive {
    std::chrono::seconds idle{60};      ///< silence before the first probe (TCP_KEEPIDLE)
    std::chrono::seconds interval{10};  ///< between probes (TCP_KEEPINTVL)
    int probes = 5;                     ///< unanswered ones before the connection is given up (TCP_KEEPCNT)
};

/// A connection. Only reading and writing wait. Errors of the calls that set or tell something: `invalid` (not open),
/// and what is named.
class KITH_EXPORT tcp_stream : public stream_socket {
public:
    using stream_socket::stream_socket;

    /// As write_some, and says that more follows: the kernel may hold the bytes back to fill a segment, up to
    /// 200 ms (MSG_MORE).
    [[nodiscard]] result<std::size_t> write_more(byte_view bytes, const wait_policy& wait = {}) noexcept;

    /// Sends small writes at once instead of waiting for the acknowledgement of the last (TCP_NODELAY): for
    /// request and answer.
    [[nodiscard]] result<void> set_no_delay(bool on) noexcept;
    /// Acknowledges at once; the kernel turns it off again as it sees fit (TCP_QUICKACK).
    [[nodiscard]] result<void> set_quick_ack(bool on) noexcept;
    /// Holds partial segments back until it is turned off, at most 200 ms (TCP_CORK).
    [[nodiscard]] result<void> set_cork(bool on) noexcept;
    /// Probes an idle connection; a dead peer then ends waits with `peer_gone`, ETIMEDOUT. Errors: `invalid`
    /// (a value outside what tcp(7) takes).
    [[nodiscard]] result<void> set_keep_alive(const keep_alive& probing) noexcept;
    [[nodiscard]] result<void> set_keep_alive(bool on) noexcept;
    /// Gives the connection up when sent bytes stay unacknowledged that long (TCP_USER_TIMEOUT); zero: the
    /// kernel's default of minutes.
    [[nodiscard]] result<void> set_user_timeout(std::chrono::milliseconds limit) noexcept;

    /// Closes at once with a reset: unsent bytes are dropped, the other side gets `peer_gone` (SO_LINGER 0).
    void abort() noexcept;

    /// The address and the port on this side.
    [[nodiscard]] result<endpoint> local() const noexcept;
    /// Those of the other side. Errors: `peer_gone` (no longer connected).
    [[nodiscard]] result<endpoint> peer() const noexcept;
};

/// How to listen.
struct tcp_listen_options {
    int backlog = 128;  ///< connections that may wait to be accepted, capped by net.core.somaxconn
    /// Bind although connections of an earlier listener linger in TIME_WAIT (SO_REUSEADDR). A listener that is
    /// alive keeps the port in any case.
    bool reuse_address = true;
    bool only_ipv6 = true;  ///< an IPv6 listener takes no IPv4 connections (IPV6_V6ONLY)
};

/// A listener. A leaked copy (inherited by a child) keeps the port: descriptors are close-on-exec.
class KITH_EXPORT tcp_listener : public socket_base {
public:
    using socket_base::socket_base;
    explicit tcp_listener(io_fd fd) noexcept : socket_base{std::move(fd)} {}

    /// Takes the oldest waiting connection. Clients that gave up meanwhile (ECONNABORTED, EPROTO and errors of
    /// their network, accept(2)) are passed over (event `retried`). Out of descriptors or memory, it tries
    /// once more after 50 ms before it reports that, so a loop around it does not spin; the client stays in
    /// the queue. Errors: `would_block`, `timed_out`, `stopped`, `limit_reached` (EMFILE, ENFILE),
    /// `out_of_memory`, `invalid` (closed, or shut down).
    [[nodiscard]] result<tcp_stream> accept(const wait_policy& wait = {}) noexcept;
    /// Where it listens; tells the port if 0 was asked for. Errors: `invalid` (closed).
    [[nodiscard]] result<endpoint> local() const noexcept;
};

/// Listens at `where`; by default on the loopback address, on a port that the kernel chooses.
/// Errors: `exists` (EADDRINUSE), `invalid` (EADDRNOTAVAIL: not an address of this machine), `not_permitted`
/// (ports below net.ipv4.ip_unprivileged_port_start), `unsupported` (no IPv6), `limit_reached`.
[[nodiscard]] KITH_EXPORT result<tcp_listener> listen_tcp(const endpoint& where = {},
                                                          const tcp_listen_options& options = {}) noexcept;

/// Connects. A signal does not restart the attempt: it goes on in the kernel, and kith waits for it. An
/// accidental connection of the socket with itself (possible where `to` is a free local port) is undone and reported
/// as refused.
/// Errors: `peer_gone` (ECONNREFUSED: nobody listens; EHOSTUNREACH, ENETUNREACH; ETIMEDOUT: the kernel gave
/// up, after minutes), `timed_out` (the deadline), `would_block`, `stopped`, `invalid`, `limit_reached`.
[[nodiscard]] KITH_EXPORT result<tcp_stream> connect_tcp(const endpoint& to, const wait_policy& wait = {}) noexcept;

/// Connects to the first endpoint that answers, one after the other, each with the time that is left; reports
/// the last failure. Errors: as above; `invalid` (an empty list).
[[nodiscard]] KITH_EXPORT result<tcp_stream> connect_tcp(std::span<const endpoint> candidates,
                                                         const wait_policy& wait = {}) noexcept;

}  // namespace kith::inline KITH_ABI::sys
