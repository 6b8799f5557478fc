// Records of any length from many writers: SEMANTICS F6, P3, and docs/formats/record_fifo.md row by row.
#include <kith/compose/record_fifo.hpp>

#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::compose::record_fifo_writer;
using namespace kith::sys;

constexpr std::size_t long_size = 150'000;  // more than the FIFO holds, so that it cannot go in one write
constexpr std::size_t short_size = 100;

class record_fifo : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(ok(create_fifo(path())));
        auto both = open_fifo_both(path());
        ASSERT_TRUE(ok(both));
        reader_ = std::move(*both);
    }
    [[nodiscard]] std::string path() const { return dir_.path("records"); }
    [[nodiscard]] record_fifo_writer writer() const {
        auto made = record_fifo_writer::open(path());
        EXPECT_TRUE(ok(made));
        return std::move(*made);
    }
    [[nodiscard]] std::vector<std::byte> read(std::size_t size) {
        auto got = block(size, 0);
        std::size_t done = 0;
        EXPECT_TRUE(ok(reader_.read_full(got, done, deadline::in(30s))));
        return got;
    }
    temp_dir dir_;
    fifo_reader reader_;
};

TEST_F(record_fifo, fifo_F6_long_records_of_several_writers_stay_whole) {
    constexpr int writers = 3;
    constexpr int records = 10;
    std::vector<child> strangers;
    for (int w = 0; w < writers; ++w)
        strangers.emplace_back([&, w] {
            auto out = record_fifo_writer::open(path());
            CHILD_CHECK(out);
            for (int i = 0; i < records; ++i) {
                std::size_t done = 0;
                // Capitals are long: a reader can tell them by the first byte.
                CHILD_CHECK(out->write_record(block(long_size, static_cast<char>('A' + w)), done));
                done = 0;
                CHILD_CHECK(out->write_record(block(short_size, static_cast<char>('a' + w)), done));
            }
            return 0;
        });
    std::array<int, 128> seen{};
    for (int i = 0; i < 2 * writers * records; ++i) {
        const auto first = read(1)[0];
        const bool is_long = first < static_cast<std::byte>('a');
        for (const auto b : read((is_long ? long_size : short_size) - 1)) ASSERT_EQ(b, first);
        ++seen.at(static_cast<std::size_t>(first));
    }
    for (auto& one : strangers) EXPECT_EQ(one.wait(), 0);
    for (int w = 0; w < writers; ++w) {
        EXPECT_EQ(seen.at(static_cast<std::size_t>('A' + w)), records);
        EXPECT_EQ(seen.at(static_cast<std::size_t>('a' + w)), records);
    }
}

TEST_F(record_fifo, fifo_F6_a_writer_killed_inside_a_long_record_leaves_its_beginning_and_no_lock) {
    child victim{[&] {
        auto out = record_fifo_writer::open(path());
        std::size_t done = 0;
        CHILD_CHECK(out && out->write_record(block(long_size, 'V'), done));
        return 0;
    }};
    wait_until_in_syscall(victim.pid(), SYS_ppoll);  // the FIFO is full in the middle of the record
    auto next = writer();
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(next.write_record(block(short_size, 's'), done, deadline::immediate()), errc::would_block));
    victim.kill_and_reap();

    const auto left = *reader_.queued();
    EXPECT_GT(left, 0u);
    EXPECT_LT(left, long_size);
    EXPECT_EQ(read(left), block(left, 'V'));
    EXPECT_TRUE(ok(next.write_record(block(short_size, 's'), done, deadline::in(30s))));
    EXPECT_EQ(read(short_size), block(short_size, 's'));
}

TEST_F(record_fifo, fifo_F6_short_records_do_not_wait_for_each_other) {
    auto one = writer();
    ASSERT_EQ(::flock(one.native().get(), LOCK_SH), 0);  // as if inside a short record
    auto two = writer();
    std::size_t done = 0;
    EXPECT_TRUE(ok(two.write_record(block(pipe_atomic_bytes), done, deadline::immediate())));
    done = 0;
    EXPECT_TRUE(fails_with(two.write_record(block(pipe_atomic_bytes + 1), done, deadline::in(5ms)), errc::timed_out,
                           EWOULDBLOCK));
    EXPECT_EQ(done, 0u);
}

TEST_F(record_fifo, fifo_F6_a_long_record_that_timed_out_keeps_the_lock_and_goes_on) {
    auto one = writer();
    auto two = writer();
    const auto record = block(long_size, 'L');
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(one.write_record(record, done, deadline::in(5ms)), errc::timed_out));
    EXPECT_EQ(done, 65536u);
    std::size_t other = 0;
    EXPECT_TRUE(fails_with(two.write_record(block(1), other, deadline::in(5ms)), errc::timed_out));
    std::jthread reading{[&] { EXPECT_EQ(read(long_size + 1).back(), std::byte{'x'}); }};
    EXPECT_TRUE(ok(one.write_record(record, done, deadline::in(30s))));
    EXPECT_TRUE(ok(two.write_record(block(1), other, deadline::in(30s))));
}

TEST_F(record_fifo, fifo_F6_giving_up_a_long_record_releases_the_lock) {
    auto one = writer();
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(one.write_record(block(long_size), done, deadline::in(1ms)), errc::timed_out));
    one.close();
    auto two = writer();
    ASSERT_EQ(read(65536).size(), 65536u);
    done = 0;
    EXPECT_TRUE(ok(two.write_record(block(1), done, deadline::in(30s))));
}

TEST_F(record_fifo, fifo_F6_a_full_fifo_takes_a_short_record_whole_or_not_at_all) {
    auto one = writer();
    std::size_t done = 0;
    while (one.write_record(block(4096), done, deadline::immediate())) done = 0;
    EXPECT_EQ(done, 0u);
    EXPECT_EQ(::flock(writer().native().get(), LOCK_EX | LOCK_NB), 0);  // and keeps no lock
}

TEST_F(record_fifo, fifo_F8_the_last_reader_gone_is_peer_gone) {
    auto one = writer();
    reader_.close();
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(one.write_record(block(1), done), errc::peer_gone, EPIPE));
}

TEST_F(record_fifo, fifo_F2_a_stop_token_ends_the_wait_for_the_lock) {
    auto one = writer();
    ASSERT_EQ(::flock(one.native().get(), LOCK_EX), 0);
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&](const std::stop_token& stop) {
        auto two = writer();
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::size_t done = 0;
        EXPECT_TRUE(fails_with(two.write_record(block(1), done, {deadline::never(), stop}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    waiter.request_stop();
}

TEST_F(record_fifo, fifo_F6_without_a_deadline_the_lock_is_waited_for) {
    auto one = writer();
    ASSERT_EQ(::flock(one.native().get(), LOCK_EX), 0);
    child waiting{[&] {
        auto two = record_fifo_writer::open(path());
        std::size_t done = 0;
        CHILD_CHECK(two && two->write_record(block(1), done));
        return 0;
    }};
    wait_until_in_syscall(waiting.pid(), SYS_ppoll);
    ASSERT_EQ(::flock(one.native().get(), LOCK_UN), 0);
    EXPECT_EQ(waiting.wait(), 0);
}

TEST_F(record_fifo, fifo_F6_close_ends_the_wait_for_the_lock) {
    auto one = writer();
    auto two = writer();
    ASSERT_EQ(::flock(one.native().get(), LOCK_EX), 0);
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::size_t done = 0;
        EXPECT_TRUE(fails_with(two.write_record(block(long_size), done), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_in_syscall(tid, {SYS_ppoll, SYS_flock});
    two.close();
}

}  // namespace
