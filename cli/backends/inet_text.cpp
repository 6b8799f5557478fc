#include "backends/inet_text.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <kith/sys/pipe.hpp>

namespace kith_cli {

using kith::errc;
using kith::sys::endpoint;

namespace {

using resolved = kith::result<kith::sys::endpoint_list>;

/// What the child tells.
struct answer {
    kith::sys::endpoint_list found;
    kith::error why{errc::io, "getaddrinfo"};
    bool is_found = false;
};
static_assert(std::is_trivially_copyable_v<answer>);

/// Nothing can interrupt the C library while it asks name servers, so a child asks, and is killed when the time is up.
/// Nothing is exec'ed: what the answer points to lies at the same place here.
resolved resolve_in_child(const kith::address& where, const std::string& port, const kith::wait_policy& wait) {
    auto pipe = kith::sys::open_pipe();
    if (!pipe) return kith::fail(pipe.error());
    const pid_t child = ::fork();
    if (child < 0) return kith::fail(errc::limit_reached, "fork", errno);
    answer told;
    if (child == 0) {
        const auto found = kith::sys::resolve(where.name(), port);
        told.is_found = found.has_value();
        if (found)
            told.found = *found;
        else
            told.why = found.error();
        ::_exit(::write(pipe->writer.native().get(), &told, sizeof told) == sizeof told ? 0 : 1);
    }
    pipe->writer.close();
    std::array<std::byte, sizeof told> bytes{};
    std::size_t got = 0;
    const auto whole = pipe->reader.read_full(bytes, got, wait);
    ::kill(child, SIGKILL);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (!whole) return kith::fail(whole.error().code(), "getaddrinfo", whole.error().os_error());
    told = std::bit_cast<answer>(bytes);
    if (!told.is_found) return kith::fail(told.why);
    return told.found;
}

resolved resolve_in_time(const kith::address& where, const kith::wait_policy& wait) {
    const auto port = std::to_string(where.port());
    auto number = kith::sys::resolve(where.name(), port, {.numeric_only = true});
    if (number) return number;
    if (wait.until.is_never() || wait.until.is_immediate()) return kith::sys::resolve(where.name(), port, {}, wait);
    return resolve_in_child(where, port, wait);
}

}  // namespace

outcome<kith::sys::endpoint_list> endpoints_of(const kith::address& where, const kith::wait_policy& wait) {
    auto found = resolve_in_time(where, wait);
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
