// board - what board_watch and board_post agree on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <kith/compose/guarded_region.hpp>
#include <kith/sys/sysv_mq.hpp>

inline constexpr std::size_t board_lines = 16;
inline constexpr std::size_t board_line_bytes = 64;  ///< a text, filled up with zeros

template <class Byte>
std::span<Byte> line_of(std::span<Byte> board, std::uint32_t number) {
    return board.subspan(number * board_line_bytes, board_line_bytes);
}

inline kith::sys::sysv_key key_from(const char* text) {
    return kith::sys::sysv_key{static_cast<std::int32_t>(std::strtoul(text, nullptr, 0))};
}
