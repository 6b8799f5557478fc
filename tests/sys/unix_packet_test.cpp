// UNIX sockets: SEMANTICS U5 and U6: packets and datagrams, their boundaries, and traps 10 and 15.
#include <kith/sys/unix_listener.hpp>
#include <kith/sys/unix_socket.hpp>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <fstream>

#include "support/child.hpp"
#include "support/closing.hpp"
#include "support/scope.hpp"
#include "sys/unix_sockets.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using kith::text_of;
using namespace kith::sys;

TEST(sys_unix, unix_U5_packets_keep_boundaries_and_order) {
    auto listener = must(listen_unix_seqpacket(abstract_name("packets")));
    auto client = must(connect_unix_seqpacket(*local_name(listener)));
    auto server = must(listener.accept());
    for (const char* packet : {"one", "two", "three"}) ASSERT_TRUE(ok(client.send(bytes_of(packet))));
    EXPECT_EQ(text_from(server), "one");
    EXPECT_EQ(text_from(server), "two");
    EXPECT_EQ(text_from(server), "three");
}

TEST(sys_unix, unix_U5_a_packet_above_the_send_buffer_is_too_long) {
    auto pair = must(open_unix_seqpacket_pair());
    ASSERT_TRUE(ok(pair.first.set_send_buffer(8192)));
    EXPECT_TRUE(fails_with(pair.first.send(block(*pair.first.send_buffer() + 1)), errc::too_long, EMSGSIZE));
    EXPECT_TRUE(fails_with(pair.second.receive({}, {}, deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_unix, unix_U5_a_short_buffer_cuts_and_says_so) {
    auto pair = must(open_unix_seqpacket_pair());
    ASSERT_TRUE(ok(pair.first.send(bytes_of("hello world"))));
    ASSERT_TRUE(ok(pair.first.send(bytes_of("next"))));
    auto five = block(5);
    const auto seen = must(pair.second.peek(five));
    EXPECT_TRUE(seen.truncated);
    EXPECT_EQ(seen.real_size, 11u);
    const auto got = must(pair.second.receive(five));
    EXPECT_TRUE(got.truncated);
    EXPECT_EQ(got.size, 5u);
    EXPECT_EQ(got.real_size, 11u);
    EXPECT_EQ(text_of(five), "hello");
    EXPECT_EQ(text_from(pair.second), "next");
}

TEST(sys_unix, unix_trap10_a_packet_that_fits_exactly_is_not_called_truncated) {
    auto pair = must(open_unix_seqpacket_pair());
    ASSERT_TRUE(ok(pair.first.send(bytes_of("12345"))));
    ASSERT_TRUE(ok(pair.first.send(bytes_of("123456"))));
    auto five = block(5);
    EXPECT_FALSE(must(pair.second.receive(five)).truncated);
    EXPECT_TRUE(must(pair.second.receive(five)).truncated);
}

TEST(sys_unix, unix_U5_empty_packets_and_the_end_are_told_apart) {
    auto pair = must(open_unix_seqpacket_pair());
    ASSERT_TRUE(ok(pair.first.send({})));
    ASSERT_TRUE(ok(pair.first.send(bytes_of("x"))));
    ASSERT_TRUE(ok(pair.first.send({})));
    pair.first.close();  // so the last empty packet is read when the other side is gone already
    auto buffer = block(10);
    EXPECT_EQ(must(pair.second.peek(buffer)).size, 0u);
    EXPECT_EQ(must(pair.second.receive(buffer)).real_size, 0u);
    EXPECT_EQ(text_from(pair.second), "x");
    EXPECT_EQ(must(pair.second.receive(buffer)).real_size, 0u);
    EXPECT_TRUE(fails_with(pair.second.receive(buffer), errc::end_of_stream, 0));
    EXPECT_TRUE(fails_with(pair.second.peek(buffer), errc::end_of_stream, 0));
    EXPECT_TRUE(fails_with(pair.second.receive(buffer), errc::end_of_stream, 0));
}

TEST(sys_unix, unix_trap15_an_empty_packet_of_a_plain_program_is_no_end_of_file) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    auto ours = must(unix_seqpacket::adopt(kith::owned_fd{ends[0]}));
    kith::owned_fd theirs{ends[1]};
    ASSERT_EQ(::send(theirs.get(), "", 0, 0), 0);
    ASSERT_EQ(::shutdown(theirs.get(), SHUT_WR), 0);
    auto buffer = block(10);
    EXPECT_EQ(must(ours.receive(buffer)).real_size, 0u);
    EXPECT_TRUE(fails_with(ours.receive(buffer), errc::end_of_stream));
    EXPECT_TRUE(ok(ours.send(bytes_of("still"))));  // the other direction stays
    char got[10];
    EXPECT_EQ(::recv(theirs.get(), got, sizeof got, 0), 5);
}

TEST(sys_unix, unix_U5_a_record_mark_is_not_reported_and_changes_nothing) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    auto ours = must(unix_seqpacket::adopt(kith::owned_fd{ends[0]}));
    const kith::owned_fd theirs{ends[1]};
    ASSERT_EQ(::send(theirs.get(), "ab", 2, MSG_EOR), 2);
    EXPECT_EQ(text_from(ours), "ab");
}

TEST(sys_unix, unix_U5_adopting_another_kind_of_socket_is_wrong_type) {
    EXPECT_TRUE(fails_with(unix_seqpacket::adopt(kith::owned_fd{raw(SOCK_DGRAM)}), errc::wrong_type));
    EXPECT_TRUE(fails_with(unix_seqpacket::adopt(kith::owned_fd{}), errc::invalid, EBADF));
}

std::size_t fill_receiver(unix_datagram& sender, const unix_name& to) {
    std::size_t sent = 0;
    while (sent < 10000 && sender.send_to(to, bytes_of("x"), {}, deadline::immediate())) ++sent;
    return sent;
}

TEST(sys_unix, unix_U6_a_full_receiver_makes_the_sender_wait) {
    auto receiver = must(bind_unix_datagram(unix_name{}));
    const auto name = must(local_name(receiver));
    auto sender = must(open_unix_datagram());
    std::size_t limit = 0;
    std::ifstream{"/proc/sys/net/unix/max_dgram_qlen"} >> limit;
    EXPECT_EQ(fill_receiver(sender, name), limit + 1);
    EXPECT_TRUE(fails_with(sender.send_to(name, bytes_of("x"), {}, deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(sender.send_to(name, bytes_of("x"), {}, deadline::in(20ms)), errc::timed_out));
    ASSERT_TRUE(ok(sender.connect(name)));
    EXPECT_TRUE(fails_with(sender.send(bytes_of("x"), deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(sender.send(bytes_of("x"), deadline::in(20ms)), errc::timed_out));
}

TEST(sys_unix, unix_U6_a_waiting_sender_goes_on_when_there_is_room) {
    for (const bool connect : {true, false}) {
        auto receiver = must(bind_unix_datagram(unix_name{}));
        const auto name = must(local_name(receiver));
        auto sender = must(open_unix_datagram());
        const auto queued = fill_receiver(sender, name);
        child waiting{[&] {
            if (connect) {
                CHILD_CHECK(sender.connect(name));
                CHILD_CHECK(sender.send(bytes_of("last")));
            } else {
                CHILD_CHECK(sender.send_to(name, bytes_of("last")));
            }
            return 0;
        }};
        wait_until_in_syscall(waiting.pid(), SYS_ppoll);
        for (std::size_t i = 0; i < queued; ++i) EXPECT_EQ(text_from(receiver), "x");
        EXPECT_EQ(text_from(receiver), "last");
        EXPECT_EQ(waiting.wait(), 0);
    }
}

TEST(sys_unix, unix_U6_too_large_a_datagram_is_too_long) {
    auto pair = must(open_unix_datagram_pair());
    ASSERT_TRUE(ok(pair.first.set_send_buffer(8192)));
    EXPECT_TRUE(fails_with(pair.first.send(block(100000)), errc::too_long, EMSGSIZE));
}

TEST(sys_unix, unix_U6_a_short_buffer_cuts_a_datagram_and_says_so) {
    auto pair = must(open_unix_datagram_pair());
    ASSERT_TRUE(ok(pair.first.send(bytes_of("hello world"))));
    auto five = block(5);
    const auto got = must(pair.second.receive(five));
    EXPECT_TRUE(got.truncated);
    EXPECT_EQ(got.real_size, 11u);
}

TEST(sys_unix, unix_U6_an_empty_datagram_is_a_datagram) {
    auto pair = must(open_unix_datagram_pair());
    ASSERT_TRUE(ok(pair.first.send({})));
    EXPECT_EQ(must(pair.second.receive({})).real_size, 0u);
    EXPECT_TRUE(fails_with(pair.second.receive({}, {}, deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_unix, unix_U6_a_sender_without_a_name_cannot_be_answered_and_one_with_a_name_can) {
    auto receiver = must(bind_unix_datagram(abstract_name("receiver")));
    const auto name = must(local_name(receiver));
    auto nameless = must(open_unix_datagram());
    ASSERT_TRUE(ok(nameless.send_to(name, bytes_of("a"))));
    auto buffer = block(10);
    EXPECT_EQ(must(receiver.receive(buffer)).from, unix_name{});
    auto named = must(bind_unix_datagram(unix_name{}));
    ASSERT_TRUE(ok(named.send_to(name, bytes_of("b"))));
    const auto from = must(receiver.receive(buffer)).from;
    EXPECT_EQ(from, must(local_name(named)));
    ASSERT_TRUE(ok(receiver.send_to(from, bytes_of("answer"))));
    EXPECT_EQ(text_from(named), "answer");
}

TEST(sys_unix, unix_U6_a_receiver_that_is_gone_is_peer_gone_or_not_found) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("r"));
    auto receiver = must(bind_unix_datagram(name));
    auto sender = must(open_unix_datagram());
    ASSERT_TRUE(ok(sender.connect(name)));
    receiver.close();
    EXPECT_TRUE(fails_with(sender.send(bytes_of("x")), errc::peer_gone, ECONNREFUSED));
    EXPECT_TRUE(fails_with(sender.send(bytes_of("x")), errc::invalid, ENOTCONN));
    EXPECT_TRUE(fails_with(sender.send_to(name, bytes_of("x")), errc::not_found, ENOENT));
}

}  // namespace
