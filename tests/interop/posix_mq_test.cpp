// POSIX queues between kith and programs that do not know it: plain C, and Python through the C library.
#include <kith/sys/posix_mq.hpp>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <array>
#include <string>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/queues.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using namespace kith::sys;

struct shared_queue {
    posix_mq_name name;
    posix_mq queue;
    shared_queue() {
        auto made = posix_mq::open(name.get(), {.create = creation::must_be_new});
        EXPECT_TRUE(ok(made));
        if (made) queue = std::move(*made);
    }
    [[nodiscard]] std::string received(deadline until = deadline::immediate()) const {
        std::array<std::byte, 8192> body;
        const auto got = queue.receive(body, until);
        if (!got) return std::string{name_of(got.error().code())};
        return std::to_string(got->priority) + ":" + std::string{kith::text_of({body.data(), got->size})};
    }
};

std::string printed(const std::vector<std::string>& words) {
    const auto ended = run(words);
    EXPECT_EQ(ended.status, 0) << ended.err;
    return ended.out;
}
std::string peer() { return binary_dir() + "/tests/interop/mq_peer"; }
std::string python(const std::string& script, const std::vector<std::string>& arguments) {
    std::vector<std::string> words{"/usr/bin/python3", "-c",
                                   "import ctypes, os, sys\n"
                                   "libc = ctypes.CDLL(None, use_errno=True)\n" +
                                       script};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return printed(words);
}

TEST(interop_posix_mq, plain_c_both_ways) {
    const shared_queue q;
    printed({peer(), "posix-send", q.name.get(), "3", "low"});
    printed({peer(), "posix-send", q.name.get(), "32767", "high"});
    EXPECT_EQ(q.received(), "32767:high");
    EXPECT_EQ(q.received(), "3:low");
    ASSERT_TRUE(ok(q.queue.send(bytes_of("from kith"), 9)));
    EXPECT_EQ(printed({peer(), "posix-recv", q.name.get()}), "9:from kith");
}

TEST(interop_posix_mq, a_waiting_c_program_is_woken_by_kith_and_a_waiting_kith_by_c) {
    const shared_queue q;
    child receiver = child::exec({peer(), "posix-recv", q.name.get()});
    wait_until_in_syscall(receiver.pid(), SYS_mq_timedreceive);
    ASSERT_TRUE(ok(q.queue.send(bytes_of("wake"))));
    EXPECT_EQ(receiver.wait(), 0);
    child kith_side{[&] { return q.received(deadline::never()) == "5:x" ? 0 : 1; }};
    wait_until_in_syscall(kith_side.pid(), SYS_ppoll);
    printed({peer(), "posix-send", q.name.get(), "5", "x"});
    EXPECT_EQ(kith_side.wait(), 0);
}

TEST(interop_posix_mq, python_makes_a_queue_that_kith_opens) {
    const posix_mq_name name;
    python(
        "class attr(ctypes.Structure): _fields_ = [(n, ctypes.c_long) for n in ('flags', 'maxmsg', 'msgsize', "
        "'curmsgs')]"
        " + [('reserved', ctypes.c_long * 4)]\n"
        "a = attr(0, 4, 100, 0)\n"
        "q = libc.mq_open(sys.argv[1].encode(), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, ctypes.byref(a))\n"
        "if q < 0 or libc.mq_send(q, b'py\\x00', 3, 6) != 0: sys.exit(1)",
        {name.get()});
    const auto queue = posix_mq::open(name.get(), {.max_messages = 4, .message_size = 100});
    ASSERT_TRUE(ok(queue));
    auto body = block(100);
    const auto got = queue->receive(body, deadline::immediate());
    ASSERT_TRUE(ok(got));
    EXPECT_EQ(got->priority, 6u);
    EXPECT_EQ(kith::text_of({body.data(), got->size}), std::string("py\0", 3));
    ASSERT_TRUE(ok(queue->send(bytes_of("kith"), 2)));
    EXPECT_EQ(python("q = libc.mq_open(sys.argv[1].encode(), os.O_RDONLY)\n"
                     "buffer = ctypes.create_string_buffer(100)\n"
                     "priority = ctypes.c_uint()\n"
                     "size = libc.mq_receive(q, buffer, 100, ctypes.byref(priority))\n"
                     "print(priority.value, buffer.raw[:size], end='')",
                     {name.get()}),
              "2 b'kith'");
}

TEST(interop_posix_mq, python_removes_a_queue_under_kiths_hands) {
    const shared_queue q;
    python("sys.exit(libc.mq_unlink(sys.argv[1].encode()))", {q.name.get()});
    EXPECT_TRUE(fails_with(posix_mq::open(q.name.get()), kith::errc::not_found));
    EXPECT_TRUE(ok(q.queue.send(bytes_of("still open"))));
}

}  // namespace
