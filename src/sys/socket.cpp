#include <kith/sys/socket.hpp>

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <algorithm>
#include <climits>

#include "base/transfer.hpp"
#include "sys/socket_calls.hpp"

namespace kith::inline KITH_ABI::sys {

result<void> socket_base::shutdown(direction which) noexcept {
    const int how = which == direction::receive ? SHUT_RD : which == direction::send ? SHUT_WR : SHUT_RDWR;
    if (::shutdown(native().get(), how) != 0) return detail::fail_errno("shutdown", native().get());
    return {};
}

result<std::size_t> socket_base::queued() const noexcept {
    int bytes = 0;
    if (::ioctl(native().get(), FIONREAD, &bytes) != 0) return detail::fail_errno("ioctl(FIONREAD)", native().get());
    return static_cast<std::size_t>(bytes);
}

result<std::size_t> socket_base::unsent() const noexcept {
    int bytes = 0;
    if (::ioctl(native().get(), SIOCOUTQ, &bytes) != 0) return detail::fail_errno("ioctl(SIOCOUTQ)", native().get());
    return static_cast<std::size_t>(bytes);
}

result<int> socket_base::option(int level, int name) const noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(native().get(), level, name, &value, &size) != 0)
        return detail::fail_errno("getsockopt", native().get());
    return value;
}

result<void> socket_base::set_option(int level, int name, int value) noexcept {
    return detail::set_socket_option(native(), level, name, value, "setsockopt");
}

result<int> socket_base::take_error() noexcept { return option(SOL_SOCKET, SO_ERROR); }

namespace {

result<std::size_t> buffer_size(const socket_base& socket, int name) noexcept {
    const auto value = socket.option(SOL_SOCKET, name);
    if (!value) return fail(value.error());
    return static_cast<std::size_t>(*value);
}

int clamped(std::size_t bytes) noexcept { return static_cast<int>(std::min<std::size_t>(bytes, INT_MAX)); }

}  // namespace

result<std::size_t> socket_base::send_buffer() const noexcept { return buffer_size(*this, SO_SNDBUF); }
result<std::size_t> socket_base::receive_buffer() const noexcept { return buffer_size(*this, SO_RCVBUF); }
result<void> socket_base::set_send_buffer(std::size_t bytes) noexcept {
    return set_option(SOL_SOCKET, SO_SNDBUF, clamped(bytes));
}
result<void> socket_base::set_receive_buffer(std::size_t bytes) noexcept {
    return set_option(SOL_SOCKET, SO_RCVBUF, clamped(bytes));
}

result<std::size_t> stream_socket::read_some(byte_span buffer, const wait_policy& wait) noexcept {
    if (buffer.empty()) return 0;
    return detail::transfer<detail::zero::is_the_end>(
        *this, POLLIN, wait, "recv", [&](int fd) { return ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT); },
        detail::connection_code);
}

result<void> stream_socket::read_full(byte_span buffer, std::size_t& done, const wait_policy& wait) noexcept {
    return detail::transfer_full(buffer.size(), done, [&](auto at) { return read_some(buffer.subspan(at), wait); });
}

result<std::size_t> stream_socket::peek(byte_span buffer, const wait_policy& wait) noexcept {
    if (buffer.empty()) return 0;
    return detail::transfer<detail::zero::is_the_end>(
        *this, POLLIN, wait, "recv(MSG_PEEK)",
        [&](int fd) { return ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_PEEK); },
        detail::connection_code);
}

result<std::size_t> stream_socket::write_some(byte_view bytes, const wait_policy& wait) noexcept {
    if (bytes.empty()) return 0;
    return detail::transfer(
        *this, POLLOUT, wait, "send",
        [&](int fd) { return ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL); },
        detail::connection_code);
}

result<void> stream_socket::write_full(byte_view bytes, std::size_t& done, const wait_policy& wait) noexcept {
    return detail::transfer_full(bytes.size(), done, [&](auto at) { return write_some(bytes.subspan(at), wait); });
}

}  // namespace kith::inline KITH_ABI::sys
