// The calls of kith::sys on sockets, beside the bare ones. One thread: what is sent is taken by bare calls on both
// sides.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <array>
#include <cstring>
#include <kith/sys/tcp.hpp>
#include <kith/sys/udp.hpp>
#include <kith/sys/unix_listener.hpp>
#include <memory>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr int batch = 64;
std::array<std::byte, 65536> room;

// A connected pair, one end of kith's type, the other bare.
template <class Socket>
struct ends {
    Socket ours;
    Socket theirs;
    [[nodiscard]] int our_fd() const { return ours.native().get(); }
    [[nodiscard]] int their_fd() const { return theirs.native().get(); }
};
ends<unix_stream> stream_pair() {
    auto made = must(open_unix_stream_pair());
    return {std::move(made->first), std::move(made->second)};
}
ends<unix_seqpacket> packet_pair() {
    auto made = must(open_unix_seqpacket_pair());
    return {std::move(made->first), std::move(made->second)};
}
ends<unix_datagram> datagram_pair() {
    auto made = must(open_unix_datagram_pair());
    return {std::move(made->first), std::move(made->second)};
}
ends<tcp_stream> tcp_pair() {
    auto listener = must(listen_tcp());
    auto client = must(connect_tcp(*listener->local()));
    auto server = must(listener->accept());
    must(client->set_no_delay(true));
    must(server->set_no_delay(true));
    return {std::move(*client), std::move(*server)};
}
ends<udp_socket> udp_pair() {
    auto a = must(bind_udp());
    auto b = must(bind_udp());
    must(a->connect(*b->local()));
    must(b->connect(*a->local()));
    return {std::move(*a), std::move(*b)};
}

// What `call` sends is thrown away in between, by whole batches of a stream or one by one of messages.
void drain_stream(int fd) { must_be(::recv(fd, room.data(), room.size(), MSG_DONTWAIT) > 0); }
void drain_messages(int fd, int count) {
    for (int i = 0; i < count; ++i) must_be(::recv(fd, room.data(), room.size(), MSG_DONTWAIT) >= 0);
}

template <class Make>
side bare_stream_write(Make make, std::size_t size, int many) {
    return [=](benchmark::State& state) {
        auto all = make();
        in_batches(
            state, many,
            [&] {
                must_be(::send(all.our_fd(), room.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL) ==
                        static_cast<ssize_t>(size));
            },
            [&] { drain_stream(all.their_fd()); });
    };
}
template <class Make>
side kith_stream_write(Make make, std::size_t size, int many) {
    return [=](benchmark::State& state) {
        auto all = make();
        in_batches(
            state, many, [&] { must(all.ours.write_some({room.data(), size})); },
            [&] { drain_stream(all.their_fd()); });
    };
}
template <class Make>
side bare_stream_read(Make make) {
    return [=](benchmark::State& state) {
        auto all = make();
        const auto fill = [&] { must_be(::send(all.their_fd(), room.data(), batch, MSG_NOSIGNAL) == batch); };
        fill();
        in_batches(state, batch, [&] { must_be(::recv(all.our_fd(), room.data(), 1, MSG_DONTWAIT) == 1); }, fill);
    };
}
template <class Make>
side kith_stream_read(Make make) {
    return [=](benchmark::State& state) {
        auto all = make();
        const auto fill = [&] { must_be(::send(all.their_fd(), room.data(), batch, MSG_NOSIGNAL) == batch); };
        fill();
        in_batches(state, batch, [&] { must(all.ours.read_some({room.data(), 1})); }, fill);
    };
}

const pair unix_write{"unix stream write_some 1 B", bare_stream_write(stream_pair, 1, batch),
                      kith_stream_write(stream_pair, 1, batch)};
const pair unix_write_page{"unix stream write_some 4096 B", bare_stream_write(stream_pair, 4096, 8),
                           kith_stream_write(stream_pair, 4096, 8)};
const pair unix_read{"unix stream read_some 1 B", bare_stream_read(stream_pair), kith_stream_read(stream_pair)};
const pair tcp_write{"tcp write_some 1 B", bare_stream_write(tcp_pair, 1, batch),
                     kith_stream_write(tcp_pair, 1, batch)};
const pair tcp_read{"tcp read_some 1 B", bare_stream_read(tcp_pair), kith_stream_read(tcp_pair)};

const pair unix_peek{"unix stream peek",
                     [](benchmark::State& state) {
                         auto all = stream_pair();
                         must_be(::send(all.their_fd(), room.data(), 1, 0) == 1);
                         each(state,
                              [&] { must_be(::recv(all.our_fd(), room.data(), 1, MSG_DONTWAIT | MSG_PEEK) == 1); });
                     },
                     [](benchmark::State& state) {
                         auto all = stream_pair();
                         must_be(::send(all.their_fd(), room.data(), 1, 0) == 1);
                         each(state, [&] { must(all.ours.peek({room.data(), 1})); });
                     }};
const pair unix_queued{"socket queued",
                       [](benchmark::State& state) {
                           auto all = stream_pair();
                           each(state, [&] {
                               int bytes = 0;
                               must_be(::ioctl(all.our_fd(), FIONREAD, &bytes) == 0);
                               benchmark::DoNotOptimize(bytes);
                           });
                       },
                       [](benchmark::State& state) {
                           auto all = stream_pair();
                           each(state, [&] { must(all.ours.queued()); });
                       }};

// Messages: sendmsg and recvmsg with room for everything the kernel may put beside them, as kith has.
ssize_t bare_send(int fd, std::size_t size) {
    iovec part{room.data(), size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
ssize_t bare_receive(int fd, bool with_control) {
    alignas(cmsghdr) std::array<std::byte, 1500> control;
    sockaddr_storage from;
    iovec part{room.data(), room.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (with_control) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    const auto count = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    // Whoever gives room for descriptors has to look whether some came.
    if (with_control) {
        for (auto* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one))
            must_be(one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS);
    }
    return count;
}

constexpr int messages = 8;  // fewer than the shortest queue takes

template <class Make>
side bare_message_send(Make make, bool with_control) {
    return [=](benchmark::State& state) {
        auto all = make();
        in_batches(
            state, messages,
            [&] {
                if (with_control)
                    must_be(bare_send(all.our_fd(), 100) == 100);
                else
                    must_be(::send(all.our_fd(), room.data(), 100, MSG_DONTWAIT | MSG_NOSIGNAL) == 100);
            },
            [&] { drain_messages(all.their_fd(), messages); });
    };
}
template <class Make>
side kith_message_send(Make make) {
    return [=](benchmark::State& state) {
        auto all = make();
        in_batches(
            state, messages, [&] { must(all.ours.send({room.data(), 100})); },
            [&] { drain_messages(all.their_fd(), messages); });
    };
}
template <class Make>
side bare_message_receive(Make make, bool with_control) {
    return [=](benchmark::State& state) {
        auto all = make();
        const auto fill = [&] {
            for (int i = 0; i < messages; ++i) must_be(::send(all.their_fd(), room.data(), 100, MSG_NOSIGNAL) == 100);
        };
        fill();
        in_batches(state, messages, [&] { must_be(bare_receive(all.our_fd(), with_control) == 100); }, fill);
    };
}
template <class Make>
side kith_message_receive(Make make) {
    return [=](benchmark::State& state) {
        auto all = make();
        const auto fill = [&] {
            for (int i = 0; i < messages; ++i) must_be(::send(all.their_fd(), room.data(), 100, MSG_NOSIGNAL) == 100);
        };
        fill();
        in_batches(state, messages, [&] { must(all.ours.receive({room.data(), room.size()})); }, fill);
    };
}

const pair packet_send{"unix seqpacket send 100 B", bare_message_send(packet_pair, true),
                       kith_message_send(packet_pair)};
const pair packet_receive{"unix seqpacket receive 100 B", bare_message_receive(packet_pair, true),
                          kith_message_receive(packet_pair)};
const pair datagram_send{"unix datagram send 100 B", bare_message_send(datagram_pair, true),
                         kith_message_send(datagram_pair)};
const pair datagram_receive{"unix datagram receive 100 B", bare_message_receive(datagram_pair, true),
                            kith_message_receive(datagram_pair)};
const pair udp_send{"udp send 100 B", bare_message_send(udp_pair, false), kith_message_send(udp_pair)};
const pair udp_receive{"udp receive 100 B", bare_message_receive(udp_pair, false), kith_message_receive(udp_pair)};

const pair open_pair{"unix open_unix_stream_pair and close",
                     [](benchmark::State& state) {
                         each(state, [&] {
                             int fds[2];
                             must_be(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
                             ::close(fds[0]);
                             ::close(fds[1]);
                         });
                     },
                     [](benchmark::State& state) { each(state, [&] { must(open_unix_stream_pair()); }); }};

const pair peer{"unix peer_of",
                [](benchmark::State& state) {
                    auto all = stream_pair();
                    each(state, [&] {
                        ucred who;
                        socklen_t size = sizeof who;
                        must_be(::getsockopt(all.our_fd(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
                        benchmark::DoNotOptimize(who);
                    });
                },
                [](benchmark::State& state) {
                    auto all = stream_pair();
                    each(state, [&] { must(peer_of(all.ours)); });
                }};

const pair connect_and_accept{
    "unix connect_unix_stream, accept and close",
    [](benchmark::State& state) {
        auto listener = must(listen_unix_stream(unix_name{}));
        sockaddr_un to{};
        socklen_t size = sizeof to;
        must_be(::getsockname(listener->native().get(), reinterpret_cast<sockaddr*>(&to), &size) == 0);
        each(state, [&] {
            const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            must_be(::connect(client, reinterpret_cast<const sockaddr*>(&to), size) == 0);
            const int server = ::accept4(listener->native().get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
            must_be(server >= 0);
            ::close(client);
            ::close(server);
        });
    },
    [](benchmark::State& state) {
        auto listener = must(listen_unix_stream(unix_name{}));
        const auto name = *must(local_name(*listener));
        each(state, [&] {
            auto client = must(connect_unix_stream(name));
            must(listener->accept());
        });
    }};

// One descriptor beside one byte.
ssize_t bare_send_descriptor(int socket, int passed) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof passed)> control{};
    iovec part{room.data(), 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof passed);
    std::memcpy(CMSG_DATA(head), &passed, sizeof passed);
    return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
int bare_receive_descriptor(int socket) {
    alignas(cmsghdr) std::array<char, 1500> control;
    sockaddr_un from;
    iovec part{room.data(), 16};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    must_be(::recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC) == 1);
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    must_be(head != nullptr && head->cmsg_type == SCM_RIGHTS);
    int passed = -1;
    std::memcpy(&passed, CMSG_DATA(head), sizeof passed);
    return passed;
}

using datagrams = ends<unix_datagram>;
const pair pass_descriptor = compare_in_batches(
    "unix datagram send, one descriptor", messages, datagram_pair,
    [](datagrams& all) { must_be(bare_send_descriptor(all.our_fd(), STDOUT_FILENO) == 1); },
    [](datagrams& all) {
        const kith::borrowed_fd passed{STDOUT_FILENO};
        must(all.ours.send({room.data(), 1}, {.descriptors = {&passed, 1}}));
    },
    [](datagrams& all) {
        while (::recv(all.their_fd(), room.data(), room.size(), MSG_DONTWAIT) >= 0) {
        }
    });
const pair take_descriptor = compare_in_batches(
    "unix datagram receive with a descriptor and close it", messages, datagram_pair,
    [](datagrams& all) { ::close(bare_receive_descriptor(all.our_fd())); },
    [](datagrams& all) {
        kith::owned_fd passed;
        must(all.ours.receive({room.data(), 16}, {&passed, 1}));
        must_be(passed.valid());
    },
    [](datagrams& all) {
        for (int i = 0; i < messages; ++i) must_be(bare_send_descriptor(all.their_fd(), STDOUT_FILENO) == 1);
    });

// Credentials beside one byte, stated by the sender, for a receiver that asked for them.
datagrams datagram_pair_with_credentials() {
    auto made = datagram_pair();
    must(set_receive_credentials(made.ours, true));
    must(set_receive_credentials(made.theirs, true));
    return made;
}
ssize_t bare_send_credentials(int socket) {
    const ucred who{::getpid(), ::getuid(), ::getgid()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof who)> control{};
    iovec part{room.data(), 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_CREDENTIALS;
    head->cmsg_len = CMSG_LEN(sizeof who);
    std::memcpy(CMSG_DATA(head), &who, sizeof who);
    return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
ucred bare_receive_credentials(int socket) {
    alignas(cmsghdr) std::array<char, 1500> control;
    sockaddr_un from;
    iovec part{room.data(), 16};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    must_be(::recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC) == 1);
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    must_be(head != nullptr && head->cmsg_type == SCM_CREDENTIALS);
    ucred who;
    std::memcpy(&who, CMSG_DATA(head), sizeof who);
    return who;
}
const pair state_credentials = compare_in_batches(
    "unix datagram send, with credentials", messages, datagram_pair_with_credentials,
    [](datagrams& all) { must_be(bare_send_credentials(all.our_fd()) == 1); },
    [](datagrams& all) {
        must(all.ours.send({room.data(), 1}, {.credentials = peer_credentials{::getpid(), ::getuid(), ::getgid()}}));
    },
    [](datagrams& all) {
        while (::recv(all.their_fd(), room.data(), room.size(), MSG_DONTWAIT) >= 0) {
        }
    });
const pair take_credentials = compare_in_batches(
    "unix datagram receive with credentials (and the sender's name)", messages, datagram_pair_with_credentials,
    [](datagrams& all) { must_be(bare_receive_credentials(all.our_fd()).pid != 0); },
    [](datagrams& all) { must_be(must(all.ours.receive({room.data(), 16}))->credentials->pid != 0); },
    [](datagrams& all) {
        for (int i = 0; i < messages; ++i) must_be(bare_send_credentials(all.their_fd()) == 1);
    });

// The client's end is reset, so that no port is kept for the time of TIME_WAIT.
const linger reset_at_close{.l_onoff = 1, .l_linger = 0};
const pair tcp_connect_and_accept =
    compare(
        "tcp connect_tcp, accept and close (poll and SO_ERROR; getsockname)",
        [] { return std::move(*must(listen_tcp())); },
        [](tcp_listener& listener) {
            sockaddr_in to{};
            socklen_t size = sizeof to;
            must_be(::getsockname(listener.native().get(), reinterpret_cast<sockaddr*>(&to), &size) == 0);
            const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            if (::connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
                pollfd connected{client, POLLOUT, 0};
                must_be(::ppoll(&connected, 1, nullptr, nullptr) == 1);
                int outcome = 0;
                size = sizeof outcome;
                must_be(::getsockopt(client, SOL_SOCKET, SO_ERROR, &outcome, &size) == 0 && outcome == 0);
            }
            sockaddr_in here{};
            size = sizeof here;
            must_be(::getsockname(client, reinterpret_cast<sockaddr*>(&here), &size) == 0);
            const int server = ::accept4(listener.native().get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
            must_be(server >= 0);
            ::close(server);
            ::setsockopt(client, SOL_SOCKET, SO_LINGER, &reset_at_close, sizeof reset_at_close);
            ::close(client);
        },
        [](tcp_listener& listener) {
            const auto client = must(connect_tcp(*listener.local()));
            must(listener.accept());
            ::setsockopt(client->native().get(), SOL_SOCKET, SO_LINGER, &reset_at_close, sizeof reset_at_close);
        })
        .calls(100);

struct udp_to_somebody : ends<udp_socket> {
    udp_to_somebody() : ends<udp_socket>{udp_pair()} {}
    endpoint to = *must(theirs.local());
    sockaddr_in raw = [this] {
        sockaddr_in made{};
        socklen_t size = sizeof made;
        must_be(::getsockname(their_fd(), reinterpret_cast<sockaddr*>(&made), &size) == 0);
        return made;
    }();
};
const pair udp_send_to = compare_in_batches(
    "udp send_to 100 B", messages, [] { return udp_to_somebody{}; },
    [](udp_to_somebody& all) {
        must_be(::sendto(all.our_fd(), room.data(), 100, MSG_DONTWAIT | MSG_NOSIGNAL,
                         reinterpret_cast<const sockaddr*>(&all.raw), sizeof all.raw) == 100);
    },
    [](udp_to_somebody& all) { must(all.ours.send_to(all.to, {room.data(), 100})); },
    [](udp_to_somebody& all) {
        while (::recv(all.their_fd(), room.data(), room.size(), MSG_DONTWAIT) >= 0) {
        }
    });
const pair read_nothing = compare(
    "unix stream read_some of nothing, immediate", stream_pair,
    [](ends<unix_stream>& all) { must_be(::recv(all.our_fd(), room.data(), 1, MSG_DONTWAIT) < 0); },
    [](ends<unix_stream>& all) { must_be(!all.ours.read_some({room.data(), 1}, kith::deadline::immediate())); });

}  // namespace
