// kith fd send and kith fd recv: descriptors of files and pipes, and sealed copies in memory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <fstream>
#include <kith/sys/unix_listener.hpp>
#include <nlohmann/json.hpp>

#include "support/command.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

std::string content_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

TEST(cli_fd_passing, unix_a_file_is_passed_as_a_descriptor_over_every_kind) {
    const temp_dir dir;
    std::ofstream{dir.path("in")} << "the content";
    for (const std::string type : {"stream", "seqpacket", "dgram"}) {
        const auto address = "unix:@" + unique_name(type) + "?type=" + type;
        auto receiver = kith_waiting({"fd", "recv", address});
        const auto sent = run({kith_command(), "fd", "send", address, dir.path("in")});
        EXPECT_EQ(sent.status, 0) << sent.err;
        const auto received = receiver.wait();
        EXPECT_EQ(received.status, 0) << received.err;
        EXPECT_EQ(received.out, "the content");
    }
}

TEST(cli_fd_passing, unix_json_holds_what_the_descriptor_holds) {
    const temp_dir dir;
    std::ofstream{dir.path("in")} << "the content";
    const auto address = "unix:@" + unique_name("json");
    auto receiver = kith_waiting({"fd", "recv", "--json", address});
    EXPECT_EQ(run({kith_command(), "fd", "send", address, dir.path("in")}).status, 0);
    const auto received = receiver.wait();
    EXPECT_EQ(received.out, "{\"body\":\"the content\",\"size\":11}\n") << received.err;
}

TEST(cli_fd_passing, unix_what_arrives_is_the_file_itself) {
    const temp_dir dir;
    std::ofstream{dir.path("in")} << "x";
    const auto name = unique_name("itself");
    auto listener = kith::sys::listen_unix_stream(*kith::sys::unix_name::abstract(name));
    background sender{{kith_command(), "fd", "send", "unix:@" + name, dir.path("in")}};
    auto client = listener->accept(kith::deadline::in(20s));
    ASSERT_TRUE(ok(client));
    std::byte bytes[10];
    kith::owned_fd arrived[2];
    const auto got = client->receive(bytes, arrived, kith::deadline::in(20s));
    ASSERT_TRUE(ok(got));
    EXPECT_EQ(got->descriptors, 1u);
    EXPECT_EQ(got->size, 1u);
    struct stat here{};
    struct stat there{};
    ASSERT_EQ(::fstat(arrived[0].get(), &here), 0);
    ASSERT_EQ(::stat(dir.path("in").c_str(), &there), 0);
    EXPECT_EQ(here.st_ino, there.st_ino);
    EXPECT_EQ(sender.wait().status, 0);
}

TEST(cli_fd_passing, unix_a_pipe_is_passed_and_read_to_its_end) {
    const auto address = "unix:@" + unique_name("pipe");
    auto receiver = kith_waiting({"fd", "recv", address});
    background sender{{"sh", "-c", "(echo first; echo second) | " + kith_command() + " fd send " + address}};
    EXPECT_EQ(receiver.wait().out, "first\nsecond\n");
    EXPECT_EQ(sender.wait().status, 0);
}

TEST(cli_fd_passing, unix_a_sealed_copy_in_memory_cannot_change_any_more) {
    const temp_dir dir;
    const auto name = unique_name("sealed");
    auto listener = kith::sys::listen_unix_stream(*kith::sys::unix_name::abstract(name));
    std::ofstream{dir.path("in")} << "constant";
    background sender{{kith_command(), "fd", "send", "--memfd", "--seal", "all", "unix:@" + name, dir.path("in")}};
    auto client = listener->accept(kith::deadline::in(20s));
    ASSERT_TRUE(ok(client));
    std::byte one;
    kith::owned_fd arrived[1];
    ASSERT_TRUE(ok(client->receive({&one, 1}, arrived, kith::deadline::in(20s))));
    const int fd = arrived[0].get();
    EXPECT_EQ(::fcntl(fd, F_GET_SEALS) & 0xf, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
    EXPECT_EQ(errno, EPERM);
    char content[20];
    EXPECT_EQ(::pread(fd, content, sizeof content, 0), 8);
    EXPECT_EQ(sender.wait().status, 0);
}

TEST(cli_fd_passing, unix_a_receiver_that_wants_seals_refuses_what_has_none) {
    const temp_dir dir;
    std::ofstream{dir.path("in")} << "content";
    const auto address = "unix:@" + unique_name("picky");
    const std::vector<std::string> picky{"fd",           "recv",   "--memfd", "--seal",
                                         "shrink,write", "--json", address,   dir.path("out")};
    auto good = kith_waiting(picky);
    EXPECT_EQ(run({kith_command(), "fd", "send", "--memfd", "--seal", "all", address, dir.path("in")}).status, 0);
    const auto received = good.wait();
    ASSERT_EQ(received.status, 0) << received.err;
    EXPECT_EQ(json::parse(received.out)["bytes"], 7);
    EXPECT_EQ(content_of(dir.path("out")), "content");
    auto unsealed = kith_waiting(picky);
    EXPECT_EQ(run({kith_command(), "fd", "send", "--memfd", address, dir.path("in")}).status, 0);
    const auto refused = unsealed.wait();
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(json::parse(refused.err)["code"], "bad_peer") << refused.err;
    auto plain = kith_waiting(picky);
    EXPECT_EQ(run({kith_command(), "fd", "send", address, dir.path("in")}).status, 0);
    EXPECT_EQ(plain.wait().status, 1);
}

TEST(cli_fd_passing, unix_bad_input_is_told_apart) {
    const temp_dir dir;
    const auto failing = [](const std::vector<std::string>& words, int status, const std::string& code) {
        std::vector<std::string> all{kith_command()};
        all.insert(all.end(), words.begin(), words.end());
        all.emplace_back("--json");
        const auto refused = run(all);
        EXPECT_EQ(refused.status, status) << refused.err;
        EXPECT_EQ(failure_in(refused.err).value("code", ""), code) << refused.err;
    };
    const auto nobody = "unix:@" + unique_name("nobody");
    failing({"fd", "send", nobody, dir.path("absent")}, 1, "not_found");
    failing({"fd", "send", nobody, "/dev/null"}, 4, "peer_gone");
    failing({"fd", "send", nobody, "/dev/null", "--memfd", "--seal", "some"}, 2, "invalid");
    failing({"fd", "send", nobody, "/dev/null", "--seal", "all"}, 2, "invalid");
    failing({"fd", "recv", nobody, "--no-wait"}, 3, "would_block");
    failing({"fd", "recv", nobody, "--timeout", "10ms"}, 124, "timed_out");
    EXPECT_EQ(run({kith_command(), "fd", "send", "tcp:127.0.0.1:1", "/dev/null"}).status, 2);
    auto receiver = kith_waiting({"fd", "recv", nobody});
    EXPECT_EQ(run({kith_command(), "send", nobody, "no descriptor"}).status, 0);
    const auto refused = receiver.wait();
    EXPECT_EQ(refused.status, 1);
    EXPECT_NE(refused.err.find("no descriptor with it"), std::string::npos) << refused.err;
}

TEST(cli_fd_passing, unix_sigint_leaves_no_path_behind) {
    const temp_dir dir;
    auto receiver = kith_waiting({"fd", "recv", "unix:" + dir.path("s")});
    receiver.kill(SIGINT);
    EXPECT_EQ(receiver.wait().status, 128 + SIGINT);
    EXPECT_NE(::access(dir.path("s").c_str(), F_OK), 0);
}

}  // namespace
