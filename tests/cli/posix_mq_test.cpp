// The command on POSIX queues: what a user types, what comes out, and how it ends.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fstream>
#include <kith/compose/request_reply.hpp>
#include <nlohmann/json.hpp>

#include "support/child.hpp"
#include "support/command.hpp"
#include "support/queues.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::sys::creation;
using kith::sys::posix_mq;
using nlohmann::json;

struct named_queue {
    posix_mq_name name;
    std::string address = std::string{"posix-mq:"}.append(name.get());
    [[nodiscard]] posix_mq open() const { return std::move(*posix_mq::open(name.get())); }
};

TEST(cli_posix_mq, posix_mq_create_show_and_rm) {
    const named_queue q;
    expect_failure(kith_run({"show", q.address}), 1, "not_found");
    EXPECT_EQ(out_of({"create", q.address, "--mode", "600", "--max-messages", "3", "--message-size", "100"}),
              q.address + '\n');
    ASSERT_TRUE(ok(q.open().send(kith::bytes_of("hello"))));
    const auto seen = json::parse(out_of({"show", "--json", q.address}));
    EXPECT_EQ(seen["messages"], 1);
    EXPECT_EQ(seen["max_messages"], 3);
    EXPECT_EQ(seen["message_size"], 100);
    EXPECT_EQ(seen["bytes"], 5);
    EXPECT_EQ(seen["mode"], "0600");
    EXPECT_TRUE(seen["notified"].is_null());
    EXPECT_FALSE(json::parse(out_of({"create", "--json", q.address}))["new"].get<bool>());
    expect_failure(kith_run({"create", q.address, "--exclusive"}), 1, "exists already");
    expect_failure(kith_run({"create", q.address, "--max-messages", "4"}), 1, "--max-messages 3 --message-size 100");
    EXPECT_EQ(out_of({"rm", q.address}), "");
    expect_failure(kith_run({"rm", q.address}), 1, "not_found");
}

TEST(cli_posix_mq, posix_mq_send_and_recv_by_priority_with_exact_bytes) {
    const named_queue q;
    out_of({"create", q.address});
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    out_of({"send", q.address, "low"});
    out_of({"send", q.address, "--priority", "9"}, all);
    out_of({"send", q.address, "--priority", "32767", ""});
    const auto first = json::parse(out_of({"recv", "--json", q.address}));
    EXPECT_EQ(first["body"], "");
    EXPECT_EQ(first["priority"], 32767);
    EXPECT_EQ(out_of({"recv", q.address}), all);
    out_of({"send", q.address, "--lines"}, "one\ntwo\n");
    EXPECT_EQ(out_of({"recv", q.address, "--count", "3", "--format", "lines"}), "low\none\ntwo\n");
    expect_failure(kith_run({"recv", q.address, "--no-wait"}), 3, "empty now");
    expect_failure(kith_run({"recv", q.address, "--timeout", "20ms"}), 124, "timed_out");
    out_of({"send", q.address, "--lines"}, "1\n2\n3\n");
    EXPECT_EQ(out_of({"drain", q.address}), "3\n");
}

TEST(cli_posix_mq, posix_mq_bad_input_is_refused_with_reasons) {
    const named_queue q;
    out_of({"create", q.address, "--max-messages", "1", "--message-size", "100"});
    expect_failure(kith_run({"show", "posix-mq:jobs"}), 2, "kith_addresses(7)");
    expect_failure(kith_run({"show", "posix-mq:/a/b"}), 2, "kith_addresses(7)");
    expect_failure(kith_run({"create", std::string{"posix-mq:/"}.append(256, 'x')}), 1, "too_long");
    expect_failure(kith_run({"send", q.address, "--priority", "32768", "x"}), 2, "0 to 32767");
    expect_failure(kith_run({"send", q.address, "--priority=-1", "x"}), 2, "0 to 32767");
    expect_failure(kith_run({"send", q.address, "--type", "1", "x"}), 2, "--priority");
    expect_failure(kith_run({"recv", q.address, "--type", "1"}), 2, "priority");
    expect_failure(kith_run({"create", q.address, "--size", "100"}), 2, "--max-messages");
    expect_failure(kith_run({"create", q.address, "--message-size", "0"}), 2, "at least one");
    const auto long_one = kith_run({"send", q.address}, std::string(101, 'x'));
    expect_failure(long_one, 1, "longer than the queue's message limit (100)");
    EXPECT_NE(long_one.err.find("--message-size 101"), std::string::npos) << long_one.err;
    expect_failure(kith_run({"recv", q.address, "--peek"}), 2, "no peek");
    out_of({"send", q.address, "x"});
    expect_failure(kith_run({"send", q.address, "y", "--no-wait"}), 3, "would_block");
}

TEST(cli_posix_mq, posix_mq_truncation_is_asked_for_and_told_with_the_full_size) {
    const named_queue q;
    out_of({"create", q.address, "--message-size", "100"});
    out_of({"send", q.address, "0123456789"});
    expect_failure(kith_run({"recv", q.address, "--max-size", "4"}), 1, "mq_msgsize is 100");
    const auto cut = json::parse(out_of({"recv", "--json", q.address, "--max-size", "4", "--truncate"}));
    EXPECT_EQ(cut["body"], "0123");
    EXPECT_EQ(cut["truncated"], true);
    EXPECT_EQ(cut["full_size"], 10);
}

TEST(cli_posix_mq, posix_mq_limits_are_named) {
    const named_queue q;
    child limited{[&] {
        const rlimit little{1000, 1000};
        CHILD_CHECK(::setrlimit(RLIMIT_MSGQUEUE, &little) == 0);
        const auto refused = kith_run({"create", q.address});
        CHILD_CHECK(refused.status == 1 && refused.err.find("RLIMIT_MSGQUEUE is 1000") != std::string::npos);
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
    const auto above = [&] {
        const auto refused = kith_run({"create", q.address, "--message-size", "1G"});
        CHILD_CHECK(refused.status == 1 && refused.err.find("fs.mqueue.msgsize_max is") != std::string::npos);
        return 0;
    };
    EXPECT_EQ(is_root() ? as_nobody(above) : child{above}.wait(), 0);
}

TEST(cli_posix_mq, posix_mq_follow_ends_with_its_signal) {
    const named_queue q;
    out_of({"create", q.address});
    auto follower = kith_start({"recv", q.address, "--follow", "--quiet"});
    wait_until_in_syscall(follower.pid(), SYS_ppoll);
    follower.kill(SIGINT);
    EXPECT_EQ(follower.wait(), 128 + SIGINT);
}

TEST(cli_posix_mq, posix_mq_serve_and_call_with_several_clients) {
    const named_queue q;
    auto server = kith_start({"serve", q.address, "--count", "4", "--jobs", "2", "--", "tr", "a-z", "A-Z"});
    wait_until_in_syscall(server.pid(), SYS_ppoll);
    std::vector<child> callers;
    for (int i = 0; i < 3; ++i)
        callers.emplace_back([&, i] {
            const auto reply = kith_run({"call", q.address, "client " + std::to_string(i)});
            CHILD_CHECK(reply.status == 0 && reply.out == "CLIENT " + std::to_string(i));
            return 0;
        });
    EXPECT_EQ(out_of({"call", q.address}, ""), "");
    for (auto& one : callers) EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(server.wait(), 0);
    expect_failure(kith_run({"call", q.address, "x"}), 1, "not_found");
}

TEST(cli_posix_mq, posix_mq_call_and_serve_interrupted_leave_no_queue_that_was_their_own) {
    const named_queue q;
    auto server = kith_start({"serve", q.address, "--quiet", "--", "cat"});
    wait_until_in_syscall(server.pid(), SYS_ppoll);
    server.kill(SIGINT);
    EXPECT_EQ(server.wait(), 128 + SIGINT);
    expect_failure(kith_run({"show", q.address}), 1, "not_found");

    // In a namespace of its own the client's queue is the only one left to be seen.
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        std::ofstream{"/proc/sys/fs/mqueue/queues_max"} << 2;
        auto requests = posix_mq::open("/jobs", {.create = creation::must_be_new});
        CHILD_CHECK(requests);
        auto caller = kith_start({"call", "posix-mq:/jobs", "x", "--quiet"});
        auto request = block(8192);
        CHILD_CHECK(requests->receive(request));
        caller.kill(SIGINT);
        CHILD_CHECK(caller.wait() == 128 + SIGINT);
        std::int64_t address = 0;
        std::memcpy(&address, request.data() + 8, sizeof address);
        char name[64];
        std::snprintf(name, sizeof name, "/jobs.reply.%016llx", static_cast<unsigned long long>(address));
        CHILD_CHECK(fails_with(posix_mq::open(name), kith::errc::not_found));
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

}  // namespace
