// kith/compose/scoped_lock.hpp - a lock between processes that is given back at the end of a scope.
//
// Over a semaphore of a System V set, a POSIX semaphore, or a robust mutex. The convention is written down in
// docs/formats/scoped_lock.md, for programs that do not use kith: a semaphore with the value 1 is free, 0 is taken.
//
//     auto held = kith::compose::lock(set, 0, deadline::in(1s));
//     if (!held) return held.error();
//     ... the guarded work ...
//     if (auto given_back = held->unlock(); !given_back) ...
//
// What happens if the holder is killed decides which one to take:
//   System V   the kernel gives the lock back (undo); the next holder does not learn that the last one died
//   POSIX      the lock is never given back: only where holders are not killed, or everybody is restarted together
//   robust     the next holder gets it and is told: owner_died() is true, and it repairs and says mark_consistent()
//
// Thread safety: a guard is one thread's; distinct guards from any threads. A lock is not recursive: locking it twice
// waits for itself (a robust mutex: `invalid`). Fork: the child does not hold the parent's lock; its copy of the guard
// gives nothing back, and unlock() there is `forked`. Exec: a System V lock stays held by the process, to its end.
// What the guard was made from must outlive it. Signal handlers: no. Nothing is allocated.
#pragma once
#include <sys/types.h>
#include <utility>

#include <kith/sys/posix_sem.hpp>
#include <kith/sys/robust_mutex.hpp>
#include <kith/sys/sysv_sem.hpp>

namespace kith::inline KITH_ABI::compose {

/// A lock that is held. Move-only; the destructor gives it back and cannot say whether that worked: unlock() can.
class [[nodiscard]] scoped_lock {
public:
    KITH_EXPORT scoped_lock(scoped_lock&& other) noexcept;
    KITH_EXPORT scoped_lock& operator=(scoped_lock&& other) noexcept;
    scoped_lock(const scoped_lock&) = delete;
    scoped_lock& operator=(const scoped_lock&) = delete;
    KITH_EXPORT ~scoped_lock();

    /// Gives the lock back now. Errors: what the lock's own post() or unlock() has (`removed`: the set is gone and the
    /// lock with it); `forked`; `invalid` (not held any more). After a failure nothing is held either.
    [[nodiscard]] KITH_EXPORT result<void> unlock() noexcept;
    [[nodiscard]] bool is_held() const noexcept { return what_ != kind::none; }

    /// Whether the last holder died with the lock (robust mutex only): what it guards may be half changed.
    [[nodiscard]] bool owner_died() const noexcept { return owner_died_; }
    /// Says that the data are right again. Without it the unlocking makes the lock unusable for ever.
    /// Errors: `invalid` (not owner_died(), or not held).
    [[nodiscard]] KITH_EXPORT result<void> mark_consistent() noexcept;

private:
    enum class kind : unsigned char { none, sysv, named, unnamed, robust };
    union place {
        sys::sysv_sem set;
        const sys::posix_sem* named;
        sys::unnamed_sem* unnamed;
        sys::robust_mutex* robust;
        constexpr place() noexcept : named{nullptr} {}
    };
    scoped_lock() noexcept;
    void forget() noexcept { what_ = kind::none; }

    friend result<scoped_lock> lock(sys::sysv_sem set, std::uint16_t number, const wait_policy& wait) noexcept;
    friend result<scoped_lock> lock(const sys::posix_sem& semaphore, const wait_policy& wait) noexcept;
    friend result<scoped_lock> lock(sys::unnamed_sem& semaphore, const wait_policy& wait) noexcept;
    friend result<scoped_lock> lock(sys::robust_mutex& mutex, const wait_policy& wait) noexcept;

    place where_;
    pid_t holder_;
    std::uint16_t number_ = 0;
    kind what_ = kind::none;
    bool owner_died_ = false;
};

/// Takes one from semaphore `number` of the set, with undo: the kernel gives it back if this process dies.
/// Errors: as sys::sysv_sem::wait.
[[nodiscard]] KITH_EXPORT result<scoped_lock> lock(sys::sysv_sem set, std::uint16_t number,
                                                   const wait_policy& wait = {}) noexcept;
/// Takes one from a POSIX semaphore. If this process is killed while it holds the lock, nobody gets it again.
/// Errors: as sys::posix_sem::wait.
[[nodiscard]] KITH_EXPORT result<scoped_lock> lock(const sys::posix_sem& semaphore,
                                                   const wait_policy& wait = {}) noexcept;
[[nodiscard]] KITH_EXPORT result<scoped_lock> lock(sys::unnamed_sem& semaphore, const wait_policy& wait = {}) noexcept;
/// Locks a robust mutex; look at owner_died(). The guard stays with this thread. Errors: as sys::robust_mutex::lock.
[[nodiscard]] KITH_EXPORT result<scoped_lock> lock(sys::robust_mutex& mutex, const wait_policy& wait = {}) noexcept;

}  // namespace kith::inline KITH_ABI::compose
