// What holds for every verb: help, the shape of failures, signals, and the standard descriptors.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <algorithm>
#include <filesystem>
#include <kith/fd.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using json = nlohmann::ordered_json;

std::vector<std::string> verbs() {
    std::istringstream list{run({kith_command(), "__man"}).out};
    std::vector<std::string> all;
    for (std::string verb; list >> verb;) all.push_back(verb);
    return all;
}

outcome in_sh(const std::string& script, const std::string& input = {}) {
    return run({"sh", "-c", "kith='" + kith_command() + "'\n" + script}, input);
}

TEST(cli_command, every_verb_has_help_from_the_model) {
    const auto all = verbs();
    ASSERT_GE(all.size(), 12u);
    const auto overview = run({kith_command(), "--help"});
    EXPECT_EQ(overview.status, 0);
    for (const auto& verb : all) {
        SCOPED_TRACE(verb);
        const auto help = run({kith_command(), verb, "--help"});
        EXPECT_EQ(help.status, 0);
        EXPECT_EQ(help.err, "");
        EXPECT_TRUE(help.out.starts_with("kith " + verb + " - "));
        EXPECT_NE(help.out.find("\nusage: kith " + verb), std::string::npos);
        EXPECT_NE(help.out.find("--help"), std::string::npos);
        EXPECT_NE(overview.out.find("  " + verb + " "), std::string::npos);
    }
}

TEST(cli_command, a_failure_in_json_is_one_object_with_stable_keys) {
    const std::vector<std::string> keys{"code", "errno", "errno_name", "operation", "object", "message", "hint"};
    const auto keys_of = [](const std::string& text) {
        std::vector<std::string> found;
        const auto object = json::parse(text);
        for (auto at = object.begin(); at != object.end(); ++at) found.push_back(at.key());
        return found;
    };
    for (const std::vector<std::string>& words : {std::vector<std::string>{"recv", "fd:77"},
                                                  {"recv", "nonsense"},
                                                  {"frobnicate"},
                                                  {"show", "fifo:/no/such/fifo"}}) {
        auto command = words;
        command.insert(command.begin(), kith_command());
        command.emplace_back("--json");
        const auto ran = run(command);
        SCOPED_TRACE(ran.err);
        EXPECT_EQ(ran.out, "");
        EXPECT_EQ(keys_of(ran.err), keys);
        EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1);
    }
    const auto absent = json::parse(run({kith_command(), "show", "--json", "fifo:/no/such/fifo"}).err);
    EXPECT_EQ(absent["code"], "not_found");
    EXPECT_EQ(absent["errno"], ENOENT);
    EXPECT_EQ(absent["errno_name"], "ENOENT");
    EXPECT_EQ(absent["object"], "fifo:/no/such/fifo");
}

TEST(cli_command, a_closed_standard_output_is_an_error_and_never_another_file) {
    const temp_dir dir;
    const auto ran = in_sh("$kith version >&- 2>" + dir.path("err") + "; echo $?");
    EXPECT_EQ(ran.out, "1\n");
    // Nothing that was opened has become descriptor 1 or 2.
    EXPECT_EQ(in_sh("$kith send fd:1 --file /dev/null >&- <&- 2>&-; echo $?").out.back(), '\n');
}

TEST(cli_command, a_command_gets_sigpipe_and_the_mask_of_a_fresh_process) {
    const temp_dir dir;
    const auto ran =
        in_sh("cd " + dir.dir() +
              "\n$kith serve unix:s --count 1 -v -- sh -c 'grep -E \"^Sig(Blk|Ign)\" /proc/self/status' 2>log &\n"
              "until grep -q serving log 2>/dev/null; do sleep 0.01; done\n$kith call unix:s x; wait $!");
    ASSERT_TRUE(ran.out.starts_with("SigBlk:\t0000000000000000\nSigIgn:\t")) << ran.out << ran.err;
    // What the shell has ignored for a job in the background stays ignored; SIGPIPE was ours.
    const auto ignored = std::stoull(ran.out.substr(ran.out.rfind('\t') + 1), nullptr, 16);
    EXPECT_EQ(ignored >> (SIGPIPE - 1) & 1U, 0u) << ran.out;
}

TEST(cli_command, an_interrupted_listener_leaves_no_path_behind_and_dies_of_the_signal) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        const temp_dir dir;
        auto listener = child::exec({kith_command(), "listen", "unix:" + dir.path("s")});
        wait_until_in_syscall(listener.pid(), SYS_ppoll);
        EXPECT_TRUE(std::filesystem::exists(dir.path("s")));
        listener.kill(signal);
        EXPECT_EQ(listener.wait(), 128 + signal);
        EXPECT_FALSE(std::filesystem::exists(dir.path("s")));
    }
}

// timeout(1) signals its child and then the whole group: the same request twice.
TEST(cli_command, a_signal_that_comes_twice_at_once_leaves_no_path_behind) {
    for (int i = 0; i < 20; ++i) {
        const temp_dir dir;
        auto server = child::exec({kith_command(), "serve", "unix:" + dir.path("s") + "?type=seqpacket", "--", "cat"});
        wait_until_in_syscall(server.pid(), SYS_ppoll);
        server.kill(SIGINT);
        for (int spin = 0; spin < i * 500; ++spin) asm volatile("");
        server.kill(SIGINT);
        EXPECT_EQ(server.wait(), 128 + SIGINT);
        EXPECT_FALSE(std::filesystem::exists(dir.path("s")));
        EXPECT_FALSE(std::filesystem::exists(dir.path("s.kith-lock")));
    }
}

TEST(cli_command, a_signal_that_the_caller_ignores_stays_ignored) {
    const temp_dir dir;
    const auto ran = in_sh("cd " + dir.dir() +
                           "\ntrap '' HUP\n$kith serve unix:s --count 1 -v -- cat 2>log &\n"
                           "until grep -q serving log 2>/dev/null; do sleep 0.01; done\n"
                           "kill -HUP $!; $kith call unix:s alive; wait $!; echo \" $?\"");
    EXPECT_EQ(ran.out, "alive 0\n") << ran.err;
}

TEST(cli_command, nothing_is_taken_for_a_standard_output_that_is_closed) {
    const temp_dir dir;
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    const auto far = "fd:" + std::to_string(ends[1]);
    EXPECT_EQ(run({kith_command(), "send", "fd:" + std::to_string(ends[0]), "kept"}).status, 0);
    const auto ran = in_sh("$kith recv " + far + " >&-");
    EXPECT_EQ(ran.status, 1);
    EXPECT_NE(ran.err.find("cannot write to 'standard output': it is closed"), std::string::npos) << ran.err;
    EXPECT_EQ(run({kith_command(), "recv", "--no-wait", far}).out, "kept");
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(cli_command, what_is_shown_begins_with_the_address_whatever_the_mechanism) {
    const temp_dir dir;
    ASSERT_EQ(::mkfifo(dir.path("f").c_str(), 0600), 0);
    for (const auto& where : {"fifo:" + dir.path("f"), "pid:" + std::to_string(::getpid()), std::string{"fd:0"}}) {
        const auto shown = run({kith_command(), "show", "--json", where});
        ASSERT_EQ(shown.status, 0) << shown.err;
        EXPECT_EQ(json::parse(shown.out).begin().key(), "address");
        EXPECT_EQ(json::parse(shown.out)["address"], where);
    }
}

TEST(cli_command, an_interrupted_call_leaves_no_reply_fifo_behind) {
    const temp_dir dir;
    ASSERT_EQ(::mkfifo(dir.path("server").c_str(), 0600), 0);
    // A server that takes the request and never answers.
    const kith::owned_fd server{::open(dir.path("server").c_str(), O_RDWR | O_CLOEXEC)};
    const auto names = [&] {
        const std::filesystem::directory_iterator all{dir.dir()};
        return std::distance(begin(all), end(all));
    };
    auto caller = child::exec({kith_command(), "call", "fifo:" + dir.path("server"), "request"});
    char first = 0;
    ASSERT_EQ(::read(server.get(), &first, 1), 1);
    EXPECT_EQ(names(), 2);
    wait_until_in_syscall(caller.pid(), SYS_ppoll);
    caller.kill(SIGINT);
    EXPECT_EQ(caller.wait(), 128 + SIGINT);
    EXPECT_EQ(names(), 1);
}

TEST(cli_command, another_process_s_descriptor_is_reached_by_its_address) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    // The child alone holds the reading end under this number.
    child holder{[&] {
        ::close(ends[1]);
        ::pause();
        return 0;
    }};
    const auto where = "fd:" + std::to_string(holder.pid()) + "/" + std::to_string(ends[0]);
    ::close(ends[0]);
    ::fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    ASSERT_EQ(::write(ends[1], "through", 7), 7);
    const auto shown = run({kith_command(), "show", "--json", where});
    ASSERT_EQ(shown.status, 0) << shown.err;
    EXPECT_EQ(json::parse(shown.out)["kind"], "pipe");
    EXPECT_EQ(json::parse(shown.out)["access"], "read");
    const auto got = run({kith_command(), "recv", "--max-size", "7", where});
    if (got.status == 1 && got.err.find("not_permitted") != std::string::npos)
        GTEST_SKIP() << "this machine does not let a sibling be traced";
    EXPECT_EQ(got.out, "through") << got.err;
    ::close(ends[1]);
}

TEST(cli_command, an_unprivileged_user_is_told_what_right_is_missing) {
    NEEDS_ROOT();
    const temp_dir dir;
    const auto err = dir.path("err");
    ::chmod(dir.dir().c_str(), 0777);
    EXPECT_EQ(as_nobody([&] {
                  const int fd = ::open(err.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
                  ::dup2(fd, 2);
                  const auto command = kith_command();
                  ::execl(command.c_str(), "kith", "recv", "fd:1/0", nullptr);
                  return 97;
              }),
              1);
    const auto text = run({"cat", err}).out;
    EXPECT_NE(text.find("you do not have the right"), std::string::npos) << text;
    EXPECT_NE(text.find("ptrace"), std::string::npos) << text;
}

TEST(cli_command, seqpacket_descriptors_keep_boundaries_and_tell_an_empty_message_from_the_end) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    const auto near = "fd:" + std::to_string(ends[0]);
    const auto far = std::to_string(ends[1]);
    EXPECT_EQ(run({kith_command(), "send", near, ""}).status, 0);
    EXPECT_EQ(run({kith_command(), "send", near, "0123456789"}).status, 0);
    EXPECT_EQ(run({kith_command(), "recv", "--format", "lines", "fd:" + far}).out, "\n");
    const auto cut = run({kith_command(), "recv", "--max-size", "4", "fd:" + far});
    EXPECT_EQ(cut.status, 1);
    EXPECT_NE(cut.err.find("the message has 10 bytes"), std::string::npos) << cut.err;
    const auto taken = run({kith_command(), "recv", "--max-size", "4", "--truncate", "--json", "fd:" + far});
    EXPECT_EQ(json::parse(taken.out)["full_size"], 10);
    EXPECT_EQ(json::parse(taken.out)["truncated"], true);
    ::close(ends[0]);
    EXPECT_EQ(run({kith_command(), "recv", "fd:" + far}).status, 4);
    ::close(ends[1]);
}

TEST(cli_command, limits_are_named_with_their_values) {
    EXPECT_EQ(in_namespaces(CLONE_NEWIPC | CLONE_NEWNS,
                            [] {
                                const auto ran = in_sh(
                                    "echo 1 >/proc/sys/kernel/msgmni || exit 77\n"
                                    "$kith create sysv-mq:0x11 >/dev/null && $kith create sysv-mq:0x12");
                                if (ran.status == 77) return 0;
                                CHILD_CHECK(ran.status == 1);
                                CHILD_CHECK(ran.err.find("kernel.msgmni is 1") != std::string::npos);
                                CHILD_CHECK(ran.err.find("sysctl -w kernel.msgmni") != std::string::npos);
                                return 0;
                            }),
              0);
}

}  // namespace
