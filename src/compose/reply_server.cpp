#include <kith/compose/reply_fifo.hpp>

#include <sys/file.h>
#include <algorithm>
#include <cstring>

#include "base/observer.hpp"
#include "compose/reply_header.hpp"
#include "compose/reply_names.hpp"

namespace kith::inline KITH_ABI::compose {

result<reply_server> reply_server::open(std::string_view path, sys::creation policy, mode_t mode) noexcept {
    reply_server server;
    auto directory = detail::open_directory_of(path, server.name_);
    if (!directory) return fail(directory.error());
    const sys::fifo_path well_known{directory->borrow(), server.name_.data()};
    const auto about = object_ref::name(path);
    if (auto made = sys::create_fifo(well_known, mode, policy); !made) return fail(made.error().about(about));
    auto fifo = sys::open_fifo_both(well_known);
    if (!fifo) return fail(fifo.error().about(about));
    // Two servers would split the bytes of requests among them.
    if (detail::retry([&] { return ::flock(fifo->native().get(), LOCK_EX | LOCK_NB); }) != 0)
        return errno == EWOULDBLOCK ? fail(errc::exists, "flock", EWOULDBLOCK, about)
                                    : detail::fail_os("flock", errno, about);
    server.fifo_ = std::move(*fifo);
    server.directory_ = std::move(*directory);
    return server;
}

namespace {

// How many bytes from the front cannot be part of a request: up to the next place where one may begin.
std::size_t garbage(std::string_view text) noexcept {
    for (std::size_t at = 1; at < text.size(); ++at) {
        const auto rest = text.substr(at, detail::request_magic.size());
        if (detail::request_magic.starts_with(rest)) return at;
    }
    return text.size();
}

}  // namespace

result<reply_server::request> reply_server::receive(byte_span body, const wait_policy& wait) noexcept {
    const auto about = object_ref::descriptor(native().get());
    if (body.size() < reply_fifo_request_max) return fail(errc::invalid, "read", EINVAL, about);
    const auto discard = [&](std::size_t bytes) {
        filled_ -= bytes;
        std::memmove(unread_.data(), unread_.data() + bytes, filled_);
    };
    for (;;) {
        const auto text = text_of({unread_.data(), filled_});
        detail::reply_header header;
        const auto state = detail::parse_request(text, header);
        if (state == detail::header_state::wrong) {
            discard(garbage(text));
            return fail(errc::bad_peer, "read", 0, about);
        }
        if (state == detail::header_state::whole && header.size + header.length <= filled_) {
            request got{.from = {.id = header.id}, .size = header.length};
            header.token.copy(got.from.token.data(), reply_to::token_capacity);
            std::memcpy(body.data(), unread_.data() + header.size, header.length);
            discard(header.size + header.length);
            return got;
        }
        // A whole request fits, so there is room.
        const auto n = fifo_.read_some(byte_span{unread_}.subspan(filled_), wait);
        if (!n) return fail(n.error());
        filled_ += *n;
    }
}

result<sys::fifo_writer> reply_server::open_reply(const reply_to& to) const noexcept {
    const detail::reply_name name{name_, to};
    const sys::fifo_path path{directory_.borrow(), name.text()};
    auto fifo = sys::open_fifo_writer(path, deadline::immediate());
    if (fifo) return fifo;
    const auto& why = fifo.error();
    if (why.code() == errc::would_block) {
        // Nobody reads: clients open their FIFO before they ask, so this one is dead.
        if (sys::remove_fifo(path)) detail::notify(event_kind::stale_removed, "unlink", why.object(), ENXIO);
        return fail(errc::peer_gone, why.operation(), why.os_error(), why.object());
    }
    if (why.os_error() == ENOENT) return fail(errc::peer_gone, why.operation(), why.os_error(), why.object());
    return fifo;
}

result<void> reply_server::reply(const reply_to& to, byte_view body, const wait_policy& wait) const noexcept {
    auto fifo = open_reply(to);
    if (!fifo) return fail(fifo.error());
    // The line and the first bytes go in one write: a short reply is there whole or not at all.
    char first[sys::pipe_atomic_bytes];
    const auto line = detail::write_header(first, to.id, body.size(), {});
    const auto with_it = std::min(body.size(), sizeof first - line);
    std::copy_n(reinterpret_cast<const char*>(body.data()), with_it, first + line);
    std::size_t done = 0;
    if (auto sent = fifo->write_full(bytes_of({first, line + with_it}), done, wait); !sent) return sent;
    done = 0;
    return fifo->write_full(body.subspan(with_it), done, wait);
}

result<void> reply_server::refuse(const reply_to& to) const noexcept {
    const auto fifo = open_reply(to);  // opened and closed: the client sees the end of an empty reply
    if (!fifo) return fail(fifo.error());
    return {};
}

}  // namespace kith::inline KITH_ABI::compose
