// The end of a FIFO against a writer that comes, writes and leaves between two system calls of the reader: F3, F4.
// This program has a poll(2) of its own, with which a test steps in exactly there.
#include <kith/sys/fifo.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

std::function<void()> before_poll;  // called once

}  // namespace

extern "C" int poll(pollfd* fds, nfds_t count, int timeout_ms) {
    if (before_poll) std::exchange(before_poll, nullptr)();
    const timespec timeout{.tv_sec = timeout_ms / 1000, .tv_nsec = (timeout_ms % 1000) * 1'000'000L};
    return static_cast<int>(::syscall(SYS_ppoll, fds, count, timeout_ms < 0 ? nullptr : &timeout, nullptr, 0));
}

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;

TEST(sys_fifo, fifo_F3_a_writer_that_came_wrote_and_left_after_the_read_is_read_before_the_end) {
    const temp_dir dir;
    const auto path = dir.path("fifo");
    ASSERT_TRUE(ok(kith::sys::create_fifo(path)));
    auto reader = kith::sys::open_fifo_reader(path, deadline::immediate());
    ASSERT_TRUE(ok(reader));
    before_poll = [&] {
        auto writer = kith::sys::open_fifo_writer(path, deadline::immediate());
        ASSERT_TRUE(ok(writer));
        std::size_t done = 0;
        EXPECT_TRUE(ok(writer->write_full(kith::bytes_of("hello"), done)));
    };
    std::array<std::byte, 16> buffer{};
    const auto first = reader->read_some(buffer, deadline::immediate());
    ASSERT_FALSE(before_poll);  // the reader did look between two reads
    ASSERT_TRUE(ok(first));
    EXPECT_EQ(kith::text_of({buffer.data(), *first}), "hello");
    EXPECT_TRUE(fails_with(reader->read_some(buffer, deadline::immediate()), errc::end_of_stream));
}

TEST(sys_fifo, fifo_G3_a_large_write_to_both_ends_in_blocking_mode_keeps_its_deadline) {
    const temp_dir dir;
    const auto path = dir.path("fifo");
    ASSERT_TRUE(ok(kith::sys::create_fifo(path)));
    child waiting{[&] {
        kith::sys::fifo_both both{kith::owned_fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)}, kith::fd_mode::blocking};
        const std::vector<std::byte> large(200'000);
        ::alarm(20);  // in place of a wait without end
        for (std::size_t done = 0; done < large.size();) {
            const auto count = both.write_some(kith::byte_view{large}.subspan(done), deadline::in(10ms));
            if (!count) return count.error().code() == errc::timed_out ? 0 : 1;
            done += *count;
        }
        return 2;
    }};
    EXPECT_EQ(waiting.wait(), 0);
}

}  // namespace
