// UNIX sockets between kith and programs that do not know it: Python's socket module and socat.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <fstream>
#include <kith/sys/unix_listener.hpp>

#include "interop/other_side.hpp"
#include "support/background.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::text_of;
using namespace kith::sys;

bool is_bound(const std::string& path) {
    struct stat there{};
    return ::lstat(path.c_str(), &there) == 0;
}

// Until the other program listens: refused and absent mean "not yet".
kith::result<unix_stream> connect_once_there(const unix_name& name) {
    const auto until = deadline::in(20s);
    for (;;) {
        auto stream = connect_unix_stream(name, until);
        if (stream || until.remaining_ns() == 0) return stream;
        ::usleep(1000);  // between looks; the connection decides, not the time
    }
}

std::string read_to_end(unix_stream& stream) {
    std::string all;
    std::array<std::byte, 65536> buffer;
    for (;;) {
        const auto n = stream.read_some(buffer, deadline::in(20s));
        if (!n) return n.error().code() == kith::errc::end_of_stream ? all : kith::describe(n.error());
        all += text_of(std::span{buffer}.first(*n));
    }
}

TEST(interop_unix, unix_python_connects_half_closes_and_is_answered) {
    const temp_dir dir;
    const auto listener_name = *unix_name::path(dir.path("s"));
    auto listener = listen_unix_stream(listener_name);
    background other{
        python("import socket, sys\n"
               "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
               "s.sendall(b'q' * 300000); s.shutdown(socket.SHUT_WR)\n"
               "print(s.makefile().read(), end='')",
               {dir.path("s")})};
    auto client = listener->accept(deadline::in(20s));
    ASSERT_TRUE(ok(client));
    EXPECT_EQ(read_to_end(*client), std::string(300000, 'q'));
    ASSERT_TRUE(ok(client->write_some(bytes_of("answer"))));
    client->close();
    const auto ended = other.wait();
    EXPECT_EQ(ended.status, 0) << ended.err;
    EXPECT_EQ(ended.out, "answer");
}

TEST(interop_unix, unix_python_listens_on_an_abstract_name_of_any_bytes) {
    const auto name = unique_name("py") + std::string("\0\xfe", 2);
    background other{
        python("import socket, sys, os\n"
               "s = socket.socket(socket.AF_UNIX); s.bind(b'\\0' + bytes.fromhex(sys.argv[1])); s.listen()\n"
               "c, _ = s.accept(); data = c.recv(100); c.sendall(data[::-1])",
               {[&] {
                   std::string hex;
                   for (const auto b : kith::bytes_of(name)) {
                       hex += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4U];
                       hex += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15U];
                   }
                   return hex;
               }()})};
    auto stream = connect_once_there(*unix_name::abstract(name));
    ASSERT_TRUE(ok(stream));
    ASSERT_TRUE(ok(stream->write_some(bytes_of("abc"))));
    EXPECT_EQ(read_to_end(*stream), "cba");
    EXPECT_EQ(other.wait().status, 0);
}

TEST(interop_unix, unix_descriptors_come_from_pythons_send_fds) {
    const temp_dir dir;
    std::ofstream{dir.path("f")} << "content";
    auto listener = listen_unix_stream(*unix_name::path(dir.path("s")));
    background other{
        python("import socket, sys, os\n"
               "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
               "f = os.open(sys.argv[2], os.O_RDONLY)\n"
               "socket.send_fds(s, [b'three'], [f, f, f])",
               {dir.path("s"), dir.path("f")})};
    auto client = listener->accept(deadline::in(20s));
    ASSERT_TRUE(ok(client));
    std::array<std::byte, 100> buffer;
    std::array<kith::owned_fd, 2> arrived;
    const auto got = client->receive(buffer, arrived, deadline::in(20s));
    ASSERT_TRUE(ok(got));
    EXPECT_EQ(text_of(buffer).substr(0, got->size), "three");
    EXPECT_EQ(got->descriptors, 2u);
    EXPECT_EQ(got->surplus, 1u);
    char content[10];
    EXPECT_EQ(::pread(arrived[1].get(), content, sizeof content, 0), 7);
    EXPECT_EQ(other.wait().status, 0);
}

TEST(interop_unix, unix_descriptors_go_to_pythons_recv_fds) {
    const temp_dir dir;
    std::ofstream{dir.path("f")} << "content";
    for (const bool packets : {false, true}) {
        const auto path = dir.path(packets ? "p" : "s");
        background other{
            python("import socket, sys, os\n"
                   "s = socket.socket(socket.AF_UNIX, int(sys.argv[2])); s.bind(sys.argv[1]); s.listen()\n"
                   "c, _ = s.accept()\n"
                   "data, fds, flags, addr = socket.recv_fds(c, 100, 5)\n"
                   "print(data.decode(), len(fds), os.pread(fds[0], 100, 0).decode(), flags & socket.MSG_CTRUNC)",
                   {path, packets ? "5" : "1"})};
        const kith::owned_fd file{::open(dir.path("f").c_str(), O_RDONLY | O_CLOEXEC)};
        const std::array out{file.borrow(), file.borrow()};
        const auto name = *unix_name::path(path);
        const auto until = deadline::in(20s);
        for (bool sent = false; !sent && until.remaining_ns() > 0;) {
            if (packets) {
                auto socket = connect_unix_seqpacket(name, until);
                sent = socket && socket->send(bytes_of("two"), {.descriptors = out}, until);
            } else {
                auto socket = connect_unix_stream(name, until);
                sent = socket && socket->send(bytes_of("two"), {.descriptors = out}, until);
            }
            if (!sent) ::usleep(1000);  // between looks: Python does not listen yet
        }
        const auto ended = other.wait();
        EXPECT_EQ(ended.status, 0) << ended.err;
        EXPECT_EQ(ended.out, "two 2 content 0\n");
    }
}

TEST(interop_unix, unix_python_and_kith_exchange_datagrams) {
    const temp_dir dir;
    auto receiver = bind_unix_datagram(*unix_name::path(dir.path("k")));
    ASSERT_TRUE(ok(receiver));
    background other{
        python("import socket, sys\n"
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[2])\n"
               "s.sendto(b'', sys.argv[1]); s.sendto(b'hello', sys.argv[1])\n"
               "print(s.recvfrom(100))",
               {dir.path("k"), dir.path("p")})};
    std::array<std::byte, 100> buffer;
    const auto empty = receiver->receive(buffer, {}, deadline::in(20s));
    ASSERT_TRUE(ok(empty));
    EXPECT_EQ(empty->real_size, 0u);
    const auto got = receiver->receive(buffer, {}, deadline::in(20s));
    ASSERT_TRUE(ok(got));
    EXPECT_EQ(got->size, 5u);
    EXPECT_EQ(got->from.text(), dir.path("p"));
    ASSERT_TRUE(ok(receiver->send_to(got->from, bytes_of("answer"))));
    EXPECT_EQ(other.wait().out, "(b'answer', '" + dir.path("k") + "')\n");
}

TEST(interop_unix, unix_python_reads_kiths_credentials_and_the_other_way_round) {
    const temp_dir dir;
    auto listener = listen_unix_seqpacket(*unix_name::path(dir.path("s")));
    ASSERT_TRUE(ok(set_receive_credentials(*listener, true)));
    background other{
        python("import socket, sys, struct\n"
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1])\n"
               "s.send(b'who am I')\n"
               "print(struct.unpack('3i', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])",
               {dir.path("s")})};
    auto client = listener->accept(deadline::in(20s));
    ASSERT_TRUE(ok(client));
    std::array<std::byte, 100> buffer;
    const auto got = client->receive(buffer, {}, deadline::in(20s));
    ASSERT_TRUE(ok(got));
    ASSERT_TRUE(got->credentials.has_value());
    EXPECT_EQ(got->credentials->pid, other.pid());
    EXPECT_EQ(other.wait().out, std::to_string(::getpid()) + "\n");
}

TEST(interop_unix, unix_kith_recv_takes_from_socat_and_kith_send_gives_to_it) {
    const temp_dir dir;
    background receiver{{kith_command(), "recv", "unix:" + dir.path("k")}};
    wait_until_in_syscall(receiver.pid(), SYS_ppoll);
    EXPECT_EQ(run({"socat", "-u", "STDIN", "UNIX-CONNECT:" + dir.path("k")}, "from socat").status, 0);
    EXPECT_EQ(receiver.wait().out, "from socat");

    background other{{"socat", "-u", "UNIX-LISTEN:" + dir.path("o"), "STDOUT"}};
    auto connected = connect_once_there(*unix_name::path(dir.path("o")));
    ASSERT_TRUE(ok(connected));
    ASSERT_TRUE(ok(connected->write_some(bytes_of("from kith"))));
    connected->close();
    EXPECT_EQ(other.wait().out, "from kith");
}

TEST(interop_unix, unix_kith_connect_talks_with_socat_both_ways) {
    const auto name = unique_name("echo");
    background other{{"socat", "ABSTRACT-LISTEN:" + name + ",fork", "EXEC:tr a-z A-Z"}};
    ASSERT_TRUE(ok(connect_once_there(*unix_name::abstract(name))));
    const auto answer = run({kith_command(), "connect", "unix:@" + name}, "half-closed");
    EXPECT_EQ(answer.status, 0) << answer.err;
    EXPECT_EQ(answer.out, "HALF-CLOSED");
    EXPECT_EQ(run({kith_command(), "call", "unix:@" + name, "called"}).out, "CALLED");
}

TEST(interop_unix, unix_socat_calls_what_kith_serves) {
    const temp_dir dir;
    background server{{kith_command(), "serve", "unix:" + dir.path("s"), "--count", "1", "--", "tr", "a-z", "A-Z"}};
    wait_until_in_syscall(server.pid(), SYS_ppoll);
    EXPECT_TRUE(is_bound(dir.path("s")));
    EXPECT_EQ(run({"socat", "-t20", "-", "UNIX-CONNECT:" + dir.path("s")}, "request").out, "REQUEST");
    EXPECT_EQ(server.wait().status, 0);
}

TEST(interop_unix, unix_kith_fd_send_gives_a_descriptor_to_python_and_takes_one_from_it) {
    const temp_dir dir;
    std::ofstream{dir.path("f")} << "content";
    background taker{{kith_command(), "fd", "recv", "unix:" + dir.path("k")}};
    wait_until_in_syscall(taker.pid(), SYS_ppoll);
    const auto given =
        run(python("import socket, sys, os\n"
                   "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                   "socket.send_fds(s, [b'!'], [os.open(sys.argv[2], os.O_RDONLY)])",
                   {dir.path("k"), dir.path("f")}));
    EXPECT_EQ(given.status, 0) << given.err;
    EXPECT_EQ(taker.wait().out, "content");

    background other{
        python("import socket, sys, os\n"
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])\n"
               "data, fds, flags, addr = socket.recv_fds(s, 100, 5)\n"
               "print(len(fds), os.pread(fds[0], 100, 0).decode())",
               {dir.path("p")})};
    wait_until_in_syscall(other.pid(), SYS_recvmsg);
    const auto sent = run({kith_command(), "fd", "send", "unix:" + dir.path("p") + "?type=dgram", dir.path("f")});
    EXPECT_EQ(sent.status, 0) << sent.err;
    EXPECT_EQ(other.wait().out, "1 content\n");
}

}  // namespace
