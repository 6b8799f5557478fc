// POSIX semaphores with Python's multiprocessing, ctypes and C as the other side, both ways.
#include <kith/compose/scoped_lock.hpp>
#include <kith/sys/posix_sem.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fstream>

#include "interop/other_side.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

struct test_name {
    std::string name = std::string{"/"}.append(unique_name("interop"));
    ~test_name() { ::sem_unlink(name.c_str()); }
};

void expect_done(const outcome& end) { EXPECT_EQ(end.status, 0) << end.out << end.err; }

TEST(interop_posix_sem, posix_sem_multiprocessing_uses_a_semaphore_of_kiths) {
    const test_name at;
    const auto made = posix_sem::open(at.name, {.create = creation::must_be_new, .value = 1});
    ASSERT_TRUE(ok(made));
    // What multiprocessing.Semaphore opens by name in a spawned process.
    expect_done(
        run(python("import sys, _multiprocessing\n"
                   "s = _multiprocessing.SemLock._rebuild(0, 1, 100, sys.argv[1])\n"
                   "assert s.acquire()\n"
                   "assert not s.acquire(False)\n"
                   "assert not s.acquire(True, 0.01)\n"
                   "for _ in range(3): s.release()\n",
                   {at.name})));
    EXPECT_EQ(*made->value(), 3);
}

TEST(interop_posix_sem, posix_sem_kith_uses_a_semaphore_of_multiprocessings) {
    const test_name at;
    expect_done(
        run(python("import sys, _multiprocessing\n"
                   "_multiprocessing.SemLock(1, 2, 100, sys.argv[1], False)\n",
                   {at.name})));
    const auto found = posix_sem::open(at.name);
    ASSERT_TRUE(ok(found));
    EXPECT_EQ(*found->value(), 2);
    EXPECT_TRUE(ok(found->wait()));
    expect_done(
        run(python("import sys, _multiprocessing\n"
                   "s = _multiprocessing.SemLock._rebuild(0, 1, 100, sys.argv[1])\n"
                   "assert s._get_value() == 1\n",
                   {at.name})));
}

TEST(interop_posix_sem, posix_sem_ctypes_and_kith_take_turns) {
    const test_name ping;
    const test_name pong;
    const auto mine = posix_sem::open(ping.name, {.create = creation::must_be_new});
    const auto yours = posix_sem::open(pong.name, {.create = creation::must_be_new});
    ASSERT_TRUE(mine && yours);
    auto other =
        child::exec(python("import ctypes, sys\n"
                           "c = ctypes.CDLL(None, use_errno=True)\n"
                           "c.sem_open.restype = ctypes.c_void_p\n"
                           "a, b = [ctypes.c_void_p(c.sem_open(n.encode(), 0)) for n in sys.argv[1:]]\n"
                           "assert a and b\n"
                           "for _ in range(200):\n"
                           "    assert c.sem_wait(a) == 0 and c.sem_post(b) == 0\n",
                           {ping.name, pong.name}));
    for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(ok(mine->post()));
        ASSERT_TRUE(ok(yours->wait(deadline::in(60s))));
    }
    EXPECT_EQ(other.wait(), 0);
}

TEST(interop_posix_sem, posix_sem_the_command_and_python_share_a_semaphore) {
    const test_name at;
    const auto address = "posix-sem:" + at.name;
    expect_done(run({kith_command(), "create", "--values", "2", address}));
    expect_done(
        run(python("import sys, _multiprocessing\n"
                   "s = _multiprocessing.SemLock._rebuild(0, 1, 100, sys.argv[1])\n"
                   "assert s._get_value() == 2 and s.acquire(False)\n",
                   {at.name})));
    EXPECT_EQ(run({kith_command(), "sem", "get", address}).out, "1\n");
    expect_done(run({kith_command(), "rm", address}));
    EXPECT_TRUE(fails_with(posix_sem::open(at.name), errc::not_found, ENOENT));
}

TEST(interop_posix_sem, posix_sem_c_and_kith_count_exactly_under_the_scoped_lock) {
    const test_name at;
    const temp_dir dir;
    const auto program = compiled_c_program(dir.dir());
    expect_done(run({program, "make", at.name, "1"}));
    const auto semaphore = posix_sem::open(at.name);
    ASSERT_TRUE(ok(semaphore));
    const auto file = dir.path("count");
    int count = 0;
    std::ofstream{file}.write(reinterpret_cast<const char*>(&count), sizeof count);
    constexpr int rounds = 500;
    auto other = child::exec({program, "posix", at.name, std::to_string(rounds), file});
    for (int i = 0; i < rounds; ++i) {
        const auto held = kith::compose::lock(*semaphore, deadline::in(60s));
        ASSERT_TRUE(ok(held));
        std::fstream counted{file, std::ios::in | std::ios::out | std::ios::binary};
        counted.read(reinterpret_cast<char*>(&count), sizeof count);
        ++count;
        counted.seekp(0);
        counted.write(reinterpret_cast<const char*>(&count), sizeof count);
    }
    EXPECT_EQ(other.wait(), 0);
    std::ifstream{file}.read(reinterpret_cast<char*>(&count), sizeof count);
    EXPECT_EQ(count, 2 * rounds);
}

TEST(interop_posix_sem, posix_sem_c_posts_an_unnamed_semaphore_of_kiths) {
    const temp_dir dir;
    const auto program = compiled_c_program(dir.dir());
    const auto file = dir.path("memory");
    std::ofstream{file} << std::string(4096, '\0');
    const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
    void* const memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ASSERT_NE(memory, MAP_FAILED);
    const auto semaphore = unnamed_sem::create_at({static_cast<std::byte*>(memory), 4096}, 0);
    ASSERT_TRUE(ok(semaphore));
    auto other = child::exec({program, "post", file});
    EXPECT_TRUE(ok((*semaphore)->wait(deadline::in(60s))));
    EXPECT_EQ(other.wait(), 0);
    ::munmap(memory, 4096);
    ::close(fd);
}

}  // namespace
