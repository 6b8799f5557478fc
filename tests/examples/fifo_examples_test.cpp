// The FIFO and pipe examples do what their first lines say.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/beside.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
namespace fs = std::filesystem;

std::string example(const std::string& name) { return binary_dir() + "/examples/" + name; }

TEST(examples, write_fifo_and_read_fifo_move_a_file) {
    const temp_dir dir;
    std::string data;
    for (int i = 0; i < 100000; ++i) data += std::to_string(i) + '\n';
    beside reader{{example("read_fifo"), dir.path("fifo")}};
    const auto writer = run({example("write_fifo"), dir.path("fifo")}, data);
    EXPECT_EQ(writer.status, 0) << writer.err;
    const auto got = reader.wait();
    EXPECT_EQ(got.status, 0) << got.err;
    EXPECT_TRUE(got.out == data);
}

TEST(examples, read_fifo_goes_on_for_several_writers) {
    const temp_dir dir;
    beside reader{{example("read_fifo"), dir.path("fifo"), "11"}};
    std::string expected;
    for (const std::string text : {"one", "two", "three"}) {
        EXPECT_EQ(run({example("write_fifo"), dir.path("fifo")}, text).status, 0);
        expected += text;
    }
    const auto got = reader.wait();
    EXPECT_EQ(got.status, 0) << got.err;
    EXPECT_EQ(got.out, expected);
}

TEST(examples, write_fifo_says_what_is_wrong) {
    const temp_dir dir;
    std::ofstream{dir.path("file")} << "x";
    const auto wrong = run({example("write_fifo"), dir.path("file")}, "data");
    EXPECT_EQ(wrong.status, 1);
    EXPECT_NE(wrong.err.find("wrong_kind"), std::string::npos) << wrong.err;
    EXPECT_EQ(run({example("write_fifo")}).status, 2);
    EXPECT_EQ(run({example("read_fifo")}).status, 2);
}

TEST(examples, fifo_server_serves_several_clients_at_once) {
    const temp_dir dir;
    const auto path = dir.path("numbers");
    beside server{{example("fifo_server"), path, "24"}};
    while (!fs::exists(path)) std::this_thread::yield();
    std::vector<std::unique_ptr<beside>> clients;
    for (int i = 0; i < 6; ++i)
        clients.push_back(
            std::make_unique<beside>(std::vector<std::string>{example("fifo_client"), path, "1", "10", "100", "1000"}));
    std::vector<std::pair<long, long>> ranges;
    for (auto& client : clients) {
        const auto got = client->wait();
        EXPECT_EQ(got.status, 0) << got.err;
        std::istringstream lines{got.out};
        long from = 0;
        long to = 0;
        std::string word;
        while (lines >> from >> word >> to) ranges.emplace_back(from, to);
    }
    EXPECT_EQ(server.wait().status, 0);
    // Nobody got what another one has: put together the ranges are 1 to 6666.
    std::sort(ranges.begin(), ranges.end());
    ASSERT_EQ(ranges.size(), 24u);
    long next = 1;
    for (const auto& [from, to] : ranges) {
        EXPECT_EQ(from, next);
        next = to + 1;
    }
    EXPECT_EQ(next, 6667);
}

TEST(examples, fifo_server_answers_nonsense_with_a_sentence) {
    const temp_dir dir;
    beside server{{example("fifo_server"), dir.path("numbers"), "3"}};
    while (!fs::exists(dir.path("numbers"))) std::this_thread::yield();
    const auto got = run({example("fifo_client"), dir.path("numbers"), "many", "0", "2"});
    EXPECT_EQ(got.out, "a number from 1 to 1000, please\na number from 1 to 1000, please\n1 to 2\n") << got.err;
    EXPECT_EQ(server.wait().status, 0);
}

TEST(examples, pipe_child_sorts_through_two_pipes) {
    const auto got = run({example("pipe_child")});
    EXPECT_EQ(got.status, 0) << got.err;
    EXPECT_EQ(got.out, "fifo\nmemory\npipe\nqueue\nsocket\n");
}

}  // namespace
