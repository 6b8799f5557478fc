// input - what the tour moves: one block of bytes, and how often it is sent.
#pragma once
#include <cstdint>
#include <string>

#include <kith/sys/memfd.hpp>

#include "failure.hpp"

namespace kith_cli::tour {

inline constexpr std::uint64_t least_bytes = 64U << 20;

/// The block lies in a sealed memfd, so that every sender reads the very bytes that were digested.
struct input {
    kith::sys::memfd block;
    std::uint64_t block_size = 0;
    std::uint64_t repeats = 1;
    std::string sha256;  ///< of the block, `repeats` times in a row
    std::string source;  ///< for the user
    [[nodiscard]] std::uint64_t size() const { return block_size * repeats; }
};

/// `file` empty: this program and a listing of /usr/include. `once`: not repeated to `least_bytes`.
[[nodiscard]] outcome<input> make_input(const std::string& file, bool once);

}  // namespace kith_cli::tour
