// FIFOs: SEMANTICS F1 and F2 (opening) and F7 (what lives under the name). What goes through them: fifo_stream_test.
#include <kith/sys/fifo.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include <kith/observer.hpp>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "sys/fifos.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::sys::create_fifo;
using kith::sys::creation;
using kith::sys::open_fifo_both;
using kith::sys::open_fifo_reader;
using kith::sys::open_fifo_writer;

// --- F1: opening -------------------------------------------------------------------------------------------------

TEST(sys_fifo, fifo_F1_opening_for_reading_waits_in_the_kernel_for_a_writer) {
    const fifo_at fifo;
    child reading{[&] {
        auto reader = open_fifo_reader(fifo.path());
        CHILD_CHECK(reader);
        auto got = block(5);
        std::size_t done = 0;
        CHILD_CHECK(reader->read_full(got, done));
        return kith::text_of(got) == "hello" ? 0 : 1;
    }};
    wait_until_in_syscall(reading.pid(), SYS_openat);
    auto writer = open_fifo_writer(fifo.path());
    ASSERT_TRUE(ok(writer));
    EXPECT_TRUE(ok(writer->write_some(kith::bytes_of("hello"))));
    EXPECT_EQ(reading.wait(), 0);
}

TEST(sys_fifo, fifo_F1_opening_for_writing_waits_in_the_kernel_for_a_reader) {
    const fifo_at fifo;
    child writing{[&] {
        auto writer = open_fifo_writer(fifo.path());
        CHILD_CHECK(writer && writer->write_some(kith::bytes_of("hello")));
        return 0;
    }};
    wait_until_in_syscall(writing.pid(), SYS_openat);
    auto reader = open_fifo_reader(fifo.path());
    ASSERT_TRUE(ok(reader));
    auto got = block(5);
    std::size_t done = 0;
    EXPECT_TRUE(ok(reader->read_full(got, done)));
    EXPECT_EQ(kith::text_of(got), "hello");
    EXPECT_EQ(writing.wait(), 0);
}

TEST(sys_fifo, fifo_F1_a_reader_that_does_not_wait_opens_at_once) {
    const fifo_at fifo;
    const auto reader = open_fifo_reader(fifo.path(), deadline::immediate());
    ASSERT_TRUE(ok(reader));
    EXPECT_EQ(::fcntl(reader->native().get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
}

TEST(sys_fifo, fifo_F1_a_writer_that_does_not_wait_without_a_reader_is_would_block_with_ENXIO) {
    const fifo_at fifo;
    const auto alone = open_fifo_writer(fifo.path(), deadline::immediate());
    EXPECT_TRUE(fails_with(alone, errc::would_block, ENXIO));
    EXPECT_STREQ(alone.error().operation(), "open");
    const auto reader = fifo.reader_at_once();
    EXPECT_TRUE(ok(open_fifo_writer(fifo.path(), deadline::immediate())));
}

TEST(sys_fifo, fifo_F1_opening_for_both_never_waits) {
    const fifo_at fifo;
    auto both = open_fifo_both(fifo.path());
    ASSERT_TRUE(ok(both));
    ASSERT_TRUE(ok(both->write_some(kith::bytes_of("me"))));
    auto got = block(2);
    EXPECT_EQ(*both->read_some(got), 2u);
    EXPECT_EQ(kith::text_of(got), "me");
    std::size_t room = 0;
    while (both->write_some(block(4096), deadline::immediate())) ++room;
    EXPECT_EQ(room, 16u);
    EXPECT_TRUE(fails_with(both->write_some(block(1), deadline::in(5ms)), errc::timed_out));
}

TEST(sys_fifo, fifo_F1_the_plain_open_leaves_the_same_descriptor_as_the_others) {
    const fifo_at fifo;
    child writing{[&] { return open_fifo_writer(fifo.path()) ? 0 : 1; }};
    const auto reader = open_fifo_reader(fifo.path());
    ASSERT_TRUE(ok(reader));
    EXPECT_EQ(::fcntl(reader->native().get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
    EXPECT_EQ(writing.wait(), 0);
}

// --- F2: the other side does not come ----------------------------------------------------------------------------

TEST(sys_fifo, fifo_F2_opening_for_writing_has_a_deadline_and_leaves_nothing_behind) {
    const fifo_at fifo;
    const int before = open_descriptors();
    const auto start = deadline::clock::now();
    EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), deadline::in(30ms)), errc::timed_out, ENXIO));
    EXPECT_GE(deadline::clock::now() - start, 30ms);
    EXPECT_EQ(open_descriptors(), before);
}

TEST(sys_fifo, fifo_F2_opening_for_reading_has_a_deadline_and_leaves_nothing_behind) {
    const fifo_at fifo;
    const int before = open_descriptors();
    const auto start = deadline::clock::now();
    EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - start, 30ms);
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), deadline::immediate()), errc::would_block, ENXIO));
}

TEST(sys_fifo, fifo_F2_the_two_timed_opens_meet) {
    const fifo_at fifo;
    child writing{[&] { return open_fifo_writer(fifo.path(), deadline::in(60s)) ? 0 : 1; }};
    EXPECT_TRUE(ok(open_fifo_reader(fifo.path(), deadline::in(60s))));
    EXPECT_EQ(writing.wait(), 0);
}

TEST(sys_fifo, fifo_F2_a_timed_reader_meets_a_writer_that_only_opens) {
    const fifo_at fifo;
    child writing{[&] {
        const auto writer = open_fifo_writer(fifo.path());  // blocks in the kernel; writes nothing
        CHILD_CHECK(writer);
        for (;;) ::pause();
        return 0;
    }};
    EXPECT_TRUE(ok(open_fifo_reader(fifo.path(), deadline::in(60s))));
}

TEST(sys_fifo, fifo_F2_a_stop_token_ends_the_wait_for_the_other_side) {
    const fifo_at fifo;
    for (const bool for_reading : {true, false}) {
        std::atomic<pid_t> tid{0};
        std::jthread waiter{[&](const std::stop_token& stop) {
            tid = static_cast<pid_t>(::syscall(SYS_gettid));
            if (for_reading) {
                EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), {deadline::never(), stop}), errc::stopped, 0));
            } else {
                EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), {deadline::never(), stop}), errc::stopped, 0));
            }
        }};
        while (tid == 0) std::this_thread::yield();
        wait_until_thread_in_syscall(tid, for_reading ? SYS_ppoll : SYS_futex);
        waiter.request_stop();
    }
}

TEST(sys_fifo, fifo_F2_looking_again_is_told_to_the_observer) {
    const fifo_at fifo;
    static std::atomic<int> told;
    told = 0;
    kith::set_observer([](const kith::event& what, void*) noexcept {
        if (what.kind == kith::event_kind::polling) ++told;
    });
    // On a busy machine the deadline can pass before there is anything to look at again.
    while (told < 1) EXPECT_FALSE(open_fifo_writer(fifo.path(), deadline::in(5ms)));
    while (told < 2) EXPECT_FALSE(open_fifo_reader(fifo.path(), deadline::in(5ms)));
    EXPECT_EQ(told, 2);
    EXPECT_FALSE(open_fifo_writer(fifo.path(), deadline::immediate()));
    EXPECT_TRUE(open_fifo_reader(fifo.path(), deadline::immediate()));
    kith::set_observer(nullptr);
    EXPECT_EQ(told, 2);
}

TEST(sys_fifo, fifo_trap02_two_fifos_opened_in_opposite_order_end_with_the_deadline) {
    const fifo_at a;
    const fifo_at b;
    child other{[&] {
        const auto reader = open_fifo_reader(b.path(), deadline::in(100ms));  // b first, and nobody writes to it
        return !reader && reader.error().code() == errc::timed_out ? 0 : 1;
    }};
    EXPECT_TRUE(fails_with(open_fifo_reader(a.path(), deadline::in(100ms)), errc::timed_out));
    EXPECT_EQ(other.wait(), 0);
}

TEST(sys_fifo, fifo_trap02_two_fifos_opened_in_the_same_order_meet_without_a_deadline) {
    const fifo_at a;
    const fifo_at b;
    child other{[&] {
        auto writer = open_fifo_writer(a.path());
        auto reader = open_fifo_reader(b.path());
        CHILD_CHECK(writer && reader);
        return 0;
    }};
    EXPECT_TRUE(ok(open_fifo_reader(a.path())));
    EXPECT_TRUE(ok(open_fifo_writer(b.path())));
    EXPECT_EQ(other.wait(), 0);
}

// --- F7: what lives under the name -------------------------------------------------------------------------------

TEST(sys_fifo, fifo_F7_creation_follows_the_policy) {
    const fifo_at fifo;
    EXPECT_TRUE(fails_with(create_fifo(fifo.path()), errc::exists, EEXIST));
    EXPECT_TRUE(ok(create_fifo(fifo.path(), 0666, creation::create_or_open)));
    EXPECT_TRUE(ok(create_fifo(fifo.path(), 0666, creation::must_exist)));
    EXPECT_EQ(kith::sys::fifo_status_of(fifo.path())->mode, 0600u);  // of the one that was there
    EXPECT_TRUE(fails_with(create_fifo(fifo.path() + "2", 0600, creation::must_exist), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(create_fifo(fifo.dir().path("no/fifo")), errc::not_found, ENOENT));
}

TEST(sys_fifo, fifo_F7_permissions_are_mode_without_umask) {
    ::umask(027);
    const fifo_at fifo{0666};
    ::umask(022);
    const auto status = kith::sys::fifo_status_of(fifo.path());
    ASSERT_TRUE(ok(status));
    EXPECT_EQ(status->mode, 0640u);
    EXPECT_EQ(status->uid, ::geteuid());
    EXPECT_EQ(status->gid, ::getegid());
}

TEST(sys_fifo, fifo_G12_the_umask_applies) {
    ::umask(077);
    const fifo_at fifo{0666};
    ::umask(022);
    EXPECT_EQ(kith::sys::fifo_status_of(fifo.path())->mode, 0600u);
}

/// Every way in must refuse what is no FIFO, and leave it as it was.
void expect_wrong_kind(const std::string& path) {
    SCOPED_TRACE(path);
    for (const auto until : {deadline::immediate(), deadline::in(5ms), deadline::never()}) {
        EXPECT_TRUE(fails_with(open_fifo_reader(path, until), errc::wrong_kind));
        EXPECT_TRUE(fails_with(open_fifo_writer(path, until), errc::wrong_kind));
    }
    EXPECT_TRUE(fails_with(open_fifo_both(path), errc::wrong_kind));
    EXPECT_TRUE(fails_with(create_fifo(path, 0600, creation::create_or_open), errc::wrong_kind));
    EXPECT_TRUE(fails_with(create_fifo(path, 0600, creation::must_exist), errc::wrong_kind));
    EXPECT_TRUE(fails_with(create_fifo(path), errc::exists, EEXIST));
    EXPECT_TRUE(fails_with(kith::sys::remove_fifo(path), errc::wrong_kind));
    EXPECT_TRUE(fails_with(kith::sys::fifo_status_of(path), errc::wrong_kind));
    struct stat file{};
    EXPECT_EQ(::lstat(path.c_str(), &file), 0);
}

TEST(sys_fifo, fifo_F7_a_planted_file_is_wrong_kind_and_not_written_to) {
    const temp_dir dir;
    std::ofstream{dir.path("file")} << "precious";
    expect_wrong_kind(dir.path("file"));
    std::string content;
    std::ifstream{dir.path("file")} >> content;
    EXPECT_EQ(content, "precious");
    expect_wrong_kind(dir.dir());
}

TEST(sys_fifo, fifo_F7_a_symbolic_link_is_not_followed) {
    const fifo_at fifo;
    ASSERT_EQ(::symlink(fifo.path().c_str(), fifo.dir().path("link").c_str()), 0);
    expect_wrong_kind(fifo.dir().path("link"));
    EXPECT_TRUE(ok(kith::sys::fifo_status_of(fifo.path())));  // what it points to was not removed either
}

TEST(sys_fifo, fifo_F7_a_socket_is_wrong_kind_although_it_gives_ENXIO) {
    const temp_dir dir;
    const kith::owned_fd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    dir.path("socket").copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    expect_wrong_kind(dir.path("socket"));
}

TEST(sys_fifo, fifo_F7_a_missing_right_is_not_permitted) {
    NEEDS_ROOT();
    const fifo_at fifo;
    EXPECT_EQ(0, as_nobody([&] {
                  const auto refused = open_fifo_reader(fifo.path());
                  CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted);
                  CHILD_CHECK(refused.error().os_error() == EACCES);
                  const auto unremoved = kith::sys::remove_fifo(fifo.path());
                  CHILD_CHECK(!unremoved && unremoved.error().code() == errc::not_permitted);
                  const auto unmade = create_fifo(fifo.path() + "2");
                  CHILD_CHECK(!unmade && unmade.error().os_error() == EACCES);
                  return 0;
              }));
}

TEST(sys_fifo, fifo_F7_names_that_cannot_be_are_refused) {
    EXPECT_TRUE(fails_with(create_fifo(std::string(5000, 'x')), errc::too_long, ENAMETOOLONG));
    EXPECT_TRUE(fails_with(create_fifo("/tmp/" + std::string(300, 'x')), errc::too_long, ENAMETOOLONG));
    EXPECT_TRUE(fails_with(create_fifo(std::string_view{"/tmp/a\0b", 8}), errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(open_fifo_reader(std::string_view{"/tmp/a\0b", 8}), errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(open_fifo_writer(std::string(5000, 'x')), errc::too_long));
    EXPECT_TRUE(fails_with(open_fifo_both(std::string(5000, 'x')), errc::too_long));
    EXPECT_TRUE(fails_with(kith::sys::remove_fifo(std::string(5000, 'x')), errc::too_long));
    EXPECT_TRUE(fails_with(kith::sys::fifo_status_of(std::string(5000, 'x')), errc::too_long));
    EXPECT_TRUE(fails_with(create_fifo(""), errc::not_found, ENOENT));
}

TEST(sys_fifo, fifo_F7_a_file_system_without_fifos_is_wrong_filesystem) {
    const auto refused = create_fifo("/sys/" + unique_name("fifo"));
    ASSERT_FALSE(refused);
    if (refused.error().os_error() != EPERM) GTEST_SKIP() << "/sys says " << kith::describe(refused.error());
    EXPECT_EQ(refused.error().code(), errc::wrong_filesystem);
}

}  // namespace
