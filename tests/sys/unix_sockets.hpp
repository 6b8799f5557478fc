// unix_sockets - names, connections and raw sockets for the tests of UNIX sockets.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>
#include <cstring>
#include <kith/sys/unix_listener.hpp>
#include <kith/sys/unix_socket.hpp>
#include <string>
#include <utility>

#include "support/scope.hpp"

namespace kith_test {

inline kith::sys::unix_name abstract_name(const std::string& hint) {
    return *kith::sys::unix_name::abstract(unique_name(hint));
}

/// Two ends of one stream.
struct connection {
    kith::sys::unix_stream client;
    kith::sys::unix_stream server;
};
inline connection connected() {
    auto listener = must(kith::sys::listen_unix_stream(kith::sys::unix_name{}));
    auto client = must(kith::sys::connect_unix_stream(*kith::sys::local_name(listener)));
    auto server = must(listener.accept());
    return {std::move(client), std::move(server)};
}

/// What a receive brings as text, or the name of its failure.
template <class Socket>
std::string text_from(Socket& socket, std::size_t most = 100) {
    auto buffer = block(most);
    const auto got = socket.receive(buffer, {}, kith::deadline::in(10s));
    if (!got) return std::string{kith::name_of(got.error().code())};
    return std::string{kith::text_of(buffer).substr(0, got->size)};
}

/// A socket without kith, and an address with exactly these bytes as its path.
inline int raw(int type) { return ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0); }
inline sockaddr_un raw_address(const std::string& path_bytes) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_bytes.data(), path_bytes.size());
    return address;
}

}  // namespace kith_test
