// The backend of fifo: addresses. A FIFO is opened to move bytes and for nothing else: who opens it just to look lets
// a waiting writer or reader in. `listen` and `connect` use the pair of FIFOs beside the path (kith/compose/
// fifo_pair.hpp), `serve` and `call` the FIFO itself and private ones for replies (kith/compose/reply_fifo.hpp).
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include <kith/compose/fifo_pair.hpp>
#include <kith/compose/reply_fifo.hpp>
#include <kith/sys/fifo.hpp>

#include "backends/backend.hpp"

namespace kith_cli {
namespace {

constexpr mode_t usual_mode = 0600;
constexpr std::size_t usual_piece = 65536;

/// What the library's code and errno mean for a FIFO, and what to do.
failure explained(const kith::error& error, const kith::address& where) {
    using kith::errc;
    failure why{error};
    if (error.os_error() == ENXIO && (error.code() == errc::would_block || error.code() == errc::timed_out)) {
        why.reason = error.code() == errc::would_block ? "nobody has it open for reading now"
                                                       : "nobody opened it for reading in time";
        why.tries = {fmt::format("kith recv {}   at the other end", where.text())};
    } else if (error.code() == errc::timed_out && error.operation() == std::string_view{"open"}) {
        why.reason = "nobody opened it for writing in time";
        why.tries = {fmt::format("kith send {}   at the other end", where.text())};
    } else if (error.code() == errc::would_block && error.operation() == std::string_view{"read"}) {
        why.reason = "there is nothing to read now";
    } else if (error.code() == errc::peer_gone && error.os_error() == EPIPE) {
        why.reason = "the last reader has left";
    } else if (error.code() == errc::wrong_kind) {
        why.reason = "there is something else than a FIFO under that name (symbolic links are not followed)";
        why.tries = {fmt::format("ls -ld '{}'", where.name())};
    } else if (error.code() == errc::wrong_filesystem) {
        why.reason = "that file system cannot hold FIFOs";
    } else if (error.code() == errc::not_found) {
        why.reason = "there is no such FIFO";
        why.tries = {fmt::format("kith create {}", where.text())};
    }
    return why;
}
template <class Result>
std::unexpected<failure> explain(const Result& result, const kith::address& where) {
    return std::unexpected{explained(result.error(), where)};
}

class fifo_sender final : public sender {
public:
    fifo_sender(kith::sys::fifo_writer to, kith::address where) : to_{std::move(to)}, where_{std::move(where)} {}
    [[nodiscard]] bool is_stream() const override { return true; }
    outcome<void> send(kith::byte_view body, const send_options&, const kith::wait_policy& wait) override {
        std::size_t done = 0;
        if (const auto sent = to_.write_full(body, done, wait); !sent) return explain(sent, where_);
        return {};
    }

private:
    kith::sys::fifo_writer to_;
    kith::address where_;
};

class fifo_receiver final : public receiver {
public:
    fifo_receiver(kith::sys::fifo_reader from, bool follow, kith::address where)
        : from_{std::move(from)}, follow_{follow}, where_{std::move(where)} {}
    [[nodiscard]] bool is_stream() const override { return true; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        message got;
        got.body.resize(options.max_size != 0 ? options.max_size : usual_piece);
        for (;;) {
            const auto count = from_.read_some(got.body, wait);
            if (count) {
                got.body.resize(*count);
                return got;
            }
            if (!follow_ || count.error().code() != kith::errc::end_of_stream) return explain(count, where_);
            if (const auto again = from_.start_over(); !again) return explain(again, where_);
        }
    }

private:
    kith::sys::fifo_reader from_;
    bool follow_;
    kith::address where_;
};

class fifo_duplex final : public duplex {
public:
    explicit fifo_duplex(kith::compose::fifo_connection connection) : connection_{std::move(connection)} {}
    [[nodiscard]] kith::borrowed_fd readable() const override { return connection_.reader.native(); }
    [[nodiscard]] kith::borrowed_fd writable() const override { return connection_.writer.native(); }
    outcome<std::size_t> read_some(kith::byte_span buffer, const kith::wait_policy& wait) override {
        const auto count = connection_.reader.read_some(buffer, wait);
        if (!count) return pass_on(count);
        return *count;
    }
    outcome<std::size_t> write_some(kith::byte_view body, const kith::wait_policy& wait) override {
        const auto count = connection_.writer.write_some(body, wait);
        if (!count) return pass_on(count);
        return *count;
    }
    outcome<void> finish_writing() override {
        connection_.writer.close();
        return {};
    }

private:
    kith::compose::fifo_connection connection_;
};

class fifo_acceptor final : public acceptor {
public:
    fifo_acceptor(kith::compose::fifo_listener door, kith::address where)
        : door_{std::move(door)}, where_{std::move(where)} {}
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<duplex>> accept(const kith::wait_policy& wait) override {
        auto connection = door_.accept(wait);
        if (connection) return std::make_unique<fifo_duplex>(std::move(*connection));
        failure why{connection.error()};
        if (connection.error().os_error() == ENXIO)
            why.tries = {fmt::format("kith connect {}   at the other end", where_.text())};
        return std::unexpected{std::move(why)};
    }

private:
    kith::compose::fifo_listener door_;
    kith::address where_;
};

class fifo_exchange final : public exchange {
public:
    fifo_exchange(const kith::compose::reply_server& server, const kith::compose::reply_to& client, bytes request)
        : server_{server}, client_{client}, request_{std::move(request)} {}
    fifo_exchange(const fifo_exchange&) = delete;
    fifo_exchange& operator=(const fifo_exchange&) = delete;
    ~fifo_exchange() override {
        if (!answered_) static_cast<void>(server_.refuse(client_));  // a client that has left needs no refusal
    }
    outcome<bytes> request(std::size_t max_size, const kith::wait_policy& /*it is here already*/) override {
        if (request_.size() > max_size)
            return refuse(kith::errc::truncated, "read",
                          fmt::format("the request has {} bytes, the room for it {}", request_.size(), max_size));
        return request_;
    }
    outcome<void> reply(kith::byte_view body, const kith::wait_policy& wait) override {
        answered_ = true;  // also in part: the client sees that
        const auto sent = server_.reply(client_, body, wait);
        if (sent) return {};
        if (sent.error().code() != kith::errc::peer_gone) return pass_on(sent);
        return std::unexpected{failure{sent.error(), "the client has left without waiting for its reply"}};
    }

private:
    const kith::compose::reply_server& server_;
    kith::compose::reply_to client_;
    bytes request_;
    bool answered_ = false;
};

class fifo_server final : public server {
public:
    fifo_server(kith::compose::reply_server at, bool is_ours, kith::address where)
        : server_{std::move(at)}, is_ours_{is_ours}, where_{std::move(where)} {}
    fifo_server(const fifo_server&) = delete;
    fifo_server& operator=(const fifo_server&) = delete;
    ~fifo_server() override {
        if (is_ours_) static_cast<void>(kith::sys::remove_fifo(where_.name()));  // gone already is as good
    }
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<exchange>> next(const kith::wait_policy& wait) override {
        for (;;) {
            const auto request = server_.receive(body_, wait);
            if (request)
                return std::make_unique<fifo_exchange>(
                    server_, request->from,
                    bytes(body_.begin(), body_.begin() + static_cast<std::ptrdiff_t>(request->size)));
            // Bytes that are no request were thrown away; what comes behind them may be one.
            if (request.error().code() != kith::errc::bad_peer) return pass_on(request);
        }
    }

private:
    kith::compose::reply_server server_;
    bool is_ours_;
    kith::address where_;
    std::array<std::byte, kith::compose::reply_fifo_request_max> body_{};
};

class fifo_objects final : public backend {
public:
    fifo_objects() : backend{kith::scheme::fifo} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.size) return option_refused(*this, "--size", "a FIFO holds what its open descriptors hold, 64 KiB");
        if (options.max_messages || options.message_size)
            return option_refused(*this, options.max_messages ? "--max-messages" : "--message-size",
                                  "a FIFO carries bytes, not messages");
        if (!options.values.empty()) return option_refused(*this, "--values", "a FIFO has no semaphores");
        const auto mode = static_cast<mode_t>(options.mode.value_or(usual_mode));
        const auto made = kith::sys::create_fifo(where.name(), mode);
        if (made) return created{.where = where, .is_new = true};
        if (made.error().code() != kith::errc::exists || options.exclusive) return refused(made.error(), where);
        const auto there = kith::sys::create_fifo(where.name(), mode, kith::sys::creation::must_exist);
        if (!there) return explain(there, where);
        return created{.where = where, .is_new = false};
    }

    outcome<void> remove(const kith::address& where) override {
        const auto removed = kith::sys::remove_fifo(where.name());
        if (removed) return {};
        // No FIFO, but perhaps what a listener left.
        if (removed.error().code() == kith::errc::not_found && kith::compose::remove_fifo_pair(where.name())) return {};
        return explain(removed, where);
    }

    outcome<facts> show(const kith::address& where) override {
        const auto status = kith::sys::fifo_status_of(where.name());
        if (!status) return explain(status, where);
        return facts{}
            .add("path", where.name())
            .add_mode("mode", status->mode)
            .add_user("uid", status->uid)
            .add_group("gid", status->gid)
            .add("device", static_cast<std::uint64_t>(status->device))
            .add("inode", static_cast<std::uint64_t>(status->inode))
            .add("atomic_write", kith::sys::pipe_atomic_bytes, "bytes stay whole among several writers");
    }

    outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options& /*unused*/,
                                                 const kith::wait_policy& wait) override {
        auto to = kith::sys::open_fifo_writer(where.name(), wait);
        if (!to) return explain(to, where);
        return std::make_unique<fifo_sender>(std::move(*to), where);
    }

    outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options& options,
                                                     const kith::wait_policy& wait) override {
        if (options.peek)
            return refuse_use(kith::errc::unsupported, "open",
                              "what is in a FIFO can only be taken out, and opening it would let a waiting writer in");
        // Who follows is there before the first writer as well as after the last one.
        auto from = options.follow ? kith::sys::open_fifo_reader(where.name(), kith::deadline::immediate())
                                   : kith::sys::open_fifo_reader(where.name(), wait);
        if (!from) return explain(from, where);
        return std::make_unique<fifo_receiver>(std::move(*from), options.follow, where);
    }

    outcome<std::unique_ptr<acceptor>> listen(const kith::address& where, const listen_options& options) override {
        auto door =
            kith::compose::fifo_listener::open(where.name(), static_cast<mode_t>(options.mode.value_or(usual_mode)));
        if (door) return std::make_unique<fifo_acceptor>(std::move(*door), where);
        if (door.error().code() == kith::errc::exists)
            return std::unexpected{failure{door.error(), "another process is listening there"}};
        return pass_on(door);
    }

    outcome<std::unique_ptr<duplex>> connect(const kith::address& where, const kith::wait_policy& wait) override {
        auto connection = kith::compose::connect_fifo_pair(where.name(), wait);
        if (connection) return std::make_unique<fifo_duplex>(std::move(*connection));
        const auto& error = connection.error();
        if (error.code() != kith::errc::would_block && error.code() != kith::errc::timed_out)
            return pass_on(connection);
        return std::unexpected{failure{error, error.os_error() == EWOULDBLOCK ? "another client comes first"
                                              : error.os_error() == EINPROGRESS
                                                  ? "the listener has not accepted"
                                                  : "nobody is listening, or the listener is busy"}
                                   .suggest(fmt::format("kith listen {}   at the other end", where.text()))};
    }

    outcome<std::unique_ptr<server>> serve(const kith::address& where, const listen_options& options) override {
        // What was there before stays when the server ends.
        const auto made = kith::sys::create_fifo(where.name(), static_cast<mode_t>(options.mode.value_or(usual_mode)));
        if (!made && made.error().code() != kith::errc::exists) return refused(made.error(), where);
        auto at = kith::compose::reply_server::open(where.name(), kith::sys::creation::must_exist);
        if (at) return std::make_unique<fifo_server>(std::move(*at), made.has_value(), where);
        if (made) static_cast<void>(kith::sys::remove_fifo(where.name()));
        if (at.error().code() == kith::errc::exists)
            return std::unexpected{failure{at.error(), "another server has it"}};
        return explain(at, where);
    }

    outcome<bytes> call(const kith::address& where, kith::byte_view request, std::size_t max_size,
                        const kith::wait_policy& wait) override {
        auto client = kith::compose::reply_client::open(where.name(), wait);
        if (!client && client.error().os_error() == ENXIO)
            return std::unexpected{failure{client.error(), "no server has it open"}.suggest(
                fmt::format("kith serve {} -- COMMAND", where.text()))};
        if (!client) return explain(client, where);
        // Not a vector: only what the reply fills shall become memory.
        struct release {
            void operator()(void* block) const { std::free(block); }
        };
        const std::unique_ptr<void, release> room{std::calloc(std::max<std::size_t>(max_size, 1), 1)};
        if (!room) return refuse(kith::errc::out_of_memory, "calloc", fmt::format("no room for {} bytes", max_size));
        const std::span into{static_cast<std::byte*>(room.get()), max_size};
        const auto size = client->call(request, into, wait);
        if (size) return bytes(into.begin(), into.begin() + static_cast<std::ptrdiff_t>(*size));
        failure why{size.error()};
        if (size.error().code() == kith::errc::too_long)
            why.reason = fmt::format("a request through a FIFO has at most {} bytes, this one has {}",
                                     kith::compose::reply_fifo_request_max, request.size());
        else if (size.error().code() == kith::errc::truncated)
            why.reason = fmt::format("the reply is longer than {} bytes (--max-size)", max_size);
        else if (size.error().code() == kith::errc::bad_peer)
            why.reason = "what came back is no reply (kith serve speaks docs/formats/reply_fifo.md)";
        return std::unexpected{std::move(why)};
    }

private:
    // A name that cannot be made: `not_found` is about its directory here.
    static std::unexpected<failure> refused(const kith::error& error, const kith::address& where) {
        failure why = explained(error, where);
        if (error.code() == kith::errc::not_found) {
            why.reason = "its directory does not exist";
            why.tries.clear();
        }
        return std::unexpected{std::move(why)};
    }
};

}  // namespace

backend& fifo_backend() {
    static fifo_objects only;
    return only;
}

}  // namespace kith_cli
