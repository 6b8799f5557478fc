#include <kith/compose/reply_fifo.hpp>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <utility>

#include "compose/reply_header.hpp"
#include "compose/reply_names.hpp"

namespace kith::inline KITH_ABI::compose {
namespace {

result<std::uint64_t> random_number() noexcept {
    std::uint64_t number = 0;
    while (::getrandom(&number, sizeof number, 0) != sizeof number)
        if (errno != EINTR) return detail::fail_os("getrandom", errno);
    return number;
}

result<void> watch(borrowed_fd epoll, borrowed_fd fd, std::uint32_t events) noexcept {
    epoll_event what{.events = events, .data = {.fd = fd.get()}};
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &what) != 0) return detail::fail_errno("epoll_ctl", fd.get());
    return {};
}

bool lost_reader(borrowed_fd writer) noexcept {
    pollfd one{writer.get(), 0, 0};
    return ::poll(&one, 1, 0) > 0 && (one.revents & POLLERR) != 0;
}

}  // namespace

reply_client::reply_client(reply_client&& other) noexcept
    : server_{std::move(other.server_)},
      replies_{std::move(other.replies_)},
      watch_{std::move(other.watch_)},
      directory_{std::move(other.directory_)},
      name_{other.name_},
      self_{other.self_},
      mode_{other.mode_},
      owner_{std::exchange(other.owner_, 0)},
      clean_{other.clean_} {}

reply_client& reply_client::operator=(reply_client&& other) noexcept {
    if (this != &other) {
        withdraw();
        server_ = std::move(other.server_);
        replies_ = std::move(other.replies_);
        watch_ = std::move(other.watch_);
        directory_ = std::move(other.directory_);
        name_ = other.name_;
        self_ = other.self_;
        mode_ = other.mode_;
        owner_ = std::exchange(other.owner_, 0);
        clean_ = other.clean_;
    }
    return *this;
}

reply_client::~reply_client() { withdraw(); }

void reply_client::withdraw() noexcept {
    if (self_.token[0] == '\0' || owner_ != ::getpid()) return;
    const int saved = errno;
    const detail::reply_name name{name_, self_};
    [[maybe_unused]] const auto ignored = sys::remove_fifo({directory_.borrow(), name.text()});
    errno = saved;
    self_.token[0] = '\0';
}

result<void> reply_client::make_private_fifo() noexcept {
    withdraw();
    const auto random = random_number();
    if (!random) return fail(random.error());
    // The pid is for people who look at the directory; the number makes the name hard to guess.
    reply_to self;
    char* at = std::to_chars(self.token.data(), self.token.data() + 12, ::getpid()).ptr;
    *at++ = '-';
    *std::to_chars(at, self.token.data() + reply_to::token_capacity, *random, 16).ptr = '\0';
    const detail::reply_name name{name_, self};
    if (auto made = sys::create_fifo({directory_.borrow(), name.text()}, mode_); !made) return made;
    self_ = self;
    return {};
}

// Whether the server has closed what it answered on. While it has not, its leaving would be taken for the end of the
// next reply: fifo(7) counts writers that are there when a reader opens.
bool reply_client::last_reply_ended() noexcept {
    std::byte surplus;
    const auto n = replies_.read_some({&surplus, 1}, deadline::immediate());
    return !n && n.error().code() == errc::end_of_stream;
}

// A new open description has not seen the writer of the last reply, so that one's end is not taken for this one's.
result<void> reply_client::listen_again() noexcept {
    const detail::reply_name name{name_, self_};
    auto fresh = sys::open_fifo_reader({directory_.borrow(), name.text()}, deadline::immediate());
    if (!fresh) return fail(fresh.error());
    // Closing is not enough: a forked child may hold the old description open, and epoll goes by descriptions.
    if (replies_.is_open()) ::epoll_ctl(watch_.native().get(), EPOLL_CTL_DEL, replies_.native().get(), nullptr);
    replies_ = std::move(*fresh);
    return watch(watch_.native(), replies_.native(), EPOLLIN);
}

result<reply_client> reply_client::open(std::string_view path, const wait_policy& wait, mode_t reply_mode) noexcept {
    reply_client client;
    client.mode_ = reply_mode;
    client.owner_ = ::getpid();
    auto directory = detail::open_directory_of(path, client.name_);
    if (!directory) return fail(directory.error());
    client.directory_ = std::move(*directory);
    auto server = sys::open_fifo_writer({client.directory_.borrow(), client.name_.data()}, wait);
    if (!server) return fail(server.error().about(object_ref::name(path)));
    client.server_ = std::move(*server);
    owned_fd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll.valid()) return detail::fail_os("epoll_create1", errno);
    client.watch_ = io_fd{std::move(epoll), fd_mode::nonblocking};
    if (auto watched = watch(client.watch_.native(), client.server_.native(), 0); !watched)
        return fail(watched.error());
    return client;
}

result<std::size_t> reply_client::call(byte_view request, byte_span reply, const wait_policy& wait) noexcept {
    const auto about = object_ref::descriptor(server_.native().get());
    if (request.size() > reply_fifo_request_max) return fail(errc::too_long, "write", EMSGSIZE, about);
    if (!clean_ || !last_reply_ended()) {
        if (auto made = make_private_fifo(); !made) return fail(made.error());
    }
    clean_ = false;
    if (auto listening = listen_again(); !listening) return fail(listening.error());
    const auto id = random_number();
    if (!id) return fail(id.error());

    char whole[sys::pipe_atomic_bytes];
    const auto line = detail::write_header(whole, *id, request.size(), self_.token.data());
    text_of(request).copy(whole + line, request.size());
    std::size_t done = 0;
    if (auto sent = server_.write_full(bytes_of({whole, line + request.size()}), done, wait); !sent)
        return fail(sent.error());
    auto got = receive(*id, reply, wait);
    clean_ = got.has_value();
    return got;
}

// What is there of the reply, at least one byte; notices a server that dies before it has begun to answer.
result<std::size_t> reply_client::read_reply(byte_span into, const wait_policy& wait) noexcept {
    const auto about = object_ref::descriptor(server_.native().get());
    for (;;) {
        // Asked before the read: what a server wrote before it died is read first.
        const bool dead = lost_reader(server_.native());
        auto n = replies_.read_some(into, deadline::immediate());
        if (n) return n;
        if (n.error().code() == errc::end_of_stream) return fail(errc::peer_gone, "read", 0, about);
        if (n.error().code() != errc::would_block) return n;
        if (dead) return fail(errc::peer_gone, "read", EPIPE, about);
        if (auto ready = watch_.wait_for(POLLIN, wait, "read"); !ready) return fail(ready.error());
    }
}

result<std::size_t> reply_client::receive(std::uint64_t id, byte_span reply, const wait_policy& wait) noexcept {
    const auto about = object_ref::descriptor(replies_.native().get());
    std::array<std::byte, detail::header_max> first;
    std::size_t filled = 0;
    detail::reply_header header;
    for (auto state = detail::header_state::partial; state != detail::header_state::whole;) {
        const auto n = read_reply(byte_span{first}.subspan(filled), wait);
        if (!n) return n;
        filled += *n;
        state = detail::parse_reply(text_of({first.data(), filled}), header);
        if (state == detail::header_state::wrong) return fail(errc::bad_peer, "read", 0, about);
    }
    if (header.id != id || filled - header.size > header.length) return fail(errc::bad_peer, "read", 0, about);
    if (header.length > reply.size()) return fail(errc::truncated, "read", 0, about);
    std::size_t done = filled - header.size;
    std::copy_n(first.data() + header.size, done, reply.data());
    while (done < header.length) {
        const auto n = read_reply(reply.subspan(done, header.length - done), wait);
        if (!n) return n;
        done += *n;
    }
    return done;
}

}  // namespace kith::inline KITH_ABI::compose
