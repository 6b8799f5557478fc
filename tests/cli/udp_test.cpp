// The command on UDP: send and recv, and bad input.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <kith/sys/udp.hpp>
#include <nlohmann/json.hpp>

#include "support/command.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

// A port that was free a moment ago.
std::string free_port() {
    auto socket = kith::sys::bind_udp();
    return std::to_string(socket->local()->port());
}

TEST(cli_udp, udp_datagrams_keep_their_boundaries_and_name_the_sender) {
    const auto address = "udp:127.0.0.1:" + free_port();
    auto receiver = kith_waiting({"recv", "--json", "--count", "3", address});
    const auto sent = run({kith_command(), "send", "--lines", address}, "one\n\nthree\n");
    EXPECT_EQ(sent.status, 0) << sent.err;
    const auto received = receiver.wait();
    ASSERT_EQ(received.status, 0) << received.err;
    std::istringstream lines{received.out};
    for (const char* body : {"one", "", "three"}) {
        std::string line;
        ASSERT_TRUE(std::getline(lines, line));
        EXPECT_EQ(json::parse(line)["body"], body);
        EXPECT_TRUE(json::parse(line)["from"].get<std::string>().starts_with("udp:127.0.0.1:"));
    }
}

TEST(cli_udp, udp_bytes_arrive_exactly) {
    const auto address = "udp:127.0.0.1:" + free_port();
    std::string every_byte;
    for (int i = 0; i < 60000; ++i) every_byte += static_cast<char>(i);
    auto receiver = kith_waiting({"recv", address});
    EXPECT_EQ(run({kith_command(), "send", address}, every_byte).status, 0);
    EXPECT_TRUE(receiver.wait().out == every_byte);
}

TEST(cli_udp, udp_a_refusal_is_told) {
    const auto address = "udp:127.0.0.1:" + free_port();
    const auto refused = run({kith_command(), "send", address, "x"});
    EXPECT_EQ(refused.status, 4);
    EXPECT_NE(refused.err.find("nobody listens there"), std::string::npos) << refused.err;
    EXPECT_NE(refused.err.find("peer_gone (ECONNREFUSED)"), std::string::npos) << refused.err;
}

TEST(cli_udp, udp_bad_input_is_told_apart) {
    const auto failing = [](const std::vector<std::string>& words, int status, const std::string& code,
                            const std::string& input = {}) {
        std::vector<std::string> all{kith_command()};
        all.insert(all.end(), words.begin(), words.end());
        all.emplace_back("--json");
        const auto refused = run(all, input);
        EXPECT_EQ(refused.status, status) << refused.err;
        EXPECT_EQ(failure_in(refused.err).value("code", ""), code) << refused.err;
    };
    auto taken = kith::sys::bind_udp();
    const auto address = "udp:127.0.0.1:" + std::to_string(taken->local()->port());
    failing({"recv", address}, 1, "exists");
    failing({"send", address}, 1, "too_long", std::string(65508, 'x'));
    failing({"recv", "udp:127.0.0.1:" + free_port(), "--no-wait"}, 3, "would_block");
    failing({"recv", "udp:127.0.0.1:" + free_port(), "--timeout", "10ms"}, 124, "timed_out");
    failing({"recv", "udp:127.0.0.1:0"}, 2, "invalid");
    failing({"send", "udp:127.0.0.1:0", "x"}, 2, "invalid");
    failing({"recv", "udp:192.0.2.1:9"}, 1, "invalid");
    failing({"send", address, "x", "--priority", "3"}, 2, "unsupported");
    failing({"listen", address}, 2, "unsupported");
}

}  // namespace
