// kith/sys/robust_mutex.hpp - a lock in shared memory that tells its next holder when the last one died.
//
// A killed holder of a POSIX semaphore never gives back, and undo of a System V semaphore restores a number without
// a word about the data. This lock (a robust process-shared mutex, pthread_mutexattr_setrobust(3)) is passed on with
// the news `owner_died`: look at the data, repair them, call mark_consistent(), go on.
//
// It belongs to a thread: only the thread that locked it unlocks it, and the end of that thread while it holds the
// lock counts as a death. A forked child does not hold what its parent holds. Keep the memory mapped while a thread
// holds it.
// Waiting: pthread_mutex_clocklock(3) on CLOCK_MONOTONIC; setting the wall clock changes nothing. With a stop token
// in slices of 20 ms (event `polling`). The C library's wait goes on when a signal handler has run: with
// `on_signal::report` kith looks again at intervals instead, up to 2 ms long (event `polling`), and a signal in one
// ends the call with `stopped`. Such a waiter has no place among those that wait in the kernel.
// Thread safety: all calls from any threads. There is nothing to close. Signal handlers: none of the calls.
// Crash: killed anywhere between lock() and unlock(), the next holder gets `owner_died`.
#pragma once
#include <pthread.h>

#include <kith/bytes.hpp>
#include <kith/result.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::sys {

/// What a lock says about what it guards.
enum class guarded_state : bool {
    consistent,
    owner_died,  ///< the last holder died while it held the lock: what it guards may be half changed
};

/// The lock. Made in place by create_at(), exactly a pthread_mutex_t, never copied or moved.
class robust_mutex {
public:
    robust_mutex(const robust_mutex&) = delete;
    robust_mutex& operator=(const robust_mutex&) = delete;

    /// Makes one at the beginning of `memory`; nobody may be using one there. Others may use it once they know that
    /// this has returned. Errors: `wrong_size` (memory below sizeof(robust_mutex)), `invalid` (not aligned),
    /// `out_of_memory`.
    [[nodiscard]] KITH_EXPORT static result<robust_mutex*> create_at(byte_span memory) noexcept;
    /// The one that create_at() made there, through this or another mapping. Errors: as create_at().
    [[nodiscard]] KITH_EXPORT static result<robust_mutex*> at(byte_span memory) noexcept;

    /// Locks it, waiting until it is free; the lock is held in both states. Errors: `would_block`, `timed_out`,
    /// `stopped`, `invalid` with EDEADLK (this thread holds it already), `bad_peer` with ENOTRECOVERABLE (somebody
    /// got `owner_died` and unlocked without mark_consistent(): make the object and its data anew), `limit_reached`.
    [[nodiscard]] KITH_EXPORT result<guarded_state> lock(const wait_policy& wait = {}) noexcept;
    /// Says that the holder, who got `owner_died`, has put the data right. Errors: `invalid` (it did not get that).
    [[nodiscard]] KITH_EXPORT result<void> mark_consistent() noexcept;
    /// Unlocks it. After `owner_died` without mark_consistent() it cannot be locked again, ever, by anyone.
    /// Errors: `not_permitted` (this thread does not hold it).
    [[nodiscard]] KITH_EXPORT result<void> unlock() noexcept;

    [[nodiscard]] pthread_mutex_t* native() noexcept { return &mutex_; }

private:
    robust_mutex() = default;
    ~robust_mutex() = default;
    pthread_mutex_t mutex_;
};
static_assert(sizeof(robust_mutex) == sizeof(pthread_mutex_t));

}  // namespace kith::inline KITH_ABI::sys
