// stream - moving the input over anything that reads and writes bytes without boundaries.
#pragma once
#include <vector>

#include "tour/peer.hpp"

namespace kith_cli::tour {

inline constexpr std::size_t stream_piece = 64U << 10;

/// Writes the whole input with `to.write_full`.
template <class Writer>
outcome<void> send_stream(peer& self, Writer& to) {
    for (auto piece = self.next(stream_piece); !piece.empty(); piece = self.next(stream_piece)) {
        std::size_t done = 0;
        if (auto written = to.write_full(piece, done); !written) return pass_on(written);
    }
    return {};
}

/// Reads with `from.read_some` until the end of the stream.
template <class Reader>
outcome<void> receive_stream(peer& self, Reader& from) {
    std::vector<std::byte> buffer(stream_piece);
    for (;;) {
        const auto count = from.read_some(buffer);
        if (!count && count.error().code() == kith::errc::end_of_stream) return {};
        if (!count) return pass_on(count);
        self.take(std::span{buffer}.first(*count));
    }
}

}  // namespace kith_cli::tour
