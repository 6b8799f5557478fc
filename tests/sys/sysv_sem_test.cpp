// System V semaphore sets: SEMANTICS S1-S14, the rules for all mechanisms, and the classic traps of semaphores.
#include <kith/observer.hpp>
#include <kith/sys/sysv_sem.hpp>

#include <sched.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/syscall.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::on_signal;
using namespace kith::sys;

using number_list = std::vector<std::uint16_t>;

// A key that nobody else uses: from the process and a counter, away from what ftok makes of small projects.
sysv_key fresh_key() {
    static int counter = 0;
    return sysv_key{static_cast<std::int32_t>(0x6b000000 + ((::getpid() & 0xffff) << 8) + ++counter)};
}

// A set that is removed at the end of the test, whatever happened.
class test_set {
public:
    explicit test_set(const number_list& values, unsigned mode = 0600)
        : set{*sysv_sem::open(sysv_key::private_object(),
                              {.create = creation::must_be_new, .values = values, .mode = mode})} {}
    template <std::same_as<sysv_sem> Set>  // so that a list in braces is never taken for one
    explicit test_set(Set existing) : set{existing} {}
    ~test_set() { ::semctl(set.native_id(), 0, IPC_RMID); }
    test_set(const test_set&) = delete;
    test_set& operator=(const test_set&) = delete;
    const sysv_sem* operator->() const { return &set; }

    [[nodiscard]] number_list all() const {
        number_list values(set.status()->count);
        EXPECT_TRUE(ok(set.values(values)));
        return values;
    }
    kith::result<void> apply(const std::vector<sem_operation>& steps, const kith::wait_policy& wait = {}) const {
        return set.apply(steps, wait);
    }
    sysv_sem set;
};

void wait_for_waiters(const sysv_sem& set, std::uint16_t number, int count) {
    for (const auto give_up = deadline::in(20s); *set.waiters(number) < count;) {
        ASSERT_GT(give_up.remaining_ns(), 0);
        std::this_thread::sleep_for(1ms);
    }
}

// What a program without kith's protocol does: makes the set and goes no further.
int made_raw(sysv_key key, int count, int mode = 0600) {
    return ::semget(key.value(), count, IPC_CREAT | IPC_EXCL | mode);
}
struct removal {
    int id;
    ~removal() { ::semctl(id, 0, IPC_RMID); }
};

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

TEST(sys_sysv_sem, sysv_sem_S7_undo_is_applied_at_exit) {
    const test_set set{{5, 5}};
    child both{[&] {
        CHILD_CHECK(set->wait(0, 3, sem_undo::at_exit));
        CHILD_CHECK(set->wait(1, 3));
        return 0;
    }};
    EXPECT_EQ(both.wait(), 0);
    EXPECT_EQ(set.all(), (number_list{5, 2}));
}

TEST(sys_sysv_sem, sysv_sem_S7_undo_is_applied_to_each_step_of_several) {
    const test_set set{{5, 5}};
    child both{[&] {
        const std::array steps{sem_operation{.number = 0, .delta = -3, .undo = true},
                               sem_operation{.number = 1, .delta = -3}};
        CHILD_CHECK(set->apply(steps));
        return 0;
    }};
    EXPECT_EQ(both.wait(), 0);
    EXPECT_EQ(set.all(), (number_list{5, 2}));
}

TEST(sys_sysv_sem, sysv_sem_trap22_a_killed_holder_gives_back_what_it_took_with_undo) {
    const test_set set{{1}};
    child holder{[&] {
        CHILD_CHECK(set->wait(0, 1, sem_undo::at_exit));
        for (;;) ::pause();
        return 0;
    }};
    wait_until_in_syscall(holder.pid(), {
#ifdef SYS_pause
                                            SYS_pause,
#endif
                                            SYS_ppoll});
    child next{[&] { return set->wait(0, 1, sem_undo::no, deadline::in(60s)) ? 0 : 1; }};
    wait_for_waiters(set.set, 0, 1);
    holder.kill_and_reap();
    EXPECT_EQ(next.wait(), 0);
}

TEST(sys_sysv_sem, sysv_sem_trap22_without_undo_a_killed_holder_gives_nothing_back) {
    const test_set set{{1}};
    child holder{[&] {
        CHILD_CHECK(set->wait(0));
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(holder.wait(), 128 + SIGKILL);
    EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, deadline::in(10ms)), errc::timed_out));
}

TEST(sys_sysv_sem, sysv_sem_S7_G13_undo_is_kept_across_exec_and_not_inherited_by_fork) {
    const test_set set{{2}};
    int started[2];
    int end[2];
    ASSERT_EQ(::pipe(started), 0);
    ASSERT_EQ(::pipe(end), 0);
    child holder{[&] {
        CHILD_CHECK(set->wait(0, 1, sem_undo::at_exit));
        child forked{[] { return 0; }};
        CHILD_CHECK(forked.wait() == 0);
        CHILD_CHECK(*set->value(0) == 1);  // the fork's end undid nothing
        ::dup2(end[0], 0);
        ::dup2(started[1], 1);
        for (const int fd : {started[0], started[1], end[0], end[1]}) ::close(fd);
        ::execlp("sh", "sh", "-c", "echo; read line", nullptr);
        return 127;
    }};
    ::close(started[1]);
    char byte;
    ASSERT_EQ(::read(started[0], &byte, 1), 1);
    EXPECT_EQ(*set->value(0), 1);  // another program by now, and the semaphore still taken
    ::close(end[1]);
    holder.wait();
    EXPECT_EQ(*set->value(0), 2);
    ::close(started[0]);
    ::close(end[0]);
}

TEST(sys_sysv_sem, sysv_sem_S7_undo_belongs_to_the_process_not_to_a_thread) {
    const test_set set{{1}};
    child holder{[&] {
        std::thread{[&] { CHILD_CHECK(set->wait(0, 1, sem_undo::at_exit)); }}.join();
        CHILD_CHECK(*set->value(0) == 0);
        return 0;
    }};
    EXPECT_EQ(holder.wait(), 0);
    EXPECT_EQ(*set->value(0), 1);
}

TEST(sys_sysv_sem, sysv_sem_trap21_setting_values_wipes_the_undo_of_others) {
    for (const bool all : {false, true}) {
        const test_set set{{1}};
        child holder{[&] {
            CHILD_CHECK(set->wait(0, 1, sem_undo::at_exit));
            const number_list zero{0};
            CHILD_CHECK(set->wait_for_zero(0));
            child setter{[&] { return (all ? set->set_values(zero) : set->set_value(0, 0)) ? 0 : 1; }};
            CHILD_CHECK(setter.wait() == 0);
            return 0;
        }};
        EXPECT_EQ(holder.wait(), 0);
        EXPECT_EQ(*set->value(0), 0);  // the undo would have made it 1
    }
}

TEST(sys_sysv_sem, sysv_sem_S7_an_undo_stops_at_zero_and_the_rest_is_lost) {
    const test_set set{{0}};
    child giver{[&] {
        CHILD_CHECK(set->post(0, 3, sem_undo::at_exit));
        child user{[&] { return set->wait(0, 2) ? 0 : 1; }};
        CHILD_CHECK(user.wait() == 0);
        return 0;
    }};
    EXPECT_EQ(giver.wait(), 0);
    EXPECT_EQ(*set->value(0), 0);
}

TEST(sys_sysv_sem, sysv_sem_S7_P_and_V_with_undo_cancel_out) {
    const test_set set{{1}};
    child polite{[&] {
        for (int i = 0; i < 100; ++i) {
            CHILD_CHECK(set->wait(0, 1, sem_undo::at_exit));
            CHILD_CHECK(set->post(0, 1, sem_undo::at_exit));
        }
        return 0;
    }};
    EXPECT_EQ(polite.wait(), 0);
    EXPECT_EQ(*set->value(0), 1);
}

TEST(sys_sysv_sem, sysv_sem_S9_values_pids_and_waiters_are_told) {
    const test_set set{{3, 1, 4}};
    EXPECT_EQ(set.all(), (number_list{3, 1, 4}));
    const number_list next{9, 2, 6};
    ASSERT_TRUE(ok(set->set_values(next)));
    ASSERT_TRUE(ok(set->set_value(1, 5)));
    EXPECT_EQ(set.all(), (number_list{9, 5, 6}));
    child poster{[&] { return set->post(2) ? 0 : 1; }};
    EXPECT_EQ(poster.wait(), 0);
    EXPECT_EQ(*set->last_pid(2), poster.pid());
    EXPECT_EQ(*set->last_pid(1), ::getpid());
    EXPECT_EQ(*set->waiters(0), 0);
    EXPECT_EQ(*set->zero_waiters(0), 0);
}

TEST(sys_sysv_sem, sysv_sem_S9_all_values_need_exactly_as_many_places) {
    const test_set set{{1, 2, 3}};
    for (const std::size_t wrong : {2u, 4u, 0u}) {
        number_list places(wrong);
        EXPECT_TRUE(fails_with(set->values(places), errc::wrong_size));
        EXPECT_TRUE(fails_with(set->set_values(places), errc::wrong_size));
        EXPECT_TRUE(fails_with(sysv_sem::from_id(set->native_id()).values(places),
                               errc::wrong_size));  // size not known beforehand
    }
    number_list right(3);
    EXPECT_TRUE(ok(sysv_sem::from_id(set->native_id()).values(right)));
    EXPECT_EQ(right, (number_list{1, 2, 3}));
}

TEST(sys_sysv_sem, sysv_sem_S9_status_tells_owner_mode_times_and_key) {
    const auto key = fresh_key();
    const test_set set{*sysv_sem::open(key, {.create = creation::must_be_new, .count = 2, .mode = 0640})};
    const auto now = set->status();
    ASSERT_TRUE(ok(now));
    EXPECT_EQ(now->key, key);
    EXPECT_EQ(now->count, 2u);
    EXPECT_EQ(now->mode, 0640u);
    EXPECT_EQ(now->uid, ::geteuid());
    EXPECT_EQ(now->gid, ::getegid());
    EXPECT_EQ(now->creator_uid, ::geteuid());
    EXPECT_GE(now->last_operation, now->last_change - 1s);
    ASSERT_TRUE(ok(set->change({.mode = 0600})));
    EXPECT_EQ(set->status()->mode, 0600u);
}

TEST(sys_sysv_sem, sysv_sem_S9_all_sets_can_be_listed) {
    const test_set set{{1, 2}};
    const auto limits = read_sysv_sem_limits();
    ASSERT_TRUE(ok(limits));
    bool found = false;
    for (int i = 0; i <= limits->highest_slot; ++i) {
        const auto one = sysv_sem_in_slot(i);
        if (one && one->id == set->native_id()) found = one->status.count == 2;
        if (!one) {
            EXPECT_TRUE(fails_with(one, errc::not_found, EINVAL));
        }
    }
    EXPECT_TRUE(found);
}

TEST(sys_sysv_sem, sysv_sem_S10_who_waits_for_several_is_counted_where_it_is_stuck) {
    const test_set set{{0, 0}};
    child taker{[&] { return set.apply({{.number = 0, .delta = -1}, {.number = 1, .delta = -1}}) ? 0 : 1; }};
    wait_for_waiters(set.set, 0, 1);
    EXPECT_EQ(*set->waiters(1), 0);
    ASSERT_TRUE(ok(set->post(0)));
    wait_for_waiters(set.set, 1, 1);
    EXPECT_EQ(*set->waiters(0), 0);
}

TEST(sys_sysv_sem, sysv_sem_S11_a_set_removed_under_a_waiter_and_before_a_call) {
    const test_set set{{0, 1}};
    std::vector<child> waiters;
    const auto expect_removed = [](const kith::result<void>& outcome) {
        CHILD_CHECK(!outcome && outcome.error().code() == errc::removed && outcome.error().os_error() == EIDRM);
        return 0;
    };
    waiters.emplace_back([&] { return expect_removed(set->wait(0)); });
    waiters.emplace_back([&] { return expect_removed(set->wait(0, 1, sem_undo::at_exit, deadline::in(100s))); });
    waiters.emplace_back([&] { return expect_removed(set->wait_for_zero(1)); });
    for (auto& one : waiters) wait_until_in_syscall(one.pid(), SYS_semtimedop);
    ASSERT_TRUE(ok(set->remove()));
    for (auto& one : waiters) EXPECT_EQ(one.wait(), 0);
    EXPECT_TRUE(fails_with(set->post(0), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(set->value(0), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(set->status(), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(set->remove(), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(sysv_sem::open_id(set->native_id()), errc::not_found, EINVAL));
}

TEST(sys_sysv_sem, sysv_sem_trap06_an_old_id_does_not_name_a_new_set) {
    const auto key = fresh_key();
    const auto old = *sysv_sem::open(key, {.create = creation::must_be_new, .count = 1});
    ASSERT_TRUE(ok(old.remove()));
    const test_set fresh{*sysv_sem::open(key, {.create = creation::must_be_new, .count = 1})};
    EXPECT_NE(fresh->native_id(), old.native_id());
    EXPECT_TRUE(fails_with(old.post(0), errc::removed, EINVAL));
    EXPECT_EQ(*fresh->value(0), 0);
}

TEST(sys_sysv_sem, sysv_sem_G2_trap07_signals_do_not_shorten_or_break_a_wait) {
    const test_set set{{0}};
    for (const bool restart : {false, true}) {
        const signal_storm storm{2ms, restart};
        const auto before = deadline::clock::now();
        EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, deadline::in(40ms)), errc::timed_out));
        EXPECT_GE(deadline::clock::now() - before, 40ms);
        // S11, G2: always interrupted, SA_RESTART or not.
        EXPECT_TRUE(
            fails_with(set->wait(0, 1, sem_undo::no, {deadline::never(), on_signal::report}), errc::stopped, EINTR));
        EXPECT_TRUE(
            fails_with(set->wait(0, 1, sem_undo::no, {deadline::in(20s), on_signal::report}), errc::stopped, EINTR));
    }
}

TEST(sys_sysv_sem, sysv_sem_S12_rights_to_alter_and_to_read) {
    NEEDS_ROOT();
    const auto refused = [](const auto& outcome) {
        return !outcome && outcome.error().code() == errc::not_permitted && outcome.error().os_error() == EACCES;
    };
    const test_set readable{{0}, 0604};
    EXPECT_EQ(0, as_nobody([&] {
                  const auto& set = readable.set;
                  CHILD_CHECK(set.wait_for_zero(0));
                  CHILD_CHECK(*set.value(0) == 0);
                  CHILD_CHECK(set.status());
                  CHILD_CHECK(refused(set.post(0)));
                  CHILD_CHECK(refused(set.wait(0, 1, sem_undo::no, deadline::immediate())));
                  CHILD_CHECK(refused(set.set_value(0, 1)));
                  number_list values(1);
                  CHILD_CHECK(set.values(values));
                  CHILD_CHECK(refused(set.set_values(values)));
                  return 0;
              }));
    const test_set alterable{{0}, 0602};
    EXPECT_EQ(0, as_nobody([&] {
                  const auto& set = alterable.set;
                  CHILD_CHECK(set.post(0));
                  CHILD_CHECK(set.set_value(0, 0));
                  CHILD_CHECK(refused(set.wait_for_zero(0)));
                  CHILD_CHECK(refused(set.value(0)));
                  CHILD_CHECK(refused(set.status()));
                  return 0;
              }));
}

TEST(sys_sysv_sem, sysv_sem_S12_only_the_owner_changes_or_removes_a_set) {
    NEEDS_ROOT();
    const auto key = fresh_key();
    const test_set set{*sysv_sem::open(key, {.create = creation::must_be_new, .count = 1, .mode = 0606})};
    const test_set closed{{1}, 0600};
    EXPECT_EQ(0, as_nobody([&] {
                  for (const auto& refused : {set->remove(), set->change({.uid = 65534})})
                      CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted &&
                                  refused.error().os_error() == EPERM);
                  CHILD_CHECK(sysv_sem::open(key));
                  const auto unreadable = sysv_sem::open_id(closed->native_id());
                  CHILD_CHECK(!unreadable && unreadable.error().code() == errc::not_permitted);
                  return 0;
              }));
    ASSERT_TRUE(ok(set->change({.uid = 65534})));
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(set->remove());
                  return 0;
              }));
}

TEST(sys_sysv_sem, sysv_sem_S13_a_waiter_for_many_can_starve) {
    const test_set set{{0}};
    child greedy{[&] { return set->wait(0, 5) ? 0 : 1; }};
    wait_for_waiters(set.set, 0, 1);
    for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(ok(set->post(0, 4)));
        ASSERT_TRUE(ok(set->wait(0, 4, sem_undo::no, deadline::immediate())));  // past the older waiter
    }
    EXPECT_FALSE(greedy.poll());
    ASSERT_TRUE(ok(set->post(0, 5)));
    EXPECT_EQ(greedy.wait(), 0);
}

TEST(sys_sysv_sem, sysv_sem_S14_limits_are_told_and_reached) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        if (!(std::ofstream{"/proc/sys/kernel/sem"} << "20 30 10 3" << std::flush)) return 77;
        const auto limits = read_sysv_sem_limits();
        CHILD_CHECK(limits);
        CHILD_CHECK(limits->per_set == 20 && limits->semaphores == 30 && limits->steps == 10 && limits->sets == 3);
        CHILD_CHECK(limits->sets_in_use == 0 && limits->semaphores_in_use == 0);
        const auto make = [](std::size_t count) {
            return sysv_sem::open(sysv_key::private_object(), {.create = creation::must_be_new, .count = count});
        };
        const auto refused = [](const auto& outcome, errc code, int os_error) {
            return !outcome && outcome.error().code() == code && outcome.error().os_error() == os_error;
        };
        CHILD_CHECK(refused(make(21), errc::invalid, EINVAL));  // SEMMSL
        const auto first = make(20);
        CHILD_CHECK(first);
        CHILD_CHECK(refused(make(11), errc::limit_reached, ENOSPC));  // SEMMNS
        CHILD_CHECK(make(1) && make(1));
        CHILD_CHECK(refused(make(1), errc::limit_reached, ENOSPC));  // SEMMNI
        CHILD_CHECK(refused(first->apply(std::vector<sem_operation>(11, {.delta = 1})), errc::too_long, E2BIG));
        CHILD_CHECK(read_sysv_sem_limits()->sets_in_use == 3 && read_sysv_sem_limits()->semaphores_in_use == 22);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "needs the right to set limits in a new IPC namespace";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_sem, sysv_sem_G1_the_ways_to_fail_are_told_apart_and_name_the_object) {
    const auto key = fresh_key();
    const auto absent = sysv_sem::open(key);
    ASSERT_TRUE(fails_with(absent, errc::not_found, ENOENT));
    EXPECT_EQ(absent.error().object(), kith::object_ref::sysv_key(key.value()));
    EXPECT_STREQ(absent.error().operation(), "semget");
    const test_set set{*sysv_sem::open(key, {.create = creation::must_be_new, .count = 1})};
    EXPECT_TRUE(fails_with(sysv_sem::open(key, {.create = creation::must_be_new, .count = 1}), errc::exists, EEXIST));
    const auto busy = set->wait(0, 1, sem_undo::no, deadline::immediate());
    ASSERT_TRUE(fails_with(busy, errc::would_block, EAGAIN));
    EXPECT_EQ(busy.error().object(), kith::object_ref::sysv_id(set->native_id()));
    EXPECT_TRUE(fails_with(sysv_sem::open(sysv_key::private_object()), errc::invalid));
}

TEST(sys_sysv_sem, sysv_sem_G8_keys_belong_to_the_ipc_namespace) {
    const auto key = fresh_key();
    const test_set set{*sysv_sem::open(key, {.create = creation::must_be_new, .count = 1})};
    const int status = in_namespaces(CLONE_NEWIPC, [&] {
        const auto hidden = sysv_sem::open(key);
        CHILD_CHECK(!hidden && hidden.error().code() == errc::not_found);
        CHILD_CHECK(kith::describe(hidden.error()).find("namespace") != std::string::npos);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no new IPC namespace here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_sem, sysv_sem_G9_a_set_outlives_its_creator) {
    const auto key = fresh_key();
    child creator{[&] {
        const number_list seven{7};
        CHILD_CHECK(sysv_sem::open(key, {.create = creation::must_be_new, .values = seven}));
        ::raise(SIGKILL);
        return 0;
    }};
    creator.wait();
    const test_set left{*sysv_sem::open(key)};
    EXPECT_EQ(*left->value(0), 7);
    EXPECT_FALSE(left->created());
}

TEST(sys_sysv_sem, sysv_sem_G12_the_umask_does_not_apply) {
    const test_set set{{0}, 0666};  // the umask is 022
    EXPECT_EQ(set->status()->mode, 0666u);
}

TEST(sys_sysv_sem, sysv_sem_a_stop_token_ends_the_wait) {
    const test_set set{{0}};
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&](const std::stop_token& stop) {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, {deadline::never(), stop}), errc::stopped, 0));
        EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, {deadline::never(), stop}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_semtimedop);
    waiter.request_stop();
}

TEST(sys_sysv_sem, sysv_sem_a_wait_with_a_stop_token_keeps_its_deadline_and_is_told_once) {
    static std::atomic<int> events;
    kith::set_observer(
        [](const kith::event& what, void*) noexcept { events += what.kind == kith::event_kind::polling; });
    const test_set set{{0}};
    std::stop_source stop;
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(set->wait(0, 1, sem_undo::no, {deadline::in(70ms), stop.get_token()}), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 70ms);
    EXPECT_EQ(events, 1);
    kith::set_observer(nullptr);
}

TEST(sys_sysv_sem, sysv_sem_G11_a_private_key_names_no_set_that_could_exist) {
    EXPECT_TRUE(fails_with(sysv_sem::open(sysv_key::private_object(), {.create = creation::must_exist}), errc::invalid,
                           EINVAL));
}

TEST(sys_sysv_sem, sysv_sem_G12_bits_of_the_mode_above_0777_are_invalid) {
    const auto key = fresh_key();
    EXPECT_TRUE(fails_with(sysv_sem::open(key, {.create = creation::must_be_new, .count = 1, .mode = 01600}),
                           errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(sysv_sem::open(key), errc::not_found));
    const test_set set{*sysv_sem::open(key, {.create = creation::must_be_new, .count = 1})};
    EXPECT_TRUE(fails_with(set->change({.mode = 01600}), errc::invalid, EINVAL));
    EXPECT_EQ(set->status()->mode, 0600u);
}

}  // namespace
