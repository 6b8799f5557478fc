// backoff - the sleeps between two looks at something that the kernel has no timed wait for.
#pragma once
#include <atomic>
#include <optional>

#include <kith/result.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::detail {

/// One wait: look, and while there is nothing, pause() and look again. The first pauses are short (20 us), later ones
/// 2 ms. Tells the observer `polling` once. Holds no descriptor; a stop request ends a pause at once.
class backoff {
public:
    backoff(const wait_policy& wait, const char* operation, object_ref object) noexcept
        : wait_{wait}, operation_{operation}, object_{object} {}
    backoff(const backoff&) = delete;
    backoff& operator=(const backoff&) = delete;

    /// Sleeps until the next look is due, the deadline at the latest. `os_error` says what the last look found and is
    /// kept in the failure: `would_block`, `timed_out`, `stopped` (the token; with EINTR: a signal, if it is reported).
    [[nodiscard]] result<void> pause(int os_error) noexcept;

private:
    struct waker {
        std::atomic<std::uint32_t>* word;
        void operator()() const noexcept;
    };
    wait_policy wait_;
    const char* operation_;
    object_ref object_;
    std::int64_t next_ns_ = 0;
    std::atomic<std::uint32_t> stopped_{0};             // futex word
    std::optional<std::stop_callback<waker>> on_stop_;  // last: gone before the word
};

}  // namespace kith::inline KITH_ABI::detail
