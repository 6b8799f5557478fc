// kith eventfd add|read on inherited descriptors and on those of another process.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <kith/fd.hpp>
#include <nlohmann/json.hpp>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

// Inheritable on purpose.
kith::owned_fd counter(unsigned initial, int flags = 0) { return kith::owned_fd{::eventfd(initial, flags)}; }

TEST(cli_eventfd, eventfd_add_and_read_work_on_an_inherited_descriptor) {
    const auto fd = counter(0);
    const auto number = std::to_string(fd.get());
    EXPECT_EQ(run({kith_command(), "eventfd", "add", number}).status, 0);
    EXPECT_EQ(run({kith_command(), "eventfd", "add", number, "41"}).status, 0);
    const auto read = run({kith_command(), "eventfd", "read", number});
    EXPECT_EQ(read.status, 0) << read.err;
    EXPECT_EQ(read.out, "42\n");
    EXPECT_EQ(run({kith_command(), "eventfd", "add", number, "5"}).status, 0);
    EXPECT_EQ(json::parse(run({kith_command(), "eventfd", "read", "--json", "fd:" + number}).out),
              (json{{"value", 5}}));
}

TEST(cli_eventfd, eventfd_read_waits_as_long_as_it_is_told) {
    const auto fd = counter(0);
    const auto number = std::to_string(fd.get());
    EXPECT_EQ(run({kith_command(), "eventfd", "read", "--no-wait", number}).status, 3);
    EXPECT_EQ(run({kith_command(), "eventfd", "read", "--timeout", "10ms", number}).status, 124);
    auto reader = child::exec({kith_command(), "eventfd", "read", number});
    wait_until_in_syscall(reader.pid(), SYS_ppoll);
    ASSERT_EQ(::eventfd_write(fd.get(), 1), 0);
    EXPECT_EQ(reader.wait(), 0);
}

TEST(cli_eventfd, eventfd_a_full_counter_takes_no_more) {
    const auto fd = counter(0, EFD_NONBLOCK);
    const auto number = std::to_string(fd.get());
    EXPECT_EQ(run({kith_command(), "eventfd", "add", number, "18446744073709551614"}).status, 0);
    EXPECT_EQ(run({kith_command(), "eventfd", "add", "--no-wait", number}).status, 3);
    EXPECT_EQ(run({kith_command(), "eventfd", "add", "--timeout", "10ms", number, "2"}).status, 124);
    const auto refused = run({kith_command(), "eventfd", "add", number, "18446744073709551615"});
    EXPECT_EQ(refused.status, 1);
    EXPECT_NE(refused.err.find("at most 18446744073709551614"), std::string::npos) << refused.err;
}

TEST(cli_eventfd, eventfd_of_another_process_is_reached_where_permitted) {
    const auto fd = counter(7, EFD_CLOEXEC);
    child holder{[] {
        for (;;) ::pause();
        return 0;
    }};
    const auto address = "fd:" + std::to_string(holder.pid()) + "/" + std::to_string(fd.get());
    const auto read = run({kith_command(), "eventfd", "read", "--timeout", "30s", address});
    if (read.err.find("not permitted") != std::string::npos) GTEST_SKIP() << read.err;
    EXPECT_EQ(read.out, "7\n") << read.err;
}

TEST(cli_eventfd, eventfd_nothing_but_an_eventfd_is_touched) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ASSERT_EQ(::write(ends[1], "12345678", 8), 8);
    const auto refused = run({kith_command(), "eventfd", "read", "--json", std::to_string(ends[0])});
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(json::parse(refused.err)["code"], "wrong_kind");
    char kept[8];
    EXPECT_EQ(::read(ends[0], kept, 8), 8);
    for (const int end : ends) ::close(end);
    EXPECT_EQ(run({kith_command(), "eventfd", "read", "987"}).status, 1);
    EXPECT_EQ(run({kith_command(), "eventfd", "read", "pid:1"}).status, 2);
    EXPECT_EQ(run({kith_command(), "eventfd", "read"}).status, 2);
    EXPECT_EQ(run({kith_command(), "eventfd", "add", "3", "-1"}).status, 2);
}

}  // namespace
