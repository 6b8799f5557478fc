// UNIX sockets: the rules for all mechanisms, and the classic traps of sockets.
#include <kith/sys/unix_listener.hpp>
#include <kith/sys/unix_socket.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <thread>

#include "support/child.hpp"
#include "support/closing.hpp"
#include "support/scope.hpp"
#include "sys/unix_sockets.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

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
