// FIFOs: SEMANTICS F3 to F6: what readers and writers see as others come and leave, and what stays.
#include <kith/sys/fifo.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <thread>
#include <vector>

#include <kith/sys/pipe.hpp>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "sys/fifos.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::sys::fifo_reader;
using kith::sys::open_fifo_both;
using kith::sys::open_fifo_reader;
using kith::sys::open_fifo_writer;
using kith::sys::pipe_atomic_bytes;

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

}  // namespace
