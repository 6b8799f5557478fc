// TCP: SEMANTICS T1-T7, the rules for all mechanisms and the traps of sockets. Ports are the kernel's choice, on the
// loopback interface; what touches limits or particular ports runs in a network namespace of its own.
#include <kith/observer.hpp>
#include <kith/sys/tcp.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <fstream>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/net.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using kith::text_of;
using namespace kith::sys;

struct connection {
    tcp_stream client;
    tcp_stream server;
};
connection connected() {
    auto listener = must(listen_tcp());
    auto client = must(connect_tcp(*listener.local()));
    auto server = must(listener.accept(deadline::in(20s)));
    return {std::move(client), std::move(server)};
}

std::string read_to_end(tcp_stream& stream) {
    std::string all;
    auto buffer = block(65536);
    for (;;) {
        const auto n = stream.read_some(buffer, deadline::in(20s));
        if (!n) return all + ":" + std::string{kith::name_of(n.error().code())};
        all += text_of(buffer).substr(0, *n);
    }
}

bool has_ipv6() { return listen_tcp(endpoint::loopback(0, ip_version::v6)).has_value(); }

TEST(sys_tcp, tcp_T1_port_0_gives_a_free_port_and_local_tells_it) {
    auto listener = must(listen_tcp(endpoint::loopback(0)));
    EXPECT_NE(must(listener.local()).port(), 0);
    auto client = must(connect_tcp(must(listener.local())));
    auto server = must(listener.accept());
    EXPECT_EQ(must(client.peer()), must(listener.local()));
    EXPECT_EQ(must(server.peer()), must(client.local()));
}

TEST(sys_tcp, tcp_T1_a_port_in_use_is_exists_and_reuse_does_not_steal_it) {
    auto listener = must(listen_tcp());
    EXPECT_TRUE(fails_with(listen_tcp(*listener.local()), errc::exists, EADDRINUSE));
    const auto refused = listen_tcp(*listener.local(), {.reuse_address = false});
    ASSERT_TRUE(fails_with(refused, errc::exists, EADDRINUSE));
    EXPECT_TRUE(refused.error().object().text().starts_with("127.0.0.1:"));
}

TEST(sys_tcp, tcp_T1_time_wait_keeps_the_port_unless_reuse_is_asked_for) {
    auto listener = must(listen_tcp());
    const auto where = must(listener.local());
    auto client = must(connect_tcp(where));
    auto server = must(listener.accept());
    server.close();  // closes first: TIME_WAIT is on the server's side
    EXPECT_EQ(read_to_end(client), ":end_of_stream");
    client.close();
    listener.close();
    EXPECT_TRUE(fails_with(listen_tcp(where, {.reuse_address = false}), errc::exists, EADDRINUSE));
    EXPECT_TRUE(ok(listen_tcp(where)));
}

TEST(sys_tcp, tcp_T1_ipv6_only_and_both_versions) {
    if (!has_ipv6()) GTEST_SKIP() << "no IPv6 here";
    auto only = must(listen_tcp(endpoint::any(0, ip_version::v6)));
    const auto port = must(only.local()).port();
    EXPECT_TRUE(ok(connect_tcp(endpoint::loopback(port, ip_version::v6))));
    EXPECT_TRUE(fails_with(connect_tcp(endpoint::loopback(port)), errc::peer_gone, ECONNREFUSED));
    auto both = must(listen_tcp(endpoint::any(0, ip_version::v6), {.only_ipv6 = false}));
    EXPECT_TRUE(ok(connect_tcp(endpoint::loopback(must(both.local()).port()))));
}

TEST(sys_tcp, tcp_T1_all_results_of_a_name_are_tried) {
    auto listener = must(listen_tcp());
    auto dead = must(listen_tcp());
    const auto nobody = must(dead.local());
    dead.close();
    const std::array<endpoint, 3> candidates{nobody, *listener.local(), nobody};
    EXPECT_TRUE(ok(connect_tcp(candidates)));
    const std::array<endpoint, 2> none{nobody, nobody};
    EXPECT_TRUE(fails_with(connect_tcp(none), errc::peer_gone, ECONNREFUSED));
    EXPECT_TRUE(fails_with(connect_tcp(std::span<const endpoint>{}), errc::invalid, EDESTADDRREQ));
}

TEST(sys_tcp, tcp_T1_numeric_hosts_and_services_are_resolved_without_asking) {
    auto list = must(resolve("127.0.0.1", "80", {.numeric_only = true}));
    ASSERT_EQ(list.view().size(), 1u);
    EXPECT_EQ(list.view()[0], endpoint::loopback(80));
    list = must(resolve("::1", "443", {.numeric_only = true}));
    ASSERT_EQ(list.view().size(), 1u);
    EXPECT_EQ(list.view()[0], endpoint::loopback(443, ip_version::v6));
    EXPECT_TRUE(fails_with(resolve("localhost", "80", {.numeric_only = true}), errc::not_found, 0));
    EXPECT_TRUE(fails_with(resolve("127.0.0.1", "70000"), errc::invalid, 0));
    EXPECT_TRUE(fails_with(resolve("127.0.0.1", ""), errc::invalid, 0));
    EXPECT_TRUE(fails_with(resolve("127.0.0.1", "99999999999999999999"), errc::invalid, 0));
    EXPECT_TRUE(fails_with(resolve("127.0.0.1", "no-such-service"), errc::invalid, 0));
    EXPECT_TRUE(fails_with(resolve(std::string(2000, 'h'), "80"), errc::too_long, ENAMETOOLONG));
    EXPECT_EQ(must(resolve("", "80", {.ipv6 = false})).view()[0], endpoint::loopback(80));
}

TEST(sys_tcp, tcp_T1_endpoints_read_and_print) {
    EXPECT_EQ(must(endpoint::numeric("127.0.0.1", 8080)).text().view(), "127.0.0.1:8080");
    EXPECT_EQ(must(endpoint::numeric("::1", 80)).text().view(), "[::1]:80");
    EXPECT_EQ(must(endpoint::numeric("fe80::1%7", 80)).text().view(), "[fe80::1%7]:80");
    EXPECT_EQ(must(endpoint::numeric("fe80::1%lo", 80)).scope(), 1u);
    EXPECT_EQ(must(endpoint::numeric("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295", 65535)).text().view(),
              "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
    EXPECT_EQ(endpoint::any(1).text().view(), "0.0.0.0:1");
    EXPECT_EQ(endpoint{}.text().view(), "127.0.0.1:0");
    EXPECT_EQ(endpoint::loopback(1).with_port(2).port(), 2);
    for (const char* bad : {"", "localhost", "1.2.3", "1.2.3.4.5", "::1::", "127.0.0.1%lo", "[::1]"})
        EXPECT_TRUE(fails_with(endpoint::numeric(bad, 1), errc::invalid, EINVAL)) << bad;
    EXPECT_TRUE(fails_with(endpoint::numeric("fe80::1%no-such-if", 1), errc::not_found, ENODEV));
    sockaddr other{};
    other.sa_family = AF_UNIX;
    EXPECT_TRUE(fails_with(endpoint::from_sockaddr(&other, sizeof other), errc::unsupported, EAFNOSUPPORT));
    EXPECT_TRUE(fails_with(endpoint::from_sockaddr(&other, 1), errc::invalid, EINVAL));
}

TEST(sys_tcp, tcp_T1_the_backlog_is_capped_by_the_system) {
    const int status = in_namespaces(CLONE_NEWNET, [] {
        CHILD_CHECK(bring_loopback_up());
        std::ofstream{"/proc/sys/net/core/somaxconn"} << 1;
        auto listener = listen_tcp({}, {.backlog = 1000});
        CHILD_CHECK(listener);
        std::vector<tcp_stream> clients;
        for (int i = 0; i < 2; ++i) {  // one more than the cap fits
            auto client = connect_tcp(*listener->local(), deadline::in(20s));
            CHILD_CHECK(client);
            clients.push_back(std::move(*client));
        }
        const auto waiting = connect_tcp(*listener->local(), deadline::in(30ms));
        CHILD_CHECK(!waiting && waiting.error().code() == errc::timed_out);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

TEST(sys_tcp, tcp_T2_nobody_there_is_peer_gone_with_ECONNREFUSED) {
    auto listener = must(listen_tcp());
    const auto where = must(listener.local());
    listener.close();
    const auto refused = connect_tcp(where);
    ASSERT_TRUE(fails_with(refused, errc::peer_gone, ECONNREFUSED));
    EXPECT_EQ(refused.error().object().text(), where.text().view());
}

TEST(sys_tcp, tcp_T2_no_way_there_is_peer_gone_with_its_errno) {
    const int status = in_namespaces(CLONE_NEWNET, [] {
        CHILD_CHECK(bring_loopback_up());
        const auto refused = connect_tcp(endpoint::ipv4({192, 0, 2, 1}, 80));
        CHILD_CHECK(!refused && refused.error().code() == errc::peer_gone && refused.error().os_error() == ENETUNREACH);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

// A listener whose queue is full: the kernel drops further SYNs, and a connect waits.
struct full_listener {
    tcp_listener listener = must(listen_tcp({}, {.backlog = 0}));
    endpoint where = must(listener.local());
    tcp_stream first = must(connect_tcp(where, deadline::in(20s)));
};

TEST(sys_tcp, tcp_T2_a_host_that_does_not_answer_ends_at_our_deadline) {
    full_listener full;
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(connect_tcp(full.where, deadline::in(50ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 50ms);
    EXPECT_TRUE(fails_with(connect_tcp(full.where, deadline::immediate()), errc::would_block));
    const std::array<endpoint, 2> twice{full.where, full.where};
    EXPECT_TRUE(fails_with(connect_tcp(twice, deadline::in(20ms)), errc::timed_out));
}

TEST(sys_tcp, tcp_G1_a_stop_request_ends_a_connect_that_waits) {
    full_listener full;
    std::stop_source source;
    std::atomic<pid_t> tid{0};
    const std::jthread connecting{[&] {
        tid = ::gettid();
        const auto token = source.get_token();
        EXPECT_TRUE(fails_with(connect_tcp(full.where, {deadline::never(), token}), errc::stopped, 0));
        EXPECT_TRUE(fails_with(connect_tcp(full.where, {deadline::never(), token}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    source.request_stop();
}

TEST(sys_tcp, tcp_G1_a_stop_request_ends_a_connect_that_has_no_descriptor_for_a_bell) {
    full_listener full;
    child connecting{[&] {
        const int next = ::dup(0);
        ::close(next);
        const auto only_the_socket = static_cast<rlim_t>(next) + 1;
        const rlimit few{only_the_socket, only_the_socket};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &few) == 0);
        std::stop_source source;
        const auto token = source.get_token();
        std::atomic<bool> waits{false};
        std::jthread stopper{[&] {
            while (!waits) std::this_thread::yield();
            source.request_stop();
        }};
        // The wait says that it looks at intervals: only then is it stopped.
        kith::set_observer(
            [](const kith::event& one, void* flag) noexcept {
                if (one.kind == kith::event_kind::polling) *static_cast<std::atomic<bool>*>(flag) = true;
            },
            &waits);
        const auto stream = connect_tcp(full.where, {deadline::never(), token});
        kith::set_observer(nullptr);
        waits = true;
        CHILD_CHECK(!stream && stream.error().code() == errc::stopped);
        return 0;
    }};
    EXPECT_EQ(connecting.wait(), 0);
}

TEST(sys_tcp, tcp_G2_a_connect_interrupted_by_signals_goes_on_and_succeeds) {
    full_listener full;
    child client{[&] {
        const signal_storm storm;
        auto stream = connect_tcp(full.where, deadline::in(60s));
        CHILD_CHECK(stream && signal_storm::count() > 0);
        CHILD_CHECK(stream->write_some(bytes_of("in")));
        return 0;
    }};
    wait_until_in_syscall(client.pid(), SYS_ppoll);
    ASSERT_TRUE(ok(full.listener.accept()));
    auto second = must(full.listener.accept(deadline::in(60s)));  // when the SYN is sent again, after a second
    EXPECT_EQ(read_to_end(second), "in:end_of_stream");
    EXPECT_EQ(client.wait(), 0);
}

TEST(sys_tcp, tcp_G2_a_signal_is_reported_if_asked_for) {
    full_listener full;
    const signal_storm storm;
    const kith::wait_policy reporting{deadline::never(), kith::on_signal::report};
    EXPECT_TRUE(fails_with(connect_tcp(full.where, reporting), errc::stopped, EINTR));
    std::byte one;
    EXPECT_TRUE(fails_with(full.first.read_some({&one, 1}, reporting), errc::stopped, EINTR));
    auto idle = must(listen_tcp());
    EXPECT_TRUE(fails_with(idle.accept(reporting), errc::stopped, EINTR));
}

TEST(sys_tcp, tcp_trap07_signals_break_no_wait) {
    auto listener = must(listen_tcp());
    auto pair = connected();
    const signal_storm storm;
    const auto before = deadline::clock::now();
    std::byte one;
    EXPECT_TRUE(fails_with(listener.accept(deadline::in(30ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(pair.client.read_some({&one, 1}, deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 60ms);
}

TEST(sys_tcp, tcp_T2_a_connection_with_itself_is_undone) {
    const int status = in_namespaces(CLONE_NEWNET, [] {
        CHILD_CHECK(bring_loopback_up());
        // The only local port there is: a connect to it gets it as its source, too.
        std::ofstream{"/proc/sys/net/ipv4/ip_local_port_range"} << "40001 40001";
        const auto refused = connect_tcp(endpoint::loopback(40001), deadline::in(20s));
        CHILD_CHECK(!refused && refused.error().code() == errc::peer_gone &&
                    refused.error().os_error() == ECONNREFUSED);
        CHILD_CHECK(std::string_view{refused.error().operation()} == "connect(to itself)");
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

TEST(sys_tcp, tcp_T3_out_of_descriptors_accept_backs_off_and_the_client_stays) {
    static std::atomic<int> retried;
    retried = 0;
    auto listener = must(listen_tcp());
    auto client = must(connect_tcp(*listener.local()));
    child server{[&] {
        kith::set_observer([](const kith::event& what, void*) noexcept {
            if (what.kind == kith::event_kind::retried && what.os_error == EMFILE) ++retried;
        });
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        const rlimit none{3, limit.rlim_max};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto before = deadline::clock::now();
        const auto refused = listener.accept();
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        CHILD_CHECK(deadline::clock::now() - before >= 50ms && retried == 1);
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHILD_CHECK(listener.accept(deadline::immediate()));
        return 0;
    }};
    EXPECT_EQ(server.wait(), 0);
}

TEST(sys_tcp, tcp_T3_clients_that_gave_up_are_passed_over_and_not_without_end) {
    static std::atomic<int> retried;
    retried = 0;
    child server{[] {
        auto listener = listen_tcp();
        CHILD_CHECK(listener);
        kith::set_observer([](const kith::event& what, void*) noexcept {
            if (what.kind == kith::event_kind::retried && what.os_error == ECONNABORTED) ++retried;
        });
        if (!deny({{.number = SYS_accept4, .os_error = ECONNABORTED}})) return 77;
        const auto refused = listener->accept();
        CHILD_CHECK(!refused && refused.error().code() == errc::peer_gone &&
                    refused.error().os_error() == ECONNABORTED);
        CHILD_CHECK(retried == 1000);
        return 0;
    }};
    const int status = server.wait();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
}

TEST(sys_tcp, tcp_T3_a_client_that_vanished_before_accept_does_not_make_it_wait) {
    auto listener = must(listen_tcp());
    auto client = must(connect_tcp(*listener.local()));
    client.abort();
    auto server = listener.accept(deadline::in(100ms));
    if (server) {
        std::byte one;
        EXPECT_TRUE(fails_with(server->read_some({&one, 1}), errc::peer_gone, ECONNRESET));
    } else {
        EXPECT_TRUE(fails_with(server, errc::timed_out));
    }
    EXPECT_TRUE(fails_with(listener.accept(deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_tcp, tcp_T3_accepted_sockets_are_non_blocking_although_linux_does_not_hand_that_on) {
    auto pair = connected();
    EXPECT_NE(::fcntl(pair.server.native().get(), F_GETFL) & O_NONBLOCK, 0);
    std::byte one;
    EXPECT_TRUE(fails_with(pair.server.read_some({&one, 1}, deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_tcp, tcp_T4_a_close_is_the_end_and_a_reset_is_peer_gone) {
    auto orderly = connected();
    ASSERT_TRUE(ok(orderly.server.write_some(bytes_of("bye"))));
    orderly.server.close();
    EXPECT_EQ(read_to_end(orderly.client), "bye:end_of_stream");
    auto reset = connected();
    reset.server.abort();
    std::byte one;
    EXPECT_TRUE(fails_with(reset.client.read_some({&one, 1}, deadline::in(20s)), errc::peer_gone, ECONNRESET));
    EXPECT_TRUE(fails_with(reset.client.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
}

TEST(sys_tcp, tcp_T4_a_close_with_our_data_unread_resets) {
    auto pair = connected();
    ASSERT_TRUE(ok(pair.client.write_some(bytes_of("never read"))));
    ASSERT_TRUE(ok(pair.server.wait_for(POLLIN, deadline::in(20s), "test")));
    pair.server.close();
    std::byte one;
    EXPECT_TRUE(fails_with(pair.client.read_some({&one, 1}, deadline::in(20s)), errc::peer_gone, ECONNRESET));
    EXPECT_TRUE(fails_with(pair.client.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
    EXPECT_TRUE(fails_with(pair.client.peer(), errc::peer_gone, ENOTCONN));
}

TEST(sys_tcp, tcp_T5_half_close_lets_the_peer_answer) {
    auto pair = connected();
    ASSERT_TRUE(ok(pair.client.write_some(bytes_of("request"))));
    ASSERT_TRUE(ok(pair.client.shutdown(direction::send)));
    EXPECT_EQ(read_to_end(pair.server), "request:end_of_stream");
    ASSERT_TRUE(ok(pair.server.write_some(bytes_of("answer"))));
    pair.server.close();
    EXPECT_EQ(read_to_end(pair.client), "answer:end_of_stream");
    EXPECT_TRUE(fails_with(pair.client.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
}

TEST(sys_tcp, tcp_T5_a_write_that_succeeded_was_not_necessarily_received) {
    auto pair = connected();
    ASSERT_TRUE(ok(pair.client.write_some(bytes_of("x"))));
    const auto unread = pair.server.queued();
    ASSERT_TRUE(ok(pair.server.wait_for(POLLIN, deadline::in(20s), "test")));
    EXPECT_TRUE(ok(unread));
    EXPECT_EQ(must(pair.server.queued()), 1u);  // acknowledged by the kernel, read by nobody
}

TEST(sys_tcp, tcp_T6_the_options_reach_the_kernel) {
    auto pair = connected();
    auto& stream = pair.client;
    const auto value = [&](int level, int name) { return must(stream.option(level, name)); };
    EXPECT_EQ(value(IPPROTO_TCP, TCP_NODELAY), 0);
    ASSERT_TRUE(ok(stream.set_no_delay(true)));
    EXPECT_EQ(value(IPPROTO_TCP, TCP_NODELAY), 1);
    ASSERT_TRUE(ok(stream.set_quick_ack(false)));
    EXPECT_EQ(value(IPPROTO_TCP, TCP_QUICKACK), 0);
    ASSERT_TRUE(ok(stream.set_quick_ack(true)));
    EXPECT_EQ(value(IPPROTO_TCP, TCP_QUICKACK), 1);
    ASSERT_TRUE(ok(stream.set_keep_alive({.idle = 11s, .interval = 3s, .probes = 4})));
    EXPECT_EQ(value(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPIDLE), 11);
    EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPINTVL), 3);
    EXPECT_EQ(value(IPPROTO_TCP, TCP_KEEPCNT), 4);
    ASSERT_TRUE(ok(stream.set_keep_alive(false)));
    EXPECT_EQ(value(SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_TRUE(fails_with(stream.set_keep_alive({.probes = 1000}), errc::invalid, EINVAL));
    ASSERT_TRUE(ok(stream.set_user_timeout(1500ms)));
    EXPECT_EQ(value(IPPROTO_TCP, TCP_USER_TIMEOUT), 1500);
}

TEST(sys_tcp, tcp_T6_a_cork_and_more_hold_small_writes_back) {
    auto pair = connected();
    ASSERT_TRUE(ok(pair.client.set_cork(true)));
    ASSERT_TRUE(ok(pair.client.write_some(bytes_of("a"))));
    EXPECT_EQ(must(pair.server.queued()), 0u);
    ASSERT_TRUE(ok(pair.client.set_cork(false)));
    ASSERT_TRUE(ok(pair.server.wait_for(POLLIN, deadline::in(20s), "test")));
    auto more = connected();
    ASSERT_TRUE(ok(more.client.write_more(bytes_of("a"))));
    EXPECT_EQ(must(more.server.queued()), 0u);
    ASSERT_TRUE(ok(more.client.write_some(bytes_of("b"))));
    ASSERT_TRUE(ok(more.server.wait_for(POLLIN, deadline::in(20s), "test")));
    EXPECT_EQ(must(more.server.queued()), 2u);
}

TEST(sys_tcp, tcp_T6_a_peer_that_stops_answering_is_peer_gone_with_ETIMEDOUT) {
    const int status = in_namespaces(CLONE_NEWNET, [] {
        CHILD_CHECK(bring_loopback_up());
        auto listener = listen_tcp();
        CHILD_CHECK(listener);
        auto client = connect_tcp(*listener->local());
        CHILD_CHECK(client);
        auto server = listener->accept();
        CHILD_CHECK(server && client->set_user_timeout(50ms));
        // A full receiver that never reads: bytes stay unacknowledged until the kernel gives up.
        CHILD_CHECK(server->set_receive_buffer(2048));
        std::size_t done = 0;
        const auto big = block(16 << 20);
        const auto given_up = client->write_full(big, done, deadline::in(60s));
        CHILD_CHECK(!given_up && given_up.error().code() == errc::peer_gone &&
                    given_up.error().os_error() == ETIMEDOUT);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

TEST(sys_tcp, tcp_T7_there_are_no_boundaries) {
    auto pair = connected();
    for (const char* part : {"one", "two", "three"}) ASSERT_TRUE(ok(pair.client.write_some(bytes_of(part))));
    pair.client.close();
    EXPECT_EQ(read_to_end(pair.server), "onetwothree:end_of_stream");
}

TEST(sys_tcp, tcp_T7_by_default_only_this_machine_gets_in) {
    auto listener = must(listen_tcp());
    EXPECT_EQ(must(listener.local()).with_port(0), endpoint::loopback(0));
    EXPECT_EQ(endpoint{}, endpoint::loopback(0));
}

TEST(sys_tcp, tcp_G1_low_ports_are_not_permitted_and_foreign_addresses_are_invalid) {
    EXPECT_TRUE(fails_with(listen_tcp(endpoint::ipv4({192, 0, 2, 1}, 0)), errc::invalid, EADDRNOTAVAIL));
    NEEDS_ROOT();
    EXPECT_EQ(0, as_nobody([] {
                  int first_free = 0;
                  std::ifstream{"/proc/sys/net/ipv4/ip_unprivileged_port_start"} >> first_free;
                  if (first_free == 0) return 0;
                  const auto refused = listen_tcp(endpoint::loopback(1));
                  CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted &&
                              refused.error().os_error() == EACCES);
                  return 0;
              }));
}

TEST(sys_tcp, tcp_G4_descriptors_are_closed_on_exec_from_birth) {
    auto listener = must(listen_tcp());
    auto client = must(connect_tcp(*listener.local()));
    auto server = must(listener.accept());
    for (const int fd : {listener.native().get(), client.native().get(), server.native().get()})
        EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST(sys_tcp, tcp_G5_a_large_transfer_arrives_whole_although_writes_are_short) {
    auto pair = connected();
    const auto sent = block(8 << 20, 'q');
    child writer{[&] {
        pair.server.close();
        std::size_t done = 0;
        CHILD_CHECK(pair.client.write_full(sent, done, deadline::in(60s)));
        return 0;
    }};
    pair.client.close();
    auto got = block(sent.size(), 0);
    std::size_t done = 0;
    ASSERT_TRUE(ok(pair.server.read_full(got, done, deadline::in(60s))));
    EXPECT_TRUE(got == sent);
    EXPECT_EQ(writer.wait(), 0);
}

TEST(sys_tcp, tcp_trap08_a_short_write_is_reported) {
    auto pair = connected();
    const auto big = block(64 << 20);
    const auto first = must(pair.client.write_some(big, deadline::immediate()));
    EXPECT_LT(first, big.size());
    std::size_t done = first;
    EXPECT_TRUE(fails_with(pair.client.write_full(big, done, deadline::in(20ms)), errc::timed_out));
    EXPECT_LT(done, big.size());
}

TEST(sys_tcp, tcp_G6_a_write_to_a_peer_that_is_gone_raises_no_signal) {
    auto pair = connected();
    pair.server.abort();
    std::byte one;
    EXPECT_TRUE(fails_with(pair.client.read_some({&one, 1}, deadline::in(20s)), errc::peer_gone, ECONNRESET));
    EXPECT_TRUE(fails_with(pair.client.write_some(bytes_of("x")), errc::peer_gone, EPIPE));
    EXPECT_TRUE(fails_with(pair.client.write_more(bytes_of("x")), errc::peer_gone, EPIPE));
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST(sys_tcp, tcp_trap17_two_sides_that_only_write_end_at_their_deadline) {
    auto pair = connected();
    const auto big = block(64 << 20);
    child other{[&] {
        std::size_t done = 0;
        const auto stuck = pair.server.write_full(big, done, deadline::in(50ms));
        CHILD_CHECK(!stuck && stuck.error().code() == errc::timed_out);
        return 0;
    }};
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(pair.client.write_full(big, done, deadline::in(50ms)), errc::timed_out));
    EXPECT_EQ(other.wait(), 0);
}

TEST(sys_tcp, tcp_G8_ports_belong_to_the_network_namespace) {
    auto listener = must(listen_tcp());
    const auto where = must(listener.local());
    const int status = in_namespaces(CLONE_NEWNET, [&] {
        CHILD_CHECK(bring_loopback_up());
        const auto hidden = connect_tcp(where);
        CHILD_CHECK(!hidden && hidden.error().os_error() == ECONNREFUSED);
        CHILD_CHECK(listen_tcp(where));  // and the port is free there
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "this kernel gives no namespaces";
    EXPECT_EQ(status, 0);
}

TEST(sys_tcp, tcp_close_ends_the_wait_of_another_thread) {
    auto pair = connected();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        std::byte one;
        EXPECT_TRUE(fails_with(pair.client.read_some({&one, 1}), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    pair.client.close();
}

TEST(sys_tcp, tcp_T1_a_name_is_not_asked_about_by_who_must_not_wait) {
    EXPECT_TRUE(fails_with(resolve("localhost", "80", {}, deadline::immediate()), errc::would_block, 0));
    EXPECT_TRUE(fails_with(resolve("localhost", "80", {}, deadline::in(-1s)), errc::timed_out, 0));
    std::stop_source source;
    source.request_stop();
    const auto token = source.get_token();
    EXPECT_TRUE(fails_with(resolve("localhost", "80", {}, {deadline::never(), token}), errc::stopped, 0));
    // Numbers are no question.
    EXPECT_EQ(must(resolve("127.0.0.1", "80", {}, deadline::immediate())).view()[0], endpoint::loopback(80));
    EXPECT_EQ(must(resolve("::1", "80", {}, deadline::immediate())).view()[0], endpoint::loopback(80, ip_version::v6));
    EXPECT_TRUE(ok(resolve("", "80", {}, deadline::immediate())));
}

TEST(sys_tcp, tcp_T1_an_immediate_resolve_of_a_name_opens_no_socket_and_no_file) {
    child asking{[] {
        rlimit none{.rlim_cur = 0, .rlim_max = 0};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        CHILD_CHECK(fails_with(resolve("no-such-host.invalid", "80", {}, deadline::immediate()), errc::would_block));
        return 0;
    }};
    EXPECT_EQ(asking.wait(), 0);
}

}  // namespace
