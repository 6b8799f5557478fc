// Options of sockets, and what sockets tell about themselves and their other ends.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <array>
#include <kith/sys/tcp.hpp>
#include <kith/sys/udp.hpp>
#include <kith/sys/unix_listener.hpp>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

// Missing in Debian 12's headers.
constexpr int so_passpidfd = 76;
constexpr int so_peerpidfd = 77;
constexpr int so_passrights = 83;

struct connected {
    connected() {
        auto made = must(open_unix_stream_pair());
        ours = std::move(made->first), theirs = std::move(made->second);
    }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    unix_stream ours;
    unix_stream theirs;
};
connected make() { return {}; }
struct tcp_connected {
    tcp_connected() {
        auto listener = must(listen_tcp());
        ours = std::move(*must(connect_tcp(*listener->local())));
        theirs = std::move(*must(listener->accept()));
    }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    tcp_stream ours;
    tcp_stream theirs;
};
tcp_connected make_tcp() { return {}; }
struct udp_connected {
    udp_connected() { must(ours.connect(to)); }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    udp_socket ours = std::move(*must(bind_udp()));
    udp_socket theirs = std::move(*must(bind_udp()));
    endpoint to = *must(theirs.local());
    sockaddr_in raw = [this] {
        sockaddr_in made{};
        socklen_t size = sizeof made;
        must_be(::getsockname(theirs.native().get(), reinterpret_cast<sockaddr*>(&made), &size) == 0);
        return made;
    }();
};
udp_connected make_udp() { return {}; }

template <int Level, int Name, int Value = 1>
constexpr auto bare_set = [](auto& all) {
    const int value = Value;
    must_be(::setsockopt(all.fd(), Level, Name, &value, sizeof value) == 0);
};
template <int Level, int Name>
constexpr auto bare_get = [](auto& all) {
    int value = 0;
    socklen_t size = sizeof value;
    must_be(::getsockopt(all.fd(), Level, Name, &value, &size) == 0);
    benchmark::DoNotOptimize(value);
};
// Newer than some kernels: there both sides fail alike.
template <int Name>
constexpr auto try_set = [](auto& all) {
    const int on = 1;
    benchmark::DoNotOptimize(::setsockopt(all.fd(), SOL_SOCKET, Name, &on, sizeof on));
};
template <class Result>
void may_fail(const Result& outcome) {
    benchmark::DoNotOptimize(outcome.has_value());
}

constexpr int bytes = 65536;
const pair get_option = compare("socket option", make, bare_get<SOL_SOCKET, SO_TYPE>,
                                [](connected& c) { must(c.ours.option(SOL_SOCKET, SO_TYPE)); });
const pair set_option = compare("socket set_option", make, bare_set<SOL_SOCKET, SO_PRIORITY>,
                                [](connected& c) { must(c.ours.set_option(SOL_SOCKET, SO_PRIORITY, 1)); });
const pair send_buffer = compare("socket send_buffer", make, bare_get<SOL_SOCKET, SO_SNDBUF>,
                                 [](connected& c) { must(c.ours.send_buffer()); });
const pair set_send_buffer = compare("socket set_send_buffer", make, bare_set<SOL_SOCKET, SO_SNDBUF, bytes>,
                                     [](connected& c) { must(c.ours.set_send_buffer(bytes)); });
const pair receive_buffer = compare("socket receive_buffer", make, bare_get<SOL_SOCKET, SO_RCVBUF>,
                                    [](connected& c) { must(c.ours.receive_buffer()); });
const pair set_receive_buffer = compare("socket set_receive_buffer", make, bare_set<SOL_SOCKET, SO_RCVBUF, bytes>,
                                        [](connected& c) { must(c.ours.set_receive_buffer(bytes)); });
const pair take_error =
    compare("socket take_error", make, bare_get<SOL_SOCKET, SO_ERROR>, [](connected& c) { must(c.ours.take_error()); });
const pair unsent = compare(
    "socket unsent", make,
    [](connected& c) {
        int count = 0;
        must_be(::ioctl(c.fd(), SIOCOUTQ, &count) == 0);
        benchmark::DoNotOptimize(count);
    },
    [](connected& c) { must(c.ours.unsent()); });
// Again and again: what is shut down may be shut down once more.
const pair shut = compare(
    "socket shutdown", make, [](connected& c) { must_be(::shutdown(c.fd(), SHUT_WR) == 0); },
    [](connected& c) { must(c.ours.shutdown(direction::send)); });

const pair no_delay = compare("tcp set_no_delay", make_tcp, bare_set<IPPROTO_TCP, TCP_NODELAY>,
                              [](tcp_connected& c) { must(c.ours.set_no_delay(true)); });
const pair quick_ack = compare("tcp set_quick_ack", make_tcp, bare_set<IPPROTO_TCP, TCP_QUICKACK>,
                               [](tcp_connected& c) { must(c.ours.set_quick_ack(true)); });
const pair cork = compare("tcp set_cork", make_tcp, bare_set<IPPROTO_TCP, TCP_CORK>,
                          [](tcp_connected& c) { must(c.ours.set_cork(true)); });
const pair keep_alive_on = compare("tcp set_keep_alive", make_tcp, bare_set<SOL_SOCKET, SO_KEEPALIVE>,
                                   [](tcp_connected& c) { must(c.ours.set_keep_alive(true)); });
const pair keep_alive_how = compare(
    "tcp set_keep_alive with times (setsockopt four times)", make_tcp,
    [](tcp_connected& c) {
        bare_set<IPPROTO_TCP, TCP_KEEPIDLE, 60>(c);
        bare_set<IPPROTO_TCP, TCP_KEEPINTVL, 10>(c);
        bare_set<IPPROTO_TCP, TCP_KEEPCNT, 5>(c);
        bare_set<SOL_SOCKET, SO_KEEPALIVE>(c);
    },
    [](tcp_connected& c) { must(c.ours.set_keep_alive(keep_alive{})); });
const pair user_timeout = compare("tcp set_user_timeout", make_tcp, bare_set<IPPROTO_TCP, TCP_USER_TIMEOUT, 1000>,
                                  [](tcp_connected& c) { must(c.ours.set_user_timeout(std::chrono::seconds{1})); });

template <auto Call>
constexpr auto bare_name = [](auto& all) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    must_be(Call(all.fd(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    benchmark::DoNotOptimize(address);
};
const pair tcp_local =
    compare("tcp local", make_tcp, bare_name<::getsockname>, [](tcp_connected& c) { must(c.ours.local()); });
const pair tcp_peer =
    compare("tcp peer", make_tcp, bare_name<::getpeername>, [](tcp_connected& c) { must(c.ours.peer()); });
const pair udp_local =
    compare("udp local", make_udp, bare_name<::getsockname>, [](udp_connected& c) { must(c.ours.local()); });
const pair udp_peer =
    compare("udp peer", make_udp, bare_name<::getpeername>, [](udp_connected& c) { must(c.ours.peer()); });
const pair udp_connect = compare(
    "udp connect", make_udp,
    [](udp_connected& c) { must_be(::connect(c.fd(), reinterpret_cast<const sockaddr*>(&c.raw), sizeof c.raw) == 0); },
    [](udp_connected& c) { must(c.ours.connect(c.to)); });

struct named_datagrams {
    named_datagrams() { must(ours.connect(to)); }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    unix_datagram ours = std::move(*must(bind_unix_datagram(unix_name{})));
    unix_datagram theirs = std::move(*must(bind_unix_datagram(unix_name{})));
    unix_name to = *must(local_name(theirs));
    sockaddr_un raw{};
    socklen_t raw_size = [this] {
        socklen_t size = sizeof raw;
        must_be(::getsockname(theirs.native().get(), reinterpret_cast<sockaddr*>(&raw), &size) == 0);
        return size;
    }();
};
named_datagrams make_datagrams() { return {}; }
const pair unix_local = compare("unix datagram local_name", make_datagrams, bare_name<::getsockname>,
                                [](named_datagrams& c) { must(local_name(c.ours)); });
const pair unix_peer = compare("unix datagram peer_name", make_datagrams, bare_name<::getpeername>,
                               [](named_datagrams& c) { must(peer_name(c.ours)); });
const pair unix_connect = compare(
    "unix datagram connect", make_datagrams,
    [](named_datagrams& c) { must_be(::connect(c.fd(), reinterpret_cast<const sockaddr*>(&c.raw), c.raw_size) == 0); },
    [](named_datagrams& c) { must(c.ours.connect(c.to)); });
std::array<std::byte, 256> room;
const pair unix_send_to = compare_in_batches(
    "unix datagram send_to 100 B", 8, make_datagrams,
    [](named_datagrams& c) {
        iovec part{room.data(), 100};
        msghdr message{};
        message.msg_name = &c.raw, message.msg_namelen = c.raw_size;
        message.msg_iov = &part, message.msg_iovlen = 1;
        must_be(::sendmsg(c.fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 100);
    },
    [](named_datagrams& c) { must(c.ours.send_to(c.to, {room.data(), 100})); },
    [](named_datagrams& c) {
        while (::recv(c.theirs.native().get(), room.data(), room.size(), MSG_DONTWAIT) >= 0) {
        }
    });

const pair peer_process = compare(
    "unix peer_pidfd and close", make,
    [](connected& c) {
        int pidfd = -1;
        socklen_t size = sizeof pidfd;
        if (::getsockopt(c.fd(), SOL_SOCKET, so_peerpidfd, &pidfd, &size) == 0) ::close(pidfd);
    },
    [](connected& c) { may_fail(peer_pidfd(c.ours)); });
const pair groups = compare(
    "unix peer_groups", make,
    [](connected& c) {
        std::array<gid_t, 64> all;
        socklen_t size = sizeof all;
        must_be(::getsockopt(c.fd(), SOL_SOCKET, SO_PEERGROUPS, all.data(), &size) == 0);
        benchmark::DoNotOptimize(all);
    },
    [](connected& c) {
        std::array<gid_t, 64> all;
        must(peer_groups(c.ours, all));
        benchmark::DoNotOptimize(all);
    });
const pair security = compare(
    "unix peer_security", make,
    [](connected& c) {
        std::array<char, 256> label;
        socklen_t size = label.size();
        benchmark::DoNotOptimize(::getsockopt(c.fd(), SOL_SOCKET, SO_PEERSEC, label.data(), &size));
    },
    [](connected& c) {
        std::array<char, 256> label;
        may_fail(peer_security(c.ours, label));
    });
const pair credentials = compare("unix set_receive_credentials", make, bare_set<SOL_SOCKET, SO_PASSCRED>,
                                 [](connected& c) { must(set_receive_credentials(c.ours, true)); });
const pair pidfds = compare("unix set_receive_pidfd", make, try_set<so_passpidfd>,
                            [](connected& c) { may_fail(set_receive_pidfd(c.ours, true)); });
const pair descriptors = compare("unix set_receive_descriptors", make, try_set<so_passrights>,
                                 [](connected& c) { may_fail(set_receive_descriptors(c.ours, true)); });

}  // namespace
