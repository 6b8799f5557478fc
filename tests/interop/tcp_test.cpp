// TCP between kith and programs that do not know it: Python's socket module and socat.
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <kith/sys/tcp.hpp>

#include "interop/other_side.hpp"
#include "support/background.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::text_of;
using namespace kith::sys;

std::string read_to_end(tcp_stream& stream) {
    std::string all;
    std::array<std::byte, 65536> buffer;
    for (;;) {
        const auto n = stream.read_some(buffer, deadline::in(20s));
        if (!n) return n.error().code() == kith::errc::end_of_stream ? all : kith::describe(n.error());
        all += text_of(std::span{buffer}.first(*n));
    }
}

TEST(interop_tcp, tcp_python_connects_half_closes_and_is_answered) {
    auto listener = listen_tcp();
    const auto port = std::to_string(listener->local()->port());
    background other{
        python("import socket, sys\n"
               "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
               "s.sendall(b'q' * 300000); s.shutdown(socket.SHUT_WR)\n"
               "print(s.makefile().read(), end='')",
               {port})};
    auto client = listener->accept(deadline::in(20s));
    ASSERT_TRUE(ok(client));
    EXPECT_EQ(read_to_end(*client), std::string(300000, 'q'));
    ASSERT_TRUE(ok(client->write_some(bytes_of("answer"))));
    client->close();
    EXPECT_EQ(other.wait().out, "answer");
}

TEST(interop_tcp, tcp_kith_connects_to_python_by_name) {
    // The script tells its port on standard error, and by then it listens.
    background other{
        python("import socket, sys\n"
               "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
               "print(s.getsockname()[1], file=sys.stderr, flush=True)\n"
               "c, _ = s.accept(); data = b''\n"
               "while part := c.recv(65536): data += part\n"
               "c.sendall(str(len(data)).encode())",
               {})};
    const auto line = other.err_with("\n");
    const auto found = resolve("localhost", line.substr(0, line.find('\n')), {.ipv6 = false});
    ASSERT_TRUE(ok(found));
    auto stream = connect_tcp(found->view(), deadline::in(20s));
    ASSERT_TRUE(ok(stream));
    std::size_t done = 0;
    ASSERT_TRUE(ok(stream->write_full(bytes_of(std::string(123456, 'x')), done, deadline::in(20s))));
    ASSERT_TRUE(ok(stream->shutdown(direction::send)));
    EXPECT_EQ(read_to_end(*stream), "123456");
}

TEST(interop_tcp, tcp_a_reset_by_python_is_peer_gone) {
    auto listener = listen_tcp();
    const auto port = std::to_string(listener->local()->port());
    const auto ended =
        run(python("import socket, sys, struct\n"
                   "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
                   "s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()",
                   {port}));
    EXPECT_EQ(ended.status, 0) << ended.err;
    auto client = listener->accept(deadline::in(20s));
    ASSERT_TRUE(ok(client));
    std::byte one;
    EXPECT_TRUE(fails_with(client->read_some({&one, 1}, deadline::in(20s)), kith::errc::peer_gone, ECONNRESET));
}

TEST(interop_tcp, tcp_an_abort_is_a_reset_for_python) {
    auto listener = listen_tcp();
    const auto port = std::to_string(listener->local()->port());
    background other{
        python("import socket, sys\n"
               "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
               "try: s.recv(1)\n"
               "except ConnectionResetError: print('reset')",
               {port})};
    auto client = listener->accept(deadline::in(20s));
    ASSERT_TRUE(ok(client));
    client->abort();
    EXPECT_EQ(other.wait().out, "reset\n");
}

TEST(interop_tcp, tcp_socat_talks_with_kith_listen_and_calls_what_kith_serves) {
    background listener{{kith_command(), "listen", "tcp:127.0.0.1:0"}, "from kith"};
    auto line = listener.err_with("\n");
    auto address = line.substr(line.find("tcp:") + 4);
    address = address.substr(0, address.find('\n'));
    EXPECT_EQ(run({"socat", "-t20", "-", "TCP:" + address}, "from socat").out, "from kith");
    EXPECT_EQ(listener.wait().out, "from socat");

    background server{{kith_command(), "serve", "tcp:127.0.0.1:0", "--count", "1", "--", "tr", "a-z", "A-Z"}};
    line = server.err_with("\n");
    address = line.substr(line.find("tcp:") + 4);
    address = address.substr(0, address.find('\n'));
    EXPECT_EQ(run({"socat", "-t20", "-", "TCP:" + address}, "request").out, "REQUEST");
    EXPECT_EQ(server.wait().status, 0);
}

TEST(interop_tcp, tcp_kith_connect_and_call_reach_python) {
    background other{
        python("import socket, sys\n"
               "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
               "print(s.getsockname()[1], file=sys.stderr, flush=True)\n"
               "for i in range(2):\n"
               "  c, _ = s.accept(); data = c.makefile('rb').read(); c.sendall(data.upper()); c.close()",
               {})};
    const auto line = other.err_with("\n");
    const auto address = "tcp:127.0.0.1:" + line.substr(0, line.find('\n'));
    EXPECT_EQ(run({kith_command(), "connect", address}, "one").out, "ONE");
    EXPECT_EQ(run({kith_command(), "call", address, "two"}).out, "TWO");
    EXPECT_EQ(other.wait().status, 0);
}

}  // namespace
