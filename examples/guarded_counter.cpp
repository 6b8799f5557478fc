// guarded_counter KEY TIMES - adds 1 to a counter in shared memory TIMES times, and prints what it is then.
//
// Any number of these run at once, and none of their additions is lost: the memory is reached only under a lock. Kill
// one in the middle (kill -9): the others go on, and the first of them repairs what it may have left half changed.
// TIMES 0 only looks. The counter stays until somebody removes it: ipcrm -M KEY -S KEY.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <kith/compose/guarded_region.hpp>

using namespace kith::compose;

namespace {

// The same number twice, so that a change that was not finished can be seen.
struct counter {
    std::uint64_t first;
    std::uint64_t second;
};

counter load(kith::byte_view memory) {
    counter now{};
    std::memcpy(&now, memory.data(), sizeof now);
    return now;
}

int complain(const kith::error& why) {
    return std::fprintf(stderr, "guarded_counter: %s\n", kith::describe(why).c_str()), 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: guarded_counter KEY TIMES\n"), 2;
    const kith::sys::sysv_key key{static_cast<std::int32_t>(std::strtoul(argv[1], nullptr, 0))};

    auto region = open_sysv_region(key, {.create = kith::sys::creation::create_or_open, .size = sizeof(counter)});
    if (!region) return complain(region.error());

    for (long left = std::strtol(argv[2], nullptr, 10); left > 0; --left) {
        // [change]
        auto change = region->change();
        if (!change) return complain(change.error());
        auto now = load(change->bytes());
        if (change->found() == contents::half_changed) {
            std::fprintf(stderr, "guarded_counter: repaired %llu/%llu\n", static_cast<unsigned long long>(now.first),
                         static_cast<unsigned long long>(now.second));
            now.second = now.first;
        }
        const counter next{now.first + 1, now.second + 1};
        std::memcpy(change->bytes().data(), &next, sizeof next);
        if (const auto done = change->commit(); !done) return complain(done.error());
        // [/change]
    }

    const auto look = region->read();
    if (!look) return complain(look.error());
    std::printf("%llu\n", static_cast<unsigned long long>(load(look->view()).second));
    return 0;
}
