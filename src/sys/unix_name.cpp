#include <kith/sys/unix_name.hpp>

#include <algorithm>
#include <cerrno>

#include "sys/unix_address.hpp"

namespace kith::inline KITH_ABI::sys {

result<unix_name> unix_name::path(std::string_view text) noexcept {
    if (text.empty() || text.find('\0') != std::string_view::npos)
        return fail(errc::invalid, "sockaddr_un", EINVAL, object_ref::name(text));
    if (text.size() > capacity) return fail(errc::too_long, "sockaddr_un", ENAMETOOLONG, object_ref::name(text));
    return unix_name{kind::path, text};
}

result<unix_name> unix_name::abstract(std::string_view bytes) noexcept {
    if (bytes.size() > capacity) return fail(errc::too_long, "sockaddr_un", ENAMETOOLONG, object_ref::name(bytes));
    return unix_name{kind::abstract, bytes};
}

unix_name unix_name::from_sockaddr(const void* address, std::size_t size) noexcept {
    constexpr auto head = offsetof(sockaddr_un, sun_path);
    sockaddr_un copy;
    // A path of 108 bytes is reported with a length of one more than the structure.
    size = std::min(size, sizeof copy);
    if (size <= head) return {};
    std::memcpy(&copy, address, size);
    if (copy.sun_family != AF_UNIX) return {};
    const std::string_view bytes{copy.sun_path, size - head};
    if (bytes.front() == '\0') return unix_name{kind::abstract, bytes.substr(1)};
    return unix_name{kind::path, bytes.substr(0, bytes.find('\0'))};
}

object_ref unix_name::about() const noexcept {
    if (kind_ != kind::abstract) return object_ref::name(text());
    char shown[capacity + 1];
    shown[0] = '@';
    text().copy(shown + 1, length_);
    return object_ref::name({shown, std::size_t{length_} + 1});
}

}  // namespace kith::inline KITH_ABI::sys
