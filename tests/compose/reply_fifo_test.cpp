// Request and reply over FIFOs: SEMANTICS F3, F4, F6, F7, traps 1, 3, 9, 10 and docs/formats/reply_fifo.md row by row.
#include <kith/compose/reply_fifo.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <kith/observer.hpp>

#include "compose/reply_header.hpp"
#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::compose::reply_client;
using kith::compose::reply_fifo_request_max;
using kith::compose::reply_server;
namespace fs = std::filesystem;

using request_buffer = std::array<std::byte, reply_fifo_request_max>;

std::string big(std::size_t size, char fill = 'b') { return std::string(size, fill); }

class reply_fifo : public testing::Test {
protected:
    [[nodiscard]] std::string path() const { return dir_.path("service"); }
    [[nodiscard]] reply_server server() const {
        auto made = reply_server::open(path());
        EXPECT_TRUE(ok(made));
        return std::move(*made);
    }
    /// The private FIFOs that are there.
    [[nodiscard]] std::vector<std::string> private_fifos() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator{dir_.dir()})
            if (entry.path().filename().string().starts_with("service.reply.")) names.push_back(entry.path().string());
        return names;
    }
    /// A child that calls once and checks the answer.
    [[nodiscard]] child caller(const std::string& request, const std::string& expected) const {
        return child{[=, this] {
            auto client = reply_client::open(path(), deadline::in(30s));
            CHILD_CHECK(client);
            std::vector<std::byte> reply(1 << 20);
            const auto n = client->call(kith::bytes_of(request), reply, deadline::in(30s));
            CHILD_CHECK(n);
            return kith::text_of(reply).substr(0, *n) == expected ? 0 : 1;
        }};
    }
    /// A child whose status is the code that its call failed with.
    [[nodiscard]] child waiting_caller() const {
        return child{[this] {
            auto client = reply_client::open(path(), deadline::in(30s));
            CHILD_CHECK(client);
            std::vector<std::byte> reply(1 << 20);
            const auto n = client->call(kith::bytes_of("request"), reply);
            return n ? 1 : static_cast<int>(n.error().code());
        }};
    }
    void write_raw(const std::string& bytes) const {
        auto raw = kith::sys::open_fifo_writer(path(), deadline::immediate());
        ASSERT_TRUE(ok(raw));
        ASSERT_TRUE(ok(raw->write_some(kith::bytes_of(bytes))));
    }
    temp_dir dir_;
    request_buffer body_{};
};

TEST_F(reply_fifo, fifo_F6_several_clients_get_each_its_own_reply) {
    auto here = server();
    std::vector<child> clients;
    constexpr std::size_t count = 8;
    constexpr int calls = 20;
    for (std::size_t i = 0; i < count; ++i)
        clients.emplace_back([&, i] {
            auto client = reply_client::open(path(), deadline::in(30s));
            CHILD_CHECK(client);
            std::array<std::byte, 64> reply{};
            for (int call = 0; call < calls; ++call) {
                const auto text = "client " + std::to_string(i) + " call " + std::to_string(call);
                const auto n = client->call(kith::bytes_of(text), reply, deadline::in(30s));
                CHILD_CHECK(n && kith::text_of(reply).substr(0, *n) == "re: " + text);
            }
            return 0;
        });
    for (int round = 0; round < calls; ++round) {
        // Each client waits for its reply: a round is one request of each. They are answered in reverse.
        std::vector<std::pair<reply_server::request, std::string>> waiting;
        while (waiting.size() < count) {
            const auto request = here.receive(body_, deadline::in(30s));
            ASSERT_TRUE(ok(request));
            waiting.emplace_back(*request, kith::text_of(body_).substr(0, request->size));
        }
        for (auto one = waiting.rbegin(); one != waiting.rend(); ++one)
            EXPECT_TRUE(ok(here.reply(one->first.from, kith::bytes_of("re: " + one->second), deadline::in(30s))));
    }
    for (auto& one : clients) EXPECT_EQ(one.wait(), 0);
    EXPECT_TRUE(private_fifos().empty());
}

TEST_F(reply_fifo, fifo_G5_replies_of_any_length_arrive_whole) {
    auto here = server();
    for (const std::size_t size : {0u, 1u, 4000u, 4096u, 65536u, 1000000u}) {
        auto client = caller("how much", big(size));
        auto request = here.receive(body_, deadline::in(30s));
        ASSERT_TRUE(ok(request));
        EXPECT_EQ(kith::text_of(body_).substr(0, request->size), "how much");
        EXPECT_TRUE(ok(here.reply(request->from, kith::bytes_of(big(size)), deadline::in(30s))));
        EXPECT_EQ(client.wait(), 0) << size;
    }
}

TEST_F(reply_fifo, fifo_F6_a_request_is_one_atomic_write_and_a_longer_one_is_refused) {
    auto here = server();
    child client{[&] {
        auto peer = reply_client::open(path());
        std::array<std::byte, 16> reply{};
        const auto refused = peer->call(kith::bytes_of(big(reply_fifo_request_max + 1)), reply);
        CHILD_CHECK(!refused && refused.error().code() == errc::too_long);
        CHILD_CHECK(peer->call(kith::bytes_of(big(reply_fifo_request_max)), reply, deadline::in(30s)));
        CHILD_CHECK(peer->call({}, {}, deadline::in(30s)) == 0u);
        return 0;
    }};
    auto request = here.receive(body_, deadline::in(30s));
    ASSERT_TRUE(ok(request));  // of the refused one nothing came
    EXPECT_EQ(request->size, reply_fifo_request_max);
    EXPECT_EQ(kith::text_of(body_), big(reply_fifo_request_max));
    EXPECT_TRUE(ok(here.reply(request->from, kith::bytes_of("done"))));
    request = here.receive(body_, deadline::in(30s));
    ASSERT_TRUE(ok(request));
    EXPECT_EQ(request->size, 0u);
    EXPECT_TRUE(ok(here.reply(request->from, {})));
    EXPECT_EQ(client.wait(), 0);
}

TEST_F(reply_fifo, fifo_trap09_a_client_killed_between_request_and_reply_hurts_nobody_and_leaves_no_fifo) {
    auto here = server();
    auto client = waiting_caller();
    const auto request = here.receive(body_, deadline::in(30s));
    ASSERT_TRUE(ok(request));
    client.kill_and_reap();
    ASSERT_EQ(private_fifos().size(), 1u);
    static std::atomic<int> removed;
    removed = 0;
    kith::set_observer([](const kith::event& what, void*) noexcept {
        if (what.kind == kith::event_kind::stale_removed) ++removed;
    });
    EXPECT_TRUE(fails_with(here.reply(request->from, kith::bytes_of("too late")), errc::peer_gone, ENXIO));
    kith::set_observer(nullptr);
    EXPECT_EQ(removed, 1);
    EXPECT_TRUE(private_fifos().empty());
    EXPECT_TRUE(fails_with(here.reply(request->from, kith::bytes_of("later")), errc::peer_gone, ENOENT));
    auto next = caller("still there?", "yes");
    const auto another = here.receive(body_, deadline::in(30s));
    ASSERT_TRUE(ok(another));
    EXPECT_TRUE(ok(here.reply(another->from, kith::bytes_of("yes"))));
    EXPECT_EQ(next.wait(), 0);
}

TEST_F(reply_fifo, fifo_F8_a_client_killed_while_it_reads_is_peer_gone) {
    auto here = server();
    child client{[&] {
        auto peer = reply_client::open(path());
        std::vector<std::byte> reply(1 << 20);
        static_cast<void>(peer->call(kith::bytes_of("x"), reply));
        return 0;
    }};
    const auto request = here.receive(body_, deadline::in(30s));
    ASSERT_TRUE(ok(request));
    wait_until_in_syscall(client.pid(), SYS_ppoll);
    client.kill(SIGSTOP);  // it reads nothing more
    EXPECT_TRUE(
        fails_with(here.reply(request->from, kith::bytes_of(big(200000)), deadline::in(20ms)), errc::timed_out));
    client.kill_and_reap();
    EXPECT_TRUE(fails_with(here.reply(request->from, kith::bytes_of(big(200000)), deadline::in(30s)), errc::peer_gone));
}

TEST_F(reply_fifo, fifo_trap10_a_server_killed_inside_its_reply_is_not_taken_for_a_whole_one) {
    child dying{[&] {
        auto here = reply_server::open(path());
        const auto request = here->receive(body_);
        CHILD_CHECK(request);
        const auto name = path() + ".reply." + request->from.token.data();
        auto raw = kith::sys::open_fifo_writer(name, deadline::immediate());
        char line[128];
        const auto size = kith::detail::write_header(line, request->from.id, 100, {});
        CHILD_CHECK(raw && raw->write_some(kith::bytes_of({line, size})) && raw->write_some(kith::bytes_of("half")));
        ::raise(SIGKILL);
        return 0;
    }};
    auto client = reply_client::open(path(), deadline::in(30s));
    while (!client) client = reply_client::open(path(), deadline::in(30s));  // the FIFO may not have been made yet
    std::array<std::byte, 200> reply{};
    EXPECT_TRUE(fails_with(client->call(kith::bytes_of("x"), reply, deadline::in(30s)), errc::peer_gone));
    EXPECT_EQ(dying.wait(), 128 + SIGKILL);
}

TEST_F(reply_fifo, fifo_F8_a_server_killed_before_its_reply_ends_the_call_at_once) {
    child dying{[&] {
        auto here = reply_server::open(path());
        CHILD_CHECK(here && here->receive(body_));
        for (;;) ::pause();
        return 0;
    }};
    while (!fs::exists(path())) std::this_thread::yield();
    auto client = waiting_caller();
    wait_until_in_syscall(dying.pid(), SYS_pause);
    wait_until_in_syscall(client.pid(), SYS_ppoll);
    dying.kill_and_reap();
    EXPECT_EQ(client.wait(), static_cast<int>(errc::peer_gone));
    EXPECT_TRUE(private_fifos().empty());
}

TEST_F(reply_fifo, fifo_trap01_a_late_reply_is_never_taken_for_the_next_calls) {
    auto here = server();
    child client{[&] {
        auto peer = reply_client::open(path());
        std::array<std::byte, 64> reply{};
        const auto first = peer->call(kith::bytes_of("first"), reply, deadline::in(5ms));
        CHILD_CHECK(!first && first.error().code() == errc::timed_out);
        const auto n = peer->call(kith::bytes_of("second"), reply, deadline::in(30s));
        CHILD_CHECK(n && kith::text_of(reply).substr(0, *n) == "to the second");
        return 0;
    }};
    const auto first = here.receive(body_, deadline::in(30s));
    const auto second = here.receive(body_, deadline::in(30s));
    ASSERT_TRUE(first && second);
    EXPECT_TRUE(fails_with(here.reply(first->from, kith::bytes_of("to the first")), errc::peer_gone, ENOENT));
    EXPECT_TRUE(ok(here.reply(second->from, kith::bytes_of("to the second"))));
    EXPECT_EQ(client.wait(), 0);
}

TEST_F(reply_fifo, fifo_refused_requests_end_the_call) {
    auto here = server();
    auto client = waiting_caller();
    const auto request = here.receive(body_, deadline::in(30s));
    ASSERT_TRUE(ok(request));
    EXPECT_TRUE(ok(here.refuse(request->from)));
    EXPECT_EQ(client.wait(), static_cast<int>(errc::peer_gone));
}

TEST_F(reply_fifo, fifo_G5_a_reply_longer_than_the_buffer_is_truncated_and_says_so) {
    auto here = server();
    child client{[&] {
        auto peer = reply_client::open(path());
        std::array<std::byte, 4> small{};
        const auto cut = peer->call(kith::bytes_of("x"), small, deadline::in(30s));
        CHILD_CHECK(!cut && cut.error().code() == errc::truncated);
        std::array<std::byte, 5> enough{};
        CHILD_CHECK(peer->call(kith::bytes_of("x"), enough, deadline::in(30s)) == 5u);
        return 0;
    }};
    for (int i = 0; i < 2; ++i) {
        const auto request = here.receive(body_, deadline::in(30s));
        ASSERT_TRUE(ok(request));
        EXPECT_TRUE(ok(here.reply(request->from, kith::bytes_of("large"))));
    }
    EXPECT_EQ(client.wait(), 0);
}

TEST_F(reply_fifo, fifo_trap03_a_server_sleeps_while_no_client_is_there) {
    child idle{[&] {
        auto here = reply_server::open(path());
        CHILD_CHECK(here && here->receive(body_) && here->receive(body_));
        return 0;
    }};
    for (int i = 0; i < 2; ++i) {
        wait_until_in_syscall(idle.pid(), SYS_ppoll);  // before the first client, and after it has left
        write_raw("kith-request/1 0000000000000001 0 t\n");
    }
    EXPECT_EQ(idle.wait(), 0);
}

TEST_F(reply_fifo, fifo_bytes_that_are_no_request_are_thrown_away_up_to_the_next_one) {
    auto here = server();
    write_raw("GET / HTTP/1.0\r\n\r\nkith-requkith-request/1 00000000000000ff 2 tok\nok");
    EXPECT_TRUE(fails_with(here.receive(body_, deadline::immediate()), errc::bad_peer));
    kith::result<reply_server::request> request = kith::fail(errc::bad_peer, "test");
    while (!request && request.error().code() == errc::bad_peer) request = here.receive(body_, deadline::immediate());
    ASSERT_TRUE(ok(request));
    EXPECT_EQ(request->from.id, 0xffu);
    EXPECT_STREQ(request->from.token.data(), "tok");
    EXPECT_EQ(kith::text_of(body_).substr(0, request->size), "ok");
    EXPECT_TRUE(fails_with(here.receive(body_, deadline::immediate()), errc::would_block));
}

TEST_F(reply_fifo, fifo_headers_out_of_the_grammar_are_refused) {
    kith::detail::reply_header header;
    using kith::detail::header_state;
    const auto state = [&](const std::string& text) { return kith::detail::parse_request(text, header); };
    EXPECT_EQ(state("kith-request/1 00000000000000ab 5 77-a\nhello"), header_state::whole);
    EXPECT_EQ(state(""), header_state::partial);
    EXPECT_EQ(state("kith-req"), header_state::partial);
    EXPECT_EQ(state("kith-request/1 00000000000000ab 5 77-a"), header_state::partial);
    for (const char* wrong :
         {"kith-request/2 00000000000000ab 5 a\n", "kith-request/1 ab 5 a\n", "kith-request/1 00000000000000ag 5 a\n",
          "kith-request/1 00000000000000ab  a\n", "kith-request/1 00000000000000ab -5 a\n",
          "kith-request/1 00000000000000ab 5 ../a\n", "kith-request/1 00000000000000ab 5 a/b\n",
          "kith-request/1 00000000000000ab 5 \n", "kith-request/1 00000000000000ab 5\n",
          "kith-request/1 00000000000000ab 3969 a\n", "kith-request/1 00000000000000ab 99999999999999999999 a\n",
          "kith-request/1 00000000000000ab 5 a b\n", "kith-reply/1 00000000000000ab 5\n"})
        EXPECT_EQ(state(wrong), header_state::wrong) << wrong;
    EXPECT_EQ(state("kith-request/1 00000000000000ab 5 " + big(65) + "\n"), header_state::wrong);
    EXPECT_EQ(state("kith-request/1 " + big(200)), header_state::wrong);
}

TEST_F(reply_fifo, fifo_F7_the_server_writes_only_to_fifos_beside_its_own) {
    auto here = server();
    std::ofstream{path() + ".reply.file"} << "precious";
    ASSERT_EQ(::mkfifo(dir_.path("target").c_str(), 0600), 0);
    const auto target = kith::sys::open_fifo_reader(dir_.path("target"), deadline::immediate());
    ASSERT_EQ(::symlink(dir_.path("target").c_str(), (path() + ".reply.link").c_str()), 0);
    write_raw("kith-request/1 0000000000000001 0 file\nkith-request/1 0000000000000001 0 link\n");
    for (int i = 0; i < 2; ++i) {
        const auto request = here.receive(body_, deadline::immediate());
        ASSERT_TRUE(ok(request));
        EXPECT_TRUE(fails_with(here.reply(request->from, kith::bytes_of("x")), errc::wrong_kind));
        EXPECT_TRUE(fails_with(here.refuse(request->from), errc::wrong_kind));
    }
    EXPECT_EQ(*target->queued(), 0u);
    std::string content;
    std::ifstream{path() + ".reply.file"} >> content;
    EXPECT_EQ(content, "precious");
}

TEST_F(reply_fifo, fifo_a_reply_that_is_none_is_bad_peer) {
    auto here = server();
    for (const std::string answer : {"hello\n", "kith-reply/1 0000000000000000 5\nhello"}) {
        auto client = waiting_caller();
        const auto request = here.receive(body_, deadline::in(30s));
        ASSERT_TRUE(ok(request));
        auto raw = kith::sys::open_fifo_writer(path() + ".reply." + request->from.token.data(), deadline::immediate());
        ASSERT_TRUE(raw && raw->write_some(kith::bytes_of(answer)));
        EXPECT_EQ(client.wait(), static_cast<int>(errc::bad_peer));
    }
}

TEST_F(reply_fifo, fifo_opening_follows_the_policy_and_one_server_only) {
    EXPECT_TRUE(fails_with(reply_server::open(path(), kith::sys::creation::must_exist), errc::not_found));
    EXPECT_TRUE(fails_with(reply_client::open(path(), deadline::in(30s)), errc::not_found));
    {
        const auto here = server();
        EXPECT_TRUE(fails_with(reply_server::open(path()), errc::exists, EWOULDBLOCK));
        EXPECT_TRUE(fails_with(reply_server::open(path(), kith::sys::creation::must_be_new), errc::exists, EEXIST));
    }
    EXPECT_TRUE(fails_with(reply_client::open(path(), deadline::immediate()), errc::would_block, ENXIO));
    EXPECT_TRUE(fails_with(reply_client::open(path(), deadline::in(5ms)), errc::timed_out, ENXIO));
    EXPECT_TRUE(ok(reply_server::open(path(), kith::sys::creation::must_exist)));
    EXPECT_TRUE(fails_with(reply_server::open(big(200)), errc::too_long));
    EXPECT_TRUE(fails_with(reply_server::open("/tmp/"), errc::invalid));
}

TEST_F(reply_fifo, fifo_a_stop_token_ends_the_call_and_close_the_server) {
    auto here = server();
    std::atomic<pid_t> tid{0};
    std::jthread caller{[&](const std::stop_token& stop) {
        auto client = reply_client::open(path());
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(client->call(kith::bytes_of("x"), {}, {deadline::never(), stop}), errc::stopped));
    }};
    ASSERT_TRUE(ok(here.receive(body_, deadline::in(30s))));
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    caller.request_stop();
    caller.join();
    tid = 0;
    std::jthread serving{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(here.receive(body_), errc::stopped));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_ppoll);
    here.close();
}

TEST_F(reply_fifo, fifo_clients_leave_neither_descriptors_nor_names) {
    auto here = server();
    const int before = open_descriptors();
    {
        auto client = reply_client::open(path());
        ASSERT_TRUE(ok(client));
        EXPECT_TRUE(fails_with(client->call({}, {}, deadline::in(1ms)), errc::timed_out));
        EXPECT_TRUE(fails_with(client->call({}, {}, deadline::immediate()), errc::would_block));
        EXPECT_EQ(private_fifos().size(), 1u);
        auto moved = std::move(*client);
        client = reply_client::open(path());
        EXPECT_EQ(private_fifos().size(), 1u);
    }
    EXPECT_TRUE(private_fifos().empty());
    EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
