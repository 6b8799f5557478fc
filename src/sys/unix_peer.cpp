// unix_peer - who is at the other end of a UNIX socket, and which attachments a socket takes.
#include <sys/socket.h>
#include <sys/un.h>

#include <kith/sys/unix_socket.hpp>

#include "base/errors.hpp"
#include "base/uapi.hpp"
#include "sys/socket_calls.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

object_ref self(const socket_base& socket) noexcept { return object_ref::descriptor(socket.native().get()); }

using name_call = int (*)(int, sockaddr*, socklen_t*) noexcept;

result<unix_name> ask_name(const socket_base& socket, name_call call, const char* operation) noexcept {
    sockaddr_un address{};
    socklen_t size = sizeof address;
    if (call(socket.native().get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return detail::fail_os(operation, errno, self(socket));
    return unix_name::from_sockaddr(&address, size);
}

}  // namespace

result<peer_credentials> peer_of(const socket_base& socket) noexcept {
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(socket.native().get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
        return detail::fail_os("getsockopt(SO_PEERCRED)", errno, self(socket));
    // A socket without a peer is answered with pid 0 and ids that nobody has.
    if (who.pid == 0 && who.uid == static_cast<uid_t>(-1))
        return fail(errc::peer_gone, "getsockopt(SO_PEERCRED)", ENOTCONN, self(socket));
    return peer_credentials{.pid = who.pid, .uid = who.uid, .gid = who.gid};
}

result<owned_fd> peer_pidfd(const socket_base& socket) noexcept {
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    if (::getsockopt(socket.native().get(), SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) return owned_fd{pidfd};
    const int os_error = errno;
    // ENODATA: no peer. EINVAL, later ESRCH: the peer has been reaped, on kernels before 6.16.
    const bool gone = os_error == ENODATA || os_error == EINVAL || os_error == ESRCH;
    return fail(gone ? errc::peer_gone : detail::code_for(os_error), "getsockopt(SO_PEERPIDFD)", os_error,
                self(socket));
}

result<std::size_t> peer_groups(const socket_base& socket, std::span<gid_t> groups) noexcept {
    auto size = static_cast<socklen_t>(groups.size_bytes());
    if (::getsockopt(socket.native().get(), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
        const int os_error = errno;
        const errc code = os_error == ERANGE    ? errc::too_long
                          : os_error == ENODATA ? errc::peer_gone
                                                : detail::code_for(os_error);
        return fail(code, "getsockopt(SO_PEERGROUPS)", os_error, self(socket));
    }
    return size / sizeof(gid_t);
}

result<std::size_t> peer_security(const socket_base& socket, std::span<char> label) noexcept {
    auto size = static_cast<socklen_t>(label.size());
    if (::getsockopt(socket.native().get(), SOL_SOCKET, SO_PEERSEC, label.data(), &size) != 0) {
        const int os_error = errno;
        return fail(os_error == ERANGE ? errc::too_long : detail::code_for(os_error), "getsockopt(SO_PEERSEC)",
                    os_error, self(socket));
    }
    return size;
}

result<unix_name> local_name(const socket_base& socket) noexcept {
    return ask_name(socket, ::getsockname, "getsockname");
}
result<unix_name> peer_name(const socket_base& socket) noexcept {
    return ask_name(socket, ::getpeername, "getpeername");
}

result<void> set_receive_credentials(socket_base& socket, bool on) noexcept {
    return detail::set_socket_option(socket.native(), SOL_SOCKET, SO_PASSCRED, on, "setsockopt(SO_PASSCRED)");
}
result<void> set_receive_pidfd(socket_base& socket, bool on) noexcept {
    return detail::set_socket_option(socket.native(), SOL_SOCKET, SO_PASSPIDFD, on, "setsockopt(SO_PASSPIDFD)");
}
result<void> set_receive_descriptors(socket_base& socket, bool on) noexcept {
    return detail::set_socket_option(socket.native(), SOL_SOCKET, SO_PASSRIGHTS, on, "setsockopt(SO_PASSRIGHTS)");
}

}  // namespace kith::inline KITH_ABI::sys
