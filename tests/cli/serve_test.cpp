// serve and call over every mechanism that has them: what the client learns when there is no reply.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <kith/sys/posix_mq.hpp>
#include <kith/sys/sysv_mq.hpp>
#include <nlohmann/json.hpp>

#include "support/background.hpp"
#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/queues.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

// A place for one server, and what it would leave behind if it were killed.
class place {
public:
    explicit place(const std::string& scheme) {
        if (scheme == "unix" || scheme == "fifo") address_ = scheme + ':' + dir_.path("at");
        if (scheme == "seqpacket") address_ = "unix:" + dir_.path("at") + "?type=seqpacket";
        if (scheme == "tcp") address_ = "tcp:127.0.0.1:0";
        if (scheme == "posix-mq") address_ = "posix-mq:" + name_;
        if (scheme == "sysv-mq") address_ = "sysv-mq:" + std::to_string(key_.value());
    }
    ~place() {
        static_cast<void>(kith::sys::unlink_posix_mq(name_));
        for (const auto one : {key_, kith::sys::sysv_key{key_.value() ^ INT32_MIN}})
            if (const auto queue = kith::sys::sysv_mq::open(one)) static_cast<void>(queue->remove());
    }
    place(const place&) = delete;
    place& operator=(const place&) = delete;

    /// Starts a server of `script` there, and waits until it can be called.
    background serve(const std::string& script, std::vector<std::string> options = {}) {
        std::vector<std::string> words{kith_command(), "serve", address_, "-v"};
        words.insert(words.end(), options.begin(), options.end());
        words.insert(words.end(), {"--", "sh", "-c", script});
        background server{words};
        const std::string start = "serving ";
        const auto said = server.err_with(start);
        const auto from = said.find(start) + start.size();
        address_ = server.err_with("\n").substr(from);
        address_.resize(address_.find('\n'));
        return server;
    }
    [[nodiscard]] outcome call(const std::string& request, const std::string& option = "--json") const {
        return run({kith_command(), "call", address_, "--timeout", "20s", option}, request);
    }
    [[nodiscard]] const std::string& address() const { return address_; }
    [[nodiscard]] std::string path() const { return dir_.path("at"); }

private:
    temp_dir dir_;
    std::string name_ = std::string{"/"}.append(unique_name("serve"));
    kith::sys::sysv_key key_ = unique_key();
    std::string address_;
};

const char* const all_schemes[] = {"unix", "seqpacket", "tcp", "fifo", "sysv-mq", "posix-mq"};

TEST(cli_serve, a_command_that_fails_gives_no_reply_and_the_client_is_told) {
    for (const auto* scheme : all_schemes) {
        SCOPED_TRACE(scheme);
        place at{scheme};
        auto server = at.serve("case $(cat) in fail) echo part; exit 3;; kill) kill -9 $$;; esac", {"--count", "3"});
        for (const std::string request : {"fail", "kill"}) {
            const auto called = at.call(request);
            EXPECT_EQ(called.status, 4) << called.err;
            EXPECT_EQ(called.out, "");
            const auto why = json::parse(called.err);
            EXPECT_EQ(why["code"], "peer_gone");
            EXPECT_NE(why["message"].get<std::string>().find("COMMAND failed"), std::string::npos) << why;
        }
        // An empty reply is one, and the server goes on after failures.
        const auto called = at.call("nothing");
        EXPECT_EQ(called.status, 0) << called.err;
        EXPECT_EQ(json::parse(called.out)["size"], 0);
        const auto ended = server.wait();
        EXPECT_EQ(ended.status, 0);
        EXPECT_NE(ended.err.find("'sh': it ended with status 3; the client gets no reply"), ended.err.npos)
            << ended.err;
        EXPECT_NE(ended.err.find("'sh': it was ended by signal 9; the client gets no reply"), ended.err.npos)
            << ended.err;
    }
}

TEST(cli_serve, quiet_says_nothing_about_a_command_that_fails) {
    const temp_dir dir;
    const auto where = "unix:" + dir.path("s");
    auto server = child{
        [&] { return run({kith_command(), "serve", where, "-q", "-n", "1", "--", "false"}).err.empty() ? 0 : 1; }};
    while (::access(dir.path("s").c_str(), F_OK) != 0) ::usleep(1000);
    EXPECT_EQ(run({kith_command(), "call", where, "x"}).status, 4);
    EXPECT_EQ(server.wait(), 0);
}

TEST(cli_serve, a_server_killed_with_a_request_leaves_no_empty_reply_on_a_connection) {
    for (const auto* scheme : {"unix", "seqpacket", "tcp"}) {
        SCOPED_TRACE(scheme);
        place at{scheme};
        const auto server = at.serve("cat >/dev/null; kill -9 $PPID");
        const auto called = at.call("request");
        EXPECT_EQ(called.status, 4) << called.out << called.err;
    }
}

TEST(cli_serve, an_empty_request_over_a_unix_stream_tells_no_reply_from_none) {
    place at{"unix"};
    const auto server = at.serve("cat; test -e " + at.path() + ".answer && echo answer");
    const auto none = at.call("");
    EXPECT_EQ(none.status, 4);
    EXPECT_EQ(json::parse(none.err)["code"], "end_of_stream");
    ASSERT_EQ(run({"touch", at.path() + ".answer"}).status, 0);
    EXPECT_EQ(at.call("", "--quiet").out, "answer\n");
    // TCP can reset a connection that carried nothing.
    place other{"tcp"};
    const auto second = other.serve("exit $(cat | wc -c)", {"--count", "1"});
    const auto empty = other.call("");
    EXPECT_EQ(empty.status, 0) << empty.err;
}

TEST(cli_serve, requests_longer_than_the_buffers_and_in_pieces_arrive_whole) {
    for (const auto* scheme : {"unix", "tcp"}) {
        SCOPED_TRACE(scheme);
        place at{scheme};
        const auto server = at.serve("cat");
        std::string large(3'000'001, 'x');
        large.back() = 'y';
        const auto echoed = at.call(large, "--quiet");
        ASSERT_EQ(echoed.status, 0) << echoed.err;
        EXPECT_TRUE(echoed.out == large);
    }
    // One byte at a time, and the end long after the last of them.
    place at{"unix"};
    const auto server = at.serve("tr a-z A-Z");
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    at.path().copy(name.sun_path, sizeof name.sun_path - 1);
    ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    for (const char c : std::string_view{"pieces"}) {
        ASSERT_EQ(::send(fd, &c, 1, MSG_NOSIGNAL), 1);
        ::usleep(2000);
    }
    ::usleep(20000);
    ASSERT_EQ(::shutdown(fd, SHUT_WR), 0);
    std::string reply(64, '\0');
    ASSERT_EQ(::recv(fd, reply.data(), reply.size(), MSG_WAITALL), 6);
    EXPECT_EQ(reply.substr(0, 6), "PIECES");
    ::close(fd);
}

}  // namespace
