// transfer - one attempt after another, with waits in between: the shape of every read and write.
#pragma once
#include <poll.h>
#include <cerrno>
#include <optional>

#include <kith/io_fd.hpp>

#include "base/errors.hpp"
#include "base/stay.hpp"

namespace kith::inline KITH_ABI::detail {

/// What an attempt that moved nothing means.
enum class zero : bool {
    is_a_count,
    is_the_end,  ///< `end_of_stream`
};

/// What there is to do when the first attempt was not all: an errno to judge, a wait and another attempt. Out of line,
/// so that an attempt that succeeds at once costs no more than it must. `n` and errno are what the attempt on `fd`
/// gave; a descriptor in blocking mode has seen none yet.
template <zero Zero, class Value, class Attempt, class CodeOf, class ValueOf>
[[nodiscard, gnu::noinline]] result<Value> transfer_on(ssize_t n, int fd, const io_fd& object, short events,
                                                       const wait_policy& wait, const char* operation,
                                                       const Attempt& attempt, CodeOf code_of,
                                                       ValueOf value_of) noexcept {
    const bool blocking = object.mode() == fd_mode::blocking;
    bool attempted = !blocking;
    bool begun = false;  // an attempt found nothing, or a wait ended well
    std::optional<stay> here;
    for (;;) {
        if (attempted) {
            if (n > 0 || (n == 0 && Zero == zero::is_a_count)) {
                if constexpr (std::is_void_v<Value>)
                    return value_of(static_cast<std::size_t>(n)), result<Value>{};
                else
                    return result<Value>{value_of(static_cast<std::size_t>(n))};
            }
            if (n == 0) return failed<Value>(errc::end_of_stream, operation, 0, fd);
            const int os_error = errno;
            const bool again = os_error == EINTR && wait.signal == on_signal::retry && !wait.stop_requested();
            if (!again && os_error != EAGAIN) return failed<Value>(code_of(os_error), operation, os_error, fd);
            if (!again && wait.until.is_immediate()) return failed<Value>(errc::would_block, operation, EAGAIN, fd);
            attempted = again;
            begun |= !again;
        }
        if (!attempted || blocking) {
            // Not in blocking mode: an attempt might wait in the kernel, and close() with it.
            if (!here && !blocking && object.is_open()) here.emplace(object);
            const auto ready =
                here ? here->wait_for(events, wait, operation) : object.wait_for(events, wait, operation);
            if (!ready && (object.is_open() || !begun)) return result<Value>{std::unexpect, ready.error()};
            begun = true;
        }
        fd = object.native().get();
        if (begun && fd < 0) return failed<Value>(errc::stopped, operation, 0, fd);
        n = attempt(fd);
        attempted = true;
    }
}

/// Calls `attempt(fd)`, a system call that returns a count or -1 with errno, until it does not report
/// EAGAIN, waiting for `events` in between. `code_of(errno)` names the failure, `value_of(count)` makes what is
/// returned. On a descriptor in blocking mode the wait comes first, so that the attempt does not wait without a
/// deadline. Once it has waited, close() in another thread ends the call with `stopped`, and does not close under an
/// attempt.
template <zero Zero = zero::is_a_count, class Attempt, class CodeOf, class ValueOf>
[[nodiscard, gnu::always_inline]] inline auto transfer_as(const io_fd& object, short events, const wait_policy& wait,
                                                          const char* operation, const Attempt& attempt, CodeOf code_of,
                                                          ValueOf value_of) noexcept {
    using value = decltype(value_of(std::size_t{}));
    const int fd = object.native().get();
    ssize_t n = -1;
    if (object.mode() == fd_mode::nonblocking) [[likely]] {
        n = attempt(fd);
        if (n > 0) [[likely]] {
            if constexpr (std::is_void_v<value>)
                return value_of(static_cast<std::size_t>(n)), result<value>{};
            else
                return result<value>{value_of(static_cast<std::size_t>(n))};
        }
    }
    return transfer_on<Zero, value>(n, fd, object, events, wait, operation, attempt, code_of, value_of);
}

/// The same, and what is returned is the count.
template <zero Zero = zero::is_a_count, class Attempt, class CodeOf>
[[nodiscard, gnu::always_inline]] inline result<std::size_t> transfer(const io_fd& object, short events,
                                                                      const wait_policy& wait, const char* operation,
                                                                      const Attempt& attempt, CodeOf code_of) noexcept {
    return transfer_as<Zero>(object, events, wait, operation, attempt, code_of,
                             [](std::size_t count) { return count; });
}
template <zero Zero = zero::is_a_count, class Attempt>
[[nodiscard, gnu::always_inline]] inline result<std::size_t> transfer(const io_fd& object, short events,
                                                                      const wait_policy& wait, const char* operation,
                                                                      const Attempt& attempt) noexcept {
    return transfer<Zero>(object, events, wait, operation, attempt, code_for);
}

/// Calls `some(done)`, which moves what lies behind the first `done` bytes, until all `size` bytes have been moved;
/// `done` counts them, also where it fails.
template <class Some>
[[nodiscard]] result<void> transfer_full(std::size_t size, std::size_t& done, const Some& some) noexcept {
    while (done < size) {
        const auto count = some(done);
        if (!count) return fail(count.error());
        done += *count;
    }
    return {};
}

}  // namespace kith::inline KITH_ABI::detail
