// eventfd: SEMANTICS E1, and the rules G2, G4 and G13 for it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <kith/observer.hpp>
#include <kith/sys/eventfd.hpp>
#include <thread>

#include "support/child.hpp"
#include "support/closing.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

event_fd made(std::uint32_t initial = 0, eventfd_mode mode = eventfd_mode::all) {
    auto made = open_eventfd(initial, mode);
    EXPECT_TRUE(ok(made));
    return std::move(*made);
}

TEST(sys_eventfd, eventfd_E1_a_look_returns_the_whole_number_and_clears_it) {
    auto counter = made(3);
    ASSERT_TRUE(ok(counter.add(4)));
    EXPECT_EQ(*counter.take(), 7u);
    EXPECT_TRUE(fails_with(counter.take(deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(counter.take(deadline::in(5ms)), errc::timed_out));
}

TEST(sys_eventfd, eventfd_E1_a_shorter_read_is_EINVAL) {
    auto counter = made(1);
    std::uint32_t four = 0;
    EXPECT_EQ(::read(counter.native().get(), &four, sizeof four), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(*counter.take(), 1u);
}

TEST(sys_eventfd, eventfd_E1_one_by_one_gives_1_per_look) {
    auto counter = made(2, eventfd_mode::one_by_one);
    EXPECT_EQ(*counter.take(), 1u);
    EXPECT_EQ(*counter.take(), 1u);
    EXPECT_TRUE(fails_with(counter.take(deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_eventfd, eventfd_E1_all_ones_is_refused_and_zero_changes_nothing) {
    auto counter = made(5);
    EXPECT_TRUE(fails_with(counter.add(event_fd::largest + 1), errc::invalid, EINVAL));
    EXPECT_TRUE(ok(counter.add(0)));
    EXPECT_EQ(*counter.take(), 5u);
}

TEST(sys_eventfd, eventfd_E1_a_full_counter_takes_no_more_until_it_is_read) {
    auto counter = made();
    ASSERT_TRUE(ok(counter.add(event_fd::largest)));
    pollfd look{counter.native().get(), POLLIN | POLLOUT, 0};
    ASSERT_EQ(::poll(&look, 1, 0), 1);
    EXPECT_EQ(look.revents, POLLIN);  // POLLOUT has vanished
    EXPECT_TRUE(fails_with(counter.add(1, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(counter.add(1, deadline::in(5ms)), errc::timed_out));
    EXPECT_EQ(*counter.take(), event_fd::largest);
    EXPECT_TRUE(ok(counter.add(1, deadline::immediate())));
}

TEST(sys_eventfd, eventfd_E1_a_number_that_does_not_fit_waits_though_there_is_room_for_1) {
    static std::atomic<int> polls;
    polls = 0;
    kith::set_observer([](const kith::event& what, void*) noexcept {
        if (what.kind == kith::event_kind::polling) ++polls;
    });
    auto counter = made();
    ASSERT_TRUE(ok(counter.add(event_fd::largest - 3)));
    EXPECT_TRUE(fails_with(counter.add(10, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(counter.add(10, deadline::in(5ms)), errc::timed_out));
    child reader{[&] {
        CHILD_CHECK(*counter.take() == event_fd::largest - 3);
        return 0;
    }};
    EXPECT_TRUE(ok(counter.add(10, deadline::in(30s))));
    kith::set_observer(nullptr);
    EXPECT_EQ(reader.wait(), 0);
    EXPECT_EQ(*counter.take(), 10u);
    EXPECT_GE(polls, 1);
}

TEST(sys_eventfd, eventfd_E1_it_counts_it_does_not_queue) {
    auto counter = made();
    child writer{[&] {
        for (const std::uint64_t n : {1u, 20u, 300u}) CHILD_CHECK(counter.add(n));
        return 0;
    }};
    EXPECT_EQ(writer.wait(), 0);
    EXPECT_EQ(*counter.take(), 321u);
}

TEST(sys_eventfd, eventfd_E1_a_waiter_is_woken_by_another_process) {
    auto counter = made();
    child waiter{[&] { return static_cast<int>(*counter.take()); }};
    wait_until_in_syscall(waiter.pid(), SYS_ppoll);
    ASSERT_TRUE(ok(counter.add(42)));
    EXPECT_EQ(waiter.wait(), 42);
}

TEST(sys_eventfd, eventfd_G1_close_and_stop_end_the_wait_for_room) {
    auto counter = made();
    ASSERT_TRUE(ok(counter.add(event_fd::largest - 1)));
    std::stop_source source;
    std::jthread asker{[&] { source.request_stop(); }};
    EXPECT_TRUE(fails_with(counter.add(7, {deadline::never(), source.get_token()}), errc::stopped, 0));
}

TEST(sys_eventfd, eventfd_G2_signals_do_not_break_a_wait) {
    auto counter = made();
    const signal_storm storm;
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(counter.take(deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 30ms);
    EXPECT_TRUE(fails_with(counter.take({deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}
TEST(sys_eventfd, eventfd_trap07_a_signal_does_not_break_the_wait_for_a_number) {
    auto counter = made();
    const signal_storm storm{1ms};
    const auto before = signal_storm::count();
    child writer{[&] {
        ::usleep(20000);  // lets some signals arrive first; nothing depends on how many
        return counter.add(1) ? 0 : 1;
    }};
    EXPECT_EQ(*counter.take(), 1u);
    EXPECT_GE(signal_storm::count(), before);
    EXPECT_EQ(writer.wait(), 0);
}

TEST(sys_eventfd, eventfd_G4_it_is_closed_on_exec) {
    EXPECT_TRUE(::fcntl(made().native().get(), F_GETFD) & FD_CLOEXEC);
}

TEST(sys_eventfd, eventfd_G9_the_number_is_gone_with_the_last_descriptor_and_not_before) {
    auto counter = made(9);
    auto copy = kith::duplicate(counter.native());
    ASSERT_TRUE(ok(copy));
    counter.close();
    event_fd again{std::move(*copy), kith::fd_mode::nonblocking};
    EXPECT_EQ(*again.take(), 9u);
}

TEST(sys_eventfd, eventfd_G13_a_forked_child_shares_the_counter) {
    auto counter = made(1);
    child kin{[&] {
        CHILD_CHECK(*counter.take() == 1);
        CHILD_CHECK(counter.add(6));
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(*counter.take(), 6u);
}

TEST(sys_eventfd, eventfd_in_blocking_mode_keeps_deadlines) {
    auto adopted = kith::io_fd::adopt(kith::owned_fd{static_cast<int>(::syscall(SYS_eventfd2, 0, O_CLOEXEC))});
    ASSERT_TRUE(ok(adopted));
    event_fd counter{std::move(*adopted)};
    EXPECT_TRUE(fails_with(counter.take(deadline::in(5ms)), errc::timed_out));
    ASSERT_TRUE(ok(counter.add(event_fd::largest)));
    EXPECT_TRUE(fails_with(counter.add(1, deadline::in(5ms)), errc::timed_out));
}

TEST(sys_eventfd, eventfd_of_another_kind_of_descriptor_is_refused) {
    auto adopted = kith::io_fd::adopt(kith::owned_fd{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)});
    ASSERT_TRUE(ok(adopted));
    event_fd counter{std::move(*adopted)};
    EXPECT_TRUE(fails_with(counter.take(deadline::in(5ms)), errc::wrong_kind, EISDIR));
    EXPECT_TRUE(fails_with(counter.add(1, deadline::in(5ms)), errc::invalid, EBADF));
}

TEST(sys_eventfd, eventfd_G4_close_between_two_short_waits_of_a_large_add_is_stopped) {
    auto counter = std::move(*open_eventfd());
    ASSERT_TRUE(ok(counter.add(0xffff'ffff'ffff'fffe - 1)));
    const closes_while_polling closing{counter};
    EXPECT_TRUE(fails_with(counter.add(1000), errc::stopped, 0));
    EXPECT_FALSE(counter.is_open());
}

}  // namespace
