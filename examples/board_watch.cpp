// board_watch KEY CHANGES - makes a board of 16 lines, and prints each line that somebody (board_post) changes.
//
// Three System V objects under one key, each for what it does best: the lines lie in shared memory, a semaphore set
// orders who is at them, and a message queue says which line changed. Ends, and removes all three, after CHANGES.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "board.hpp"

namespace {

int complain(const kith::error& why) {
    return std::fprintf(stderr, "board_watch: %s\n", kith::describe(why).c_str()), 1;
}

int watch(kith::compose::sysv_region& region, const kith::sys::sysv_mq& changes, long left) {
    // Nobody has written yet: the first contents are 16 empty lines, which is what zeros are.
    auto first = region.change();
    if (!first) return complain(first.error());
    if (const auto ready = first->commit(); !ready) return complain(ready.error());
    std::puts("ready");
    std::fflush(stdout);

    for (; left > 0; --left) {
        std::uint32_t number = 0;
        const auto got = changes.receive(std::as_writable_bytes(std::span{&number, 1}));
        if (!got) return complain(got.error());
        if (got->size != sizeof number || number >= board_lines) continue;  // not from board_post
        // The message says that the line changed; the memory says what it is now, perhaps already the next text.
        const auto look = region.read();
        if (!look) return complain(look.error());
        if (look->found() != kith::compose::contents::valid) {
            std::fprintf(stderr, "board_watch: somebody died while writing\n");
            continue;
        }
        const auto line = line_of(look->view(), number);
        std::printf("%u: %.*s\n", number, static_cast<int>(board_line_bytes),
                    reinterpret_cast<const char*>(line.data()));
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: board_watch KEY CHANGES\n"), 2;
    const auto key = key_from(argv[1]);

    // The queue first: once the board can be opened, a change can be announced.
    const auto changes = kith::sys::sysv_mq::open(key, {.create = kith::sys::creation::must_be_new});
    if (!changes) return complain(changes.error());
    auto region = kith::compose::open_sysv_region(
        key, {.create = kith::sys::creation::must_be_new, .size = board_lines * board_line_bytes});
    const int status = region ? watch(*region, *changes, std::strtol(argv[2], nullptr, 10)) : complain(region.error());
    if (region && !kith::compose::remove_sysv_region(key)) return 1;
    return changes->remove() ? status : 1;
}
