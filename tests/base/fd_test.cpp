// Owned descriptors, and io_fd: adoption, release, waits without descriptors to spare.
#include <kith/io_fd.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <kith/observer.hpp>
#include <kith/sys/pipe.hpp>
#include <thread>

#include "base/transfer.hpp"
#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(base_fd, fd_G4_an_owner_closes_once_and_moves) {
    kith::owned_fd first{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const int number = first.get();
    kith::owned_fd second{std::move(first)};
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): the moved-from state is the point
    EXPECT_TRUE(is_open(number));
    second.reset();
    EXPECT_FALSE(is_open(number));
}

TEST(base_fd, fd_G4_duplicates_are_closed_on_exec) {
    const kith::owned_fd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const auto copy = kith::duplicate(null.borrow());
    ASSERT_TRUE(ok(copy));
    EXPECT_TRUE(::fcntl(copy->get(), F_GETFD) & FD_CLOEXEC);
    EXPECT_TRUE(fails_with(kith::duplicate(kith::borrowed_fd{-1}), errc::invalid, EBADF));
}

TEST(base_fd, a_closed_object_is_invalid_and_not_waited_for) {
    auto pipe = kith::sys::open_pipe();
    ASSERT_TRUE(ok(pipe));
    pipe->reader.close();
    pipe->reader.close();
    EXPECT_TRUE(fails_with(pipe->reader.wait_for(POLLIN, {}, "poll"), errc::invalid, EBADF));
    std::byte one;
    EXPECT_TRUE(fails_with(pipe->reader.read_some({&one, 1}), errc::invalid, EBADF));
}

TEST(base_fd, a_released_descriptor_stays_open) {
    auto pipe = kith::sys::open_pipe();
    ASSERT_TRUE(ok(pipe));
    const auto fd = pipe->reader.release();
    EXPECT_TRUE(is_open(fd.get()));
    EXPECT_FALSE(pipe->reader.is_open());
}

TEST(base_fd, without_descriptors_to_spare_waits_can_still_be_stopped) {
    child limited{[] {
        auto pipe = kith::sys::open_pipe();
        CHILD_CHECK(pipe);
        std::atomic<int> looks{0};
        kith::set_observer(
            [](const kith::event& what, void* count) noexcept {
                if (what.kind == kith::event_kind::polling) ++*static_cast<std::atomic<int>*>(count);
            },
            &looks);
        // The threads begin before the limit: UBSan needs a descriptor at their start.
        std::atomic<int> begun{0};
        std::atomic<int> phase{0};
        const auto wait_in_phase = [&](int mine, const kith::wait_policy& wait) {
            ++begun;
            while (phase < mine) std::this_thread::yield();
            std::byte one;
            const auto stopped = pipe->reader.read_some({&one, 1}, wait);
            CHILD_CHECK(!stopped && stopped.error().code() == errc::stopped);
        };
        std::jthread waiter{[&](const std::stop_token& stop) { wait_in_phase(1, {deadline::never(), stop}); }};
        std::jthread second{[&] { wait_in_phase(2, {}); }};
        while (begun < 2) std::this_thread::yield();
        const auto highest = static_cast<rlim_t>(pipe->writer.native().get());
        const rlimit none{highest + 1, highest + 1};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);

        phase = 1;
        while (looks < 2) std::this_thread::yield();
        waiter.request_stop();
        waiter.join();
        phase = 2;
        while (looks < 3) std::this_thread::yield();
        pipe->reader.close();
        second.join();
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

TEST(base_fd, fd_G4_close_waits_for_an_attempt_that_follows_a_wait_and_ends_the_call_with_stopped) {
    auto pipe = kith::sys::open_pipe();
    ASSERT_TRUE(ok(pipe));
    ASSERT_TRUE(ok(pipe->writer.write_some(kith::bytes_of("x"))));  // so that the wait ends at once
    kith::io_fd& object = pipe->reader;
    std::jthread closer;
    int attempts = 0;
    const auto outcome = kith::detail::transfer(object, POLLIN, {}, "read", [&](int fd) -> ssize_t {
        if (++attempts == 2) {
            closer = std::jthread{[&] { object.close(); }};
            while (object.is_open()) std::this_thread::yield();
            for (int i = 0; i < 1000; ++i) std::this_thread::yield();
            EXPECT_TRUE(is_open(fd));  // its number must not come to mean another file now
        }
        errno = EAGAIN;  // as if another thread had taken what was there
        return -1;
    });
    EXPECT_TRUE(fails_with(outcome, errc::stopped));
    EXPECT_EQ(attempts, 2);
}

TEST(base_fd, fd_G13_threads_of_a_forked_child_that_wait_at_once_are_all_counted) {
    auto pipe = kith::sys::open_pipe();
    ASSERT_TRUE(ok(pipe));
    std::byte buffer[1];
    // A wait in the parent: its count and its bell are what the children must not go by.
    EXPECT_TRUE(fails_with(pipe->reader.read_some(buffer, deadline::in(1ns)), errc::timed_out));
    for (int round = 0; round < 20; ++round) {
        child forked{[&] {
            std::atomic<int> started{0};
            std::atomic<int> stopped{0};
            const auto wait = [&] {
                std::byte own[1];
                ++started;
                while (started < 2) {
                }
                const auto got = pipe->reader.read_some(own);
                stopped += !got && got.error().code() == errc::stopped ? 1 : 0;
            };
            std::array<pid_t, 2> ids{};
            std::jthread one{[&] { ids[0] = static_cast<pid_t>(::syscall(SYS_gettid)), wait(); }};
            std::jthread two{[&] { ids[1] = static_cast<pid_t>(::syscall(SYS_gettid)), wait(); }};
            while (started < 2) std::this_thread::yield();
            for (const pid_t id : ids) wait_until_thread_in_syscall(id, SYS_ppoll);
            pipe->reader.close();
            one.join();
            two.join();
            return stopped == 2 ? 0 : 1;
        }};
        ASSERT_EQ(forked.wait(), 0);
    }
}

}  // namespace
