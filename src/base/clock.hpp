// clock - deadlines in the forms that system calls take.
#pragma once
#include <ctime>

#include <kith/error.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::detail {

[[nodiscard]] constexpr timespec to_timespec(std::int64_t ns) noexcept {
    return {.tv_sec = static_cast<time_t>(ns / 1'000'000'000), .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
}

/// The time left, at most `slice_ns`, for calls with a relative time-out; recomputed after every interruption.
[[nodiscard]] inline timespec remaining(deadline until,
                                        std::int64_t slice_ns = std::numeric_limits<std::int64_t>::max()) noexcept {
    const auto left = until.remaining_ns();
    return to_timespec(left < slice_ns ? left : slice_ns);
}

/// Whether a wait that found nothing must end now, and with which code.
[[nodiscard]] inline bool expired(deadline until) noexcept { return !until.is_never() && until.remaining_ns() == 0; }
[[nodiscard]] inline errc expiry_code(deadline until) noexcept {
    return until.is_immediate() ? errc::would_block : errc::timed_out;
}

}  // namespace kith::inline KITH_ABI::detail
