#include "sys/socket_calls.hpp"

#include <poll.h>
#include <optional>

#include "base/clock.hpp"
#include "base/observer.hpp"
#include "base/stay.hpp"

namespace kith::inline KITH_ABI::detail {

using std::chrono::milliseconds;

result<owned_fd> open_socket(int domain, int type, int protocol) noexcept {
    owned_fd fd{::socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol)};
    if (!fd.valid()) return fail_os("socket", errno);
    return fd;
}

int connect_datagrams(borrowed_fd fd, const sockaddr* to, socklen_t size) noexcept {
    int status = 0;
    do status = ::connect(fd.get(), to, size);
    while (status != 0 && errno == EINTR);
    return status;
}

result<void> pause(const io_fd& object, std::chrono::nanoseconds span, const wait_policy& wait,
                   const char* operation) noexcept {
    if (wait.until.is_immediate())
        return fail(errc::would_block, operation, EAGAIN, object_ref::descriptor(object.native().get()));
    wait_policy slice = wait;
    slice.until = deadline::earlier(wait.until, deadline::in(span));
    const auto ended = stay{object}.wait_for(0, slice, operation);  // the call has begun: closed is `stopped`
    if (!ended && ended.error().code() != errc::timed_out) return fail(ended.error());
    // An error state ends the sleep early: the next attempt reports it, or the deadline does.
    if (expired(wait.until)) return fail(errc::timed_out, operation, 0, object_ref::descriptor(object.native().get()));
    return {};
}

namespace {

// The connection that was to be accepted is gone; the listener is well. accept(2), "Error handling".
bool only_that_client(int os_error) noexcept {
    switch (os_error) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN: return true;
    default: return false;
    }
}

bool out_of_something(int os_error) noexcept {
    return os_error == EMFILE || os_error == ENFILE || os_error == ENOBUFS || os_error == ENOMEM;
}

}  // namespace

result<owned_fd> accept_connection(const io_fd& listener, const wait_policy& wait) noexcept {
    constexpr int most_passed_over = 1000;  // in one call: more says that something is wrong with the listener
    int passed_over = 0;
    bool backed_off = false;
    // A descriptor in blocking mode could make accept4 wait without a deadline.
    const bool blocking = listener.mode() == fd_mode::blocking;
    bool wait_first = blocking;
    bool begun = false;
    std::optional<stay> here;  // as in transfer()
    for (;;) {
        if (wait_first) {
            if (!here && !blocking && listener.is_open()) here.emplace(listener);
            const auto ready =
                here ? here->wait_for(POLLIN, wait, "accept4") : listener.wait_for(POLLIN, wait, "accept4");
            if (!ready && (listener.is_open() || !begun)) return fail(ready.error());
            begun = true;
        }
        const int fd = listener.native().get();
        if (begun && fd < 0) return fail(errc::stopped, "accept4", 0, object_ref::descriptor(fd));
        owned_fd connection{::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (connection.valid()) return connection;
        const int os_error = errno;
        const auto about = object_ref::descriptor(fd);
        if (os_error == EAGAIN) {
            if (wait.until.is_immediate()) return fail(errc::would_block, "accept4", EAGAIN, about);
            wait_first = true;
            begun = true;
        } else if (only_that_client(os_error) && passed_over++ < most_passed_over) {
            notify(event_kind::retried, "accept4", about, os_error);
        } else if (os_error == EINTR && wait.signal == on_signal::retry && !wait.stop_requested()) {
            continue;
        } else if (out_of_something(os_error) && !backed_off && !wait.until.is_immediate()) {
            // The client stays in the queue and poll goes on saying so: a loop that came back at once would spin.
            backed_off = true;
            notify(event_kind::retried, "accept4", about, os_error);
            auto paused = pause(listener, milliseconds{50}, wait, "accept4");
            if (!paused && paused.error().code() != errc::timed_out) return fail(paused.error());
        } else {
            return fail_os("accept4", os_error, about);
        }
    }
}

}  // namespace kith::inline KITH_ABI::detail
