// pidfd: SEMANTICS E3, and the rules G4, G7 and G13 for it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <kith/sys/pidfd.hpp>
#include <kith/sys/pipe.hpp>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

child sleeper() {
    return child{[] {
        for (;;) ::pause();
        return 0;
    }};
}

// A child that is no longer ours: collected by waitpid here, behind the back of `child`.
pid_t reaped_pid() {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    ::waitpid(pid, nullptr, 0);
    return pid;
}

short state(kith::borrowed_fd fd) {
    pollfd one{fd.get(), POLLIN, 0};
    ::poll(&one, 1, 0);
    return one.revents;
}

void wait_until_zombie(pid_t pid) {
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
}

TEST(sys_pidfd, pidfd_G4_it_is_closed_on_exec) {
    const auto self = open_pidfd(::getpid());
    ASSERT_TRUE(ok(self));
    EXPECT_TRUE(::fcntl(self->native().get(), F_GETFD) & FD_CLOEXEC);
    EXPECT_EQ(*self->pid(), ::getpid());
}

TEST(sys_pidfd, pidfd_E3_a_reaped_process_is_not_found_and_impossible_pids_are_invalid) {
    EXPECT_TRUE(fails_with(open_pidfd(reaped_pid()), errc::not_found, ESRCH));
    for (const pid_t pid : {0, -1}) EXPECT_TRUE(fails_with(open_pidfd(pid), errc::invalid, EINVAL));
}

TEST(sys_pidfd, pidfd_E3_a_zombie_can_be_opened_and_signal_0_succeeds_on_it) {
    auto victim = sleeper();
    victim.kill();
    wait_until_zombie(victim.pid());
    auto handle = open_pidfd(victim.pid());
    ASSERT_TRUE(ok(handle));
    EXPECT_EQ(state(handle->native()), POLLIN);
    EXPECT_TRUE(ok(handle->send_signal(0)));
    EXPECT_TRUE(ok(handle->wait_for_end(deadline::immediate())));
}

TEST(sys_pidfd, pidfd_E3_a_running_process_is_waited_for_with_a_deadline) {
    auto victim = sleeper();
    auto handle = open_pidfd(victim.pid());
    ASSERT_TRUE(ok(handle));
    EXPECT_TRUE(fails_with(handle->wait_for_end(deadline::immediate()), errc::would_block));
    EXPECT_TRUE(fails_with(handle->wait_for_end(deadline::in(5ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(handle->reap(deadline::immediate()), errc::would_block));
    EXPECT_TRUE(fails_with(handle->reap(deadline::in(5ms)), errc::timed_out));
    ASSERT_TRUE(ok(handle->send_signal(SIGTERM)));
    const auto status = handle->reap(deadline::in(30s));
    ASSERT_TRUE(ok(status));
    EXPECT_TRUE(status->signaled);
    EXPECT_EQ(status->value, SIGTERM);
    EXPECT_EQ(status->as_shell(), 128 + SIGTERM);
}

TEST(sys_pidfd, pidfd_E3_in_nonblocking_mode_waitid_says_EAGAIN_while_it_runs) {
    auto victim = sleeper();
    auto handle = open_pidfd(victim.pid());
    siginfo_t info{};
    EXPECT_EQ(::waitid(P_PIDFD, static_cast<id_t>(handle->native().get()), &info, WEXITED), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST(sys_pidfd, pidfd_E3_after_reaping_it_reports_hangup_and_takes_no_signal) {
    auto victim = sleeper();
    auto handle = open_pidfd(victim.pid());
    ASSERT_TRUE(ok(handle));
    victim.kill_and_reap();
    EXPECT_EQ(state(handle->native()) & POLLIN, POLLIN);
    EXPECT_TRUE(fails_with(handle->send_signal(0), errc::peer_gone, ESRCH));
    EXPECT_TRUE(fails_with(handle->reap(), errc::not_found, ECHILD));
    EXPECT_TRUE(ok(handle->wait_for_end(deadline::immediate())));
    EXPECT_TRUE(fails_with(handle->pid(), errc::peer_gone));
}

TEST(sys_pidfd, pidfd_E3_a_process_that_is_no_child_is_waited_for_too) {
    auto stranger = sleeper();
    auto ready = open_pipe();
    child watcher{[&] {
        auto handle = open_pidfd(stranger.pid());
        CHILD_CHECK(handle);
        const auto not_mine = handle->reap(deadline::in(30s));
        CHILD_CHECK(!not_mine && not_mine.error().code() == errc::not_found && not_mine.error().os_error() == ECHILD);
        CHILD_CHECK(ready->writer.write_some(kith::bytes_of("r")));
        CHILD_CHECK(handle->wait_for_end(deadline::in(30s)));
        return 0;
    }};
    std::byte one;
    ASSERT_TRUE(ok(ready->reader.read_some({&one, 1}, deadline::in(30s))));
    wait_until_in_syscall(watcher.pid(), SYS_ppoll);
    stranger.kill_and_reap();
    EXPECT_EQ(watcher.wait(), 0);
}

TEST(sys_pidfd, pidfd_E3_descriptors_are_copied_where_tracing_is_permitted) {
    auto pipe = open_pipe();
    const int number = pipe->writer.native().get();
    auto holder = sleeper();
    pipe->writer.close();
    auto handle = open_pidfd(holder.pid());
    auto copy = handle->copy_descriptor(number);
    if (!copy && copy.error().code() == errc::not_permitted) GTEST_SKIP() << kith::describe(copy.error());
    ASSERT_TRUE(ok(copy));
    EXPECT_TRUE(::fcntl(copy->get(), F_GETFD) & FD_CLOEXEC);
    pipe_writer writer{std::move(*copy), kith::fd_mode::nonblocking};
    ASSERT_TRUE(ok(writer.write_some(kith::bytes_of("x"))));
    EXPECT_EQ(*pipe->reader.queued(), 1u);
    EXPECT_TRUE(fails_with(handle->copy_descriptor(900), errc::not_found, EBADF));
}

TEST(sys_pidfd, pidfd_E3_copying_a_descriptor_without_the_right_is_refused) {
    NEEDS_ROOT();
    auto root = sleeper();
    EXPECT_EQ(0, as_nobody([&] {
                  auto handle = open_pidfd(root.pid());
                  CHILD_CHECK(handle);
                  const auto refused = handle->copy_descriptor(0);
                  CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted &&
                              refused.error().os_error() == EPERM);
                  const auto not_sent = handle->send_signal(0);
                  CHILD_CHECK(!not_sent && not_sent.error().code() == errc::not_permitted);
                  return 0;
              }));
}

TEST(sys_pidfd, pidfd_E3_a_kernel_without_the_calls_is_unsupported) {
    child old_kernel{[] {
        auto handle = open_pidfd(::getppid());
        CHILD_CHECK(handle);
        if (!deny({{SYS_pidfd_open, ENOSYS}, {SYS_pidfd_getfd, ENOSYS}, {SYS_pidfd_send_signal, ENOSYS}})) return 77;
        CHILD_CHECK(open_pidfd(::getppid()).error().code() == errc::unsupported);
        CHILD_CHECK(handle->copy_descriptor(0).error().code() == errc::unsupported);
        CHILD_CHECK(handle->send_signal(0).error().code() == errc::unsupported);
        return 0;
    }};
    const int status = old_kernel.wait();
    if (status == 77) GTEST_SKIP() << "seccomp filters are not permitted here";
    EXPECT_EQ(status, 0);
}

TEST(sys_pidfd, pidfd_E3_only_the_parent_can_reap_through_an_inherited_handle) {
    auto victim = sleeper();
    auto handle = open_pidfd(victim.pid());
    EXPECT_EQ(0, child{[&] {
                     const auto refused = handle->reap(deadline::immediate());
                     return !refused && refused.error().code() == errc::not_found ? 0 : 1;
                 }}.wait());
}

TEST(sys_pidfd, pidfd_G7_opened_from_an_identity_it_is_that_process) {
    auto victim = sleeper();
    const auto who = identity_of(victim.pid());
    ASSERT_TRUE(ok(who));
    auto handle = open_pidfd(*who);
    ASSERT_TRUE(ok(handle));
    EXPECT_EQ(*handle->pid(), victim.pid());
    auto predecessor = *who;  // had the same pid, and started earlier
    --predecessor.started;
    EXPECT_TRUE(fails_with(open_pidfd(predecessor), errc::not_found, ESRCH));
    victim.kill_and_reap();
    EXPECT_TRUE(fails_with(open_pidfd(*who), errc::not_found, ESRCH));
}

TEST(sys_pidfd, pidfd_G13_a_forked_child_inherits_the_handle) {
    auto victim = sleeper();
    auto handle = open_pidfd(victim.pid());
    EXPECT_EQ(0, child{[&] { return handle->send_signal(SIGKILL) ? 0 : 1; }}.wait());
    EXPECT_EQ(victim.wait(), 128 + SIGKILL);
}

TEST(sys_pidfd, pidfd_trap07_signals_do_not_end_the_wait) {
    auto victim = sleeper();
    auto handle = open_pidfd(victim.pid());
    const signal_storm storm;
    EXPECT_TRUE(fails_with(handle->wait_for_end(deadline::in(20ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(handle->reap(deadline::in(20ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(handle->reap({deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}

}  // namespace
