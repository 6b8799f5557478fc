// kith/compose/region_guard.hpp - a lock that also knows whether the memory it guards is in order.
//
// Two semaphores beside the memory, none of them in it: one is the lock, the other counts changes that have begun
// and not ended, so that a holder killed inside leaves a trace and its successor is told. The convention is written
// down in docs/formats/guarded_region.md; any program that uses semaphores can take part.
//
// sysv_region_guard: the lock comes back by itself when its holder is killed (SEM_UNDO), and the next one in gets
// `half_changed`. posix_region_guard: the kernel does not give the lock back. Everybody waits, until their deadlines,
// for a dead holder; who knows that it is dead says so with release_for_dead(), and the next one in gets
// `half_changed`.
//
// Waiting and signals: the semaphores' (kith/sys/sysv_sem.hpp, kith/sys/posix_sem.hpp). Thread safety: enter and
// leave from any threads; the lock belongs to the process, and what enter() returned must be given to leave() once.
// Fork: a child does not hold what its parent holds, and its copies of scopes and entries give nothing back. A process
// that exits inside leaves as one that is killed.
#pragma once
#include <sys/types.h>
#include <cstdint>
#include <string_view>
#include <utility>

#include <kith/result.hpp>
#include <kith/sys/creation.hpp>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/sysv_key.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::compose {

/// What a guard knows about the memory.
enum class contents : std::uint8_t {
    valid,          ///< the last change was completed
    never_written,  ///< nobody has completed a change yet: the memory reads as zeros, or is half written
    half_changed,   ///< a process died, or gave up, in the middle of a change
};

/// Why somebody wants in. Either way alone.
enum class entry_purpose : bool {
    reading,   ///< a death inside changes nothing
    changing,  ///< a death inside leaves `half_changed`
};

/// The lock as it is held: from enter() to leave().
struct guard_entry {
    contents found = contents::valid;
    entry_purpose purpose = entry_purpose::reading;
    int open_changes = 0;  ///< the second semaphore's value before this entry
    pid_t holder = 0;      ///< the process that entered
};

/// How a guard is opened or made.
struct region_guard_options {
    sys::creation create = sys::creation::must_exist;
    mode_t mode = 0600;  ///< of new semaphores: who takes part needs to read and to write
};

/// A guard of two System V semaphores. A value that names the set.
class sysv_region_guard {
public:
    /// Takes a set of two semaphores that follow the convention.
    constexpr explicit sysv_region_guard(const sys::sysv_sem& set) noexcept : set_{set} {}
    /// Opens or makes the set of `key`. Errors and waiting: sys::sysv_sem::open().
    [[nodiscard]] KITH_EXPORT static result<sysv_region_guard> open(sys::sysv_key key,
                                                                    const region_guard_options& options = {},
                                                                    const wait_policy& wait = {}) noexcept;

    /// Takes the lock. Errors: `would_block`, `timed_out`, `stopped`, `removed`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT result<guard_entry> enter(entry_purpose purpose, const wait_policy& wait = {}) noexcept;
    /// Gives the lock back and says, in the same step, what state the memory is in now.
    /// Errors: `removed` (the lock is gone, and with it the right to be inside); `forked` (a child does not hold it).
    [[nodiscard]] KITH_EXPORT result<void> leave(const guard_entry& entry, contents now) noexcept;

    [[nodiscard]] const sys::sysv_sem& native() const noexcept { return set_; }

private:
    sys::sysv_sem set_;
};

/// A guard of two named POSIX semaphores, NAME and NAME.changes. Move-only; closing leaves them as they are.
class posix_region_guard {
public:
    /// Takes two open semaphores that follow the convention.
    posix_region_guard(sys::posix_sem lock, sys::posix_sem changes) noexcept
        : lock_{std::move(lock)}, changes_{std::move(changes)} {}
    /// Opens or makes both. Errors: sys::posix_sem::open(); `too_long` for a name above 243 bytes.
    [[nodiscard]] KITH_EXPORT static result<posix_region_guard> open(std::string_view name,
                                                                     const region_guard_options& options = {}) noexcept;

    /// Takes the lock. Errors: `would_block`, `timed_out` (perhaps the holder died), `stopped`.
    [[nodiscard]] KITH_EXPORT result<guard_entry> enter(entry_purpose purpose, const wait_policy& wait = {}) noexcept;
    /// Says what state the memory is in now, then gives the lock back. Errors: `forked`, `io`.
    [[nodiscard]] KITH_EXPORT result<void> leave(const guard_entry& entry, contents now) noexcept;

    /// Gives the lock back in the place of a holder that the caller knows to be dead. Called while the holder lives,
    /// it lets two in at once. Errors: `invalid` (the lock is free).
    [[nodiscard]] KITH_EXPORT result<void> release_for_dead() noexcept;

    [[nodiscard]] const sys::posix_sem& native_lock() const noexcept { return lock_; }
    [[nodiscard]] const sys::posix_sem& native_changes() const noexcept { return changes_; }

private:
    sys::posix_sem lock_;
    sys::posix_sem changes_;
};

/// Removes the semaphores of a POSIX guard; who has them open goes on with them. Errors: `not_found` (neither is
/// there), `not_permitted`, `too_long`.
[[nodiscard]] KITH_EXPORT result<void> unlink_posix_region_guard(std::string_view name) noexcept;

}  // namespace kith::inline KITH_ABI::compose
