#include "backends/inet_text.hpp"

#include <fmt/format.h>
#include <cerrno>

namespace kith_cli {

using kith::errc;
using kith::sys::endpoint;

outcome<kith::sys::endpoint_list> endpoints_of(const kith::address& where) {
    auto found = kith::sys::resolve(where.name(), std::to_string(where.port()));
    if (found) return *found;
    failure why{found.error()};
    if (found.error().code() == errc::not_found)
        why.reason = fmt::format("no address is known for the host '{}'", where.name());
    else if (found.error().code() == errc::io)
        why.reason = fmt::format("no name server tells the address of '{}' now", where.name());
    if (!why.reason.empty()) why.tries.emplace_back("a numeric address, as 127.0.0.1 or [::1]");
    return std::unexpected{std::move(why)};
}

kith::address address_of(kith::scheme mechanism, const endpoint& real, const kith::address& otherwise) {
    const auto text = real.text();
    auto host = text.view().substr(0, text.view().rfind(':'));
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    const auto made = kith::address::of_inet(mechanism, host, real.port());
    return made ? *made : otherwise;
}

std::unexpected<failure> inet_bind_failure(const kith::address& where, const kith::error& error) {
    failure why{error};
    if (error.code() == errc::exists) {
        why.reason = fmt::format("port {} is in use", where.port());
        why.tries.emplace_back("another port; with port 0 the kernel chooses one");
    } else if (error.os_error() == EADDRNOTAVAIL) {
        why.reason = fmt::format("'{}' is no address of this machine", where.name());
        why.tries.emplace_back("127.0.0.1 for this machine alone, 0.0.0.0 for everybody");
    } else if (error.code() == errc::not_permitted) {
        why.reason = fmt::format("port {} is for privileged processes", where.port());
        why.tries.emplace_back("another port, or run it as root");
        why.limits.emplace_back("net.ipv4.ip_unprivileged_port_start tells where the others begin");
    }
    return std::unexpected{std::move(why)};
}

std::unexpected<failure> inet_connect_failure(const kith::address& where, const kith::error& error) {
    failure why{error};
    if (error.os_error() == ECONNREFUSED) {
        why.reason = "nobody listens there";
        why.tries.push_back(fmt::format("kith {} {}   in another terminal",
                                        where.mechanism() == kith::scheme::udp ? "recv" : "listen", where.text()));
    } else if (error.os_error() == ENETUNREACH || error.os_error() == EHOSTUNREACH) {
        why.reason = "no way leads there";
        why.tries.emplace_back("ip route   shows which networks can be reached");
    } else if (error.os_error() == ETIMEDOUT || error.code() == errc::timed_out) {
        why.reason = "that host does not answer";
        why.tries.emplace_back("check host and port; a firewall may drop what is sent there");
    }
    return std::unexpected{std::move(why)};
}

}  // namespace kith_cli
