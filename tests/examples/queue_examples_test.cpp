// The message queue examples do what their first lines say.
#include <kith/sys/sysv_mq.hpp>

#include <fstream>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/queues.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::sys::sysv_key;
using kith::sys::sysv_mq;

std::string example(const std::string& name) { return binary_dir() + "/examples/" + name; }

TEST(examples, queue_server_answers_several_clients_each_by_its_type) {
    const temp_dir dir;
    // The queue of the path, with a message of a run that crashed.
    const auto key = sysv_key::from_path(dir.dir(), 'q');
    ASSERT_TRUE(ok(key));
    const scoped_sysv_mq queue{*key, {}};
    ASSERT_TRUE(ok(queue.send(1, kith::bytes_of("2 of a dead run"))));
    constexpr int clients = 3;
    child server{[&] {
        const auto ended = run({example("queue_server"), dir.dir(), "9"});
        CHILD_CHECK(ended.status == 0);
        CHILD_CHECK(ended.err == "dropped 1 old messages\n");
        return 0;
    }};
    const auto give_up = kith::deadline::in(20s);
    while (queue.status()->messages != 0 && give_up.remaining_ns() != 0) ::usleep(1000);
    std::vector<child> kin;
    for (int c = 0; c < clients; ++c)
        kin.emplace_back([&, c] {
            const auto text = "client " + std::to_string(c);
            const auto ended = run({example("queue_client"), dir.dir(), text, "two", text});
            const auto mine = "CLIENT " + std::to_string(c) + "\n";
            CHILD_CHECK(ended.status == 0 && ended.out == mine + "TWO\n" + mine);
            return 0;
        });
    for (auto& one : kin) EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(server.wait(), 0);
    EXPECT_TRUE(fails_with(queue.status(), kith::errc::removed));
}

TEST(examples, queue_client_says_that_there_is_no_server) {
    const temp_dir dir;
    const auto alone = run({example("queue_client"), dir.dir(), "x"});
    EXPECT_EQ(alone.status, 1);
    EXPECT_NE(alone.err.find("not_found"), std::string::npos) << alone.err;
    EXPECT_EQ(run({example("queue_client")}).status, 2);
    EXPECT_EQ(run({example("queue_server")}).status, 2);
}

}  // namespace
