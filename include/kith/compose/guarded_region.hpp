// kith/compose/guarded_region.hpp - shared memory bound to a lock, so that use without it is what one has to ask for.
//
// A region is memory (an attached System V segment, a mapping) and a guard (kith/compose/region_guard.hpp). The
// bytes are reached through a scope that holds the lock: change() to write, read() to look. unsynchronised() is the
// way around it, by name. The memory itself is plain: no header, no magic, all of it is the user's.
//
// A change counts as complete when commit() says so. A holder that is killed before, or drops the scope without
// commit(), leaves `half_changed`, and the next one in is told by found(): repair what can be repaired, and commit.
// A region that is new is `never_written`: whoever comes in first writes the first contents and commits, so
// there is no race about who initialises.
//
//     auto region = kith::compose::open_sysv_region(key, {.create = creation::create_or_open, .size = 4096});
//     auto change = region->change(deadline::in(1s));
//     if (change->found() != contents::valid) fill(change->bytes());
//     update(change->bytes());
//     change->commit();
//
// Thread safety: change() and read() from any threads; the scopes belong to one thread at a time. A scope must not
// outlive its region, nor the region be moved meanwhile. Fork, crash, signals: kith/compose/region_guard.hpp.
#pragma once
#include <concepts>
#include <string_view>
#include <utility>

#include <kith/bytes.hpp>
#include <kith/compose/region_guard.hpp>
#include <kith/sys/posix_shm.hpp>
#include <kith/sys/sysv_shm.hpp>

namespace kith::inline KITH_ABI::compose {

/// Memory that can be guarded: sys::mapping, sys::sysv_attachment.
template <class Memory>
concept region_memory = std::movable<Memory> && requires(Memory memory, const Memory& constant) {
    { memory.bytes() } -> std::same_as<byte_span>;
    { constant.view() } -> std::same_as<byte_view>;
};

/// A lock that knows the memory's state: sysv_region_guard, posix_region_guard.
template <class Guard>
concept region_guard = std::movable<Guard> && requires(Guard guard, const guard_entry& entry, const wait_policy& wait) {
    { guard.enter(entry_purpose::changing, wait) } -> std::same_as<result<guard_entry>>;
    { guard.leave(entry, contents::valid) } -> std::same_as<result<void>>;
};

/// The lock, held to change the memory; given back with this scope.
template <region_guard Guard>
class [[nodiscard]] changing {
public:
    changing(Guard& guard, const guard_entry& entry, byte_span bytes) noexcept
        : guard_{&guard}, entry_{entry}, bytes_{bytes} {}
    changing(changing&& other) noexcept
        : guard_{std::exchange(other.guard_, nullptr)}, entry_{other.entry_}, bytes_{std::exchange(other.bytes_, {})} {}
    changing& operator=(changing&&) = delete;
    ~changing() {
        // Not committed: for those who come next as if the holder had died here.
        const auto left = entry_.found == contents::never_written ? contents::never_written : contents::half_changed;
        if (guard_ != nullptr) static_cast<void>(guard_->leave(entry_, left));
    }

    /// The memory; empty once the lock was given back.
    [[nodiscard]] byte_span bytes() const noexcept { return bytes_; }
    /// The memory's state when the lock was taken.
    [[nodiscard]] contents found() const noexcept { return entry_.found; }

    /// The contents are complete and in order: says so and gives the lock back. Errors: Guard::leave().
    result<void> commit() noexcept { return leave(contents::valid); }  // NOLINT(modernize-use-nodiscard)
    /// Nothing was changed: gives the lock back and leaves the state as it was found. Errors: Guard::leave().
    result<void> leave_unchanged() noexcept { return leave(entry_.found); }  // NOLINT(modernize-use-nodiscard)

private:
    result<void> leave(contents now) noexcept {
        if (guard_ == nullptr) return fail(errc::invalid, "commit");
        bytes_ = {};
        return std::exchange(guard_, nullptr)->leave(entry_, now);
    }
    Guard* guard_;
    guard_entry entry_;
    byte_span bytes_;
};

/// The lock, held to look at the memory; given back with this scope.
template <region_guard Guard>
class [[nodiscard]] reading {
public:
    reading(Guard& guard, const guard_entry& entry, byte_view view) noexcept
        : guard_{&guard}, entry_{entry}, view_{view} {}
    reading(reading&& other) noexcept
        : guard_{std::exchange(other.guard_, nullptr)}, entry_{other.entry_}, view_{std::exchange(other.view_, {})} {}
    reading& operator=(reading&&) = delete;
    ~reading() {
        if (guard_ != nullptr) static_cast<void>(guard_->leave(entry_, entry_.found));
    }

    [[nodiscard]] byte_view view() const noexcept { return view_; }
    /// Anything but `valid`: do not believe what is there.
    [[nodiscard]] contents found() const noexcept { return entry_.found; }

private:
    Guard* guard_;
    guard_entry entry_;
    byte_view view_;
};

/// Memory and its guard. Move-only where one of them is.
template <region_memory Memory, region_guard Guard>
class guarded_region {
public:
    guarded_region(Memory memory, Guard guard) noexcept : memory_{std::move(memory)}, guard_{std::move(guard)} {}

    /// Waits for the lock, to change the memory. Errors: Guard::enter().
    [[nodiscard]] result<changing<Guard>> change(const wait_policy& wait = {}) noexcept {
        const auto entry = guard_.enter(entry_purpose::changing, wait);
        if (!entry) return fail(entry.error());
        return changing<Guard>{guard_, *entry, memory_.bytes()};
    }
    /// Waits for the lock, to look at the memory; readers exclude each other, too. Errors: Guard::enter().
    [[nodiscard]] result<reading<Guard>> read(const wait_policy& wait = {}) noexcept {
        const auto entry = guard_.enter(entry_purpose::reading, wait);
        if (!entry) return fail(entry.error());
        return reading<Guard>{guard_, *entry, std::as_const(memory_).view()};
    }

    /// The memory without the lock: others may be changing it. For atomics, and for what was agreed otherwise.
    [[nodiscard]] byte_span unsynchronised() noexcept { return memory_.bytes(); }
    [[nodiscard]] byte_view unsynchronised() const noexcept { return memory_.view(); }

    [[nodiscard]] Memory& memory() noexcept { return memory_; }
    [[nodiscard]] Guard& guard() noexcept { return guard_; }

private:
    Memory memory_;
    Guard guard_;
};

/// A segment and a set of two semaphores, both under one key.
using sysv_region = guarded_region<sys::sysv_attachment, sysv_region_guard>;
/// A POSIX object NAME and the semaphores NAME and NAME.changes.
using posix_region = guarded_region<sys::mapping, posix_region_guard>;

/// How a region is opened or made.
struct region_options {
    sys::creation create = sys::creation::must_exist;
    std::size_t size = 0;  ///< bytes; needed to create. What exists must have exactly this, unless it is 0
    mode_t mode = 0600;    ///< of new memory and new semaphores
};

/// Opens or makes the region of `key`. It takes the lock to do so, which `wait` bounds: the memory is never made
/// anew behind a guard that says `valid`. Errors: those of sysv_region_guard::open(), of enter(), and of
/// sys::sysv_shm::open() and attach(); `invalid` for a private key, which nobody else could find.
[[nodiscard]] KITH_EXPORT result<sysv_region> open_sysv_region(sys::sysv_key key, const region_options& options = {},
                                                               const wait_policy& wait = {}) noexcept;
/// Opens or makes the region `name`, in the same way. `timed_out` may mean that a holder died: see
/// posix_region_guard::release_for_dead(). Errors: those of posix_region_guard::open(), of enter(), and of
/// sys::posix_shm::open() and map().
[[nodiscard]] KITH_EXPORT result<posix_region> open_posix_region(std::string_view name,
                                                                 const region_options& options = {},
                                                                 const wait_policy& wait = {}) noexcept;

/// Removes the semaphores (who waits gets `removed`), then the segment, which stays for those who have it attached.
/// Errors: `not_found` (neither is there), `not_permitted`.
[[nodiscard]] KITH_EXPORT result<void> remove_sysv_region(sys::sysv_key key) noexcept;
/// Removes the names; who has the region open goes on with it. Errors: `not_found`, `not_permitted`, `too_long`.
[[nodiscard]] KITH_EXPORT result<void> unlink_posix_region(std::string_view name) noexcept;

}  // namespace kith::inline KITH_ABI::compose
