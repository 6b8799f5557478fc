#include "base/backoff.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

#include "base/clock.hpp"
#include "base/observer.hpp"

namespace kith::inline KITH_ABI::detail {
namespace {
constexpr std::int64_t first_ns = 20'000;
constexpr std::int64_t longest_ns = 2'000'000;
}  // namespace

void backoff::waker::operator()() const noexcept {
    word->store(1);
    ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

result<void> backoff::pause(int os_error) noexcept {
    if (wait_.stop_requested()) return fail(errc::stopped, operation_, 0, object_);
    if (expired(wait_.until)) return fail(expiry_code(wait_.until), operation_, os_error, object_);
    if (next_ns_ == 0) {
        notify(event_kind::polling, operation_, object_, os_error);
        if (wait_.stop != nullptr && wait_.stop->stop_possible()) on_stop_.emplace(*wait_.stop, waker{&stopped_});
        next_ns_ = first_ns;
    }
    // A futex instead of a plain sleep, so that the stop request can end it. The wait is relative: CLOCK_MONOTONIC.
    const auto left = remaining(wait_.until, next_ns_);
    next_ns_ = std::min(next_ns_ * 2, longest_ns);
    const auto slept = ::syscall(SYS_futex, &stopped_, FUTEX_WAIT_PRIVATE, 0, &left, nullptr, 0);
    if (slept < 0 && errno == EINTR && wait_.signal == on_signal::report)
        return fail(errc::stopped, operation_, EINTR, object_);
    if (wait_.stop_requested()) return fail(errc::stopped, operation_, 0, object_);
    return {};
}

}  // namespace kith::inline KITH_ABI::detail
