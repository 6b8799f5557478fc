// kith/bytes.hpp - views of bytes, the currency of every call that moves data.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

#include <kith/version.hpp>

namespace kith::inline KITH_ABI {

/// Bytes to read from; borrowed, never owned.
using byte_view = std::span<const std::byte>;
/// Bytes to write to; borrowed, never owned.
using byte_span = std::span<std::byte>;

/// The characters of a text as bytes, without a terminating NUL.
[[nodiscard]] inline byte_view bytes_of(std::string_view text) noexcept {
    return std::as_bytes(std::span<const char>{text.data(), text.size()});
}
/// Bytes as text; no check of any encoding.
[[nodiscard]] inline std::string_view text_of(byte_view bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace kith::inline KITH_ABI
