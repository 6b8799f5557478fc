// queue_exchange - requests and replies over either kind of message queue (docs/formats/request_reply.md).
#pragma once
#include <fmt/format.h>
#include <algorithm>
#include <kith/compose/request_reply.hpp>
#include <memory>
#include <utility>

#include "backends/backend.hpp"

namespace kith_cli {

/// One request of a sysv_request_server or posix_request_server, which must outlive it.
template <class Server>
class queue_exchange final : public exchange {
public:
    queue_exchange(Server& at, kith::compose::request_ticket from, bytes body)
        : server_{at}, from_{from}, body_{std::move(body)} {}
    ~queue_exchange() override {
        if (!answered_) static_cast<void>(server_.refuse(from_, kith::deadline::immediate()));
    }
    outcome<bytes> request(std::size_t max_size, const kith::wait_policy&) override {
        if (body_.size() <= max_size) return std::move(body_);
        return refuse(kith::errc::too_long, "take", fmt::format("a request may have {} bytes", max_size));
    }
    outcome<void> reply(kith::byte_view body, const kith::wait_policy& wait) override {
        answered_ = true;  // the library has told the client where it could
        if (const auto sent = server_.reply(from_, body, wait); !sent) return pass_on(sent);
        return {};
    }

private:
    Server& server_;
    kith::compose::request_ticket from_;
    bytes body_;
    bool answered_ = false;
};

/// The next request; `longest` bytes are the most that a message of the queue can have.
template <class Server>
[[nodiscard]] outcome<std::unique_ptr<exchange>> next_exchange(Server& server, std::size_t longest,
                                                               const kith::wait_policy& wait) {
    bytes body(longest);
    const auto got = server.take(body, wait);
    if (!got) return pass_on(got);
    body.resize(got->size);
    return std::make_unique<queue_exchange<Server>>(server, got->from, std::move(body));
}

/// A reply needs a server that looks first: without waiting nothing is sent at all.
[[nodiscard]] inline outcome<void> must_wait(const kith::wait_policy& wait) {
    if (!wait.until.is_immediate()) return {};
    return refuse_use(kith::errc::invalid, "call", "a reply cannot be there at once: --timeout instead of --no-wait");
}

/// Sends the request and waits; a reply has at most `room` bytes.
template <class Client>
[[nodiscard]] outcome<bytes> call_through(Client& client, kith::byte_view request, std::size_t room,
                                          const kith::wait_policy& wait) {
    bytes reply(room);
    const auto size = client.call(request, reply, wait);
    if (!size) return pass_on(size);
    reply.resize(*size);
    return reply;
}

}  // namespace kith_cli
