// io_fd - waits that can be stopped, and close() beside them.
//
// A waiter counts itself in waiters_, makes sure there is a bell, and only then looks at fd_; close() takes
// fd_ away first and looks at waiters_ and the bell after. So either the waiter sees fd_ == -1 and never
// waits, or close() sees the waiter and rings. (Both sides seq_cst: store fd_ | load waiters_ against
// add waiters_ | load fd_.) The descriptor is closed when the last waiter has left, so its number cannot
// come back as something else under a waiter's ppoll.
#include <kith/io_fd.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cerrno>
#include <optional>

#include "base/clock.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"
#include "base/stay.hpp"

namespace kith::inline KITH_ABI {
namespace {

constexpr std::int64_t slice_without_bell_ns = 50'000'000;

void ring(int eventfd) noexcept {
    const int saved = errno;
    const std::uint64_t one = 1;
    // Cannot fail for a reason that matters: the counter never comes near its limit.
    [[maybe_unused]] const auto ignored = ::write(eventfd, &one, sizeof one);
    errno = saved;
}

}  // namespace

namespace detail {

stay::stay(const io_fd& object) noexcept : object_{object} {
    const pid_t self = ::getpid();
    for (pid_t known = object.waiters_pid_.load(); known != self; known = object.waiters_pid_.load()) {
        if (known == -self) {
            ::sched_yield();  // another thread of this process is at what follows
            continue;
        }
        if (!object.waiters_pid_.compare_exchange_strong(known, -self)) continue;
        if (known != 0) {
            // Forked: the counted waiters and the bell are the parent's.
            object.waiters_.store(0);
            owned_fd{object.bell_.exchange(-1)}.reset();
        }
        object.waiters_pid_.store(self);
    }
    object.waiters_.fetch_add(1);
    if (object.bell_.load() < 0) make_bell();
}

stay::~stay() {
    if (object_.waiters_.fetch_sub(1) == 1) object_.waiters_.notify_all();
}

void stay::make_bell() noexcept {
    owned_fd fresh{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    int none = -1;
    if (!fresh.valid())
        notify(event_kind::polling, "eventfd", object_ref::descriptor(object_.fd_.load()), errno);
    else if (object_.bell_.compare_exchange_strong(none, fresh.get())) [[maybe_unused]]
        const int kept = fresh.release();
}

}  // namespace detail

// Moving needs exclusive access, so nothing has to be ordered.
io_fd& io_fd::operator=(io_fd&& other) noexcept {
    if (this != &other) {
        close();
        fd_.store(other.fd_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        bell_.store(other.bell_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        waiters_pid_.store(other.waiters_pid_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        mode_ = other.mode_;
        other.fd_.store(-1, std::memory_order_relaxed);
        other.bell_.store(-1, std::memory_order_relaxed);
    }
    return *this;
}

result<io_fd> io_fd::adopt(owned_fd fd) noexcept {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0) return detail::fail_errno("fcntl(F_GETFL)", fd.get());
    return io_fd{std::move(fd), (flags & O_NONBLOCK) != 0 ? fd_mode::nonblocking : fd_mode::blocking};
}

void io_fd::close() noexcept {
    if (fd_.load(std::memory_order_relaxed) < 0 && bell_.load(std::memory_order_relaxed) < 0) return;
    owned_fd fd{fd_.exchange(-1)};
    // In a forked child the counted waiters are the parent's; asked last, because it is a system call.
    if (fd.valid() && waiters_.load() != 0 && waiters_pid_.load() == ::getpid()) {
        if (bell_.load() >= 0) ring(bell_.load());
        for (int n = waiters_.load(); n != 0; n = waiters_.load()) waiters_.wait(n);
    }
    if (bell_.load(std::memory_order_relaxed) >= 0) owned_fd{bell_.exchange(-1)}.reset();
}

owned_fd io_fd::release() noexcept {
    owned_fd fd{fd_.load(std::memory_order_relaxed)};
    fd_.store(-1, std::memory_order_relaxed);
    const owned_fd bell{bell_.load(std::memory_order_relaxed)};
    bell_.store(-1, std::memory_order_relaxed);
    return fd;
}

result<short> io_fd::wait_for(short events, const wait_policy& wait, const char* operation) const noexcept {
    const auto about = object_ref::descriptor(native().get());
    if (wait.stop_requested()) return fail(errc::stopped, operation, 0, about);
    if (!native().valid()) return fail(errc::invalid, operation, EBADF, about);

    // An immediate look needs no bell: it does not wait.
    if (wait.until.is_immediate()) return detail::stay::look(*this, events, wait, operation, false);
    return detail::stay{*this}.wait_for(events, wait, operation);
}

result<short> detail::stay::wait_for(short events, const wait_policy& wait, const char* operation) const noexcept {
    if (wait.stop_requested()) return fail(errc::stopped, operation, 0, object_ref::descriptor(object_.native().get()));
    return look(object_, events, wait, operation, true);
}

result<short> detail::stay::wait_alone(const io_fd& object, short events, const wait_policy& wait,
                                       const char* operation) noexcept {
    if (wait.stop_requested()) return fail(errc::stopped, operation, 0, object_ref::descriptor(object.native().get()));
    return look(object, events, wait, operation, false);
}

result<short> detail::stay::look(const io_fd& object, short events, const wait_policy& wait, const char* operation,
                                 bool counted) noexcept {
    const auto about = object_ref::descriptor(object.native().get());
    owned_fd stop_bell;
    struct stop_ringer {
        int fd;
        void operator()() const noexcept { ring(fd); }
    };
    std::optional<std::stop_callback<stop_ringer>> on_stop;
    const bool stoppable = wait.stop != nullptr && wait.stop->stop_possible() && !wait.until.is_immediate();
    if (stoppable) {
        stop_bell = owned_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
        if (stop_bell.valid())
            on_stop.emplace(*wait.stop, stop_ringer{stop_bell.get()});
        else
            detail::notify(event_kind::polling, "eventfd", about, errno);
    }

    for (;;) {
        const int fd = object.fd_.load();
        if (fd < 0) return fail(errc::stopped, operation, 0, about);
        pollfd watched[3] = {{fd, events, 0}, {object.bell_.load(), POLLIN, 0}, {stop_bell.get(), POLLIN, 0}};
        const bool sliced = (counted && watched[1].fd < 0) || (stoppable && !stop_bell.valid());
        const auto left =
            detail::remaining(wait.until, sliced ? slice_without_bell_ns : std::numeric_limits<std::int64_t>::max());
        const bool endless = wait.until.is_never() && !sliced;
        const int n = ::ppoll(watched, 3, endless ? nullptr : &left, nullptr);
        const int os_error = errno;
        if (counted && object.fd_.load() < 0) return fail(errc::stopped, operation, 0, about);
        if (n < 0 && os_error != EINTR) return detail::fail_os("ppoll", os_error, about);
        if (n < 0 && wait.signal == on_signal::report) return fail(errc::stopped, operation, EINTR, about);
        if (n > 0 && (watched[0].revents & POLLNVAL) != 0) return fail(errc::invalid, operation, EBADF, about);
        if (n > 0 && watched[0].revents != 0) return watched[0].revents;
        if (wait.stop_requested()) return fail(errc::stopped, operation, 0, about);
        if (detail::expired(wait.until)) return fail(detail::expiry_code(wait.until), operation, 0, about);
    }
}

}  // namespace kith::inline KITH_ABI
