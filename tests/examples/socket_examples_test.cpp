// The socket examples do what their first lines say.
#include <sys/syscall.h>
#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/background.hpp"
#include "support/paths.hpp"

namespace {

using namespace kith_test;

std::string example(const std::string& name) { return binary_dir() + "/examples/" + name; }

const std::string large(3 << 20, 'e');

void echo_through(background& server, const std::string& address) {
    std::vector<std::unique_ptr<background>> clients;
    for (int i = 0; i < 3; ++i)
        clients.push_back(std::make_unique<background>(std::vector<std::string>{example("echo_client"), address},
                                                       std::to_string(i) + large));
    for (int i = 0; i < 3; ++i) {
        const auto got = clients.at(static_cast<std::size_t>(i))->wait();
        EXPECT_EQ(got.status, 0) << got.err;
        EXPECT_TRUE(got.out == std::to_string(i) + large);
    }
    const auto ended = server.wait();
    EXPECT_EQ(ended.status, 0) << ended.err;
}

TEST(examples, echo_over_a_unix_socket_with_several_clients) {
    const temp_dir dir;
    background server{{example("echo_server"), dir.path("echo"), "3"}};
    wait_until_in_syscall(server.pid(), SYS_ppoll);
    echo_through(server, dir.path("echo"));
}

TEST(examples, echo_over_tcp_with_several_clients) {
    background server{{example("echo_server"), "127.0.0.1:0", "3"}};
    wait_until_in_syscall(server.pid(), SYS_ppoll);
    const auto line = server.out();
    ASSERT_TRUE(line.starts_with("127.0.0.1:")) << line;
    echo_through(server, line.substr(0, line.find('\n')));
}

TEST(examples, a_descriptor_is_passed_to_a_stranger) {
    const temp_dir dir;
    std::ofstream{dir.path("file")} << "what only the giver could open";
    background taker{{example("pass_descriptor"), "take", dir.path("s")}};
    wait_until_in_syscall(taker.pid(), SYS_ppoll);
    background giver{{example("pass_descriptor"), "give", dir.path("s"), dir.path("file")}};
    const auto got = taker.wait();
    EXPECT_EQ(got.status, 0) << got.err;
    EXPECT_EQ(got.out, "what only the giver could open");
    EXPECT_EQ(got.err, dir.path("file") + " from process " + std::to_string(giver.pid()) + "\n");
    EXPECT_EQ(giver.wait().status, 0);
}

TEST(examples, socket_examples_say_what_is_wrong) {
    const temp_dir dir;
    const auto nobody = run({example("echo_client"), dir.path("nobody")});
    EXPECT_EQ(nobody.status, 1);
    EXPECT_NE(nobody.err.find("not_found"), std::string::npos) << nobody.err;
    EXPECT_EQ(run({example("echo_client")}).status, 2);
    EXPECT_EQ(run({example("echo_server"), "127.0.0.1"}).status, 2);
    EXPECT_EQ(run({example("pass_descriptor"), "give"}).status, 2);
    EXPECT_EQ(run({example("pass_descriptor"), "give", dir.path("s"), dir.path("absent")}).status, 1);
}

}  // namespace
