// The command on System V queues: what a user types, what comes out, and how it ends.
#include <gtest/gtest.h>
#include <sched.h>
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
using nlohmann::json;

std::string address_of(kith::sys::sysv_key key) {
    char text[32];
    std::snprintf(text, sizeof text, "sysv-mq:0x%08x", static_cast<unsigned>(key.value()));
    return text;
}

// A queue with a key, and its address.
struct keyed_queue {
    kith::sys::sysv_key key = unique_key();
    scoped_sysv_mq queue;
    std::string address = address_of(key);
    explicit keyed_queue(const kith::sys::sysv_mq_options& options = {}) : queue{key, options} {}
};

TEST(cli_sysv_mq, sysv_mq_create_show_and_rm_by_key) {
    const auto key = unique_key();
    const auto where = address_of(key);
    EXPECT_EQ(out_of({"create", where, "--mode", "640", "--size", "1000"}), where + '\n');
    const auto queue = kith::sys::sysv_mq::open(key);
    ASSERT_TRUE(ok(queue));
    const sysv_mq_guard guard{queue->native_id()};
    EXPECT_EQ(queue->status()->mode, 0640u);
    ASSERT_TRUE(ok(queue->send(3, kith::bytes_of("hello"))));

    const auto seen = json::parse(out_of({"show", "--json", where}));
    EXPECT_EQ(seen["address"], where);
    EXPECT_EQ(seen["id"], queue->native_id());
    EXPECT_EQ(seen["key"], where.substr(8));
    EXPECT_EQ(seen["mode"], "0640");
    EXPECT_EQ(seen["messages"], 1);
    EXPECT_EQ(seen["bytes"], 5);
    EXPECT_EQ(seen["capacity"], 1000);
    EXPECT_EQ(seen["last_sender"], ::getpid());
    EXPECT_TRUE(seen["last_receive"].is_null());
    EXPECT_NE(out_of({"show", where}).find("capacity"), std::string::npos);

    EXPECT_FALSE(json::parse(out_of({"create", "--json", where}))["new"].get<bool>());
    expect_failure(kith_run({"create", where, "--exclusive"}), 1, "exists already");
    expect_failure(kith_run({"create", where, "--size", "999"}), 1, "holds 1000 bytes");
    EXPECT_EQ(out_of({"rm", where}), "");
    expect_failure(kith_run({"show", where}), 1, "container");
    expect_failure(kith_run({"rm", where}), 1, "not_found");
}

TEST(cli_sysv_mq, sysv_mq_private_ids_and_paths) {
    const auto by_id = out_of({"create", "sysv-mq:private"});
    ASSERT_TRUE(by_id.starts_with("sysv-mq:id="));
    const auto where = by_id.substr(0, by_id.size() - 1);
    const sysv_mq_guard guard{std::stoi(where.substr(11))};
    EXPECT_EQ(out_of({"send", where, "x"}), "");
    EXPECT_EQ(out_of({"recv", where}), "x");
    EXPECT_TRUE(json::parse(out_of({"show", "--json", where}))["key"].is_null());
    expect_failure(kith_run({"send", "sysv-mq:private", "x"}), 2, "kith create");
    expect_failure(kith_run({"create", where}), 2, "the kernel chooses ids");
    EXPECT_EQ(out_of({"rm", where}), "");
    expect_failure(kith_run({"recv", where}), 1, "not_found");

    const temp_dir dir;
    std::ofstream{dir.path("file")} << "x";
    const auto by_path = std::string{"sysv-mq:"}.append(dir.path("file")).append("?proj=65");
    EXPECT_EQ(out_of({"create", by_path}), by_path + '\n');
    const auto key = kith::sys::sysv_key::from_path(dir.path("file"), 65);
    EXPECT_EQ(json::parse(out_of({"show", "--json", by_path}))["key"], address_of(*key).substr(8));
    EXPECT_EQ(out_of({"rm", address_of(*key)}), "");
}

TEST(cli_sysv_mq, sysv_mq_messages_are_exact_bytes) {
    const keyed_queue q;
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    EXPECT_EQ(out_of({"send", q.address}, all), "");
    EXPECT_EQ(out_of({"send", q.address, ""}), "");
    EXPECT_EQ(q.queue.status()->bytes, 256u);
    EXPECT_EQ(out_of({"recv", q.address}), all);
    const auto empty = json::parse(out_of({"recv", "--json", q.address}));
    EXPECT_EQ(empty["body"], "");
    EXPECT_EQ(empty["type"], 1);
}

TEST(cli_sysv_mq, sysv_mq_recv_by_type_and_count) {
    const keyed_queue q;
    for (const auto& [type, text] :
         std::vector<std::pair<std::string, std::string>>{{"5", "a"}, {"3", "b"}, {"9", "c"}, {"3", "d"}})
        EXPECT_EQ(out_of({"send", q.address, "--type", type, text}), "");
    EXPECT_EQ(out_of({"recv", q.address, "--type", "9"}), "c");
    EXPECT_EQ(out_of({"recv", q.address, "--type", "!5"}), "b");
    EXPECT_EQ(out_of({"recv", q.address, "--type=-4"}), "d");
    expect_failure(kith_run({"recv", q.address, "--type", "4", "--no-wait"}), 3, "no message of that type");
    EXPECT_EQ(out_of({"send", q.address, "--lines"}, "one\ntwo\n"), "");
    EXPECT_EQ(out_of({"recv", q.address, "--count", "3", "--format", "lines"}), "a\none\ntwo\n");
    expect_failure(kith_run({"recv", q.address, "--type", "!0"}), 2, "--type");
}

TEST(cli_sysv_mq, sysv_mq_peek_leaves_the_messages) {
    const keyed_queue q;
    out_of({"send", q.address, "--lines"}, "one\ntwo\n");
    EXPECT_EQ(out_of({"recv", q.address, "--peek"}), "one");
    EXPECT_EQ(out_of({"recv", q.address, "--peek=1"}), "two");
    expect_failure(kith_run({"recv", q.address, "--peek=2"}), 3, "no message 2");
    EXPECT_EQ(q.queue.status()->messages, 2u);
    EXPECT_EQ(out_of({"drain", q.address}), "2\n");
    EXPECT_EQ(json::parse(out_of({"drain", "--json", q.address}))["drained"], 0);
}

TEST(cli_sysv_mq, sysv_mq_follow_goes_on_until_the_queue_is_removed) {
    const keyed_queue q;
    out_of({"send", q.address, "--lines"}, "one\ntwo\n");
    auto follower = kith_start({"recv", q.address, "--follow", "--quiet"});
    wait_until_in_syscall(follower.pid(), SYS_msgrcv);
    EXPECT_EQ(q.queue.status()->messages, 0u);
    ASSERT_TRUE(ok(q.queue.remove()));
    EXPECT_EQ(follower.wait(), 4);
}

TEST(cli_sysv_mq, sysv_mq_waits_end_with_time_and_with_removal) {
    const keyed_queue q{{.capacity = 10}};
    out_of({"send", q.address, "0123456789"});
    expect_failure(kith_run({"send", q.address, "x", "--timeout", "20ms"}), 124, "timed_out");
    expect_failure(kith_run({"send", q.address, "x", "--no-wait"}), 3, "would_block");
    expect_failure(kith_run({"recv", q.address, "--type", "7", "--timeout", "20ms"}), 124, "timed_out");
    auto sender = kith_start({"send", q.address, "x", "--quiet"});
    wait_until_in_syscall(sender.pid(), SYS_msgsnd);
    ASSERT_TRUE(ok(q.queue.remove()));
    EXPECT_EQ(sender.wait(), 4);
}

TEST(cli_sysv_mq, sysv_mq_bad_input_is_refused_with_reasons) {
    const keyed_queue q{{.capacity = 100}};
    for (const auto* malformed :
         {"sysv-mq:0xzz", "sysv-mq:", "sysv-mq:0x123456789", "sysv-mq:id=-1", "sysv-mq:/x?prj=1"})
        expect_failure(kith_run({"show", malformed}), 2, "kith_addresses(7)");
    expect_failure(kith_run({"send", q.address, "--type", "0", "x"}), 2, "from 1 on");
    expect_failure(kith_run({"send", q.address, "--type=-3", "x"}), 2, "from 1 on");
    expect_failure(kith_run({"send", q.address, "--priority", "3", "x"}), 2, "--type");
    expect_failure(kith_run({"create", q.address, "--max-messages", "3"}), 2, "--size");
    expect_failure(kith_run({"create", q.address, "--message-size", "3"}), 2, "msgmax");
    expect_failure(kith_run({"create", q.address, "--values", "3"}), 2, "semaphores");
    expect_failure(kith_run({"send", q.address}, std::string(101, 'x')), 1, "holds 100 bytes");
    expect_failure(kith_run({"send", q.address}, std::string(100000, 'x')), 1, "kernel.msgmax is");
    EXPECT_EQ(q.queue.status()->messages, 0u);
    const auto told = json::parse(kith_run({"send", "--json", q.address}, std::string(101, 'x')).err);
    EXPECT_EQ(told["code"], "too_long");
    EXPECT_EQ(told["errno_name"], "EAGAIN");
    EXPECT_EQ(told["operation"], "msgsnd");
    EXPECT_EQ(told["object"], q.address);
    expect_failure(kith_run({"listen", q.address}), 2, "the verbs for sysv-mq:");
}

TEST(cli_sysv_mq, sysv_mq_truncation_is_asked_for_and_told) {
    const keyed_queue q;
    out_of({"send", q.address, "0123456789"});
    expect_failure(kith_run({"recv", q.address, "--max-size", "4"}), 1, "--truncate");
    EXPECT_EQ(q.queue.status()->messages, 1u);
    const auto cut = json::parse(out_of({"recv", "--json", q.address, "--max-size", "4", "--truncate"}));
    EXPECT_EQ(cut["body"], "0123");
    EXPECT_EQ(cut["truncated"], true);
    EXPECT_EQ(q.queue.status()->messages, 0u);
}

TEST(cli_sysv_mq, sysv_mq_without_the_right_it_says_whose_it_is) {
    NEEDS_ROOT();
    const keyed_queue q;
    EXPECT_EQ(0, as_nobody([&] {
                  const auto refused = kith_run({"recv", q.address});
                  CHILD_CHECK(refused.status == 1 && refused.err.find("not_permitted (EACCES)") != std::string::npos);
                  CHILD_CHECK(refused.err.find("ipcs -q   shows owner and mode") != std::string::npos);
                  const auto kept = kith_run({"rm", q.address});
                  CHILD_CHECK(kept.err.find("EPERM") != std::string::npos);
                  // The size of a queue has nothing to do with who may remove it.
                  CHILD_CHECK(kept.err.find("msgmnb") == std::string::npos);
                  return 0;
              }));
}

TEST(cli_sysv_mq, sysv_mq_a_reached_number_of_queues_names_the_limit) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        std::ofstream{"/proc/sys/kernel/msgmni"} << 1;
        if (kith::sys::read_sysv_mq_limits()->queues != 1) return 77;
        CHILD_CHECK(kith_run({"create", "sysv-mq:0x1"}).status == 0);
        const auto refused = kith_run({"create", "sysv-mq:0x2"});
        CHILD_CHECK(refused.status == 1 && refused.err.find("kernel.msgmni is 1 ") != std::string::npos);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here, or their limits are fixed";
    EXPECT_EQ(status, 0);
}

struct served_key {
    kith::sys::sysv_key key = unique_key();
    std::string address = address_of(key);
    ~served_key() {
        for (const auto one : {key, kith::sys::sysv_key{key.value() ^ INT32_MIN}})
            if (const auto queue = kith::sys::sysv_mq::open(one)) static_cast<void>(queue->remove());
    }
    // Until the server has its queues and waits for a request.
    void wait_for(const child& server) const {
        const auto give_up = kith::deadline::in(20s);
        while (!kith::compose::sysv_request_client::open(key) && give_up.remaining_ns() != 0) ::usleep(1000);
        wait_until_in_syscall(server.pid(), {SYS_msgrcv, SYS_futex});
    }
};

TEST(cli_sysv_mq, sysv_mq_serve_and_call_with_several_clients) {
    const served_key at;
    auto server = kith_start({"serve", at.address, "--count", "4", "--jobs", "2", "--", "tr", "a-z", "A-Z"});
    at.wait_for(server);
    std::vector<child> callers;
    for (int i = 0; i < 3; ++i)
        callers.emplace_back([&, i] {
            const auto text = "client " + std::to_string(i);
            const auto reply = kith_run({"call", at.address, text});
            CHILD_CHECK(reply.status == 0 && reply.out == "CLIENT " + std::to_string(i));
            return 0;
        });
    EXPECT_EQ(out_of({"call", at.address}, ""), "");
    for (auto& one : callers) EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(server.wait(), 0);
    EXPECT_TRUE(fails_with(kith::sys::sysv_mq::open(at.key), kith::errc::not_found));  // it had made them
    expect_failure(kith_run({"call", at.address, "x"}), 1, "not_found");
}

TEST(cli_sysv_mq, sysv_mq_serve_interrupted_leaves_no_queue_that_was_its_own) {
    const served_key at;
    auto server = kith_start({"serve", at.address, "--quiet", "--", "cat"});
    at.wait_for(server);
    server.kill(SIGINT);
    EXPECT_EQ(server.wait(), 128 + SIGINT);
    EXPECT_TRUE(fails_with(kith::sys::sysv_mq::open(at.key), kith::errc::not_found));

    const scoped_sysv_mq mine{at.key, {}};
    auto again = kith_start({"serve", at.address, "--quiet", "--", "cat"});
    at.wait_for(again);
    again.kill(SIGTERM);
    EXPECT_EQ(again.wait(), 128 + SIGTERM);
    EXPECT_TRUE(ok(mine.status()));
}

TEST(cli_sysv_mq, sysv_mq_the_reply_queue_of_a_killed_server_is_told_and_removed) {
    for (const bool both : {false, true}) {
        const served_key at;
        const auto replies = address_of(kith::sys::sysv_key{at.key.value() ^ INT32_MIN});
        auto server = kith_start({"serve", at.address, "--quiet", "--", "cat"});
        at.wait_for(server);
        server.kill_and_reap();
        EXPECT_EQ(json::parse(out_of({"show", "--json", at.address}))["reply_queue"], replies);
        const auto removed = both ? kith_run({"rm", at.address, "--replies"}) : kith_run({"rm", at.address});
        EXPECT_EQ(removed.status, 0) << removed.err;
        EXPECT_EQ(removed.err.find("kith rm " + replies) != removed.err.npos, !both) << removed.err;
        // The request queue is gone, and --replies finds the other one all the same.
        const auto rest = kith_run({"rm", "--json", "--replies", at.address});
        EXPECT_EQ(rest.status, both ? 1 : 0) << rest.err;
        expect_failure(kith_run({"show", replies}), 1, "not_found");
        expect_failure(kith_run({"show", at.address}), 1, "not_found");
    }
    const keyed_queue plain;
    EXPECT_EQ(json::parse(out_of({"show", "--json", plain.address}))["reply_queue"], nullptr);
    EXPECT_EQ(kith_run({"rm", plain.address}).err, "");
    expect_failure(kith_run({"rm", "--replies", "fifo:/no/such"}), 2, "--replies means nothing");
}

TEST(cli_sysv_mq, sysv_mq_call_without_an_answer_times_out) {
    const served_key at;
    const auto server = kith::compose::sysv_request_server::open(at.key);
    ASSERT_TRUE(ok(server));
    expect_failure(kith_run({"call", at.address, "x", "--timeout", "20ms"}), 124, "timed_out");
    expect_failure(kith_run({"call", at.address, "x", "--no-wait"}), 2, "--timeout");
    expect_failure(kith_run({"call", "sysv-mq:private", "x"}), 2, "with a key");
}

}  // namespace
