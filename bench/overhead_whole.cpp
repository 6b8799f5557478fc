// Calls that move all of a buffer, or both directions at once, and the other ways to send and to look at what came.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <array>
#include <kith/sys/duplex_pipe.hpp>
#include <kith/sys/tcp.hpp>
#include <kith/sys/udp.hpp>
#include <kith/sys/unix_socket.hpp>

#include "pair.hpp"
#include "pipe_pairs.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr std::size_t size = 100;
constexpr int batch = 32;
std::array<std::byte, 65536> room;
constexpr auto all_of = [] { return kith::byte_span{room.data(), size}; };

struct guarded_pipe : open_pair {
    kith::sigpipe_guard guard;
    void refill() { must_be(::write(out(), buffer.data(), batch * size) == batch * size); }
};
guarded_pipe make_pipe() { return {}; }
const pair pipe_write = compare_in_batches(
    "pipe write_full 100 B, in a sigpipe_guard", batch, make_pipe,
    [](guarded_pipe& p) { must_be(::write(p.out(), room.data(), size) == size); },
    [](guarded_pipe& p) {
        std::size_t done = 0;
        must(p.pipe.writer.write_full(all_of(), done));
    },
    [](guarded_pipe& p) {
        if (::write(p.out(), room.data(), 1) == 1) p.drain();
    });
const pair pipe_read = compare_in_batches(
    "pipe read_full 100 B", batch, make_pipe,
    [](guarded_pipe& p) { must_be(::read(p.in(), room.data(), size) == size); },
    [](guarded_pipe& p) {
        std::size_t done = 0;
        must(p.pipe.reader.read_full(all_of(), done));
    },
    [](guarded_pipe& p) { p.refill(); });

struct streams {
    streams() {
        auto made = must(open_unix_stream_pair());
        ours = std::move(made->first), theirs = std::move(made->second);
    }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    [[nodiscard]] int other() const { return theirs.native().get(); }
    void drain() const {
        while (::recv(other(), room.data(), room.size(), MSG_DONTWAIT) > 0) {
        }
    }
    void fill() const {
        must_be(::send(other(), room.data(), batch * size, MSG_NOSIGNAL | MSG_DONTWAIT) == batch * size);
    }
    unix_stream ours;
    unix_stream theirs;
};
streams make_streams() { return {}; }
constexpr auto drain = [](auto& s) { s.drain(); };
constexpr auto fill = [](auto& s) { s.fill(); };
constexpr auto bare_send = [](auto& s) {
    must_be(::send(s.fd(), room.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL) == size);
};
constexpr auto bare_receive = [](auto& s) { must_be(::recv(s.fd(), room.data(), size, MSG_DONTWAIT) == size); };

const pair socket_write = compare_in_batches(
    "unix stream write_full 100 B", batch, make_streams, bare_send,
    [](streams& s) {
        std::size_t done = 0;
        must(s.ours.write_full(all_of(), done));
    },
    drain);
const pair socket_read = compare_in_batches(
    "unix stream read_full 100 B", batch, make_streams, bare_receive,
    [](streams& s) {
        std::size_t done = 0;
        must(s.ours.read_full(all_of(), done));
    },
    fill);

// With room for everything the kernel may put beside the bytes, as kith has.
template <class Name>
ssize_t bare_message(int fd, int flags, bool with_control) {
    alignas(cmsghdr) std::array<std::byte, 1500> control;
    Name from;
    iovec part{room.data(), size};
    msghdr message{};
    message.msg_name = &from, message.msg_namelen = sizeof from;
    message.msg_iov = &part, message.msg_iovlen = 1;
    if (with_control) message.msg_control = control.data(), message.msg_controllen = control.size();
    const auto count = ::recvmsg(fd, &message, flags | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    benchmark::DoNotOptimize(message);
    return count;
}
const pair socket_send = compare_in_batches(
    "unix stream send 100 B", batch, make_streams,
    [](streams& s) {
        iovec part{room.data(), size};
        msghdr message{};
        message.msg_iov = &part, message.msg_iovlen = 1;
        must_be(::sendmsg(s.fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == size);
    },
    [](streams& s) { must(s.ours.send(all_of(), attachments{})); }, drain);
const pair socket_receive = compare_in_batches(
    "unix stream receive 100 B", batch, make_streams,
    [](streams& s) {
        alignas(cmsghdr) std::array<std::byte, 1500> control;
        iovec part{room.data(), size};
        msghdr message{};
        message.msg_iov = &part, message.msg_iovlen = 1;
        message.msg_control = control.data(), message.msg_controllen = control.size();
        must_be(::recvmsg(s.fd(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == size);
        benchmark::DoNotOptimize(message);
    },
    [](streams& s) { must(s.ours.receive(all_of())); }, fill);

template <class Ends>
struct one_message : Ends {
    one_message() { must_be(::send(this->other(), room.data(), size, 0) == size); }
};
struct packet_ends {
    packet_ends() {
        auto made = must(open_unix_seqpacket_pair());
        ours = std::move(made->first), theirs = std::move(made->second);
    }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    [[nodiscard]] int other() const { return theirs.native().get(); }
    unix_seqpacket ours;
    unix_seqpacket theirs;
};
struct datagram_ends {
    datagram_ends() {
        auto made = must(open_unix_datagram_pair());
        ours = std::move(made->first), theirs = std::move(made->second);
    }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    [[nodiscard]] int other() const { return theirs.native().get(); }
    unix_datagram ours;
    unix_datagram theirs;
};
struct udp_ends {
    udp_ends() { must(theirs.connect(*must(ours.local()))); }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    [[nodiscard]] int other() const { return theirs.native().get(); }
    udp_socket ours = std::move(*must(bind_udp()));
    udp_socket theirs = std::move(*must(bind_udp()));
};
const pair packet_peek = compare(
    "unix seqpacket peek 100 B", [] { return one_message<packet_ends>{}; },
    [](packet_ends& e) { must_be(bare_message<sockaddr_un>(e.fd(), MSG_PEEK, true) == size); },
    [](packet_ends& e) { must(e.ours.peek(all_of())); });
const pair datagram_peek = compare(
    "unix datagram peek 100 B", [] { return one_message<datagram_ends>{}; },
    [](datagram_ends& e) { must_be(bare_message<sockaddr_un>(e.fd(), MSG_PEEK, true) == size); },
    [](datagram_ends& e) { must(e.ours.peek(all_of())); });
const pair udp_peek = compare(
    "udp peek 100 B", [] { return one_message<udp_ends>{}; },
    [](udp_ends& e) { must_be(bare_message<sockaddr_storage>(e.fd(), MSG_PEEK, false) == size); },
    [](udp_ends& e) { must(e.ours.peek(all_of())); });

struct tcp_ends {
    tcp_ends() {
        auto listener = must(listen_tcp());
        ours = std::move(*must(connect_tcp(*listener->local())));
        theirs = std::move(*must(listener->accept()));
    }
    [[nodiscard]] int fd() const { return ours.native().get(); }
    void drain() const {
        while (::recv(theirs.native().get(), room.data(), room.size(), MSG_DONTWAIT) > 0) {
        }
    }
    tcp_stream ours;
    tcp_stream theirs;
};
const pair tcp_more = compare_in_batches(
    "tcp write_more 100 B", batch, [] { return tcp_ends{}; },
    [](tcp_ends& e) { must_be(::send(e.fd(), room.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE) == size); },
    [](tcp_ends& e) { must(e.ours.write_more(all_of())); }, drain);
// Connected and accepted by the same calls on both sides.
const pair tcp_abort = compare(
                           "tcp abort (SO_LINGER, close; connected by the same calls on both sides)",
                           [] { return std::move(*must(listen_tcp())); },
                           [](tcp_listener& listener) {
                               const int client = must(connect_tcp(*listener.local()))->release().release();
                               must(listener.accept());
                               const linger at_once{.l_onoff = 1, .l_linger = 0};
                               must_be(::setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
                               ::close(client);
                           },
                           [](tcp_listener& listener) {
                               auto client = must(connect_tcp(*listener.local()));
                               must(listener.accept());
                               client->abort();
                           })
                           .calls(100);

// Both directions; the other side has sent already.
struct duplex {
    duplex_pair ends = std::move(*must(open_duplex_pipe()));
    [[nodiscard]] int fd() const { return ends.first.native().get(); }
    [[nodiscard]] int other() const { return ends.second.native().get(); }
    void turn() const {
        while (::recv(other(), room.data(), room.size(), MSG_DONTWAIT) > 0) {
        }
        must_be(::send(other(), room.data(), batch * size, MSG_NOSIGNAL | MSG_DONTWAIT) == batch * size);
    }
};
const pair exchange = compare_in_batches(
    "duplex_pipe exchange 100 B for 100 B (recv, send)", batch, [] { return duplex{}; },
    [](duplex& d) { bare_receive(d), bare_send(d); },
    [](duplex& d) {
        std::size_t sent = 0;
        std::size_t received = 0;
        must(d.ends.first.exchange(all_of(), sent, all_of(), received));
    },
    [](duplex& d) { d.turn(); });

}  // namespace
