// kith sem lock: a command that runs while a semaphore is held, and what is left when one of the two is killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <fstream>

#include "cli/semaphores.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using namespace kith::sys;

// A script that says that it runs and then waits for its end: a COMMAND to be killed.
struct long_command {
    temp_dir dir;
    std::string started = dir.path("started");
    std::string script = "echo $$ >" + started + ".new; mv " + started + ".new " + started + "; exec sleep 1000";

    [[nodiscard]] pid_t pid() const {
        for (const auto give_up = deadline::in(20s); give_up.remaining_ns() > 0; ::usleep(1000)) {
            pid_t pid = 0;
            if (std::ifstream{started} >> pid) return pid;
        }
        ADD_FAILURE() << "COMMAND did not start";
        return -1;
    }
};

pid_t parent_of(pid_t pid) {
    std::ifstream file{"/proc/" + std::to_string(pid) + "/status"};
    for (std::string word; file >> word;)
        if (word == "PPid:") {
            file >> pid;
            return pid;
        }
    return -1;
}

// What holds for both kinds of lock.
class cli_sem_lock : public testing::TestWithParam<const char*> {
protected:
    [[nodiscard]] const std::string& address() const {
        return std::string_view{GetParam()} == "sysv" ? set_.address : single_.address;
    }
    [[nodiscard]] int value() const {
        return std::string_view{GetParam()} == "sysv" ? *set_.set.value(0) : *single_.semaphore.value();
    }
    void wait_for_value(int wanted) const {
        for (const auto give_up = deadline::in(20s); value() != wanted; ::usleep(1000))
            ASSERT_GT(give_up.remaining_ns(), 0) << "the value stays " << value();
    }

private:
    made_set set_;
    made_semaphore single_;
};
INSTANTIATE_TEST_SUITE_P(kinds, cli_sem_lock, testing::Values("sysv", "posix"),
                         [](const auto& which) { return std::string{which.param}; });

TEST_P(cli_sem_lock, ends_with_the_status_of_the_command) {
    const auto inside = sem({"lock", address(), "--", kith_command(), "sem", "get", address()});
    EXPECT_EQ(inside.out, "0\n") << inside.err;  // taken while COMMAND runs
    EXPECT_EQ(value(), 1);
    EXPECT_EQ(sem({"lock", address(), "--", "sh", "-c", "exit 7"}).status, 7);
    EXPECT_EQ(sem({"lock", address(), "--", "sh", "-c", "kill -9 $$"}).status, 128 + SIGKILL);
    EXPECT_TRUE(says(sem({"lock", address(), "--", "/no/such/program"}), 127, "kith: cannot start '/no/such/program'"));
    EXPECT_TRUE(says(sem({"lock", address(), "--", "/etc/passwd"}), 126, "kith: cannot start '/etc/passwd'"));
    EXPECT_EQ(value(), 1);
    EXPECT_TRUE(says(sem({"lock", address()}), 2, "a command to run is missing"));
    EXPECT_TRUE(says(sem({"lock", address(), "--"}), 2, "a command to run is missing"));
}

TEST_P(cli_sem_lock, waits_as_long_as_it_is_told) {
    const long_command held;
    auto holder = child::exec({kith_command(), "sem", "lock", address(), "--", "sh", "-c", held.script});
    const pid_t command = held.pid();
    EXPECT_TRUE(says(sem({"lock", "--no-wait", address(), "--", "true"}), 3, "kith: cannot lock"));
    EXPECT_TRUE(says(sem({"lock", "--timeout", "10ms", address(), "--", "true"}), 124, "the time is up"));
    auto next = child::exec({kith_command(), "sem", "lock", address(), "--", "true"});
    wait_until_in_syscall(next.pid(), {SYS_semtimedop, SYS_futex});
    ::kill(command, SIGTERM);
    EXPECT_EQ(next.wait(), 0);
    EXPECT_EQ(holder.wait(), 128 + SIGTERM);
    EXPECT_EQ(value(), 1);
}

TEST_P(cli_sem_lock, trap22_a_killed_command_gives_the_semaphore_back) {
    const long_command held;
    auto holder = child::exec({kith_command(), "sem", "lock", address(), "--", "sh", "-c", held.script});
    ::kill(held.pid(), SIGKILL);
    EXPECT_EQ(holder.wait(), 128 + SIGKILL);
    EXPECT_EQ(value(), 1);
}

TEST_P(cli_sem_lock, trap22_if_kith_is_killed_the_semaphore_stays_with_the_command_and_comes_back_after_it) {
    const long_command held;
    auto holder = child::exec({kith_command(), "sem", "lock", address(), "--", "sh", "-c", held.script});
    const pid_t command = held.pid();
    // Of a System V set kith is COMMAND by now; else COMMAND runs, so the keeper knows of it.
    holder.kill_and_reap();
    if (command != holder.pid()) {
        EXPECT_EQ(::kill(command, 0), 0);
        EXPECT_EQ(value(), 0);
        ::kill(command, SIGKILL);
    }
    wait_for_value(1);
}

TEST_P(cli_sem_lock, signals_reach_the_command) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        const long_command held;
        auto holder = child::exec({kith_command(), "sem", "lock", address(), "--", "sh", "-c", held.script});
        ASSERT_GT(held.pid(), 0);
        holder.kill(signal);
        EXPECT_EQ(holder.wait(), 128 + signal);
        EXPECT_EQ(value(), 1);
    }
}

TEST_P(cli_sem_lock, a_signal_while_waiting_ends_kith_with_nothing_taken) {
    const long_command held;
    auto holder = child::exec({kith_command(), "sem", "lock", address(), "--", "sh", "-c", held.script});
    const pid_t command = held.pid();
    auto waiter = child::exec({kith_command(), "sem", "lock", address(), "--", "true"});
    wait_until_in_syscall(waiter.pid(), {SYS_semtimedop, SYS_futex});
    waiter.kill(SIGINT);
    EXPECT_EQ(waiter.wait(), 128 + SIGINT);
    ::kill(command, SIGKILL);
    holder.wait();
    EXPECT_EQ(value(), 1);
}

TEST_P(cli_sem_lock, the_command_starts_with_ordinary_signals) {
    const auto inside = sem({"lock", address(), "--", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"});
    constexpr unsigned sigpipe_bit = 1U << (SIGPIPE - 1);
    const auto ignored = std::stoull(inside.out.substr(inside.out.find("SigIgn:") + 8), nullptr, 16);
    const auto blocked = std::stoull(inside.out.substr(inside.out.find("SigBlk:") + 8), nullptr, 16);
    EXPECT_EQ(ignored & sigpipe_bit, 0u);
    EXPECT_EQ(blocked, 0u);
}

TEST(cli_sem, sem_lock_many_processes_count_exactly) {
    const made_set set;
    const made_semaphore single;
    for (const auto& address : {set.address, single.address}) {
        const temp_dir dir;
        const auto file = dir.path("count");
        std::ofstream{file} << 0;
        std::vector<child> counters;
        for (int i = 0; i < 4; ++i)
            counters.push_back(
                child::exec({"sh", "-c",
                             "for i in 1 2 3 4 5; do " + kith_command() + " sem lock " + address +
                                 " -- sh -c 'read n <" + file + "; echo $((n + 1)) >" + file + "' || exit 1; done"}));
        for (auto& one : counters) EXPECT_EQ(one.wait(), 0);
        int count = 0;
        std::ifstream{file} >> count;
        EXPECT_EQ(count, 20);
    }
}

// `kith sem lock`, stopped at its forks: it starts its keeper with the first one, and COMMAND with the second.
class stopped_at_forks {
public:
    explicit stopped_at_forks(const std::vector<std::string>& words)
        : kith_{[&] {
              std::vector<char*> argv;
              argv.reserve(words.size() + 1);
              for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
              argv.push_back(nullptr);
              if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) return 77;
              ::raise(SIGSTOP);
              ::execv(argv[0], argv.data());
              return 127;
          }} {
        traced_ = next_stop() == SIGSTOP && ::ptrace(PTRACE_SETOPTIONS, kith_.pid(), nullptr,
                                                     PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL) == 0;
    }
    /// Whether ptrace(2) is to be had here.
    [[nodiscard]] bool traced() const { return traced_; }
    /// Lets kith run into its next fork: the new process, stopped before its first instruction. -1: there is none.
    pid_t next_fork() {
        for (int signal = 0; ::ptrace(PTRACE_CONT, kith_.pid(), nullptr, signal) == 0;) {
            const int stop = next_stop();
            if (stop < 0) return -1;
            if (stop >> 8 == PTRACE_EVENT_FORK || stop >> 8 == PTRACE_EVENT_VFORK) {
                unsigned long made = 0;
                ::ptrace(PTRACE_GETEVENTMSG, kith_.pid(), nullptr, &made);
                ::waitpid(static_cast<pid_t>(made), nullptr, __WALL);
                return static_cast<pid_t>(made);
            }
            signal = stop == SIGTRAP ? 0 : stop;
        }
        return -1;
    }
    /// Lets a process that next_fork() gave run on, on its own.
    static void let_go(pid_t made) { EXPECT_EQ(::ptrace(PTRACE_DETACH, made, nullptr, 0), 0); }
    void kill_kith() { kith_.kill_and_reap(); }

private:
    int next_stop() {
        int status = 0;
        const pid_t stopped = ::waitpid(kith_.pid(), &status, __WALL);
        return stopped == kith_.pid() && WIFSTOPPED(status) ? status >> 8 : -1;
    }
    child kith_;
    bool traced_ = false;
};

TEST(cli_sem, sem_lock_of_a_posix_semaphore_stays_with_a_command_that_was_being_started_as_kith_died) {
    const made_semaphore single;
    const long_command held;
    stopped_at_forks kith{{kith_command(), "sem", "lock", single.address, "--", "sh", "-c", held.script}};
    if (!kith.traced()) GTEST_SKIP() << "needs ptrace(2)";
    const pid_t keeper = kith.next_fork();
    ASSERT_GT(keeper, 0);
    stopped_at_forks::let_go(keeper);
    const pid_t command = kith.next_fork();
    ASSERT_GT(command, 0);
    kith.kill_kith();
    stopped_at_forks::let_go(command);
    EXPECT_EQ(held.pid(), command);
    wait_until_in_syscall(keeper, SYS_ppoll);  // for the end of COMMAND
    EXPECT_EQ(*single.semaphore.value(), 0);
    ::kill(command, SIGKILL);
    EXPECT_TRUE(ok(single.semaphore.wait(deadline::in(20s))));
}

TEST(cli_sem, sem_lock_of_a_posix_semaphore_comes_back_if_kith_dies_before_it_starts_the_command) {
    const made_semaphore single;
    const long_command held;
    stopped_at_forks kith{{kith_command(), "sem", "lock", single.address, "--", "sh", "-c", held.script}};
    if (!kith.traced()) GTEST_SKIP() << "needs ptrace(2)";
    const pid_t keeper = kith.next_fork();
    ASSERT_GT(keeper, 0);
    kith.kill_kith();
    EXPECT_EQ(*single.semaphore.value(), 0);
    stopped_at_forks::let_go(keeper);
    EXPECT_TRUE(ok(single.semaphore.wait(deadline::in(20s))));
    EXPECT_FALSE(std::ifstream{held.started}.is_open());
}

TEST(cli_sem, sem_lock_of_a_posix_semaphore_starts_nothing_that_nobody_could_give_it_back_for) {
    const made_semaphore one;
    const auto& semaphore = one.semaphore;
    const auto lock_where = [&](const std::function<bool()>& arrange) {
        child kith{[&] {
            if (!arrange()) return 77;
            const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
            ::dup2(nowhere, 2);
            ::execl(kith_command().c_str(), "kith", "sem", "lock", one.address.c_str(), "--", "sh", "-c", "exit 42",
                    nullptr);
            return 98;
        }};
        return kith.wait();
    };
    EXPECT_EQ(lock_where([] { return true; }), 42);
    // No descriptors for the pipe to the keeper; no process for it; a sandbox in which it cannot wait for COMMAND.
    for (const auto& refused : {kith_test::denied_call{SYS_pipe2, EMFILE}, kith_test::denied_call{SYS_clone, EAGAIN},
                                kith_test::denied_call{SYS_pidfd_open, EPERM}}) {
        const int ended = lock_where([&] { return kith_test::deny({refused}); });
        if (ended == 77) GTEST_SKIP() << "the kernel takes no filter";
        EXPECT_EQ(ended, 1) << refused.number;
        EXPECT_EQ(*semaphore.value(), 1) << refused.number;
    }
    EXPECT_EQ(*semaphore.value(), 1);
}

TEST(cli_sem, sem_lock_of_a_posix_semaphore_survives_the_death_of_its_keeper) {
    const made_semaphore single;
    const long_command held;
    auto holder = child::exec({kith_command(), "sem", "lock", single.address, "--", "sh", "-c", held.script});
    const pid_t command = held.pid();
    // The keeper is kith's other child, in a session of its own.
    std::ifstream children{"/proc/" + std::to_string(holder.pid()) + "/task/" + std::to_string(holder.pid()) +
                           "/children"};
    pid_t keeper = -1;
    for (pid_t one = 0; children >> one;)
        if (one != command) keeper = one;
    ASSERT_GT(keeper, 0);
    EXPECT_EQ(parent_of(keeper), holder.pid());
    ::kill(keeper, SIGKILL);
    ::kill(command, SIGTERM);
    EXPECT_EQ(holder.wait(), 128 + SIGTERM);
    EXPECT_EQ(*single.semaphore.value(), 1);
}

}  // namespace
