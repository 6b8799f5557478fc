// UNIX sockets: names, streams, packets, datagrams and peers: SEMANTICS U2-U7, U12, U14 and the traps of sockets.
#include <kith/observer.hpp>
#include <kith/sys/unix_listener.hpp>
#include <kith/sys/unix_socket.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/closing.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using kith::text_of;
using namespace kith::sys;

std::vector<std::byte> block(std::size_t size, char fill = 'x') {
    return std::vector<std::byte>(size, static_cast<std::byte>(fill));
}

unix_name abstract_name(const std::string& hint) { return *unix_name::abstract(unique_name(hint)); }

template <class T>
T must(kith::result<T> outcome) {
    EXPECT_TRUE(ok(outcome));
    if (!outcome) std::abort();
    return std::move(*outcome);
}

struct connection {
    unix_stream client;
    unix_stream server;
};
connection connected() {
    auto listener = must(listen_unix_stream(unix_name{}));
    auto client = must(connect_unix_stream(*local_name(listener)));
    auto server = must(listener.accept());
    return {std::move(client), std::move(server)};
}

template <class Socket>
std::string text_from(Socket& socket, std::size_t most = 100) {
    auto buffer = block(most);
    const auto got = socket.receive(buffer, {}, deadline::in(10s));
    if (!got) return std::string{kith::name_of(got.error().code())};
    return std::string{text_of(buffer).substr(0, got->size)};
}

// A raw socket bound or connected with exactly `size` bytes of sockaddr.
int raw(int type) { return ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0); }
sockaddr_un raw_address(const std::string& path_bytes) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_bytes.data(), path_bytes.size());
    return address;
}

TEST(sys_unix, unix_U1_a_path_holds_107_bytes_and_one_more_is_too_long) {
    EXPECT_TRUE(ok(unix_name::path(std::string(107, 'p'))));
    EXPECT_TRUE(fails_with(unix_name::path(std::string(108, 'p')), errc::too_long, ENAMETOOLONG));
    EXPECT_TRUE(fails_with(unix_name::path(""), errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(unix_name::path(std::string("a\0b", 3)), errc::invalid, EINVAL));
}

TEST(sys_unix, unix_U2_every_byte_of_an_abstract_name_counts) {
    const std::string odd = unique_name("odd") + std::string("\0\xff/\n%", 5);
    auto listener = must(listen_unix_stream(*unix_name::abstract(odd)));
    EXPECT_EQ(must(local_name(listener)).text(), odd);
    EXPECT_TRUE(ok(connect_unix_stream(*unix_name::abstract(odd))));
    EXPECT_TRUE(fails_with(connect_unix_stream(*unix_name::abstract(odd + '\0')), errc::peer_gone, ECONNREFUSED));
}

TEST(sys_unix, unix_U2_a_name_padded_to_the_whole_structure_is_another_name) {
    const auto name = unique_name("padded");
    const int fd = raw(SOCK_STREAM);
    const auto address = raw_address('\0' + name);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(fd, 1), 0);
    EXPECT_TRUE(fails_with(connect_unix_stream(*unix_name::abstract(name)), errc::peer_gone, ECONNREFUSED));
    auto padded = name;
    padded.resize(unix_name::capacity);
    EXPECT_TRUE(ok(connect_unix_stream(*unix_name::abstract(padded))));
    ::close(fd);
}

TEST(sys_unix, unix_U2_abstract_names_have_107_bytes_and_an_empty_one_exists) {
    EXPECT_TRUE(fails_with(unix_name::abstract(std::string(108, 'a')), errc::too_long, ENAMETOOLONG));
    auto longest = std::string(107, 'a');
    unique_name("longest").copy(longest.data(), 40);
    auto listener = must(listen_unix_stream(*unix_name::abstract(longest)));
    EXPECT_TRUE(ok(connect_unix_stream(*unix_name::abstract(longest))));
    EXPECT_EQ(must(unix_name::abstract("")).what(), unix_name::kind::abstract);
}

TEST(sys_unix, unix_U2_autobind_gives_five_hex_digits) {
    auto listener = must(listen_unix_stream(unix_name{}));
    const auto name = must(local_name(listener));
    EXPECT_EQ(name.what(), unix_name::kind::abstract);
    ASSERT_EQ(name.text().size(), 5u);
    EXPECT_EQ(name.text().find_first_not_of("0123456789abcdef"), std::string_view::npos);
}

TEST(sys_unix, unix_U2_abstract_names_have_no_permissions_so_the_peer_is_asked) {
    NEEDS_ROOT();
    auto listener = must(listen_unix_stream(abstract_name("open")));
    const auto name = must(local_name(listener));
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(connect_unix_stream(name));
                  return 0;
              }));
    auto stranger = must(listener.accept());
    EXPECT_EQ(must(peer_of(stranger)).uid, 65534u);
}

TEST(sys_unix, unix_U2_a_path_of_108_bytes_of_another_program_is_read_whole) {
    const temp_dir dir;
    auto path = dir.path("");
    path += std::string(108 - path.size(), 'n');
    const int fd = raw(SOCK_STREAM);
    const auto address = raw_address(path);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    auto socket = must(kith::io_fd::adopt(kith::owned_fd{fd}));
    EXPECT_EQ(must(local_name(socket_base{std::move(socket)})).text(), path);
}

TEST(sys_unix, unix_U3_a_full_backlog_is_would_block_with_EAGAIN_and_a_deadline_holds) {
    auto listener = must(listen_unix_stream(unix_name{}, {.bind = {}, .backlog = 0}));
    const auto name = must(local_name(listener));
    auto first = must(connect_unix_stream(name));
    EXPECT_TRUE(fails_with(connect_unix_stream(name, deadline::immediate()), errc::would_block, EAGAIN));
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(connect_unix_stream(name, deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 30ms);
}

TEST(sys_unix, unix_U3_a_connect_that_waited_for_the_backlog_gets_in) {
    auto listener = must(listen_unix_stream(unix_name{}, {.bind = {}, .backlog = 0}));
    const auto name = must(local_name(listener));
    auto first = must(connect_unix_stream(name));
    child second{[&] {
        CHILD_CHECK(connect_unix_stream(name, deadline::in(20s)));
        return 0;
    }};
    wait_until_in_syscall(second.pid(), SYS_futex);
    EXPECT_TRUE(ok(listener.accept()));
    EXPECT_EQ(second.wait(), 0);
    EXPECT_TRUE(ok(listener.accept()));
}

TEST(sys_unix, unix_U3_the_wait_for_the_backlog_is_told_and_can_be_stopped) {
    static std::atomic<int> told;
    told = 0;
    kith::set_observer([](const kith::event& what, void*) noexcept {
        if (what.kind == kith::event_kind::polling && what.os_error == EAGAIN) ++told;
    });
    auto listener = must(listen_unix_stream(unix_name{}, {.bind = {}, .backlog = 0}));
    const auto name = must(local_name(listener));
    auto first = must(connect_unix_stream(name));
    std::stop_source stop;
    std::jthread waiter{[&] {
        const auto token = stop.get_token();
        EXPECT_TRUE(fails_with(connect_unix_stream(name, {deadline::never(), token}), errc::stopped));
    }};
    while (told == 0) std::this_thread::yield();
    stop.request_stop();
    waiter.join();
    EXPECT_EQ(told, 1);
    kith::set_observer(nullptr);
}

TEST(sys_unix, unix_U4_a_stream_has_no_boundaries) {
    auto pair = must(open_unix_stream_pair());
    for (const char* part : {"one", "two", "three"}) ASSERT_TRUE(ok(pair.first.write_some(bytes_of(part))));
    EXPECT_EQ(must(pair.second.queued()), 11u);
    auto buffer = block(100);
    ASSERT_EQ(must(pair.second.read_some(buffer)), 11u);
    EXPECT_EQ(text_of(buffer).substr(0, 11), "onetwothree");
    std::size_t done = 0;
    ASSERT_TRUE(ok(pair.first.write_some(bytes_of("abcdef"))));
    EXPECT_TRUE(ok(pair.second.read_full(std::span{buffer}.first(4), done)));
    EXPECT_EQ(must(pair.second.peek(buffer)), 2u);
    EXPECT_EQ(must(pair.second.read_some(buffer)), 2u);
}

TEST(sys_unix, unix_U4_large_writes_of_two_writers_lose_nothing) {
    auto pair = must(open_unix_stream_pair());
    constexpr std::size_t each_writes = 1 << 20;
    std::vector<child> kin;
    for (const char fill : {'a', 'b'})
        kin.emplace_back([&, fill] {
            pair.second.close();
            std::size_t done = 0;
            CHILD_CHECK(pair.first.write_full(block(each_writes, fill), done));
            return 0;
        });
    pair.first.close();
    std::array<std::size_t, 2> seen{};
    auto buffer = block(65536);
    for (;;) {
        const auto n = pair.second.read_some(buffer, deadline::in(30s));
        if (!n) {
            EXPECT_TRUE(fails_with(n, errc::end_of_stream));
            break;
        }
        for (std::size_t i = 0; i < *n; ++i) ++seen.at(buffer[i] == std::byte{'a'} ? 0 : 1);
    }
    for (auto& one : kin) EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(seen[0], each_writes);
    EXPECT_EQ(seen[1], each_writes);
}

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

TEST(sys_unix, unix_U7_an_orderly_close_is_the_end_and_half_close_leaves_the_other_way) {
    auto pair = connected();
    ASSERT_TRUE(ok(pair.client.write_some(bytes_of("request"))));
    ASSERT_TRUE(ok(pair.client.shutdown(direction::send)));
    auto buffer = block(100);
    EXPECT_EQ(must(pair.server.read_some(buffer)), 7u);
    EXPECT_TRUE(fails_with(pair.server.read_some(buffer), errc::end_of_stream, 0));
    ASSERT_TRUE(ok(pair.server.write_some(bytes_of("answer"))));
    EXPECT_EQ(must(pair.client.read_some(buffer)), 6u);
    EXPECT_TRUE(fails_with(pair.client.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
}

TEST(sys_unix, unix_U7_a_peer_that_closed_with_our_data_unread_gives_its_data_then_a_reset_then_the_end) {
    auto pair = connected();
    ASSERT_TRUE(ok(pair.client.write_some(bytes_of("never read"))));
    ASSERT_TRUE(ok(pair.server.write_some(bytes_of("rest"))));
    pair.server.close();
    auto buffer = block(100);
    EXPECT_EQ(must(pair.client.read_some(buffer)), 4u);
    EXPECT_TRUE(fails_with(pair.client.read_some(buffer), errc::peer_gone, ECONNRESET));
    EXPECT_TRUE(fails_with(pair.client.read_some(buffer), errc::end_of_stream, 0));
    EXPECT_TRUE(fails_with(pair.client.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
}

TEST(sys_unix, unix_trap09_a_write_to_a_peer_that_is_gone_raises_no_signal) {
    auto pair = must(open_unix_stream_pair());
    auto packets = must(open_unix_seqpacket_pair());
    pair.second.close();
    packets.second.close();
    EXPECT_TRUE(fails_with(pair.first.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
    EXPECT_TRUE(fails_with(pair.first.send(bytes_of("x"), {}), errc::peer_gone, EPIPE));
    EXPECT_TRUE(fails_with(packets.first.send(bytes_of("x")), errc::peer_gone, EPIPE));
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST(sys_unix, unix_G6_the_disposition_of_sigpipe_is_left_alone) {
    struct sigaction before{};
    struct sigaction after{};
    ::sigaction(SIGPIPE, nullptr, &before);
    auto pair = must(open_unix_stream_pair());
    pair.second.close();
    EXPECT_TRUE(fails_with(pair.first.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
    ::sigaction(SIGPIPE, nullptr, &after);
    EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(sys_unix, unix_U12_both_ends_of_a_pair_made_before_a_fork_name_the_parent) {
    auto pair = must(open_unix_stream_pair());
    const pid_t parent = ::getpid();
    child other{[&] {
        const auto who = peer_of(pair.second);
        CHILD_CHECK(who && who->pid == parent && who->uid == ::getuid() && who->gid == ::getgid());
        return 0;
    }};
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(must(peer_of(pair.first)).pid, parent);
}

TEST(sys_unix, unix_U12_a_connected_peer_is_the_process_that_connected_and_listened) {
    auto listener = must(listen_unix_stream(unix_name{}));
    const auto name = must(local_name(listener));
    const pid_t parent = ::getpid();
    auto gate = must(open_unix_stream_pair());
    child client{[&] {
        auto stream = connect_unix_stream(name);
        CHILD_CHECK(stream && peer_of(*stream) && peer_of(*stream)->pid == parent);
        std::byte one;
        gate.first.close();
        CHILD_CHECK(!gate.second.read_some({&one, 1}));
        return 0;
    }};
    auto server = must(listener.accept(deadline::in(20s)));
    EXPECT_EQ(must(peer_of(server)).pid, client.pid());
    auto pidfd = must(peer_pidfd(server));
    pollfd running{pidfd.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&running, 1, 0), 0);
    EXPECT_NE(::fcntl(pidfd.get(), F_GETFD) & FD_CLOEXEC, 0);
    std::array<gid_t, 128> groups{};
    std::array<gid_t, 128> own{};
    const auto count = must(peer_groups(server, groups));
    EXPECT_EQ(static_cast<int>(count), ::getgroups(own.size(), own.data()));
    gate.first.close();
    EXPECT_EQ(client.wait(), 0);
    EXPECT_EQ(::poll(&running, 1, 0), 1);
    // The pid of the credentials stays although its process is gone: trap 12 is why there is a pidfd.
    EXPECT_EQ(must(peer_of(server)).pid, client.pid());
}

TEST(sys_unix, unix_trap12_the_pidfd_of_a_dead_peer_never_names_another_process) {
    auto listener = must(listen_unix_stream(unix_name{}));
    const auto name = must(local_name(listener));
    child client{[&] {
        CHILD_CHECK(connect_unix_stream(name));
        return 0;
    }};
    auto server = must(listener.accept(deadline::in(20s)));
    EXPECT_EQ(client.wait(), 0);
    const auto pidfd = peer_pidfd(server);
    if (pidfd)
        EXPECT_EQ(::syscall(SYS_pidfd_send_signal, pidfd->get(), 0, nullptr, 0), -1);
    else
        EXPECT_TRUE(fails_with(pidfd, errc::peer_gone));
}

TEST(sys_unix, unix_U12_a_socket_without_a_peer_says_so) {
    auto alone = must(open_unix_datagram());
    EXPECT_TRUE(fails_with(peer_of(alone), errc::peer_gone, ENOTCONN));
    EXPECT_TRUE(fails_with(peer_pidfd(alone), errc::peer_gone));
    EXPECT_TRUE(fails_with(peer_name(alone), errc::peer_gone, ENOTCONN));
    std::array<gid_t, 4> groups{};
    EXPECT_FALSE(peer_groups(alone, groups));
    std::array<char, 100> label{};
    const auto security = peer_security(alone, label);
    EXPECT_TRUE(security || security.error().code() == errc::unsupported) << "depends on the security module";
}

TEST(sys_unix, unix_U14_a_passed_descriptor_shares_offset_and_flags) {
    const temp_dir dir;
    const int file = ::open(dir.path("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_EQ(::write(file, "0123456789", 10), 10);
    ::lseek(file, 4, SEEK_SET);
    auto pair = must(open_unix_stream_pair());
    const kith::borrowed_fd out[] = {kith::borrowed_fd{file}};
    ASSERT_TRUE(ok(pair.first.send(bytes_of("f"), {.descriptors = out})));
    std::byte one;
    kith::owned_fd arrived[1];
    ASSERT_EQ(must(pair.second.receive({&one, 1}, arrived)).descriptors, 1u);
    EXPECT_EQ(::lseek(arrived[0].get(), 0, SEEK_CUR), 4);
    ASSERT_EQ(::fcntl(file, F_SETFL, O_NONBLOCK), 0);
    EXPECT_NE(::fcntl(arrived[0].get(), F_GETFL) & O_NONBLOCK, 0);
    ::close(file);
}

TEST(sys_unix, unix_U14_a_socket_passed_through_itself_is_collected_by_the_kernel) {
    auto pair = must(open_unix_stream_pair());
    const kith::borrowed_fd both[] = {pair.first.native(), pair.second.native()};
    ASSERT_TRUE(ok(pair.first.send(bytes_of("cycle"), {.descriptors = both})));
    const int before = open_descriptors();
    pair.first.close();
    pair.second.close();
    EXPECT_EQ(open_descriptors(), before - 2);
}

TEST(sys_unix, unix_trap07_signals_break_no_wait) {
    auto listener = must(listen_unix_stream(unix_name{}, {.bind = {}, .backlog = 0}));
    const auto name = must(local_name(listener));
    auto packets = must(open_unix_seqpacket_pair());
    const signal_storm storm;
    auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(listener.accept(deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 30ms);
    auto first = must(connect_unix_stream(name));
    before = deadline::clock::now();
    EXPECT_TRUE(fails_with(connect_unix_stream(name, deadline::in(30ms)), errc::timed_out));
    std::byte one;
    EXPECT_TRUE(fails_with(first.read_some({&one, 1}, deadline::in(30ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(packets.first.receive({&one, 1}, {}, deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 90ms);
}

TEST(sys_unix, unix_G2_a_signal_is_reported_if_asked_for) {
    auto listener = must(listen_unix_stream(unix_name{}, {.bind = {}, .backlog = 0}));
    const auto name = must(local_name(listener));
    auto first = must(connect_unix_stream(name));
    const signal_storm storm;
    std::byte one;
    const kith::wait_policy reporting{deadline::never(), kith::on_signal::report};
    EXPECT_TRUE(fails_with(first.read_some({&one, 1}, reporting), errc::stopped, EINTR));
    EXPECT_TRUE(fails_with(connect_unix_stream(name, reporting), errc::stopped, EINTR));
    auto pair = must(open_unix_datagram_pair());
    EXPECT_TRUE(fails_with(pair.first.receive({}, {}, reporting), errc::stopped, EINTR));
}

TEST(sys_unix, unix_G5_short_writes_are_gone_on_with_after_a_deadline) {
    auto pair = must(open_unix_stream_pair());
    const auto sent = block(3 << 20, 'q');
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(pair.first.write_full(sent, done, deadline::in(5ms)), errc::timed_out));
    EXPECT_GT(done, 0u);
    EXPECT_LT(done, sent.size());
    const auto first_part = done;
    child writer{[&] {
        pair.second.close();
        CHILD_CHECK(pair.first.write_full(sent, done));
        return 0;
    }};
    pair.first.close();
    auto got = block(sent.size(), 0);
    std::size_t received_bytes = 0;
    EXPECT_TRUE(ok(pair.second.read_full(got, received_bytes, deadline::in(30s))));
    EXPECT_TRUE(got == sent);
    EXPECT_GE(received_bytes, first_part);
    EXPECT_EQ(writer.wait(), 0);
}

TEST(sys_unix, unix_trap08_a_short_write_is_reported_and_nothing_is_lost) {
    auto pair = must(open_unix_stream_pair());
    ASSERT_TRUE(ok(pair.first.set_send_buffer(4608)));
    const auto wrote = must(pair.first.write_some(block(1 << 20), deadline::immediate()));
    EXPECT_LT(wrote, std::size_t{1} << 20);
    std::size_t read = 0;
    auto buffer = block(65536);
    while (const auto n = pair.second.read_some(buffer, deadline::immediate())) read += *n;
    EXPECT_EQ(read, wrote);
}

TEST(sys_unix, unix_trap11_the_end_does_not_come_while_a_child_holds_a_copy) {
    auto pair = must(open_unix_stream_pair());
    child holder{[&] {
        for (;;) ::pause();
        return 0;
    }};
    pair.first.close();
    std::byte one;
    EXPECT_TRUE(fails_with(pair.second.read_some({&one, 1}, deadline::in(20ms)), errc::timed_out));
    holder.kill_and_reap();
    EXPECT_TRUE(fails_with(pair.second.read_some({&one, 1}), errc::end_of_stream));
}

TEST(sys_unix, unix_trap11_shutdown_ends_the_stream_whoever_holds_copies) {
    auto pair = must(open_unix_stream_pair());
    child holder{[&] {
        for (;;) ::pause();
        return 0;
    }};
    ASSERT_TRUE(ok(pair.first.shutdown(direction::send)));
    std::byte one;
    EXPECT_TRUE(fails_with(pair.second.read_some({&one, 1}), errc::end_of_stream));
}

TEST(sys_unix, unix_trap17_two_sides_that_only_write_end_at_their_deadline_and_can_go_on) {
    auto pair = must(open_unix_stream_pair());
    const auto big = block(4 << 20);
    child other{[&] {
        pair.first.close();
        std::size_t done = 0;
        const auto stuck = pair.second.write_full(big, done, deadline::in(50ms));
        CHILD_CHECK(!stuck && stuck.error().code() == errc::timed_out);
        auto in = block(big.size());
        std::size_t got = 0;
        CHILD_CHECK(pair.second.read_full(in, got, deadline::in(30s)));  // read, and both go on
        CHILD_CHECK(pair.second.write_full(big, done, deadline::in(30s)));
        return 0;
    }};
    pair.second.close();
    std::size_t done = 0;
    EXPECT_TRUE(ok(pair.first.write_full(big, done, deadline::in(30s))));
    auto in = block(big.size());
    std::size_t got = 0;
    EXPECT_TRUE(ok(pair.first.read_full(in, got, deadline::in(30s))));
    EXPECT_EQ(other.wait(), 0);
}

TEST(sys_unix, unix_G1_errors_keep_their_errno_and_name_the_socket) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("nobody"));
    const auto missing = connect_unix_stream(name);
    ASSERT_TRUE(fails_with(missing, errc::not_found, ENOENT));
    EXPECT_STREQ(missing.error().operation(), "connect");
    EXPECT_TRUE(missing.error().object().text().ends_with("nobody"));
    const auto abstract = connect_unix_stream(*unix_name::abstract("kith-nobody"));
    EXPECT_EQ(abstract.error().object().text(), "@kith-nobody");
}

TEST(sys_unix, unix_G4_descriptors_are_closed_on_exec_from_birth) {
    auto listener = must(listen_unix_seqpacket(unix_name{}));
    auto client = must(connect_unix_seqpacket(*local_name(listener)));
    auto server = must(listener.accept());
    auto pair = must(open_unix_datagram_pair());
    auto lone = must(open_unix_datagram());
    for (const int fd : {listener.native().get(), client.native().get(), server.native().get(),
                         pair.first.native().get(), pair.second.native().get(), lone.native().get()}) {
        EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    }
}

TEST(sys_unix, unix_G8_abstract_names_follow_the_network_namespace_and_paths_do_not) {
    const temp_dir dir;
    ::chmod(dir.dir().c_str(), 0777);
    auto abstract = must(listen_unix_stream(abstract_name("net")));
    const auto abstract_address = must(local_name(abstract));
    const auto path_address = *unix_name::path(dir.path("net"));
    auto path = must(listen_unix_stream(path_address, {.bind = {.mode = 0777}}));
    const int status = in_namespaces(CLONE_NEWNET, [&] {
        const auto hidden = connect_unix_stream(abstract_address);
        CHILD_CHECK(!hidden && hidden.error().code() == errc::peer_gone && hidden.error().os_error() == ECONNREFUSED);
        CHILD_CHECK(connect_unix_stream(path_address));
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

TEST(sys_unix, unix_G8_a_peer_of_another_pid_namespace_has_pid_0) {
    auto listener = must(listen_unix_stream(unix_name{}));
    const auto name = must(local_name(listener));
    const int status = in_namespaces(CLONE_NEWPID, [&] {
        // The child of the new namespace is its first process; the listener's process is not in it.
        child inside{[&] {
            auto stream = connect_unix_stream(name);
            CHILD_CHECK(stream && peer_of(*stream) && peer_of(*stream)->pid == 0);
            return 0;
        }};
        return inside.wait();
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

TEST(sys_unix, unix_G9_a_killed_process_leaves_the_path_and_nothing_else) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("left"));
    child server{[&] {
        auto listener = listen_unix_stream(name);
        CHILD_CHECK(listener);
        static_cast<void>(listener->accept());
        return 0;
    }};
    wait_until_in_syscall(server.pid(), SYS_ppoll);
    server.kill_and_reap();
    struct stat left{};
    EXPECT_EQ(::lstat(dir.path("left").c_str(), &left), 0);
    EXPECT_TRUE(fails_with(connect_unix_stream(name), errc::peer_gone, ECONNREFUSED));
}

TEST(sys_unix, unix_close_ends_the_wait_of_another_thread_in_accept) {
    auto listener = must(listen_unix_stream(unix_name{}));
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(listener.accept(), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    listener.close();
}

TEST(sys_unix, unix_a_stop_token_ends_a_receive) {
    auto pair = must(open_unix_seqpacket_pair());
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&](const std::stop_token& stop) {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::byte one;
        EXPECT_TRUE(fails_with(pair.first.receive({&one, 1}, {}, {deadline::never(), stop}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    waiter.request_stop();
}

TEST(sys_unix, unix_a_blocking_descriptor_from_elsewhere_keeps_deadlines_and_its_mode) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    unix_stream ours{must(kith::io_fd::adopt(kith::owned_fd{ends[0]}))};
    const kith::owned_fd theirs{ends[1]};
    std::byte one;
    EXPECT_TRUE(fails_with(ours.read_some({&one, 1}, deadline::in(10ms)), errc::timed_out));
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(ours.write_full(block(4 << 20), done, deadline::in(10ms)), errc::timed_out));
    EXPECT_EQ(::fcntl(ours.native().get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(sys_unix, unix_options_and_buffer_sizes) {
    auto pair = must(open_unix_stream_pair());
    ASSERT_TRUE(ok(pair.first.set_send_buffer(10000)));
    EXPECT_EQ(must(pair.first.send_buffer()), 20000u);  // the kernel doubles it
    ASSERT_TRUE(ok(pair.first.set_receive_buffer(10000)));
    EXPECT_EQ(must(pair.first.receive_buffer()), 20000u);
    EXPECT_TRUE(fails_with(pair.first.option(SOL_SOCKET, 9999), errc::unsupported, ENOPROTOOPT));
    EXPECT_EQ(must(pair.first.take_error()), 0);
    EXPECT_EQ(must(pair.first.unsent()), 0u);
    ASSERT_TRUE(ok(pair.first.write_some(bytes_of("x"))));
    EXPECT_GT(must(pair.first.unsent()), 0u);
}

TEST(sys_unix, unix_out_of_descriptors_is_limit_reached) {
    auto listener = must(listen_unix_stream(unix_name{}));
    const auto name = must(local_name(listener));
    child limited{[&] {
        const rlimit none{3, 3};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto refused = connect_unix_stream(name);
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        CHILD_CHECK(!open_unix_stream_pair());
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

TEST(sys_unix, unix_G4_close_between_two_short_waits_of_send_to_is_stopped) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("full"));
    auto full = must(bind_unix_datagram(name));
    auto sender = must(open_unix_datagram());
    const std::array<std::byte, 1> one{};
    while (sender.send_to(name, one, {}, deadline::immediate())) {
    }
    const closes_while_polling closing{sender};
    EXPECT_TRUE(fails_with(sender.send_to(name, one), errc::stopped, 0));
    EXPECT_FALSE(sender.is_open());
}

}  // namespace
