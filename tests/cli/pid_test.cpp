// kith show pid:N and kith wait pid:N.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

child sleeper() {
    return child{[] {
        for (;;) ::pause();
        return 0;
    }};
}

std::string address(pid_t pid) { return std::string{"pid:"}.append(std::to_string(pid)); }

pid_t reaped_pid() {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    ::waitpid(pid, nullptr, 0);
    return pid;
}

TEST(cli_pid, pid_show_tells_who_it_is) {
    auto process = sleeper();
    const auto seen = run({kith_command(), "show", "--json", address(process.pid())});
    ASSERT_EQ(seen.status, 0) << seen.err;
    const auto facts = json::parse(seen.out);
    EXPECT_EQ(facts["pid"], process.pid());
    EXPECT_EQ(facts["state"], "running");
    EXPECT_EQ(facts["parent"], ::getpid());
    EXPECT_EQ(facts["uid"], ::getuid());
    EXPECT_GE(facts["threads"], 1);  // ThreadSanitizer has one of its own
    EXPECT_GT(facts["started_ticks"], 0);
    EXPECT_TRUE(facts["started"].get<std::string>().ends_with("Z"));
    EXPECT_NE(facts["command"].get<std::string>().find("cli_pid_test"), std::string::npos);
}

TEST(cli_pid, pid_show_tells_a_zombie_and_misses_the_gone) {
    auto process = sleeper();
    process.kill();
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process.pid()), &info, WEXITED | WNOWAIT), 0);
    EXPECT_EQ(json::parse(run({kith_command(), "show", "--json", address(process.pid())}).out)["state"], "zombie");
    process.wait();
    const auto gone = run({kith_command(), "show", "--json", address(process.pid())});
    EXPECT_EQ(gone.status, 1);
    EXPECT_EQ(gone.out, "");
    EXPECT_EQ(json::parse(gone.err)["code"], "not_found");
}

TEST(cli_pid, pid_wait_ends_when_the_process_ends) {
    auto process = sleeper();
    auto waiter = child::exec({kith_command(), "wait", address(process.pid())});
    wait_until_in_syscall(waiter.pid(), SYS_ppoll);
    process.kill_and_reap();
    EXPECT_EQ(waiter.wait(), 0);
}

TEST(cli_pid, pid_wait_keeps_its_time_and_its_statuses) {
    auto process = sleeper();
    EXPECT_EQ(run({kith_command(), "wait", "--no-wait", address(process.pid())}).status, 3);
    EXPECT_EQ(run({kith_command(), "wait", "--timeout", "10ms", address(process.pid())}).status, 124);
    process.kill();
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process.pid()), &info, WEXITED | WNOWAIT), 0);
    const auto zombie = run({kith_command(), "wait", "--json", address(process.pid())});
    EXPECT_EQ(zombie.status, 0);
    EXPECT_EQ(json::parse(zombie.out), (json{{"pid", process.pid()}, {"ended", true}}));
    const auto gone = run({kith_command(), "wait", address(reaped_pid())});
    EXPECT_EQ(gone.status, 1);
    EXPECT_NE(gone.err.find("kith: cannot wait for 'pid:"), std::string::npos) << gone.err;
}

TEST(cli_pid, pid_other_addresses_and_verbs_are_refused) {
    EXPECT_EQ(run({kith_command(), "wait", "fifo:/tmp/x"}).status, 2);
    EXPECT_EQ(run({kith_command(), "wait", "pid:x"}).status, 2);
    EXPECT_EQ(run({kith_command(), "wait"}).status, 2);
}

}  // namespace
