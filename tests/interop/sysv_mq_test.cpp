// System V queues between kith and programs that do not know it: Perl, Python, C, and the tools of util-linux.
#include <kith/compose/request_reply.hpp>
#include <kith/sys/sysv_mq.hpp>

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
    sysv_key key = unique_key();
    scoped_sysv_mq queue;
    std::string number = std::to_string(key.value());
    explicit shared_queue(const sysv_mq_options& options = {}) : queue{key, options} {}

    [[nodiscard]] std::string received(message_selector which = message_selector::any()) const {
        std::array<std::byte, 8192> body;
        const auto got = queue.receive(body, which, deadline::immediate());
        if (!got) return std::string{name_of(got.error().code())};
        return std::to_string(got->type) + ":" + std::string{kith::text_of({body.data(), got->size})};
    }
    void send(long type, const std::string& text) const { EXPECT_TRUE(ok(queue.send(type, bytes_of(text)))); }
};

// What a program prints; it must end well.
std::string printed(const std::vector<std::string>& words) {
    const auto ended = run(words);
    EXPECT_EQ(ended.status, 0) << ended.err;
    return ended.out;
}
std::string perl(const std::string& script, const std::vector<std::string>& arguments) {
    std::vector<std::string> words{"perl", "-MIPC::SysV=:all", "-MIPC::Msg", "-we", script};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return printed(words);
}
std::string python(const std::string& script, const std::vector<std::string>& arguments) {
    std::vector<std::string> words{"/usr/bin/python3", "-c", "import sys, sysv_ipc\n" + script};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return printed(words);
}
std::string peer() { return binary_dir() + "/tests/interop/mq_peer"; }

TEST(interop_sysv_mq, perl_built_ins_both_ways) {
    const shared_queue q;
    EXPECT_EQ(perl("my $q = msgget($ARGV[0], 0) // die; msgsnd($q, pack('l! a*', 7, qq{from perl}), 0) or die $!;",
                   {q.number}),
              "");
    EXPECT_EQ(q.received(), "7:from perl");
    q.send(1, "not this");
    q.send(9, "from kith");
    EXPECT_EQ(perl("my $q = msgget($ARGV[0], 0) // die; my $m; msgrcv($q, $m, 100, 9, IPC_NOWAIT) or die $!;"
                   "my ($t, $b) = unpack('l! a*', $m); print qq{$t:$b};",
                   {q.number}),
              "9:from kith");
    EXPECT_EQ(q.received(), "1:not this");
}

TEST(interop_sysv_mq, perl_IPC_Msg_makes_sees_and_removes_the_same_queue) {
    const auto key = unique_key();
    const auto number = std::to_string(key.value());
    perl(
        "my $q = IPC::Msg->new($ARGV[0], IPC_CREAT | IPC_EXCL | 0640) or die; $q->snd(3, qq{x} x 10) or die;"
        "$q->set(qbytes => 500) or die;",
        {number});
    const auto queue = sysv_mq::open(key);
    ASSERT_TRUE(ok(queue));
    const sysv_mq_guard guard{queue->native_id()};
    EXPECT_EQ(queue->status()->mode, 0640u);
    EXPECT_EQ(queue->status()->capacity, 500u);
    EXPECT_EQ(queue->status()->messages, 1u);
    ASSERT_TRUE(ok(queue->change({.capacity = 400})));
    EXPECT_EQ(perl("my $q = IPC::Msg->new($ARGV[0], 0) or die; my $s = $q->stat; print $s->qbytes, q{ }, $s->qnum;"
                   "$q->remove or die;",
                   {number}),
              "400 1");
    EXPECT_TRUE(fails_with(queue->status(), kith::errc::removed));
}

TEST(interop_sysv_mq, perls_key_of_a_path_is_the_same) {
    const temp_dir dir;
    const auto key = sysv_key::from_path(dir.dir(), 65);
    ASSERT_TRUE(ok(key));
    EXPECT_EQ(perl("print ftok($ARGV[0], 65);", {dir.dir()}), std::to_string(key->value()));
    EXPECT_EQ(python("print(sysv_ipc.ftok(sys.argv[1], 65, True), end='')", {dir.dir()}), std::to_string(key->value()));
}

TEST(interop_sysv_mq, a_waiting_perl_is_woken_by_kith_and_a_waiting_kith_by_perl) {
    const shared_queue q;
    child receiver = child::exec({"perl", "-we",
                                  "my $q = msgget($ARGV[0], 0); my $m; msgrcv($q, $m, 100, -5, 0) or exit 1;"
                                  "exit(substr($m, 8) eq q{wake} ? 0 : 2);",
                                  q.number});
    wait_until_in_syscall(receiver.pid(), SYS_msgrcv);
    q.send(6, "not for it");
    q.send(5, "wake");
    EXPECT_EQ(receiver.wait(), 0);
    child kith_side{[&] {
        std::array<std::byte, 100> body;
        CHILD_CHECK(q.queue.receive(body, message_selector::of_type(8)));
        return 0;
    }};
    wait_until_in_syscall(kith_side.pid(), SYS_msgrcv);
    perl("msgsnd(msgget($ARGV[0], 0), pack('l! a*', 8, q{x}), 0) or die $!;", {q.number});
    EXPECT_EQ(kith_side.wait(), 0);
}

TEST(interop_sysv_mq, python_both_ways) {
    const shared_queue q;
    python("sysv_ipc.MessageQueue(int(sys.argv[1])).send(b'from python \\x00\\xff', type=4)", {q.number});
    EXPECT_EQ(q.received(), std::string("4:from python \0\xff", 16));
    q.send(1, "other");
    q.send(3, "from kith");
    EXPECT_EQ(python("q = sysv_ipc.MessageQueue(int(sys.argv[1]))\n"
                     "print(q.receive(block=False, type=3), q.current_messages, q.last_send_pid, end='')",
                     {q.number}),
              "(b'from kith', 3) 1 " + std::to_string(::getpid()));
}

TEST(interop_sysv_mq, python_sees_the_errors_that_kith_causes) {
    const shared_queue q{{.capacity = 10}};
    q.send(1, "0123456789");
    EXPECT_EQ(python("q = sysv_ipc.MessageQueue(int(sys.argv[1]))\n"
                     "try:\n q.send(b'x', block=False)\nexcept sysv_ipc.BusyError: print('full', end='')",
                     {q.number}),
              "full");
    child waiting = child::exec({"/usr/bin/python3", "-c",
                                 "import sys, sysv_ipc\n"
                                 "try:\n sysv_ipc.MessageQueue(int(sys.argv[1])).receive(type=7)\n"
                                 "except sysv_ipc.ExistentialError: sys.exit(5)",
                                 q.number});
    wait_until_in_syscall(waiting.pid(), SYS_msgrcv);
    ASSERT_TRUE(ok(q.queue.remove()));
    EXPECT_EQ(waiting.wait(), 5);
}

TEST(interop_sysv_mq, plain_c_both_ways) {
    const shared_queue q;
    printed({peer(), "sysv-send", q.number, "12", "from C"});
    EXPECT_EQ(q.received(), "12:from C");
    q.send(13, "from kith");
    EXPECT_EQ(printed({peer(), "sysv-recv", q.number, "13"}), "13:from kith");
}

TEST(interop_sysv_mq, util_linux_makes_lists_and_removes_the_same_queues) {
    const shared_queue q;                                      // from here on queues are this test's own
    const auto told = printed({"ipcmk", "-Q", "-p", "0620"});  // "Message queue id: 32769"
    const int id = std::stoi(told.substr(told.rfind(' ')));
    const sysv_mq_guard guard{id};
    const auto made = sysv_mq::open_id(id);
    ASSERT_TRUE(ok(made));
    EXPECT_EQ(made->status()->mode, 0620u);
    ASSERT_TRUE(ok(made->send(1, block(33))));
    const auto one = printed({"ipcs", "-q", "-i", std::to_string(id)});
    EXPECT_NE(one.find("cbytes=33"), std::string::npos) << one;
    EXPECT_NE(one.find("qnum=1"), std::string::npos) << one;
    EXPECT_EQ(printed({"lsipc", "-q", "-i", std::to_string(id), "--noheadings", "-r", "-o", "MSGS"}), "1\n");

    char hex[16];
    std::snprintf(hex, sizeof hex, "0x%08x", static_cast<unsigned>(q.key.value()));
    EXPECT_NE(printed({"ipcs", "-q"}).find(hex), std::string::npos);
    printed({"ipcrm", "-Q", hex});
    EXPECT_TRUE(fails_with(q.queue.status(), kith::errc::removed));
}

TEST(interop_sysv_mq, a_client_in_python_speaks_the_request_convention) {
    const auto key = unique_key();
    const auto server = kith::compose::sysv_request_server::open(key);
    ASSERT_TRUE(ok(server));
    const sysv_mq_guard requests{server->requests().native_id()};
    const sysv_mq_guard replies{server->replies().native_id()};
    // From docs/formats/request_reply.md alone. Python wants keys above 0: the reply queue's has the highest bit.
    child client = child::exec({"/usr/bin/python3", "-c",
                                "import os, struct, sys, ctypes, sysv_ipc\n"
                                "key = int(sys.argv[1])\n"
                                "libc = ctypes.CDLL(None, use_errno=True)\n"
                                "header = struct.pack('<4sIqQqiIQQ', b'KRQ1', 0, 4711, 1, 2**63 - 1, 0, 0, 0, 0)\n"
                                "sysv_ipc.MessageQueue(key).send(header + b'utc', type=1)\n"
                                "replies = libc.msgget(ctypes.c_int(key ^ -2**31), 0)\n"
                                "message = ctypes.create_string_buffer(8200)\n"
                                "size = libc.msgrcv(replies, message, 8192, ctypes.c_long(4711), 0)\n"
                                "reply = message.raw[8:8 + size]\n"
                                "ok = reply[:8] == b'KRP1' + bytes(4) and reply[56:] == b'12:00'\n"
                                "sys.exit(0 if ok else 1)",
                                std::to_string(key.value())});
    std::array<std::byte, 10> body;
    const auto got = server->take(body);
    ASSERT_TRUE(ok(got));
    EXPECT_EQ(kith::text_of({body.data(), got->size}), "utc");
    EXPECT_TRUE(ok(server->reply(got->from, bytes_of("12:00"))));
    EXPECT_EQ(client.wait(), 0);
}

}  // namespace
