// posix-mq: - POSIX message queues.
#include <fmt/format.h>
#include <sys/stat.h>
#include <algorithm>
#include <kith/sys/posix_mq.hpp>

#include "backends/queue_exchange.hpp"

namespace kith_cli {
namespace {

using kith::sys::posix_mq;
using kith::sys::posix_mq_access;

// A queue has no status of its own for its limits in a failure: they come from the open one.
failure send_failed(const kith::error& error, const posix_mq& queue, std::size_t size) {
    if (error.code() != kith::errc::too_long) return error;
    const auto limits = queue.attributes();
    if (!limits) return error;
    return failure{error, fmt::format("longer than the queue's message limit ({})", limits->message_size)}
        .limit(fmt::format("mq_msgsize is {}; it is fixed when the queue is made", limits->message_size))
        .suggest(fmt::format("kith create --message-size {} ...   makes a queue for longer ones", size));
}

class queue_sender final : public sender {
public:
    explicit queue_sender(posix_mq queue) : queue_{std::move(queue)} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<void> send(kith::byte_view body, const send_options& options, const kith::wait_policy& wait) override {
        const auto priority = options.priority.value_or(0);
        if (const auto sent = queue_.send(body, static_cast<unsigned>(priority), wait); !sent)
            return std::unexpected{send_failed(sent.error(), queue_, body.size())};
        return {};
    }

private:
    posix_mq queue_;
};

class queue_receiver final : public receiver {
public:
    explicit queue_receiver(posix_mq queue, std::size_t message_size)
        : queue_{std::move(queue)}, message_size_{message_size} {}
    [[nodiscard]] bool is_stream() const override { return false; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        const auto most = options.max_size == 0 ? message_size_ : options.max_size;
        // The kernel takes no message out without room for the longest one.
        message one{.body = bytes(options.truncate ? message_size_ : most)};
        const auto got = queue_.receive(one.body, wait);
        if (!got) return std::unexpected{receive_failed(got.error())};
        one.truncated = got->size > most;
        if (one.truncated) one.full_size = got->size;
        one.body.resize(std::min(got->size, most));
        one.priority = got->priority;
        return one;
    }

private:
    [[nodiscard]] failure receive_failed(const kith::error& error) const {
        if (error.code() == kith::errc::would_block) return {error, "the queue is empty now"};
        if (error.code() != kith::errc::truncated) return error;
        return failure{error, "the kernel takes no message out without room for the longest one"}
            .limit(fmt::format("mq_msgsize is {}", message_size_))
            .suggest(fmt::format("--max-size {}, or --truncate", message_size_));
    }
    posix_mq queue_;
    std::size_t message_size_;
};

class queue_server final : public server {
public:
    queue_server(kith::compose::posix_request_server at, kith::address where)
        : server_{std::move(at)}, where_{std::move(where)} {}
    ~queue_server() override {
        // What this command made goes with it; a queue that was there stays, with what is in it.
        if (server_.requests().created()) static_cast<void>(kith::sys::unlink_posix_mq(where_.name()));
    }
    [[nodiscard]] kith::address where() const override { return where_; }
    outcome<std::unique_ptr<exchange>> next(const kith::wait_policy& wait) override {
        const auto limits = server_.requests().attributes();
        if (!limits) return pass_on(limits);
        return next_exchange(server_, limits->message_size, wait);
    }

private:
    kith::compose::posix_request_server server_;
    kith::address where_;
};

class posix_queues final : public backend {
public:
    posix_queues() : backend{kith::scheme::posix_mq} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.size)
            return option_refused(*this, "--size", "such a queue is limited with --max-messages and --message-size");
        if (!options.values.empty()) return option_refused(*this, "--values", "only semaphores have values");
        if (options.max_messages == std::uint64_t{0} || options.message_size == std::uint64_t{0})
            return option_refused(*this, "a limit of 0", "a queue holds at least one message of at least one byte");
        using kith::sys::creation;
        kith::sys::posix_mq_options wish{.create = options.exclusive ? creation::must_be_new : creation::create_or_open,
                                         .access = posix_mq_access::receive_only};
        if (options.mode) wish.mode = *options.mode;
        if (options.max_messages) wish.max_messages = static_cast<std::size_t>(*options.max_messages);
        if (options.message_size) wish.message_size = static_cast<std::size_t>(*options.message_size);
        const auto queue = posix_mq::open(where.name(), wish);
        if (!queue) return std::unexpected{create_failed(queue.error(), where)};
        return created{where, queue->created()};
    }

    outcome<void> remove(const kith::address& where) override {
        if (const auto gone = kith::sys::unlink_posix_mq(where.name()); !gone) return pass_on(gone);
        return {};
    }

    outcome<facts> show(const kith::address& where) override {
        auto queue = posix_mq::open(where.name(), {.access = posix_mq_access::receive_only});
        if (!queue && queue.error().code() == kith::errc::not_permitted)
            queue = posix_mq::open(where.name(), {.access = posix_mq_access::send_only});
        if (!queue) return pass_on(queue);
        const auto limits = queue->attributes();
        if (!limits) return pass_on(limits);
        facts seen;
        seen.add("address", where.text());
        struct stat file{};
        if (::fstat(queue->native().get(), &file) == 0)
            seen.add_user("uid", file.st_uid).add_group("gid", file.st_gid).add_mode("mode", file.st_mode & 0777U);
        seen.add("messages", limits->messages)
            .add("max_messages", limits->max_messages)
            .add("message_size", limits->message_size, "bytes");
        // Only with the right to receive.
        const auto state = queue->kernel_status();
        seen.add("bytes", state ? facts::value{std::uint64_t{state->bytes}} : facts::value{nullptr});
        seen.add("notified", state && state->notified != 0 ? facts::value{state->notified} : facts::value{nullptr},
                 "pid");
        return seen;
    }

    outcome<std::uint64_t> drain(const kith::address& where) override {
        const auto queue = posix_mq::open(where.name(), {.access = posix_mq_access::receive_only});
        if (!queue) return pass_on(queue);
        const auto count = queue->drain();
        if (!count) return pass_on(count);
        return *count;
    }

    outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options&,
                                                 const kith::wait_policy&) override {
        auto queue = posix_mq::open(where.name(), {.access = posix_mq_access::send_only});
        if (!queue) return pass_on(queue);
        return std::make_unique<queue_sender>(std::move(*queue));
    }

    outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options& options,
                                                     const kith::wait_policy&) override {
        if (options.peek)
            return refuse_use(kith::errc::unsupported, "mq_receive",
                              "a POSIX queue has no peek: a message can only be taken");
        auto queue = posix_mq::open(where.name(), {.access = posix_mq_access::receive_only});
        if (!queue) return pass_on(queue);
        const auto limits = queue->attributes();
        if (!limits) return pass_on(limits);
        return std::make_unique<queue_receiver>(std::move(*queue), limits->message_size);
    }

    outcome<std::unique_ptr<server>> serve(const kith::address& where, const listen_options& options) override {
        kith::compose::posix_request_server::options how;
        if (options.mode) how.mode = *options.mode;
        auto at = kith::compose::posix_request_server::open(where.name(), how);
        if (!at) return std::unexpected{create_failed(at.error(), where)};
        return std::make_unique<queue_server>(std::move(*at), where);
    }

    outcome<bytes> call(const kith::address& where, kith::byte_view request, std::size_t max_size,
                        const kith::wait_policy& wait) override {
        if (const auto may = must_wait(wait); !may) return pass_on(may);
        auto client = kith::compose::posix_request_client::open(where.name());
        if (!client) return pass_on(client);
        // No reply is longer than a message of the client's own queue, which is like the server's.
        const auto queue = posix_mq::open(where.name(), {.access = posix_mq_access::send_only});
        if (!queue) return pass_on(queue);
        const auto limits = queue->attributes();
        if (!limits) return pass_on(limits);
        return call_through(*client, request, std::min(max_size, limits->message_size), wait);
    }

private:
    static failure create_failed(const kith::error& error, const kith::address& where) {
        if (error.code() != kith::errc::wrong_size) return error;
        failure why{error, "it exists with other limits"};
        if (const auto queue = posix_mq::open(where.name(), {.access = posix_mq_access::receive_only}))
            if (const auto limits = queue->attributes())
                why.limits.push_back(fmt::format("the queue that is there: --max-messages {} --message-size {}",
                                                 limits->max_messages, limits->message_size));
        return why;
    }
};

}  // namespace

backend& posix_mq_backend() {
    static posix_queues queues;
    return queues;
}

}  // namespace kith_cli
