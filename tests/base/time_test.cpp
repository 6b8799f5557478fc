// Deadlines: arithmetic that never overflows, on the monotonic clock.
#include <kith/time.hpp>

#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "support/scope.hpp"

namespace {

using kith::deadline;
using namespace std::chrono_literals;

TEST(base_time, time_G3_a_deadline_is_a_point_on_the_monotonic_clock) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto before = now.tv_sec * 1'000'000'000 + now.tv_nsec;
    const auto then = deadline::in(1s).monotonic_ns();
    EXPECT_GE(then, before + 1'000'000'000);
    EXPECT_LT(then, before + 61'000'000'000);
}

TEST(base_time, never_and_immediate_are_no_points_in_time) {
    EXPECT_TRUE(deadline::never().is_never());
    EXPECT_TRUE(deadline::immediate().is_immediate());
    EXPECT_EQ(deadline::immediate().remaining_ns(), 0);
    EXPECT_FALSE(kith::detail::expired(deadline::never()));
    EXPECT_EQ(kith::detail::expiry_code(deadline::immediate()), kith::errc::would_block);
    EXPECT_EQ(kith::detail::expiry_code(deadline::in(0s)), kith::errc::timed_out);
}

TEST(base_time, extreme_spans_neither_overflow_nor_wrap) {
    EXPECT_TRUE(deadline::in(std::chrono::hours::max()).is_never());
    EXPECT_TRUE(deadline::in(std::chrono::duration<double>{1e300}).is_never());
    EXPECT_EQ(deadline::in(std::chrono::hours::min()).remaining_ns(), 0);
    EXPECT_EQ(deadline::in(-1s).remaining_ns(), 0);
    EXPECT_FALSE(deadline::in(-1s).is_immediate());
    EXPECT_EQ(deadline::at(deadline::clock::time_point::min()).remaining_ns(), 0);
}

TEST(base_time, time_G3_nanoseconds_stay_below_a_second) {
    const auto spec = kith::detail::to_timespec(1'999'999'999);
    EXPECT_EQ(spec.tv_sec, 1);
    EXPECT_EQ(spec.tv_nsec, 999'999'999);
    const auto slice = kith::detail::remaining(deadline::never(), 50);
    EXPECT_EQ(slice.tv_nsec, 50);
}

TEST(base_time, the_earlier_of_two) {
    const auto soon = deadline::in(1s);
    EXPECT_EQ(deadline::earlier(soon, deadline::never()), soon);
    EXPECT_EQ(deadline::earlier(soon, deadline::immediate()), deadline::immediate());
}

TEST(base_time, a_span_far_below_zero_has_passed) {
    EXPECT_EQ(deadline::in(std::chrono::seconds{-10'000'000'000}).remaining_ns(), 0);
    EXPECT_EQ(deadline::in(std::chrono::hours::min()).remaining_ns(), 0);
    EXPECT_EQ(deadline::in(std::chrono::duration<double>{std::numeric_limits<double>::quiet_NaN()}).remaining_ns(), 0);
}

}  // namespace
