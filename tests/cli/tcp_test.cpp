// The command on TCP: listen, connect, send, recv, serve and call, and bad input. The kernel chooses the ports.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <fstream>
#include <kith/sys/tcp.hpp>
#include <kith/sys/udp.hpp>
#include <nlohmann/json.hpp>

#include "support/command.hpp"
#include "support/net.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

// The address in the line that tells which port the kernel chose.
std::string address_told_by(const background& server) {
    const auto line = server.err_with("\n");
    const auto at = line.find("tcp:");
    EXPECT_NE(at, std::string::npos) << line;
    return line.substr(at, line.find('\n', at) - at);
}

// A port that was free a moment ago.
std::string free_port() {
    auto listener = kith::sys::listen_tcp();
    return std::to_string(listener->local()->port());
}

TEST(cli_tcp, tcp_G3_a_name_is_asked_for_only_until_the_time_is_up) {
    const temp_dir dir;
    std::ofstream{dir.path("resolv.conf")} << "nameserver 127.0.0.1\n";
    const int status = in_namespaces(CLONE_NEWNET | CLONE_NEWNS, [&] {
        if (!bring_loopback_up()) return 77;
        if (::mount(dir.path("resolv.conf").c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0) return 77;
        // A name server that never answers.
        const auto silent = kith::sys::bind_udp(kith::sys::endpoint::loopback(53));
        CHILD_CHECK(silent);
        const auto late = run({kith_command(), "send", "--timeout", "50ms", "tcp:host.example:9", "text"});
        CHILD_CHECK(late.status == 124);
        const auto now = run({kith_command(), "send", "--no-wait", "udp:host.example:9", "text"});
        CHILD_CHECK(now.status == 3);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here, or no resolv.conf";
    EXPECT_EQ(status, 0);
}

TEST(cli_tcp, tcp_listen_and_connect_half_close_both_ways) {
    background listener{{kith_command(), "listen", "tcp:127.0.0.1:0"}, "from the listener"};
    const auto address = address_told_by(listener);
    const auto client = run({kith_command(), "connect", address}, "from the client");
    EXPECT_EQ(client.status, 0) << client.err;
    EXPECT_EQ(client.out, "from the listener");
    const auto served = listener.wait();
    EXPECT_EQ(served.status, 0) << served.err;
    EXPECT_EQ(served.out, "from the client");
}

TEST(cli_tcp, tcp_serve_and_call) {
    background server{{kith_command(), "serve", "tcp:127.0.0.1:0", "--count", "2", "--", "tr", "a-z", "A-Z"}};
    const auto address = address_told_by(server);
    EXPECT_EQ(run({kith_command(), "call", address, "shout"}).out, "SHOUT");
    EXPECT_EQ(run({kith_command(), "call", address}, std::string(200000, 'q')).out, std::string(200000, 'Q'));
    EXPECT_EQ(server.wait().status, 0);
}

TEST(cli_tcp, tcp_a_request_that_is_not_answered_is_peer_gone) {
    background server{{kith_command(), "serve", "tcp:127.0.0.1:0", "--count", "1", "--max-size", "3", "--", "cat"}};
    const auto address = address_told_by(server);
    const auto refused = run({kith_command(), "call", "--json", address, "too long"});
    EXPECT_EQ(refused.status, 4) << refused.err;
    EXPECT_EQ(json::parse(refused.err)["code"], "peer_gone");
    const auto told = server.wait();
    EXPECT_NE(told.err.find("too_long"), std::string::npos) << told.err;
}

TEST(cli_tcp, tcp_send_and_recv_bytes) {
    const auto address = "tcp:127.0.0.1:" + free_port();
    background receiver{{kith_command(), "recv", address}};
    wait_until_in_syscall(receiver.pid(), SYS_ppoll);
    const auto sent = run({kith_command(), "send", "--json", address}, std::string("a\0b", 3));
    EXPECT_EQ(sent.status, 0) << sent.err;
    EXPECT_EQ(json::parse(sent.out)["bytes"], 3);
    EXPECT_EQ(receiver.wait().out, std::string("a\0b", 3));
}

TEST(cli_tcp, tcp_ipv6) {
    if (!kith::sys::listen_tcp(kith::sys::endpoint::loopback(0, kith::sys::ip_version::v6)))
        GTEST_SKIP() << "no IPv6 here";
    background listener{{kith_command(), "listen", "tcp:[::1]:0"}, "six"};
    const auto address = address_told_by(listener);
    EXPECT_TRUE(address.starts_with("tcp:[::1]:")) << address;
    EXPECT_EQ(run({kith_command(), "connect", address}).out, "six");
}

TEST(cli_tcp, tcp_bad_input_is_told_apart) {
    const auto failing = [](const std::vector<std::string>& words, int status, const std::string& code) {
        std::vector<std::string> all{kith_command()};
        all.insert(all.end(), words.begin(), words.end());
        all.emplace_back("--json");
        const auto refused = run(all);
        EXPECT_EQ(refused.status, status) << refused.err;
        const auto failure = failure_in(refused.err);
        EXPECT_EQ(failure.value("code", ""), code) << refused.err;
        return failure.value("message", "");
    };
    auto taken = kith::sys::listen_tcp();
    const auto port = std::to_string(taken->local()->port());
    EXPECT_NE(failing({"listen", "tcp:127.0.0.1:" + port}, 1, "exists").find("port " + port + " is in use"),
              std::string::npos);
    failing({"send", "tcp:127.0.0.1:" + free_port(), "x"}, 4, "peer_gone");
    failing({"send", "tcp:127.0.0.1:0", "x"}, 2, "invalid");
    failing({"recv", "tcp:127.0.0.1:0"}, 2, "invalid");
    failing({"listen", "tcp:192.0.2.1:0"}, 1, "invalid");
    failing({"listen", "tcp:127.0.0.1:0", "--mode", "600"}, 2, "unsupported");
    failing({"peer", "tcp:127.0.0.1:" + port}, 2, "unsupported");
    failing({"listen", "tcp:127.0.0.1:0", "--timeout", "10ms"}, 124, "timed_out");
    failing({"send", "tcp:127.0.0.1:99999", "x"}, 2, "bad_address");
    failing({"rm", "tcp:127.0.0.1:" + port}, 2, "unsupported");
}

TEST(cli_tcp, tcp_a_refused_connection_is_told_with_the_next_step) {
    const auto address = "tcp:127.0.0.1:" + free_port();
    const auto refused = run({kith_command(), "connect", address});
    EXPECT_EQ(refused.status, 4);
    EXPECT_EQ(refused.err, "kith: cannot connect to '" + address +
                               "': nobody listens there\n"
                               "  try    kith listen " +
                               address +
                               "   in another terminal\n"
                               "  more   peer_gone (ECONNREFUSED); kith-connect(1)\n");
}

}  // namespace
