// FIFOs: SEMANTICS F1-F8, the general rules that concern them, and the classic traps that FIFOs are part of.
#include <kith/sys/fifo.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <kith/observer.hpp>
#include <kith/sys/pipe.hpp>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::sys::create_fifo;
using kith::sys::creation;
using kith::sys::fifo_both;
using kith::sys::fifo_reader;
using kith::sys::fifo_writer;
using kith::sys::open_fifo_both;
using kith::sys::open_fifo_reader;
using kith::sys::open_fifo_writer;
using kith::sys::pipe_atomic_bytes;

std::vector<std::byte> block(std::size_t size, char fill = 'x') {
    return std::vector<std::byte>(size, static_cast<std::byte>(fill));
}

short state(kith::borrowed_fd fd, short events = POLLIN) {
    pollfd one{fd.get(), events, 0};
    ::poll(&one, 1, 0);
    return one.revents;
}

/// A new FIFO in a directory of its own.
class fifo_at {
public:
    explicit fifo_at(mode_t mode = 0600) { EXPECT_TRUE(ok(create_fifo(path(), mode))); }
    [[nodiscard]] std::string path() const { return dir_.path("fifo"); }
    [[nodiscard]] const temp_dir& dir() const { return dir_; }
    [[nodiscard]] fifo_reader reader_at_once() const {
        return std::move(*open_fifo_reader(path(), deadline::immediate()));
    }
    [[nodiscard]] fifo_writer writer_at_once() const {
        return std::move(*open_fifo_writer(path(), deadline::immediate()));
    }

private:
    temp_dir dir_;
};

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

// --- F3: no writer yet -------------------------------------------------------------------------------------------

TEST(sys_fifo, fifo_F3_before_the_first_writer_nothing_is_there_and_nothing_has_ended) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    std::byte one;
    EXPECT_EQ(::read(reader.native().get(), &one, 1), 0);  // what the kernel says, which looks like the end
    EXPECT_EQ(state(reader.native()), 0);
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_FALSE(*reader.has_writer());
    const auto writer = fifo.writer_at_once();
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(*reader.has_writer());
}

TEST(sys_fifo, fifo_F3_a_read_before_the_first_writer_sleeps_until_there_are_bytes) {
    const fifo_at fifo;
    auto ready = kith::sys::open_fifo_reader(fifo.path(), deadline::immediate());
    child reading{[&] {
        auto got = block(2);
        std::size_t done = 0;
        CHILD_CHECK(ready->read_full(got, done));  // read_full and a base-class view keep the rule
        return kith::text_of(got) == "ab" ? 0 : 1;
    }};
    ready->close();
    wait_until_in_syscall(reading.pid(), SYS_ppoll);
    auto writer = fifo.writer_at_once();
    ASSERT_TRUE(ok(writer.write_some(kith::bytes_of("a"))));
    ASSERT_TRUE(ok(writer.write_some(kith::bytes_of("b"))));
    EXPECT_EQ(reading.wait(), 0);
}

TEST(sys_fifo, fifo_F3_a_read_before_the_first_writer_keeps_its_deadline) {
    const fifo_at fifo;
    fifo_reader opened = fifo.reader_at_once();
    kith::sys::byte_reader& reader = opened;
    std::byte one;
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::in(20ms)), errc::timed_out));
}

TEST(sys_fifo, fifo_F3_a_writer_that_came_and_left_without_a_word_is_the_end) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    fifo.writer_at_once().close();
    EXPECT_EQ(state(reader.native()), POLLHUP);
    std::byte one;
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}), errc::end_of_stream, 0));
    EXPECT_TRUE(ok(reader.wait_for_writer(deadline::immediate())));  // there was one
}

TEST(sys_fifo, fifo_F3_asking_for_a_writer_takes_nothing_out) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    ASSERT_TRUE(ok(writer.write_some(kith::bytes_of("abc"))));
    const int before = open_descriptors();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(*reader.has_writer());
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(*reader.queued(), 3u);
}

TEST(sys_fifo, fifo_F3_waiting_for_a_writer_can_be_ended_by_close) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(reader.wait_for_writer(), errc::stopped));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    reader.close();
}

// --- F4: the last writer leaves ----------------------------------------------------------------------------------

TEST(sys_fifo, fifo_F4_the_end_comes_after_the_last_writer_and_lasts_until_the_next) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto first = fifo.writer_at_once();
    auto second = fifo.writer_at_once();
    ASSERT_TRUE(ok(first.write_some(kith::bytes_of("1"))));
    first.close();
    std::byte one;
    EXPECT_EQ(*reader.read_some({&one, 1}), 1u);
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::immediate()), errc::would_block));
    second.close();
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}), errc::end_of_stream));
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}), errc::end_of_stream));
    const auto third = fifo.writer_at_once();
    EXPECT_EQ(state(reader.native()), 0);
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_fifo, fifo_F4_a_reader_that_starts_over_waits_for_the_next_writer_without_spinning) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    const int number = reader.native().get();
    fifo.writer_at_once().close();
    std::byte one;
    ASSERT_TRUE(fails_with(reader.read_some({&one, 1}), errc::end_of_stream));
    ASSERT_TRUE(ok(reader.start_over()));
    EXPECT_EQ(reader.native().get(), number);
    EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(state(reader.native()), 0);
    child reading{[&] {
        CHILD_CHECK(reader.read_some({&one, 1}));
        return 0;
    }};
    wait_until_in_syscall(reading.pid(), SYS_ppoll);
    EXPECT_TRUE(ok(fifo.writer_at_once().write_some(kith::bytes_of("2"))));
    EXPECT_EQ(reading.wait(), 0);
}

TEST(sys_fifo, fifo_F4_starting_over_keeps_unread_bytes_and_works_after_the_name_is_gone) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    ASSERT_TRUE(ok(fifo.writer_at_once().write_some(kith::bytes_of("left"))));
    ASSERT_TRUE(ok(kith::sys::remove_fifo(fifo.path())));
    ASSERT_TRUE(ok(reader.start_over()));
    auto got = block(10);
    EXPECT_EQ(*reader.read_some(got), 4u);
    EXPECT_TRUE(fails_with(reader.read_some(got, deadline::immediate()), errc::would_block));
}

TEST(sys_fifo, fifo_F4_a_reader_open_for_both_never_sees_the_end) {
    const fifo_at fifo;
    auto both = open_fifo_both(fifo.path());
    ASSERT_TRUE(ok(both));
    fifo_reader server{std::move(*both)};
    for (int client = 0; client < 3; ++client) {
        child one{[&] {
            auto writer = open_fifo_writer(fifo.path(), deadline::immediate());
            CHILD_CHECK(writer && writer->write_some(kith::bytes_of("request")));
            return 0;
        }};
        EXPECT_EQ(one.wait(), 0);
        auto got = block(7);
        std::size_t done = 0;
        ASSERT_TRUE(ok(server.read_full(got, done)));
        EXPECT_EQ(state(server.native()), 0);
        EXPECT_TRUE(fails_with(server.read_some(got, deadline::immediate()), errc::would_block));
    }
}

TEST(sys_fifo, fifo_trap03_a_server_neither_spins_nor_quits_when_its_client_leaves) {
    const fifo_at fifo;
    auto told = kith::sys::open_pipe();
    ASSERT_TRUE(ok(told));
    child server{[&] {
        auto reader = open_fifo_reader(fifo.path());
        CHILD_CHECK(reader);
        for (int clients = 0; clients < 3;) {
            std::byte one;
            const auto got = reader->read_some({&one, 1});
            if (got) continue;
            CHILD_CHECK(got.error().code() == errc::end_of_stream && reader->start_over());
            CHILD_CHECK(told->writer.write_some({&one, 1}));
            ++clients;
        }
        return 0;
    }};
    for (int client = 0; client < 3; ++client) {
        auto writer = open_fifo_writer(fifo.path());
        ASSERT_TRUE(ok(writer));
        ASSERT_TRUE(ok(writer->write_some(kith::bytes_of("x"))));
        wait_until_in_syscall(server.pid(), SYS_ppoll);  // asleep while the client stays
        writer->close();
        std::byte end;
        ASSERT_TRUE(ok(told->reader.read_some({&end, 1}, deadline::in(30s))));
        if (client < 2) wait_until_in_syscall(server.pid(), SYS_ppoll);  // and after it has left
    }
    EXPECT_EQ(server.wait(), 0);
}

// --- F5: what stays ----------------------------------------------------------------------------------------------

TEST(sys_fifo, fifo_F5_unread_bytes_are_lost_with_the_last_descriptor_and_the_name_stays) {
    const fifo_at fifo;
    {
        auto reader = fifo.reader_at_once();
        ASSERT_TRUE(ok(fifo.writer_at_once().write_some(kith::bytes_of("lost"))));
        EXPECT_EQ(*reader.queued(), 4u);
    }
    auto reader = fifo.reader_at_once();  // the name is still there
    EXPECT_EQ(*reader.queued(), 0u);
}

TEST(sys_fifo, fifo_F5_any_open_descriptor_keeps_the_bytes) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    ASSERT_TRUE(ok(writer.write_some(kith::bytes_of("kept"))));
    reader.close();  // the writer alone keeps them
    auto next = fifo.reader_at_once();
    auto got = block(4);
    EXPECT_EQ(*next.read_some(got), 4u);
    EXPECT_EQ(kith::text_of(got), "kept");
}

TEST(sys_fifo, fifo_G9_the_name_outlives_its_users_and_removal_leaves_those_who_have_it_open) {
    const fifo_at fifo;
    child user{[&] {
        const auto both = open_fifo_both(fifo.path());
        ::raise(SIGKILL);
        return both ? 0 : 1;
    }};
    EXPECT_EQ(user.wait(), 128 + SIGKILL);
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    ASSERT_TRUE(ok(kith::sys::remove_fifo(fifo.path())));
    EXPECT_TRUE(fails_with(kith::sys::remove_fifo(fifo.path()), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), deadline::immediate()), errc::not_found, ENOENT));
    EXPECT_TRUE(ok(writer.write_some(kith::bytes_of("x"))));
    std::byte one;
    EXPECT_EQ(*reader.read_some({&one, 1}), 1u);
}

TEST(sys_fifo, fifo_G10_bytes_of_a_dead_writer_are_read_by_whoever_comes_next) {
    const fifo_at fifo;
    const auto holder = open_fifo_both(fifo.path());
    ASSERT_TRUE(ok(holder));
    child writer{[&] {
        auto out = open_fifo_writer(fifo.path());
        CHILD_CHECK(out && out->write_some(kith::bytes_of("old")));
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(writer.wait(), 128 + SIGKILL);
    auto reader = fifo.reader_at_once();
    EXPECT_EQ(*reader.queued(), 3u);
}

// --- F6: many of them --------------------------------------------------------------------------------------------

TEST(sys_fifo, fifo_F6_records_of_several_writers_up_to_pipe_buf_stay_whole) {
    const fifo_at fifo;
    constexpr int writers = 4;
    constexpr int records = 200;
    auto reader = fifo.reader_at_once();
    std::vector<child> strangers;
    for (int w = 0; w < writers; ++w)
        strangers.emplace_back([&, w] {
            auto out = open_fifo_writer(fifo.path());
            CHILD_CHECK(out);
            for (int i = 0; i < records; ++i)
                CHILD_CHECK(*out->write_some(block(pipe_atomic_bytes, static_cast<char>('a' + w))) ==
                            pipe_atomic_bytes);
            return 0;
        });
    ASSERT_TRUE(ok(reader.wait_for_writer()));
    std::array<int, writers> seen{};
    for (int i = 0; i < writers * records; ++i) {
        auto record = block(pipe_atomic_bytes);
        std::size_t done = 0;
        while (done < record.size()) {
            // All writers may be gone for a moment before the next one opens.
            const auto got = reader.read_full(record, done);
            if (!got) {
                ASSERT_TRUE(ok(reader.start_over()));
            }
        }
        for (const auto b : record) ASSERT_EQ(b, record[0]);
        ++seen.at(static_cast<std::size_t>(record[0]) - 'a');
    }
    for (auto& one : strangers) EXPECT_EQ(one.wait(), 0);
    for (const int n : seen) EXPECT_EQ(n, records);
}

TEST(sys_fifo, fifo_F6_several_readers_split_the_bytes) {
    const fifo_at fifo;
    auto one = fifo.reader_at_once();
    auto two = fifo.reader_at_once();
    ASSERT_TRUE(ok(fifo.writer_at_once().write_some(kith::bytes_of("abcd"))));
    auto got = block(2);
    EXPECT_EQ(*one.read_some(got), 2u);
    EXPECT_EQ(kith::text_of(got), "ab");
    EXPECT_EQ(*two.read_some(got), 2u);
    EXPECT_EQ(kith::text_of(got), "cd");
}

TEST(sys_fifo, fifo_trap08_a_write_above_pipe_buf_may_be_partial_and_goes_on_where_it_stopped) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    while (writer.write_some(block(4096), deadline::immediate())) {
    }
    auto page = block(4096);
    ASSERT_EQ(*reader.read_some(page), 4096u);
    EXPECT_EQ(*writer.write_some(block(10000), deadline::immediate()), 4096u);
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(writer.write_full(block(10000), done, deadline::in(5ms)), errc::timed_out));
    EXPECT_EQ(done, 0u);
    ASSERT_EQ(*reader.read_some(page), 4096u);
    EXPECT_TRUE(fails_with(writer.write_full(block(10000), done, deadline::in(5ms)), errc::timed_out));
    EXPECT_EQ(done, 4096u);
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

// --- F8 and the general rules ------------------------------------------------------------------------------------

TEST(sys_fifo, fifo_F8_writing_without_a_reader_is_peer_gone_and_no_signal) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    reader.close();
    EXPECT_EQ(state(writer.native(), POLLOUT) & POLLERR, POLLERR);
    EXPECT_TRUE(fails_with(writer.write_some(kith::bytes_of("x")), errc::peer_gone, EPIPE));
    auto next = fifo.reader_at_once();  // and a new reader makes it whole again
    EXPECT_TRUE(ok(writer.write_some(kith::bytes_of("x"))));
}

TEST(sys_fifo, fifo_trap09_the_program_survives_a_broken_fifo_with_sigpipe_at_its_default) {
    const fifo_at fifo;
    child writing{[&] {
        std::signal(SIGPIPE, SIG_DFL);
        auto reader = open_fifo_reader(fifo.path(), deadline::immediate());
        auto writer = open_fifo_writer(fifo.path(), deadline::immediate());
        CHILD_CHECK(reader && writer);
        reader->close();
        CHILD_CHECK(!writer->write_some(kith::bytes_of("x")));
        struct sigaction now{};
        ::sigaction(SIGPIPE, nullptr, &now);
        CHILD_CHECK(now.sa_handler == SIG_DFL);  // nothing a child could inherit
        return 0;
    }};
    EXPECT_EQ(writing.wait(), 0);
}

TEST(sys_fifo, fifo_G1_errors_name_the_fifo_and_keep_the_errno) {
    const auto failed = open_fifo_writer("/nowhere/fifo", deadline::immediate());
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().object().text(), "/nowhere/fifo");
    EXPECT_EQ(failed.error().os_error(), ENOENT);
    const fifo_at fifo;
    const auto late = open_fifo_reader(fifo.path(), deadline::in(1ms));
    ASSERT_FALSE(late);
    EXPECT_TRUE(fifo.path().ends_with(late.error().object().text().substr(3)));
}

TEST(sys_fifo, fifo_G2_signals_do_not_shorten_or_break_a_wait) {
    for (const bool restart : {false, true}) {
        const fifo_at fifo;
        const signal_storm storm{2ms, restart};
        const auto before = deadline::clock::now();
        EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), deadline::in(40ms)), errc::timed_out));
        EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), deadline::in(40ms)), errc::timed_out));
        EXPECT_GE(deadline::clock::now() - before, 80ms);
    }
}

TEST(sys_fifo, fifo_G2_a_signal_is_reported_if_asked_for) {
    const fifo_at fifo;
    const signal_storm storm;
    const kith::wait_policy report{deadline::never(), kith::on_signal::report};
    EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), report), errc::stopped, EINTR));
    EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), report), errc::stopped, EINTR));
    auto both = open_fifo_both(fifo.path());
    std::byte one;
    EXPECT_TRUE(fails_with(both->read_some({&one, 1}, report), errc::stopped, EINTR));
}

TEST(sys_fifo, fifo_trap07_signals_do_not_break_the_plain_open) {
    const fifo_at fifo;
    for (const bool for_reading : {true, false}) {
        child opening{[&] {
            const signal_storm storm{500us};
            const bool opened =
                for_reading ? open_fifo_reader(fifo.path()).has_value() : open_fifo_writer(fifo.path()).has_value();
            CHILD_CHECK(opened && signal_storm::count() > 0);
            return 0;
        }};
        wait_until_in_syscall(opening.pid(), SYS_openat);
        std::this_thread::sleep_for(5ms);  // at least a few signals
        if (for_reading) {
            EXPECT_TRUE(ok(open_fifo_writer(fifo.path())));
        } else {
            EXPECT_TRUE(ok(open_fifo_reader(fifo.path())));
        }
        EXPECT_EQ(opening.wait(), 0);
    }
}

TEST(sys_fifo, fifo_G3_a_deadline_in_the_past_still_opens_what_can_be_opened) {
    const fifo_at fifo;
    const auto past = deadline::at(deadline::clock::now() - 1s);
    EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), past), errc::timed_out, ENXIO));
    EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), past), errc::timed_out));
    const auto both = open_fifo_both(fifo.path());
    EXPECT_TRUE(ok(open_fifo_writer(fifo.path(), past)));
    EXPECT_TRUE(ok(open_fifo_reader(fifo.path(), past)));
}

TEST(sys_fifo, fifo_G4_descriptors_are_closed_on_exec) {
    const fifo_at fifo;
    const auto both = open_fifo_both(fifo.path());
    const auto plain = open_fifo_reader(fifo.path());
    const auto writer = fifo.writer_at_once();
    for (const int fd : {both->native().get(), plain->native().get(), writer.native().get()})
        EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(sys_fifo, fifo_G5_a_transfer_larger_than_the_fifo_arrives_whole) {
    const fifo_at fifo;
    const auto sent = block(1 << 20, 'q');
    child writing{[&] {
        auto writer = open_fifo_writer(fifo.path());
        std::size_t done = 0;
        CHILD_CHECK(writer && writer->write_full(sent, done));
        return 0;
    }};
    auto reader = open_fifo_reader(fifo.path());
    auto got = block(sent.size(), 0);
    std::size_t done = 0;
    ASSERT_TRUE(ok(reader->read_full(got, done, deadline::in(30s))));
    EXPECT_TRUE(got == sent);
    EXPECT_TRUE(fails_with(reader->read_some(got), errc::end_of_stream));
    EXPECT_EQ(writing.wait(), 0);
}

TEST(sys_fifo, fifo_G6_a_signal_that_was_pending_before_stays) {
    const fifo_at fifo;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    ::raise(SIGPIPE);
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    reader.close();
    EXPECT_TRUE(fails_with(writer.write_some(kith::bytes_of("x")), errc::peer_gone));
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 1);
}

TEST(sys_fifo, fifo_G8_a_fifo_belongs_to_the_mount_namespace_and_works_across_the_other_ones) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    const int status = in_namespaces(CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS, [&] {
        auto writer = open_fifo_writer(fifo.path(), deadline::immediate());
        CHILD_CHECK(writer && writer->write_some(kith::bytes_of("x")));
        // Another file system over the directory, in this mount namespace only: the name is gone here.
        CHILD_CHECK(::mount("none", fifo.dir().dir().c_str(), "tmpfs", 0, nullptr) == 0);
        const auto hidden = open_fifo_writer(fifo.path(), deadline::immediate());
        CHILD_CHECK(!hidden && hidden.error().code() == errc::not_found);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
    EXPECT_EQ(*reader.queued(), 1u);
}

TEST(sys_fifo, fifo_G13_a_forked_childs_copy_is_a_writer_of_its_own) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    child kin{[&] {
        CHILD_CHECK(writer.write_some(kith::bytes_of("kin")));
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(*reader.queued(), 3u);
    EXPECT_TRUE(ok(writer.write_some(kith::bytes_of("x"))));  // the child's exit closed only its copy
}

TEST(sys_fifo, fifo_trap11_the_end_comes_when_a_forgotten_copy_is_closed_too) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    child holder{[&] {
        for (;;) ::pause();
        return 0;
    }};
    writer.close();
    std::byte one;
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::in(20ms)), errc::timed_out));
    holder.kill_and_reap();
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}), errc::end_of_stream));
}

TEST(sys_fifo, fifo_out_of_descriptors_is_limit_reached) {
    const fifo_at fifo;
    child limited{[&] {
        auto reader = open_fifo_reader(fifo.path(), deadline::immediate());
        CHILD_CHECK(reader);
        const rlimit none{static_cast<rlim_t>(reader->native().get()) + 1, 64};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto asked = reader->has_writer();
        CHILD_CHECK(!asked && asked.error().code() == errc::limit_reached && asked.error().os_error() == EMFILE);
        const auto waited = reader->wait_for_writer(deadline::in(1ms));
        CHILD_CHECK(!waited && waited.error().code() == errc::limit_reached);
        const auto again = reader->start_over();
        CHILD_CHECK(!again && again.error().code() == errc::limit_reached);
        const auto refused = open_fifo_reader(fifo.path(), deadline::immediate());
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

}  // namespace
