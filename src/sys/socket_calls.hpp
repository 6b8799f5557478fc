// socket_calls - opening, accepting and small waits: what the socket files share.
#pragma once
#include <sys/socket.h>
#include <cerrno>
#include <chrono>

#include <kith/sys/socket.hpp>

#include "base/errors.hpp"

namespace kith::inline KITH_ABI::detail {

/// On a connection ETIMEDOUT is the network's verdict about the peer, never our deadline.
[[nodiscard]] inline errc connection_code(int os_error) noexcept {
    return os_error == ETIMEDOUT ? errc::peer_gone : code_for(os_error);
}

/// A socket, non-blocking and close-on-exec from birth.
[[nodiscard]] result<owned_fd> open_socket(int domain, int type, int protocol = 0) noexcept;

[[nodiscard]] inline result<void> set_socket_option(borrowed_fd fd, int level, int name, int value,
                                                    const char* operation) noexcept {
    if (::setsockopt(fd.get(), level, name, &value, sizeof value) != 0)
        return fail_os(operation, errno, object_ref::descriptor(fd.get()));
    return {};
}

/// connect(2) of a datagram socket, which never waits. 0, or -1 with errno other than EINTR.
[[nodiscard]] int connect_datagrams(borrowed_fd fd, const sockaddr* to, socklen_t size) noexcept;

/// Sleeps `span` where poll(2) knows nothing of what is waited for; closing the object ends it. Success: look again.
[[nodiscard]] result<void> pause(const io_fd& object, std::chrono::nanoseconds span, const wait_policy& wait,
                                 const char* operation) noexcept;

/// accept4(2) with the rules that kith/sys/tcp.hpp and unix_socket.hpp state.
[[nodiscard]] result<owned_fd> accept_connection(const io_fd& listener, const wait_policy& wait) noexcept;

}  // namespace kith::inline KITH_ABI::detail
