// System V semaphore sets: SEMANTICS S9 to S14, the rules for all mechanisms, and the classic traps of semaphores.
#include <kith/observer.hpp>
#include <kith/sys/sysv_sem.hpp>

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <fstream>
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
using kith::on_signal;
using namespace kith::sys;

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
