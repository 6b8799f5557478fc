// The command on UNIX sockets: recv, send, listen, connect, serve, call, show, rm and peer, and bad input.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
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

bool exists(const std::string& path) {
    struct stat there{};
    return ::lstat(path.c_str(), &there) == 0;
}

const std::string every_byte = [] {
    std::string all;
    for (int i = 0; i < 256 * 300; ++i) all += static_cast<char>(i);
    return all;
}();

TEST(cli_unix, unix_bytes_go_through_a_stream_exactly) {
    const temp_dir dir;
    const auto address = "unix:" + dir.path("s");
    auto receiver = kith_waiting({"recv", address});
    const auto sent = run({kith_command(), "send", address}, every_byte);
    EXPECT_EQ(sent.status, 0) << sent.err;
    EXPECT_EQ(sent.out + sent.err, "");
    const auto received = receiver.wait();
    EXPECT_EQ(received.status, 0) << received.err;
    EXPECT_TRUE(received.out == every_byte);
    EXPECT_FALSE(exists(dir.path("s")));
    EXPECT_FALSE(exists(dir.path("s.kith-lock")));
}

TEST(cli_unix, unix_recv_follow_takes_one_client_after_the_other) {
    const auto address = "unix:@" + unique_name("follow");
    auto receiver = kith_waiting({"recv", "--follow", "--timeout", "300ms", address});
    EXPECT_EQ(run({kith_command(), "send", address, "one "}).status, 0);
    EXPECT_EQ(run({kith_command(), "send", address, "two"}).status, 0);
    const auto received = receiver.wait();
    EXPECT_EQ(received.status, 124);
    EXPECT_EQ(received.out, "one two");
}

TEST(cli_unix, unix_packets_and_datagrams_keep_their_boundaries_and_name_the_sender) {
    for (const std::string type : {"seqpacket", "dgram"}) {
        const auto address = "unix:@" + unique_name(type) + "?type=" + type;
        auto receiver = kith_waiting({"recv", "--json", "--count", "3", address});
        const auto sent = run({kith_command(), "send", "--lines", address}, "one\n\nthree\n");
        EXPECT_EQ(sent.status, 0) << sent.err;
        const auto received = receiver.wait();
        ASSERT_EQ(received.status, 0) << received.err;
        std::istringstream lines{received.out};
        for (const char* body : {"one", "", "three"}) {
            std::string line;
            ASSERT_TRUE(std::getline(lines, line));
            const auto message = json::parse(line);
            EXPECT_EQ(message["body"], body);
            EXPECT_EQ(message["uid"], ::getuid());
            EXPECT_GT(message["pid"], 0);
        }
    }
}

TEST(cli_unix, unix_a_message_that_is_too_long_stays_and_truncate_cuts_it) {
    const auto name = unique_name("long");
    const auto address = "unix:@" + name + "?type=dgram";
    auto sender = kith::sys::open_unix_datagram();
    auto receiver = kith_waiting({"recv", "--max-size", "5", address});
    ASSERT_TRUE(ok(sender->send_to(*kith::sys::unix_name::abstract(name), kith::bytes_of("hello world"))));
    const auto refused = receiver.wait();
    EXPECT_EQ(refused.status, 1);
    EXPECT_NE(refused.err.find("the message has 11 bytes, the room for it 5"), std::string::npos) << refused.err;
    auto cutting = kith_waiting({"recv", "--json", "--max-size", "5", "--truncate", address});
    ASSERT_TRUE(ok(sender->send_to(*kith::sys::unix_name::abstract(name), kith::bytes_of("hello world"))));
    const auto cut = cutting.wait();
    ASSERT_EQ(cut.status, 0) << cut.err;
    EXPECT_EQ(json::parse(cut.out)["body"], "hello");
    EXPECT_EQ(json::parse(cut.out)["truncated"], true);
    EXPECT_EQ(json::parse(cut.out)["full_size"], 11);
}

TEST(cli_unix, unix_listen_and_connect_half_close_both_ways) {
    const temp_dir dir;
    const auto address = "unix:" + dir.path("s");
    auto listener = kith_waiting({"listen", address}, "from the listener");
    const auto client = run({kith_command(), "connect", address}, "from the client");
    EXPECT_EQ(client.status, 0) << client.err;
    EXPECT_EQ(client.out, "from the listener");
    const auto served = listener.wait();
    EXPECT_EQ(served.status, 0) << served.err;
    EXPECT_EQ(served.out, "from the client");
    EXPECT_FALSE(exists(dir.path("s")));
}

TEST(cli_unix, unix_serve_and_call_over_streams_and_packets) {
    for (const std::string type : {"stream", "seqpacket"}) {
        const auto address = "unix:@" + unique_name("serve") + "?type=" + type;
        auto server = kith_waiting({"serve", address, "--count", "2", "--", "tr", "a-z", "A-Z"});
        const auto first = run({kith_command(), "call", address, "shout"});
        EXPECT_EQ(first.status, 0) << first.err;
        EXPECT_EQ(first.out, "SHOUT");
        EXPECT_EQ(json::parse(run({kith_command(), "call", "--json", address}, "again").out)["body"], "AGAIN");
        EXPECT_EQ(server.wait().status, 0);
    }
}

TEST(cli_unix, unix_serve_lets_several_clients_in_one_after_the_other) {
    const temp_dir dir;
    const auto address = "unix:" + dir.path("s");
    auto server = kith_waiting({"serve", address, "--jobs", "3", "--count", "3", "--", "cat"});
    std::vector<std::unique_ptr<background>> clients;
    for (const char* request : {"a", "bb", "ccc"})
        clients.push_back(
            std::make_unique<background>(std::vector<std::string>{kith_command(), "call", address, request}));
    EXPECT_EQ(clients[0]->wait().out, "a");
    EXPECT_EQ(clients[1]->wait().out, "bb");
    EXPECT_EQ(clients[2]->wait().out, "ccc");
    EXPECT_EQ(server.wait().status, 0);
}

TEST(cli_unix, unix_peer_tells_who_listens) {
    const auto address = "unix:@" + unique_name("peer");
    auto listener = kith_waiting({"recv", "--follow", address});
    const auto who = run({kith_command(), "peer", "--json", address});
    ASSERT_EQ(who.status, 0) << who.err;
    EXPECT_EQ(json::parse(who.out)["pid"], listener.pid());
    EXPECT_EQ(json::parse(who.out)["uid"], ::getuid());
    EXPECT_EQ(json::parse(who.out)["gid"], ::getgid());
    const auto refused = run({kith_command(), "peer", address + "?type=dgram"});
    EXPECT_EQ(refused.status, 2);
}

TEST(cli_unix, unix_show_disturbs_nobody) {
    const temp_dir dir;
    const auto address = "unix:" + dir.path("s");
    auto listener = kith_waiting({"recv", address});
    const auto shown = run({kith_command(), "show", "--json", address});
    ASSERT_EQ(shown.status, 0) << shown.err;
    const auto facts = json::parse(shown.out);
    EXPECT_EQ(facts["state"], "listening");
    EXPECT_EQ(facts["type"], "stream");
    EXPECT_EQ(facts["lock"], "held");
    EXPECT_EQ(facts["uid"], ::getuid());
    EXPECT_EQ(run({kith_command(), "send", address, "still there"}).status, 0);
    EXPECT_EQ(listener.wait().out, "still there");
    const auto gone = run({kith_command(), "show", address});
    EXPECT_EQ(gone.status, 1);
    EXPECT_NE(gone.err.find("not_found (ENOENT)"), std::string::npos) << gone.err;
    EXPECT_EQ(run({kith_command(), "show", "unix:@" + unique_name("nobody")}).status, 1);
}

TEST(cli_unix, unix_rm_removes_a_stale_path_and_its_lock) {
    const temp_dir dir;
    const auto address = "unix:" + dir.path("s");
    auto victim = kith_waiting({"recv", address});
    victim.kill(SIGKILL);
    victim.wait();
    EXPECT_TRUE(exists(dir.path("s")));
    EXPECT_EQ(json::parse(run({kith_command(), "show", "--json", address}).out)["lock"], "free");
    EXPECT_EQ(run({kith_command(), "rm", address}).status, 0);
    EXPECT_FALSE(exists(dir.path("s")));
    EXPECT_FALSE(exists(dir.path("s.kith-lock")));
    EXPECT_EQ(run({kith_command(), "rm", address}).status, 1);
    EXPECT_EQ(run({kith_command(), "rm", "unix:@x"}).status, 2);
}

TEST(cli_unix, unix_a_stale_path_of_a_killed_kith_is_refused_to_senders_and_taken_over_by_receivers) {
    const temp_dir dir;
    const auto address = "unix:" + dir.path("s");
    auto victim = kith_waiting({"recv", address});
    victim.kill(SIGKILL);
    victim.wait();
    const auto sent = run({kith_command(), "send", address, "x"});
    EXPECT_EQ(sent.status, 4);
    EXPECT_NE(sent.err.find("nobody listens there: the socket is stale, or its owner does not listen yet"),
              std::string::npos)
        << sent.err;
    EXPECT_NE(sent.err.find("peer_gone (ECONNREFUSED); kith-send(1)"), std::string::npos) << sent.err;
    auto next = kith_waiting({"recv", "--verbose", address});
    EXPECT_NE(next.err().find("stale_removed"), std::string::npos) << next.err();
    EXPECT_EQ(run({kith_command(), "send", address, "x"}).status, 0);
    EXPECT_EQ(next.wait().out, "x");
}

TEST(cli_unix, unix_a_stale_path_of_another_program_is_refused_with_the_remedy) {
    const temp_dir dir;
    const auto name = *kith::sys::unix_name::path(dir.path("s"));
    auto foreign = kith::sys::listen_unix_stream(name);
    foreign->close_and_leave_path();
    const auto refused = run({kith_command(), "listen", "unix:" + dir.path("s")});
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(refused.err, "kith: cannot listen on 'unix:" + dir.path("s") +
                               "': a socket is there that no kith left: it may be about to listen\n"
                               "  try    kith show unix:" +
                               dir.path("s") +
                               "   tells whether anybody has it\n"
                               "         kith rm unix:" +
                               dir.path("s") +
                               "   if nobody needs it\n"
                               "  more   exists (EADDRINUSE); kith-listen(1)\n");
    EXPECT_TRUE(exists(dir.path("s")));
}

TEST(cli_unix, unix_a_path_in_use_by_another_kith_is_refused) {
    const temp_dir dir;
    const auto address = "unix:" + dir.path("s");
    auto first = kith_waiting({"recv", address});
    const auto second = run({kith_command(), "recv", "--json", address});
    EXPECT_EQ(second.status, 1);
    const auto failure = json::parse(second.err);
    EXPECT_EQ(failure["code"], "exists");
    EXPECT_EQ(failure["errno_name"], "EADDRINUSE");
    EXPECT_NE(failure["message"].get<std::string>().find("another kith listens there"), std::string::npos);
    EXPECT_EQ(failure["object"], address);
}

TEST(cli_unix, unix_sigint_leaves_nothing_behind) {
    for (const std::string verb : {"recv", "listen", "serve"}) {
        const temp_dir dir;
        const auto address = "unix:" + dir.path("s");
        auto waiter = verb == "serve" ? kith_waiting({verb, address, "--", "cat"}) : kith_waiting({verb, address});
        EXPECT_TRUE(exists(dir.path("s")));
        waiter.kill(SIGINT);
        EXPECT_EQ(waiter.wait().status, 128 + SIGINT) << verb;
        EXPECT_FALSE(exists(dir.path("s"))) << verb;
        EXPECT_FALSE(exists(dir.path("s.kith-lock"))) << verb;
    }
}

TEST(cli_unix, unix_bad_input_is_told_apart) {
    const temp_dir dir;
    std::ofstream{dir.path("file")} << "precious";
    const auto failing = [](const std::vector<std::string>& words, int status, const std::string& code) {
        std::vector<std::string> all{kith_command()};
        all.insert(all.end(), words.begin(), words.end());
        all.emplace_back("--json");
        const auto refused = run(all);
        EXPECT_EQ(refused.status, status) << refused.err;
        const auto failure = failure_in(refused.err);
        EXPECT_EQ(failure.value("code", ""), code) << refused.err;
        EXPECT_EQ(refused.out, "");
        return failure.value("message", "") + "; " + failure.value("hint", "");
    };
    EXPECT_NE(failing({"send", "unix:/tmp/" + std::string(120, 'n'), "x"}, 1, "too_long").find("at most 107 bytes"),
              std::string::npos);
    EXPECT_NE(failing({"recv", "unix:@" + std::string(108, 'n')}, 1, "too_long").find("at most 107 bytes"),
              std::string::npos);
    EXPECT_NE(failing({"send", "unix:" + dir.path("file"), "x"}, 1, "wrong_kind").find("no socket"), std::string::npos);
    EXPECT_NE(failing({"recv", "unix:" + dir.path("file")}, 1, "wrong_kind").find("no socket"), std::string::npos);
    failing({"rm", "unix:" + dir.path("file")}, 1, "wrong_kind");
    failing({"send", "unix:" + dir.path("absent"), "x"}, 1, "not_found");
    failing({"recv", "unix:" + dir.path("no/such")}, 1, "not_found");
    failing({"send", "unix:@" + unique_name("nobody"), "x"}, 4, "peer_gone");
    failing({"send", "unix:@x", "x", "--type", "3"}, 2, "unsupported");
    failing({"recv", "unix:@" + unique_name("t"), "--type", "3"}, 2, "unsupported");
    failing({"recv", "unix:@" + unique_name("t"), "--no-wait"}, 3, "would_block");
    failing({"recv", "unix:@" + unique_name("t"), "--timeout", "10ms"}, 124, "timed_out");
    failing({"listen", "unix:@x?type=dgram"}, 2, "unsupported");
    failing({"create", "unix:" + dir.path("c")}, 2, "unsupported");
    std::string content;
    std::ifstream{dir.path("file")} >> content;
    EXPECT_EQ(content, "precious");
    auto receiver = kith_waiting({"recv", "unix:" + dir.path("s")});
    EXPECT_NE(failing({"send", "unix:" + dir.path("s") + "?type=seqpacket", "x"}, 1, "wrong_type").find("?type=stream"),
              std::string::npos);
    receiver.kill(SIGKILL);
}

TEST(cli_unix, unix_a_peer_that_is_gone_ends_a_sender_without_a_signal) {
    const auto name = unique_name("gone");
    auto listener = kith::sys::listen_unix_stream(*kith::sys::unix_name::abstract(name));
    background sender{{"sh", "-c", "yes | exec " + kith_command() + " send unix:@" + name}};
    auto client = listener->accept(kith::deadline::in(20s));
    ASSERT_TRUE(ok(client));
    client->close();
    const auto ended = sender.wait();
    EXPECT_EQ(ended.status, 4) << ended.err;
    EXPECT_NE(ended.err.find("peer_gone"), std::string::npos) << ended.err;
}

}  // namespace
