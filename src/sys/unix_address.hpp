// unix_address - a unix_name as the sockaddr_un and the exact length that the kernel wants.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>
#include <cstddef>
#include <cstring>

#include <kith/sys/unix_name.hpp>

namespace kith::inline KITH_ABI::detail {

struct unix_address {
    explicit unix_address(const sys::unix_name& name) noexcept {
        address.sun_family = AF_UNIX;
        const auto text = name.text();
        constexpr auto head = offsetof(sockaddr_un, sun_path);
        switch (name.what()) {
        case sys::unix_name::kind::unnamed: size = head; break;
        case sys::unix_name::kind::path:
            // Without the NUL where all 108 bytes are used: bind and connect add it themselves.
            std::memcpy(address.sun_path, text.data(), text.size());
            size = static_cast<socklen_t>(head + text.size() + (text.size() < sizeof address.sun_path ? 1 : 0));
            break;
        case sys::unix_name::kind::abstract:
            std::memcpy(address.sun_path + 1, text.data(), text.size());
            size = static_cast<socklen_t>(head + 1 + text.size());
            break;
        }
    }
    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }

    sockaddr_un address{};
    socklen_t size = 0;
};

}  // namespace kith::inline KITH_ABI::detail
