// Anonymous pipes: SEMANTICS P1-P8 and the classic traps that pipes are part of.
#include <kith/sys/pipe.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <csignal>
#include <fstream>
#include <kith/observer.hpp>
#include <kith/sys/signalfd.hpp>
#include <kith/sys/tcp.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/ready_io.hpp"
#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

pipe_pair made(pipe_options options = {}) {
    auto pair = open_pipe(options);
    EXPECT_TRUE(ok(pair));
    return std::move(*pair);
}

std::size_t fill(pipe_writer& writer, std::size_t chunk) {
    const auto bytes = block(chunk);
    std::size_t writes = 0;
    while (writer.write_some(bytes, deadline::immediate())) ++writes;
    return writes;
}

short state(kith::borrowed_fd fd) {
    pollfd one{fd.get(), POLLIN | POLLOUT, 0};
    ::poll(&one, 1, 0);
    return one.revents;
}

TEST(sys_pipe, pipe_P1_capacity_is_rounded_up_to_a_power_of_two_of_pages) {
    auto pipe = made({.capacity = 100000});
    EXPECT_EQ(*pipe_capacity(pipe.writer.native()), 131072u);
    EXPECT_EQ(*set_pipe_capacity(pipe.writer.native(), 4096), 4096u);
}

TEST(sys_pipe, pipe_P1_capacity_below_what_is_queued_is_refused_with_EBUSY) {
    auto pipe = made();
    std::size_t done = 0;
    ASSERT_TRUE(ok(pipe.writer.write_full(block(20000), done)));
    EXPECT_TRUE(fails_with(set_pipe_capacity(pipe.writer.native(), 4096), errc::would_block, EBUSY));
    EXPECT_EQ(*pipe.reader.queued(), 20000u);
}

TEST(sys_pipe, pipe_P1_capacity_above_the_limit_is_refused_without_the_right) {
    NEEDS_ROOT();
    std::size_t limit = 0;
    std::ifstream{"/proc/sys/fs/pipe-max-size"} >> limit;
    EXPECT_EQ(0, as_nobody([&] {
                  const auto refused = open_pipe({.capacity = limit * 2});
                  CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted &&
                              refused.error().os_error() == EPERM);
                  return 0;
              }));
}

TEST(sys_pipe, pipe_P2_capacity_counts_page_slots) {
    auto many = made();
    ASSERT_EQ(*pipe_capacity(many.writer.native()), 65536u);
    EXPECT_EQ(fill(many.writer, 1), 65536u);
    auto few = made();
    EXPECT_EQ(fill(few.writer, 3000), 16u);
}

TEST(sys_pipe, pipe_P2_room_comes_back_only_with_a_free_slot) {
    auto pipe = made();
    fill(pipe.writer, 4096);
    auto one = block(1);
    ASSERT_EQ(*pipe.reader.read_some(one), 1u);
    EXPECT_TRUE(fails_with(pipe.writer.write_some(one, deadline::immediate()), errc::would_block, EAGAIN));
    auto rest = block(4095);
    ASSERT_EQ(*pipe.reader.read_some(rest), 4095u);
    EXPECT_TRUE(ok(pipe.writer.write_some(one, deadline::immediate())));
}

TEST(sys_pipe, pipe_P3_small_writes_are_all_or_nothing_and_larger_ones_may_be_partial) {
    auto pipe = made();
    fill(pipe.writer, 4096);
    auto page = block(4096);
    ASSERT_EQ(*pipe.reader.read_some(page), 4096u);
    EXPECT_EQ(*pipe.writer.write_some(block(10000), deadline::immediate()), 4096u);
    EXPECT_TRUE(fails_with(pipe.writer.write_some(block(4096), deadline::immediate()), errc::would_block));
}

TEST(sys_pipe, pipe_P3_records_of_several_writers_up_to_pipe_buf_stay_whole) {
    auto pipe = made();
    constexpr int writers = 4;
    constexpr int records = 300;
    std::vector<child> kin;
    for (int w = 0; w < writers; ++w)
        kin.emplace_back([&, w] {
            pipe.reader.close();
            for (int i = 0; i < records; ++i)
                CHILD_CHECK(*pipe.writer.write_some(block(pipe_atomic_bytes, static_cast<char>('a' + w))) ==
                            pipe_atomic_bytes);
            return 0;
        });
    pipe.writer.close();
    std::array<int, writers> seen{};
    for (int i = 0; i < writers * records; ++i) {
        auto record = block(pipe_atomic_bytes);
        std::size_t done = 0;
        ASSERT_TRUE(ok(pipe.reader.read_full(record, done)));
        for (const auto b : record) ASSERT_EQ(b, record[0]);
        ++seen.at(static_cast<std::size_t>(record[0]) - 'a');
    }
    for (auto& one : kin) EXPECT_EQ(one.wait(), 0);
    for (const int n : seen) EXPECT_EQ(n, records);
    std::byte extra;
    EXPECT_TRUE(fails_with(pipe.reader.read_some({&extra, 1}), errc::end_of_stream));
}

TEST(sys_pipe, pipe_P4_empty_is_would_block_and_end_is_end_of_stream) {
    auto pipe = made();
    std::byte one;
    EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}, deadline::immediate()), errc::would_block, EAGAIN));
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("abc"))));
    EXPECT_EQ(*pipe.reader.queued(), 3u);
    pipe.writer.close();
    auto three = block(3);
    EXPECT_EQ(*pipe.reader.read_some(three), 3u);
    EXPECT_TRUE(fails_with(pipe.reader.read_some(three), errc::end_of_stream, 0));
}

TEST(sys_pipe, pipe_P5_a_write_without_readers_is_peer_gone_and_no_signal) {
    auto pipe = made();
    pipe.reader.close();
    EXPECT_TRUE(
        fails_with(pipe.writer.write_some(kith::bytes_of("x")), errc::peer_gone, EPIPE));  // SIGPIPE would end the test
    EXPECT_EQ(state(pipe.writer.native()) & (POLLERR | POLLOUT), POLLERR | POLLOUT);
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST(sys_pipe, pipe_P5_the_readers_hangup_comes_with_the_data_that_remain) {
    auto pipe = made();
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("x"))));
    pipe.writer.close();
    EXPECT_EQ(state(pipe.reader.native()), POLLIN | POLLHUP);
    std::byte one;
    EXPECT_EQ(*pipe.reader.read_some({&one, 1}), 1u);
    EXPECT_EQ(state(pipe.reader.native()), POLLHUP);
}

TEST(sys_pipe, pipe_P6_packets_keep_their_boundaries_and_lose_what_does_not_fit) {
    auto pipe = made({.packets = true});
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("hello"))));
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("world"))));
    auto two = block(2);
    EXPECT_EQ(*pipe.reader.read_some(two), 2u);
    EXPECT_EQ(kith::text_of(two), "he");
    auto big = block(100);
    ASSERT_EQ(*pipe.reader.read_some(big), 5u);
    EXPECT_EQ(kith::text_of(big).substr(0, 5), "world");
    EXPECT_EQ(fill(pipe.writer, 1), 16u);
}

TEST(sys_pipe, pipe_P7_a_copy_of_the_write_end_keeps_the_stream_open_until_it_is_closed) {
    auto pipe = made();
    child holder{[&] {
        pipe.reader.close();
        for (;;) ::pause();
        return 0;
    }};
    pipe.writer.close();
    std::byte one;
    EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}, deadline::in(30ms)), errc::timed_out));
    holder.kill_and_reap();
    EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}), errc::end_of_stream));
}

TEST(sys_pipe, pipe_P8_splice_and_tee_move_data_without_user_space) {
    auto a = made();
    auto b = made();
    auto c = made();
    ASSERT_TRUE(ok(vmsplice(a.writer, kith::bytes_of("shared pages"))));
    EXPECT_EQ(*tee(a.reader, b.writer, 100), 12u);
    EXPECT_EQ(*kith::sys::splice(a.reader, c.writer, 100), 12u);
    for (auto* reader : {&b.reader, &c.reader}) {
        auto got = block(12);
        ASSERT_EQ(*reader->read_some(got), 12u);
        EXPECT_EQ(kith::text_of(got), "shared pages");
    }
    EXPECT_TRUE(fails_with(kith::sys::splice(a.reader, c.writer, 1, deadline::immediate()), errc::would_block));
    a.writer.close();
    EXPECT_TRUE(fails_with(kith::sys::splice(a.reader, c.writer, 1), errc::end_of_stream));
    c.reader.close();
    EXPECT_TRUE(fails_with(kith::sys::splice(b.reader, c.writer, 1, deadline::in(20ms)), errc::timed_out));
}

TEST(sys_pipe, pipe_G1_nothing_now_time_is_up_orderly_end_and_peer_gone_stay_apart) {
    auto pipe = made();
    std::byte one;
    const auto fd = kith::object_ref::descriptor(pipe.reader.native().get());
    const auto nothing = pipe.reader.read_some({&one, 1}, deadline::immediate());
    ASSERT_TRUE(fails_with(nothing, errc::would_block, EAGAIN));
    EXPECT_STREQ(nothing.error().operation(), "read");
    EXPECT_EQ(nothing.error().object(), fd);
    const auto late = pipe.reader.read_some({&one, 1}, deadline::in(1ms));
    ASSERT_TRUE(fails_with(late, errc::timed_out));
    EXPECT_EQ(late.error().object(), fd);
    pipe.writer.close();
    EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}), errc::end_of_stream, 0));
    auto other = made();
    other.reader.close();
    const auto gone = other.writer.write_some(kith::bytes_of("x"));
    ASSERT_TRUE(fails_with(gone, errc::peer_gone, EPIPE));
    EXPECT_EQ(gone.error().object(), kith::object_ref::descriptor(other.writer.native().get()));
    other.writer.close();
    EXPECT_TRUE(fails_with(other.writer.write_some(kith::bytes_of("x")), errc::invalid, EBADF));
}

TEST(sys_pipe, pipe_G2_signals_do_not_shorten_or_break_a_wait) {
    auto pipe = made();
    const signal_storm storm;
    std::byte one;
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}, deadline::in(60ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 60ms);
    EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}, {deadline::never(), kith::on_signal::report}),
                           errc::stopped, EINTR));
}

TEST(sys_pipe, pipe_G4_ends_are_closed_on_exec) {
    auto pipe = made();
    for (const int fd : {pipe.reader.native().get(), pipe.writer.native().get()})
        EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(sys_pipe, pipe_G5_a_transfer_larger_than_the_pipe_arrives_whole) {
    auto pipe = made();
    const auto sent = block(1 << 20, 'q');
    child writer{[&] {
        pipe.reader.close();
        std::size_t done = 0;
        CHILD_CHECK(pipe.writer.write_full(sent, done));
        return 0;
    }};
    pipe.writer.close();
    auto got = block(sent.size(), 0);
    std::size_t done = 0;
    ASSERT_TRUE(ok(pipe.reader.read_full(got, done, deadline::in(30s))));
    EXPECT_TRUE(got == sent);
    EXPECT_EQ(writer.wait(), 0);
}

TEST(sys_pipe, pipe_G5_a_timed_out_transfer_goes_on_where_it_stopped) {
    auto pipe = made();
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("abc"))));
    auto six = block(6);
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(pipe.reader.read_full(six, done, deadline::in(5ms)), errc::timed_out));
    EXPECT_EQ(done, 3u);
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("def"))));
    EXPECT_TRUE(ok(pipe.reader.read_full(six, done, deadline::in(5ms))));
    EXPECT_EQ(kith::text_of(six), "abcdef");
}

TEST(sys_pipe, pipe_G6_a_sigpipe_that_was_pending_before_stays) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    ::pthread_kill(pthread_self(), SIGPIPE);
    auto pipe = made();
    pipe.reader.close();
    {
        const kith::sigpipe_guard guard;
        EXPECT_TRUE(fails_with(pipe.writer.write_some(kith::bytes_of("x")), errc::peer_gone));
    }
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 1);
    const timespec now{};
    EXPECT_EQ(::sigtimedwait(&set, nullptr, &now), SIGPIPE);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

TEST(sys_pipe, pipe_G6_a_guard_leaves_mask_and_pending_signals_as_they_were) {
    auto pipe = made();
    pipe.reader.close();
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_BLOCK, nullptr, &before);
    {
        const kith::sigpipe_guard outer;
        const kith::sigpipe_guard inner;
        for (int i = 0; i < 3; ++i)
            EXPECT_TRUE(fails_with(pipe.writer.write_some(kith::bytes_of("x")), errc::peer_gone));
    }
    pthread_sigmask(SIG_BLOCK, nullptr, &after);
    EXPECT_EQ(sigismember(&before, SIGPIPE), sigismember(&after, SIGPIPE));
    ::sigpending(&after);
    EXPECT_EQ(sigismember(&after, SIGPIPE), 0);
}

TEST(sys_pipe, pipe_G6_without_the_kernels_flag_the_signal_is_held_back_all_the_same) {
    static int fallbacks = 0;
    child old_kernel{[] {
        if (!deny({{SYS_pwritev2, EOPNOTSUPP}})) return 77;
        kith::set_observer([](const kith::event& what, void*) noexcept {
            fallbacks += what.kind == kith::event_kind::fallback_taken ? 1 : 0;
        });
        auto pipe = made();
        CHILD_CHECK(*pipe.writer.write_some(kith::bytes_of("abc")) == 3);
        pipe.reader.close();
        for (int i = 0; i < 2; ++i) {
            const auto refused = pipe.writer.write_some(kith::bytes_of("x"));  // SIGPIPE would end the child
            CHILD_CHECK(!refused && refused.error().code() == errc::peer_gone && refused.error().os_error() == EPIPE);
        }
        sigset_t set;
        CHILD_CHECK(::sigpending(&set) == 0 && sigismember(&set, SIGPIPE) == 0);
        CHILD_CHECK(pthread_sigmask(SIG_BLOCK, nullptr, &set) == 0 && sigismember(&set, SIGPIPE) == 0);
        CHILD_CHECK(fallbacks == 1);  // found out once, remembered
        return 0;
    }};
    const int status = old_kernel.wait();
    if (status == 77) GTEST_SKIP() << "seccomp filters are not permitted here";
    EXPECT_EQ(status, 0);
}

TEST(sys_pipe, pipe_close_ends_the_wait_of_another_thread) {
    auto pipe = made();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::byte one;
        EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    pipe.reader.close();
}

TEST(sys_pipe, pipe_a_stop_token_ends_the_wait) {
    auto pipe = made();
    const int before = open_descriptors();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&](const std::stop_token& stop) {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::byte one;
        EXPECT_TRUE(fails_with(pipe.reader.read_some({&one, 1}, {deadline::never(), stop}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    waiter.request_stop();
    waiter.join();
    EXPECT_EQ(open_descriptors(), before + 1);  // the object's bell, gone with the object
}

TEST(sys_pipe, pipe_a_forked_child_may_close_its_copy_while_a_thread_of_the_parent_waits) {
    auto pipe = made();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::byte one;
        EXPECT_EQ(*pipe.reader.read_some({&one, 1}), 1u);
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    child closer{[&] {
        pipe.reader.close();
        return 0;
    }};
    EXPECT_EQ(closer.wait(), 0);
    EXPECT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("x"))));
}

TEST(sys_pipe, pipe_in_blocking_mode_keeps_deadlines) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    auto in = kith::io_fd::adopt(kith::owned_fd{ends[0]});
    auto out = kith::io_fd::adopt(kith::owned_fd{ends[1]});
    ASSERT_TRUE(ok(in));
    ASSERT_TRUE(ok(out));
    byte_reader reader{std::move(*in)};
    byte_writer writer{std::move(*out)};
    std::byte one;
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::in(10ms)), errc::timed_out));
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(writer.write_full(block(100000), done, deadline::in(10ms)), errc::timed_out));
    EXPECT_EQ(done, 65536u);
    EXPECT_EQ(::fcntl(reader.native().get(), F_GETFL) & O_NONBLOCK, 0);  // left as found
}

TEST(sys_pipe, pipe_out_of_descriptors_is_limit_reached) {
    child limited{[] {
        const rlimit none{3, 3};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto refused = open_pipe();
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

TEST(sys_pipe, pipe_P8_splice_from_a_socket_in_blocking_mode_keeps_its_deadline) {
    child waiting{[] {
        // A TCP socket: it goes by its own mode, and not by SPLICE_F_NONBLOCK.
        const auto listener = kith::sys::listen_tcp();
        CHILD_CHECK(listener);
        auto quiet = kith::sys::connect_tcp(*listener->local(), deadline::in(10s));
        CHILD_CHECK(quiet);
        auto fd = quiet->release();
        CHILD_CHECK(::fcntl(fd.get(), F_SETFL, 0) == 0);
        const auto from = kith::io_fd::adopt(std::move(fd));
        auto pipe = open_pipe();
        CHILD_CHECK(from && from->mode() == kith::fd_mode::blocking && pipe);
        ::alarm(20);  // in place of a wait without end
        const auto moved = kith::sys::splice(*from, pipe->writer, 100, deadline::in(10ms));
        return !moved && moved.error().code() == errc::timed_out ? 0 : 1;
    }};
    EXPECT_EQ(waiting.wait(), 0);
}

bool sigpipe_is_pending() {
    sigset_t pending;
    ::sigemptyset(&pending);
    ::sigpending(&pending);
    return ::sigismember(&pending, SIGPIPE) == 1;
}

TEST(sys_pipe, pipe_G6_a_guard_of_a_thread_that_blocks_SIGPIPE_itself_leaves_none_pending) {
    const blocked_signals held{{SIGPIPE}};
    auto [reader, writer] = made();
    reader.close();
    {
        const kith::sigpipe_guard guard;
        EXPECT_TRUE(fails_with(writer.write_some(block(1)), errc::peer_gone, EPIPE));
    }
    EXPECT_FALSE(sigpipe_is_pending());
}

TEST(sys_pipe, pipe_G6_the_fallback_leaves_no_SIGPIPE_pending_in_a_thread_that_blocks_it_itself) {
    child without{[] {
        if (!deny({{SYS_pwritev2, EOPNOTSUPP}})) return 77;
        const blocked_signals held{{SIGPIPE}};
        auto [reader, writer] = made();
        reader.close();
        const auto written = writer.write_some(block(1));
        CHILD_CHECK(!written && written.error().code() == errc::peer_gone);
        CHILD_CHECK(!sigpipe_is_pending());
        ::raise(SIGPIPE);  // the caller's own stays
        const auto again = writer.write_some(block(1));
        CHILD_CHECK(!again && again.error().code() == errc::peer_gone);
        ::_exit(sigpipe_is_pending() ? 0 : 1);  // before it is delivered
    }};
    const int status = without.wait();
    if (status == 77) GTEST_SKIP() << "seccomp filters are not permitted here";
    EXPECT_EQ(status, 0);
}

TEST(sys_pipe, pipe_in_blocking_mode_a_reader_that_another_one_forestalls_keeps_its_deadline) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const kith::owned_fd out{ends[1]};
    const auto in = kith::io_fd::adopt(kith::owned_fd{ends[0]});
    ASSERT_TRUE(ok(in));
    // What an attempt does that comes too late: there is a writer, and nothing to read.
    std::byte byte{};
    const iovec part{&byte, 1};
    const bool can = ::preadv2(in->native().get(), &part, 1, -1, RWF_NOWAIT) < 0 && errno == EAGAIN;
    if (!can) GTEST_SKIP() << "pipes cannot be read with RWF_NOWAIT here (Linux 6.5)";
    EXPECT_EQ(kith::detail::read_ready(in->native().get(), &byte, 1), -1);
    EXPECT_EQ(errno, EAGAIN);
    // Full: the same for writing.
    std::array<std::byte, 65536> block{};
    ASSERT_EQ(::write(out.get(), block.data(), block.size()), 65536);
    EXPECT_EQ(kith::detail::write_ready(out.get(), block.data(), 4096), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST(sys_pipe, pipe_in_blocking_mode_many_readers_of_few_bytes_all_keep_their_deadlines) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const kith::owned_fd out{ends[1]};
    std::vector<std::jthread> threads;
    std::atomic<int> taken{0};
    std::atomic<int> late{0};
    for (int n = 0; n < 4; ++n)
        threads.emplace_back([&] {
            pipe_reader reader{std::move(*kith::io_fd::adopt(kith::owned_fd{::dup(ends[0])}))};
            std::array<std::byte, 1> byte{};
            for (kith::result<std::size_t> got = 1; got;) {
                got = reader.read_some(byte, deadline::in(200ms));
                taken += got ? 1 : 0;
                late += !got && got.error().code() == errc::timed_out ? 1 : 0;
            }
        });
    for (int n = 0; n < 500; ++n) ASSERT_EQ(::write(out.get(), "x", 1), 1);
    threads.clear();
    EXPECT_EQ(taken, 500);
    EXPECT_EQ(late, 4);
    ::close(ends[0]);
}

}  // namespace
