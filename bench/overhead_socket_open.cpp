// Making sockets: listening, binding, connecting, closing. Names are the kernel's choice, paths lie in /dev/shm.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cstddef>
#include <cstdlib>
#include <kith/sys/tcp.hpp>
#include <kith/sys/udp.hpp>
#include <kith/sys/unix_listener.hpp>
#include <string>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

int bare_socket(int family, int type) {
    const int fd = ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must_be(fd >= 0);
    return fd;
}
void bind_loopback(int fd) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must_be(::bind(fd, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0);
}
int bind_abstract(int type) {
    const int fd = bare_socket(AF_UNIX, type);
    sockaddr_un anywhere{};
    anywhere.sun_family = AF_UNIX;
    must_be(::bind(fd, reinterpret_cast<const sockaddr*>(&anywhere), sizeof anywhere.sun_family) == 0);
    return fd;
}
template <int Type>
constexpr auto bare_listen = [](nothing) {
    const int fd = bind_abstract(Type);
    must_be(::listen(fd, 128) == 0);
    ::close(fd);
};

const pair tcp_listen = compare(
    "tcp listen_tcp (SO_REUSEADDR) and close", no_object,
    [](nothing) {
        const int fd = bare_socket(AF_INET, SOCK_STREAM);
        const int on = 1;
        must_be(::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
        bind_loopback(fd);
        must_be(::listen(fd, 128) == 0);
        ::close(fd);
    },
    [](nothing) { must(listen_tcp()); });
const pair udp_bind = compare(
    "udp bind_udp and close", no_object,
    [](nothing) {
        const int fd = bare_socket(AF_INET, SOCK_DGRAM);
        bind_loopback(fd);
        ::close(fd);
    },
    [](nothing) { must(bind_udp()); });
const pair udp_connect = compare(
    "udp connect_udp and close", no_object,
    [](nothing) {
        const int fd = bare_socket(AF_INET, SOCK_DGRAM);
        sockaddr_in there{};
        there.sin_family = AF_INET;
        there.sin_port = htons(9);
        there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        must_be(::connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0);
        ::close(fd);
    },
    [](nothing) { must(connect_udp(endpoint::loopback(9))); });

const pair stream_listen = compare("unix listen_unix_stream and close", no_object, bare_listen<SOCK_STREAM>,
                                   [](nothing) { must(listen_unix_stream(unix_name{})); });
const pair packet_listen = compare("unix listen_unix_seqpacket and close", no_object, bare_listen<SOCK_SEQPACKET>,
                                   [](nothing) { must(listen_unix_seqpacket(unix_name{})); });
const pair datagram_bind = compare(
    "unix datagram bind_unix_datagram and close", no_object, [](nothing) { ::close(bind_abstract(SOCK_DGRAM)); },
    [](nothing) { must(bind_unix_datagram(unix_name{})); });
const pair datagram_open = compare(
    "unix datagram open_unix_datagram and close", no_object, [](nothing) { ::close(bare_socket(AF_UNIX, SOCK_DGRAM)); },
    [](nothing) { must(open_unix_datagram()); });
const pair datagram_pair = compare(
    "unix datagram open_unix_datagram_pair and close", no_object,
    [](nothing) {
        int fds[2];
        must_be(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        ::close(fds[0]), ::close(fds[1]);
    },
    [](nothing) { must(open_unix_datagram_pair()); });

// What every packet socket is asked and told: its flags and type, and that packets carry a time, which an end does not.
void bare_adopt_packets(int fd) {
    int value = 0;
    socklen_t size = sizeof value;
    must_be(::fcntl(fd, F_GETFL) >= 0);
    must_be(::getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) == 0 && value == SOCK_SEQPACKET);
    value = 1;
    must_be(::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &value, sizeof value) == 0);
}
const pair packet_pair = compare(
    "unix seqpacket open_unix_seqpacket_pair (SO_TIMESTAMP) and close", no_object,
    [](nothing) {
        int fds[2];
        must_be(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
        bare_adopt_packets(fds[0]), bare_adopt_packets(fds[1]);
        ::close(fds[0]), ::close(fds[1]);
    },
    [](nothing) { must(open_unix_seqpacket_pair()); });
struct packets {
    packets() {
        auto made = must(open_unix_seqpacket_pair());
        ours = std::move(made->first);
    }
    unix_seqpacket ours;
};
const pair packet_adopt = compare(
    "unix seqpacket adopt (F_GETFL, SO_TYPE, SO_TIMESTAMP)", [] { return packets{}; },
    [](packets& p) { bare_adopt_packets(p.ours.native().get()); },
    [](packets& p) {
        auto fd = p.ours.release();
        p.ours = std::move(*must(unix_seqpacket::adopt(std::move(fd))));
    });

struct packet_listener {
    packet_listener() {
        must_be(::getsockname(listener.native().get(), reinterpret_cast<sockaddr*>(&raw), &raw_size) == 0);
    }
    unix_seqpacket_listener listener = std::move(*must(listen_unix_seqpacket(unix_name{})));
    unix_name name = *must(local_name(listener));
    sockaddr_un raw{};
    socklen_t raw_size = sizeof raw;
};
const pair packet_connect = compare(
    "unix seqpacket connect_unix_seqpacket, accept (SO_TIMESTAMP) and close", [] { return packet_listener{}; },
    [](packet_listener& l) {
        const int client = bare_socket(AF_UNIX, SOCK_SEQPACKET);
        must_be(::connect(client, reinterpret_cast<const sockaddr*>(&l.raw), l.raw_size) == 0);
        bare_adopt_packets(client);
        const int server = ::accept4(l.listener.native().get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        must_be(server >= 0);
        bare_adopt_packets(server);
        ::close(server), ::close(client);
    },
    [](packet_listener& l) {
        auto client = must(connect_unix_seqpacket(l.name));
        must(l.listener.accept());
    });

// A path that is ours is removed at the end: it is looked at after bind, and again before it is removed, by the process
// that bound it and by no forked child (getpid, both times).
struct place {
    place() {
        must_be(::mkdtemp(directory.data()) != nullptr);
        path = directory + "/socket";
        raw.sun_family = AF_UNIX;
        path.copy(raw.sun_path, sizeof raw.sun_path - 1);
        name = *must(unix_name::path(path));
    }
    ~place() { ::rmdir(directory.c_str()); }
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    int bare(int type) const {
        const int fd = bare_socket(AF_UNIX, type);
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
        must_be(::bind(fd, reinterpret_cast<const sockaddr*>(&raw), size) == 0);
        look();
        return fd;
    }
    void look() const {
        struct stat file{};
        must_be(::lstat(path.c_str(), &file) == 0 && ::getpid() != 0);
        benchmark::DoNotOptimize(file);
    }
    void remove() const { look(), must_be(::unlink(path.c_str()) == 0); }
    std::string directory = "/dev/shm/kith_bench_XXXXXX";
    std::string path;
    sockaddr_un raw{};
    unix_name name;
};
const pair listen_at_path = compare(
    "unix listen_unix_stream at a path (lstat, getpid) and close (the same, and unlink)", [] { return place{}; },
    [](place& p) {
        const int fd = p.bare(SOCK_STREAM);
        must_be(::listen(fd, 128) == 0);
        p.remove(), ::close(fd);
    },
    [](place& p) { must(listen_unix_stream(p.name))->close(); });
const pair leave_path = compare(
    "unix listen_unix_stream at a path (lstat, getpid) and close_and_leave_path; unlinked by a bare call",
    [] { return place{}; },
    [](place& p) {
        const int fd = p.bare(SOCK_STREAM);
        must_be(::listen(fd, 128) == 0);
        ::close(fd);
        must_be(::unlink(p.path.c_str()) == 0);
    },
    [](place& p) {
        must(listen_unix_stream(p.name))->close_and_leave_path();
        must_be(::unlink(p.path.c_str()) == 0);
    });
const pair datagram_at_path = compare(
    "unix datagram bind_unix_datagram at a path (lstat, getpid) and close (the same, and unlink)",
    [] { return place{}; },
    [](place& p) {
        const int fd = p.bare(SOCK_DGRAM);
        p.remove(), ::close(fd);
    },
    [](place& p) { must(bind_unix_datagram(p.name))->close(); });

const pair resolve_number = compare(
    "endpoint resolve of a number", no_object,
    [](nothing) {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
        addrinfo* found = nullptr;
        must_be(::getaddrinfo("127.0.0.1", "80", &hints, &found) == 0);
        benchmark::DoNotOptimize(found);
        ::freeaddrinfo(found);
    },
    [](nothing) { must(resolve("127.0.0.1", "80")); });

}  // namespace
