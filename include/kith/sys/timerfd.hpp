// kith/sys/timerfd.hpp - a timer on the monotonic clock behind a descriptor, once or periodic.
//
// Setting the wall clock changes nothing. Expirations that nobody took are counted, not queued: `take` returns
// how many there were, so a reader that was late knows it (timerfd_create(2)).
// Thread, fork and close rules: kith/io_fd.hpp; forked children share the timer and its count. Signal handlers: no.
// Crash: an expiration taken by a process that then dies is lost for those that share the timer.
// Outlives the processes: no; gone with the last descriptor.
#pragma once
#include <chrono>
#include <cstdint>

#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::sys {

/// The timer.
class timer_fd : public io_fd {
public:
    using io_fd::io_fd;
    explicit timer_fd(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Expires at `first`, then every `period` (0: never again); what was set before, and expirations not yet
    /// taken, are forgotten. A moment in the past, or deadline::immediate(), expires at once, and a period counts
    /// from that moment; deadline::never() disarms. Errors: `invalid` (negative period, or no timer).
    [[nodiscard]] KITH_EXPORT result<void> arm(deadline first, std::chrono::nanoseconds period = {}) noexcept;
    /// Stops the timer. Errors: `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> disarm() noexcept { return arm(deadline::never()); }

    /// Waits for the next expiration and returns how many there were since the last take or arm: 1, or more
    /// where the reader was late. Errors: `would_block` (none yet), `timed_out`, `stopped`, `io`.
    [[nodiscard]] KITH_EXPORT result<std::uint64_t> take(const wait_policy& wait = {}) noexcept;

    /// The time until the next expiration; 0 while disarmed. Errors: `invalid`.
    [[nodiscard]] KITH_EXPORT result<std::chrono::nanoseconds> remaining() const noexcept;
};

/// Makes a timer, disarmed; close-on-exec. Errors: `limit_reached`, `out_of_memory`.
[[nodiscard]] KITH_EXPORT result<timer_fd> open_timerfd() noexcept;

}  // namespace kith::inline KITH_ABI::sys
