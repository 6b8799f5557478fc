// kith sem, and create, rm and show of semaphores, as a user types them. kith sem lock: sem_lock_test.cpp.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <fstream>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <nlohmann/json.hpp>

#include "cli/semaphores.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using namespace kith::sys;
using nlohmann::json;

TEST(cli_sem, sem_create_show_get_and_rm_of_a_set) {
    const auto key = std::to_string(0x6c000000 + (::getpid() & 0xffffff));
    const auto address = "sysv-sem:" + key;
    EXPECT_TRUE(says(kith_run({"create", "--values", "1,0,5", "--mode", "640", "--exclusive", address}), 0, ""));
    EXPECT_TRUE(says(kith_run({"create", "--values", "1,0,5", "--exclusive", address}), 1, "it exists already"));
    EXPECT_TRUE(says(kith_run({"create", "--values", "9,9,9", address}), 0, ""));  // found, and left alone
    EXPECT_TRUE(says(kith_run({"create", "--values", "1", address}), 1, "it exists with 3 semaphores, not 1"));
    EXPECT_EQ(sem({"get", address}).out, "1,0,5\n");
    EXPECT_EQ(sem({"get", "--number", "2", address}).out, "5\n");
    EXPECT_EQ(json::parse(sem({"get", "--json", address}).out), (json{{"values", {1, 0, 5}}}));
    const auto seen = json::parse(kith_run({"show", "--json", address}).out);
    EXPECT_EQ(seen["mode"], "0640");
    EXPECT_EQ(seen["semaphores"], 3);
    EXPECT_EQ(seen["values"], (json{1, 0, 5}));
    EXPECT_EQ(seen["initialised"], true);
    EXPECT_EQ(seen["uid"], ::getuid());
    EXPECT_TRUE(says(kith_run({"rm", address}), 0, ""));
    EXPECT_TRUE(says(kith_run({"rm", address}), 1, "there is no such object"));
    EXPECT_TRUE(says(sem({"get", address}), 1, "kith: cannot read '" + address + "': there is no such object"));
}

TEST(cli_sem, sem_create_show_get_and_rm_of_a_posix_semaphore) {
    const made_semaphore made{"3"};
    EXPECT_EQ(sem({"get", made.address}).out, "3\n");
    EXPECT_EQ(json::parse(sem({"get", "--json", made.address}).out), (json{{"value", 3}}));
    EXPECT_TRUE(says(kith_run({"create", "--exclusive", made.address}), 1, "it exists already"));
    EXPECT_EQ(json::parse(kith_run({"create", "--json", "--values", "8", made.address}).out)["new"], false);
    const auto seen = json::parse(kith_run({"show", "--json", made.address}).out);
    EXPECT_EQ(seen["value"], 3);
    EXPECT_EQ(seen["mode"], "0600");
    EXPECT_TRUE(says(kith_run({"rm", made.address}), 0, ""));
    EXPECT_TRUE(says(sem({"get", made.address}), 1, "there is no such object"));
}

TEST(cli_sem, sem_op_applies_all_steps_or_none) {
    const made_set made{"1,0"};
    EXPECT_TRUE(says(sem({"op", made.address, "0:-1,1:+2"}), 0, ""));
    EXPECT_EQ(sem({"get", made.address}).out, "0,2\n");
    EXPECT_TRUE(says(sem({"op", "--no-wait", made.address, "1:-1,0:-1"}), 3, "would have to wait"));
    EXPECT_TRUE(says(sem({"op", made.address, "1:-1,0:-1n"}), 3, "would have to wait"));
    EXPECT_TRUE(says(sem({"op", "--timeout", "10ms", made.address, "1:-1,0:-1"}), 124, "the time is up"));
    EXPECT_EQ(sem({"get", made.address}).out, "0,2\n");
    EXPECT_TRUE(says(sem({"op", made.address, "0:0,1:-2"}), 0, ""));
    EXPECT_TRUE(says(sem({"op", made.address, "0:+5u"}), 0, ""));  // undone when kith ended
    EXPECT_EQ(sem({"get", made.address}).out, "0,0\n");
    const auto inside = sem({"op", made.address, "0:+5u", "--", kith_command(), "sem", "get", made.address});
    EXPECT_EQ(inside.out, "5,0\n");  // COMMAND holds what undo will take back
    EXPECT_EQ(sem({"get", made.address}).out, "0,0\n");
}

TEST(cli_sem, sem_json_tells_what_was_done) {
    const made_set made{"3,0"};
    EXPECT_EQ(sem({"wait", "--json", made.address, "--count", "2"}).out, "{\"taken\":2}\n");
    EXPECT_EQ(sem({"post", "--json", made.address, "--number", "1"}).out, "{\"posted\":1}\n");
    EXPECT_EQ(sem({"op", "--json", made.address, "0:-1,1:+2"}).out, "{\"applied\":\"0:-1,1:+2\"}\n");
    EXPECT_EQ(sem({"wait", "--json", made.address, "--zero"}).out, "{\"taken\":0}\n");
    EXPECT_EQ(sem({"set", "--json", made.address, "5,6"}).out, "{\"set\":[5,6]}\n");
    EXPECT_EQ(sem({"set", "--json", made.address, "--number", "1", "7"}).out, "{\"set\":7}\n");
    EXPECT_EQ(sem({"get", made.address}).out, "5,7\n");
}

TEST(cli_sem, sem_op_refuses_steps_that_make_no_sense) {
    const made_set made{"1,0"};
    for (const std::string bad :
         {"", "0", "0:", "0:1", "0:+-1", "x:+1", "0:+1x", "0:+1uu", "0:+40000", "70000:+1", "0:+1,", "-1:+1"})
        EXPECT_TRUE(says(sem({"op", made.address, bad}), 2, "kith: ")) << bad;
    EXPECT_TRUE(says(sem({"op", made.address, "0:1"}), 2, "needs its sign"));
    EXPECT_TRUE(says(sem({"op", made.address, "2:+1"}), 1, "numbered 0 to 1"));
    EXPECT_TRUE(says(sem({"op", made.address, "0:+32767"}), 1, "range 0 to 32767"));
    std::string many = "0:+1";
    for (int i = 0; i < 500; ++i) many += ",0:+1";
    EXPECT_TRUE(says(sem({"op", made.address, many}), 1, "kernel.sem is"));
    EXPECT_TRUE(says(sem({"op", "posix-sem:/x", "0:+1"}), 2, "works on sysv-sem:"));
    EXPECT_TRUE(says(sem({"op", "fifo:/x", "0:+1"}), 2, "works on sysv-sem:"));
    EXPECT_EQ(sem({"get", made.address}).out, "1,0\n");
}

TEST(cli_sem, sem_wait_and_post_of_both_kinds) {
    const made_set made{"0,4"};
    const made_semaphore single{"0"};
    for (const auto& address : {made.address, single.address}) {
        EXPECT_TRUE(says(sem({"wait", "--no-wait", address}), 3, "kith: cannot wait for '" + address + "'"));
        EXPECT_TRUE(says(sem({"wait", "--timeout", "10ms", address}), 124, "the time is up"));
        EXPECT_TRUE(says(sem({"post", address}), 0, ""));
        EXPECT_TRUE(says(sem({"wait", address}), 0, ""));
    }
    EXPECT_TRUE(says(sem({"wait", "--number", "1", "--count", "3", made.address}), 0, ""));
    EXPECT_TRUE(says(sem({"post", "--count", "7", made.address}), 0, ""));
    EXPECT_EQ(sem({"get", made.address}).out, "7,1\n");
    EXPECT_TRUE(says(sem({"wait", "--zero", "--no-wait", made.address}), 3, "wait for zero"));
    EXPECT_TRUE(says(sem({"wait", "--number", "9", made.address}), 1, "numbered 0 to 1"));
    EXPECT_TRUE(says(sem({"wait", "--count", "0", made.address}), 2, "--count is 1 to"));
    for (const auto& option : {"--number", "--count"})
        EXPECT_TRUE(says(sem({"wait", option, "2", single.address}), 2, option)) << option;
    auto waiter = child::exec({kith_command(), "sem", "wait", single.address});
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    EXPECT_TRUE(says(sem({"post", single.address}), 0, ""));
    EXPECT_EQ(waiter.wait(), 0);
}

TEST(cli_sem, sem_set_sets_one_or_all_and_not_a_posix_semaphore) {
    const made_set made{"1,2"};
    EXPECT_TRUE(says(sem({"set", made.address, "7,8"}), 0, ""));
    EXPECT_TRUE(says(sem({"set", made.address, "--number", "1", "9"}), 0, ""));
    EXPECT_EQ(sem({"get", made.address}).out, "7,9\n");
    EXPECT_TRUE(says(sem({"set", made.address, "1,2,3"}), 1, "3 values for a set of 2"));
    EXPECT_TRUE(says(sem({"set", made.address, "1,40000"}), 2, "outside 0 to 32767"));
    EXPECT_TRUE(says(sem({"set", made.address, "--number", "1", "1,2"}), 2, "one value"));
    const made_semaphore single;
    EXPECT_TRUE(says(sem({"set", single.address, "7"}), 2, "works on sysv-sem:"));
}

TEST(cli_sem, sem_bad_values_and_options_of_create_are_misuse) {
    EXPECT_TRUE(says(kith_run({"create", "--values", "40000", "sysv-sem:private"}), 2, "outside 0 to 32767"));
    EXPECT_TRUE(says(kith_run({"create", "--values", "3000000000", "posix-sem:/x"}), 2, "outside 0 to 2147483647"));
    EXPECT_TRUE(says(kith_run({"create", "--values", "1,2", "posix-sem:/x"}), 2, "one value"));
    EXPECT_TRUE(says(kith_run({"create", "--size", "1", "sysv-sem:private"}), 2, "--size means nothing"));
    EXPECT_TRUE(says(kith_run({"create", "sysv-sem:id=7"}), 2, "the kernel chooses ids"));
    EXPECT_TRUE(says(kith_run({"create", "sysv-sem:0xzz"}), 2, "kith: "));
    EXPECT_TRUE(says(kith_run({"create", "posix-sem:/" + std::string(252, 'x')}), 1, "longer than the limit"));
    EXPECT_TRUE(says(kith_run({"create", "sysv-sem:/no/such/file?proj=65"}), 1, "the path that its key is made from"));
}

TEST(cli_sem, sem_a_set_removed_while_waiting_ends_with_4) {
    const made_set made{"0"};
    auto waiter = child::exec({kith_command(), "--quiet", "sem", "wait", made.address});
    wait_until_in_syscall(waiter.pid(), SYS_semtimedop);
    EXPECT_TRUE(says(kith_run({"rm", made.address}), 0, ""));
    EXPECT_EQ(waiter.wait(), 4);
    const auto gone = sem({"wait", "--json", made.address});
    EXPECT_EQ(gone.status, 1);
    EXPECT_EQ(json::parse(gone.err)["code"], "not_found");
}

TEST(cli_sem, sem_without_the_right_it_says_so) {
    NEEDS_ROOT();
    const made_set made;
    const made_semaphore single;
    for (const auto& address : {made.address, single.address}) {
        temp_dir dir;
        ASSERT_EQ(::chmod(dir.dir().c_str(), 0777), 0);
        EXPECT_EQ(1, as_nobody([&] {
                      ::dup2(::creat(dir.path("err").c_str(), 0666), 2);
                      ::execl(kith_command().c_str(), "kith", "sem", "post", address.c_str(), nullptr);
                      return 97;
                  }));
        std::string said;
        std::getline(std::ifstream{dir.path("err")}, said);
        EXPECT_EQ(said, "kith: cannot post to '" + address + "': you do not have the right");
    }
}

TEST(cli_sem, sem_a_reached_limit_is_named_with_its_value) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        if (!(std::ofstream{"/proc/sys/kernel/sem"} << "32 60 10 1" << std::flush)) return 77;
        CHILD_CHECK(kith_run({"create", "sysv-sem:1"}).status == 0);
        const auto full = kith_run({"create", "sysv-sem:2"});
        CHILD_CHECK(full.status == 1);
        CHILD_CHECK(full.err.find("kernel.sem is 32 60 10 1") != std::string::npos);
        CHILD_CHECK(full.err.find("limit_reached (ENOSPC)") != std::string::npos);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "needs the right to set limits in a new IPC namespace";
    EXPECT_EQ(status, 0);
}

TEST(cli_sem, sem_a_set_whose_creator_died_is_explained) {
    const auto key = 0x6d000000 + (::getpid() & 0xffffff);
    const int id = ::semget(key, 1, IPC_CREAT | IPC_EXCL | 0600);
    const auto address = "sysv-sem:" + std::to_string(key);
    EXPECT_TRUE(says(kith_run({"create", address}), 124, "its creator has not finished"));
    EXPECT_EQ(json::parse(kith_run({"show", "--json", address}).out)["initialised"], false);
    EXPECT_TRUE(says(sem({"post", address}), 0, ""));  // taken as it is
    ::semctl(id, 0, IPC_RMID);
}

}  // namespace
