// POSIX shared memory with other programs at the other end: Python's multiprocessing, dd, and plain files.
#include <kith/sys/posix_shm.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstring>
#include <fstream>
#include <string>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using namespace kith::sys;

struct shm_name {
    std::string bare = unique_name("shm");
    std::string text = std::string{"/"}.append(bare);
    std::string path = std::string{"/dev/shm/"}.append(bare);
    shm_name() = default;
    shm_name(const shm_name&) = delete;
    shm_name& operator=(const shm_name&) = delete;
    ~shm_name() { ::shm_unlink(text.c_str()); }
};

// R9: before Python 3.13 whoever merely attaches registers the object, and the resource tracker unlinks it at exit.
const std::string attach_only =
    "import sys\n"
    "from multiprocessing import shared_memory, resource_tracker\n"
    "m = shared_memory.SharedMemory(name=sys.argv[1])\n"
    "if sys.version_info < (3, 13): resource_tracker.unregister(m._name, 'shared_memory')\n";

outcome python(const std::string& script, const std::string& argument) {
    return run({"/usr/bin/python3", "-c", script, argument});
}

std::string every_byte() {
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
    return bytes;
}

TEST(interop_posix_shm, posix_shm_R9_python_attaches_and_both_see_each_others_bytes) {
    const shm_name name;
    const auto shm = posix_shm::open(name.text, {.create = creation::must_be_new, .size = 4096});
    ASSERT_TRUE(ok(shm));
    auto memory = shm->map();
    std::memcpy(memory->bytes().data() + 100, every_byte().data(), 256);
    const auto both = python(attach_only +
                                 "assert m.size == 4096\n"
                                 "sys.stdout.buffer.write(bytes(m.buf[100:356]))\n"
                                 "m.buf[1000:1011] = b'from python'\n"
                                 "m.close()\n",
                             name.bare);
    EXPECT_EQ(both.status, 0) << both.err;
    EXPECT_EQ(both.out, every_byte());
    EXPECT_EQ(kith::text_of(memory->view().subspan(1000, 11)), "from python");
    EXPECT_TRUE(ok(posix_shm::open(name.text, {.size = 4096})));  // the tracker left it alone
}

TEST(interop_posix_shm, posix_shm_R9_a_tracker_that_knows_the_object_takes_only_its_name) {
    const shm_name name;
    const auto shm = posix_shm::open(name.text, {.create = creation::must_be_new, .size = 4096});
    ASSERT_TRUE(ok(shm));
    auto memory = shm->map();
    const auto taken = python(
        "import sys\n"
        "from multiprocessing import shared_memory\n"
        "m = shared_memory.SharedMemory(name=sys.argv[1])\n"
        "m.buf[0] = 7\n"
        "m.close()\n",
        name.bare);
    EXPECT_EQ(taken.status, 0);
    EXPECT_EQ(memory->view()[0], std::byte{7});  // who has it mapped keeps it
    // The tracker is a process of its own that outlives the program by a moment.
    const auto version = run({"/usr/bin/python3", "-c", "import sys; print(sys.version_info >= (3, 13))"});
    if (version.out.starts_with("True")) GTEST_SKIP() << "this Python does not register what it attaches";
    for (int looks = 0; looks < 20000 && ::access(name.path.c_str(), F_OK) == 0; ++looks) ::usleep(1000);
    EXPECT_TRUE(fails_with(posix_shm::open(name.text), kith::errc::not_found));
}

TEST(interop_posix_shm, posix_shm_kith_opens_what_python_made) {
    const shm_name name;
    child maker{[&] {
        const auto made = python(
            "import sys, time\n"
            "from multiprocessing import shared_memory\n"
            "m = shared_memory.SharedMemory(name=sys.argv[1], create=True, size=12345)\n"
            "m.buf[12000:12011] = b'from python'\n"
            "while m.buf[0] == 0: time.sleep(0.001)\n"
            "m.close()\n"
            "m.unlink()\n",
            name.bare);
        return made.status;
    }};
    kith::result<posix_shm> shm = kith::fail(kith::errc::not_found, "shm_open");
    for (int looks = 0; looks < 20000 && !shm; ++looks) {
        shm = posix_shm::open(name.text, {.size = 12345}, kith::deadline::in(10s));
        if (!shm) ::usleep(1000);
    }
    ASSERT_TRUE(ok(shm));
    auto memory = shm->map();
    ASSERT_TRUE(ok(memory));
    for (int looks = 0; looks < 20000 && memory->view()[12010] != std::byte{'n'}; ++looks) ::usleep(1000);
    EXPECT_EQ(kith::text_of(memory->view().subspan(12000, 11)), "from python");
    EXPECT_EQ(run({kith_command(), "shm", "read", "posix-shm:" + name.text, "--offset", "12000", "--length", "11"}).out,
              "from python");
    memory->bytes()[0] = std::byte{1};
    EXPECT_EQ(maker.wait(), 0);
    EXPECT_TRUE(fails_with(posix_shm::open(name.text), kith::errc::not_found, ENOENT));
}

TEST(interop_posix_shm, posix_shm_dd_reads_and_writes_the_same_bytes) {
    const shm_name name;
    const auto shm = posix_shm::open(name.text, {.create = creation::must_be_new, .size = 1000});
    ASSERT_TRUE(ok(shm));
    auto memory = shm->map();
    const auto written =
        run({"dd", "of=" + name.path, "bs=1", "seek=500", "conv=notrunc", "status=none"}, every_byte());
    EXPECT_EQ(written.status, 0) << written.err;
    EXPECT_EQ(kith::text_of(memory->view().subspan(500, 256)), every_byte());
    std::memcpy(memory->bytes().data(), "from kith", 9);
    const auto read = run({"dd", "if=" + name.path, "bs=1", "count=9", "status=none"});
    EXPECT_EQ(read.out, "from kith");
    EXPECT_EQ(run({kith_command(), "shm", "write", "posix-shm:" + name.text, "--offset", "4"}, every_byte()).status, 0);
    EXPECT_EQ(run({"dd", "if=" + name.path, "bs=4", "skip=1", "count=64", "status=none"}).out, every_byte());
}

TEST(interop_posix_shm, posix_shm_kith_waits_for_a_file_that_dd_is_still_writing) {
    const shm_name name;
    child writer{[&] {
        return run({"sh", "-c", "{ head -c 3000 /dev/zero; sleep 0.05; head -c 5192 /dev/zero; } > " + name.path})
            .status;
    }};
    for (int looks = 0; looks < 20000 && ::access(name.path.c_str(), F_OK) != 0; ++looks) ::usleep(1000);
    const auto shm = posix_shm::open(name.text, {.size = 8192}, kith::deadline::in(60s));
    EXPECT_TRUE(ok(shm));
    EXPECT_EQ(writer.wait(), 0);
}

TEST(interop_posix_shm, posix_shm_what_rm_removes_is_gone_by_name_only) {
    const shm_name name;
    const auto shm = posix_shm::open(name.text, {.create = creation::must_be_new, .size = 4096});
    auto memory = shm->map();
    EXPECT_EQ(run({"rm", name.path}).status, 0);
    EXPECT_TRUE(fails_with(posix_shm::open(name.text), kith::errc::not_found, ENOENT));
    memory->bytes()[0] = std::byte{1};
    EXPECT_EQ(shm->map()->view()[0], std::byte{1});
}

}  // namespace
