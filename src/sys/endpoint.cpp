#include <kith/sys/endpoint.hpp>

#include <net/if.h>
#include <netdb.h>
#include <charconv>
#include <climits>

#include "base/c_string.hpp"
#include "base/clock.hpp"
#include "sys/inet_address.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

std::unexpected<error> no_interface(int os_error, object_ref about) noexcept {
    return fail(os_error == ENODEV ? errc::not_found : detail::code_for(os_error), "if_nametoindex", os_error, about);
}

}  // namespace

result<endpoint> endpoint::numeric(std::string_view address, std::uint16_t port) noexcept {
    const auto about = object_ref::name(address);
    const auto percent = address.find('%');
    const auto text = detail::c_string<INET6_ADDRSTRLEN>::from(address.substr(0, percent), "inet_pton");
    if (!text) return fail(errc::invalid, "inet_pton", EINVAL, about);

    in_addr v4{};
    if (percent == std::string_view::npos && ::inet_pton(AF_INET, text->get(), &v4) == 1) {
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &v4, bytes.size());
        return ipv4(bytes, port);
    }
    in6_addr v6{};
    if (::inet_pton(AF_INET6, text->get(), &v6) != 1) return fail(errc::invalid, "inet_pton", EINVAL, about);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6, bytes.size());
    std::uint32_t scope = 0;
    if (percent != std::string_view::npos) {
        const auto zone = address.substr(percent + 1);
        const auto parsed = std::from_chars(zone.data(), zone.data() + zone.size(), scope);
        if (parsed.ec != std::errc{} || parsed.ptr != zone.data() + zone.size()) {
            const auto interface_name = detail::c_string<IF_NAMESIZE - 1>::from(zone, "if_nametoindex");
            if (!interface_name) return no_interface(ENODEV, about);
            scope = ::if_nametoindex(interface_name->get());
            if (scope == 0) return no_interface(errno, about);
        }
    }
    return ipv6(bytes, port, scope);
}

result<endpoint> endpoint::from_sockaddr(const void* address, std::size_t size) noexcept {
    sa_family_t family = AF_UNSPEC;
    if (size < sizeof family) return fail(errc::invalid, "sockaddr", EINVAL);
    std::memcpy(&family, address, sizeof family);
    if (family == AF_INET && size >= sizeof(sockaddr_in)) {
        sockaddr_in v4{};
        std::memcpy(&v4, address, sizeof v4);
        std::array<std::uint8_t, 4> bytes{};
        std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
        return ipv4(bytes, ntohs(v4.sin_port));
    }
    if (family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, address, sizeof v6);
        std::array<std::uint8_t, 16> bytes{};
        std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
        return ipv6(bytes, ntohs(v6.sin6_port), v6.sin6_scope_id);
    }
    const bool known = family == AF_INET || family == AF_INET6;
    return fail(known ? errc::invalid : errc::unsupported, "sockaddr", known ? EINVAL : EAFNOSUPPORT);
}

endpoint_text endpoint::text() const noexcept {
    endpoint_text out;
    char* at = out.text_;
    char* const end = out.text_ + sizeof out.text_;
    const bool v6 = version_ == ip_version::v6;
    if (v6) *at++ = '[';
    ::inet_ntop(detail::family_of(version_), address_.data(), at, static_cast<socklen_t>(end - at));
    at += std::strlen(at);
    if (v6) {
        if (scope_ != 0) {
            *at++ = '%';
            at = std::to_chars(at, end, scope_).ptr;
        }
        *at++ = ']';
    }
    *at++ = ':';
    at = std::to_chars(at, end, port_).ptr;
    out.size_ = static_cast<std::uint8_t>(at - out.text_);
    return out;
}

object_ref endpoint::about() const noexcept { return object_ref::name(text().view()); }

namespace {

// getaddrinfo has error codes of its own: the operation carries the name, the code its meaning.
std::unexpected<error> resolver_failure(int code, int os_error, object_ref about) noexcept {
    switch (code) {
    case EAI_NONAME: return fail(errc::not_found, "getaddrinfo(EAI_NONAME)", 0, about);
#ifdef EAI_NODATA
    case EAI_NODATA: return fail(errc::not_found, "getaddrinfo(EAI_NODATA)", 0, about);
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY: return fail(errc::not_found, "getaddrinfo(EAI_ADDRFAMILY)", 0, about);
#endif
    case EAI_SERVICE: return fail(errc::invalid, "getaddrinfo(EAI_SERVICE)", 0, about);
    case EAI_FAMILY: return fail(errc::unsupported, "getaddrinfo(EAI_FAMILY)", 0, about);
    case EAI_AGAIN: return fail(errc::io, "getaddrinfo(EAI_AGAIN)", 0, about);
    case EAI_FAIL: return fail(errc::io, "getaddrinfo(EAI_FAIL)", 0, about);
    case EAI_MEMORY: return fail(errc::out_of_memory, "getaddrinfo(EAI_MEMORY)", ENOMEM, about);
    case EAI_OVERFLOW: return fail(errc::too_long, "getaddrinfo(EAI_OVERFLOW)", 0, about);
    case EAI_SYSTEM: return detail::fail_os("getaddrinfo", os_error, about);
    default: return fail(errc::io, "getaddrinfo", 0, about);
    }
}

// Whether the time for asking is up.
result<void> still_wanted(const wait_policy& wait, object_ref about) noexcept {
    if (wait.stop_requested()) return fail(errc::stopped, "getaddrinfo", 0, about);
    if (detail::expired(wait.until)) return fail(detail::expiry_code(wait.until), "getaddrinfo", 0, about);
    return {};
}

}  // namespace

result<endpoint_list> resolve(std::string_view host, std::string_view service, const resolve_options& options,
                              const wait_policy& wait) noexcept {
    const auto about = object_ref::name(host.empty() ? service : host);
    const auto host_text = detail::c_string<NI_MAXHOST - 1>::from(host, "getaddrinfo");
    if (!host_text) return fail(host_text.error());
    const auto service_text = detail::c_string<NI_MAXSERV - 1>::from(service, "getaddrinfo");
    if (!service_text) return fail(service_text.error());
    // glibc takes the low 16 bits of a number that is too large.
    std::uint64_t number = 0;
    const auto parsed = std::from_chars(service.data(), service.data() + service.size(), number);
    const bool all_digits = !service.empty() && parsed.ptr == service.data() + service.size();
    if (service.empty() || (all_digits && (parsed.ec != std::errc{} || number > USHRT_MAX)))
        return fail(errc::invalid, "getaddrinfo(EAI_SERVICE)", 0, object_ref::name(service));

    addrinfo hints{};
    hints.ai_family = options.ipv4 && options.ipv6 ? AF_UNSPEC : options.ipv6 ? AF_INET6 : AF_INET;
    hints.ai_socktype = SOCK_STREAM;  // each address once; ports of TCP and UDP services are the same
    // Numbers first: they are not asked about, so they do not wait.
    hints.ai_flags = AI_NUMERICHOST | (all_digits ? AI_NUMERICSERV : 0);
    const char* const node = host.empty() ? nullptr : host_text->get();
    addrinfo* found = nullptr;
    int code = EAI_NONAME;
    if (all_digits || options.numeric_only) code = ::getaddrinfo(node, service_text->get(), &hints, &found);
    const bool asks = code == EAI_NONAME && !options.numeric_only;
    if (asks) {
        if (auto wanted = still_wanted(wait, about); !wanted) return fail(wanted.error());
        hints.ai_flags &= ~AI_NUMERICHOST;
        code = ::getaddrinfo(node, service_text->get(), &hints, &found);
    }
    if (code != 0) return resolver_failure(code, errno, about);

    endpoint_list list;
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next)
        if (const auto where = endpoint::from_sockaddr(one->ai_addr, one->ai_addrlen)) list.push(*where);
    ::freeaddrinfo(found);
    if (asks) {
        if (auto wanted = still_wanted(wait, about); !wanted) return fail(wanted.error());
    }
    return list;
}

}  // namespace kith::inline KITH_ABI::sys
