// kith/sys/endpoint.hpp - where TCP and UDP traffic goes: an IP address and a port, and the way from names to them.
//
// Values; nothing but resolve() blocks or allocates, and that only inside the C library. Thread safety: distinct
// objects from any threads. Fork: nothing is shared; between fork and exec in a program with threads resolve() must
// not be called. Signal handlers: no. Crash: nothing is held. Man pages: ip(7), ipv6(7), getaddrinfo(3).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <kith/result.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::sys {

enum class ip_version : std::uint8_t { v4 = 4, v6 = 6 };

/// An endpoint as text, "127.0.0.1:80" or "[fe80::1%2]:80", in a buffer of its own.
class endpoint_text {
public:
    [[nodiscard]] constexpr std::string_view view() const noexcept { return {text_, size_}; }

private:
    friend class endpoint;
    char text_[72] = {};
    std::uint8_t size_ = 0;
};

/// An IPv4 or IPv6 address with a port. A value; without arguments the IPv4 loopback address and port 0.
class endpoint {
public:
    constexpr endpoint() noexcept = default;
    [[nodiscard]] static constexpr endpoint ipv4(std::array<std::uint8_t, 4> address, std::uint16_t port) noexcept {
        endpoint made;
        for (std::size_t i = 0; i < address.size(); ++i) made.address_.at(i) = address.at(i);
        made.port_ = port;
        return made;
    }
    /// `scope` is the interface's index for link-local addresses, else 0.
    [[nodiscard]] static constexpr endpoint ipv6(std::array<std::uint8_t, 16> address, std::uint16_t port,
                                                 std::uint32_t scope = 0) noexcept {
        endpoint made;
        made.address_ = address;
        made.version_ = ip_version::v6;
        made.scope_ = scope;
        made.port_ = port;
        return made;
    }
    /// 127.0.0.1 or ::1: reachable from this machine (network namespace) only. Port 0 lets the kernel choose.
    [[nodiscard]] static constexpr endpoint loopback(std::uint16_t port, ip_version version = ip_version::v4) noexcept {
        if (version == ip_version::v4) return ipv4({127, 0, 0, 1}, port);
        return ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, port);
    }
    /// Every address of this machine, for listening. There is no authentication behind an open port.
    [[nodiscard]] static constexpr endpoint any(std::uint16_t port, ip_version version = ip_version::v4) noexcept {
        if (version == ip_version::v4) return ipv4({}, port);
        return ipv6({}, port);
    }
    /// A numeric address: "127.0.0.1", "::1", "fe80::1%eth0". Asks nobody but the kernel, and that only for the number
    /// of an interface. Errors: `invalid`, `not_found` (no such interface), `limit_reached` and `out_of_memory` (no
    /// descriptor to ask with). if_nametoindex(3).
    [[nodiscard]] KITH_EXPORT static result<endpoint> numeric(std::string_view address, std::uint16_t port) noexcept;
    /// From the bytes of a sockaddr_in or sockaddr_in6. Errors: `unsupported` (another family), `invalid` (cut).
    [[nodiscard]] KITH_EXPORT static result<endpoint> from_sockaddr(const void* address, std::size_t size) noexcept;

    [[nodiscard]] constexpr ip_version version() const noexcept { return version_; }
    [[nodiscard]] constexpr std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] constexpr std::uint32_t scope() const noexcept { return scope_; }
    /// 4 or 16 bytes, in network order.
    [[nodiscard]] constexpr std::span<const std::uint8_t> address() const noexcept {
        return std::span{address_}.first(version_ == ip_version::v4 ? 4 : 16);
    }
    /// The same address with another port.
    [[nodiscard]] constexpr endpoint with_port(std::uint16_t port) const noexcept {
        endpoint other = *this;
        other.port_ = port;
        return other;
    }
    /// Numeric, an IPv6 address in brackets.
    [[nodiscard]] KITH_EXPORT endpoint_text text() const noexcept;
    [[nodiscard]] KITH_EXPORT object_ref about() const noexcept;
    friend constexpr bool operator==(const endpoint&, const endpoint&) = default;

private:
    std::array<std::uint8_t, 16> address_ = {127, 0, 0, 1};
    std::uint32_t scope_ = 0;
    std::uint16_t port_ = 0;
    ip_version version_ = ip_version::v4;
};

/// What a name stands for, in the order of preference of the C library (gai.conf(5)).
class endpoint_list {
public:
    static constexpr std::size_t capacity = 16;  ///< further results are dropped
    [[nodiscard]] constexpr std::span<const endpoint> view() const noexcept { return std::span{items_}.first(size_); }
    constexpr void push(const endpoint& one) noexcept {
        if (size_ < capacity) items_.at(size_++) = one;
    }

private:
    std::array<endpoint, capacity> items_ = {};
    std::size_t size_ = 0;
};

/// What resolve() looks for.
struct resolve_options {
    bool ipv4 = true;
    bool ipv6 = true;
    bool numeric_only = false;  ///< refuse names: nothing is asked, nothing blocks, `not_found`
};

/// All endpoints of `host`, a name or a numeric address, with `service`, a port or a name of services(5).
/// An empty host is the loopback address. A numeric address with a port in digits never waits.
///
/// Anything else is asked of the C library, which reads files and asks name servers, and allocates; nothing can
/// interrupt that safely in a program with threads, so this is the one call that waits longer than `wait` allows: until
/// resolv.conf(5)'s own time-outs have passed (by default some 10 seconds for each server and search domain). `wait` is
/// looked at before and after: with deadline::immediate() a name is `would_block` and nobody is asked; a deadline that
/// has passed by then is `timed_out`, a stop request `stopped`. Who must not wait gives numbers, resolves ahead of
/// time, or calls this in a process that may be killed. Thread-safe. Errors: `not_found` (no such host), `invalid` (no
/// such service), `io` (no answer; the operation says which EAI code), `would_block`, `timed_out`, `stopped`,
/// `out_of_memory`, `too_long`. getaddrinfo(3).
[[nodiscard]] KITH_EXPORT result<endpoint_list> resolve(std::string_view host, std::string_view service,
                                                        const resolve_options& options = {},
                                                        const wait_policy& wait = {}) noexcept;

}  // namespace kith::inline KITH_ABI::sys
