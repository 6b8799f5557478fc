// posix_guard - making and taking back the semaphores of a posix_region_guard, for who opens a region.
//
// Whoever makes semaphores that others may find at once cannot simply remove them again: another process may wait at
// them already, and a third one would make new ones and be inside at the same time. So they are unlinked only while
// their lock is held, and whoever got the lock of a guard just opened looks whether its names still mean it.
#pragma once
#include <kith/compose/region_guard.hpp>

namespace kith::inline KITH_ABI::detail {

/// Which of the two an open made.
struct made_semaphores {
    bool lock = false;
    bool changes = false;
};

/// compose::posix_region_guard::open, and what it made.
[[nodiscard]] result<compose::posix_region_guard> open_posix_guard(std::string_view name,
                                                                   const compose::region_guard_options& options,
                                                                   made_semaphores& made) noexcept;

/// Whether the names still mean the guard's semaphores. Errors: those of sys::posix_sem::open, except `not_found`.
[[nodiscard]] result<bool> is_current(const compose::posix_region_guard& guard, std::string_view name) noexcept;

/// Unlinks what was made; the lock must be held.
void take_back(std::string_view name, const made_semaphores& made) noexcept;
/// The same without the lock: takes it, unless somebody is inside already and so uses what was made.
void take_back_unused(const sys::posix_sem& lock, std::string_view name, const made_semaphores& made) noexcept;

}  // namespace kith::inline KITH_ABI::detail
