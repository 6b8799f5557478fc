// Poll sets and epoll sets: SEMANTICS E4.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <kith/sys/duplex_pipe.hpp>
#include <kith/sys/eventfd.hpp>
#include <kith/sys/pidfd.hpp>
#include <kith/sys/pipe.hpp>
#include <kith/sys/poll.hpp>
#include <kith/sys/signalfd.hpp>
#include <kith/sys/timerfd.hpp>
#include <map>
#include <string>
#include <thread>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

event_set made() {
    auto made = open_event_set();
    EXPECT_TRUE(ok(made));
    return std::move(*made);
}

// One descriptor of every kind that has readiness, each of them readable.
class one_of_each {
public:
    one_of_each() : blocked_{{SIGUSR2}} {
        pipe_ = std::move(*open_pipe());
        EXPECT_TRUE(ok(pipe_.writer.write_some(kith::bytes_of("x"))));
        keep("pipe", pipe_.reader.native().get());
        EXPECT_EQ(::mkfifo(dir_.path("fifo").c_str(), 0600), 0);
        fifo_ = kith::owned_fd{::open(dir_.path("fifo").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
        EXPECT_EQ(::write(fifo_.get(), "x", 1), 1);
        keep("fifo", fifo_.get());
        socket_ = std::move(*open_duplex_pipe());
        EXPECT_TRUE(ok(socket_.first.write_some(kith::bytes_of("x"))));
        keep("socket", socket_.second.native().get());
        const auto name = std::string{"/"}.append(unique_name("mq"));
        queue_ = kith::owned_fd{::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, nullptr)};
        ::mq_unlink(name.c_str());
        EXPECT_EQ(::mq_send(queue_.get(), "x", 1, 0), 0);
        keep("posix-mq", queue_.get());
        counter_ = std::move(*open_eventfd(1));
        keep("eventfd", counter_.native().get());
        signals_ = std::move(*open_signalfd({SIGUSR2}));
        ::kill(::getpid(), SIGUSR2);
        keep("signalfd", signals_.native().get());
        timer_ = std::move(*open_timerfd());
        EXPECT_TRUE(ok(timer_.arm(deadline::immediate())));
        keep("timerfd", timer_.native().get());
        process_ = std::move(*open_pidfd(dead_.pid()));
        EXPECT_TRUE(ok(process_.wait_for_end()));
        keep("pidfd", process_.native().get());
    }
    ~one_of_each() { [[maybe_unused]] const auto taken = signals_.take(deadline::immediate()); }
    [[nodiscard]] const std::map<std::string, int>& all() const { return all_; }

private:
    void keep(const std::string& name, int fd) { all_[name] = fd; }
    blocked_signals blocked_;
    temp_dir dir_;
    child dead_{[] { return 0; }};
    pipe_pair pipe_;
    kith::owned_fd fifo_;
    duplex_pair socket_;
    kith::owned_fd queue_;
    event_fd counter_;
    signal_fd signals_;
    timer_fd timer_;
    pid_fd process_;
    std::map<std::string, int> all_;
};

TEST(sys_poll, poll_E4_an_event_set_tells_about_every_kind_of_descriptor) {
    const one_of_each kinds;
    for (const auto& [name, fd] : kinds.all()) {
        auto set = made();
        ASSERT_TRUE(ok(set.add(kith::borrowed_fd{fd}, POLLIN, 7))) << name;
        std::array<event_set::ready, 4> found;
        const auto count = set.wait(found, deadline::in(30s));
        ASSERT_TRUE(ok(count)) << name;
        EXPECT_EQ(*count, 1u);
        EXPECT_EQ(found[0].token, 7u);
        EXPECT_TRUE(found[0].events & EPOLLIN) << name;
    }
}

TEST(sys_poll, poll_E4_a_poll_set_tells_about_every_kind_of_descriptor) {
    const one_of_each kinds;
    poll_set set;
    for (const auto& [name, fd] : kinds.all()) ASSERT_TRUE(ok(set.add(kith::borrowed_fd{fd}, POLLIN)));
    EXPECT_EQ(*set.wait(deadline::in(30s)), kinds.all().size());
    for (std::size_t i = 0; i < set.size(); ++i) EXPECT_TRUE(set.events_of(i) & POLLIN) << i;
}

TEST(sys_poll, poll_E4_a_regular_file_is_refused_by_an_event_set_and_always_ready_in_a_poll_set) {
    const kith::owned_fd file{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
    auto set = made();
    EXPECT_TRUE(fails_with(set.add(file.borrow(), POLLIN, 0), errc::wrong_kind, EPERM));
    poll_set few;
    ASSERT_TRUE(ok(few.add(file.borrow(), POLLIN)));
    EXPECT_EQ(*few.wait(deadline::immediate()), 1u);
}

TEST(sys_poll, poll_E4_edges_are_told_once_until_new_data_comes) {
    auto pipe = *open_pipe();
    auto set = made();
    std::array<event_set::ready, 4> found;
    ASSERT_TRUE(ok(set.add(pipe.reader.native(), POLLIN, 1, trigger::edge)));
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("ab"))));
    EXPECT_EQ(*set.wait(found), 1u);
    std::byte one;
    ASSERT_TRUE(ok(pipe.reader.read_some({&one, 1})));  // a byte is left, and nobody tells: drain until would_block
    EXPECT_TRUE(fails_with(set.wait(found, deadline::immediate()), errc::would_block));
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("c"))));
    EXPECT_EQ(*set.wait(found), 1u);
}

TEST(sys_poll, poll_E4_levels_are_told_as_long_as_they_hold_and_once_only_once) {
    auto counter = *open_eventfd(1);
    auto set = made();
    std::array<event_set::ready, 4> found;
    ASSERT_TRUE(ok(set.add(counter.native(), POLLIN, 1)));
    for (int i = 0; i < 2; ++i) EXPECT_EQ(*set.wait(found), 1u);
    ASSERT_TRUE(ok(set.change(counter.native(), POLLIN, 2, trigger::once)));
    EXPECT_EQ(*set.wait(found), 1u);
    EXPECT_EQ(found[0].token, 2u);
    EXPECT_TRUE(fails_with(set.wait(found, deadline::immediate()), errc::would_block));
    ASSERT_TRUE(ok(set.change(counter.native(), POLLIN, 3, trigger::once)));
    EXPECT_EQ(*set.wait(found), 1u);
}

TEST(sys_poll, poll_E4_a_closed_descriptor_stays_while_a_copy_of_it_lives) {
    auto pipe = *open_pipe();
    auto copy = kith::duplicate(pipe.reader.native());
    auto set = made();
    std::array<event_set::ready, 4> found;
    ASSERT_TRUE(ok(set.add(pipe.reader.native(), POLLIN, 1)));
    ASSERT_TRUE(ok(pipe.writer.write_some(kith::bytes_of("x"))));
    pipe.reader.close();
    EXPECT_EQ(*set.wait(found, deadline::immediate()), 1u);  // told about a descriptor that is closed
    copy->reset();
    EXPECT_TRUE(fails_with(set.wait(found, deadline::immediate()), errc::would_block));
}

TEST(sys_poll, poll_E4_misuse_is_told_by_its_errno) {
    auto pipe = *open_pipe();
    auto set = made();
    ASSERT_TRUE(ok(set.add(pipe.reader.native(), POLLIN, 1)));
    EXPECT_TRUE(fails_with(set.add(pipe.reader.native(), POLLIN, 1), errc::exists, EEXIST));
    EXPECT_TRUE(fails_with(set.change(pipe.writer.native(), POLLOUT, 1), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(set.remove(pipe.writer.native()), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(set.add(kith::borrowed_fd{}, POLLIN, 1), errc::invalid, EBADF));
    EXPECT_TRUE(fails_with(set.add(set.native(), POLLIN, 1), errc::invalid, EINVAL));
    ASSERT_TRUE(ok(set.remove(pipe.reader.native())));
    EXPECT_TRUE(fails_with(set.wait({}), errc::invalid, EINVAL));
}

TEST(sys_poll, poll_E4_an_event_set_inside_another_tells_what_it_knows) {
    auto counter = *open_eventfd(1);
    auto inner = made();
    auto outer = made();
    ASSERT_TRUE(ok(inner.add(counter.native(), POLLIN, 1)));
    ASSERT_TRUE(ok(outer.add(inner.native(), POLLIN, 2)));
    std::array<event_set::ready, 1> found;
    EXPECT_EQ(*outer.wait(found), 1u);
    EXPECT_EQ(found[0].token, 2u);
    EXPECT_TRUE(fails_with(inner.add(outer.native(), POLLIN, 3), errc::io, ELOOP));
}

TEST(sys_poll, poll_E4_more_ready_than_room_come_in_the_next_call) {
    std::vector<event_fd> counters;
    auto set = made();
    for (std::uint64_t i = 0; i < 5; ++i) {
        counters.push_back(*open_eventfd(1));
        ASSERT_TRUE(ok(set.add(counters.back().native(), POLLIN, i, trigger::once)));
    }
    std::array<event_set::ready, 2> found;
    std::vector<std::uint64_t> tokens;
    while (const auto count = set.wait(found, deadline::immediate()))
        for (std::size_t i = 0; i < *count; ++i) tokens.push_back(found.at(i).token);
    std::ranges::sort(tokens);
    EXPECT_EQ(tokens, (std::vector<std::uint64_t>{0, 1, 2, 3, 4}));
}

TEST(sys_poll, poll_G3_waits_end_at_their_deadline) {
    auto pipe = *open_pipe();
    auto set = made();
    ASSERT_TRUE(ok(set.add(pipe.reader.native(), POLLIN, 1)));
    poll_set few;
    ASSERT_TRUE(ok(few.add(pipe.reader.native(), POLLIN)));
    std::array<event_set::ready, 1> found;
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(set.wait(found, deadline::in(15ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(few.wait(deadline::in(15ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 30ms);
    EXPECT_TRUE(fails_with(few.wait(deadline::immediate()), errc::would_block));
    poll_set empty;
    EXPECT_TRUE(fails_with(empty.wait(deadline::in(5ms)), errc::timed_out));
}

TEST(sys_poll, poll_G4_an_event_set_is_closed_on_exec) {
    EXPECT_TRUE(::fcntl(made().native().get(), F_GETFD) & FD_CLOEXEC);
}

TEST(sys_poll, poll_a_stop_token_ends_both_kinds_of_wait) {
    auto pipe = *open_pipe();
    auto set = made();
    ASSERT_TRUE(ok(set.add(pipe.reader.native(), POLLIN, 1)));
    poll_set few;
    ASSERT_TRUE(ok(few.add(pipe.reader.native(), POLLIN)));
    for (const bool epoll : {true, false}) {
        std::atomic<pid_t> tid{0};
        std::jthread waiter{[&](const std::stop_token& stop) {
            tid = static_cast<pid_t>(::syscall(SYS_gettid));
            std::array<event_set::ready, 1> found;
            EXPECT_TRUE(
                fails_with(epoll ? set.wait(found, {deadline::never(), stop}) : few.wait({deadline::never(), stop}),
                           errc::stopped, 0));
        }};
        while (tid == 0) std::this_thread::yield();
        wait_until_thread_in_syscall(tid, SYS_ppoll);
        waiter.request_stop();
    }
}

TEST(sys_poll, poll_closing_an_event_set_ends_the_wait_in_it) {
    auto set = made();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::array<event_set::ready, 1> found;
        EXPECT_TRUE(fails_with(set.wait(found), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    set.close();
}

TEST(sys_poll, poll_a_changed_and_an_ignored_descriptor_are_no_longer_told) {
    auto pipe = *open_pipe();
    poll_set few;
    const auto writable = *few.add(pipe.writer.native(), POLLOUT);
    EXPECT_EQ(*few.wait(), 1u);
    few.change(writable, 0);
    EXPECT_TRUE(fails_with(few.wait(deadline::immediate()), errc::would_block));
    pipe.reader.close();
    EXPECT_EQ(*few.wait(), 1u);
    EXPECT_EQ(few.events_of(writable), POLLERR);
    few.ignore(writable);
    EXPECT_TRUE(fails_with(few.wait(deadline::immediate()), errc::would_block));
}

TEST(sys_poll, poll_a_closed_descriptor_in_a_poll_set_is_told_as_such) {
    poll_set few;
    auto pipe = *open_pipe();
    ASSERT_TRUE(ok(few.add(pipe.reader.native(), POLLIN)));
    pipe.reader.close();
    EXPECT_EQ(*few.wait(deadline::in(30s)), 1u);
    EXPECT_EQ(few.events_of(0), POLLNVAL);
}

TEST(sys_poll, poll_trap07_signals_do_not_end_the_waits) {
    auto pipe = *open_pipe();
    auto set = made();
    ASSERT_TRUE(ok(set.add(pipe.reader.native(), POLLIN, 1)));
    poll_set few;
    ASSERT_TRUE(ok(few.add(pipe.reader.native(), POLLIN)));
    std::array<event_set::ready, 1> found;
    const signal_storm storm;
    EXPECT_TRUE(fails_with(set.wait(found, deadline::in(20ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(few.wait(deadline::in(20ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(set.wait(found, {deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
    EXPECT_TRUE(fails_with(few.wait({deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}

}  // namespace
