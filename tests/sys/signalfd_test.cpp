// signalfd: SEMANTICS E2, and the rules G4 and G13 for it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <kith/sys/signalfd.hpp>
#include <kith/sys/spawn.hpp>
#include <thread>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

signal_fd made(const signal_set& signals) {
    auto made = open_signalfd(signals);
    EXPECT_TRUE(ok(made));
    return std::move(*made);
}

void queue_signal(int signal, int value) {
    union sigval number;
    number.sival_int = value;
    ASSERT_EQ(::sigqueue(::getpid(), signal, number), 0);
}

TEST(sys_signalfd, signalfd_E2_blocked_signals_arrive_as_records_with_their_sender) {
    const signal_set wanted{SIGUSR1};
    const blocked_signals blocked{wanted};
    auto signals = made(wanted);
    EXPECT_TRUE(fails_with(signals.take(deadline::immediate()), errc::would_block, EAGAIN));
    const pid_t parent = ::getpid();
    child sender{[&] { return ::kill(parent, SIGUSR1); }};
    const auto record = signals.take(deadline::in(30s));
    ASSERT_TRUE(ok(record));
    EXPECT_EQ(record->signal, SIGUSR1);
    EXPECT_EQ(record->code, SI_USER);
    EXPECT_EQ(record->pid, sender.pid());
    EXPECT_EQ(record->uid, ::getuid());
}

TEST(sys_signalfd, signalfd_E2_an_unblocked_signal_does_not_come_to_the_descriptor) {
    child unblocked{[] {
        auto signals = made({SIGUSR1});
        ::raise(SIGUSR1);  // the default action: ends the child
        return signals.take(deadline::immediate()) ? 1 : 2;
    }};
    EXPECT_EQ(unblocked.wait(), 128 + SIGUSR1);
}

TEST(sys_signalfd, signalfd_E2_a_thread_that_does_not_block_it_gets_the_signal_instead) {
    child half_blocked{[] {
        std::atomic<bool> ready{false};
        std::thread other{[&] {  // started before the mask is set: it does not inherit it
            ready = true;
            for (;;) ::pause();
        }};
        while (!ready) std::this_thread::yield();
        const blocked_signals blocked{{SIGUSR1}};
        auto signals = made({SIGUSR1});
        ::kill(::getpid(), SIGUSR1);
        return signals.take(deadline::in(30s)) ? 1 : 2;
    }};
    EXPECT_EQ(half_blocked.wait(), 128 + SIGUSR1);
}

TEST(sys_signalfd, signalfd_E2_a_read_takes_as_many_records_as_fit_and_no_part_of_one) {
    const signal_set wanted{SIGRTMIN, SIGRTMIN + 1};
    const blocked_signals blocked{wanted};
    auto signals = made(wanted);
    for (int i = 0; i < 3; ++i) queue_signal(SIGRTMIN, i);
    std::array<char, sizeof(signalfd_siginfo) - 1> small{};
    EXPECT_EQ(::read(signals.native().get(), small.data(), small.size()), -1);
    EXPECT_EQ(errno, EINVAL);
    std::array<signal_info, 2> two;
    EXPECT_EQ(*signals.take(two), 2u);
    EXPECT_EQ(*signals.take(two), 1u);
    EXPECT_TRUE(fails_with(signals.take(std::span<signal_info>{}), errc::invalid, EINVAL));
}

TEST(sys_signalfd, signalfd_E2_standard_signals_merge_and_real_time_ones_queue_with_their_value) {
    const signal_set wanted{SIGUSR1, SIGRTMIN};
    const blocked_signals blocked{wanted};
    auto signals = made(wanted);
    ::kill(::getpid(), SIGUSR1);
    ::kill(::getpid(), SIGUSR1);
    for (const int value : {7, 8}) queue_signal(SIGRTMIN, value);
    std::array<signal_info, 8> records;
    ASSERT_EQ(*signals.take(records), 3u);
    EXPECT_EQ(records[0].signal, SIGUSR1);
    EXPECT_EQ(records[1].signal, SIGRTMIN);
    EXPECT_EQ(records[1].code, SI_QUEUE);
    EXPECT_EQ(records[1].value, 7);
    EXPECT_EQ(records[2].value, 8);
}

TEST(sys_signalfd, signalfd_E2_an_inherited_descriptor_reads_the_childs_signals) {
    const signal_set wanted{SIGUSR1};
    const blocked_signals blocked{wanted};
    auto signals = made(wanted);
    ::kill(::getpid(), SIGUSR1);  // pending here, in the parent
    child kin{[&] {
        const auto none = signals.take(deadline::immediate());
        CHILD_CHECK(!none && none.error().code() == errc::would_block);
        ::kill(::getpid(), SIGUSR1);
        const auto own = signals.take(deadline::in(30s));
        CHILD_CHECK(own && own->pid == ::getpid());
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(signals.take(deadline::immediate())->pid, ::getpid());
}

TEST(sys_signalfd, signalfd_E2_a_blocked_mask_is_inherited_across_exec_and_spawn_resets_it) {
    const blocked_signals blocked{{SIGUSR1}};
    // Not through a shell: some empty the mask themselves.
    EXPECT_EQ(run({"grep", "-q", "SigBlk:.*200$", "/proc/self/status"}).status, 0);
    auto reset = spawn("grep", std::array<std::string_view, 3>{"-q", "SigBlk:.0*$", "/proc/self/status"});
    ASSERT_TRUE(ok(reset));
    EXPECT_EQ(reset->wait()->as_shell(), 0);
}

TEST(sys_signalfd, signalfd_E2_the_guard_leaves_the_mask_as_it_was) {
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_BLOCK, nullptr, &before);
    {
        const blocked_signals outer{{SIGUSR1}};
        const blocked_signals inner{{SIGUSR1, SIGUSR2}};
        sigset_t inside;
        pthread_sigmask(SIG_BLOCK, nullptr, &inside);
        EXPECT_EQ(sigismember(&inside, SIGUSR2), 1);
    }
    pthread_sigmask(SIG_BLOCK, nullptr, &after);
    for (const int signal : {SIGUSR1, SIGUSR2}) EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal));
}

TEST(sys_signalfd, signalfd_E2_other_signals_can_be_watched_later) {
    const signal_set both{SIGUSR1, SIGUSR2};
    const blocked_signals blocked{both};
    auto signals = made({SIGUSR1});
    ::kill(::getpid(), SIGUSR2);
    EXPECT_TRUE(fails_with(signals.take(deadline::immediate()), errc::would_block));
    ASSERT_TRUE(ok(signals.watch(both)));
    EXPECT_EQ(signals.take(deadline::immediate())->signal, SIGUSR2);
}

TEST(sys_signalfd, signalfd_E2_the_end_of_a_child_comes_with_its_status) {
    const signal_set wanted{SIGCHLD};
    const blocked_signals blocked{wanted};
    auto signals = made(wanted);
    child ends{[] { return 5; }};
    const auto record = signals.take(deadline::in(30s));
    ASSERT_TRUE(ok(record));
    EXPECT_EQ(record->code, CLD_EXITED);
    EXPECT_EQ(record->pid, ends.pid());
    EXPECT_EQ(record->status, 5);
}

TEST(sys_signalfd, signalfd_G4_it_is_closed_on_exec) {
    EXPECT_TRUE(::fcntl(made({SIGUSR1}).native().get(), F_GETFD) & FD_CLOEXEC);
}

TEST(sys_signalfd, signalfd_trap07_another_signals_handler_does_not_end_the_wait) {
    const signal_set wanted{SIGUSR1};
    const blocked_signals blocked{wanted};
    auto signals = made(wanted);
    const signal_storm storm;
    EXPECT_TRUE(fails_with(signals.take(deadline::in(20ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(signals.take({deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}

}  // namespace
