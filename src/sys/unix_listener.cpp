#include <kith/sys/unix_listener.hpp>

#include <sys/socket.h>

#include "base/errors.hpp"
#include "sys/socket_calls.hpp"
#include "sys/unix_message.hpp"

namespace kith::inline KITH_ABI::sys {

unix_listener& unix_listener::operator=(unix_listener&& other) noexcept {
    if (this != &other) {
        close();
        claim_ = std::move(other.claim_);
        socket_base::operator=(std::move(other));
    }
    return *this;
}

void unix_listener::close() noexcept {
    // The path goes first: whoever connects in between is refused, not left in a queue that nobody reads.
    claim_.withdraw();
    socket_base::close();
}

void unix_listener::close_and_leave_path() noexcept {
    claim_.leave();
    socket_base::close();
}

result<unix_stream> unix_stream_listener::accept(const wait_policy& wait) noexcept {
    auto fd = detail::accept_connection(*this, wait);
    if (!fd) return fail(fd.error());
    return result<unix_stream>{std::in_place, std::move(*fd), fd_mode::nonblocking};
}

result<unix_seqpacket> unix_seqpacket_listener::accept(const wait_policy& wait) noexcept {
    auto fd = detail::accept_connection(*this, wait);
    if (!fd) return fail(fd.error());
    return unix_seqpacket::adopt(std::move(*fd));
}

namespace {

template <class Listener>
result<Listener> listen_on(const unix_name& name, int type, const unix_listen_options& options) noexcept {
    auto fd = detail::open_socket(AF_UNIX, type);
    if (!fd) return fail(fd.error().about(name.about()));
    socket_base socket{std::move(*fd), fd_mode::nonblocking};
    auto claim = unix_path_claim::bind(socket, name, options.bind);
    if (!claim) return fail(claim.error());
    if (::listen(socket.native().get(), options.backlog) != 0) return detail::fail_os("listen", errno, name.about());
    return Listener{io_fd{socket.release(), fd_mode::nonblocking}, std::move(*claim)};
}

}  // namespace

result<unix_stream_listener> listen_unix_stream(const unix_name& name, const unix_listen_options& options) noexcept {
    return listen_on<unix_stream_listener>(name, SOCK_STREAM, options);
}

result<unix_seqpacket_listener> listen_unix_seqpacket(const unix_name& name,
                                                      const unix_listen_options& options) noexcept {
    return listen_on<unix_seqpacket_listener>(name, SOCK_SEQPACKET, options);
}

}  // namespace kith::inline KITH_ABI::sys
