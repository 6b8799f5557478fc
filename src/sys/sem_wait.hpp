// sem_wait - waiting on a sem_t until a deadline, a stop request or whatever else the caller looks at.
#pragma once
#include <semaphore.h>
#include <cerrno>
#include <utility>

#include "base/clock.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"

namespace kith::inline KITH_ABI::detail {

inline constexpr std::int64_t wait_slice_ns = 20'000'000;

/// The end of the next slice of a wait, or of the wait itself, as an absolute time of CLOCK_MONOTONIC.
[[nodiscard]] inline timespec slice_end(deadline until, bool sliced) noexcept {
    if (sliced) until = deadline::earlier(until, deadline::in(std::chrono::nanoseconds{wait_slice_ns}));
    return to_timespec(until.monotonic_ns());
}

/// sem_clockwait(3) until it succeeds or the wait ends. With `sliced` it also looks at `ended()` every 20 ms.
template <class Ended>
[[nodiscard]] result<void> wait_on_semaphore(sem_t* sem, bool sliced, const wait_policy& wait, object_ref about,
                                             Ended ended) noexcept {
    constexpr auto operation = "sem_clockwait";
    for (bool told = false;;) {
        int os_error = 0;
        if (wait.until.is_never() && !sliced) {
            if (::sem_wait(sem) != 0) os_error = errno;
        } else {
            const auto until = slice_end(wait.until, sliced);
            if (::sem_clockwait(sem, CLOCK_MONOTONIC, &until) != 0) os_error = errno;
        }
        if (os_error == 0) return {};
        if (ended()) return fail(errc::stopped, operation, 0, about);
        if (os_error == EINTR) {
            if (wait.signal == on_signal::report) return fail(errc::stopped, operation, EINTR, about);
        } else if (os_error != ETIMEDOUT) {
            return fail_os(operation, os_error, about);
        } else if (expired(wait.until)) {
            return fail(errc::timed_out, operation, ETIMEDOUT, about);
        } else if (!std::exchange(told, true)) {
            notify(event_kind::polling, operation, about);
        }
        if (wait.stop_requested()) return fail(errc::stopped, operation, 0, about);
    }
}

}  // namespace kith::inline KITH_ABI::detail
