// UDP between kith and programs that do not know it: Python's socket module and socat.
#include <sys/syscall.h>
#include <array>
#include <kith/sys/udp.hpp>

#include "interop/other_side.hpp"
#include "support/background.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::text_of;
using namespace kith::sys;

TEST(interop_udp, udp_python_sends_and_is_answered) {
    auto receiver = bind_udp();
    const auto port = std::to_string(receiver->local()->port());
    background other{
        python("import socket, sys\n"
               "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
               "s.sendto(b'', ('127.0.0.1', int(sys.argv[1]))); s.sendto(b'hello', ('127.0.0.1', int(sys.argv[1])))\n"
               "print(s.recvfrom(100))",
               {port})};
    std::array<std::byte, 100> buffer;
    const auto empty = receiver->receive(buffer, deadline::in(20s));
    ASSERT_TRUE(ok(empty));
    EXPECT_EQ(empty->real_size, 0u);
    const auto got = receiver->receive(buffer, deadline::in(20s));
    ASSERT_TRUE(ok(got));
    EXPECT_EQ(text_of(buffer).substr(0, got->size), "hello");
    ASSERT_TRUE(ok(receiver->send_to(got->from, bytes_of("answer"))));
    EXPECT_EQ(other.wait().out, "(b'answer', ('127.0.0.1', " + port + "))\n");
}

TEST(interop_udp, udp_kith_send_reaches_python) {
    background other{
        python("import socket, sys\n"
               "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0))\n"
               "print(s.getsockname()[1], file=sys.stderr, flush=True)\n"
               "print(len(s.recv(65536)), s.recv(65536).decode())",
               {})};
    const auto line = other.err_with("\n");
    const auto address = "udp:127.0.0.1:" + line.substr(0, line.find('\n'));
    EXPECT_EQ(run({kith_command(), "send", address}, std::string(60000, 'x')).status, 0);
    EXPECT_EQ(run({kith_command(), "send", address, "two"}).status, 0);
    EXPECT_EQ(other.wait().out, "60000 two\n");
}

TEST(interop_udp, udp_socat_reaches_kith_recv) {
    auto reserved = bind_udp();
    const auto port = std::to_string(reserved->local()->port());
    reserved->close();
    background receiver{{kith_command(), "recv", "udp:127.0.0.1:" + port}};
    wait_until_in_syscall(receiver.pid(), SYS_ppoll);
    EXPECT_EQ(run({"socat", "-u", "STDIN", "UDP:127.0.0.1:" + port}, "from socat").status, 0);
    EXPECT_EQ(receiver.wait().out, "from socat");
}

}  // namespace
