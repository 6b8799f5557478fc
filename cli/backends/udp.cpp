// udp: - datagrams over IPv4 and IPv6. Who receives binds the address; who sends sends to it and may lose.
#include <fmt/format.h>
#include <kith/sys/udp.hpp>

#include "backends/inet_text.hpp"

namespace kith_cli {
namespace {

using kith::sys::udp_socket;

class udp_sender final : public sender {
public:
    udp_sender(udp_socket socket, kith::address where) : socket_{std::move(socket)}, where_{std::move(where)} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    [[nodiscard]] std::size_t max_message() const override { return kith::sys::max_udp_payload; }
    outcome<void> send(kith::byte_view body, const send_options&, const kith::wait_policy& wait) override {
        const auto sent = socket_.send(body, wait);
        if (sent) return {};
        if (sent.error().code() == kith::errc::too_long)
            return std::unexpected{failure{sent.error(), "longer than a datagram can be"}.limit(
                fmt::format("a UDP datagram carries at most {} bytes", kith::sys::max_udp_payload))};
        return inet_connect_failure(where_, sent.error());
    }
    // On this machine a refusal comes before the last send has returned; from elsewhere it may come later, or never.
    outcome<void> finish() override {
        const auto refused = socket_.take_error();
        if (!refused || *refused == 0) return {};
        return inet_connect_failure(
            where_, kith::error{kith::errc::peer_gone, "send", *refused, kith::object_ref::name(where_.name())});
    }

private:
    udp_socket socket_;
    kith::address where_;
};

class udp_receiver final : public receiver {
public:
    explicit udp_receiver(udp_socket socket) : socket_{std::move(socket)} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        message got;
        got.body.resize(options.max_size != 0 ? options.max_size : kith::sys::max_udp_payload);
        // Looked at first: one that is too long can then stay where it is.
        auto seen = socket_.peek(got.body, wait);
        if (!seen) return pass_on(seen);
        if (seen->truncated && !options.truncate && !options.peek)
            return std::unexpected{
                failure{kith::error{kith::errc::truncated, "recvmsg(MSG_PEEK)"},
                        fmt::format("the datagram has {} bytes, the room for it {}", seen->real_size, got.body.size())}
                    .suggest(fmt::format("--max-size {} makes room, --truncate cuts it", seen->real_size))};
        if (!options.peek) seen = socket_.receive(got.body, wait);
        if (!seen) return pass_on(seen);
        got.body.resize(seen->size);
        got.truncated = seen->truncated;
        if (seen->truncated) got.full_size = seen->real_size;
        got.from = fmt::format("udp:{}", seen->from.text().view());
        return got;
    }

private:
    udp_socket socket_;
};

class udp_objects final : public backend {
public:
    udp_objects() : backend{kith::scheme::udp} {}

    outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options&,
                                                 const kith::wait_policy& wait) override {
        if (where.port() == 0) return refuse_use(kith::errc::invalid, "connect", "nobody can be reached at port 0");
        const auto candidates = endpoints_of(where, wait);
        if (!candidates) return pass_on(candidates);
        kith::result<udp_socket> socket = kith::fail(kith::errc::invalid, "connect");
        // Nothing is sent yet: the first address with a way to it is taken.
        for (const auto& one : candidates->view())
            if ((socket = connect_udp(one))) return std::make_unique<udp_sender>(std::move(*socket), where);
        return inet_connect_failure(where, socket.error());
    }
    outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options&,
                                                     const kith::wait_policy& wait) override {
        if (where.port() == 0)
            return refuse_use(kith::errc::invalid, "bind",
                              "port 0 is one that the kernel chooses: nobody would know it");
        const auto candidates = endpoints_of(where, wait);
        if (!candidates) return pass_on(candidates);
        kith::result<udp_socket> socket = kith::fail(kith::errc::invalid, "bind");
        for (const auto& one : candidates->view())
            if ((socket = bind_udp(one))) return std::make_unique<udp_receiver>(std::move(*socket));
        return inet_bind_failure(where, socket.error());
    }
};

}  // namespace

backend& udp_backend() {
    static udp_objects only;
    return only;
}

}  // namespace kith_cli
