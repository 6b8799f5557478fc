#include <sys/socket.h>

#include <kith/sys/unix_socket.hpp>

#include "base/errors.hpp"
#include "sys/socket_calls.hpp"
#include "sys/unix_address.hpp"
#include "sys/unix_message.hpp"

namespace kith::inline KITH_ABI::sys {

unix_datagram& unix_datagram::operator=(unix_datagram&& other) noexcept {
    if (this != &other) {
        close();
        claim_ = std::move(other.claim_);
        socket_base::operator=(std::move(other));
    }
    return *this;
}

void unix_datagram::close() noexcept {
    claim_.withdraw();
    socket_base::close();
}

result<void> unix_datagram::connect(const unix_name& to) noexcept {
    const detail::unix_address address{to};
    if (detail::connect_datagrams(native(), address.get(), address.size) != 0)
        return detail::fail_os("connect", errno, to.about());
    return {};
}

result<void> unix_datagram::send(byte_view datagram, const wait_policy& wait) noexcept {
    return send(datagram, {}, wait);
}

result<void> unix_datagram::send(byte_view datagram, const attachments& with, const wait_policy& wait) noexcept {
    const auto sent = detail::send_unix(*this, datagram, with, nullptr, wait);
    if (sent) return {};
    // A datagram socket without a receiver is the caller's mistake, not a peer that left.
    if (sent.error().os_error() == ENOTCONN)
        return fail(errc::invalid, sent.error().operation(), ENOTCONN, sent.error().object());
    return fail(sent.error());
}

result<void> unix_datagram::send_to(const unix_name& to, byte_view datagram, const attachments& with,
                                    const wait_policy& wait) noexcept {
    if (auto sent = detail::send_unix(*this, datagram, with, &to, wait); !sent) return fail(sent.error());
    return {};
}

result<received> unix_datagram::receive(byte_span buffer, std::span<owned_fd> descriptors,
                                        const wait_policy& wait) noexcept {
    return detail::receive_unix(*this, detail::boundaries::datagrams, buffer, descriptors, wait);
}

result<received> unix_datagram::peek(byte_span buffer, const wait_policy& wait) noexcept {
    return detail::peek_unix(*this, detail::boundaries::datagrams, buffer, wait);
}

result<unix_datagram> open_unix_datagram() noexcept {
    auto fd = detail::open_socket(AF_UNIX, SOCK_DGRAM);
    if (!fd) return fail(fd.error());
    return result<unix_datagram>{std::in_place, std::move(*fd), fd_mode::nonblocking};
}

result<unix_datagram> bind_unix_datagram(const unix_name& name, const unix_bind_options& options) noexcept {
    auto socket = open_unix_datagram();
    if (!socket) return fail(socket.error().about(name.about()));
    auto claim = unix_path_claim::bind(*socket, name, options);
    if (!claim) return fail(claim.error());
    return unix_datagram{io_fd{socket->release(), fd_mode::nonblocking}, std::move(*claim)};
}

}  // namespace kith::inline KITH_ABI::sys
