// The command on FIFOs: what a user types, what comes out, and how it ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include <kith/sys/fifo.hpp>

#include "support/beside.hpp"
#include "support/command.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;
namespace fs = std::filesystem;

class cli_fifo : public testing::Test {
protected:
    [[nodiscard]] std::string path() const { return dir_.path("fifo"); }
    [[nodiscard]] std::string address() const { return "fifo:" + path(); }
    void make() const { ASSERT_TRUE(ok(kith::sys::create_fifo(path()))); }
    temp_dir dir_;
};

TEST_F(cli_fifo, fifo_create_show_and_rm) {
    EXPECT_EQ(out_of({"create", address(), "--mode", "640"}), address() + '\n');
    const auto shown = json::parse(out_of({"show", "--json", address()}));
    EXPECT_EQ(shown["path"], path());
    EXPECT_EQ(shown["mode"], "0640");
    EXPECT_EQ(shown["uid"], ::getuid());
    EXPECT_EQ(shown["atomic_write"], 4096);
    EXPECT_EQ(kith_run({"create", address()}).status, 0);  // it is there, which is what was asked for
    expect_failure(kith_run({"create", address(), "--exclusive"}), 1, "exists");
    EXPECT_EQ(kith_run({"rm", address()}).status, 0);
    EXPECT_FALSE(fs::exists(path()));
    expect_failure(kith_run({"rm", address()}), 1, "there is no such FIFO");
}

TEST_F(cli_fifo, fifo_G12_the_umask_applies_to_create) {
    EXPECT_EQ(kith_run({"create", address(), "--mode", "666"}).status, 0);
    EXPECT_EQ(fs::status(path()).permissions(), static_cast<fs::perms>(0644));
}

TEST_F(cli_fifo, fifo_send_and_recv_move_exact_bytes) {
    make();
    std::string data;
    for (int i = 0; i < 200'000; ++i) data += static_cast<char>(i * 7);
    beside reader{kith_line({"recv", address()})};
    EXPECT_EQ(kith_run({"send", address()}, data).status, 0);
    const auto got = reader.wait();
    EXPECT_EQ(got.status, 0) << got.err;
    EXPECT_TRUE(got.out == data);

    beside second{kith_line({"recv", "--json", address()})};
    EXPECT_EQ(kith_run({"send", address(), "no newline"}).status, 0);
    EXPECT_EQ(json::parse(second.wait().out)["body"], "no newline");
}

TEST_F(cli_fifo, fifo_F1_nobody_there_is_3_without_waiting_and_124_after_the_time) {
    make();
    expect_failure(kith_run({"send", "--no-wait", address(), "x"}), 3, "nobody has it open for reading now");
    expect_failure(kith_run({"send", "--timeout", "10ms", address(), "x"}), 124,
                   "nobody opened it for reading in time");
    expect_failure(kith_run({"recv", "--no-wait", address()}), 3, "there is nothing to read now");
    expect_failure(kith_run({"recv", "--timeout", "10ms", address()}), 124, "nobody opened it for writing in time");
    const auto failed = kith_run({"send", "--no-wait", "--json", address(), "x"});
    const auto why = json::parse(failed.err);
    EXPECT_EQ(why["code"], "would_block");
    EXPECT_EQ(why["errno"], ENXIO);
    EXPECT_EQ(why["operation"], "open");
}

TEST_F(cli_fifo, fifo_F4_the_end_without_a_byte_is_4) {
    make();
    beside reader{kith_line({"recv", address()})};
    EXPECT_EQ(kith_run({"send", address()}, "").status, 0);  // came and left
    const auto ended = reader.wait();
    EXPECT_EQ(ended.status, 4) << ended.err;
}

TEST_F(cli_fifo, fifo_trap03_follow_goes_on_when_writers_come_and_go_and_sleeps_in_between) {
    make();
    const auto file = dir_.path("out");
    child reader{[&] {
        const int out = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ::dup2(out, 1);
        ::execl(kith_command().c_str(), "kith", "recv", "--follow", address().c_str(), nullptr);
        return 127;
    }};
    std::string expected;
    for (const std::string text : {"one", "two", "three"}) {
        wait_until_in_syscall(reader.pid(), SYS_ppoll);
        EXPECT_EQ(kith_run({"send", address(), text}).status, 0);
        expected += text;
        const auto give_up = kith::deadline::in(std::chrono::seconds{20});
        while (fs::file_size(file) < expected.size() && give_up.remaining_ns() > 0) std::this_thread::yield();
    }
    wait_until_in_syscall(reader.pid(), SYS_ppoll);
    reader.kill(SIGTERM);
    EXPECT_EQ(reader.wait(), 128 + SIGTERM);
    std::string got;
    std::getline(std::ifstream{file}, got);
    EXPECT_EQ(got, expected);
}

TEST_F(cli_fifo, fifo_F8_a_reader_that_leaves_is_a_message_and_4_and_no_death_by_signal) {
    make();
    auto reader = kith_start({"recv", "--max-size", "1", "--format", "hex", address()});
    const auto ended = kith_run({"send", address()}, std::string(1 << 20, 'x'));
    EXPECT_EQ(ended.status, 4) << ended.err;
    EXPECT_NE(ended.err.find("the last reader has left"), std::string::npos) << ended.err;
    EXPECT_EQ(reader.wait(), 0);
}

TEST_F(cli_fifo, fifo_a_fifo_is_never_opened_just_to_look_at_it) {
    make();
    child writer{[&] { return kith::sys::open_fifo_writer(path()) ? 0 : 1; }};
    wait_until_in_syscall(writer.pid(), SYS_openat);
    EXPECT_EQ(kith_run({"show", address()}).status, 0);
    expect_failure(kith_run({"recv", "--peek", address()}), 2, "would let a waiting writer in");
    expect_failure(kith_run({"drain", address()}), 2, "the verbs for fifo:");
    EXPECT_EQ(kith_run({"create", address()}).status, 0);
    wait_until_in_syscall(writer.pid(), SYS_openat);
    EXPECT_FALSE(writer.poll());  // nobody let it in
}

TEST_F(cli_fifo, fifo_F7_something_else_under_the_name_is_refused_and_left_alone) {
    std::ofstream{path()} << "precious";
    for (const char* verb : {"send", "recv", "show", "rm", "create", "call", "serve"}) {
        std::vector<std::string> words{verb, address()};
        if (verb == std::string{"serve"}) words.insert(words.end(), {"--", "cat"});
        const auto ended = kith_run(words, "data");
        EXPECT_EQ(ended.status, 1) << verb;
        EXPECT_NE(ended.err.find("something else than a FIFO"), std::string::npos) << verb << ended.err;
    }
    std::string content;
    std::getline(std::ifstream{path()}, content);
    EXPECT_EQ(content, "precious");
}

TEST_F(cli_fifo, fifo_bad_input_is_told) {
    make();
    expect_failure(kith_run({"send", "fifo:" + dir_.path("none"), "x"}), 1, "kith create");
    expect_failure(kith_run({"create", "fifo:" + dir_.path("no/where")}), 1, "its directory does not exist");
    expect_failure(kith_run({"create", "fifo:" + dir_.path(std::string(300, 'x'))}), 1, "too_long");
    expect_failure(kith_run({"create", "fifo:"}), 2, "");
    expect_failure(kith_run({"create", address() + "?x=1"}), 2, "");
    expect_failure(kith_run({"create", address(), "--size", "5"}), 2, "--size");
    expect_failure(kith_run({"create", address(), "--max-messages", "5"}), 2, "--max-messages");
    expect_failure(kith_run({"create", address(), "--message-size", "5"}), 2, "--message-size");
    expect_failure(kith_run({"create", address(), "--values", "5"}), 2, "--values");
    expect_failure(kith_run({"recv", "--count", "1", "--no-wait", address()}), 2, "--count");
    const auto reader = kith::sys::open_fifo_both(path());
    expect_failure(kith_run({"send", "--type", "1", address(), "x"}), 2, "--type");
    expect_failure(kith_run({"send", "--priority", "1", address(), "x"}), 2, "--priority");
    expect_failure(kith_run({"recv", "--type", "1", "--no-wait", address()}), 2, "--type");
}

TEST_F(cli_fifo, fifo_F7_a_missing_right_is_told) {
    NEEDS_ROOT();
    make();
    EXPECT_EQ(0, as_nobody([&] {
                  const auto refused = kith_run({"recv", "--no-wait", address()});
                  CHILD_CHECK(refused.status == 1 && refused.err.find("not_permitted") != std::string::npos);
                  return 0;
              }));
}

TEST_F(cli_fifo, fifo_names_with_any_byte_are_escaped_and_read_back) {
    const auto name = dir_.path("a b%\n?\xff");
    const auto printed = out_of({"create", "fifo:" + dir_.path("a b%25%0A%3F%FF")});
    EXPECT_TRUE(fs::is_fifo(name));
    EXPECT_EQ(kith_run({"rm", printed.substr(0, printed.size() - 1)}).status, 0);
    EXPECT_FALSE(fs::exists(name));
}

TEST_F(cli_fifo, fifo_listen_and_connect_talk_both_ways_with_half_close) {
    const std::string question(300'000, 'q');
    const std::string answer(300'000, 'a');
    beside listener{kith_line({"listen", address()}), answer};
    const auto client = kith_run({"connect", address()}, question);
    EXPECT_EQ(client.status, 0) << client.err;
    EXPECT_TRUE(client.out == answer);
    const auto served = listener.wait();
    EXPECT_EQ(served.status, 0) << served.err;
    EXPECT_TRUE(served.out == question);
    EXPECT_FALSE(fs::exists(path() + ".pair"));
    EXPECT_EQ(kith_run({"rm", address()}).status, 0);  // what the listener left: its lock file
    EXPECT_TRUE(fs::is_empty(dir_.dir()));
}

TEST_F(cli_fifo, fifo_listen_and_connect_wait_no_longer_than_told) {
    expect_failure(kith_run({"connect", "--no-wait", address()}), 3, "kith listen");
    expect_failure(kith_run({"connect", "--timeout", "10ms", address()}), 124, "nobody is listening");
    expect_failure(kith_run({"listen", "--timeout", "10ms", address()}), 124, "kith connect");
    EXPECT_FALSE(fs::exists(path() + ".pair"));
    auto listener = kith_start({"listen", address()});
    while (!fs::exists(path() + ".pair/up")) std::this_thread::yield();
    expect_failure(kith_run({"listen", address()}), 1, "another process is listening there");
    wait_until_in_syscall(listener.pid(), {SYS_openat, SYS_futex, SYS_ppoll});
    listener.kill(SIGINT);
    EXPECT_EQ(listener.wait(), 128 + SIGINT);
    EXPECT_FALSE(fs::exists(path() + ".pair"));  // nothing is left behind that was ours alone
}

TEST_F(cli_fifo, fifo_serve_and_call_with_several_clients_at_once) {
    auto server = kith_start({"serve", address(), "--", "tr", "a-z", "A-Z"});
    std::vector<std::unique_ptr<beside>> clients;
    for (int i = 0; i < 4; ++i) {
        while (!fs::exists(path())) std::this_thread::yield();
        clients.push_back(std::make_unique<beside>(kith_line({"call", address(), "request " + std::to_string(i)})));
    }
    for (int i = 0; i < 4; ++i) {
        const auto got = clients[static_cast<std::size_t>(i)]->wait();
        EXPECT_EQ(got.status, 0) << got.err;
        EXPECT_EQ(got.out, "REQUEST " + std::to_string(i));
    }
    expect_failure(kith_run({"serve", address(), "--", "cat"}), 1, "another server has it");
    expect_failure(kith_run({"call", address()}, std::string(5000, 'x')), 1, "at most 3968 bytes");
    expect_failure(kith_run({"call", address(), "--max-size", "4", "longer"}), 1, "");
    server.kill(SIGTERM);
    EXPECT_EQ(server.wait(), 128 + SIGTERM);
    EXPECT_TRUE(fs::is_empty(dir_.dir()));  // it made the FIFO, and took it away
}

TEST_F(cli_fifo, fifo_call_without_a_server_is_told) {
    make();
    expect_failure(kith_run({"call", "--no-wait", address(), "x"}), 3, "no server has it open");
    expect_failure(kith_run({"call", "--timeout", "10ms", address(), "x"}), 124, "kith serve");
    expect_failure(kith_run({"call", "fifo:" + dir_.path("none"), "x"}), 1, "there is no such FIFO");
    EXPECT_EQ(std::distance(fs::directory_iterator{dir_.dir()}, {}), 1);
}

TEST_F(cli_fifo, fifo_call_ends_with_4_when_the_server_is_killed) {
    make();
    const auto server = kith::sys::open_fifo_both(path());
    child holder{[&] {
        const auto held = kith::sys::open_fifo_both(path());
        CHILD_CHECK(held);
        for (;;) ::pause();
        return 0;
    }};
    wait_until_in_syscall(holder.pid(), SYS_pause);
    beside client{kith_line({"call", address(), "x"})};
    while (*server->queued() == 0) std::this_thread::yield();
    holder.kill_and_reap();
    const_cast<kith::sys::fifo_both&>(*server).close();
    const auto ended = client.wait();
    EXPECT_EQ(ended.status, 4) << ended.err;
    EXPECT_NE(ended.err.find("unknown"), std::string::npos) << ended.err;
}

TEST_F(cli_fifo, fifo_call_interrupted_leaves_no_private_fifo) {
    make();
    const auto server = kith::sys::open_fifo_both(path());
    auto client = kith_start({"call", address(), "x"});
    while (*server->queued() == 0) std::this_thread::yield();
    wait_until_in_syscall(client.pid(), SYS_ppoll);
    client.kill(SIGINT);
    EXPECT_EQ(client.wait(), 128 + SIGINT);
    EXPECT_EQ(std::distance(fs::directory_iterator{dir_.dir()}, {}), 1);
}

}  // namespace
