// inet_address - an endpoint as the sockaddr that the kernel wants, and the names of IP sockets.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cstring>

#include <kith/io_fd.hpp>
#include <kith/sys/endpoint.hpp>

#include "base/errors.hpp"

namespace kith::inline KITH_ABI::detail {

struct inet_address {
    explicit inet_address(const sys::endpoint& where) noexcept {
        if (where.version() == sys::ip_version::v4) {
            v4.sin_family = AF_INET;
            v4.sin_port = htons(where.port());
            std::memcpy(&v4.sin_addr, where.address().data(), 4);
            size = sizeof v4;
        } else {
            v6.sin6_family = AF_INET6;
            v6.sin6_port = htons(where.port());
            v6.sin6_scope_id = where.scope();
            std::memcpy(&v6.sin6_addr, where.address().data(), 16);
            size = sizeof v6;
        }
    }
    [[nodiscard]] const sockaddr* get() const noexcept {
        return size == sizeof v4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
    }
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    socklen_t size = 0;
};

[[nodiscard]] constexpr int family_of(sys::ip_version version) noexcept {
    return version == sys::ip_version::v4 ? AF_INET : AF_INET6;
}

/// getsockname or getpeername.
[[nodiscard]] inline result<sys::endpoint> ask_endpoint(const io_fd& socket,
                                                        int (*call)(int, sockaddr*, socklen_t*) noexcept,
                                                        const char* operation) noexcept {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd = socket.native().get();
    if (call(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return fail_os(operation, errno, object_ref::descriptor(fd));
    auto named = sys::endpoint::from_sockaddr(&address, size);
    if (!named) return fail(named.error().about(object_ref::descriptor(fd)));
    return named;
}

}  // namespace kith::inline KITH_ABI::detail
