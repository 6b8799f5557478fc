// timerfd: expirations on the monotonic clock, once, periodic, counted where nobody looked; rules G3, G4, G13.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <kith/sys/timerfd.hpp>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

timer_fd made() {
    auto made = open_timerfd();
    EXPECT_TRUE(ok(made));
    return std::move(*made);
}

TEST(sys_timerfd, timerfd_E4_it_expires_once_not_before_its_time_and_is_readable_then) {
    auto timer = made();
    const auto until = deadline::in(10ms);
    ASSERT_TRUE(ok(timer.arm(until)));
    EXPECT_GT(timer.remaining()->count(), 0);
    EXPECT_TRUE(fails_with(timer.take(deadline::immediate()), errc::would_block, EAGAIN));
    pollfd look{timer.native().get(), POLLIN, 0};
    EXPECT_EQ(::poll(&look, 1, -1), 1);
    EXPECT_EQ(until.remaining_ns(), 0);
    EXPECT_EQ(*timer.take(), 1u);
    EXPECT_TRUE(fails_with(timer.take(deadline::in(15ms)), errc::timed_out));
}

TEST(sys_timerfd, timerfd_a_period_goes_on_and_what_nobody_took_is_counted) {
    auto timer = made();
    ASSERT_TRUE(ok(timer.arm(deadline::immediate(), 2ms)));
    EXPECT_GE(*timer.take(), 1u);
    EXPECT_GE(*timer.take(), 1u);
    const auto late = deadline::clock::now() + 11ms;
    while (deadline::clock::now() < late) {
    }
    EXPECT_GE(*timer.take(), 5u);
}

TEST(sys_timerfd, timerfd_an_immediate_period_begins_now_and_not_at_boot) {
    auto timer = made();
    ASSERT_TRUE(ok(timer.arm(deadline::immediate(), 1h)));
    EXPECT_EQ(*timer.take(), 1u);
}

TEST(sys_timerfd, timerfd_a_moment_in_the_past_expires_at_once) {
    auto timer = made();
    ASSERT_TRUE(ok(timer.arm(deadline::at(deadline::clock::now() - 1s))));
    EXPECT_EQ(*timer.take(deadline::immediate()), 1u);
    ASSERT_TRUE(ok(timer.arm(deadline::immediate())));
    EXPECT_EQ(*timer.take(deadline::immediate()), 1u);
}

TEST(sys_timerfd, timerfd_disarming_forgets_what_had_expired) {
    auto timer = made();
    ASSERT_TRUE(ok(timer.arm(deadline::immediate())));
    ASSERT_TRUE(ok(timer.disarm()));
    EXPECT_TRUE(fails_with(timer.take(deadline::immediate()), errc::would_block));
    EXPECT_EQ(timer.remaining()->count(), 0);
    EXPECT_TRUE(fails_with(timer.arm(deadline::in(1s), -1ns), errc::invalid, EINVAL));
}

TEST(sys_timerfd, timerfd_G3_the_clock_is_the_monotonic_one) {
    const auto until = deadline::in(1h);
    auto timer = made();
    ASSERT_TRUE(ok(timer.arm(until)));
    EXPECT_LE(timer.remaining()->count(), std::chrono::nanoseconds{1h}.count());
    EXPECT_GE(timer.remaining()->count(), until.remaining_ns() - std::chrono::nanoseconds{10s}.count());
}

TEST(sys_timerfd, timerfd_G4_it_is_closed_on_exec) {
    EXPECT_TRUE(::fcntl(made().native().get(), F_GETFD) & FD_CLOEXEC);
}

TEST(sys_timerfd, timerfd_G13_a_forked_child_shares_the_timer) {
    auto timer = made();
    child kin{[&] {
        CHILD_CHECK(timer.arm(deadline::immediate()));
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(*timer.take(deadline::immediate()), 1u);
}

TEST(sys_timerfd, timerfd_trap07_signals_do_not_end_the_wait) {
    auto timer = made();
    const signal_storm storm;
    ASSERT_TRUE(ok(timer.arm(deadline::in(30ms))));
    EXPECT_EQ(*timer.take(), 1u);
    EXPECT_TRUE(fails_with(timer.take({deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}

}  // namespace
