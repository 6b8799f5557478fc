// Futexes in shared memory: the rules for all mechanisms, several words, and kernels without futex_waitv.
#include <kith/observer.hpp>
#include <kith/sys/futex.hpp>

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"
#include "support/shared_memory.hpp"
#include "support/syscall.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::on_signal;
using namespace kith::sys;

using word = std::atomic<std::uint32_t>;
using words = std::array<word, 4>;

const std::vector<long> futex_calls{SYS_futex, SYS_futex_waitv};

bool has_waitv() { return ::syscall(SYS_futex_waitv, nullptr, 0, 0, nullptr, 0) < 0 && errno == EINVAL; }

// Runs `body` as on a kernel without futex_waitv, and says whether it took the fallback.
int without_waitv(int os_error, const std::function<int()>& body) {
    return child{[&] {
               if (!deny({{.number = SYS_futex_waitv, .os_error = os_error}})) return 77;
               return body();
           }}
        .wait();
}

TEST(sys_futex, futex_a_changed_word_ends_the_sleep_of_another_process) {
    const shared<words> memory;
    auto& one = (*memory)[0];
    child waiter{[&] {
        while (one == 0) CHILD_CHECK(futex_wait(one, 0));
        return static_cast<int>(one.load());
    }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    one = 42;
    EXPECT_EQ(*futex_wake(one), 1);
    EXPECT_EQ(waiter.wait(), 42);
    EXPECT_EQ(*futex_wake(one), 0);
}

TEST(sys_futex, futex_the_word_is_the_same_in_another_mapping) {
    const int fd = ::memfd_create("kith-test", MFD_CLOEXEC);
    ASSERT_EQ(::ftruncate(fd, 4096), 0);
    const auto map = [&] {
        return static_cast<word*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    };
    word* const here = map();
    child waiter{[&] {
        word* const there = map();
        CHILD_CHECK(there != here);
        while (there->load() == 0) CHILD_CHECK(futex_wait(*there, 0));
        return 0;
    }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    *here = 1;
    EXPECT_EQ(*futex_wake_all(*here), 1);
    EXPECT_EQ(waiter.wait(), 0);
    ::munmap(here, 4096);
    ::close(fd);
}

TEST(sys_futex, futex_a_word_that_differs_is_not_slept_on) {
    word one{7};
    EXPECT_EQ(*futex_wait(one, 6), futex_end::changed);
    EXPECT_EQ(*futex_wait(one, 6, deadline::immediate()), futex_end::changed);
    EXPECT_TRUE(fails_with(futex_wait(one, 7, deadline::immediate()), errc::would_block, 0));
}

TEST(sys_futex, futex_wakes_as_many_as_asked) {
    const shared<words> memory;
    auto& one = (*memory)[0];
    std::vector<child> waiters;
    for (int i = 0; i < 3; ++i) waiters.emplace_back([&] { return *futex_wait(one, 0) == futex_end::woken ? 0 : 1; });
    for (auto& waiter : waiters) wait_until_in_syscall(waiter.pid(), SYS_futex);
    EXPECT_EQ(*futex_wake(one, 2), 2);
    EXPECT_EQ(*futex_wake_all(one), 1);
    for (auto& waiter : waiters) EXPECT_EQ(waiter.wait(), 0);
}

TEST(sys_futex, futex_G1_bad_words_are_told_apart) {
    words memory{};
    void* const page = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_TRUE(fails_with(futex_wake(*static_cast<word*>(page)), errc::io, EFAULT));
    ::munmap(page, 4096);
    EXPECT_TRUE(fails_with(futex_wait_any({}), errc::invalid, EINVAL));
    const std::vector<futex_word> many(futex_max_words + 1, {&memory[0], 0});
    EXPECT_TRUE(fails_with(futex_wait_any(many), errc::invalid, EINVAL));
    const std::vector<futex_word> most(futex_max_words, {&memory[0], 0});
    EXPECT_TRUE(fails_with(futex_wait_any(most, deadline::in(1ms)), errc::timed_out));
}

TEST(sys_futex, futex_G2_signals_do_not_shorten_or_break_a_wait) {
    words memory{};
    const std::array<futex_word, 2> both{{{&memory[0], 0}, {&memory[1], 0}}};
    const signal_storm storm;
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(futex_wait(memory[0], 0, deadline::in(40ms)), errc::timed_out, ETIMEDOUT));
    EXPECT_TRUE(fails_with(futex_wait_any(both, deadline::in(40ms)), errc::timed_out, ETIMEDOUT));
    EXPECT_GE(deadline::clock::now() - before, 80ms);
    EXPECT_TRUE(fails_with(futex_wait(memory[0], 0, {deadline::in(60s), on_signal::report}), errc::stopped, EINTR));
    EXPECT_TRUE(fails_with(futex_wait_any(both, {deadline::in(60s), on_signal::report}), errc::stopped, EINTR));
}

TEST(sys_futex, futex_G3_the_deadline_is_a_point_on_the_monotonic_clock) {
    const shared<words> memory;
    const auto before = deadline::clock::now().time_since_epoch();
    child waiter{[&] { return futex_wait((*memory)[0], 0, deadline::in(100s)) ? 0 : 1; }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    const auto call = sleeping_in(waiter.pid());
    ASSERT_TRUE(call);
    EXPECT_EQ(call->arguments[1], static_cast<unsigned>(FUTEX_WAIT_BITSET));  // shared, and not FUTEX_CLOCK_REALTIME
    const auto end = time_at(waiter.pid(), call->arguments[3]);
    EXPECT_GE(std::chrono::seconds{end.tv_sec + 1}, before + 100s);
}

TEST(sys_futex, futex_several_words_end_the_sleep_by_any_of_them) {
    const shared<words> memory;
    for (std::size_t which = 0; which < 3; ++which) {
        for (auto& one : *memory) one = 0;
        child waiter{[&] {
            const auto& all = *memory;
            const std::array<futex_word, 3> three{{{&all[0], 0}, {&all[1], 0}, {&all[2], 0}}};
            const auto ended = futex_wait_any(three, deadline::in(60s));
            CHILD_CHECK(ended);
            return static_cast<int>(ended->index);
        }};
        wait_until_in_syscall(waiter.pid(), futex_calls);
        (*memory)[which] = 1;
        ASSERT_TRUE(ok(futex_wake_all((*memory)[which])));
        EXPECT_EQ(waiter.wait(), static_cast<int>(which));
    }
    words mine{};
    mine[1] = 5;
    const std::array<futex_word, 2> two{{{&mine[0], 0}, {&mine[1], 0}}};
    const auto at_once = futex_wait_any(two);
    EXPECT_EQ(at_once->index, 1u);
    EXPECT_EQ(at_once->end, futex_end::changed);
    mine[1] = 0;
    EXPECT_TRUE(fails_with(futex_wait_any(two, deadline::immediate()), errc::would_block));
}

TEST(sys_futex, futex_a_stop_token_ends_the_wait) {
    words memory{};
    const std::array<futex_word, 2> both{{{&memory[0], 0}, {&memory[1], 0}}};
    for (const bool several : {false, true}) {
        std::atomic<pid_t> tid{0};
        std::jthread waiter{[&](const std::stop_token& stop) {
            tid = static_cast<pid_t>(::syscall(SYS_gettid));
            const kith::wait_policy how{deadline::never(), stop};
            if (several)
                EXPECT_TRUE(fails_with(futex_wait_any(both, how), errc::stopped, 0));
            else
                EXPECT_TRUE(fails_with(futex_wait(memory[0], 0, how), errc::stopped, 0));
        }};
        while (tid == 0) std::this_thread::yield();
        const std::vector<long>& calls = futex_calls;
        wait_until_in_syscall(tid, calls);
        waiter.request_stop();
    }
}

TEST(sys_futex, futex_a_wait_with_a_stop_token_is_one_sleep_where_futex_waitv_exists) {
    if (!has_waitv()) GTEST_SKIP() << "this kernel has no futex_waitv";
    const shared<words> memory;
    child waiter{[&] {
        std::stop_source stop;
        return *futex_wait((*memory)[0], 0, {deadline::never(), stop.get_token()}) == futex_end::woken ? 0 : 1;
    }};
    wait_until_in_syscall(waiter.pid(), SYS_futex_waitv);
    EXPECT_EQ(*futex_wake((*memory)[0]), 1);
    EXPECT_EQ(waiter.wait(), 0);
}

TEST(sys_futex, futex_without_futex_waitv_the_words_are_looked_at) {
    for (const int os_error : {ENOSYS, EPERM}) {
        const int status = without_waitv(os_error, [] {
            static std::atomic<int> fallbacks;
            static std::atomic<int> polls;
            kith::set_observer([](const kith::event& what, void*) noexcept {
                fallbacks += what.kind == kith::event_kind::fallback_taken;
                polls += what.kind == kith::event_kind::polling;
            });
            words memory{};
            const std::array<futex_word, 2> both{{{&memory[0], 0}, {&memory[1], 0}}};
            for (int i = 0; i < 2; ++i) {
                const auto late = futex_wait_any(both, deadline::in(10ms));
                CHILD_CHECK(!late && late.error().code() == errc::timed_out);
            }
            CHILD_CHECK(fallbacks == 1);  // remembered
            CHILD_CHECK(polls == 2);
            for (std::size_t which = 0; which < 2; ++which) {
                memory[which] = 0;
                std::jthread changer{[&] {
                    memory[which] = 1;
                    CHILD_CHECK(futex_wake_all(memory[which]));
                }};
                const auto ended = futex_wait_any(both, deadline::in(60s));
                CHILD_CHECK(ended && ended->index == which);
                changer.join();
                memory[which] = 0;
            }
            std::stop_source stop;
            std::jthread stopper{[&] { stop.request_stop(); }};
            const auto stopped = futex_wait(memory[0], 0, {deadline::in(60s), stop.get_token()});
            CHILD_CHECK(!stopped && stopped.error().code() == errc::stopped);
            return 0;
        });
        if (status == 77) GTEST_SKIP() << "seccomp is not available";
        EXPECT_EQ(status, 0);
    }
}

TEST(sys_futex, futex_a_killed_waiter_is_forgotten) {
    const shared<words> memory;
    child waiter{[&] { return futex_wait((*memory)[0], 0) ? 0 : 1; }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    waiter.kill_and_reap();
    EXPECT_EQ(*futex_wake((*memory)[0]), 0);
}

}  // namespace
