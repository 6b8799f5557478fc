// System V semaphore sets: SEMANTICS S1 to S6: making them, and what operations do and how they wait.
#include <kith/sys/sysv_sem.hpp>

#include <sys/syscall.h>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/syscall.hpp"
#include "sys/semaphore_sets.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

TEST(sys_sysv_sem, sysv_sem_S1_G11_a_set_of_another_size_is_refused) {
    const auto key = fresh_key();
    const test_set three{*sysv_sem::open(key, {.create = creation::must_be_new, .count = 3})};
    for (const std::size_t wrong : {2u, 4u}) {
        EXPECT_TRUE(fails_with(sysv_sem::open(key, {.count = wrong}), errc::wrong_size));
        EXPECT_TRUE(
            fails_with(sysv_sem::open(key, {.create = creation::create_or_open, .count = wrong}), errc::wrong_size));
    }
    EXPECT_EQ(sysv_sem::open(key, {.count = 3})->native_id(), three->native_id());
    EXPECT_EQ(sysv_sem::open(key)->native_id(), three->native_id());  // any size
}

TEST(sys_sysv_sem, sysv_sem_S1_a_new_set_needs_a_size_within_the_limit) {
    const auto key = fresh_key();
    EXPECT_TRUE(fails_with(sysv_sem::open(key, {.create = creation::must_be_new}), errc::invalid, EINVAL));
    const auto most = read_sysv_sem_limits()->per_set;
    EXPECT_TRUE(
        fails_with(sysv_sem::open(key, {.create = creation::must_be_new, .count = most + 1}), errc::invalid, EINVAL));
    EXPECT_TRUE(
        fails_with(sysv_sem::open(key, {.create = creation::must_be_new, .count = (1UL << 32) + 1}), errc::invalid));
    EXPECT_TRUE(fails_with(sysv_sem::open(key), errc::not_found, ENOENT));
}

TEST(sys_sysv_sem, sysv_sem_S1_first_values_are_zero_or_as_given) {
    const test_set zero{*sysv_sem::open(sysv_key::private_object(), {.create = creation::must_be_new, .count = 3})};
    EXPECT_EQ(zero.all(), (number_list{0, 0, 0}));
    const test_set given{{1, 0, 32767}};
    EXPECT_EQ(given.all(), (number_list{1, 0, 32767}));
    const number_list two{1, 2};
    EXPECT_TRUE(fails_with(sysv_sem::open(fresh_key(), {.create = creation::must_be_new, .values = two, .count = 3}),
                           errc::invalid));
}

TEST(sys_sysv_sem, sysv_sem_S2_a_new_set_shows_by_sem_otime_that_its_values_are_set) {
    for (const number_list& values : {number_list{0, 0}, number_list{1}, number_list{32767, 4}, number_list{0, 7}}) {
        const test_set made{values};
        EXPECT_TRUE(made->created());
        EXPECT_NE(made->status()->last_operation, std::chrono::system_clock::time_point{});
        EXPECT_EQ(made.all(), values);
    }
    // The values alone do not show it.
    const removal raw{made_raw(fresh_key(), 1)};
    ASSERT_TRUE(ok(sysv_sem::from_id(raw.id).set_value(0, 1)));
    const number_list one{1};
    ASSERT_TRUE(ok(sysv_sem::from_id(raw.id).set_values(one)));
    EXPECT_EQ(sysv_sem::from_id(raw.id).status()->last_operation, std::chrono::system_clock::time_point{});
}

TEST(sys_sysv_sem, sysv_sem_S2_an_opener_waits_for_the_creator_to_finish) {
    const auto key = fresh_key();
    const test_set set{sysv_sem::from_id(made_raw(key, 2))};
    child opener{[&] {
        const auto found = sysv_sem::open(key, {.create = creation::create_or_open, .count = 2}, deadline::in(20s));
        CHILD_CHECK(found);
        CHILD_CHECK(!found->created());
        return *found->value(1);
    }};
    wait_until_in_syscall(opener.pid(), SYS_clock_nanosleep);
    const number_list values{1, 42};
    ASSERT_TRUE(ok(set->set_values(values)));
    wait_until_in_syscall(opener.pid(), SYS_clock_nanosleep);  // values are not enough
    EXPECT_FALSE(opener.poll());
    ASSERT_TRUE(ok(set->post(0)));
    EXPECT_EQ(opener.wait(), 42);
}

TEST(sys_sysv_sem, sysv_sem_S2_processes_that_race_to_create_see_the_values_set) {
    for (int round = 0; round < 20; ++round) {
        const auto key = fresh_key();
        std::vector<child> racers;
        for (int i = 0; i < 4; ++i)
            racers.emplace_back([&] {
                const number_list first{4, 9};
                const auto set =
                    sysv_sem::open(key, {.create = creation::create_or_open, .values = first}, deadline::in(20s));
                CHILD_CHECK(set);
                CHILD_CHECK(*set->value(1) == 9);
                CHILD_CHECK(set->wait(0, 1, sem_undo::no, deadline::immediate()));  // each finds its own
                return set->created() ? 1 : 0;
            });
        int creators = 0;
        for (auto& one : racers) creators += one.wait();
        EXPECT_EQ(creators, 1);
        const test_set end{*sysv_sem::open(key)};
        EXPECT_EQ(end.all(), (number_list{0, 9}));
    }
}

TEST(sys_sysv_sem, sysv_sem_S2_creating_in_vain_leaves_nothing_behind) {
    const auto key = fresh_key();
    const number_list impossible{1, 40000};
    EXPECT_TRUE(fails_with(sysv_sem::open(key, {.create = creation::must_be_new, .values = impossible}), errc::invalid,
                           ERANGE));
    EXPECT_TRUE(fails_with(sysv_sem::open(key), errc::not_found));
}

TEST(sys_sysv_sem, sysv_sem_trap04_a_creator_killed_before_it_set_the_values_is_reported_with_the_remedy) {
    const auto key = fresh_key();
    child creator{[&] {
        CHILD_CHECK(made_raw(key, 1) >= 0);
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(creator.wait(), 128 + SIGKILL);
    const test_set set{*sysv_sem::open(key, {.ready = sem_readiness::assumed})};
    const auto before = deadline::clock::now();
    const auto late = sysv_sem::open(key, {}, deadline::in(30ms));
    EXPECT_GE(deadline::clock::now() - before, 30ms);
    ASSERT_TRUE(fails_with(late, errc::timed_out));
    EXPECT_STREQ(late.error().operation(), "sem_otime");
    EXPECT_NE(kith::describe(late.error()).find("creator died"), std::string::npos);
    EXPECT_TRUE(fails_with(sysv_sem::open(key, {}, deadline::immediate()), errc::would_block));
    std::stop_source stop;
    stop.request_stop();
    EXPECT_TRUE(fails_with(sysv_sem::open(key, {}, {deadline::never(), stop.get_token()}), errc::stopped));
}

TEST(sys_sysv_sem, sysv_sem_S3_an_array_is_applied_whole_or_not_at_all) {
    const test_set set{{1, 0}};
    EXPECT_TRUE(fails_with(set.apply({{.number = 0, .delta = -1}, {.number = 1, .delta = -1}}, deadline::immediate()),
                           errc::would_block, EAGAIN));
    EXPECT_EQ(set.all(), (number_list{1, 0}));
    EXPECT_TRUE(ok(set.apply({{.number = 0, .delta = -1}, {.number = 1, .delta = 3}})));
    EXPECT_EQ(set.all(), (number_list{0, 3}));
}

TEST(sys_sysv_sem, sysv_sem_S3_steps_are_tried_in_order_on_intermediate_values) {
    const test_set set{{0, 0}};
    EXPECT_TRUE(fails_with(set.apply({{.number = 1, .delta = -1}, {.number = 1, .delta = 1}}, deadline::immediate()),
                           errc::would_block));
    EXPECT_TRUE(ok(set.apply({{.number = 1, .delta = 1}, {.number = 1, .delta = -1}}, deadline::immediate())));
    EXPECT_EQ(set.all(), (number_list{0, 0}));
}

TEST(sys_sysv_sem, sysv_sem_S3_a_waiting_array_is_applied_when_all_of_it_can_be) {
    const test_set set{{0, 0}};
    child taker{[&] { return set.apply({{.number = 0, .delta = -2}, {.number = 1, .delta = -3}}) ? 0 : 1; }};
    wait_for_waiters(set.set, 0, 1);
    ASSERT_TRUE(ok(set->post(0, 2)));
    wait_for_waiters(set.set, 1, 1);
    EXPECT_EQ(set.all(), (number_list{2, 0}));
    ASSERT_TRUE(ok(set->post(1, 4)));
    EXPECT_EQ(taker.wait(), 0);
    EXPECT_EQ(set.all(), (number_list{0, 1}));
}

TEST(sys_sysv_sem, sysv_sem_S4_P_and_V_by_any_positive_number) {
    const test_set set{{0}};
    ASSERT_TRUE(ok(set->post(0, 7)));
    EXPECT_TRUE(fails_with(set->wait(0, 8, sem_undo::no, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_EQ(*set->value(0), 7);
    EXPECT_TRUE(ok(set->wait(0, 5)));
    EXPECT_EQ(*set->value(0), 2);
    for (const int amount : {0, -1, 32768, 65536 + 1}) {
        EXPECT_TRUE(fails_with(set->wait(0, amount), errc::invalid));
        EXPECT_TRUE(fails_with(set->post(0, amount), errc::invalid));
    }
    EXPECT_EQ(*set->value(0), 2);
}

TEST(sys_sysv_sem, sysv_sem_S4_a_waiter_for_several_sleeps_until_all_are_there) {
    const test_set set{{0}};
    child taker{[&] { return set->wait(0, 3) ? 0 : 1; }};
    for (int i = 0; i < 3; ++i) {
        wait_for_waiters(set.set, 0, 1);
        ASSERT_TRUE(ok(set->post(0)));
    }
    EXPECT_EQ(taker.wait(), 0);
    EXPECT_EQ(*set->value(0), 0);
}

TEST(sys_sysv_sem, sysv_sem_S4_waiting_for_zero) {
    const test_set set{{2}};
    EXPECT_TRUE(fails_with(set->wait_for_zero(0, deadline::immediate()), errc::would_block, EAGAIN));
    child waiter{[&] { return set->wait_for_zero(0) ? 0 : 1; }};
    wait_until_in_syscall(waiter.pid(), SYS_semtimedop);
    ASSERT_TRUE(ok(set->wait(0, 1)));
    EXPECT_EQ(*set->zero_waiters(0), 1);
    ASSERT_TRUE(ok(set->wait(0, 1)));
    EXPECT_EQ(waiter.wait(), 0);
}

TEST(sys_sysv_sem, sysv_sem_S4_one_step_without_waiting_refuses_for_all) {
    const test_set set{{1, 0}};
    const std::vector<sem_operation> steps{{.number = 0, .delta = -1}, {.number = 1, .delta = -1, .no_wait = true}};
    EXPECT_TRUE(fails_with(set.apply(steps), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(set.apply(steps, deadline::in(20s)), errc::would_block, EAGAIN));  // not timed_out
    std::stop_source stop;
    EXPECT_TRUE(fails_with(set.apply(steps, {deadline::never(), stop.get_token()}), errc::would_block, EAGAIN));
    EXPECT_EQ(set.all(), (number_list{1, 0}));
}

TEST(sys_sysv_sem, sysv_sem_S5_bad_arrays_and_values_are_told_apart) {
    const test_set set{{1, 32767}};
    EXPECT_TRUE(fails_with(set.apply({}), errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(set.apply(std::vector<sem_operation>(501, {.delta = 1})), errc::too_long, E2BIG));
    EXPECT_TRUE(ok(set.apply(std::vector<sem_operation>(500, {.delta = 1}))));
    EXPECT_TRUE(fails_with(set->post(2), errc::invalid, EFBIG));
    EXPECT_TRUE(fails_with(set->post(1), errc::invalid, ERANGE));
    EXPECT_TRUE(fails_with(set->set_value(0, 32768), errc::invalid, ERANGE));
    EXPECT_TRUE(fails_with(set->set_value(0, -1), errc::invalid, ERANGE));
    const number_list over{0, 32768};
    EXPECT_TRUE(fails_with(set->set_values(over), errc::invalid, ERANGE));
    EXPECT_EQ(set.all(), (number_list{501, 32767}));
    EXPECT_TRUE(fails_with(set->value(2), errc::invalid, EINVAL));
}

TEST(sys_sysv_sem, sysv_sem_S5_an_undo_beyond_the_range_is_refused) {
    const test_set set{{32767}};
    child taker{[&] {
        CHILD_CHECK(set->wait(0, 32767, sem_undo::at_exit));
        CHILD_CHECK(set->post(0, 1));
        const auto more = set->wait(0, 1, sem_undo::at_exit);  // the adjustment would be 32768
        CHILD_CHECK(!more && more.error().code() == errc::invalid && more.error().os_error() == ERANGE);
        CHILD_CHECK(*set->value(0) == 1);
        CHILD_CHECK(set->wait(0, 1));
        return 0;
    }};
    EXPECT_EQ(taker.wait(), 0);
    EXPECT_EQ(*set->value(0), 32767);
}

TEST(sys_sysv_sem, sysv_sem_S6_deadlines_end_a_wait_as_timed_out) {
    const test_set set{{0}};
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, deadline::in(30ms)), errc::timed_out, EAGAIN));
    EXPECT_GE(deadline::clock::now() - before, 30ms);
    EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, deadline::at({})), errc::timed_out, EAGAIN));
    EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(set.apply({{.delta = -1}}, deadline::in(5ms)), errc::timed_out, EAGAIN));
    ASSERT_TRUE(ok(set->post(0)));
    EXPECT_TRUE(ok(set->wait(0, 1, sem_undo::no, deadline::at({}))));  // past, and nothing to wait for
    EXPECT_EQ(*set->waiters(0), 0);
}

TEST(sys_sysv_sem, sysv_sem_S6_a_post_in_time_ends_a_wait_with_a_deadline) {
    const test_set set{{0}};
    child taker{[&] { return set->wait(0, 1, sem_undo::no, deadline::in(100s)) ? 0 : 1; }};
    wait_until_in_syscall(taker.pid(), SYS_semtimedop);
    ASSERT_TRUE(ok(set->post(0)));
    EXPECT_EQ(taker.wait(), 0);
}

TEST(sys_sysv_sem, sysv_sem_G3_trap14_a_wait_is_measured_on_the_monotonic_clock) {
    const test_set set{{0}};
    child taker{[&] { return set->wait(0, 1, sem_undo::no, deadline::in(100s)) ? 0 : 1; }};
    wait_until_in_syscall(taker.pid(), SYS_semtimedop);
    const auto call = sleeping_in(taker.pid());
    ASSERT_TRUE(call);
    // A span, not a point of the wall clock: the kernel counts it on CLOCK_MONOTONIC.
    const auto left = time_at(taker.pid(), call->arguments[3]);
    EXPECT_GE(left.tv_sec, 1);
    EXPECT_LE(left.tv_sec, 100);
}

}  // namespace
