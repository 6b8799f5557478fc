// A connection over two FIFOs: SEMANTICS F2, F4, F5, P7 and docs/formats/fifo_pair.md row by row.
#include <kith/compose/fifo_pair.hpp>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::compose::connect_fifo_pair;
using kith::compose::fifo_connection;
using kith::compose::fifo_listener;
namespace fs = std::filesystem;

std::string read_to_end(kith::sys::fifo_reader& reader) {
    std::string all;
    std::byte buffer[4096];
    for (;;) {
        const auto n = reader.read_some(buffer, deadline::in(30s));
        if (!n) return n.error().code() == errc::end_of_stream ? all : all + kith::describe(n.error());
        all += kith::text_of({buffer, *n});
    }
}

bool say(kith::sys::fifo_writer& writer, std::string_view text) {
    std::size_t done = 0;
    return writer.write_full(kith::bytes_of(text), done, deadline::in(30s)).has_value();
}

/// Reads the request to its end, answers "you said ..." and ends.
int serve_once(fifo_listener& listener, const kith::wait_policy& wait = {}) {
    auto peer = listener.accept(wait);
    CHILD_CHECK(peer);
    const auto said = read_to_end(peer->reader);
    CHILD_CHECK(say(peer->writer, "you said " + said));
    return 0;
}

std::string ask(const std::string& path, const std::string& text) {
    auto peer = connect_fifo_pair(path, deadline::in(30s));
    if (!peer) return kith::describe(peer.error());
    if (!say(peer->writer, text)) return "not written";
    peer->writer.close();  // half-close
    return read_to_end(peer->reader);
}

class fifo_pair : public testing::Test {
protected:
    [[nodiscard]] std::string path() const { return dir_.path("talk"); }
    temp_dir dir_;
};

TEST_F(fifo_pair, fifo_F2_both_sides_meet_whoever_comes_first) {
    for (const bool timed : {false, true}) {
        child server{[&] {
            auto listener = fifo_listener::open(path());
            CHILD_CHECK(listener);
            return serve_once(*listener, timed ? deadline::in(30s) : deadline::never());
        }};
        EXPECT_EQ(ask(path(), "hello"), "you said hello");
        EXPECT_EQ(server.wait(), 0);
    }
    child client{[&] { return ask(path(), "early") == "you said early" ? 0 : 1; }};
    wait_until_in_syscall(client.pid(), SYS_futex);  // nobody listens yet
    auto listener = fifo_listener::open(path());
    ASSERT_TRUE(ok(listener));
    EXPECT_EQ(serve_once(*listener), 0);
    EXPECT_EQ(client.wait(), 0);
}

TEST_F(fifo_pair, fifo_F2_waiting_for_the_other_side_has_a_deadline_and_leaves_no_descriptors) {
    const int before = open_descriptors();
    EXPECT_TRUE(fails_with(connect_fifo_pair(path(), deadline::immediate()), errc::would_block, ENOENT));
    EXPECT_TRUE(fails_with(connect_fifo_pair(path(), deadline::in(10ms)), errc::timed_out, ENOENT));
    {
        auto listener = fifo_listener::open(path());
        ASSERT_TRUE(ok(listener));
        EXPECT_TRUE(fails_with(listener->accept(deadline::immediate()), errc::would_block, ENXIO));
        EXPECT_TRUE(fails_with(listener->accept(deadline::in(10ms)), errc::timed_out, ENXIO));
        EXPECT_TRUE(fails_with(connect_fifo_pair(path(), deadline::in(10ms)), errc::timed_out, EINPROGRESS));
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(fs::exists(path() + ".pair"));
    EXPECT_TRUE(fails_with(connect_fifo_pair(dir_.path("no/such"), deadline::in(30s)), errc::not_found, ENOENT));
}

TEST_F(fifo_pair, fifo_F2_a_stop_token_ends_either_wait) {
    for (const bool listening : {true, false}) {
        std::atomic<pid_t> tid{0};
        std::jthread waiter{[&](const std::stop_token& stop) {
            const kith::wait_policy wait{deadline::never(), stop};
            auto listener = fifo_listener::open(path() + (listening ? "1" : "2"));
            tid = static_cast<pid_t>(::syscall(SYS_gettid));
            if (listening) {
                EXPECT_TRUE(fails_with(listener->accept(wait), errc::stopped, 0));
            } else {
                EXPECT_TRUE(fails_with(connect_fifo_pair(path(), wait), errc::stopped, 0));
            }
        }};
        while (tid == 0) std::this_thread::yield();
        wait_until_thread_in_syscall(tid, SYS_futex);
        waiter.request_stop();
    }
}

TEST_F(fifo_pair, fifo_P7_each_direction_ends_by_itself) {
    child server{[&] {
        auto listener = fifo_listener::open(path());
        auto peer = listener->accept();
        CHILD_CHECK(peer && say(peer->writer, "first word"));
        peer->writer.close();  // the listener ends its direction first
        CHILD_CHECK(read_to_end(peer->reader) == "and the last");
        return 0;
    }};
    auto peer = connect_fifo_pair(path());
    ASSERT_TRUE(ok(peer));
    EXPECT_EQ(read_to_end(peer->reader), "first word");
    EXPECT_TRUE(say(peer->writer, "and the last"));
    peer->writer.close();
    EXPECT_EQ(server.wait(), 0);
}

TEST_F(fifo_pair, fifo_F2_many_connectors_come_one_after_the_other_and_never_mix) {
    constexpr int connectors = 12;
    child server{[&] {
        auto listener = fifo_listener::open(path());
        CHILD_CHECK(listener);
        for (int i = 0; i < connectors; ++i) CHILD_CHECK(serve_once(*listener, deadline::in(30s)) == 0);
        return 0;
    }};
    std::vector<child> clients;
    for (int i = 0; i < connectors; ++i)
        clients.emplace_back([&, i] {
            const std::string text(20000, static_cast<char>('a' + i));
            return ask(path(), text) == "you said " + text ? 0 : 1;
        });
    for (auto& one : clients) EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(server.wait(), 0);
}

TEST_F(fifo_pair, fifo_F2_connectors_killed_at_any_moment_do_not_spoil_the_next_connection) {
    child server{[&] {
        auto listener = fifo_listener::open(path());
        CHILD_CHECK(listener);
        for (;;) {
            auto peer = listener->accept(deadline::in(30s));
            CHILD_CHECK(peer);
            const auto said = read_to_end(peer->reader);
            if (said.empty()) continue;  // it died before it had a word
            say(peer->writer, "you said " + said);
            if (said == "stop") return 0;
        }
    }};
    for (int i = 0; i < 40; ++i) {
        child victim{[&] {
            const auto peer = connect_fifo_pair(path());
            return peer ? 0 : 1;
        }};
        std::this_thread::sleep_for(std::chrono::microseconds{i * 50});  // somewhere on the way; any place will do
        victim.kill_and_reap();
        if (i % 10 == 9) {
            EXPECT_EQ(ask(path(), "whole"), "you said whole");
        }
    }
    EXPECT_EQ(ask(path(), "stop"), "you said stop");
    EXPECT_EQ(server.wait(), 0);
}

TEST_F(fifo_pair, fifo_F2_a_second_listener_is_refused_and_a_dead_one_is_replaced) {
    child first{[&] {
        auto listener = fifo_listener::open(path());
        CHILD_CHECK(listener);
        CHILD_CHECK(!listener->accept());
        return 1;
    }};
    wait_until_in_syscall(first.pid(), SYS_openat);
    EXPECT_TRUE(fails_with(fifo_listener::open(path()), errc::exists, EWOULDBLOCK));
    EXPECT_TRUE(fails_with(kith::compose::remove_fifo_pair(path()), errc::exists));
    first.kill_and_reap();
    EXPECT_TRUE(fs::exists(path() + ".pair/up"));  // what the dead one left
    EXPECT_TRUE(fails_with(connect_fifo_pair(path(), deadline::in(5ms)), errc::timed_out, ENXIO));
    child second{[&] {
        auto listener = fifo_listener::open(path());
        CHILD_CHECK(listener);
        return serve_once(*listener);
    }};
    EXPECT_EQ(ask(path(), "again"), "you said again");
    EXPECT_EQ(second.wait(), 0);
}

TEST_F(fifo_pair, fifo_F4_a_connector_waiting_on_a_listener_that_dies_gets_the_next_one) {
    child first{[&] {
        auto listener = fifo_listener::open(path());
        CHILD_CHECK(listener && !listener->accept(deadline::immediate()));
        for (;;) ::pause();
        return 1;
    }};
    wait_until_in_syscall(first.pid(), SYS_pause);
    child client{[&] { return ask(path(), "patient") == "you said patient" ? 0 : 1; }};
    wait_until_in_syscall(client.pid(), SYS_futex);
    first.kill_and_reap();
    auto listener = fifo_listener::open(path());
    ASSERT_TRUE(ok(listener));
    EXPECT_EQ(serve_once(*listener, deadline::in(30s)), 0);
    EXPECT_EQ(client.wait(), 0);
}

TEST_F(fifo_pair, fifo_F8_a_dead_peer_is_the_end_for_the_reader_and_peer_gone_for_the_writer) {
    child server{[&] {
        auto listener = fifo_listener::open(path());
        auto peer = listener->accept();
        CHILD_CHECK(peer && say(peer->writer, "half a wo"));
        ::raise(SIGKILL);
        return 0;
    }};
    auto peer = connect_fifo_pair(path());
    ASSERT_TRUE(ok(peer));
    EXPECT_EQ(server.wait(), 128 + SIGKILL);
    EXPECT_EQ(read_to_end(peer->reader), "half a wo");
    EXPECT_TRUE(fails_with(peer->writer.write_some(kith::bytes_of("x")), errc::peer_gone, EPIPE));
}

TEST_F(fifo_pair, fifo_F7_names_are_gone_once_connected_and_only_the_lock_file_stays) {
    child server{[&] {
        auto listener = fifo_listener::open(path());
        return serve_once(*listener);
    }};
    auto peer = connect_fifo_pair(path());
    ASSERT_TRUE(ok(peer));
    // The first name goes before the connection is given out, the others while it is.
    EXPECT_FALSE(fs::exists(path() + ".pair/up"));
    while (fs::exists(path() + ".pair")) std::this_thread::yield();
    EXPECT_TRUE(fails_with(connect_fifo_pair(path(), deadline::in(5ms)), errc::timed_out, ENOENT));
    peer->writer.close();
    EXPECT_EQ(read_to_end(peer->reader), "you said ");
    EXPECT_EQ(server.wait(), 0);
    EXPECT_TRUE(fs::exists(path() + ".lock"));
    EXPECT_TRUE(ok(kith::compose::remove_fifo_pair(path())));
    EXPECT_TRUE(fs::is_empty(dir_.dir()));
    EXPECT_TRUE(fails_with(kith::compose::remove_fifo_pair(path()), errc::not_found, ENOENT));
}

TEST_F(fifo_pair, fifo_F7_planted_files_are_refused) {
    std::ofstream{dir_.path("target")} << "x";
    ASSERT_EQ(::symlink(dir_.path("target").c_str(), (path() + ".lock").c_str()), 0);
    EXPECT_TRUE(fails_with(fifo_listener::open(path()), errc::wrong_kind, ELOOP));
    fs::remove(path() + ".lock");
    ASSERT_EQ(::mkfifo((path() + ".lock").c_str(), 0600), 0);
    EXPECT_TRUE(fails_with(fifo_listener::open(path()), errc::wrong_kind));
    fs::remove(path() + ".lock");
    fs::create_directory(path() + ".pair");
    std::ofstream{path() + ".pair/up"} << "planted";
    std::ofstream{path() + ".pair/down"} << "planted";
    EXPECT_TRUE(fails_with(connect_fifo_pair(path(), deadline::in(30s)), errc::wrong_kind));
    fs::remove_all(path() + ".pair");
    std::ofstream{path() + ".pair"} << "planted";
    EXPECT_TRUE(fails_with(connect_fifo_pair(path(), deadline::in(30s)), errc::wrong_kind, ENOTDIR));
    auto listener = fifo_listener::open(path());
    ASSERT_TRUE(ok(listener));
    EXPECT_TRUE(fails_with(listener->accept(deadline::immediate()), errc::wrong_kind, ENOTDIR));
}

TEST_F(fifo_pair, fifo_G12_the_mode_says_who_may_connect) {
    auto listener = fifo_listener::open(path(), 0660);
    ASSERT_TRUE(ok(listener));
    EXPECT_FALSE(listener->accept(deadline::immediate()));
    EXPECT_EQ(fs::status(path() + ".pair").permissions(), static_cast<fs::perms>(0750));
    EXPECT_EQ(fs::status(path() + ".pair/up").permissions(), static_cast<fs::perms>(0640));  // less the umask 022
}

TEST_F(fifo_pair, fifo_F7_names_that_cannot_be_are_refused) {
    EXPECT_TRUE(fails_with(fifo_listener::open(""), errc::invalid));
    EXPECT_TRUE(fails_with(fifo_listener::open("/tmp/"), errc::invalid));
    EXPECT_TRUE(fails_with(fifo_listener::open("/tmp/" + std::string(252, 'x')), errc::too_long));
    EXPECT_TRUE(fails_with(connect_fifo_pair(std::string(6000, '/') + "x"), errc::too_long));
    EXPECT_TRUE(fails_with(connect_fifo_pair(std::string_view{"/tmp/a\0b", 8}), errc::invalid));
}

TEST_F(fifo_pair, fifo_G13_a_forked_child_that_drops_the_listener_leaves_the_names) {
    auto listener = fifo_listener::open(path());
    ASSERT_TRUE(ok(listener));
    EXPECT_FALSE(listener->accept(deadline::immediate()));
    child kin{[&] {
        const auto dropped = std::move(*listener);
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_TRUE(fs::exists(path() + ".pair/up"));
}

}  // namespace
