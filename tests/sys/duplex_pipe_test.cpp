// Full-duplex pipes between kin: the clauses of P4, P5 and P7 that hold for them too, U7, and the classic trap 17.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <kith/sys/duplex_pipe.hpp>
#include <kith/sys/spawn.hpp>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

duplex_pair made() {
    auto pair = open_duplex_pipe();
    EXPECT_TRUE(ok(pair));
    return std::move(*pair);
}

TEST(sys_duplex_pipe, duplex_pipe_carries_bytes_both_ways_between_parent_and_child) {
    auto pipe = made();
    child kin{[&] {
        pipe.first.close();
        auto got = block(5);
        std::size_t done = 0;
        CHILD_CHECK(pipe.second.read_full(got, done));
        done = 0;
        CHILD_CHECK(pipe.second.write_full(kith::bytes_of("re:" + std::string{kith::text_of(got)}), done));
        return 0;
    }};
    pipe.second.close();
    std::size_t done = 0;
    ASSERT_TRUE(ok(pipe.first.write_full(kith::bytes_of("hello"), done)));
    auto answer = block(8);
    done = 0;
    ASSERT_TRUE(ok(pipe.first.read_full(answer, done)));
    EXPECT_EQ(kith::text_of(answer), "re:hello");
    EXPECT_TRUE(fails_with(pipe.first.read_some(answer), errc::end_of_stream, 0));
    EXPECT_EQ(kin.wait(), 0);
}

TEST(sys_duplex_pipe, duplex_pipe_P4_empty_is_would_block_and_queued_bytes_are_told) {
    auto pipe = made();
    auto buffer = block(10);
    EXPECT_TRUE(fails_with(pipe.second.read_some(buffer, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(pipe.second.read_some(buffer, deadline::in(5ms)), errc::timed_out));
    ASSERT_TRUE(ok(pipe.first.write_some(kith::bytes_of("abc"))));
    EXPECT_EQ(*pipe.second.queued(), 3u);
    EXPECT_EQ(*pipe.second.read_some(buffer), 3u);
}

TEST(sys_duplex_pipe, duplex_pipe_P5_a_write_without_a_reader_is_peer_gone_and_no_signal) {
    auto pipe = made();
    pipe.second.close();
    EXPECT_TRUE(fails_with(pipe.first.write_some(kith::bytes_of("x")), errc::peer_gone, EPIPE));
}

TEST(sys_duplex_pipe, duplex_pipe_half_close_ends_one_direction_only) {
    auto pipe = made();
    ASSERT_TRUE(ok(pipe.first.write_some(kith::bytes_of("last"))));
    ASSERT_TRUE(ok(pipe.first.finish_writing()));
    auto buffer = block(10);
    EXPECT_EQ(*pipe.second.read_some(buffer), 4u);
    EXPECT_TRUE(fails_with(pipe.second.read_some(buffer), errc::end_of_stream));
    ASSERT_TRUE(ok(pipe.second.write_some(kith::bytes_of("answer"))));
    EXPECT_EQ(*pipe.first.read_some(buffer), 6u);
    EXPECT_TRUE(fails_with(pipe.first.write_some(kith::bytes_of("x")), errc::peer_gone, EPIPE));
}

TEST(sys_duplex_pipe, duplex_pipe_U7_a_side_that_leaves_our_bytes_unread_is_peer_gone_once) {
    auto pipe = made();
    ASSERT_TRUE(ok(pipe.first.write_some(kith::bytes_of("never read"))));
    ASSERT_TRUE(ok(pipe.second.write_some(kith::bytes_of("bye"))));
    pipe.second.close();
    auto buffer = block(10);
    EXPECT_EQ(*pipe.first.read_some(buffer), 3u);
    EXPECT_TRUE(fails_with(pipe.first.read_some(buffer), errc::peer_gone, ECONNRESET));
    EXPECT_TRUE(fails_with(pipe.first.read_some(buffer), errc::end_of_stream, 0));
}

TEST(sys_duplex_pipe, duplex_pipe_P7_a_killed_child_ends_the_stream_after_what_it_wrote) {
    auto pipe = made();
    child kin{[&] {
        pipe.first.close();
        CHILD_CHECK(pipe.second.write_some(kith::bytes_of("abc")));
        std::byte one;
        return pipe.second.read_some({&one, 1}) ? 0 : 1;
    }};
    pipe.second.close();
    auto three = block(3);
    std::size_t done = 0;
    ASSERT_TRUE(ok(pipe.first.read_full(three, done)));
    kin.kill_and_reap();
    EXPECT_TRUE(fails_with(pipe.first.read_some(three), errc::end_of_stream));
}

constexpr std::size_t more_than_fits = 4 << 20;

TEST(sys_duplex_pipe, duplex_pipe_trap17_both_sides_that_write_first_block_each_other) {
    auto pipe = made();
    const auto request = block(more_than_fits);
    child kin{[&] {
        pipe.first.close();
        std::size_t done = 0;
        const auto stuck = pipe.second.write_full(request, done);  // nobody reads: without a deadline, for ever
        return stuck ? 1 : 2;
    }};
    pipe.second.close();
    wait_until_in_syscall(kin.pid(), SYS_ppoll);
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(pipe.first.write_full(request, done, deadline::in(20ms)), errc::timed_out));
    EXPECT_GT(done, 0u);
    EXPECT_LT(done, more_than_fits);
    EXPECT_FALSE(kin.poll());
}

TEST(sys_duplex_pipe, duplex_pipe_trap17_exchange_moves_both_directions_at_once) {
    auto pipe = made();
    child kin{[&] {
        pipe.first.close();
        const auto out = block(more_than_fits, 'c');
        auto in = block(more_than_fits, 0);
        std::size_t sent = 0;
        std::size_t received = 0;
        CHILD_CHECK(pipe.second.exchange(out, sent, in, received, deadline::in(60s)));
        CHILD_CHECK(in == block(more_than_fits, 'p'));
        return 0;
    }};
    pipe.second.close();
    const auto out = block(more_than_fits, 'p');
    auto in = block(more_than_fits, 0);
    std::size_t sent = 0;
    std::size_t received = 0;
    EXPECT_TRUE(ok(pipe.first.exchange(out, sent, in, received, deadline::in(60s))));
    EXPECT_TRUE(in == block(more_than_fits, 'c'));
    EXPECT_EQ(sent, more_than_fits);
    EXPECT_EQ(kin.wait(), 0);
}

TEST(sys_duplex_pipe, duplex_pipe_G5_a_timed_out_exchange_goes_on_where_it_stopped) {
    auto pipe = made();
    auto in = block(3);
    std::size_t sent = 0;
    std::size_t received = 0;
    EXPECT_TRUE(
        fails_with(pipe.first.exchange(kith::bytes_of("out"), sent, in, received, deadline::in(5ms)), errc::timed_out));
    EXPECT_EQ(sent, 3u);
    ASSERT_TRUE(ok(pipe.second.write_some(kith::bytes_of("in."))));
    EXPECT_TRUE(ok(pipe.first.exchange(kith::bytes_of("out"), sent, in, received, deadline::in(5s))));
    EXPECT_EQ(kith::text_of(in), "in.");
    EXPECT_EQ(*pipe.second.queued(), 3u);  // written once
}

TEST(sys_duplex_pipe, duplex_pipe_trap07_signals_do_not_end_a_wait) {
    auto pipe = made();
    const signal_storm storm;
    std::byte one;
    EXPECT_TRUE(fails_with(pipe.first.read_some({&one, 1}, deadline::in(30ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(pipe.first.read_some({&one, 1}, {deadline::never(), kith::on_signal::report}), errc::stopped,
                           EINTR));
}

TEST(sys_duplex_pipe, duplex_pipe_G4_both_ends_are_closed_on_exec) {
    auto pipe = made();
    for (const int fd : {pipe.first.native().get(), pipe.second.native().get()})
        EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(sys_duplex_pipe, duplex_pipe_P7_a_spawned_program_uses_an_end_as_its_input_and_output) {
    auto pipe = made();
    const std::array ends{descriptor_for_child{pipe.second.native(), 0}, descriptor_for_child{pipe.second.native(), 1}};
    auto cat = spawn("cat", {}, {.descriptors = ends});
    ASSERT_TRUE(ok(cat));
    pipe.second.close();
    std::size_t done = 0;
    ASSERT_TRUE(ok(pipe.first.write_full(kith::bytes_of("through cat"), done)));
    ASSERT_TRUE(ok(pipe.first.finish_writing()));
    auto got = block(11);
    done = 0;
    ASSERT_TRUE(ok(pipe.first.read_full(got, done, deadline::in(30s))));
    EXPECT_EQ(kith::text_of(got), "through cat");
    EXPECT_EQ(cat->wait()->as_shell(), 0);
}

TEST(sys_duplex_pipe, duplex_pipe_out_of_descriptors_is_limit_reached) {
    child limited{[] {
        const rlimit none{3, 3};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto refused = open_duplex_pipe();
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

}  // namespace
