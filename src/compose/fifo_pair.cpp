// fifo_pair - how the two sides meet (docs/formats/fifo_pair.md).
//
// LISTENER  L1 lock PATH.lock           L2 mkdir PATH.pair, mkfifo down, then up   L3 open up for reading
//           L4 open down for writing, once somebody reads it   L5 unlink up, down, rmdir: accepted
// CONNECTOR C1 open the directory       C2 open up for writing    C3 flock up: the only connector
//           C4 open down for reading    C5 wait until down has had a writer and up has no name: accepted
// Everything a connector opens is found through one directory descriptor, so it belongs to one connection even while
// the listener already makes the next. A connector that dies before C5 has written nothing: another one may take its
// place in the same connection.
#include <kith/compose/fifo_pair.hpp>

#include <poll.h>
#include <utility>

#include "base/backoff.hpp"
#include "compose/pair_names.hpp"

namespace kith::inline KITH_ABI::compose {

fifo_listener::fifo_listener(fifo_listener&& other) noexcept
    : parent_{std::move(other.parent_)},
      lock_{std::move(other.lock_)},
      pair_{std::move(other.pair_)},
      up_{std::move(other.up_)},
      mode_{other.mode_},
      owner_{other.owner_} {
    std::memcpy(name_, other.name_, sizeof name_);
}

fifo_listener& fifo_listener::operator=(fifo_listener&& other) noexcept {
    if (this != &other) {
        withdraw();
        parent_ = std::move(other.parent_);
        lock_ = std::move(other.lock_);
        pair_ = std::move(other.pair_);
        up_ = std::move(other.up_);
        std::memcpy(name_, other.name_, sizeof name_);
        mode_ = other.mode_;
        owner_ = other.owner_;
    }
    return *this;
}

fifo_listener::~fifo_listener() { withdraw(); }

void fifo_listener::withdraw() noexcept {
    if (pair_.valid() && owner_ == ::getpid()) {
        const int saved = errno;
        [[maybe_unused]] const auto ignored = detail::pair_names::remove(parent_.get(), name_, {});
        errno = saved;
    }
    pair_.reset();
    up_.close();
}

result<fifo_listener> fifo_listener::open(std::string_view path, mode_t mode) noexcept {
    auto names = detail::pair_names::of(path, "open");
    if (!names) return fail(names.error());
    auto lock = names->take_lock(O_CREAT);
    if (!lock) return fail(lock.error());
    fifo_listener listener;
    listener.parent_ = std::move(names->parent);
    listener.lock_ = std::move(*lock);
    std::memcpy(listener.name_, names->pair, sizeof listener.name_);
    listener.mode_ = mode;
    listener.owner_ = ::getpid();
    return listener;
}

result<void> fifo_listener::prepare() noexcept {
    const auto about = object_ref::name(name_);
    // A dead listener's; we have its lock.
    if (auto gone = detail::pair_names::remove(parent_.get(), name_, about); !gone && gone.error().os_error() != ENOENT)
        return gone;
    // Who may read or write the FIFOs may pass through the directory.
    const mode_t others = ((mode_ & 0060U) != 0 ? 0050U : 0U) | ((mode_ & 0006U) != 0 ? 0005U : 0U);
    if (::mkdirat(parent_.get(), name_, 0700U | others) != 0) return detail::fail_os("mkdir", errno, about);
    pair_ = detail::pair_names::open_pair(parent_.get(), name_);
    if (!pair_.valid()) {
        const int os_error = errno;
        ::unlinkat(parent_.get(), name_, AT_REMOVEDIR);
        return detail::fail_os("open", os_error, about);
    }
    for (const char* end : {"down", "up"})
        if (auto made = sys::create_fifo({pair_.borrow(), end}, mode_); !made) return made;
    auto up = sys::open_fifo_reader({pair_.borrow(), "up"}, deadline::immediate());
    if (!up) return fail(up.error());
    up_ = std::move(*up);
    return {};
}

result<fifo_connection> fifo_listener::accept(const wait_policy& wait) noexcept {
    if (!up_.is_open()) {
        if (auto ready = prepare(); !ready) {
            withdraw();
            return fail(ready.error());
        }
    }
    auto down = sys::open_fifo_writer({pair_.borrow(), "down"}, wait);
    if (!down) return fail(down.error().about(object_ref::name(name_)));
    fifo_connection connection{std::move(up_), std::move(*down)};
    pair_.reset();
    if (auto gone = detail::pair_names::remove(parent_.get(), name_, object_ref::name(name_)); !gone)
        return fail(gone.error());
    return connection;
}

namespace {

bool reports(borrowed_fd fd, short event) noexcept {
    pollfd one{fd.get(), POLLIN, 0};
    return ::poll(&one, 1, 0) > 0 && (one.revents & event) != 0;
}

bool is_named(int directory, const char* name) noexcept {
    struct stat file{};
    return ::fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) == 0;
}

// C1 to C5. An errno of ENOENT, ENXIO, EWOULDBLOCK or ECONNABORTED means: try again.
result<fifo_connection> try_to_connect(const detail::pair_names& names, detail::backoff& looks) noexcept {
    const auto pair = detail::pair_names::open_pair(names.parent.get(), names.pair);
    if (!pair.valid()) return detail::fail_os("open", errno, names.about);
    auto up = sys::open_fifo_writer({pair.borrow(), "up"}, deadline::immediate());
    if (!up) return fail(up.error().about(names.about));
    if (detail::retry([&] { return ::flock(up->native().get(), LOCK_EX | LOCK_NB); }) != 0)
        return detail::fail_os("flock", errno, names.about);
    auto down = sys::open_fifo_reader({pair.borrow(), "down"}, deadline::immediate());
    if (!down) return fail(down.error().about(names.about));
    for (;;) {
        const auto answered = down->has_writer();
        if (!answered) return fail(answered.error());
        if ((*answered || reports(down->native(), POLLHUP)) && !is_named(pair.get(), "up"))
            return fifo_connection{std::move(*down), std::move(*up)};
        // POLLERR: the listener is gone.
        if (reports(up->native(), POLLERR)) return fail(errc::peer_gone, "open", ECONNABORTED, names.about);
        if (auto slept = looks.pause(EINPROGRESS); !slept) return fail(slept.error());
    }
}

bool may_still_come(const error& failure) noexcept {
    switch (failure.os_error()) {
    case ENOENT:
    case ENXIO:
    case EWOULDBLOCK:
    case ECONNABORTED: return true;
    default: return false;
    }
}

}  // namespace

result<fifo_connection> connect_fifo_pair(std::string_view path, const wait_policy& wait) noexcept {
    const auto names = detail::pair_names::of(path, "open");
    if (!names) return fail(names.error());
    detail::backoff looks{wait, "open", names->about};
    for (;;) {
        auto connection = try_to_connect(*names, looks);
        if (connection || !may_still_come(connection.error())) return connection;
        if (auto slept = looks.pause(connection.error().os_error()); !slept) return fail(slept.error());
    }
}

result<void> remove_fifo_pair(std::string_view path) noexcept {
    const auto names = detail::pair_names::of(path, "open");
    if (!names) return fail(names.error());
    const auto lock = names->take_lock(0);
    if (!lock) return fail(lock.error());
    if (auto gone = detail::pair_names::remove(names->parent.get(), names->pair, names->about);
        !gone && gone.error().os_error() != ENOENT)
        return gone;
    if (::unlinkat(names->parent.get(), names->lock, 0) != 0) return detail::fail_os("unlink", errno, names->about);
    return {};
}

}  // namespace kith::inline KITH_ABI::compose
