// Control bytes of any content: the walk never leaves them, hands out only what lies inside, ends, and reads the same
// messages as the C library's macros where those are defined; what is built is read back.
#include <sys/socket.h>
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "sys/control_message.hpp"

namespace {

void check(bool fact) {
    if (!fact) std::abort();
}

struct seen {
    int level;
    int type;
    std::size_t size;
};

std::vector<seen> walked(kith::byte_view control) {
    std::vector<seen> all;
    kith::detail::walk_control(control, [&](int level, int type, kith::byte_view payload) {
        check(payload.empty() ||
              (payload.data() >= control.data() && payload.data() + payload.size() <= control.data() + control.size()));
        std::size_t whole = 0;
        kith::detail::each<int>(payload, [&](int) { ++whole; });
        check(whole == payload.size() / sizeof(int));
        all.push_back({level, type, payload.size()});
    });
    check(all.size() <= control.size() / CMSG_LEN(0));
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // At every alignment, in an allocation of exactly that size, so that a step outside is seen.
    for (std::size_t shift = 0; shift < 8; ++shift) {
        std::vector<std::byte> copy(shift + size);
        if (size != 0) std::memcpy(copy.data() + shift, data, size);
        walked(kith::byte_view{copy}.subspan(shift));
    }

    // What is built from the same bytes is read back, message by message.
    kith::detail::control_buffer<4096> built;
    std::vector<seen> expected;
    for (std::size_t at = 0; at + 2 < size;) {
        const std::size_t length = std::min<std::size_t>(data[at], size - at - 2);
        if (built.size() + CMSG_SPACE(length) > kith::detail::control_buffer<4096>::capacity()) break;
        std::memcpy(built.append(SOL_SOCKET, data[at + 1], length), data + at + 2, length);
        expected.push_back({SOL_SOCKET, data[at + 1], length});
        at += 2 + length;
    }
    const auto read = walked(built.front(built.size()));
    check(read.size() == expected.size());
    for (std::size_t i = 0; i < read.size(); ++i)
        check(read[i].level == expected[i].level && read[i].type == expected[i].type &&
              read[i].size == expected[i].size);
    return 0;
}
