// kith/sys/unix_name.hpp - names of UNIX sockets: paths, abstract names with exact lengths, and no name.
//
// A path is a file that stays when the socket is gone and follows the mount namespace. An abstract name
// (Linux only) lives in the network namespace, goes with the socket, has no permissions, and every byte of it
// counts, NUL included: C programs that pass sizeof(sockaddr_un) use a name padded with NUL bytes, which is
// another name. Values: distinct objects from any threads, also in signal handlers; nothing waits, allocates or has to
// do with fork or a crash. Man page: unix(7).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI::sys {

/// The name of a UNIX socket. A value.
class unix_name {
public:
    enum class kind : std::uint8_t {
        unnamed,  ///< no name; given to bind, the kernel chooses an abstract one (autobind)
        path,     ///< a file
        abstract,
    };
    /// The longest path or abstract name that kith binds or connects to, in bytes: the 108 of sun_path without
    /// the NUL that ends a path or begins an abstract name.
    static constexpr std::size_t capacity = 107;

    /// No name.
    constexpr unix_name() noexcept {
        if consteval {
            for (char& one : text_) one = '\0';
        }
    }
    /// A path of 1 to 107 bytes. Errors: `too_long`, `invalid` (empty, or with a NUL inside).
    [[nodiscard]] KITH_EXPORT static result<unix_name> path(std::string_view text) noexcept;
    /// An abstract name: any bytes, 0 to 107 of them; the leading NUL of the address is not part of it.
    /// Errors: `too_long`.
    [[nodiscard]] KITH_EXPORT static result<unix_name> abstract(std::string_view bytes) noexcept;
    /// From the bytes of a sockaddr_un (`size` as the kernel returned it). Never fails: what is no AF_UNIX
    /// address is unnamed.
    [[nodiscard]] KITH_EXPORT static unix_name from_sockaddr(const void* address, std::size_t size) noexcept;

    [[nodiscard]] constexpr kind what() const noexcept { return kind_; }
    /// The path, or the bytes of the abstract name.
    [[nodiscard]] constexpr std::string_view text() const noexcept { return {text_, length_}; }
    /// For errors: the path, or '@' and the abstract name.
    [[nodiscard]] KITH_EXPORT object_ref about() const noexcept;
    friend constexpr bool operator==(const unix_name& a, const unix_name& b) noexcept {
        return a.kind_ == b.kind_ && a.text() == b.text();
    }

private:
    constexpr unix_name(kind what, std::string_view text) noexcept : unix_name{} {
        kind_ = what;
        length_ = static_cast<std::uint8_t>(text.size());
        text.copy(text_, text.size());
    }
    kind kind_ = kind::unnamed;
    std::uint8_t length_ = 0;
    char text_[capacity + 1];  // other programs' paths may fill all 108 bytes; what is behind length_ is left as it is
};

}  // namespace kith::inline KITH_ABI::sys
