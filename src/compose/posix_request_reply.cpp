#include <kith/compose/request_reply.hpp>

#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/observer.hpp"
#include "base/scratch.hpp"
#include "compose/request_header.hpp"

namespace kith::inline KITH_ABI::compose {
namespace {

using detail::fate;
using detail::header_kind;
using detail::reply_status;

constexpr std::size_t common_message = 8192;
using message_scratch = detail::scratch<request_header_bytes + common_message>;
constexpr std::size_t replies_queued = 2;  // one that came too late, and the one that is waited for
constexpr auto between_looks = std::chrono::seconds{1};

std::unexpected<error> no_memory() noexcept { return fail(errc::out_of_memory, "mmap", ENOMEM); }

// "/jobs" and 0x1f make "/jobs.reply.000000000000001f".
class reply_name {
public:
    reply_name(std::string_view queue, std::int64_t address) noexcept {
        static constexpr std::string_view infix = ".reply.";
        static constexpr char digits[] = "0123456789abcdef";
        std::size_t at = queue.copy(text_, sizeof text_ - infix.size() - 17);
        at += infix.copy(text_ + at, infix.size());
        for (int shift = 60; shift >= 0; shift -= 4)
            text_[at++] = digits[(static_cast<std::uint64_t>(address) >> shift) & 0xfU];
        text_[at] = '\0';
        length_ = at;
    }
    [[nodiscard]] std::string_view get() const noexcept { return {text_, length_}; }

private:
    char text_[256];
    std::size_t length_;
};

result<void> send_with_header(const sys::posix_mq& queue, const detail::request_header& header, byte_view body,
                              const wait_policy& wait) noexcept {
    message_scratch memory{request_header_bytes + body.size()};
    if (!memory.valid()) return no_memory();
    detail::encode_header(header, memory.bytes());
    std::copy_n(body.data(), body.size(), memory.bytes().data() + request_header_bytes);
    return queue.send(memory.bytes(), 0, wait);
}

}  // namespace

posix_request_server::posix_request_server(sys::posix_mq requests, std::string_view name,
                                           std::chrono::milliseconds patience) noexcept
    : requests_{std::move(requests)}, patience_{patience}, name_length_{static_cast<std::uint8_t>(name.size())} {
    name.copy(name_, longest_name);
}

posix_request_server::posix_request_server(posix_request_server&& other) noexcept
    : requests_{std::move(other.requests_)},
      patience_{other.patience_},
      name_length_{other.name_length_},
      next_client_{other.next_client_},
      next_look_{other.next_look_} {
    std::copy_n(other.name_, longest_name, name_);
    std::copy(std::begin(other.clients_), std::end(other.clients_), std::begin(clients_));
}

result<posix_request_server> posix_request_server::open(std::string_view name, const options& how) noexcept {
    if (name.size() > longest_name) return fail(errc::too_long, "mq_open", ENAMETOOLONG, object_ref::name(name));
    auto requests = sys::posix_mq::open(name, {.create = how.create,
                                               .mode = how.mode,
                                               .max_messages = how.max_messages,
                                               .message_size = how.message_size,
                                               .old = how.old});
    if (!requests) return fail(requests.error());
    return posix_request_server{std::move(*requests), name, how.reply_patience};
}

void posix_request_server::bury(std::int64_t address) const noexcept {
    const reply_name name{{name_, name_length_}, address};
    if (sys::unlink_posix_mq(name.get()))
        detail::notify(event_kind::stale_removed, "mq_unlink", object_ref::name(name.get()), 0, 1);
}

void posix_request_server::remember(const request_ticket& client) noexcept {
    const std::scoped_lock lock{clients_mutex_};
    for (const auto& known : clients_)
        if (known.address == client.address) return;
    // The oldest place. Whoever had it is no longer watched.
    clients_[next_client_] = {client.address, client.client};
    next_client_ = (next_client_ + 1) % std::size(clients_);
}

void posix_request_server::look_for_the_dead() noexcept {
    const std::scoped_lock lock{clients_mutex_};
    const auto now = deadline::clock::now();
    if (now < next_look_) return;
    next_look_ = now + between_looks;
    for (auto& known : clients_) {
        if (known.address == 0 || known.who.pid == 0) continue;
        const auto state = sys::state_of(known.who);
        if (!state || *state == sys::process_state::running) continue;
        bury(known.address);
        known = {};
    }
}

result<received_request> posix_request_server::take(byte_span buffer, const wait_policy& wait) noexcept {
    const auto attributes = requests_.attributes();
    if (!attributes) return fail(attributes.error());
    message_scratch memory{attributes->message_size};
    if (!memory.valid()) return no_memory();
    for (;;) {
        look_for_the_dead();
        const auto got = requests_.receive(memory.bytes(), wait);
        if (!got) return fail(got.error());
        const auto message = memory.bytes().first(got->size);
        const auto header = detail::decode_header(message);
        if (!header || header->kind != header_kind::request) {
            detail::notify(event_kind::stale_removed, "mq_receive", object_ref::name({name_, name_length_}), EBADMSG,
                           1);
            continue;
        }
        if (const auto end = detail::fate_of(header->ticket); end != fate::awaited) {
            detail::notify(event_kind::peer_died, "mq_receive", object_ref::process(header->ticket.client.pid), 0, 1);
            if (end == fate::dead) bury(header->ticket.address);
            continue;
        }
        remember(header->ticket);
        const auto body = message.subspan(request_header_bytes);
        if (body.size() > buffer.size()) {
            static_cast<void>(answer(header->ticket, static_cast<std::uint32_t>(reply_status::too_long), {}, wait));
            continue;
        }
        std::copy_n(body.data(), body.size(), buffer.data());
        return received_request{header->ticket, body.size()};
    }
}

result<void> posix_request_server::answer(const request_ticket& to, std::uint32_t status, byte_view body,
                                          const wait_policy& wait) const noexcept {
    const auto end = detail::fate_of(to);
    if (end == fate::dead) bury(to.address);
    if (end != fate::awaited) return fail(errc::peer_gone, "mq_send", 0, object_ref::process(to.client.pid));
    const reply_name name{{name_, name_length_}, to.address};
    const auto queue = sys::posix_mq::open(name.get(), {.access = sys::posix_mq_access::send_only});
    if (!queue) {
        const auto code = queue.error().code() == errc::not_found ? errc::peer_gone : queue.error().code();
        return fail(code, "mq_open", queue.error().os_error(), object_ref::name(name.get()));
    }
    auto patient = wait;
    patient.until = deadline::earlier(deadline::earlier(wait.until, to.until), deadline::in(patience_));
    return send_with_header(*queue, {header_kind::reply, static_cast<reply_status>(status), to}, body, patient);
}

result<void> posix_request_server::reply(const request_ticket& to, byte_view body,
                                         const wait_policy& wait) const noexcept {
    auto sent = answer(to, static_cast<std::uint32_t>(reply_status::done), body, wait);
    if (!sent && sent.error().code() == errc::too_long)
        static_cast<void>(answer(to, static_cast<std::uint32_t>(reply_status::too_long), {}, wait));
    return sent;
}

result<void> posix_request_server::refuse(const request_ticket& to, const wait_policy& wait) const noexcept {
    return answer(to, static_cast<std::uint32_t>(reply_status::refused), {}, wait);
}

result<posix_request_client> posix_request_client::open(std::string_view name, std::size_t reply_size,
                                                        unsigned mode) noexcept {
    auto requests = sys::posix_mq::open(name, {.access = sys::posix_mq_access::send_only});
    if (!requests) return fail(requests.error());
    const auto attributes = requests->attributes();
    if (!attributes) return fail(attributes.error());
    const auto self = detail::new_client();
    const reply_name reply{name, self.address};
    auto replies = sys::posix_mq::open(
        reply.get(), {.create = sys::creation::must_be_new,
                      .access = sys::posix_mq_access::receive_only,
                      .mode = mode,
                      .max_messages = replies_queued,
                      .message_size = reply_size == 0 ? attributes->message_size : reply_size + request_header_bytes});
    if (!replies) return fail(replies.error());
    posix_request_client client{std::move(*requests), std::move(*replies), self};
    client.owner_ = ::getpid();
    reply.get().copy(client.reply_name_, sizeof client.reply_name_ - 1);
    return client;
}

posix_request_client::posix_request_client(posix_request_client&& other) noexcept
    : requests_{std::move(other.requests_)},
      replies_{std::move(other.replies_)},
      self_{other.self_},
      owner_{std::exchange(other.owner_, 0)} {
    std::copy(std::begin(other.reply_name_), std::end(other.reply_name_), std::begin(reply_name_));
}

posix_request_client::~posix_request_client() {
    if (owner_ == ::getpid()) static_cast<void>(sys::unlink_posix_mq(reply_name_));
}

result<std::size_t> posix_request_client::call(byte_view request, byte_span reply, const wait_policy& wait) noexcept {
    const auto object = object_ref::name(reply_name_);
    if (owner_ != ::getpid()) return fail(errc::forked, "call", 0, object);
    if (wait.until.is_immediate()) return fail(errc::invalid, "call", 0, object);
    const auto attributes = replies_.attributes();
    if (!attributes) return fail(attributes.error());
    message_scratch memory{attributes->message_size};
    if (!memory.valid()) return no_memory();
    // Late replies leave, so that the next one finds a place.
    while (replies_.receive(memory.bytes(), deadline::immediate())) {
    }
    self_.until = wait.until;
    ++self_.number;
    if (auto sent = send_with_header(requests_, {header_kind::request, reply_status::done, self_}, request, wait);
        !sent)
        return fail(sent.error());
    for (;;) {
        const auto got = replies_.receive(memory.bytes(), wait);
        if (!got) return fail(got.error());
        const auto message = memory.bytes().first(got->size);
        const auto header = detail::decode_header(message);
        if (!header || header->kind != header_kind::reply || header->ticket.number != self_.number) continue;
        if (header->status == reply_status::too_long) return fail(errc::too_long, "call", EMSGSIZE, object);
        if (header->status == reply_status::refused) return fail(errc::peer_gone, "call", 0, object);
        const auto body = message.subspan(request_header_bytes);
        if (body.size() > reply.size()) return fail(errc::truncated, "call", EMSGSIZE, object);
        std::copy_n(body.data(), body.size(), reply.data());
        return body.size();
    }
}

}  // namespace kith::inline KITH_ABI::compose
