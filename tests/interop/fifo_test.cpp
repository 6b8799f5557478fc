// FIFOs with the other side played by programs that do not know kith: shell, coreutils, socat, util-linux, Python.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <kith/compose/fifo_pair.hpp>
#include <kith/compose/record_fifo.hpp>
#include <kith/compose/reply_fifo.hpp>
#include <kith/sys/fifo.hpp>

#include "support/beside.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
namespace fs = std::filesystem;

std::string read_to_end(kith::sys::fifo_reader& reader) {
    std::string all;
    std::byte buffer[65536];
    for (;;) {
        const auto n = reader.read_some(buffer, deadline::in(30s));
        if (!n) return n.error().code() == errc::end_of_stream ? all : all + kith::describe(n.error());
        all += kith::text_of({buffer, *n});
    }
}

std::string all_bytes() {
    std::string data;
    for (int i = 0; i < 300'000; ++i) data += static_cast<char>(i % 251);
    return data;
}

class interop_fifo : public testing::Test {
protected:
    [[nodiscard]] std::string path() const { return dir_.path("fifo"); }
    void make() const { ASSERT_TRUE(ok(kith::sys::create_fifo(path()))); }
    /// A shell command with $1 = the FIFO's path.
    [[nodiscard]] std::vector<std::string> shell(const std::string& command) const {
        return {"/bin/sh", "-c", command, "sh", path()};
    }
    [[nodiscard]] std::vector<std::string> python(const std::string& code) const {
        return {"/usr/bin/python3", "-c", "import os, sys\npath = sys.argv[1]\n" + code, path()};
    }
    void expect_reads(const std::vector<std::string>& words) const {
        const auto data = all_bytes();
        beside other{words};
        auto writer = kith::sys::open_fifo_writer(path(), deadline::in(30s));
        ASSERT_TRUE(ok(writer));
        std::size_t done = 0;
        EXPECT_TRUE(ok(writer->write_full(kith::bytes_of(data), done, deadline::in(30s))));
        writer->close();
        const auto got = other.wait();
        EXPECT_EQ(got.status, 0) << got.err;
        EXPECT_TRUE(got.out == data) << words[0];
    }
    void expect_writes(const std::vector<std::string>& words, const std::string& input, const std::string& data) const {
        beside other{words, input};
        auto reader = kith::sys::open_fifo_reader(path(), deadline::in(30s));
        ASSERT_TRUE(ok(reader));
        EXPECT_TRUE(read_to_end(*reader) == data) << words[0];
        const auto ended = other.wait();
        EXPECT_EQ(ended.status, 0) << ended.err;
    }
    temp_dir dir_;
};

TEST_F(interop_fifo, fifo_F1_cat_reads_what_kith_writes) {
    make();
    expect_reads({"cat", path()});
}
TEST_F(interop_fifo, fifo_F1_cat_and_printf_write_what_kith_reads) {
    make();
    expect_writes(shell("cat > \"$1\""), all_bytes(), all_bytes());
    expect_writes(shell("printf 'no newline' > \"$1\""), {}, "no newline");
}
TEST_F(interop_fifo, fifo_F1_socat_reads_and_writes) {
    make();
    expect_reads({"socat", "-u", "OPEN:" + path() + ",rdonly", "STDOUT"});
    expect_writes({"socat", "-u", "STDIN", "OPEN:" + path() + ",wronly"}, all_bytes(), all_bytes());
}
TEST_F(interop_fifo, fifo_F1_python_reads_and_writes) {
    make();
    expect_reads(
        python("fd = os.open(path, os.O_RDONLY)\n"
               "while data := os.read(fd, 65536): sys.stdout.buffer.write(data)"));
    expect_writes(python("with open(path, 'wb') as fifo: fifo.write(sys.stdin.buffer.read())"), all_bytes(),
                  all_bytes());
}

TEST_F(interop_fifo, fifo_F7_mkfifo_makes_what_kith_opens_and_the_other_way_round) {
    EXPECT_EQ(run({"mkfifo", "-m", "640", path()}).status, 0);
    EXPECT_EQ(kith::sys::fifo_status_of(path())->mode, 0640u);
    EXPECT_TRUE(fails_with(kith::sys::create_fifo(path()), errc::exists));
    ASSERT_TRUE(ok(kith::sys::remove_fifo(path())));
    make();
    EXPECT_EQ(run({"stat", "-c", "%F %a", path()}).out, "fifo 600\n");
}

TEST_F(interop_fifo, fifo_F3_python_sees_the_kernels_answers_and_kith_the_same_state) {
    make();
    const auto alone =
        run(python("try: os.open(path, os.O_WRONLY | os.O_NONBLOCK)\n"
                   "except OSError as e: print(e.errno)\n"
                   "fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)\n"
                   "print(os.read(fd, 1))"));
    EXPECT_EQ(alone.out, std::to_string(ENXIO) + "\nb''\n") << alone.err;
    EXPECT_TRUE(fails_with(kith::sys::open_fifo_writer(path(), deadline::immediate()), errc::would_block, ENXIO));
}

TEST_F(interop_fifo, fifo_F4_several_shell_writers_one_after_the_other_reach_a_kith_server) {
    make();
    auto server = kith::sys::open_fifo_both(path());
    ASSERT_TRUE(ok(server));
    std::string got;
    for (const std::string text : {"one", "two", "three"}) {
        EXPECT_EQ(run(shell("printf " + text + " > \"$1\"")).status, 0);
        std::byte buffer[16];
        const auto n = server->read_some(buffer, deadline::in(30s));
        ASSERT_TRUE(ok(n));
        got += kith::text_of({buffer, *n});
    }
    EXPECT_EQ(got, "onetwothree");
}

TEST_F(interop_fifo, fifo_F6_flock_of_util_linux_keeps_kiths_records_out) {
    make();
    auto reader = kith::sys::open_fifo_both(path());
    ASSERT_TRUE(ok(reader));
    auto writer = kith::compose::record_fifo_writer::open(path());
    ASSERT_TRUE(ok(writer));
    // Holds the lock until its standard input, a FIFO as well, ends.
    const auto gate = dir_.path("gate");
    ASSERT_TRUE(ok(kith::sys::create_fifo(gate)));
    beside other{{"/bin/sh", "-c", "exec 9>\"$1\"; flock -x 9; printf long- >&9; cat \"$2\" >&9; flock -u 9", "sh",
                  path(), gate}};
    auto rest = kith::sys::open_fifo_writer(gate, deadline::in(30s));  // it has the lock now
    ASSERT_TRUE(ok(rest));
    std::size_t done = 0;
    EXPECT_TRUE(fails_with(writer->write_record(kith::bytes_of("short"), done, deadline::in(5ms)), errc::timed_out));
    std::size_t sent = 0;
    ASSERT_TRUE(ok(rest->write_full(kith::bytes_of("record."), sent)));
    rest->close();
    EXPECT_TRUE(ok(writer->write_record(kith::bytes_of("short"), done, deadline::in(30s))));
    EXPECT_EQ(other.wait().status, 0);
    std::byte buffer[64];
    const auto n = reader->read_some(buffer);
    EXPECT_EQ(kith::text_of({buffer, *n}), "long-record.short");
}

TEST_F(interop_fifo, fifo_a_shell_is_the_client_of_a_kith_server_as_the_format_page_says) {
    auto server = kith::compose::reply_server::open(path());
    ASSERT_TRUE(ok(server));
    beside client{
        shell("r=\"$1.reply.$$\"; mkfifo \"$r\"; exec 3<> \"$r\"\n"
              "printf 'kith-request/1 %016x %d %s\\n%s' 1 5 $$ hello > \"$1\"\n"
              "read -r magic id length <&3; head -c \"$length\" <&3; rm \"$r\"")};
    std::vector<std::byte> body(kith::compose::reply_fifo_request_max);
    const auto request = server->receive(body, deadline::in(30s));
    ASSERT_TRUE(ok(request));
    EXPECT_EQ(kith::text_of(body).substr(0, request->size), "hello");
    EXPECT_TRUE(ok(server->reply(request->from, kith::bytes_of("hello yourself"))));
    const auto got = client.wait();
    EXPECT_EQ(got.status, 0) << got.err;
    EXPECT_EQ(got.out, "hello yourself");
}

TEST_F(interop_fifo, fifo_python_is_the_server_of_a_kith_client) {
    make();
    beside server{
        python("import re\n"
               "requests = os.open(path, os.O_RDWR)\n"
               "data = os.read(requests, 4096)\n"
               "id, length, token, body = re.fullmatch(rb'kith-request/1 (\\S+) (\\d+) (\\S+)\\n(.*)', data,"
               " re.S).groups()\n"
               "assert len(body) == int(length)\n"
               "with open(path + '.reply.' + token.decode(), 'wb') as reply:\n"
               "    reply.write(b'kith-reply/1 %s %d\\n' % (id, len(body)) + body[::-1])")};
    auto client = kith::compose::reply_client::open(path(), deadline::in(30s));
    ASSERT_TRUE(ok(client));
    std::byte reply[64];
    const auto n = client->call(kith::bytes_of("stressed"), reply, deadline::in(30s));
    ASSERT_TRUE(ok(n));
    EXPECT_EQ(kith::text_of({reply, *n}), "desserts");
    EXPECT_EQ(server.wait().status, 0);
}

TEST_F(interop_fifo, fifo_F2_a_shell_connects_to_a_kith_listener_as_the_format_page_says) {
    auto listener = kith::compose::fifo_listener::open(path());
    ASSERT_TRUE(ok(listener));
    EXPECT_FALSE(listener->accept(deadline::immediate()));  // the names are there from now on
    beside client{shell("exec 3> \"$1.pair/up\"; cat \"$1.pair/down\" 3>&- & printf hello >&3; exec 3>&-; wait")};
    auto peer = listener->accept(deadline::in(30s));
    ASSERT_TRUE(ok(peer));
    EXPECT_EQ(read_to_end(peer->reader), "hello");
    std::size_t done = 0;
    EXPECT_TRUE(ok(peer->writer.write_full(kith::bytes_of("you said hello"), done)));
    peer->writer.close();
    EXPECT_EQ(client.wait().out, "you said hello");
}

TEST_F(interop_fifo, fifo_F2_a_shell_listens_for_a_kith_connector_as_the_format_page_says) {
    beside listener{
        shell("cd \"$(dirname \"$1\")\"; mkdir fifo.pair; mkfifo fifo.pair/down fifo.pair/up\n"
              "cat fifo.pair/up & exec 3> fifo.pair/down; rm -r fifo.pair; printf answer >&3; exec 3>&-; wait")};
    auto peer = kith::compose::connect_fifo_pair(path(), deadline::in(30s));
    ASSERT_TRUE(ok(peer));
    std::size_t done = 0;
    EXPECT_TRUE(ok(peer->writer.write_full(kith::bytes_of("question"), done)));
    peer->writer.close();
    EXPECT_EQ(read_to_end(peer->reader), "answer");
    EXPECT_EQ(listener.wait().out, "question");
}

TEST_F(interop_fifo, fifo_the_command_and_the_shell_are_each_others_peers) {
    make();
    beside reader{{"cat", path()}};
    EXPECT_EQ(run({kith_command(), "send", "fifo:" + path()}, all_bytes()).status, 0);
    EXPECT_TRUE(reader.wait().out == all_bytes());
    beside command{{kith_command(), "recv", "fifo:" + path()}};
    EXPECT_EQ(run(shell("cat > \"$1\""), all_bytes()).status, 0);
    EXPECT_TRUE(command.wait().out == all_bytes());
}

}  // namespace
