// kith/sys/posix_sem.hpp - POSIX semaphores, named and in shared memory, as sem_overview(7) describes them.
//
// A counter that processes post (V) and wait for (P), one at a time; without contention no system call is made.
// `posix_sem` is reached by a name and lives in /dev/shm/sem.NAME until it is unlinked; `unnamed_sem` lies in
// shared memory of the caller's. The same verbs serve System V sets (kith/sys/sysv_sem.hpp).
//
// When to use it: counting or waking between processes, fast. Its weak side: it has no owner. A process that is
// killed between wait() and post() never gives back, and nobody can tell. Use undo of System V semaphores, or
// kith/sys/robust_mutex.hpp, where holders may die. No descriptor to poll, and no fairness.
//
// Waiting: sem_clockwait(3) on CLOCK_MONOTONIC; setting the wall clock changes nothing. A wait on a posix_sem is
// cut in slices of 20 ms, so that close() by another thread can end it, and so is one with a stop token: a sleeping
// waiter costs 50 wake-ups a second. A wait on an unnamed_sem without stop token sleeps undisturbed.
// Thread safety: all const calls and post() from any threads; close() beside waits: it ends each with `stopped` and
// returns when the last waiter has left. A call that has not begun to wait is not protected from close().
// Moving needs exclusive access. Fork: the child's object names the same semaphore. Exec: closed.
// Signal handlers: post() is safe, nothing else. Crash: killed inside a call, it happened or it did not.
#pragma once
#include <semaphore.h>
#include <sys/types.h>
#include <atomic>
#include <climits>
#include <cstddef>
#include <string_view>

#include <kith/bytes.hpp>
#include <kith/result.hpp>
#include <kith/sys/creation.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::sys {

/// The largest value of a POSIX semaphore (SEM_VALUE_MAX).
inline constexpr unsigned posix_sem_max_value = INT_MAX;
/// The longest name, in bytes, not counting the leading slash.
inline constexpr std::size_t posix_sem_max_name = 251;

/// How a named semaphore is opened or made.
struct posix_sem_options {
    creation create = creation::must_exist;
    unsigned value = 0;    ///< first value of a new one; a found one keeps its own
    unsigned mode = 0600;  ///< rights of a new one, less the umask; who uses it needs to read and to write
};

/// A named semaphore. Move-only; closing it leaves the semaphore as it is.
class posix_sem {
public:
    /// Opens or makes the semaphore `name`: up to 251 bytes, with or without a slash in front, none inside. Making is
    /// atomic: nobody sees it without its value. Allocates (sem_open(3) keeps a table of what is open).
    /// Errors: `not_found`, `exists`, `not_permitted`, `too_long`, `invalid` (name, or a value above
    /// `posix_sem_max_value`), `wrong_size`, `wrong_kind` (what has that name is no semaphore), `limit_reached`
    /// (descriptors), `no_space` (/dev/shm is full), `out_of_memory`. sem_open(3).
    [[nodiscard]] KITH_EXPORT static result<posix_sem> open(std::string_view name,
                                                            const posix_sem_options& options = {}) noexcept;

    posix_sem() noexcept = default;
    /// Takes over what sem_open(3) returned.
    explicit posix_sem(sem_t* opened) noexcept : sem_{opened} {}
    KITH_EXPORT posix_sem(posix_sem&& other) noexcept;
    KITH_EXPORT posix_sem& operator=(posix_sem&& other) noexcept;
    posix_sem(const posix_sem&) = delete;
    posix_sem& operator=(const posix_sem&) = delete;
    ~posix_sem() { close(); }

    /// Takes one, waiting until there is one. Errors: `would_block`, `timed_out`, `stopped` (stop token, close(),
    /// reported signal), `invalid` (closed). sem_clockwait(3).
    [[nodiscard]] KITH_EXPORT result<void> wait(const wait_policy& wait = {}) const noexcept;
    /// Adds one; never waits. Errors: `invalid` with EOVERFLOW at `posix_sem_max_value`. sem_post(3).
    [[nodiscard]] KITH_EXPORT result<void> post() const noexcept;
    /// The value, never negative; stale on return. Errors: `invalid` (closed). sem_getvalue(3).
    [[nodiscard]] KITH_EXPORT result<int> value() const noexcept;

    /// Ends this object's use of the semaphore; threads that wait through it return `stopped`. Idempotent.
    KITH_EXPORT void close() noexcept;
    [[nodiscard]] bool is_open() const noexcept { return native() != nullptr; }
    /// The semaphore itself. Within a process all objects of one name share it; each counts as one opening.
    [[nodiscard]] sem_t* native() const noexcept { return sem_.load(std::memory_order_relaxed); }

private:
    class waiting;
    std::atomic<sem_t*> sem_{nullptr};
    mutable std::atomic<int> waiters_{0};
    mutable std::atomic<pid_t> waiters_pid_{0};  // whose waiters: a forked child starts with none
};

/// Removes the name; who has the semaphore open goes on with it. Errors: `not_found`, `not_permitted`, `too_long`,
/// `invalid`. sem_unlink(3).
[[nodiscard]] KITH_EXPORT result<void> unlink_posix_sem(std::string_view name) noexcept;

/// A semaphore in shared memory of the caller's: exactly a sem_t, so a C program can use the same place. Made in
/// place by create_at(), never copied or moved. Threads, signals, crash: as posix_sem.
class unnamed_sem {
public:
    unnamed_sem(const unnamed_sem&) = delete;
    unnamed_sem& operator=(const unnamed_sem&) = delete;

    /// Makes one at the beginning of `memory`, shared between processes; nobody may be using one there. Others may
    /// use it once they know that this has returned. Errors: `wrong_size` (memory below sizeof(unnamed_sem)),
    /// `invalid` (not aligned; value above `posix_sem_max_value`). sem_init(3).
    [[nodiscard]] KITH_EXPORT static result<unnamed_sem*> create_at(byte_span memory, unsigned value) noexcept;
    /// The one that create_at() made there, through this or another mapping. Errors: as create_at().
    [[nodiscard]] KITH_EXPORT static result<unnamed_sem*> at(byte_span memory) noexcept;
    /// Ends it (sem_destroy(3)); nobody may be waiting, which only the caller can know. Dropping the memory
    /// without it is fine too.
    KITH_EXPORT void destroy() noexcept;

    /// As posix_sem, except that there is no close().
    [[nodiscard]] KITH_EXPORT result<void> wait(const wait_policy& wait = {}) noexcept;
    [[nodiscard]] KITH_EXPORT result<void> post() noexcept;
    [[nodiscard]] KITH_EXPORT result<int> value() noexcept;
    [[nodiscard]] sem_t* native() noexcept { return &sem_; }

private:
    unnamed_sem() = default;
    ~unnamed_sem() = default;
    sem_t sem_;
};
static_assert(sizeof(unnamed_sem) == sizeof(sem_t));

}  // namespace kith::inline KITH_ABI::sys
