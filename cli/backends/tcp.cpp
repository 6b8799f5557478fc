// tcp: - connections over IPv4 and IPv6. Who receives listens at the address; who sends connects to it.
#include <sys/socket.h>
#include <kith/sys/tcp.hpp>

#include "backends/connections.hpp"
#include "backends/inet_text.hpp"

namespace kith_cli {
namespace {

using kith::sys::endpoint;
using kith::sys::tcp_listener;
using kith::sys::tcp_stream;

outcome<tcp_stream> connected_to(const kith::address& where, const kith::wait_policy& wait) {
    if (where.port() == 0) return refuse_use(kith::errc::invalid, "connect", "nobody can be reached at port 0");
    const auto candidates = endpoints_of(where, wait);
    if (!candidates) return pass_on(candidates);
    auto stream = connect_tcp(candidates->view(), wait);
    if (!stream) return inet_connect_failure(where, stream.error());
    return std::move(*stream);
}

// The first of the host's addresses that is one of this machine.
outcome<tcp_listener> listener_at(const kith::address& where, const listen_options& options) {
    if (options.mode) return option_refused(tcp_backend(), "--mode", "a port has no permissions");
    const auto candidates = endpoints_of(where, {});
    if (!candidates) return pass_on(candidates);
    kith::result<tcp_listener> listener = kith::fail(kith::errc::invalid, "bind");
    for (const endpoint& one : candidates->view())
        if ((listener = listen_tcp(one))) return std::move(*listener);
    return inet_bind_failure(where, listener.error());
}

facts peer_facts(const tcp_stream& stream) {
    facts who;
    if (const auto peer = stream.peer()) who.add("address", peer->text().view());
    return who;
}

kith::address real_address(const tcp_listener& listener, const kith::address& asked) {
    const auto local = listener.local();
    // Otherwise as the user wrote it: a host's name says more than its number.
    return local && asked.port() == 0 ? address_of(kith::scheme::tcp, *local, asked) : asked;
}

class tcp_acceptor final : public acceptor {
public:
    tcp_acceptor(tcp_listener listener, const kith::address& where)
        : listener_{std::move(listener)}, where_{real_address(listener_, where)} {}
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<duplex>> accept(const kith::wait_policy& wait) override {
        auto client = listener_.accept(wait);
        if (!client) return pass_on(client);
        auto who = peer_facts(*client);
        return std::make_unique<stream_duplex<tcp_stream>>(std::move(*client), std::move(who));
    }

private:
    tcp_listener listener_;
    kith::address where_;
};

class tcp_exchange final : public exchange {
public:
    explicit tcp_exchange(tcp_stream stream) : stream_{std::move(stream)} { reset_at_close(true); }
    outcome<bytes> request(std::size_t max_size, const kith::wait_policy& wait) override {
        return read_to_end(stream_, max_size, wait);
    }
    outcome<void> reply(kith::byte_view body, const kith::wait_policy& wait) override {
        std::size_t done = 0;
        if (const auto sent = stream_.write_full(body, done, wait); !sent) return pass_on(sent);
        reset_at_close(false);
        stream_.close();
        return {};
    }

private:
    // Whether the end of this process, too, resets the connection.
    void reset_at_close(bool on) {
        const linger how{.l_onoff = on, .l_linger = 0};
        ::setsockopt(stream_.native().get(), SOL_SOCKET, SO_LINGER, &how, sizeof how);
    }
    tcp_stream stream_;
};

class tcp_server final : public server {
public:
    tcp_server(tcp_listener listener, const kith::address& where)
        : listener_{std::move(listener)}, where_{real_address(listener_, where)} {}
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<exchange>> next(const kith::wait_policy& wait) override {
        auto client = listener_.accept(wait);
        if (!client) return pass_on(client);
        return std::make_unique<tcp_exchange>(std::move(*client));
    }

private:
    tcp_listener listener_;
    kith::address where_;
};

class tcp_objects final : public backend {
public:
    tcp_objects() : backend{kith::scheme::tcp} {}

    outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options&,
                                                 const kith::wait_policy& wait) override {
        auto stream = connected_to(where, wait);
        if (!stream) return pass_on(stream);
        return std::make_unique<stream_sender<tcp_stream>>(std::move(*stream));
    }
    outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options& options,
                                                     const kith::wait_policy&) override {
        if (where.port() == 0)
            return refuse_use(kith::errc::invalid, "bind",
                              "port 0 is one that the kernel chooses: nobody would know it");
        auto listener = listener_at(where, {});
        if (!listener) return pass_on(listener);
        return std::make_unique<stream_receiver<tcp_listener, tcp_stream>>(std::move(*listener), options.follow);
    }
    outcome<std::unique_ptr<acceptor>> listen(const kith::address& where, const listen_options& options) override {
        auto listener = listener_at(where, options);
        if (!listener) return pass_on(listener);
        return std::make_unique<tcp_acceptor>(std::move(*listener), where);
    }
    outcome<std::unique_ptr<duplex>> connect(const kith::address& where, const kith::wait_policy& wait) override {
        auto stream = connected_to(where, wait);
        if (!stream) return pass_on(stream);
        auto who = peer_facts(*stream);
        return std::make_unique<stream_duplex<tcp_stream>>(std::move(*stream), std::move(who));
    }
    outcome<std::unique_ptr<server>> serve(const kith::address& where, const listen_options& options) override {
        auto listener = listener_at(where, options);
        if (!listener) return pass_on(listener);
        return std::make_unique<tcp_server>(std::move(*listener), where);
    }
    outcome<bytes> call(const kith::address& where, kith::byte_view request, std::size_t max_size,
                        const kith::wait_policy& wait) override {
        auto stream = connected_to(where, wait);
        if (!stream) return pass_on(stream);
        if (const auto quick = stream->set_no_delay(true); !quick) return pass_on(quick);
        return call_over(std::move(*stream), request, max_size, wait);
    }
};

}  // namespace

backend& tcp_backend() {
    static tcp_objects only;
    return only;
}

}  // namespace kith_cli
