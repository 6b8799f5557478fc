// unix: - UNIX sockets: streams, packets and datagrams, by path and by abstract name.
//
// Who receives binds the name: recv, listen and serve make the socket and remove it again; a path that a killed kith
// left is taken over under its lock (docs/formats/socket_lock.md). Who sends finds it there.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <fstream>
#include <sstream>

#include <kith/sys/unix_listener.hpp>

#include "backends/connections.hpp"
#include "backends/unix_exchange.hpp"
#include "backends/unix_text.hpp"

namespace kith_cli {

using kind = kith::address::socket_type;
using kith::sys::direction;
using kith::sys::unix_datagram;
using kith::sys::unix_seqpacket;
using kith::sys::unix_seqpacket_listener;
using kith::sys::unix_stream;
using kith::sys::unix_stream_listener;

namespace {

kith::sys::unix_bind_options taking_over(const listen_options& options) {
    kith::sys::unix_bind_options bind{.on_stale = kith::sys::unix_bind_options::stale::take_over};
    if (options.mode) bind.mode = static_cast<mode_t>(*options.mode);
    return bind;
}

facts peer_facts(const kith::sys::socket_base& socket) {
    facts who;
    if (const auto peer = kith::sys::peer_of(socket))
        who.add("pid", peer->pid).add_user("uid", peer->uid).add_group("gid", peer->gid);
    return who;
}

std::unexpected<failure> no_connection() {
    return refuse_use(kith::errc::unsupported, "listen",
                      "datagram sockets have no connections: send and recv work on them");
}

// Packets and datagrams: send and receive are the same, the end is not.
template <class Socket>
class message_sender final : public sender {
public:
    message_sender(Socket socket, std::string where) : socket_{std::move(socket)}, where_{std::move(where)} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<void> send(kith::byte_view body, const send_options&, const kith::wait_policy& wait) override {
        const auto sent = socket_.send(body, wait);
        if (sent) return {};
        if (sent.error().code() == kith::errc::too_long) {
            failure why{sent.error(), "longer than the socket's send buffer allows"};
            if (const auto size = socket_.send_buffer())
                why.limits.push_back(fmt::format("SO_SNDBUF is {} bytes, from net.core.wmem_default", *size));
            return std::unexpected{std::move(why).suggest(fmt::format("a stream has no such limit: {}", where_))};
        }
        return pass_on(sent);
    }

private:
    Socket socket_;
    std::string where_;
};

outcome<message> receive_message(auto& socket, const receive_options& options, const kith::wait_policy& wait) {
    message got;
    got.body.resize(options.max_size != 0 ? options.max_size : usual_message);
    // Looked at first: one that is too long can then stay where it is.
    auto seen = socket.peek(got.body, wait);
    if (!seen) return pass_on(seen);
    if (seen->truncated && !options.truncate && !options.peek)
        return std::unexpected{
            failure{kith::error{kith::errc::truncated, "recvmsg(MSG_PEEK)", 0},
                    fmt::format("the message has {} bytes, the room for it {}", seen->real_size, got.body.size())}
                .suggest(fmt::format("--max-size {} makes room, --truncate cuts it", seen->real_size))};
    if (!options.peek) seen = socket.receive(got.body, {}, wait);
    if (!seen) return pass_on(seen);
    got.body.resize(seen->size);
    got.truncated = seen->truncated;
    if (seen->truncated) got.full_size = seen->real_size;
    if (const auto& sender = seen->credentials) {
        got.pid = sender->pid;
        got.uid = sender->uid;
    }
    if (seen->from.what() == kith::sys::unix_name::kind::path) {
        if (const auto from = kith::address::of_unix_path(seen->from.text(), kind::datagram)) got.from = from->text();
    } else if (seen->from.what() == kith::sys::unix_name::kind::abstract) {
        if (const auto from = kith::address::of_unix_abstract(seen->from.text(), kind::datagram))
            got.from = from->text();
    }
    return got;
}

class datagram_receiver final : public receiver {
public:
    explicit datagram_receiver(unix_datagram socket) : socket_{std::move(socket)} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        return receive_message(socket_, options, wait);
    }

private:
    unix_datagram socket_;
};

class packet_receiver final : public receiver {
public:
    packet_receiver(unix_seqpacket_listener listener, bool follow) : listener_{std::move(listener)}, follow_{follow} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        for (;;) {
            if (!client_.is_open()) {
                auto accepted = listener_.accept(wait);
                if (!accepted) return pass_on(accepted);
                client_ = std::move(*accepted);
            }
            auto got = receive_message(client_, options, wait);
            if (got || !follow_ || got.error().cause.code() != kith::errc::end_of_stream) return got;
            client_.close();
        }
    }

private:
    unix_seqpacket_listener listener_;
    unix_seqpacket client_;
    bool follow_;
};

// Packets against standard input and output: a packet that comes is written out, a piece that is read is a packet.
class packet_duplex final : public duplex {
public:
    explicit packet_duplex(unix_seqpacket socket) : socket_{std::move(socket)}, peer_{peer_facts(socket_)} {}
    [[nodiscard]] kith::borrowed_fd readable() const override { return socket_.native(); }
    [[nodiscard]] kith::borrowed_fd writable() const override { return socket_.native(); }
    outcome<std::size_t> read_some(kith::byte_span buffer, const kith::wait_policy& wait) override {
        for (;;) {
            const auto got = socket_.receive(buffer, {}, wait);
            if (!got) return pass_on(got);
            if (got->truncated)
                return refuse(kith::errc::truncated, "recvmsg",
                              fmt::format("a packet of {} bytes is too long to be passed on", got->real_size));
            if (got->size != 0) return got->size;
        }
    }
    outcome<std::size_t> write_some(kith::byte_view body, const kith::wait_policy& wait) override {
        if (const auto sent = socket_.send(body, wait); !sent) return pass_on(sent);
        return body.size();
    }
    outcome<void> finish_writing() override {
        if (const auto ended = socket_.shutdown(direction::send); !ended) return pass_on(ended);
        return {};
    }
    [[nodiscard]] facts peer() const override { return peer_; }

private:
    unix_seqpacket socket_;
    facts peer_;
};

class packet_exchange final : public exchange {
public:
    explicit packet_exchange(unix_seqpacket socket) : socket_{std::move(socket)} {}
    outcome<bytes> request(std::size_t max_size, const kith::wait_policy& wait) override {
        auto got = receive_message(socket_, {.max_size = max_size}, wait);
        if (!got) return pass_on(got);
        return std::move(got->body);
    }
    outcome<void> reply(kith::byte_view body, const kith::wait_policy& wait) override {
        if (const auto sent = socket_.send(body, wait); !sent) return pass_on(sent);
        return {};
    }

private:
    unix_seqpacket socket_;
};

template <class Listener>
class unix_acceptor final : public acceptor {
public:
    unix_acceptor(Listener listener, kith::address where) : listener_{std::move(listener)}, where_{std::move(where)} {}
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<duplex>> accept(const kith::wait_policy& wait) override {
        auto client = listener_.accept(wait);
        if (!client) return pass_on(client);
        if constexpr (std::is_same_v<Listener, unix_stream_listener>) {
            auto who = peer_facts(*client);
            return std::make_unique<stream_duplex<unix_stream>>(std::move(*client), std::move(who));
        } else {
            return std::make_unique<packet_duplex>(std::move(*client));
        }
    }

private:
    Listener listener_;
    kith::address where_;
};

template <class Listener>
class unix_server final : public server {
public:
    unix_server(Listener listener, kith::address where) : listener_{std::move(listener)}, where_{std::move(where)} {}
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<exchange>> next(const kith::wait_policy& wait) override {
        auto client = listener_.accept(wait);
        if (!client) return pass_on(client);
        if constexpr (std::is_same_v<Listener, unix_stream_listener>)
            return std::make_unique<unix_exchange>(std::move(*client));
        else
            return std::make_unique<packet_exchange>(std::move(*client));
    }

private:
    Listener listener_;
    kith::address where_;
};

// A Listener from whichever function makes one; the texts of its failures.
template <class Listener>
outcome<Listener> listener_at(const kith::address& where, const listen_options& options) {
    if (options.mode && where.is_abstract())
        return option_refused(unix_backend(), "--mode", "an abstract name has no permissions");
    const auto name = unix_name_of(where);
    if (!name) return pass_on(name);
    const kith::sys::unix_listen_options how{.bind = taking_over(options)};
    auto made = [&] {
        if constexpr (std::is_same_v<Listener, unix_stream_listener>)
            return listen_unix_stream(*name, how);
        else
            return listen_unix_seqpacket(*name, how);
    }();
    if (!made) return bind_failure(where, made.error());
    return std::move(*made);
}

template <class Socket>
outcome<Socket> connected_to(const kith::address& where, const kith::wait_policy& wait) {
    const auto name = unix_name_of(where);
    if (!name) return pass_on(name);
    auto made = [&]() -> kith::result<Socket> {
        if constexpr (std::is_same_v<Socket, unix_stream>) {
            return connect_unix_stream(*name, wait);
        } else if constexpr (std::is_same_v<Socket, unix_seqpacket>) {
            return connect_unix_seqpacket(*name, wait);
        } else {
            auto socket = kith::sys::open_unix_datagram();
            if (!socket) return kith::fail(socket.error());
            if (auto connected = socket->connect(*name); !connected) return kith::fail(connected.error());
            return socket;
        }
    }();
    if (!made) return connect_failure(where, made.error());
    return std::move(*made);
}

class unix_objects final : public backend {
public:
    unix_objects() : backend{kith::scheme::unix_socket} {}

    outcome<void> remove(const kith::address& where) override { return remove_unix(where); }
    outcome<facts> show(const kith::address& where) override { return show_unix(where); }

    outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options&,
                                                 const kith::wait_policy& wait) override {
        if (where.type() == kind::stream)
            return make<unix_stream>(where, wait, [&](unix_stream socket) -> std::unique_ptr<sender> {
                return std::make_unique<stream_sender<unix_stream>>(std::move(socket));
            });
        if (where.type() == kind::seqpacket) return message_sender_to<unix_seqpacket>(where, wait);
        return message_sender_to<unix_datagram>(where, wait);
    }

    outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options& options,
                                                     const kith::wait_policy&) override {
        if (where.type() == kind::stream) {
            auto listener = listener_at<unix_stream_listener>(where, {});
            if (!listener) return pass_on(listener);
            return std::make_unique<stream_receiver<unix_stream_listener, unix_stream>>(std::move(*listener),
                                                                                        options.follow);
        }
        if (where.type() == kind::seqpacket) {
            auto listener = listener_at<unix_seqpacket_listener>(where, {});
            if (!listener) return pass_on(listener);
            // On the listener, because a client may send before it is accepted.
            if (const auto on = set_receive_credentials(*listener, true); !on) return pass_on(on);
            return std::make_unique<packet_receiver>(std::move(*listener), options.follow);
        }
        const auto name = unix_name_of(where);
        if (!name) return pass_on(name);
        auto socket = bind_unix_datagram(*name, taking_over({}));
        if (!socket) return bind_failure(where, socket.error());
        if (const auto on = set_receive_credentials(*socket, true); !on) return pass_on(on);
        return std::make_unique<datagram_receiver>(std::move(*socket));
    }

    outcome<std::unique_ptr<acceptor>> listen(const kith::address& where, const listen_options& options) override {
        if (where.type() == kind::datagram) return no_connection();
        if (where.type() == kind::stream)
            return listening<unix_acceptor<unix_stream_listener>, unix_stream_listener, acceptor>(where, options);
        return listening<unix_acceptor<unix_seqpacket_listener>, unix_seqpacket_listener, acceptor>(where, options);
    }

    outcome<std::unique_ptr<duplex>> connect(const kith::address& where, const kith::wait_policy& wait) override {
        if (where.type() == kind::datagram) return no_connection();
        if (where.type() == kind::stream)
            return make<unix_stream>(where, wait, [](unix_stream socket) -> std::unique_ptr<duplex> {
                auto who = peer_facts(socket);
                return std::make_unique<stream_duplex<unix_stream>>(std::move(socket), std::move(who));
            });
        return make<unix_seqpacket>(where, wait, [](unix_seqpacket socket) -> std::unique_ptr<duplex> {
            return std::make_unique<packet_duplex>(std::move(socket));
        });
    }

    outcome<std::unique_ptr<server>> serve(const kith::address& where, const listen_options& options) override {
        if (where.type() == kind::datagram) return no_connection();
        if (where.type() == kind::stream)
            return listening<unix_server<unix_stream_listener>, unix_stream_listener, server>(where, options);
        return listening<unix_server<unix_seqpacket_listener>, unix_seqpacket_listener, server>(where, options);
    }

    outcome<bytes> call(const kith::address& where, kith::byte_view request, std::size_t max_size,
                        const kith::wait_policy& wait) override {
        if (where.type() == kind::datagram) return no_connection();
        if (where.type() == kind::stream) {
            auto socket = connected_to<unix_stream>(where, wait);
            if (!socket) return pass_on(socket);
            auto reply = call_over(std::move(*socket), request, max_size, wait);
            if (reply && reply->empty() && request.empty())
                return refuse(kith::errc::end_of_stream, "recv",
                              "the server said nothing to an empty request: an empty reply looks like none here");
            return reply;
        }
        auto socket = connected_to<unix_seqpacket>(where, wait);
        if (!socket) return pass_on(socket);
        if (const auto sent = socket->send(request, wait); !sent) return pass_on(sent);
        auto reply = receive_message(*socket, {.max_size = max_size}, wait);
        if (!reply && reply.error().cause.code() == kith::errc::end_of_stream)
            return std::unexpected{failure{kith::error{kith::errc::peer_gone, "recvmsg"}}};
        if (!reply) return pass_on(reply);
        return std::move(reply->body);
    }

    outcome<facts> peer(const kith::address& where, const kith::wait_policy& wait) override {
        if (where.type() == kind::datagram)
            return refuse_use(kith::errc::unsupported, "getsockopt(SO_PEERCRED)",
                              "a datagram socket does not tell whose it is: only its messages do");
        if (where.type() == kind::stream) return peer_over<unix_stream>(where, wait);
        return peer_over<unix_seqpacket>(where, wait);
    }

private:
    template <class Socket, class Wrap>
    static auto make(const kith::address& where, const kith::wait_policy& wait, Wrap wrap)
        -> outcome<decltype(wrap(std::declval<Socket>()))> {
        auto socket = connected_to<Socket>(where, wait);
        if (!socket) return pass_on(socket);
        return wrap(std::move(*socket));
    }
    template <class Socket>
    static outcome<std::unique_ptr<sender>> message_sender_to(const kith::address& where,
                                                              const kith::wait_policy& wait) {
        return make<Socket>(where, wait, [&](Socket socket) -> std::unique_ptr<sender> {
            const auto as_stream = where.is_abstract() ? kith::address::of_unix_abstract(where.name())
                                                       : kith::address::of_unix_path(where.name());
            return std::make_unique<message_sender<Socket>>(std::move(socket), as_stream ? as_stream->text() : "");
        });
    }
    template <class Made, class Listener, class Base>
    static outcome<std::unique_ptr<Base>> listening(const kith::address& where, const listen_options& options) {
        auto listener = listener_at<Listener>(where, options);
        if (!listener) return pass_on(listener);
        return std::make_unique<Made>(std::move(*listener), where);
    }
    template <class Socket>
    static outcome<facts> peer_over(const kith::address& where, const kith::wait_policy& wait) {
        auto socket = connected_to<Socket>(where, wait);
        if (!socket) return pass_on(socket);
        return peer_facts(*socket);
    }
};

}  // namespace

backend& unix_backend() {
    static unix_objects only;
    return only;
}

}  // namespace kith_cli
