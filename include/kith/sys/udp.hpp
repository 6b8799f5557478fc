// kith/sys/udp.hpp - UDP datagrams over IPv4 and IPv6.
//
// Datagrams keep their boundaries; they may be lost, doubled or reordered, also on one machine: a receiver whose
// buffer is full loses them, and nobody is told. An empty datagram is a datagram. No authentication: the
// sender's address can be forged.
// Thread, fork and close rules: kith/io_fd.hpp; several threads may send and receive on one socket, datagrams
// stay whole. Fork: parent and child share a socket and its queue: each datagram goes to one of them. Exec: closed.
// Signal handlers: no. Crash: a datagram is sent whole or not at all. What a killed process had not received is lost,
// and its port is free. Outlives the processes: no. Man pages: udp(7), ip(7), sendto(2), recvmsg(2).
#pragma once
#include <kith/sys/endpoint.hpp>
#include <kith/sys/socket.hpp>

namespace kith::inline KITH_ABI::sys {

/// The most bytes that one datagram over IPv4 can carry. More than one MTU (1500 less headers) is sent in
/// fragments, and lost whole if one of them is.
inline constexpr std::size_t max_udp_payload = 65507;

/// What a receive returned beside the bytes.
struct received_datagram {
    std::size_t size = 0;       ///< bytes in the buffer
    std::size_t real_size = 0;  ///< bytes of the datagram; more than `size` if it was cut
    bool truncated = false;     ///< the buffer was too small, and the rest is lost
    endpoint from = {};         ///< the sender
};

/// How to bind.
struct udp_bind_options {
    bool reuse_address = false;  ///< several sockets may share the port; which of them receives is the kernel's choice
    bool only_ipv6 = true;       ///< an IPv6 socket takes no IPv4 datagrams (IPV6_V6ONLY)
};

/// A socket, connected to one peer or not.
class KITH_EXPORT udp_socket : public socket_base {
public:
    using socket_base::socket_base;

    /// Fixes the receiver of send(), and receives from it alone. Only then refusals are heard of. Never waits.
    /// Errors: `peer_gone` (ENETUNREACH), `unsupported` (the other IP version), `not_permitted` (broadcast).
    [[nodiscard]] result<void> connect(const endpoint& to) noexcept;

    /// Sends one datagram to the connected peer. Success says that it left, not that it arrived. Errors:
    /// `too_long` (EMSGSIZE), `peer_gone` (ECONNREFUSED: an earlier datagram was answered by ICMP that nobody
    /// has the port; this one was not sent), `invalid` (EDESTADDRREQ: not connected), `would_block`,
    /// `timed_out`, `stopped`.
    [[nodiscard]] result<void> send(byte_view datagram, const wait_policy& wait = {}) noexcept;
    /// The same to anyone; refusals are not heard of. Errors: as send, and `unsupported` (EAFNOSUPPORT: the other IP
    /// version), `peer_gone` (ENETUNREACH), `not_permitted` (broadcast).
    [[nodiscard]] result<void> send_to(const endpoint& to, byte_view datagram, const wait_policy& wait = {}) noexcept;

    /// Receives one datagram. One longer than the buffer is cut, and `truncated` and `real_size` say so.
    /// Errors: `would_block`, `timed_out`, `stopped`, `peer_gone` (ECONNREFUSED, connected sockets only).
    [[nodiscard]] result<received_datagram> receive(byte_span buffer, const wait_policy& wait = {}) noexcept;
    /// Looks at the next datagram without taking it. Errors: as receive.
    [[nodiscard]] result<received_datagram> peek(byte_span buffer, const wait_policy& wait = {}) noexcept;

    /// The address and the port on this side. Errors: `invalid` (closed).
    [[nodiscard]] result<endpoint> local() const noexcept;
    /// The receiver of send(). Errors: `peer_gone` (not connected), `invalid` (closed).
    [[nodiscard]] result<endpoint> peer() const noexcept;
};

/// A socket bound to `where`; by default to the loopback address, on a port that the kernel chooses. Errors:
/// `exists` (EADDRINUSE), `invalid` (EADDRNOTAVAIL), `not_permitted` (low ports), `unsupported`, `limit_reached`.
[[nodiscard]] KITH_EXPORT result<udp_socket> bind_udp(const endpoint& where = {},
                                                      const udp_bind_options& options = {}) noexcept;

/// A socket that sends from a port the kernel chooses, connected to `to`. Errors: as bind_udp and connect.
[[nodiscard]] KITH_EXPORT result<udp_socket> connect_udp(const endpoint& to) noexcept;

}  // namespace kith::inline KITH_ABI::sys
