// kith/sys/futex.hpp - sleeping until a word in shared memory changes, as futex(2) gives it.
//
// The bottom of every lock and every wake-up between processes: while nothing has to wait, no system call is made.
// The word is an aligned std::atomic<std::uint32_t> in memory that the processes share; each may have mapped it
// elsewhere. Change the word first, then wake: a wake without a change can be missed by a waiter that came too late.
//
// Every wait may end for no reason at all; callers look at the word again and decide.
// Waiting: absolute deadlines on CLOCK_MONOTONIC (FUTEX_WAIT_BITSET); setting the wall clock changes nothing. Waits
// on several words and waits with a stop token use futex_waitv(2), Linux 5.16, found out by trying. Where it is
// missing (event `fallback_taken`) kith looks at the words every 2 ms, and at a stop token every 20 ms (event
// `polling`).
// Thread safety: all calls from any threads; the memory must stay mapped during them. Nothing is allocated.
// Signal handlers: wake is safe. Fork: no state. Crash: the kernel forgets a waiter that dies; the word stays as it
// was, so a protocol built on it must say what a dead process leaves behind (kith/sys/robust_mutex.hpp does).
#pragma once
#include <atomic>
#include <climits>
#include <cstdint>
#include <span>

#include <kith/result.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::sys {

static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4);

/// The most words one call can wait on.
inline constexpr std::size_t futex_max_words = 127;

/// Why a wait on a word ended.
enum class futex_end : std::uint8_t {
    changed,  ///< the word was not `expected`
    woken,    ///< slept, and was woken; perhaps by nobody
};

/// Sleeps while `word` is `expected`, until woken. Errors: `would_block`, `timed_out`, `stopped`, `io` (EFAULT: not
/// mapped). futex(2), FUTEX_WAIT_BITSET.
[[nodiscard]] KITH_EXPORT result<futex_end> futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                                                       const wait_policy& wait = {}) noexcept;

/// Wakes up to `count` waiters on `word`, in any process, and returns how many there were. Errors: `io`.
/// futex(2), FUTEX_WAKE.
[[nodiscard]] KITH_EXPORT result<int> futex_wake(const std::atomic<std::uint32_t>& word, int count = 1) noexcept;

/// Wakes all waiters on `word`. Errors: as futex_wake.
[[nodiscard]] inline result<int> futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
    return futex_wake(word, INT_MAX);
}

/// One of several words, and what it must be to sleep.
struct futex_word {
    const std::atomic<std::uint32_t>* word;
    std::uint32_t expected;
};

/// How a wait on several words ended.
struct futex_any {
    std::size_t index;  ///< which word; where several changed, one of them
    futex_end end;
};

/// Sleeps while each of `words` (1 to 127) has its expected value, until one is woken. In the fallback a wake that
/// changes no word goes unseen. Errors: as futex_wait(); `invalid` also for no words or too many. futex_waitv(2).
[[nodiscard]] KITH_EXPORT result<futex_any> futex_wait_any(std::span<const futex_word> words,
                                                           const wait_policy& wait = {}) noexcept;

}  // namespace kith::inline KITH_ABI::sys
