// Process identity: SEMANTICS G7 and the classic trap 12.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <fstream>
#include <kith/sys/pidfd.hpp>
#include <kith/sys/process.hpp>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::errc;
using namespace kith::sys;

child sleeper() {
    return child{[] {
        for (;;) ::pause();
        return 0;
    }};
}

// Makes the next child of this pid namespace get the pid `wanted`.
bool next_pid_is(pid_t wanted) {
    std::ofstream file{"/proc/sys/kernel/ns_last_pid"};
    file << wanted - 1 << std::flush;
    return file.good();
}

TEST(sys_process, process_G7_an_identity_is_stable_and_differs_between_processes) {
    const auto self = identity_of_this_process();
    ASSERT_TRUE(ok(self));
    EXPECT_EQ(self->pid, ::getpid());
    EXPECT_EQ(*self, *identity_of(::getpid()));
    EXPECT_EQ(*state_of(*self), process_state::running);
    const auto other = sleeper();
    const auto its = identity_of(other.pid());
    ASSERT_TRUE(ok(its));
    EXPECT_NE(*its, *self);
    EXPECT_EQ(its->pid_namespace, self->pid_namespace);
    EXPECT_GE(its->started, self->started);
}

TEST(sys_process, process_G7_a_zombie_is_told_apart_from_the_living_and_from_the_gone) {
    auto victim = sleeper();
    const auto who = identity_of(victim.pid());
    ASSERT_TRUE(ok(who));
    EXPECT_EQ(*state_of(*who), process_state::running);
    victim.kill();
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(victim.pid()), &info, WEXITED | WNOWAIT), 0);
    EXPECT_EQ(::kill(victim.pid(), 0), 0);  // what kill says about a zombie
    EXPECT_EQ(*state_of(*who), process_state::zombie);
    EXPECT_EQ(*identity_of(victim.pid()), *who);
    victim.wait();
    EXPECT_EQ(*state_of(*who), process_state::gone);
    EXPECT_TRUE(fails_with(identity_of(who->pid), errc::not_found, ESRCH));
}

TEST(sys_process, process_G7_a_stopped_process_is_alive) {
    auto victim = sleeper();
    const auto who = identity_of(victim.pid());
    victim.kill(SIGSTOP);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(victim.pid()), &info, WSTOPPED | WNOWAIT), 0);
    EXPECT_EQ(*state_of(*who), process_state::running);
}

TEST(sys_process, process_G7_another_start_time_under_the_same_pid_is_another_process) {
    auto stale = *identity_of_this_process();
    --stale.started;
    EXPECT_EQ(::kill(stale.pid, 0), 0);
    EXPECT_EQ(*state_of(stale), process_state::gone);
    EXPECT_TRUE(fails_with(open_pidfd(stale), errc::not_found, ESRCH));
}

TEST(sys_process, process_trap12_a_reused_pid_does_not_pass_for_the_process_that_had_it) {
    // A pid namespace of our own, where the next pid can be chosen.
    const int status = in_namespaces(CLONE_NEWPID | CLONE_NEWNS, [] {
        return child{[] {
                   if (::getpid() != 1) return 77;
                   if (std::system("mount --make-rprivate / && mount -t proc proc /proc") != 0) return 77;
                   auto first = sleeper();
                   const pid_t pid = first.pid();
                   const auto who = identity_of(pid);
                   CHILD_CHECK(who);
                   auto handle = open_pidfd(*who);
                   CHILD_CHECK(handle);
                   first.kill_and_reap();
                   // Start times count in hundredths of a second: the next tick has to come.
                   ::usleep(20000);
                   if (!next_pid_is(pid)) return 77;
                   const auto second = sleeper();
                   CHILD_CHECK(second.pid() == pid);
                   CHILD_CHECK(::kill(pid, 0) == 0);  // the naive check is fooled
                   CHILD_CHECK(*state_of(*who) == process_state::gone);
                   CHILD_CHECK(*identity_of(pid) != *who);
                   CHILD_CHECK(open_pidfd(*who).error().code() == errc::not_found);
                   CHILD_CHECK(handle->send_signal(0).error().code() == errc::peer_gone);
                   CHILD_CHECK(handle->wait_for_end(kith::deadline::immediate()));
                   return 0;
               }}
            .wait();
    });
    if (status == 77) GTEST_SKIP() << "pids cannot be chosen here";
    EXPECT_EQ(status, 0);
}

TEST(sys_process, process_G8_an_identity_of_another_pid_namespace_is_not_judged) {
    auto foreign = *identity_of_this_process();
    foreign.pid_namespace += 1;
    EXPECT_TRUE(fails_with(state_of(foreign), errc::unsupported));
    EXPECT_TRUE(fails_with(open_pidfd(foreign), errc::unsupported));
}

TEST(sys_process, process_G8_a_proc_of_another_pid_namespace_is_refused) {
    const int status = in_namespaces(CLONE_NEWPID, [] {
        return child{[] {
                   CHILD_CHECK(::getpid() == 1);  // but /proc still shows the parent's namespace
                   const auto self = identity_of_this_process();
                   CHILD_CHECK(!self && self.error().code() == errc::unsupported);
                   return 0;
               }}
            .wait();
    });
    if (status == 77) GTEST_SKIP() << "namespaces are not permitted here";
    EXPECT_EQ(status, 0);
}

TEST(sys_process, process_G7_a_name_with_blanks_and_parentheses_does_not_confuse_it) {
    const auto before = identity_of_this_process();
    ASSERT_EQ(::prctl(PR_SET_NAME, ") Z 1 1 1 ("), 0);
    EXPECT_EQ(*identity_of_this_process(), *before);
    EXPECT_EQ(*state_of(*before), process_state::running);
    ::prctl(PR_SET_NAME, "process_test");
}

TEST(sys_process, process_G7_impossible_pids_are_refused) {
    for (const pid_t pid : {0, -1}) EXPECT_TRUE(fails_with(identity_of(pid), errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(state_of({}), errc::invalid, EINVAL));
}

TEST(sys_process, process_G13_a_forked_child_has_an_identity_of_its_own) {
    const auto parent = identity_of_this_process();
    EXPECT_EQ(0, child{[&] {
                     const auto own = identity_of_this_process();
                     return own && *own != *parent && own->pid == ::getpid() ? 0 : 1;
                 }}.wait());
}

}  // namespace
