// sysv-mq: - System V message queues.
#include <fmt/format.h>
#include <sys/msg.h>
#include <algorithm>
#include <kith/sys/sysv_mq.hpp>
#include <limits>
#include <optional>

#include "backends/queue_exchange.hpp"
#include "backends/sysv_objects.hpp"

namespace kith_cli {
namespace {

using kith::sys::message_selector;
using kith::sys::sysv_key;
using kith::sys::sysv_mq;
using kith::sys::sysv_mq_options;

using naming = kith::address::sysv_naming;

outcome<sysv_mq> found(const kith::address& where) {
    if (where.naming() == naming::id) {
        const auto queue = sysv_mq::open_id(where.id());
        // Without the right to read it the queue may still be written to, or removed by its owner.
        if (!queue && queue.error().code() == kith::errc::not_permitted) return sysv_mq::from_id(where.id());
        if (!queue) return pass_on(queue);
        return *queue;
    }
    const auto key = key_to_find(where);
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
        const auto type = options.type.value_or(1);
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
            return failure{error, fmt::format("there is no message {} in the queue now", *options.peek)}.suggest(
                "kith show   tells how many there are");
        if (error.code() == kith::errc::would_block)
            return {error, options.which.how == selection::rule::any ? "the queue is empty now"
                                                                     : "no message of that type is there now"};
        if (error.code() == kith::errc::unsupported && options.peek)
            return {error, "this kernel has no peek (CONFIG_CHECKPOINT_RESTORE)"};
        return error;
    }
    sysv_mq queue_;
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
        return next_exchange(server_, longest_message(), wait);
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
        const auto key = key_to_make(where);
        if (!key) return pass_on(key);
        using kith::sys::creation;
        sysv_mq_options wish{.create = options.exclusive ? creation::must_be_new : creation::create_or_open};
        if (options.mode) wish.mode = *options.mode;
        if (options.size) wish.capacity = static_cast<std::size_t>(*options.size);
        const auto queue = sysv_mq::open(*key, wish);
        if (!queue) return std::unexpected{create_failed(queue.error(), *key)};
        return created{address_after(where, queue->native_id()), queue->created()};
    }

    outcome<void> remove(const kith::address& where) override {
        const auto queue = found(where);
        if (!queue) return pass_on(queue);
        if (const auto gone = queue->remove(); !gone) return pass_on(gone);
        return {};
    }

    std::optional<kith::address> reply_queue_of(const kith::address& where) override {
        const auto key = request_key(where);
        if (!key) return std::nullopt;
        const sysv_key replies{key->value() ^ std::numeric_limits<std::int32_t>::min()};
        // Asked for without any right: whoever may not use it may know that it is there.
        if (replies.is_private() || ::msgget(replies.value(), 0) < 0) return std::nullopt;
        const auto found = kith::address::of_sysv_key(kith::scheme::sysv_mq, replies.value());
        return found ? std::optional{*found} : std::nullopt;
    }

    outcome<facts> show(const kith::address& where) override {
        const auto queue = found(where);
        if (!queue) return pass_on(queue);
        const auto state = queue->status();
        if (!state) return pass_on(state);
        auto seen = identity_of(queue->native_id(), *state);
        seen.add("messages", state->messages)
            .add("bytes", state->bytes)
            .add("capacity", state->capacity, "bytes")
            .add("longest_message", std::min(longest_message(), state->capacity), "bytes")
            .add("last_sender", state->last_sender, "pid")
            .add("last_receiver", state->last_receiver, "pid")
            .add_time("last_send", seconds_of(state->last_send))
            .add_time("last_receive", seconds_of(state->last_receive))
            .add_time("last_change", seconds_of(state->last_change));
        const auto replies = reply_queue_of(where);
        seen.add("reply_queue", replies ? facts::value{replies->text()} : facts::value{nullptr}, "of kith serve");
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
        if (const auto may = must_wait(wait); !may) return pass_on(may);
        const auto key = request_key(where);
        if (!key) return pass_on(key);
        auto client = kith::compose::sysv_request_client::open(*key);
        if (!client) return pass_on(client);
        return call_through(*client, request, std::min(max_size, longest_message()), wait);
    }

private:
    // The convention names the queue of the replies by the key of that of the requests.
    static outcome<sysv_key> request_key(const kith::address& where) {
        auto key = where.naming() == naming::private_object ? sysv_key::private_object() : key_in_use(where);
        if (key && key->is_private())
            return refuse_use(kith::errc::invalid, "msgget",
                              "requests and replies need a queue with a key, for the replies");
        return key;
    }

    static outcome<sysv_key> key_in_use(const kith::address& where) {
        if (where.naming() != naming::id) return key_to_find(where);
        const auto queue = sysv_mq::open_id(where.id());
        if (!queue) return pass_on(queue);
        const auto state = queue->status();
        if (!state) return pass_on(state);
        return state->key;
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
