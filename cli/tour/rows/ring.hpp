// ring - blocks in shared memory that travel from a sender to a receiver, guarded by two counting semaphores.
//
// "free" counts blocks that may be filled, "full" those that may be read. Each side takes from one and gives to the
// other, so no block is touched by both at once, and the input passes through the same memory again and again. A block
// of size 0 says that all was sent. What the other side wrote is not trusted: sizes are checked.
#pragma once
#include <cstdint>
#include <cstring>

#include "tour/peer.hpp"

namespace kith_cli::tour {

inline constexpr std::size_t ring_blocks = 16;
inline constexpr std::size_t ring_block_bytes = 64U << 10;

struct ring_block {
    std::uint64_t size;
    std::byte bytes[ring_block_bytes];
};
inline constexpr std::size_t ring_bytes = ring_blocks * sizeof(ring_block);

/// `Guards` has wait_free(), post_full(), wait_full() and post_free(), each a result<void>.
template <class Guards>
outcome<void> send_ring(peer& self, kith::byte_span memory, Guards& guards) {
    auto* blocks = reinterpret_cast<ring_block*>(memory.data());
    for (std::size_t at = 0;; at = (at + 1) % ring_blocks) {
        if (auto taken = guards.wait_free(); !taken) return pass_on(taken);
        const auto piece = self.next(ring_block_bytes);
        std::ranges::copy(piece, blocks[at].bytes);
        blocks[at].size = piece.size();
        if (auto given = guards.post_full(); !given) return pass_on(given);
        if (piece.empty()) return {};
    }
}

template <class Guards>
outcome<void> receive_ring(peer& self, kith::byte_view memory, Guards& guards) {
    const auto* blocks = reinterpret_cast<const ring_block*>(memory.data());
    for (std::size_t at = 0;; at = (at + 1) % ring_blocks) {
        if (auto taken = guards.wait_full(); !taken) return pass_on(taken);
        const auto size = blocks[at].size;
        if (size > ring_block_bytes) return refuse(kith::errc::bad_peer, "ring", "a block is larger than it can be");
        if (size == 0) return {};
        self.take(kith::byte_view{blocks[at].bytes, size});
        if (auto given = guards.post_free(); !given) return pass_on(given);
    }
}

}  // namespace kith_cli::tour
