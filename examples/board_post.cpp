// board_post KEY LINE TEXT - writes TEXT into a line (0 to 15) of the board that board_watch made, and tells it so.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "board.hpp"

using namespace std::chrono_literals;

namespace {
int complain(const kith::error& why) {
    return std::fprintf(stderr, "board_post: %s\n", kith::describe(why).c_str()), 1;
}
}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return std::fprintf(stderr, "usage: board_post KEY LINE TEXT\n"), 2;
    const auto key = key_from(argv[1]);
    const auto number = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10));
    const auto text = kith::bytes_of(argv[3]);
    if (number >= board_lines || text.size() > board_line_bytes)
        return std::fprintf(stderr, "board_post: there are %zu lines of %zu bytes\n", board_lines, board_line_bytes), 2;

    const auto changes = kith::sys::sysv_mq::open(key);
    if (!changes) return complain(changes.error());
    auto region = kith::compose::open_sysv_region(key, {.size = board_lines * board_line_bytes});
    if (!region) return complain(region.error());

    // [post]
    auto change = region->change(kith::deadline::in(10s));
    if (!change) return complain(change.error());
    const auto line = line_of(change->bytes(), number);
    std::ranges::fill(line, std::byte{0});
    std::ranges::copy(text, line.begin());
    if (const auto done = change->commit(); !done) return complain(done.error());

    // After the commit, so that who is told finds the text. Killed in between, the text is there and nobody is told.
    if (const auto told = changes->send(1, std::as_bytes(std::span{&number, 1}), kith::deadline::in(10s)); !told)
        return complain(told.error());
    // [/post]
    return 0;
}
