#include <kith/compose/region_guard.hpp>

#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/c_string.hpp"
#include "base/observer.hpp"
#include "compose/posix_guard.hpp"

namespace kith::inline KITH_ABI::compose {
namespace {

// docs/formats/guarded_region.md
constexpr std::uint16_t lock_number = 0;
constexpr std::uint16_t changes_number = 1;
constexpr int never_written_count = 1000;  // and more; 1 to 999: that many changes were begun and not ended

constexpr std::size_t longest_name = 243;
constexpr std::string_view changes_suffix = ".changes";

contents state_of(int open_changes) noexcept {
    if (open_changes == 0) return contents::valid;
    return open_changes >= never_written_count ? contents::never_written : contents::half_changed;
}

// What the count of open changes must be after leaving.
int count_after(const guard_entry& entry, contents now) noexcept {
    if (now == contents::valid) return 0;
    if (now == state_of(entry.open_changes)) return entry.open_changes;
    return now == contents::never_written ? never_written_count : 1;
}

int count_inside(const guard_entry& entry) noexcept {
    return entry.open_changes + (entry.purpose == entry_purpose::changing ? 1 : 0);
}

}  // namespace

result<sysv_region_guard> sysv_region_guard::open(sys::sysv_key key, const region_guard_options& options,
                                                  const wait_policy& wait) noexcept {
    static constexpr std::array<std::uint16_t, 2> first_values{1, never_written_count};
    const auto set = sys::sysv_sem::open(
        key, {.create = options.create, .values = first_values, .count = 2, .mode = options.mode}, wait);
    if (!set) return fail(set.error());
    return sysv_region_guard{*set};
}

result<guard_entry> sysv_region_guard::enter(entry_purpose purpose, const wait_policy& wait) noexcept {
    // One step of the kernel's: nobody is ever inside without being counted. The lock is undone by a death, the
    // count is not.
    const std::array<sys::sem_operation, 2> steps{
        {{.number = lock_number, .delta = -1, .undo = true}, {.number = changes_number, .delta = 1}}};
    const std::size_t used = purpose == entry_purpose::changing ? 2 : 1;
    if (auto locked = set_.apply(std::span{steps}.first(used), wait); !locked) return fail(locked.error());
    const auto count = set_.value(changes_number);
    guard_entry entry{.purpose = purpose, .holder = ::getpid()};
    if (!count) {
        // Without the right to read nothing can be told: leave as if nobody had been here.
        static_cast<void>(leave(entry, contents::valid));
        return fail(count.error());
    }
    entry.open_changes = *count - static_cast<int>(used - 1);
    entry.found = state_of(entry.open_changes);
    return entry;
}

result<void> sysv_region_guard::leave(const guard_entry& entry, contents now) noexcept {
    if (entry.holder != ::getpid()) return fail(errc::forked, "semop", 0, object_ref::sysv_id(set_.native_id()));
    const int delta = count_after(entry, now) - count_inside(entry);
    const std::array<sys::sem_operation, 2> steps{
        {{.number = lock_number, .delta = 1, .undo = true},
         {.number = changes_number, .delta = static_cast<std::int16_t>(delta), .no_wait = true}}};
    const auto left = set_.apply(std::span{steps}.first(delta != 0 ? 2 : 1));
    if (left || left.error().code() != errc::would_block) return left;
    // The count ran out: somebody who does not keep the convention took from it. Nobody must wait for us because of it.
    if (auto unlocked = set_.apply(std::span{steps}.first(1)); !unlocked) return unlocked;
    return fail(errc::io, left.error().operation(), left.error().os_error(), left.error().object());
}

namespace {

class changes_name {
public:
    [[nodiscard]] static result<changes_name> of(std::string_view name, const char* operation) noexcept {
        if (name.starts_with('/')) name.remove_prefix(1);
        if (name.size() > longest_name) return fail(errc::too_long, operation, ENAMETOOLONG, object_ref::name(name));
        changes_name made;
        made.length_ = name.copy(made.text_, name.size());
        made.length_ += changes_suffix.copy(made.text_ + made.length_, changes_suffix.size());
        return made;
    }
    [[nodiscard]] std::string_view text() const noexcept { return {text_, length_}; }

private:
    char text_[longest_name + changes_suffix.size()];
    std::size_t length_ = 0;
};

}  // namespace

namespace {

// Opens or makes one of the two, and tells which it was: sem_open(3) does not.
result<sys::posix_sem> open_one(std::string_view name, sys::posix_sem_options options, bool& made) noexcept {
    constexpr int most_races = 100;
    const auto policy = options.create;
    for (int race = 0; race < most_races; ++race) {
        if (policy != sys::creation::must_exist) {
            options.create = sys::creation::must_be_new;
            auto fresh = sys::posix_sem::open(name, options);
            made = fresh.has_value();
            if (fresh || policy == sys::creation::must_be_new || fresh.error().code() != errc::exists) return fresh;
        }
        options.create = sys::creation::must_exist;
        auto found = sys::posix_sem::open(name, options);
        if (found || policy == sys::creation::must_exist || found.error().code() != errc::not_found) return found;
        detail::notify(event_kind::retried, "sem_open", object_ref::name(name), ENOENT);
    }
    return fail(errc::removed, "sem_open", 0, object_ref::name(name));
}

}  // namespace

result<posix_region_guard> posix_region_guard::open(std::string_view name,
                                                    const region_guard_options& options) noexcept {
    detail::made_semaphores made;
    return detail::open_posix_guard(name, options, made);
}

result<guard_entry> posix_region_guard::enter(entry_purpose purpose, const wait_policy& wait) noexcept {
    if (auto locked = lock_.wait(wait); !locked) return fail(locked.error());
    // Killed from here to the post below: the lock is lost and nothing has been changed.
    guard_entry entry{.purpose = purpose, .holder = ::getpid()};
    const auto count = changes_.value();
    if (!count) {
        static_cast<void>(lock_.post());
        return fail(count.error());
    }
    entry.open_changes = *count;
    entry.found = state_of(*count);
    if (purpose == entry_purpose::changing) {
        if (auto counted = changes_.post(); !counted) {
            static_cast<void>(lock_.post());
            return fail(counted.error());
        }
    }
    return entry;
}

result<void> posix_region_guard::leave(const guard_entry& entry, contents now) noexcept {
    if (entry.holder != ::getpid()) return fail(errc::forked, "sem_post");
    int delta = count_after(entry, now) - count_inside(entry);
    result<void> counted{};
    for (; delta > 0 && counted; --delta) counted = changes_.post();
    for (; delta < 0 && counted; ++delta) counted = changes_.wait(deadline::immediate());
    // The count ran out: somebody else took from it. The lock is given back all the same.
    const auto unlocked = lock_.post();
    if (!counted) return fail(errc::io, counted.error().operation(), counted.error().os_error());
    return unlocked;
}

result<void> posix_region_guard::release_for_dead() noexcept {
    const auto value = lock_.value();
    if (!value) return fail(value.error());
    if (*value != 0) return fail(errc::invalid, "sem_post", 0);
    return lock_.post();
}

result<void> unlink_posix_region_guard(std::string_view name) noexcept {
    const auto second = changes_name::of(name, "sem_unlink");
    if (!second) return fail(second.error());
    const auto lock = sys::unlink_posix_sem(name);
    const auto changes = sys::unlink_posix_sem(second->text());
    if (!lock && lock.error().code() != errc::not_found) return lock;
    if (!changes && changes.error().code() != errc::not_found) return changes;
    return lock ? lock : changes;
}

}  // namespace kith::inline KITH_ABI::compose

namespace kith::inline KITH_ABI::detail {

using compose::changes_name;
using compose::posix_region_guard;

result<posix_region_guard> open_posix_guard(std::string_view name, const compose::region_guard_options& options,
                                            made_semaphores& made) noexcept {
    made = {};
    const auto second = changes_name::of(name, "sem_open");
    if (!second) return fail(second.error());
    // Each is made with its value in one step, and whoever makes it gives it the same one: no order, no race.
    auto lock = compose::open_one(name, {.create = options.create, .value = 1, .mode = options.mode}, made.lock);
    if (!lock) return fail(lock.error());
    auto changes = compose::open_one(
        second->text(), {.create = options.create, .value = compose::never_written_count, .mode = options.mode},
        made.changes);
    if (changes) return posix_region_guard{std::move(*lock), std::move(*changes)};
    take_back_unused(*lock, name, made);
    made = {};
    return fail(changes.error());
}

result<bool> is_current(const posix_region_guard& guard, std::string_view name) noexcept {
    const auto second = changes_name::of(name, "sem_open");
    if (!second) return fail(second.error());
    // Within a process the C library gives one address to all openings of one semaphore, and another to another.
    const auto means = [](std::string_view one, const sys::posix_sem& ours) -> result<bool> {
        const auto found = sys::posix_sem::open(one);
        if (!found && found.error().code() != errc::not_found) return fail(found.error());
        return found && found->native() == ours.native();
    };
    const auto lock = means(name, guard.native_lock());
    if (!lock || !*lock) return lock;
    return means(second->text(), guard.native_changes());
}

void take_back(std::string_view name, const made_semaphores& made) noexcept {
    const auto second = changes_name::of(name, "sem_unlink");
    if (made.changes && second) static_cast<void>(sys::unlink_posix_sem(second->text()));
    if (made.lock) static_cast<void>(sys::unlink_posix_sem(name));
}

void take_back_unused(const sys::posix_sem& lock, std::string_view name, const made_semaphores& made) noexcept {
    if ((!made.lock && !made.changes) || !lock.wait(deadline::immediate())) return;
    take_back(name, made);
    static_cast<void>(lock.post());
}

}  // namespace kith::inline KITH_ABI::detail
