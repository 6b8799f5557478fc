// grammar - the small pieces that addresses are made of: numbers, escapes, hosts.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <kith/address.hpp>

namespace kith::inline KITH_ABI::detail::grammar {

inline constexpr std::int64_t largest_int = std::numeric_limits<std::int32_t>::max();
inline constexpr std::size_t no_fault = std::string_view::npos;

enum class number_state : std::uint8_t { good, malformed, out_of_range };

/// A decimal number without sign. `number` is set only where it is good.
[[nodiscard]] number_state read_decimal(std::string_view digits, std::int64_t least, std::int64_t most,
                                        std::int32_t& number) noexcept;
/// A number of 32 bits, decimal or with 0x in hexadecimal.
[[nodiscard]] number_state read_key(std::string_view digits, std::uint64_t& key) noexcept;
void append_key(std::string& out, std::uint32_t key);

/// Sets `bytes` to `raw` with every %XX replaced. Returns where it is malformed, or `no_fault`.
[[nodiscard]] std::size_t unescape(std::string_view raw, std::string& bytes);
/// Appends `bytes`; what would be read as something else, and what does not print, as %XX.
void append_escaped(std::string& out, std::string_view bytes);

[[nodiscard]] bool read_type(std::string_view word, address::socket_type& type) noexcept;
/// A literal IPv6 address, with or without a zone ("fe80::1%eth0").
[[nodiscard]] bool is_ipv6(const std::string& host) noexcept;
/// A host name or an IPv4 address: the characters only, whether it exists is for the resolver to say.
[[nodiscard]] bool is_host_name(std::string_view host) noexcept;

}  // namespace kith::inline KITH_ABI::detail::grammar
