#include <kith/sys/poll.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <new>
#include <optional>

#include "base/clock.hpp"
#include "base/observer.hpp"
#include "base/transfer.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

constexpr std::int64_t slice_without_bell_ns = 50'000'000;

struct ring {
    int fd;
    void operator()() const noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto ignored = ::write(fd, &one, sizeof one);
    }
};

std::uint32_t flags_of(trigger when) noexcept {
    switch (when) {
    case trigger::level: return 0;
    case trigger::edge: return EPOLLET;
    case trigger::once: return EPOLLONESHOT;
    }
    return 0;
}

}  // namespace

result<std::size_t> poll_set::add(borrowed_fd fd, short events) noexcept {
    try {
        if (watched_.empty()) watched_.push_back({-1, POLLIN, 0});
        watched_.push_back({fd.get(), events, 0});
    } catch (const std::bad_alloc&) {
        return fail(errc::out_of_memory, "poll_set::add", ENOMEM, object_ref::descriptor(fd.get()));
    }
    return watched_.size() - 2;
}

void poll_set::change(std::size_t index, short events) noexcept { watched_[index + 1].events = events; }

void poll_set::ignore(std::size_t index) noexcept { watched_[index + 1] = {-1, 0, 0}; }

result<std::size_t> poll_set::wait(const wait_policy& how) noexcept {
    if (how.stop_requested()) return fail(errc::stopped, "ppoll");
    owned_fd bell;
    std::optional<std::stop_callback<ring>> on_stop;
    bool sliced = false;
    if (how.stop != nullptr && how.stop->stop_possible() && !how.until.is_immediate()) {
        bell = owned_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
        sliced = !bell.valid();
        if (sliced)
            detail::notify(event_kind::polling, "eventfd", {}, errno);
        else
            on_stop.emplace(*how.stop, ring{bell.get()});
    }
    if (!watched_.empty()) watched_.front() = {bell.get(), POLLIN, 0};
    pollfd only_bell{bell.get(), POLLIN, 0};
    pollfd* const first = watched_.empty() ? &only_bell : watched_.data();
    const auto count = watched_.empty() ? 1 : watched_.size();

    for (;;) {
        const auto left =
            detail::remaining(how.until, sliced ? slice_without_bell_ns : std::numeric_limits<std::int64_t>::max());
        const int n = ::ppoll(first, count, how.until.is_never() && !sliced ? nullptr : &left, nullptr);
        if (n < 0 && errno != EINTR) return detail::fail_os("ppoll", errno);
        if (n < 0 && how.signal == on_signal::report) return fail(errc::stopped, "ppoll", EINTR);
        const int own = first->revents != 0 ? 1 : 0;
        if (n > own) return static_cast<std::size_t>(n - own);
        if (how.stop_requested()) return fail(errc::stopped, "ppoll");
        if (detail::expired(how.until)) return fail(detail::expiry_code(how.until), "ppoll");
    }
}

result<event_set> open_event_set() noexcept {
    const int fd = ::epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return detail::fail_os("epoll_create1", errno);
    // epoll_wait takes its own time-out, so the set behaves as a descriptor in non-blocking mode.
    return result<event_set>{std::in_place, owned_fd{fd}, fd_mode::nonblocking};
}

namespace {

result<void> control(borrowed_fd set, int operation, borrowed_fd fd, epoll_event* event) noexcept {
    if (::epoll_ctl(set.get(), operation, fd.get(), event) == 0) return {};
    const auto about = object_ref::descriptor(fd.get());
    if (errno == EPERM) return fail(errc::wrong_kind, "epoll_ctl", EPERM, about);
    if (errno == ENOSPC) return fail(errc::limit_reached, "epoll_ctl", ENOSPC, about);
    if (errno == ELOOP) return fail(errc::io, "epoll_ctl", ELOOP, about);
    return detail::fail_os("epoll_ctl", errno, about);
}

}  // namespace

result<void> event_set::add(borrowed_fd fd, std::uint32_t events, std::uint64_t token, trigger when) noexcept {
    epoll_event event{.events = events | flags_of(when), .data = {.u64 = token}};
    return control(native(), EPOLL_CTL_ADD, fd, &event);
}

result<void> event_set::change(borrowed_fd fd, std::uint32_t events, std::uint64_t token, trigger when) noexcept {
    epoll_event event{.events = events | flags_of(when), .data = {.u64 = token}};
    return control(native(), EPOLL_CTL_MOD, fd, &event);
}

result<void> event_set::remove(borrowed_fd fd) noexcept {
    epoll_event unused{};
    return control(native(), EPOLL_CTL_DEL, fd, &unused);
}

result<std::size_t> event_set::wait(std::span<ready> found, const wait_policy& how) noexcept {
    epoll_event events[64];
    const int room = static_cast<int>(std::min(found.size(), std::size(events)));
    return detail::transfer_as(
        *this, POLLIN, how, "epoll_wait",
        [&](int fd) -> ssize_t {
            const int n = ::epoll_wait(fd, events, room, 0);
            if (n == 0) errno = EAGAIN;
            return n == 0 ? -1 : n;
        },
        detail::code_for,
        [&](std::size_t count) {
            for (std::size_t i = 0; i < count; ++i) found[i] = {events[i].data.u64, events[i].events};
            return count;
        });
}

}  // namespace kith::inline KITH_ABI::sys
