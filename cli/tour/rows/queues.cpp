// queues - System V and POSIX message queues.
#include <fmt/format.h>
#include <charconv>
#include <kith/sys/posix_mq.hpp>
#include <kith/sys/sysv_mq.hpp>
#include <memory>
#include <vector>

#include "tour/peer.hpp"
#include "tour/remains.hpp"
#include "tour/row.hpp"

namespace kith_cli::tour {
namespace {

namespace sys = kith::sys;

constexpr std::size_t largest_message = 8192;  // the default limit of both kinds
using sysv_message = sys::message_buffer<largest_message>;

constexpr long data_type = 1;
constexpr long end_type = 2;

class sysv_mq_stage final : public stage {
public:
    explicit sysv_mq_stage(sys::sysv_mq queue) : queue_{queue} {}
    ~sysv_mq_stage() override { static_cast<void>(queue_.remove()); }
    [[nodiscard]] std::string where() const override { return std::to_string(queue_.native_id()); }

private:
    sys::sysv_mq queue_;
};

outcome<std::unique_ptr<stage>> set_up_sysv_mq(const stage_options& options) {
    auto queue = sys::sysv_mq::open(key_of(options.name), {.create = sys::creation::must_be_new});
    if (!queue) return pass_on(queue);
    return std::make_unique<sysv_mq_stage>(*queue);
}

void clear_sysv_mq(const remains& of) { remove_remains(of, sys::sysv_mq::open(key_of(of.name))); }

sys::sysv_mq queue_of(const peer& self) {
    int id = -1;
    std::from_chars(self.where().data(), self.where().data() + self.where().size(), id);
    return sys::sysv_mq::from_id(id);
}

outcome<void> receive_sysv_mq(peer& self) {
    const auto queue = queue_of(self);
    const auto message = std::make_unique<sysv_message>();
    self.ready(self.where());
    for (;;) {
        const auto got = queue.receive(message->space());
        if (!got) return pass_on(got);
        if (got->type == end_type) return {};
        self.take(std::span{message->body}.first(got->size));
    }
}

outcome<void> send_sysv_mq(peer& self) {
    const auto queue = queue_of(self);
    const auto limits = sys::read_sysv_mq_limits();
    if (!limits) return pass_on(limits);
    const auto most = std::min({largest_message, limits->message_bytes, limits->queue_bytes});
    const auto message = std::make_unique<sysv_message>();
    message->type = data_type;
    for (auto piece = self.next(most); !piece.empty(); piece = self.next(most)) {
        std::ranges::copy(piece, message->body);
        if (auto sent = queue.send(message->space(), piece.size()); !sent) return pass_on(sent);
    }
    message->type = end_type;
    if (auto sent = queue.send(message->space(), 0); !sent) return pass_on(sent);
    return {};
}

class posix_mq_stage final : public stage {
public:
    explicit posix_mq_stage(std::string name) : name_{std::move(name)} {}
    ~posix_mq_stage() override { static_cast<void>(sys::unlink_posix_mq(name_)); }
    [[nodiscard]] std::string where() const override { return name_; }

private:
    std::string name_;
};

outcome<std::unique_ptr<stage>> set_up_posix_mq(const stage_options& options) {
    auto name = '/' + options.name;
    if (auto queue = sys::posix_mq::open(name, {.create = sys::creation::must_be_new}); !queue) return pass_on(queue);
    return std::make_unique<posix_mq_stage>(std::move(name));
}

void clear_posix_mq(const remains& of) { static_cast<void>(sys::unlink_posix_mq('/' + of.name)); }

// An empty message is a message, so it can say that all was sent; of lower priority, it comes last in any case.
constexpr unsigned data_priority = 1;
constexpr unsigned end_priority = 0;

outcome<void> receive_posix_mq(peer& self) {
    auto queue = sys::posix_mq::open(self.where(), {.access = sys::posix_mq_access::receive_only});
    if (!queue) return pass_on(queue);
    const auto attributes = queue->attributes();
    if (!attributes) return pass_on(attributes);
    std::vector<std::byte> buffer(attributes->message_size);
    self.ready(self.where());
    for (;;) {
        const auto got = queue->receive(buffer);
        if (!got) return pass_on(got);
        if (got->priority == end_priority) return {};
        self.take(std::span{buffer}.first(got->size));
    }
}

outcome<void> send_posix_mq(peer& self) {
    auto queue = sys::posix_mq::open(self.where(), {.access = sys::posix_mq_access::send_only});
    if (!queue) return pass_on(queue);
    const auto attributes = queue->attributes();
    if (!attributes) return pass_on(attributes);
    const auto most = attributes->message_size;
    for (auto piece = self.next(most); !piece.empty(); piece = self.next(most))
        if (auto sent = queue->send(piece, data_priority); !sent) return pass_on(sent);
    if (auto sent = queue->send({}, end_priority); !sent) return pass_on(sent);
    return {};
}

constexpr row rows[] = {
    {"sysv-mq", "messages received by type, one queue for many", relation::strangers, "messages", "yes", set_up_sysv_mq,
     receive_sysv_mq, send_sysv_mq, false, clear_sysv_mq},
    {"posix-mq", "messages by priority, pollable", relation::strangers, "messages", "yes", set_up_posix_mq,
     receive_posix_mq, send_posix_mq, false, clear_posix_mq},
};

}  // namespace

std::span<const row> queue_rows() { return rows; }

}  // namespace kith_cli::tour
