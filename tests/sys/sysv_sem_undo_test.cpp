// System V semaphore sets: SEMANTICS S7, undo, and what setting values does to it.
#include <kith/sys/sysv_sem.hpp>

#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <thread>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "sys/semaphore_sets.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

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

}  // namespace
