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

/// Calls `attempt(fd)`, a system call that returns a count or -1 with errno, until it does not report
/// EAGAIN, waiting for `events` in between. `code_of(errno)` names the failure, `value_of(count)` makes what is
/// returned. On a descriptor in blocking mode the wait comes first, so that the attempt does not wait without a
/// deadline. Once it has waited, close() in another thread ends the call with `stopped`, and does not close under an
/// attempt.
template <zero Zero = zero::is_a_count, class Attempt, class CodeOf, class ValueOf>
[[nodiscard]] auto transfer_as(const io_fd& object, short events, const wait_policy& wait, const char* operation,
                               Attempt attempt, CodeOf code_of, ValueOf value_of) noexcept {
    using value = decltype(value_of(std::size_t{}));
    const bool blocking = object.mode() == fd_mode::blocking;
    bool wait_first = blocking;
    bool begun = false;  // an attempt found nothing, or a wait ended well
    std::optional<stay> here;
    for (;;) {
        if (wait_first) [[unlikely]] {
            // Not in blocking mode: an attempt might wait in the kernel, and close() with it.
            if (!here && !blocking && object.is_open()) here.emplace(object);
            const auto ready =
                here ? here->wait_for(events, wait, operation) : object.wait_for(events, wait, operation);
            if (!ready && (object.is_open() || !begun)) return result<value>{std::unexpect, ready.error()};
            begun = true;
        }
        const int fd = object.native().get();
        if (begun && fd < 0) [[unlikely]]
            return failed<value>(errc::stopped, operation, 0, fd);
        const auto n = attempt(fd);
        if (n > 0 || (n == 0 && Zero == zero::is_a_count)) [[likely]] {
            if constexpr (std::is_void_v<value>)
                return value_of(static_cast<std::size_t>(n)), result<value>{};
            else
                return result<value>{value_of(static_cast<std::size_t>(n))};
        }
        if (n == 0) return failed<value>(errc::end_of_stream, operation, 0, fd);
        const int os_error = errno;
        if (os_error == EINTR && wait.signal == on_signal::retry && !wait.stop_requested()) continue;
        if (os_error != EAGAIN) return failed<value>(code_of(os_error), operation, os_error, fd);
        if (wait.until.is_immediate()) return failed<value>(errc::would_block, operation, EAGAIN, fd);
        wait_first = true;
        begun = true;
    }
}

/// The same, and what is returned is the count.
template <zero Zero = zero::is_a_count, class Attempt, class CodeOf>
[[nodiscard]] result<std::size_t> transfer(const io_fd& object, short events, const wait_policy& wait,
                                           const char* operation, Attempt attempt, CodeOf code_of) noexcept {
    return transfer_as<Zero>(object, events, wait, operation, attempt, code_of,
                             [](std::size_t count) { return count; });
}
template <zero Zero = zero::is_a_count, class Attempt>
[[nodiscard]] result<std::size_t> transfer(const io_fd& object, short events, const wait_policy& wait,
                                           const char* operation, Attempt attempt) noexcept {
    return transfer<Zero>(object, events, wait, operation, attempt, code_for);
}

}  // namespace kith::inline KITH_ABI::detail
