// reply_header - the first line of requests and replies (docs/formats/reply_fifo.md): bytes of a peer, so input.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <kith/version.hpp>

namespace kith::inline KITH_ABI::detail {

inline constexpr std::string_view request_magic = "kith-request/1 ";
inline constexpr std::string_view reply_magic = "kith-reply/1 ";
/// Longer lines are no headers.
inline constexpr std::size_t header_max = 128;

struct reply_header {
    std::uint64_t id = 0;
    std::uint64_t length = 0;     // of the body
    std::string_view token = {};  // of requests; points into the text
    std::size_t size = 0;         // of the line, with its end
};

enum class header_state : std::uint8_t {
    whole,
    partial,  // could become one with more bytes
    wrong,
};

[[nodiscard]] header_state parse_request(std::string_view text, reply_header& into) noexcept;
[[nodiscard]] header_state parse_reply(std::string_view text, reply_header& into) noexcept;

/// Writes the line to `line` (header_max bytes) and returns its length. An empty token makes a reply's.
std::size_t write_header(char* line, std::uint64_t id, std::size_t length, std::string_view token) noexcept;

}  // namespace kith::inline KITH_ABI::detail
