#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <kith/sys/tcp.hpp>
#include <kith/sys/udp.hpp>
#include <kith/sys/unix_listener.hpp>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

// The network gave the peer up: not our deadline.
const allowance network_timeout{SYS_connect, ETIMEDOUT, errc::peer_gone, "ETIMEDOUT is the kernel's verdict, not ours"};
const allowance accept_goes_on[] = {
    {SYS_accept4, ECONNABORTED, {}, "that client gave up; the next one is taken"},
    {SYS_accept4, EPROTO, {}, "that client gave up; the next one is taken"},
    {SYS_accept4, EMFILE, {}, "tried once more after a pause"},
    {SYS_accept4, ENFILE, {}, "tried once more after a pause"},
    {SYS_accept4, ENOBUFS, {}, "tried once more after a pause"},
    {SYS_accept4, ENOMEM, {}, "tried once more after a pause"},
};
std::vector<allowance> with_accept(std::vector<allowance> others = {}) {
    others.insert(others.end(), std::begin(accept_goes_on), std::end(accept_goes_on));
    return others;
}

// A pair: bytes, half-close, the end.
class unix_stream_transfer : public scenario {
public:
    kith::result<void> act() override {
        auto pair = open_unix_stream_pair();
        if (!pair) return kith::fail(pair.error());
        FAULT_TRY(pair->first.write_some(kith::bytes_of("hello")));
        FAULT_TRY(pair->second.queued());
        FAULT_TRY(pair->first.unsent());
        std::byte buffer[5];
        FAULT_TRY(pair->second.peek(buffer));
        FAULT_TRY(pair->second.read_some(buffer));
        FAULT_TRY(pair->first.set_send_buffer(10000));
        FAULT_TRY(pair->first.send_buffer());
        FAULT_TRY(pair->first.shutdown(direction::send));
        FAULT_FAILS(pair->second.read_some(buffer), errc::end_of_stream);
        return {};
    }
};
const listed<unix_stream_transfer> stream_transfer{"unix_stream_transfer"};

// Packets with descriptors and credentials.
class unix_passing : public scenario {
public:
    void prepare() override {
        for (auto& one : files_) one = kith::owned_fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    }
    kith::result<void> act() override {
        auto pair = open_unix_seqpacket_pair();
        if (!pair) return kith::fail(pair.error());
        FAULT_TRY(set_receive_credentials(pair->second, true));
        const std::array out{files_[0].borrow(), files_[1].borrow()};
        FAULT_TRY(pair->first.send(kith::bytes_of("two"), {.descriptors = out}));
        std::byte buffer[5];
        FAULT_TRY(pair->second.peek(buffer));
        std::array<kith::owned_fd, 1> arrived;  // and one too many
        FAULT_TRY(pair->second.receive(buffer, arrived));
        FAULT_TRY(peer_of(pair->first));
        FAULT_TRY(peer_pidfd(pair->first));
        std::array<gid_t, 128> groups;
        FAULT_TRY(peer_groups(pair->first, groups));
        return {};
    }

private:
    std::array<kith::owned_fd, 2> files_;
};
const listed<unix_passing> passing{
    "unix_passing",
    {{SYS_getsockopt, EINVAL, errc::peer_gone, "of SO_PEERPIDFD: the peer has been reaped, on older kernels"}}};

// Listen, connect, accept under a name that the kernel chooses.
class unix_connection : public scenario {
public:
    kith::result<void> act() override {
        auto listener = listen_unix_stream(unix_name{});
        if (!listener) return kith::fail(listener.error());
        const auto name = local_name(*listener);
        if (!name) return kith::fail(name.error());
        auto client = connect_unix_stream(*name, deadline::in(std::chrono::seconds{5}));
        if (!client) return kith::fail(client.error());
        auto server = listener->accept(deadline::in(std::chrono::seconds{5}));
        if (!server) return kith::fail(server.error());
        FAULT_TRY(peer_name(*client));
        FAULT_TRY(peer_of(*server));
        return {};
    }
};
const listed<unix_connection> connection{
    "unix_connection", with_accept({{SYS_connect, EAGAIN, {}, "a full backlog is tried again"},
                                    {SYS_connect, EINTR, {}, "an interrupted attempt goes on in the kernel"},
                                    {SYS_connect, ETIMEDOUT, {}, "not an error of UNIX sockets"}})};

// The same with packets.
class unix_packets : public scenario {
public:
    kith::result<void> act() override {
        const auto soon = deadline::in(std::chrono::seconds{5});
        FAULT_MAKE(listener, listen_unix_seqpacket(unix_name{}));
        FAULT_MAKE(name, local_name(*listener));
        FAULT_MAKE(client, connect_unix_seqpacket(*name, soon));
        FAULT_MAKE(server, listener->accept(soon));
        FAULT_TRY(client->send(kith::bytes_of("hello"), soon));
        std::byte buffer[5];
        FAULT_TRY(server->receive(buffer, {}, soon));
        return {};
    }
};
const listed<unix_packets> packets{
    "unix_packets", with_accept({{SYS_connect, EAGAIN, {}, "a full backlog is tried again"},
                                 {SYS_connect, EINTR, {}, "an interrupted attempt goes on in the kernel"},
                                 {SYS_connect, ETIMEDOUT, {}, "not an error of UNIX sockets"}})};

// What a socket is told to take, and asked about its peer. Not every kernel knows all of it.
class unix_settings : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(pair, open_unix_stream_pair());
        const auto unknown = [](const auto& answer) { return !answer && answer.error().os_error() == ENOPROTOOPT; };
        std::array<char, 256> label;
        if (const auto asked = peer_security(pair->first, label); !asked && !unknown(asked)) FAULT_TRY(asked);
        if (const auto set = set_receive_pidfd(pair->first, true); !set && !unknown(set)) return set;
        if (const auto set = set_receive_descriptors(pair->first, false); !set && !unknown(set)) return set;
        FAULT_TRY(pair->first.set_receive_buffer(10000));
        FAULT_TRY(pair->first.receive_buffer());
        FAULT_TRY(pair->first.take_error());
        return {};
    }
};
const listed<unix_settings> settings{
    "unix_settings",
    {{SYS_getsockopt, ENOPROTOOPT, {}, "the scenario takes this for a kernel without security labels"},
     {SYS_setsockopt, ENOPROTOOPT, {}, "the scenario takes this for an older kernel"}}};

// A path under the lock: bound, taken over from a dead one, and removed.
class unix_take_over : public scenario {
public:
    void prepare() override {
        ::unlink(path);
        ::unlink(lock);
        auto dead = listen_unix_stream(*unix_name::path(path), options);
        if (dead) dead->close_and_leave_path();
    }
    ~unix_take_over() override {
        ::unlink(path);
        ::unlink(lock);
    }
    kith::result<void> act() override {
        auto listener = listen_unix_stream(*unix_name::path(path), options);
        if (!listener) return kith::fail(listener.error());
        listener->close();
        return {};
    }

private:
    static constexpr const char* path = "/tmp/kith-faults.sock";
    static constexpr const char* lock = "/tmp/kith-faults.sock.kith-lock";
    static constexpr unix_listen_options options{
        .bind = {.on_stale = unix_bind_options::stale::take_over, .mode = mode_t{0600}}};
};
const listed<unix_take_over> take_over{
    "unix_take_over",
    {{SYS_flock, EAGAIN, errc::exists, "held by another listener: bind is refused with EADDRINUSE", EADDRINUSE},
     {SYS_flock, EINTR, {}, "tried again"},
     {SYS_newfstatat, ENOENT, {}, "the lock file, or the stale path, went meanwhile: looked at again"},
     {SYS_newfstatat, ENOENT, errc::exists, "the stale path was said to be gone, and is not", EADDRINUSE},
     {SYS_newfstatat, any_error, {}, "at closing: what cannot be recognised as our own stays"},
     {SYS_bind, EADDRINUSE, {}, "a stale path, as it seems: removed"},
     {SYS_connect, any_error, errc::exists, "only ECONNREFUSED proves that nobody has the socket", EADDRINUSE},
     {SYS_connect, ECONNREFUSED, {}, "nobody has the socket: taken over"},
     {SYS_unlink, ENOENT, {}, "at closing: removed by somebody else"},
     {SYS_unlink, ENOENT, errc::exists, "the stale path was said to be gone, and is not", EADDRINUSE},
     {SYS_unlink, any_error, {}, "at closing: the path stays"}}};

// Datagrams, to the connected receiver and to anyone.
class unix_datagrams : public scenario {
public:
    kith::result<void> act() override {
        auto receiver = bind_unix_datagram(unix_name{});
        if (!receiver) return kith::fail(receiver.error());
        const auto name = local_name(*receiver);
        if (!name) return kith::fail(name.error());
        auto sender = open_unix_datagram();
        if (!sender) return kith::fail(sender.error());
        const auto soon = deadline::in(std::chrono::seconds{5});
        FAULT_TRY(sender->send_to(*name, kith::bytes_of("one"), {}, soon));
        FAULT_TRY(sender->connect(*name));
        FAULT_TRY(sender->send(kith::bytes_of("two"), soon));
        std::byte buffer[5];
        FAULT_TRY(receiver->receive(buffer, {}, soon));
        FAULT_TRY(receiver->receive(buffer, {}, soon));
        return {};
    }
};
const listed<unix_datagrams> datagrams{"unix_datagrams",
                                       {{SYS_sendmsg, ENOTCONN, errc::invalid, "a sender without a receiver"}}};

// TCP: listen, connect, accept, options, bytes, abort.
class tcp_connection : public scenario {
public:
    kith::result<void> act() override {
        const auto soon = deadline::in(std::chrono::seconds{5});
        auto listener = listen_tcp();
        if (!listener) return kith::fail(listener.error());
        const auto where = listener->local();
        if (!where) return kith::fail(where.error());
        auto client = connect_tcp(*where, soon);
        if (!client) return kith::fail(client.error());
        auto server = listener->accept(soon);
        if (!server) return kith::fail(server.error());
        FAULT_TRY(client->set_no_delay(true));
        FAULT_TRY(client->set_keep_alive(keep_alive{}));
        FAULT_TRY(client->set_keep_alive(false));
        FAULT_TRY(client->set_cork(true));
        FAULT_TRY(client->set_cork(false));
        FAULT_TRY(client->set_quick_ack(true));
        FAULT_TRY(client->set_user_timeout(std::chrono::seconds{5}));
        FAULT_TRY(client->local());
        FAULT_TRY(client->peer());
        FAULT_TRY(client->write_more(kith::bytes_of("first, "), soon));
        FAULT_TRY(client->write_some(kith::bytes_of("hello"), soon));
        std::byte buffer[12];
        std::size_t done = 0;
        FAULT_TRY(server->read_full(buffer, done, soon));
        return {};
    }
};
const listed<tcp_connection> tcp{
    "tcp_connection",
    with_accept({network_timeout, {SYS_eventfd2, any_error, {}, "without descriptors it looks again at intervals"}})};

class tcp_abort : public scenario {
public:
    void prepare() override {
        auto listener = listen_tcp();
        client_ = std::move(*connect_tcp(*listener->local()));
    }
    kith::result<void> act() override {
        client_.abort();
        return {};
    }

private:
    tcp_stream client_;
};
const listed<tcp_abort> aborted{"tcp_abort",
                                {{SYS_setsockopt, any_error, {}, "of SO_LINGER: it is closed all the same"}}};

// UDP: bind, send, receive.
class udp_transfer : public scenario {
public:
    kith::result<void> act() override {
        const auto soon = deadline::in(std::chrono::seconds{5});
        auto receiver = bind_udp();
        if (!receiver) return kith::fail(receiver.error());
        const auto where = receiver->local();
        if (!where) return kith::fail(where.error());
        auto sender = connect_udp(*where);
        if (!sender) return kith::fail(sender.error());
        FAULT_TRY(sender->peer());
        FAULT_TRY(sender->send(kith::bytes_of("one"), soon));
        FAULT_TRY(sender->send_to(*where, kith::bytes_of("two"), soon));
        std::byte buffer[5];
        FAULT_TRY(receiver->receive(buffer, soon));
        FAULT_TRY(receiver->receive(buffer, soon));
        return {};
    }
};
const listed<udp_transfer> udp{"udp_transfer"};

}  // namespace
