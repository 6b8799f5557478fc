#include <kith/sys/unix_socket.hpp>

#include <sys/socket.h>
#include <type_traits>

#include "base/backoff.hpp"
#include "base/errors.hpp"
#include "sys/socket_calls.hpp"
#include "sys/unix_address.hpp"
#include "sys/unix_message.hpp"

namespace kith::inline KITH_ABI::sys {

result<std::size_t> unix_stream::send(byte_view bytes, const attachments& with, const wait_policy& wait) noexcept {
    // The kernel would take the descriptors, send nothing and say nothing.
    if (bytes.empty()) {
        if (with.descriptors.empty() && !with.credentials) return 0;
        return fail(errc::invalid, "sendmsg", EINVAL, object_ref::descriptor(native().get()));
    }
    return detail::send_unix(*this, bytes, with, nullptr, wait);
}

result<received> unix_stream::receive(byte_span buffer, std::span<owned_fd> descriptors,
                                      const wait_policy& wait) noexcept {
    if (buffer.empty()) return fail(errc::invalid, "recvmsg", EINVAL, object_ref::descriptor(native().get()));
    return detail::receive_unix(*this, detail::boundaries::none, buffer, descriptors, wait);
}

result<unix_seqpacket> unix_seqpacket::adopt(owned_fd fd) noexcept {
    auto object = io_fd::adopt(std::move(fd));
    if (!object) return fail(object.error());
    unix_seqpacket socket{std::move(*object)};
    const auto type = socket.option(SOL_SOCKET, SO_TYPE);
    if (!type) return fail(type.error());
    if (*type != SOCK_SEQPACKET)
        return fail(errc::wrong_type, "getsockopt(SO_TYPE)", 0, object_ref::descriptor(socket.native().get()));
    if (auto marked = detail::mark_packets(socket.native()); !marked) return fail(marked.error());
    return socket;
}

result<void> unix_seqpacket::send(byte_view packet, const wait_policy& wait) noexcept { return send(packet, {}, wait); }

result<void> unix_seqpacket::send(byte_view packet, const attachments& with, const wait_policy& wait) noexcept {
    if (auto sent = detail::send_unix(*this, packet, with, nullptr, wait); !sent) return fail(sent.error());
    return {};
}

result<received> unix_seqpacket::receive(byte_span buffer, std::span<owned_fd> descriptors,
                                         const wait_policy& wait) noexcept {
    return detail::receive_unix(*this, detail::boundaries::packets, buffer, descriptors, wait);
}

result<received> unix_seqpacket::peek(byte_span buffer, const wait_policy& wait) noexcept {
    return detail::peek_unix(*this, detail::boundaries::packets, buffer, wait);
}

namespace {

template <class Socket>
result<socket_pair<Socket>> open_pair(int type) noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return detail::fail_os("socketpair", errno);
    owned_fd first{ends[0]};
    owned_fd second{ends[1]};
    if constexpr (std::is_same_v<Socket, unix_seqpacket>) {
        auto a = unix_seqpacket::adopt(std::move(first));
        if (!a) return fail(a.error());
        auto b = unix_seqpacket::adopt(std::move(second));
        if (!b) return fail(b.error());
        return socket_pair<Socket>{std::move(*a), std::move(*b)};
    } else {
        return socket_pair<Socket>{Socket{std::move(first), fd_mode::nonblocking},
                                   Socket{std::move(second), fd_mode::nonblocking}};
    }
}

result<io_fd> connect_to(const unix_name& to, int type, const wait_policy& wait) noexcept {
    auto fd = detail::open_socket(AF_UNIX, type);
    if (!fd) return fail(fd.error().about(to.about()));
    io_fd socket{std::move(*fd), fd_mode::nonblocking};
    const detail::unix_address address{to};
    std::optional<detail::backoff> looks;
    for (bool interrupted = false;;) {
        if (::connect(socket.native().get(), address.get(), address.size) == 0) return socket;
        const int os_error = errno;
        if (interrupted && os_error == EISCONN) return socket;  // the first attempt went on, and succeeded
        if (os_error == EINTR && wait.signal == on_signal::retry) {
            interrupted = true;
            continue;
        }
        // EAGAIN, not EINPROGRESS: nothing is under way, and there is nothing to poll for.
        if (os_error != EAGAIN) return detail::fail_os("connect", os_error, to.about());
        if (!looks) looks.emplace(wait, "connect", to.about());
        if (auto again = looks->pause(EAGAIN); !again) return fail(again.error());
    }
}

}  // namespace

result<socket_pair<unix_stream>> open_unix_stream_pair() noexcept { return open_pair<unix_stream>(SOCK_STREAM); }
result<socket_pair<unix_seqpacket>> open_unix_seqpacket_pair() noexcept {
    return open_pair<unix_seqpacket>(SOCK_SEQPACKET);
}
result<socket_pair<unix_datagram>> open_unix_datagram_pair() noexcept { return open_pair<unix_datagram>(SOCK_DGRAM); }

result<unix_stream> connect_unix_stream(const unix_name& to, const wait_policy& wait) noexcept {
    auto socket = connect_to(to, SOCK_STREAM, wait);
    if (!socket) return fail(socket.error());
    return unix_stream{std::move(*socket)};
}

result<unix_seqpacket> connect_unix_seqpacket(const unix_name& to, const wait_policy& wait) noexcept {
    auto socket = connect_to(to, SOCK_SEQPACKET, wait);
    if (!socket) return fail(socket.error());
    return unix_seqpacket::adopt(socket->release());
}

}  // namespace kith::inline KITH_ABI::sys
