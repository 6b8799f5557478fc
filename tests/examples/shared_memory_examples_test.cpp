// The shared memory examples do what their first lines say.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <string>
#include <vector>

#include <kith/compose/guarded_region.hpp>
#include <kith/sys/sysv_mq.hpp>
#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;

std::string example(const std::string& name) { return binary_dir() + "/examples/" + name; }

// A key whose objects are gone with the test.
struct objects {
    kith::sys::sysv_key key{static_cast<std::int32_t>(0x6f000000 + (::getpid() & 0xffffff))};
    std::string text = std::to_string(key.value());
    objects() = default;
    objects(const objects&) = delete;
    objects& operator=(const objects&) = delete;
    ~objects() {
        static_cast<void>(kith::compose::remove_sysv_region(key));
        if (const auto queue = kith::sys::sysv_mq::open(key)) static_cast<void>(queue->remove());
    }
};

TEST(examples, guarded_counter_loses_nothing_among_several_at_once) {
    const objects where;
    std::vector<child> adders;
    for (int i = 0; i < 4; ++i)
        adders.emplace_back([&] { return run({example("guarded_counter"), where.text, "1000"}).status; });
    for (auto& adder : adders) EXPECT_EQ(adder.wait(), 0);
    const auto total = run({example("guarded_counter"), where.text, "0"});
    EXPECT_EQ(total.status, 0) << total.err;
    EXPECT_EQ(total.out, "4000\n");
}

TEST(examples, guarded_counter_survives_one_that_is_killed) {
    const objects where;
    ASSERT_EQ(run({example("guarded_counter"), where.text, "10"}).out, "10\n");
    // Inside, with half a change made.
    child victim{[&] {
        auto region = kith::compose::open_sysv_region(where.key);
        auto change = region->change();
        change->bytes()[0] = std::byte{11};
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(victim.wait(), 128 + SIGKILL);
    const auto next = run({example("guarded_counter"), where.text, "1"});
    EXPECT_EQ(next.err, "guarded_counter: repaired 11/10\n");
    EXPECT_EQ(next.out, "12\n");
}

TEST(examples, board_watch_prints_what_board_post_writes) {
    const objects where;
    std::array<int, 2> out{};
    ASSERT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
    child watcher{[&] {
        ::dup2(out[1], 1);
        ::execl(example("board_watch").c_str(), "board_watch", where.text.c_str(), "3", nullptr);
        return 127;
    }};
    ::close(out[1]);
    std::string printed;
    char c = 0;
    while (::read(out[0], &c, 1) == 1 && c != '\n') printed.push_back(c);
    ASSERT_EQ(printed, "ready");
    EXPECT_EQ(run({example("board_post"), where.text, "16", "x"}).status, 2);
    for (const auto& [line, text] : std::vector<std::pair<std::string, std::string>>{
             {"3", "hello"}, {"0", "first"}, {"15", std::string(64, 'z')}}) {
        const auto posted = run({example("board_post"), where.text, line, text});
        EXPECT_EQ(posted.status, 0) << posted.err;
    }
    printed.clear();
    while (::read(out[0], &c, 1) == 1) printed.push_back(c);
    ::close(out[0]);
    EXPECT_EQ(watcher.wait(), 0);
    EXPECT_EQ(printed, "3: hello\n0: first\n15: " + std::string(64, 'z') + "\n");
    // It removed all three.
    const auto late = run({example("board_post"), where.text, "1", "x"});
    EXPECT_EQ(late.status, 1);
    EXPECT_NE(late.err.find("not_found"), std::string::npos) << late.err;
    EXPECT_TRUE(fails_with(kith::sys::sysv_shm::open(where.key), kith::errc::not_found));
}

}  // namespace
