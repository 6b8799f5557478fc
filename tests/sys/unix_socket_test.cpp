// UNIX sockets: SEMANTICS U2 to U4 and U7, U12, U14: names, streams and their ends, and who the peer is.
#include <kith/observer.hpp>
#include <kith/sys/unix_listener.hpp>
#include <kith/sys/unix_socket.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

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

}  // namespace
