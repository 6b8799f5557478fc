#include <kith/compose/request_reply.hpp>

#include <unistd.h>
#include <algorithm>
#include <cerrno>

#include "base/backoff.hpp"
#include "base/observer.hpp"
#include "base/scratch.hpp"
#include "compose/request_header.hpp"

namespace kith::inline KITH_ABI::compose {
namespace {

using detail::fate;
using detail::header_kind;
using detail::reply_status;
using sys::message_selector;
using sys::message_space;

constexpr long request_type = 1;
constexpr std::size_t common_message = 8192;
using message_scratch = detail::scratch<sizeof(long) + request_header_bytes + common_message + 1>;
constexpr auto between_looks = std::chrono::milliseconds{50};

constexpr std::size_t room_for(std::size_t body) noexcept { return sizeof(long) + request_header_bytes + body + 1; }

sys::sysv_key reply_key(sys::sysv_key key) noexcept { return sys::sysv_key{key.value() ^ INT32_MIN}; }

std::unexpected<error> no_memory(const sys::sysv_mq& queue) noexcept {
    return fail(errc::out_of_memory, "mmap", ENOMEM, object_ref::sysv_id(queue.native_id()));
}

result<void> send_with_header(const sys::sysv_mq& queue, long type, const detail::request_header& header,
                              byte_view body, const wait_policy& wait) noexcept {
    message_scratch memory{room_for(body.size())};
    if (!memory.valid()) return no_memory(queue);
    const auto message = message_space::over(memory.bytes().data(), memory.bytes().size());
    message.type() = type;
    detail::encode_header(header, message.body());
    std::copy_n(body.data(), body.size(), message.body().data() + request_header_bytes);
    return queue.send(message, request_header_bytes + body.size(), wait);
}

// Removes replies that nobody waits for: their clients have died or given up. Returns how many.
std::uint64_t sweep(const sys::sysv_mq& replies) noexcept {
    message_scratch memory{room_for(common_message)};
    const auto message = message_space::over(memory.bytes().data(), memory.bytes().size());
    const auto state = replies.status();
    std::uint64_t removed = 0;
    std::size_t index = 0;
    for (std::size_t looks = state ? state->messages : 0; looks > 0; --looks) {
        const auto seen = replies.peek(message, index);
        // Too long for a look, or a kernel without peeking: it stays.
        if (!seen && seen.error().code() == errc::truncated) {
            ++index;
            continue;
        }
        if (!seen) break;
        const auto header = detail::decode_header(message.body().first(seen->size));
        if (header && detail::fate_of(header->ticket) == fate::awaited) {
            ++index;
            continue;
        }
        const auto taken =
            replies.receive_cutting(message, message_selector::of_type(seen->type), deadline::immediate());
        if (!taken) continue;
        // Between the look and the receive the client may have got that one and, in a new call, another.
        const auto got = detail::decode_header(message.body().first(taken->size));
        if (got && detail::fate_of(got->ticket) == fate::awaited && !taken->cut &&
            replies.send(message, taken->size, deadline::immediate()))
            continue;
        ++removed;
    }
    if (removed != 0)
        detail::notify(event_kind::stale_removed, "msgrcv", object_ref::sysv_id(replies.native_id()), 0, removed);
    return removed;
}

}  // namespace

result<sysv_request_server> sysv_request_server::open(sys::sysv_key key, const options& how) noexcept {
    if (key.is_private() || reply_key(key).is_private())
        return fail(errc::invalid, "msgget", EINVAL, object_ref::sysv_key(key.value()));
    const auto requests =
        sys::sysv_mq::open(key, {.create = how.create, .mode = how.mode, .capacity = how.capacity, .old = how.old});
    if (!requests) return fail(requests.error());
    // Whoever has made the first may make the second; only one that was found may be there without it.
    const auto create = how.create == sys::creation::must_exist ? how.create : sys::creation::create_or_open;
    const auto replies =
        sys::sysv_mq::open(reply_key(key), {.create = create, .mode = how.mode, .capacity = how.capacity});
    if (!replies) {
        if (requests->created()) static_cast<void>(requests->remove());
        return fail(replies.error());
    }
    sweep(*replies);
    return sysv_request_server{*requests, *replies, how.reply_patience};
}

result<received_request> sysv_request_server::take(byte_span buffer, const wait_policy& wait) const noexcept {
    message_scratch memory{room_for(buffer.size())};
    if (!memory.valid()) return no_memory(requests_);
    const auto message = message_space::over(memory.bytes().data(), memory.bytes().size());
    for (;;) {
        const auto got = requests_.receive_cutting(message, message_selector::of_type(request_type), wait);
        if (!got) return fail(got.error());
        const auto header = detail::decode_header(message.body().first(got->size));
        if (!header || header->kind != header_kind::request) {
            detail::notify(event_kind::stale_removed, "msgrcv", object_ref::sysv_id(requests_.native_id()), EBADMSG, 1);
            continue;
        }
        if (detail::fate_of(header->ticket) != fate::awaited) {
            detail::notify(event_kind::peer_died, "msgrcv", object_ref::process(header->ticket.client.pid), 0, 1);
            continue;
        }
        if (got->cut) {
            // The client learns it from the reply; if even that fails, from its deadline.
            static_cast<void>(answer(header->ticket, static_cast<std::uint32_t>(reply_status::too_long), {}, wait));
            continue;
        }
        const auto size = got->size - request_header_bytes;
        std::copy_n(message.body().data() + request_header_bytes, size, buffer.data());
        return received_request{header->ticket, size};
    }
}

result<void> sysv_request_server::answer(const request_ticket& to, std::uint32_t status, byte_view body,
                                         const wait_policy& wait) const noexcept {
    const detail::request_header header{header_kind::reply, static_cast<reply_status>(status), to};
    const auto patience = deadline::earlier(wait.until, deadline::in(patience_));
    for (;;) {
        if (detail::fate_of(to) != fate::awaited)
            return fail(errc::peer_gone, "msgsnd", 0, object_ref::process(to.client.pid));
        // In slices: clients may die or give up while the queue is full of replies to them.
        auto slice = wait;
        slice.until = deadline::earlier(patience, deadline::in(between_looks));
        auto sent = send_with_header(replies_, static_cast<long>(to.address), header, body, slice);
        if (sent || (sent.error().code() != errc::timed_out && sent.error().code() != errc::would_block)) return sent;
        if (sweep(replies_) != 0) continue;
        if (patience.remaining_ns() == 0) return sent;
    }
}

result<void> sysv_request_server::reply(const request_ticket& to, byte_view body,
                                        const wait_policy& wait) const noexcept {
    auto sent = answer(to, static_cast<std::uint32_t>(reply_status::done), body, wait);
    if (!sent && sent.error().code() == errc::too_long)
        static_cast<void>(answer(to, static_cast<std::uint32_t>(reply_status::too_long), {}, wait));
    return sent;
}

result<void> sysv_request_server::refuse(const request_ticket& to, const wait_policy& wait) const noexcept {
    return answer(to, static_cast<std::uint32_t>(reply_status::refused), {}, wait);
}

result<void> sysv_request_server::settle(const wait_policy& wait) const noexcept {
    detail::backoff looks{wait, "settle", object_ref::sysv_id(replies_.native_id())};
    for (;;) {
        sweep(replies_);
        const auto state = replies_.status();
        if (!state) return fail(state.error());
        if (state->messages == 0) return {};
        if (auto paused = looks.pause(EAGAIN); !paused) return paused;
    }
}

result<void> sysv_request_server::remove() const noexcept {
    auto requests = requests_.remove();
    auto replies = replies_.remove();
    return requests ? replies : requests;
}

result<sysv_request_client> sysv_request_client::open(sys::sysv_key key) noexcept {
    if (key.is_private() || reply_key(key).is_private())
        return fail(errc::invalid, "msgget", EINVAL, object_ref::sysv_key(key.value()));
    const auto requests = sys::sysv_mq::open(key, {.check_write = true});
    if (!requests) return fail(requests.error());
    const auto replies = sys::sysv_mq::open(reply_key(key), {.check_read = true});
    if (!replies) return fail(replies.error().about(object_ref::sysv_key(reply_key(key).value())));
    sysv_request_client client{*requests, *replies, detail::new_client()};
    client.owner_ = ::getpid();
    return client;
}

sysv_request_client::sysv_request_client(sysv_request_client&& other) noexcept
    : requests_{other.requests_},
      replies_{other.replies_},
      self_{other.self_},
      owner_{std::exchange(other.owner_, 0)} {}

sysv_request_client::~sysv_request_client() {
    if (owner_ != ::getpid()) return;
    sys::message_buffer<1> none;
    while (replies_.receive_cutting(none.space(), message_selector::of_type(static_cast<long>(self_.address)),
                                    deadline::immediate())) {
    }
}

result<std::size_t> sysv_request_client::call(byte_view request, byte_span reply, const wait_policy& wait) noexcept {
    const auto object = object_ref::sysv_id(requests_.native_id());
    if (owner_ != ::getpid()) return fail(errc::forked, "call", 0, object);
    if (wait.until.is_immediate()) return fail(errc::invalid, "call", 0, object);
    self_.until = wait.until;
    ++self_.number;
    if (auto sent =
            send_with_header(requests_, request_type, {header_kind::request, reply_status::done, self_}, request, wait);
        !sent)
        return fail(sent.error());

    message_scratch memory{room_for(reply.size())};
    if (!memory.valid()) return no_memory(replies_);
    const auto message = message_space::over(memory.bytes().data(), memory.bytes().size());
    for (;;) {
        const auto got =
            replies_.receive_cutting(message, message_selector::of_type(static_cast<long>(self_.address)), wait);
        if (!got) return fail(got.error());
        const auto header = detail::decode_header(message.body().first(got->size));
        // A reply to an earlier call, which timed out.
        if (!header || header->kind != header_kind::reply || header->ticket.number != self_.number) continue;
        if (header->status == reply_status::too_long) return fail(errc::too_long, "call", EMSGSIZE, object);
        if (header->status == reply_status::refused) return fail(errc::peer_gone, "call", 0, object);
        if (got->cut) return fail(errc::truncated, "call", E2BIG, object);
        const auto size = got->size - request_header_bytes;
        std::copy_n(message.body().data() + request_header_bytes, size, reply.data());
        return size;
    }
}

}  // namespace kith::inline KITH_ABI::compose
