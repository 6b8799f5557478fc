// UDP: datagrams, truncation, refusals, and the rules for all mechanisms. Ports are the kernel's choice.
#include <kith/sys/udp.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/net.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using kith::text_of;
using namespace kith::sys;

TEST(sys_udp, udp_datagrams_keep_boundaries_and_name_their_sender) {
    auto receiver = must(bind_udp());
    const auto where = must(receiver.local());
    child sender{[&] {
        auto socket = bind_udp();
        CHILD_CHECK(socket && socket->send_to(where, bytes_of("one")) && socket->send_to(where, bytes_of("three")));
        auto buffer = block(10);
        const auto answer = socket->receive(buffer, deadline::in(20s));
        CHILD_CHECK(answer && answer->from == where && text_of(buffer).substr(0, answer->size) == "answer");
        return 0;
    }};
    auto buffer = block(100);
    const auto first = must(receiver.receive(buffer, deadline::in(20s)));
    EXPECT_EQ(text_of(buffer).substr(0, first.size), "one");
    const auto second = must(receiver.receive(buffer, deadline::in(20s)));
    EXPECT_EQ(text_of(buffer).substr(0, second.size), "three");
    EXPECT_EQ(first.from, second.from);
    ASSERT_TRUE(ok(receiver.send_to(first.from, bytes_of("answer"))));
    EXPECT_EQ(sender.wait(), 0);
}

TEST(sys_udp, udp_trap10_a_short_buffer_cuts_and_says_so) {
    auto receiver = must(bind_udp());
    auto sender = must(connect_udp(*receiver.local()));
    ASSERT_TRUE(ok(sender.send(bytes_of("hello world"))));
    ASSERT_TRUE(ok(sender.send(bytes_of("12345"))));
    auto five = block(5);
    const auto seen = must(receiver.peek(five, deadline::in(20s)));
    EXPECT_TRUE(seen.truncated);
    EXPECT_EQ(must(receiver.queued()), 11u);
    const auto got = must(receiver.receive(five));
    EXPECT_TRUE(got.truncated);
    EXPECT_EQ(got.size, 5u);
    EXPECT_EQ(got.real_size, 11u);
    EXPECT_FALSE(must(receiver.receive(five, deadline::in(20s))).truncated);
}

TEST(sys_udp, udp_trap15_an_empty_datagram_is_a_datagram) {
    auto receiver = must(bind_udp());
    auto sender = must(connect_udp(*receiver.local()));
    ASSERT_TRUE(ok(sender.send({})));
    EXPECT_EQ(must(receiver.receive({}, deadline::in(20s))).real_size, 0u);
    EXPECT_TRUE(fails_with(receiver.receive({}, deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_udp, udp_a_refusal_reaches_a_connected_sender) {
    auto receiver = must(bind_udp());
    const auto where = must(receiver.local());
    receiver.close();
    auto sender = must(connect_udp(where));
    ASSERT_TRUE(ok(sender.send(bytes_of("into the void"))));
    EXPECT_TRUE(fails_with(sender.receive({}, deadline::in(20s)), errc::peer_gone, ECONNREFUSED));
    ASSERT_TRUE(ok(sender.send(bytes_of("again"))));
    EXPECT_TRUE(fails_with(sender.send(bytes_of("and again")), errc::peer_gone, ECONNREFUSED));
    auto stranger = must(bind_udp());
    ASSERT_TRUE(ok(stranger.send_to(where, bytes_of("x"))));
    EXPECT_TRUE(fails_with(stranger.receive({}, deadline::in(20ms)), errc::timed_out));
}

TEST(sys_udp, udp_G1_errors_keep_their_errno_and_name_the_receiver) {
    auto socket = must(bind_udp());
    const auto long_one = socket.send_to(endpoint::loopback(9), block(max_udp_payload + 1));
    ASSERT_TRUE(fails_with(long_one, errc::too_long, EMSGSIZE));
    EXPECT_EQ(long_one.error().object().text(), "127.0.0.1:9");
    EXPECT_TRUE(fails_with(socket.send(bytes_of("x")), errc::invalid, EDESTADDRREQ));
    EXPECT_TRUE(fails_with(bind_udp(*socket.local()), errc::exists, EADDRINUSE));
    EXPECT_TRUE(fails_with(socket.peer(), errc::peer_gone, ENOTCONN));
    EXPECT_TRUE(fails_with(bind_udp(endpoint::ipv4({192, 0, 2, 1}, 0)), errc::invalid, EADDRNOTAVAIL));
}

TEST(sys_udp, udp_the_longest_datagram_arrives_whole) {
    auto receiver = must(bind_udp());
    auto sender = must(bind_udp());
    const auto sent = block(max_udp_payload);
    ASSERT_TRUE(ok(sender.send_to(*receiver.local(), sent)));
    auto buffer = block(max_udp_payload);
    const auto got = must(receiver.receive(buffer, deadline::in(20s)));
    EXPECT_EQ(got.real_size, max_udp_payload);
    EXPECT_FALSE(got.truncated);
}

TEST(sys_udp, udp_a_full_receiver_loses_datagrams_and_nobody_is_told) {
    auto receiver = must(bind_udp());
    ASSERT_TRUE(ok(receiver.set_receive_buffer(4096)));
    auto sender = must(connect_udp(*receiver.local()));
    constexpr std::size_t count = 1000;
    for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(ok(sender.send(block(1000))));
    std::size_t arrived = 0;
    auto buffer = block(1000);
    while (receiver.receive(buffer, deadline::immediate())) ++arrived;
    EXPECT_GT(arrived, 0u);
    EXPECT_LT(arrived, count);
}

TEST(sys_udp, udp_a_connected_socket_hears_its_peer_alone) {
    auto receiver = must(bind_udp());
    auto friend_of_ours = must(bind_udp());
    auto stranger = must(bind_udp());
    ASSERT_TRUE(ok(receiver.connect(*friend_of_ours.local())));
    EXPECT_EQ(must(receiver.peer()), must(friend_of_ours.local()));
    ASSERT_TRUE(ok(stranger.send_to(*receiver.local(), bytes_of("no"))));
    ASSERT_TRUE(ok(friend_of_ours.send_to(*receiver.local(), bytes_of("yes"))));
    auto buffer = block(10);
    const auto got = must(receiver.receive(buffer, deadline::in(20s)));
    EXPECT_EQ(text_of(buffer).substr(0, got.size), "yes");
    EXPECT_TRUE(fails_with(receiver.receive(buffer, deadline::immediate()), errc::would_block));
}

TEST(sys_udp, udp_ipv6) {
    auto receiver = bind_udp(endpoint::loopback(0, ip_version::v6));
    if (!receiver) GTEST_SKIP() << "no IPv6 here";
    auto sender = must(connect_udp(*receiver->local()));
    ASSERT_TRUE(ok(sender.send(bytes_of("six"))));
    auto buffer = block(10);
    EXPECT_EQ(must(receiver->receive(buffer, deadline::in(20s))).from, must(sender.local()));
    auto other = must(bind_udp());
    EXPECT_TRUE(fails_with(other.send_to(*receiver->local(), bytes_of("x")), errc::unsupported, EAFNOSUPPORT));
}

TEST(sys_udp, udp_two_sockets_may_share_a_port_if_both_ask) {
    auto first = must(bind_udp({}, {.reuse_address = true}));
    EXPECT_TRUE(ok(bind_udp(*first.local(), {.reuse_address = true})));
    EXPECT_TRUE(fails_with(bind_udp(*first.local()), errc::exists, EADDRINUSE));
}

TEST(sys_udp, udp_trap07_signals_break_no_wait) {
    auto receiver = must(bind_udp());
    const signal_storm storm;
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(receiver.receive({}, deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 30ms);
    EXPECT_TRUE(fails_with(receiver.receive({}, {deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}

TEST(sys_udp, udp_G4_descriptors_are_closed_on_exec_from_birth) {
    auto socket = must(bind_udp());
    EXPECT_NE(::fcntl(socket.native().get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(::fcntl(socket.native().get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(sys_udp, udp_G8_ports_belong_to_the_network_namespace) {
    auto receiver = must(bind_udp());
    const auto where = must(receiver.local());
    const int status = in_namespaces(CLONE_NEWNET, [&] {
        CHILD_CHECK(bring_loopback_up());
        auto sender = connect_udp(where);
        CHILD_CHECK(sender && sender->send(bytes_of("x")));
        const auto refused = sender->receive({}, deadline::in(20s));
        CHILD_CHECK(!refused && refused.error().os_error() == ECONNREFUSED);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

TEST(sys_udp, udp_close_ends_the_wait_of_another_thread) {
    auto receiver = must(bind_udp());
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(receiver.receive({}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    receiver.close();
}

}  // namespace
