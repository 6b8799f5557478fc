// kith/sys/eventfd.hpp - a 64-bit counter behind a descriptor: the smallest thing that wakes another process.
//
// It counts, it does not queue: two additions before one look are one, larger, number (eventfd(2)). It works
// in poll sets (kith/sys/poll.hpp) beside objects that have no descriptor of their own.
// Thread, fork and close rules: kith/io_fd.hpp; forked children share the counter. Signal handlers: `add` with
// deadline::immediate() is async-signal-safe. Crash: a number is added or taken whole or not at all.
// Outlives the processes: no; gone with the last descriptor.
#pragma once
#include <cstdint>

#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::sys {

/// What a look at the counter takes away.
enum class eventfd_mode : bool {
    all,         ///< the whole number
    one_by_one,  ///< 1 per look (EFD_SEMAPHORE): a semaphore with a descriptor
};

/// The counter.
class event_fd : public io_fd {
public:
    /// The largest number the counter can hold, 2^64 - 2.
    static constexpr std::uint64_t largest = 0xffff'ffff'ffff'fffeU;

    using io_fd::io_fd;
    explicit event_fd(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Waits until the counter is not 0, then takes it, or 1 of it (`eventfd_mode`), and returns what it took.
    /// Errors: `would_block` (it is 0), `timed_out`, `stopped`, `invalid` (no eventfd), `io`.
    [[nodiscard]] KITH_EXPORT result<std::uint64_t> take(const wait_policy& wait = {}) noexcept;

    /// Adds `number`, waiting until it fits below 2^64 - 1; 0 is legal and changes nothing. The kernel tells only
    /// when there is room for 1: for larger numbers that do not fit kith looks again at intervals of at most 2 ms
    /// (event `polling`). A descriptor adopted in blocking mode is written to only when the room is there for 1;
    /// for more than that the kernel then waits without a deadline.
    /// Errors: `invalid` (2^64 - 1, or no eventfd), `would_block`, `timed_out`, `stopped`, `io`.
    [[nodiscard]] KITH_EXPORT result<void> add(std::uint64_t number, const wait_policy& wait = {}) noexcept;
};

/// Makes a counter that starts at `initial`; close-on-exec. Errors: `limit_reached`, `out_of_memory`.
[[nodiscard]] KITH_EXPORT result<event_fd> open_eventfd(std::uint32_t initial = 0,
                                                        eventfd_mode mode = eventfd_mode::all) noexcept;

}  // namespace kith::inline KITH_ABI::sys
