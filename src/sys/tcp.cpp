#include <kith/sys/tcp.hpp>

#include <netinet/tcp.h>
#include <algorithm>
#include <climits>

#include "base/stay.hpp"
#include "base/transfer.hpp"
#include "sys/inet_address.hpp"
#include "sys/socket_calls.hpp"

namespace kith::inline KITH_ABI::sys {

result<std::size_t> tcp_stream::write_more(byte_view bytes, const wait_policy& wait) noexcept {
    if (bytes.empty()) return 0;
    return detail::transfer(
        *this, POLLOUT, wait, "send(MSG_MORE)",
        [&](int fd) { return ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE); },
        detail::connection_code);
}

result<void> tcp_stream::set_no_delay(bool on) noexcept {
    return detail::set_socket_option(native(), IPPROTO_TCP, TCP_NODELAY, on, "setsockopt(TCP_NODELAY)");
}
result<void> tcp_stream::set_quick_ack(bool on) noexcept {
    return detail::set_socket_option(native(), IPPROTO_TCP, TCP_QUICKACK, on, "setsockopt(TCP_QUICKACK)");
}
result<void> tcp_stream::set_cork(bool on) noexcept {
    return detail::set_socket_option(native(), IPPROTO_TCP, TCP_CORK, on, "setsockopt(TCP_CORK)");
}

namespace {

template <class Duration>
int clamped(Duration span) noexcept {
    return static_cast<int>(std::clamp<std::int64_t>(span.count(), 0, INT_MAX));
}

}  // namespace

result<void> tcp_stream::set_keep_alive(bool on) noexcept {
    return detail::set_socket_option(native(), SOL_SOCKET, SO_KEEPALIVE, on, "setsockopt(SO_KEEPALIVE)");
}

result<void> tcp_stream::set_keep_alive(const keep_alive& probing) noexcept {
    struct {
        int name;
        int value;
        const char* operation;
    } const settings[] = {{TCP_KEEPIDLE, clamped(probing.idle), "setsockopt(TCP_KEEPIDLE)"},
                          {TCP_KEEPINTVL, clamped(probing.interval), "setsockopt(TCP_KEEPINTVL)"},
                          {TCP_KEEPCNT, probing.probes, "setsockopt(TCP_KEEPCNT)"}};
    for (const auto& one : settings) {
        auto set = detail::set_socket_option(native(), IPPROTO_TCP, one.name, one.value, one.operation);
        if (!set) return set;
    }
    return set_keep_alive(true);
}

result<void> tcp_stream::set_user_timeout(std::chrono::milliseconds limit) noexcept {
    return detail::set_socket_option(native(), IPPROTO_TCP, TCP_USER_TIMEOUT, clamped(limit),
                                     "setsockopt(TCP_USER_TIMEOUT)");
}

void tcp_stream::abort() noexcept {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    // A connection that is gone already refuses the option, and needs no reset.
    static_cast<void>(::setsockopt(native().get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    close();
}

result<endpoint> tcp_stream::local() const noexcept {
    return detail::ask_endpoint(*this, ::getsockname, "getsockname");
}
result<endpoint> tcp_stream::peer() const noexcept { return detail::ask_endpoint(*this, ::getpeername, "getpeername"); }
result<endpoint> tcp_listener::local() const noexcept {
    return detail::ask_endpoint(*this, ::getsockname, "getsockname");
}

result<tcp_stream> tcp_listener::accept(const wait_policy& wait) noexcept {
    auto fd = detail::accept_connection(*this, wait);
    if (!fd) return fail(fd.error());
    return result<tcp_stream>{std::in_place, std::move(*fd), fd_mode::nonblocking};
}

result<tcp_listener> listen_tcp(const endpoint& where, const tcp_listen_options& options) noexcept {
    auto fd = detail::open_socket(detail::family_of(where.version()), SOCK_STREAM);
    if (!fd) return fail(fd.error().about(where.about()));
    tcp_listener listener{std::move(*fd), fd_mode::nonblocking};
    if (options.reuse_address) {
        if (auto set = listener.set_option(SOL_SOCKET, SO_REUSEADDR, 1); !set) return fail(set.error());
    }
    if (where.version() == ip_version::v6) {
        if (auto set = listener.set_option(IPPROTO_IPV6, IPV6_V6ONLY, options.only_ipv6); !set)
            return fail(set.error());
    }
    const detail::inet_address address{where};
    if (::bind(listener.native().get(), address.get(), address.size) != 0)
        return detail::fail_os("bind", errno, where.about());
    if (::listen(listener.native().get(), options.backlog) != 0) return detail::fail_os("listen", errno, where.about());
    return listener;
}

namespace {

// A connect that waits: interrupted or not, it goes on in the kernel until the socket is writable.
result<void> finish_connect(const tcp_stream& stream, const endpoint& to, const wait_policy& wait) noexcept {
    const auto writable = detail::stay::wait_alone(stream, POLLOUT, wait, "connect");
    if (!writable) return fail(writable.error().about(to.about()));
    const auto outcome = stream.option(SOL_SOCKET, SO_ERROR);
    if (!outcome) return fail(outcome.error());
    if (*outcome != 0) return fail(detail::connection_code(*outcome), "connect", *outcome, to.about());
    return {};
}

}  // namespace

result<tcp_stream> connect_tcp(const endpoint& to, const wait_policy& wait) noexcept {
    auto fd = detail::open_socket(detail::family_of(to.version()), SOCK_STREAM);
    if (!fd) return fail(fd.error().about(to.about()));
    tcp_stream stream{std::move(*fd), fd_mode::nonblocking};
    const detail::inet_address address{to};
    if (::connect(stream.native().get(), address.get(), address.size) != 0) {
        const int os_error = errno;
        if (os_error == EINTR && wait.signal == on_signal::report)
            return fail(errc::stopped, "connect", EINTR, to.about());
        if (os_error != EINPROGRESS && os_error != EINTR)
            return fail(detail::connection_code(os_error), "connect", os_error, to.about());
        if (auto connected = finish_connect(stream, to, wait); !connected) return fail(connected.error());
    }
    const auto here = stream.local();
    if (!here) return fail(here.error());
    if (here->port() == to.port()) [[unlikely]] {
        const auto there = stream.peer();
        if (!there) return fail(there.error());
        if (*here == *there) {
            stream.abort();
            return fail(errc::peer_gone, "connect(to itself)", ECONNREFUSED, to.about());
        }
    }
    return stream;
}

result<tcp_stream> connect_tcp(std::span<const endpoint> candidates, const wait_policy& wait) noexcept {
    result<tcp_stream> outcome = fail(errc::invalid, "connect", EDESTADDRREQ);
    for (const endpoint& to : candidates) {
        outcome = connect_tcp(to, wait);
        if (outcome || outcome.error().code() == errc::stopped || outcome.error().code() == errc::timed_out) break;
    }
    return outcome;
}

}  // namespace kith::inline KITH_ABI::sys
