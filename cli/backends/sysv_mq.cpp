// sysv-mq: - System V message queues.
#include <fmt/format.h>
#include <algorithm>
#include <kith/compose/request_reply.hpp>
#include <kith/sys/sysv_mq.hpp>
#include <limits>
#include <optional>

#include "backends/backend.hpp"

namespace kith_cli {
namespace {

using kith::sys::message_selector;
using kith::sys::sysv_key;
using kith::sys::sysv_mq;
using kith::sys::sysv_mq_options;

using naming = kith::address::sysv_naming;

std::unexpected<failure> private_has_no_name() {
    return std::unexpected{failure{kith::error{kith::errc::invalid, "msgget"},
                                   "sysv-mq:private names no queue that exists, only one to be made"}
                               .suggest("kith create sysv-mq:private   makes one and prints its sysv-mq:id=N")};
}

outcome<sysv_key> key_of(const kith::address& where) {
    switch (where.naming()) {
    case naming::key: return sysv_key{where.key()};
    case naming::path: {
        const auto key = sysv_key::from_path(where.name(), where.project());
        if (!key) return pass_on(key);
        return *key;
    }
    case naming::private_object: return sysv_key::private_object();
    case naming::id: break;
    }
    const auto queue = sysv_mq::open_id(where.id());
    if (!queue) return pass_on(queue);
    const auto state = queue->status();
    if (!state) return pass_on(state);
    return state->key;
}

outcome<sysv_mq> found(const kith::address& where) {
    if (where.naming() == naming::private_object) return private_has_no_name();
    if (where.naming() == naming::id) {
        const auto queue = sysv_mq::open_id(where.id());
        // Without the right to read it the queue may still be written to, or removed by its owner.
        if (!queue && queue.error().code() == kith::errc::not_permitted) return sysv_mq::from_id(where.id());
        if (!queue) return pass_on(queue);
        return *queue;
    }
    const auto key = key_of(where);
    if (!key) return pass_on(key);
    const auto queue = sysv_mq::open(*key);
    if (!queue) return pass_on(queue);
    return *queue;
}

std::size_t longest_message() {
    const auto limits = kith::sys::read_sysv_mq_limits();
    return limits ? limits->message_bytes : 8192;
}

failure send_failed(const kith::error& error, const sysv_mq& queue) {
    if (error.code() != kith::errc::too_long || error.os_error() != EAGAIN) return error;
    const auto state = queue.status();
    failure why{error, "longer than the whole queue: it would wait for ever"};
    if (state) why.limits.push_back(fmt::format("this queue holds {} bytes (msg_qbytes)", state->capacity));
    why.tries.emplace_back("kith create --size N   makes a queue that holds more");
    return why;
}

class queue_sender final : public sender {
public:
    explicit queue_sender(sysv_mq queue) : queue_{queue} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<void> send(kith::byte_view body, const send_options& options, const kith::wait_policy& wait) override {
        if (options.priority)
            return option_refused(sysv_mq_backend(), "--priority", "messages have a type, and --type is the option");
        const auto type = options.type.value_or(1);
        if (type < 1) return refuse(kith::errc::invalid, "msgsnd", "the type of a message is a number from 1 on");
        if (const auto sent = queue_.send(static_cast<long>(type), body, wait); !sent)
            return std::unexpected{send_failed(sent.error(), queue_)};
        return {};
    }

private:
    sysv_mq queue_;
};

message_selector selector_of(const selection& which) {
    const auto type = static_cast<long>(which.type);
    switch (which.how) {
    case selection::rule::exactly: return message_selector::of_type(type);
    case selection::rule::lowest_upto: return message_selector::lowest_up_to(type);
    case selection::rule::except: return message_selector::except(type);
    case selection::rule::any: break;
    }
    return message_selector::any();
}

class queue_receiver final : public receiver {
public:
    explicit queue_receiver(sysv_mq queue) : queue_{queue} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        const auto longest = longest_message();
        const auto room = options.max_size == 0 ? longest : std::min(options.max_size, longest);
        message one{.body = bytes(room)};
        const auto got = options.peek       ? queue_.peek(one.body, static_cast<std::size_t>(*options.peek))
                         : options.truncate ? queue_.receive_cutting(one.body, selector_of(options.which), wait)
                                            : queue_.receive(one.body, selector_of(options.which), wait);
        if (!got) return std::unexpected{receive_failed(got.error(), options)};
        one.body.resize(got->size);
        one.type = got->type;
        one.truncated = got->cut;
        return one;
    }

private:
    static failure receive_failed(const kith::error& error, const receive_options& options) {
        if (error.code() == kith::errc::would_block && options.peek)
            return {error, fmt::format("there is no message {} in the queue now", *options.peek)};
        if (error.code() == kith::errc::would_block)
            return {error, options.which.how == selection::rule::any ? "the queue is empty now"
                                                                     : "no message of that type is there now"};
        if (error.code() == kith::errc::unsupported && options.peek)
            return {error, "this kernel has no peek (CONFIG_CHECKPOINT_RESTORE)"};
        return error;
    }
    sysv_mq queue_;
};

class one_request final : public exchange {
public:
    one_request(const kith::compose::sysv_request_server& at, kith::compose::request_ticket from, bytes body)
        : server_{at}, from_{from}, body_{std::move(body)} {}
    ~one_request() override {
        if (!answered_) static_cast<void>(server_.refuse(from_, kith::deadline::immediate()));
    }
    outcome<bytes> request(std::size_t max_size, const kith::wait_policy&) override {
        if (body_.size() <= max_size) return std::move(body_);
        return refuse(kith::errc::too_long, "msgrcv", fmt::format("a request may have {} bytes", max_size));
    }
    outcome<void> reply(kith::byte_view body, const kith::wait_policy& wait) override {
        answered_ = true;  // the library has told the client where it could
        if (const auto sent = server_.reply(from_, body, wait); !sent) return pass_on(sent);
        return {};
    }

private:
    kith::compose::sysv_request_server server_;
    kith::compose::request_ticket from_;
    bytes body_;
    bool answered_ = false;
};

class queue_server final : public server {
public:
    queue_server(kith::compose::sysv_request_server at, kith::address where) : server_{at}, where_{std::move(where)} {}
    ~queue_server() override {
        // What this command made goes with it, once the last replies are taken; queues that were there stay.
        if (server_.replies().created()) static_cast<void>(server_.settle(kith::deadline::in(std::chrono::seconds{1})));
        for (const auto& queue : {server_.requests(), server_.replies()})
            if (queue.created()) static_cast<void>(queue.remove());
    }
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<exchange>> next(const kith::wait_policy& wait) override {
        bytes body(longest_message());
        const auto got = server_.take(body, wait);
        if (!got) return pass_on(got);
        body.resize(got->size);
        return std::make_unique<one_request>(server_, got->from, std::move(body));
    }

private:
    kith::compose::sysv_request_server server_;
    kith::address where_;
};

class sysv_queues final : public backend {
public:
    sysv_queues() : backend{kith::scheme::sysv_mq} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.max_messages)
            return option_refused(*this, "--max-messages", "such a queue is limited in bytes, with --size");
        if (options.message_size)
            return option_refused(*this, "--message-size", "the longest message is a limit of the system (msgmax)");
        if (!options.values.empty()) return option_refused(*this, "--values", "only semaphores have values");
        if (options.size == std::uint64_t{0})
            return option_refused(*this, "--size", "a queue for 0 bytes holds nothing");
        if (where.naming() == naming::id)
            return std::unexpected{
                failure{kith::error{kith::errc::invalid, "msgget"}, "the kernel chooses the ids"}.suggest(
                    "a key, a path or sysv-mq:private")};
        const auto key = key_of(where);
        if (!key) return pass_on(key);
        using kith::sys::creation;
        sysv_mq_options wish{.create = options.exclusive ? creation::must_be_new : creation::create_or_open};
        if (options.mode) wish.mode = *options.mode;
        if (options.size) wish.capacity = static_cast<std::size_t>(*options.size);
        const auto queue = sysv_mq::open(*key, wish);
        if (!queue) return std::unexpected{create_failed(queue.error(), *key)};
        if (!key->is_private()) return created{where, queue->created()};
        const auto by_id = kith::address::of_sysv_id(kith::scheme::sysv_mq, queue->native_id());
        if (!by_id) return pass_on(by_id);
        return created{*by_id, true};
    }

    outcome<void> remove(const kith::address& where) override {
        const auto queue = found(where);
        if (!queue) return pass_on(queue);
        if (const auto gone = queue->remove(); !gone) return pass_on(gone);
        return {};
    }

    outcome<facts> show(const kith::address& where) override {
        const auto queue = found(where);
        if (!queue) return pass_on(queue);
        const auto state = queue->status();
        if (!state) return pass_on(state);
        const auto seconds = [](std::chrono::system_clock::time_point when) {
            return static_cast<std::int64_t>(std::chrono::system_clock::to_time_t(when));
        };
        facts seen;
        seen.add("address", where.text()).add("id", queue->native_id());
        if (state->key.is_private())
            seen.add("key", nullptr);
        else
            seen.add("key", fmt::format("{:#010x}", static_cast<std::uint32_t>(state->key.value())));
        seen.add_user("uid", state->uid)
            .add_group("gid", state->gid)
            .add_user("creator_uid", state->creator_uid)
            .add_group("creator_gid", state->creator_gid)
            .add_mode("mode", state->mode)
            .add("messages", state->messages)
            .add("bytes", state->bytes)
            .add("capacity", state->capacity, "bytes")
            .add("longest_message", std::min(longest_message(), state->capacity), "bytes")
            .add("last_sender", state->last_sender, "pid")
            .add("last_receiver", state->last_receiver, "pid")
            .add_time("last_send", seconds(state->last_send))
            .add_time("last_receive", seconds(state->last_receive))
            .add_time("last_change", seconds(state->last_change));
        return seen;
    }

    outcome<std::uint64_t> drain(const kith::address& where) override {
        const auto queue = found(where);
        if (!queue) return pass_on(queue);
        const auto count = queue->drain();
        if (!count) return pass_on(count);
        return *count;
    }

    outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options&,
                                                 const kith::wait_policy&) override {
        const auto queue = found(where);
        if (!queue) return pass_on(queue);
        return std::make_unique<queue_sender>(*queue);
    }
    outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options&,
                                                     const kith::wait_policy&) override {
        const auto queue = found(where);
        if (!queue) return pass_on(queue);
        return std::make_unique<queue_receiver>(*queue);
    }

    outcome<std::unique_ptr<server>> serve(const kith::address& where, const listen_options& options) override {
        const auto key = request_key(where);
        if (!key) return pass_on(key);
        kith::compose::sysv_request_server::options how;
        if (options.mode) how.mode = *options.mode;
        const auto at = kith::compose::sysv_request_server::open(*key, how);
        if (!at) return pass_on(at);
        return std::make_unique<queue_server>(*at, where);
    }

    outcome<bytes> call(const kith::address& where, kith::byte_view request, std::size_t max_size,
                        const kith::wait_policy& wait) override {
        if (wait.until.is_immediate())
            return refuse(kith::errc::invalid, "call",
                          "a reply cannot be there at once: --timeout instead of --no-wait");
        const auto key = request_key(where);
        if (!key) return pass_on(key);
        auto client = kith::compose::sysv_request_client::open(*key);
        if (!client) return pass_on(client);
        bytes reply(std::min(max_size, longest_message()));
        const auto size = client->call(request, reply, wait);
        if (!size) return pass_on(size);
        reply.resize(*size);
        return reply;
    }

private:
    static outcome<sysv_key> request_key(const kith::address& where) {
        auto key = key_of(where);
        if (key && key->is_private())
            return refuse(kith::errc::invalid, "msgget",
                          "requests and replies need a queue with a key, for the replies");
        return key;
    }

    static failure create_failed(const kith::error& error, sysv_key key) {
        if (error.code() != kith::errc::wrong_size) return error;
        failure why{error, "it exists and holds another number of bytes"};
        if (const auto queue = sysv_mq::open(key))
            if (const auto state = queue->status())
                why.limits.push_back(fmt::format("the queue that is there holds {} bytes", state->capacity));
        return why;
    }
};

}  // namespace

backend& sysv_mq_backend() {
    static sysv_queues queues;
    return queues;
}

}  // namespace kith_cli
