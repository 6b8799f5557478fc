// kith/time.hpp - deadlines on the monotonic clock, and how a call may wait.
//
// A deadline is a point in time, so it can be handed down through several calls and interrupted waits
// without growing. The clock is CLOCK_MONOTONIC: setting the wall clock changes nothing. It is the same in a forked
// child and after exec, but not on another machine or after a boot.
// Values: distinct objects from any threads, also in signal handlers (clock_gettime(2)). Nothing here waits.
#pragma once
#include <chrono>
#include <cstdint>
#include <limits>
#include <stop_token>

#include <kith/version.hpp>

namespace kith::inline KITH_ABI {

/// The moment until which a call may wait. A value of 8 bytes.
class deadline {
public:
    using clock = std::chrono::steady_clock;  ///< CLOCK_MONOTONIC in libstdc++

    /// Waits without end.
    [[nodiscard]] static constexpr deadline never() noexcept { return deadline{never_ns}; }
    /// Does not wait at all: what cannot be done at once is `errc::would_block`.
    [[nodiscard]] static constexpr deadline immediate() noexcept { return deadline{immediate_ns}; }
    /// Waits until `when`; expiry is `errc::timed_out`. One in the past still succeeds where nothing has to be waited
    /// for.
    [[nodiscard]] static constexpr deadline at(clock::time_point when) noexcept {
        return deadline{clamp(std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count())};
    }
    /// Waits for `span` from now; a span too long for the clock is `never()`, one far below zero (or no number) the
    /// past.
    template <class Rep, class Period>
    [[nodiscard]] static deadline in(std::chrono::duration<Rep, Period> span) noexcept {
        using seconds = std::chrono::duration<double>;
        const double length = std::chrono::duration_cast<seconds>(span).count();
        if (length > 9.0e9) return never();
        if (!(length > -9.0e9)) return deadline{0};
        const auto now = clock::now().time_since_epoch();
        const auto then = std::chrono::duration_cast<std::chrono::nanoseconds>(now) +
                          std::chrono::ceil<std::chrono::nanoseconds>(span);
        return deadline{clamp(then.count())};
    }

    [[nodiscard]] constexpr bool is_never() const noexcept { return ns_ == never_ns; }
    [[nodiscard]] constexpr bool is_immediate() const noexcept { return ns_ == immediate_ns; }
    /// Nanoseconds left; 0 once it has passed and for `immediate()`, the maximum for `never()`.
    [[nodiscard]] std::int64_t remaining_ns() const noexcept {
        if (is_never()) return never_ns;
        if (is_immediate()) return 0;
        const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now().time_since_epoch()).count();
        return ns_ > now ? ns_ - now : 0;
    }
    /// The point in nanoseconds of CLOCK_MONOTONIC; meaningless for `never()` and `immediate()`.
    [[nodiscard]] constexpr std::int64_t monotonic_ns() const noexcept { return ns_; }
    /// The earlier of two.
    [[nodiscard]] static constexpr deadline earlier(deadline a, deadline b) noexcept { return a.ns_ < b.ns_ ? a : b; }
    friend constexpr bool operator==(deadline, deadline) = default;

private:
    static constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();
    static constexpr std::int64_t immediate_ns = std::numeric_limits<std::int64_t>::min();
    static constexpr std::int64_t clamp(std::int64_t ns) noexcept { return ns < 0 ? 0 : ns; }
    constexpr explicit deadline(std::int64_t ns) noexcept : ns_{ns} {}
    std::int64_t ns_;
};

/// What a wait does when a signal handler ran.
enum class on_signal : std::uint8_t {
    retry,   ///< go on waiting for what is left of the time
    report,  ///< return `errc::stopped` with EINTR
};

/// How a call may wait: until when, until which stop request, and what a signal means. Converts from a
/// deadline, so `read_some(buffer, deadline::in(1s))` and `read_some(buffer, {deadline::in(1s), token})` both work.
struct wait_policy {
    constexpr wait_policy() noexcept = default;
    constexpr wait_policy(deadline until_) noexcept : until{until_} {}  // NOLINT(google-explicit-constructor)
    constexpr wait_policy(deadline until_, const std::stop_token& stop_, on_signal signal_ = on_signal::retry) noexcept
        : until{until_}, stop{&stop_}, signal{signal_} {}
    constexpr wait_policy(deadline until_, on_signal signal_) noexcept : until{until_}, signal{signal_} {}

    [[nodiscard]] bool stop_requested() const noexcept { return stop != nullptr && stop->stop_requested(); }

    deadline until = deadline::never();
    const std::stop_token* stop = nullptr;  ///< borrowed for the duration of the call
    on_signal signal = on_signal::retry;
};

}  // namespace kith::inline KITH_ABI
