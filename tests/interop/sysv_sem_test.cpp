// System V semaphore sets with Perl, Python, util-linux and C as the other side, both ways.
#include <kith/compose/scoped_lock.hpp>
#include <kith/sys/sysv_sem.hpp>

#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fstream>
#include <nlohmann/json.hpp>

#include "interop/other_side.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

// Decimal, as scripts take it.
struct test_key {
    sysv_key key{0x6e000000 + (::getpid() & 0xffffff)};
    std::string text = std::to_string(key.value());
    ~test_key() {
        const auto left = sysv_sem::open(key, {.ready = sem_readiness::assumed});
        if (left) ::semctl(left->native_id(), 0, IPC_RMID);
    }
};

sysv_sem made(const test_key& at, std::vector<std::uint16_t> values) {
    auto set = sysv_sem::open(at.key, {.create = creation::must_be_new, .values = values});
    EXPECT_TRUE(ok(set));
    return *set;
}

void expect_done(const outcome& end) { EXPECT_EQ(end.status, 0) << end.out << end.err; }

TEST(interop_sysv_sem, sysv_sem_perl_uses_a_set_of_kiths) {
    const test_key at;
    const auto set = made(at, {3, 0});
    const auto script = perl(
        "use IPC::SysV qw(IPC_NOWAIT); use IPC::Semaphore; my $s = IPC::Semaphore->new($ARGV[0], 2, 0) or die $!;"
        "die join ',', $s->getall unless join(',', $s->getall) eq '3,0';"
        "die 'otime' unless $s->stat->otime;"
        "$s->op(0, -2, 0, 1, 5, 0) or die $!; $s->op(1, -9, IPC_NOWAIT) and die 'took too much';"
        "$s->op(1, -6, 0) or die $!;",
        {at.text});
    auto other = child::exec(script);
    wait_until_in_syscall(other.pid(), {SYS_semtimedop, SYS_semop});  // it wants 6, and there are 5
    EXPECT_EQ(*set.value(0), 1);
    ASSERT_TRUE(ok(set.post(1)));
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(*set.value(1), 0);
    EXPECT_EQ(*set.last_pid(1), other.pid());
}

TEST(interop_sysv_sem, sysv_sem_kith_uses_a_set_of_perls) {
    const test_key at;
    expect_done(
        run(perl("use IPC::SysV qw(IPC_CREAT IPC_EXCL); use IPC::Semaphore;"
                 "my $s = IPC::Semaphore->new($ARGV[0], 2, 0600 | IPC_CREAT | IPC_EXCL) or die $!;"
                 "$s->setall(4, 7) or die $!; $s->op(0, 1, 0, 0, -1, 0) or die $!;",
                 {at.text})));
    const auto set = sysv_sem::open(at.key, {.count = 2}, deadline::in(60s));
    ASSERT_TRUE(ok(set));
    EXPECT_EQ(*set->value(1), 7);
    EXPECT_TRUE(ok(set->wait(1, 7)));
    expect_done(
        run(perl("use IPC::Semaphore; my $s = IPC::Semaphore->new($ARGV[0], 0, 0); "
                 "exit($s->getval(1) == 0 && $s->getpid(1) == $ARGV[1] ? 0 : 1)",
                 {at.text, std::to_string(::getpid())})));
}

TEST(interop_sysv_sem, sysv_sem_perl_and_kith_take_turns) {
    const test_key at;
    const auto set = made(at, {0, 0});
    auto other =
        child::exec(perl("use IPC::Semaphore; my $s = IPC::Semaphore->new($ARGV[0], 2, 0) or die $!;"
                         "for (1 .. 200) { $s->op(0, -1, 0) or die $!; $s->op(1, 1, 0) or die $!; }",
                         {at.text}));
    for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(ok(set.post(0)));
        ASSERT_TRUE(ok(set.wait(1, 1, sem_undo::no, deadline::in(60s))));
    }
    EXPECT_EQ(other.wait(), 0);
}

TEST(interop_sysv_sem, sysv_sem_trap22_undo_of_a_killed_perl_reaches_kith) {
    const test_key at;
    const auto set = made(at, {1});
    const auto end =
        run(perl("use IPC::SysV qw(SEM_UNDO); use IPC::Semaphore; my $s = IPC::Semaphore->new($ARGV[0], 1, 0);"
                 "$s->op(0, -1, SEM_UNDO) or die $!; kill 9, $$; sleep 100;",
                 {at.text}));
    EXPECT_EQ(end.status, 128 + SIGKILL) << end.err;
    EXPECT_TRUE(ok(set.wait(0, 1, sem_undo::no, deadline::in(60s))));
}

TEST(interop_sysv_sem, sysv_sem_python_uses_a_semaphore_of_kiths) {
    const test_key at;
    const auto set = made(at, {2});
    auto other =
        child::exec(python("import sys, sysv_ipc\n"
                           "s = sysv_ipc.Semaphore(int(sys.argv[1]))\n"
                           "assert s.value == 2\n"
                           "s.acquire(None, 2)\n"
                           "try:\n"
                           "    s.acquire(0)\n"
                           "    sys.exit('took what was not there')\n"
                           "except sysv_ipc.BusyError: pass\n"
                           "s.acquire()\n"
                           "s.release(5)\n",
                           {at.text}));
    wait_until_in_syscall(other.pid(), {SYS_semtimedop, SYS_semop});
    EXPECT_EQ(*set.value(0), 0);
    ASSERT_TRUE(ok(set.post(0)));
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(*set.value(0), 5);
}

TEST(interop_sysv_sem, sysv_sem_kith_uses_a_semaphore_of_pythons) {
    const test_key at;
    // sysv_ipc sets the value and makes no semop: its set is taken as it is, or waited for in vain.
    expect_done(
        run(python("import sys, sysv_ipc\n"
                   "sysv_ipc.Semaphore(int(sys.argv[1]), sysv_ipc.IPC_CREX, initial_value=3)\n",
                   {at.text})));
    EXPECT_TRUE(fails_with(sysv_sem::open(at.key, {}, deadline::in(5ms)), errc::timed_out));
    const auto set = sysv_sem::open(at.key, {.ready = sem_readiness::assumed});
    ASSERT_TRUE(ok(set));
    EXPECT_TRUE(ok(set->wait(0, 3)));
    expect_done(
        run(python("import sys, sysv_ipc\n"
                   "s = sysv_ipc.Semaphore(int(sys.argv[1]))\n"
                   "assert s.value == 0 and s.last_pid == int(sys.argv[2]) and s.o_time > 0\n"
                   "s.remove()\n",
                   {at.text, std::to_string(::getpid())})));
    EXPECT_TRUE(fails_with(set->post(0), errc::removed, EINVAL));
}

TEST(interop_sysv_sem, sysv_sem_the_command_and_perl_share_a_set) {
    const test_key at;
    const auto address = "sysv-sem:" + at.text;
    expect_done(run({kith_command(), "create", "--values", "1,5", address}));
    expect_done(
        run(perl("use IPC::Semaphore; my $s = IPC::Semaphore->new($ARGV[0], 2, 0) or die $!; "
                 "$s->op(1, -3, 0) or die $!",
                 {at.text})));
    EXPECT_EQ(run({kith_command(), "sem", "get", address}).out, "1,2\n");
    // Held by the command, seen by Perl.
    const auto inside = perl("use IPC::Semaphore; print IPC::Semaphore->new($ARGV[0], 2, 0)->getval(0)", {at.text});
    std::vector<std::string> words{kith_command(), "sem", "lock", address, "--"};
    words.insert(words.end(), inside.begin(), inside.end());
    EXPECT_EQ(run(words).out, "0");
    EXPECT_EQ(run(inside).out, "1");
}

TEST(interop_sysv_sem, sysv_sem_ipcmk_makes_what_kith_uses_and_ipcrm_removes_it) {
    const auto made_by = run({"ipcmk", "-S", "3"});
    ASSERT_EQ(made_by.status, 0) << made_by.err;
    const auto id = made_by.out.substr(made_by.out.find(':') + 2, made_by.out.find('\n') - made_by.out.find(':') - 2);
    const auto set = sysv_sem::open_id(std::stoi(id));
    ASSERT_TRUE(ok(set));
    EXPECT_EQ(set->status()->count, 3u);
    ASSERT_TRUE(ok(set->post(2, 4)));
    child waiter{[&] {
        const auto gone = set->wait(0);
        return !gone && gone.error().code() == errc::removed && gone.error().os_error() == EIDRM ? 0 : 1;
    }};
    wait_until_in_syscall(waiter.pid(), SYS_semtimedop);
    EXPECT_EQ(run({"ipcrm", "-s", id}).status, 0);
    EXPECT_EQ(waiter.wait(), 0);
}

TEST(interop_sysv_sem, sysv_sem_ipcs_and_lsipc_see_what_kith_made) {
    const test_key at;
    const auto set = made(at, {1, 42});
    const auto id = std::to_string(set.native_id());
    const auto details = run({"ipcs", "-s", "-i", id});
    EXPECT_NE(details.out.find("nsems = 2"), std::string::npos) << details.out;
    const auto row = details.out.substr(details.out.find("\n1 "));
    EXPECT_NE(row.find("42"), std::string::npos) << details.out;
    const auto listed =
        nlohmann::json::parse(run({"lsipc", "-s", "-J", "-o", "ID,NSEMS,PERMS", "--numeric-perms"}).out);
    bool found = false;
    for (const auto& one : listed["semaphores"])
        if (one["id"] == set.native_id() || one["id"] == id) found = true;
    EXPECT_TRUE(found) << listed;
    EXPECT_EQ(run({"ipcrm", "-S", at.text}).status, 0);
    EXPECT_TRUE(fails_with(set.status(), errc::removed, EINVAL));
}

TEST(interop_sysv_sem, sysv_sem_c_and_kith_count_exactly_under_the_scoped_lock) {
    const test_key at;
    const auto set = made(at, {1});
    const temp_dir dir;
    const auto program = compiled_c_program(dir.dir());
    const auto file = dir.path("count");
    int count = 0;
    std::ofstream{file}.write(reinterpret_cast<const char*>(&count), sizeof count);
    constexpr int rounds = 500;
    auto other = child::exec({program, "sysv", std::to_string(set.native_id()), std::to_string(rounds), file});
    for (int i = 0; i < rounds; ++i) {
        auto held = kith::compose::lock(set, 0, deadline::in(60s));
        ASSERT_TRUE(ok(held));
        std::fstream counted{file, std::ios::in | std::ios::out | std::ios::binary};
        counted.read(reinterpret_cast<char*>(&count), sizeof count);
        ++count;
        counted.seekp(0);
        counted.write(reinterpret_cast<const char*>(&count), sizeof count);
        counted.close();
        ASSERT_TRUE(ok(held->unlock()));
    }
    EXPECT_EQ(other.wait(), 0);
    std::ifstream{file}.read(reinterpret_cast<char*>(&count), sizeof count);
    EXPECT_EQ(count, 2 * rounds);
    EXPECT_EQ(run({program, "sysv-die", std::to_string(set.native_id())}).status, 128 + SIGKILL);
    EXPECT_TRUE(ok(kith::compose::lock(set, 0, deadline::in(60s))));
}

}  // namespace
