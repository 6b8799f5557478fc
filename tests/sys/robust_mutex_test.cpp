// The lock that tells that its holder died: SEMANTICS S8 and trap 22.
#include <kith/observer.hpp>
#include <kith/sys/robust_mutex.hpp>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <csignal>
#include <thread>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/shared_memory.hpp"
#include "support/syscall.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

struct guarded {
    alignas(robust_mutex) std::byte lock[sizeof(robust_mutex)];
    int count;
};

struct test_lock {
    shared<guarded> memory;
    robust_mutex& mutex = **robust_mutex::create_at(memory->lock);

    // Locks it in a process that is killed before it unlocks.
    void die_holding() {
        child holder{[&] {
            CHILD_CHECK(mutex.lock());
            ::raise(SIGKILL);
            return 0;
        }};
        EXPECT_EQ(holder.wait(), 128 + SIGKILL);
    }
};

TEST(sys_robust_mutex, sysv_sem_S8_the_next_holder_is_told_that_the_last_one_died) {
    test_lock lock;
    lock.die_holding();
    EXPECT_EQ(*lock.mutex.lock(), guarded_state::owner_died);
    ASSERT_TRUE(ok(lock.mutex.mark_consistent()));
    ASSERT_TRUE(ok(lock.mutex.unlock()));
    EXPECT_EQ(*lock.mutex.lock(), guarded_state::consistent);
    EXPECT_TRUE(ok(lock.mutex.unlock()));
}

TEST(sys_robust_mutex, robust_mutex_trap22_a_waiter_gets_the_lock_of_a_killed_holder) {
    static std::atomic<int> died;
    kith::set_observer(
        [](const kith::event& what, void*) noexcept { died += what.kind == kith::event_kind::peer_died; });
    test_lock lock;
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    child holder{[&] {
        CHILD_CHECK(lock.mutex.lock());
        CHILD_CHECK(::write(ready[1], "x", 1) == 1);
        for (;;) ::pause();
        return 0;
    }};
    char byte;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    for (const auto how : {kith::wait_policy{}, kith::wait_policy{deadline::in(60s)}}) {
        std::atomic<pid_t> tid{0};
        std::jthread waiter{[&] {
            tid = static_cast<pid_t>(::syscall(SYS_gettid));
            EXPECT_EQ(*lock.mutex.lock(how), guarded_state::owner_died);
            EXPECT_TRUE(ok(lock.mutex.mark_consistent()));
            EXPECT_TRUE(ok(lock.mutex.unlock()));
        }};
        while (tid == 0) std::this_thread::yield();
        wait_until_thread_in_syscall(tid, SYS_futex);
        if (how.until.is_never()) {
            holder.kill_and_reap();
            waiter.join();
            break;
        }
    }
    EXPECT_EQ(died, 1);
    kith::set_observer(nullptr);
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST(sys_robust_mutex, sysv_sem_S8_a_lock_given_back_without_repair_is_lost_for_all) {
    test_lock lock;
    lock.die_holding();
    EXPECT_EQ(*lock.mutex.lock(), guarded_state::owner_died);
    ASSERT_TRUE(ok(lock.mutex.unlock()));
    for (const auto until : {deadline::immediate(), deadline::in(60s), deadline::never()}) {
        const auto lost = lock.mutex.lock(until);
        ASSERT_TRUE(fails_with(lost, errc::bad_peer, ENOTRECOVERABLE));
        EXPECT_NE(kith::remedy(lost.error()).find("anew"), std::string_view::npos);
    }
    // Made anew in the same place, it is as new.
    ASSERT_TRUE(ok(robust_mutex::create_at(lock.memory->lock)));
    EXPECT_EQ(*lock.mutex.lock(), guarded_state::consistent);
    EXPECT_TRUE(ok(lock.mutex.unlock()));
}

TEST(sys_robust_mutex, robust_mutex_two_processes_count_exactly) {
    test_lock lock;
    constexpr int rounds = 20000;
    const auto count = [&] {
        for (int i = 0; i < rounds; ++i) {
            CHILD_CHECK(lock.mutex.lock());
            lock.memory->count = lock.memory->count + 1;
            CHILD_CHECK(lock.mutex.unlock());
        }
        return 0;
    };
    child one{count};
    child two{count};
    EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(two.wait(), 0);
    EXPECT_EQ(lock.memory->count, 2 * rounds);
}

TEST(sys_robust_mutex, robust_mutex_it_belongs_to_the_thread_that_locked_it) {
    NOT_UNDER_TSAN("reports the wrong unlock that the mutex refuses");
    test_lock lock;
    EXPECT_TRUE(fails_with(lock.mutex.unlock(), errc::not_permitted, EPERM));
    ASSERT_TRUE(ok(lock.mutex.lock()));
    EXPECT_TRUE(fails_with(lock.mutex.lock(), errc::invalid, EDEADLK));
    EXPECT_TRUE(fails_with(lock.mutex.lock(deadline::in(1ms)), errc::invalid, EDEADLK));
    EXPECT_TRUE(fails_with(lock.mutex.mark_consistent(), errc::invalid, EINVAL));
    child kin{[&] {
        const auto refused = lock.mutex.unlock();
        CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted);
        const auto busy = lock.mutex.lock(deadline::immediate());
        CHILD_CHECK(!busy && busy.error().code() == errc::would_block && busy.error().os_error() == ETIMEDOUT);
        const auto late = lock.mutex.lock(deadline::in(10ms));
        CHILD_CHECK(!late && late.error().code() == errc::timed_out && late.error().os_error() == ETIMEDOUT);
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_TRUE(ok(lock.mutex.unlock()));
}

TEST(sys_robust_mutex, robust_mutex_the_end_of_the_holding_thread_counts_as_its_death) {
    test_lock lock;
    std::thread{[&] { EXPECT_TRUE(ok(lock.mutex.lock())); }}.join();
    EXPECT_EQ(*lock.mutex.lock(), guarded_state::owner_died);
    EXPECT_TRUE(ok(lock.mutex.mark_consistent()));
    EXPECT_TRUE(ok(lock.mutex.unlock()));
}

TEST(sys_robust_mutex, robust_mutex_G2_signals_do_not_shorten_or_break_a_wait) {
    test_lock lock;
    std::thread{[&] {
        ASSERT_TRUE(ok(lock.mutex.lock()));
        child waiter{[&] {
            const signal_storm storm;
            const auto before = deadline::clock::now();
            const auto late = lock.mutex.lock(deadline::in(40ms));
            CHILD_CHECK(!late && late.error().code() == errc::timed_out);
            CHILD_CHECK(deadline::clock::now() - before >= 40ms);
            return 0;
        }};
        EXPECT_EQ(waiter.wait(), 0);
        EXPECT_TRUE(ok(lock.mutex.unlock()));
    }}.join();
}

TEST(sys_robust_mutex, robust_mutex_trap14_a_wait_is_measured_on_the_monotonic_clock) {
    test_lock lock;
    ASSERT_TRUE(ok(lock.mutex.lock()));
    const auto before = deadline::clock::now().time_since_epoch();
    child waiter{[&] { return lock.mutex.lock(deadline::in(100s)) ? 0 : 1; }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    const auto call = sleeping_in(waiter.pid());
    ASSERT_TRUE(call);
    EXPECT_EQ(static_cast<int>(call->arguments[1]) & FUTEX_CLOCK_REALTIME, 0);
    EXPECT_EQ(static_cast<int>(call->arguments[1]) & FUTEX_CMD_MASK, FUTEX_WAIT_BITSET);
    const auto end = time_at(waiter.pid(), call->arguments[3]);
    EXPECT_GE(std::chrono::seconds{end.tv_sec + 1}, before + 100s);
    waiter.kill_and_reap();
    EXPECT_TRUE(ok(lock.mutex.unlock()));
}

TEST(sys_robust_mutex, robust_mutex_a_stop_token_ends_the_wait) {
    test_lock lock;
    ASSERT_TRUE(ok(lock.mutex.lock()));
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&](const std::stop_token& stop) {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(lock.mutex.lock({deadline::never(), stop}), errc::stopped, 0));
        EXPECT_TRUE(fails_with(lock.mutex.lock({deadline::never(), stop}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_futex);
    waiter.request_stop();
    waiter.join();
    EXPECT_TRUE(ok(lock.mutex.unlock()));
}

TEST(sys_robust_mutex, robust_mutex_it_needs_room_and_alignment) {
    const shared<std::array<guarded, 2>> memory;
    EXPECT_TRUE(fails_with(robust_mutex::create_at(memory.bytes().first(sizeof(robust_mutex) - 1)), errc::wrong_size));
    EXPECT_TRUE(fails_with(robust_mutex::at(memory.bytes().first(1)), errc::wrong_size));
    EXPECT_TRUE(fails_with(robust_mutex::create_at(memory.bytes().subspan(1)), errc::invalid));
    EXPECT_TRUE(fails_with(robust_mutex::at(memory.bytes().subspan(4)), errc::invalid));
    static_assert(!std::is_move_constructible_v<robust_mutex>);
}

TEST(sys_robust_mutex, robust_mutex_G2_a_reported_signal_ends_the_wait_and_another_does_not) {
    test_lock lock;
    ASSERT_TRUE(ok(lock.mutex.lock()));
    child waiter{[&] {
        const signal_storm storm;
        const auto reported = lock.mutex.lock({deadline::never(), kith::on_signal::report});
        CHILD_CHECK(fails_with(reported, errc::stopped, EINTR));
        CHILD_CHECK(fails_with(lock.mutex.lock(deadline::in(30ms)), errc::timed_out));
        return 0;
    }};
    EXPECT_EQ(waiter.wait(), 0);
    ASSERT_TRUE(ok(lock.mutex.unlock()));
    // Nobody interrupts: the lock is had as soon as it is free, and the deadline holds.
    const kith::wait_policy reporting{deadline::in(10s), kith::on_signal::report};
    EXPECT_EQ(*lock.mutex.lock(reporting), guarded_state::consistent);
    child late{[&] {
        const kith::wait_policy soon{deadline::in(20ms), kith::on_signal::report};
        CHILD_CHECK(fails_with(lock.mutex.lock(soon), errc::timed_out));
        return 0;
    }};
    EXPECT_EQ(late.wait(), 0);
    EXPECT_TRUE(ok(lock.mutex.unlock()));
}

}  // namespace
