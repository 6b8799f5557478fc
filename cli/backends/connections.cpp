#include "backends/connections.hpp"

#include <algorithm>

namespace kith_cli {

outcome<bytes> read_to_end(kith::sys::stream_socket& stream, std::size_t max_size, const kith::wait_policy& wait) {
    constexpr std::size_t piece = 65536;
    bytes all;
    for (;;) {
        const auto had = all.size();
        // One byte more than may come tells an exact fit from too much.
        all.resize(std::min(had + piece, max_size + 1));
        const auto count = stream.read_some(std::span{all}.subspan(had), wait);
        all.resize(had + count.value_or(0));
        if (!count && count.error().code() == kith::errc::end_of_stream) return all;
        if (!count) return pass_on(count);
        if (all.size() > max_size)
            return refuse(kith::errc::too_long, "recv", "the other side sends more than --max-size allows");
    }
}

}  // namespace kith_cli
