#include <kith/sys/udp.hpp>

#include <sys/uio.h>
#include <algorithm>

#include "base/transfer.hpp"
#include "sys/inet_address.hpp"
#include "sys/socket_calls.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

result<udp_socket> open_for(const endpoint& where) noexcept {
    auto fd = detail::open_socket(detail::family_of(where.version()), SOCK_DGRAM);
    if (!fd) return fail(fd.error().about(where.about()));
    return result<udp_socket>{std::in_place, std::move(*fd), fd_mode::nonblocking};
}

errc send_code(int os_error) noexcept {
    return os_error == EDESTADDRREQ ? errc::invalid : detail::connection_code(os_error);
}

result<received_datagram> receive_from(const io_fd& socket, byte_span buffer, const wait_policy& wait, int flags,
                                       const char* operation) noexcept {
    sockaddr_in6 from;  // room for both versions
    iovec part{buffer.data(), buffer.size()};
    // A call that fails leaves it as it is.
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const auto count = detail::transfer(
        socket, POLLIN, wait, operation,
        [&message, flags](int fd) { return ::recvmsg(fd, &message, flags | MSG_DONTWAIT | MSG_TRUNC); },
        detail::connection_code);
    if (!count) return fail(count.error());
    const auto sender = endpoint::from_sockaddr(&from, message.msg_namelen);
    if (!sender) return fail(sender.error().about(object_ref::descriptor(socket.native().get())));
    return received_datagram{.size = std::min(*count, buffer.size()),
                             .real_size = *count,
                             .truncated = (message.msg_flags & MSG_TRUNC) != 0,
                             .from = *sender};
}

}  // namespace

result<void> udp_socket::connect(const endpoint& to) noexcept {
    const detail::inet_address address{to};
    if (detail::connect_datagrams(native(), address.get(), address.size) != 0)
        return detail::fail_os("connect", errno, to.about());
    return {};
}

result<void> udp_socket::send(byte_view datagram, const wait_policy& wait) noexcept {
    return detail::transfer_as(
        *this, POLLOUT, wait, "send",
        [&](int fd) { return ::send(fd, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL); }, send_code,
        [](std::size_t) {});
}

result<void> udp_socket::send_to(const endpoint& to, byte_view datagram, const wait_policy& wait) noexcept {
    const detail::inet_address address{to};
    const auto sent = detail::transfer(
        *this, POLLOUT, wait, "sendto",
        [&](int fd) {
            return ::sendto(fd, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL, address.get(),
                            address.size);
        },
        send_code);
    if (!sent) return fail(sent.error().about(to.about()));
    return {};
}

result<received_datagram> udp_socket::receive(byte_span buffer, const wait_policy& wait) noexcept {
    return receive_from(*this, buffer, wait, 0, "recvmsg");
}
result<received_datagram> udp_socket::peek(byte_span buffer, const wait_policy& wait) noexcept {
    return receive_from(*this, buffer, wait, MSG_PEEK, "recvmsg(MSG_PEEK)");
}

result<endpoint> udp_socket::local() const noexcept {
    return detail::ask_endpoint(*this, ::getsockname, "getsockname");
}
result<endpoint> udp_socket::peer() const noexcept { return detail::ask_endpoint(*this, ::getpeername, "getpeername"); }

result<udp_socket> bind_udp(const endpoint& where, const udp_bind_options& options) noexcept {
    auto socket = open_for(where);
    if (!socket) return socket;
    if (options.reuse_address) {
        if (auto set = socket->set_option(SOL_SOCKET, SO_REUSEADDR, 1); !set) return fail(set.error());
    }
    if (where.version() == ip_version::v6) {
        if (auto set = socket->set_option(IPPROTO_IPV6, IPV6_V6ONLY, options.only_ipv6); !set) return fail(set.error());
    }
    const detail::inet_address address{where};
    if (::bind(socket->native().get(), address.get(), address.size) != 0)
        return detail::fail_os("bind", errno, where.about());
    return socket;
}

result<udp_socket> connect_udp(const endpoint& to) noexcept {
    auto socket = open_for(to);
    if (!socket) return socket;
    if (auto connected = socket->connect(to); !connected) return fail(connected.error());
    return socket;
}

}  // namespace kith::inline KITH_ABI::sys
