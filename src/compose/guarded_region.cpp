#include <kith/compose/guarded_region.hpp>

#include <optional>

#include "base/observer.hpp"
#include "compose/posix_guard.hpp"

namespace kith::inline KITH_ABI::compose {
namespace {

// Opens the memory while the guard's lock is held. Made anew, it is `never_written` whatever the guard remembers of
// its predecessor.
template <class Guard, class Open, class Undo>
auto open_inside(Guard& guard, const wait_policy& wait, Open open, Undo undo) noexcept -> decltype(open()) {
    const auto entry = guard.enter(entry_purpose::changing, wait);
    if (!entry) return fail(entry.error());
    auto memory = open();
    const bool fresh = memory && memory->created();
    const auto left = guard.leave(*entry, fresh ? contents::never_written : entry->found);
    if (memory && !left) {
        if (fresh) undo(*memory);
        return fail(left.error());
    }
    return memory;
}

// The first failure that is more than "it is not there"; not_found only if neither was.
result<void> both_removed(const result<void>& one, const result<void>& two) noexcept {
    if (!one && one.error().code() != errc::not_found) return one;
    if (!two && two.error().code() != errc::not_found) return two;
    return one ? one : two;
}

}  // namespace

result<sysv_region> open_sysv_region(sys::sysv_key key, const region_options& options,
                                     const wait_policy& wait) noexcept {
    if (key.is_private()) return fail(errc::invalid, "shmget", 0, object_ref::sysv_key(0));
    auto guard = sysv_region_guard::open(key, {.create = options.create, .mode = options.mode}, wait);
    if (!guard) return fail(guard.error());
    const auto segment = open_inside(
        *guard, wait,
        [&] {
            return sys::sysv_shm::open(key, {.create = options.create, .size = options.size, .mode = options.mode});
        },
        [](const sys::sysv_shm& made) { static_cast<void>(made.remove()); });
    if (!segment) {
        // A guard without memory is of no use to anybody, if it is ours.
        if (guard->native().created()) static_cast<void>(guard->native().remove());
        return fail(segment.error());
    }
    auto memory = segment->attach();
    if (!memory) {
        if (segment->created()) static_cast<void>(segment->remove());
        if (guard->native().created()) static_cast<void>(guard->native().remove());
        return fail(memory.error());
    }
    return sysv_region{std::move(*memory), *guard};
}

namespace {

// Inside, with the lock held; empty where the semaphores have lost their names, and all begins anew.
result<std::optional<posix_region>> enter_posix_region(std::string_view name, const region_options& options,
                                                       const wait_policy& wait) noexcept {
    detail::made_semaphores made;
    auto guard = detail::open_posix_guard(name, {.create = options.create, .mode = options.mode}, made);
    if (!guard) return fail(guard.error());
    const auto entry = guard->enter(entry_purpose::changing, wait);
    if (!entry) {
        detail::take_back_unused(guard->native_lock(), name, made);
        return fail(entry.error());
    }
    const auto current = detail::is_current(*guard, name);
    if (current && !*current) {
        if (auto left = guard->leave(*entry, entry->found); !left) return fail(left.error());
        return std::optional<posix_region>{};
    }
    const auto object =
        current
            ? sys::posix_shm::open(name, {.create = options.create, .size = options.size, .mode = options.mode}, wait)
            : result<sys::posix_shm>{fail(current.error())};
    const bool fresh = object && object->created();
    auto memory = object ? object->map() : result<sys::mapping>{fail(object.error())};
    const auto undo = [&] {
        if (fresh) static_cast<void>(sys::unlink_posix_shm(name));
        detail::take_back(name, made);
    };
    if (!memory) undo();
    // Made anew, it is `never_written` whatever the guard remembers of its predecessor.
    const auto left = guard->leave(*entry, fresh ? contents::never_written : entry->found);
    if (!memory) return fail(memory.error());
    if (!left) {
        undo();
        return fail(left.error());
    }
    return std::optional<posix_region>{std::in_place, std::move(*memory), std::move(*guard)};
}

}  // namespace

result<posix_region> open_posix_region(std::string_view name, const region_options& options,
                                       const wait_policy& wait) noexcept {
    constexpr int most_turns = 100;  // each lost one means that another process made the semaphores and took them back
    for (int turn = 0; turn < most_turns; ++turn) {
        auto entered = enter_posix_region(name, options, wait);
        if (!entered) return fail(entered.error());
        if (auto& region = *entered; region) return std::move(*region);
        detail::notify(event_kind::retried, "sem_open", object_ref::name(name));
    }
    return fail(errc::removed, "sem_open", 0, object_ref::name(name));
}

result<void> remove_sysv_region(sys::sysv_key key) noexcept {
    const auto set = sys::sysv_sem::open(key, {.ready = sys::sem_readiness::assumed});
    const auto guard_gone = set ? set->remove() : result<void>{fail(set.error())};
    const auto segment = sys::sysv_shm::open(key);
    const auto memory_gone = segment ? segment->remove() : result<void>{fail(segment.error())};
    return both_removed(guard_gone, memory_gone);
}

result<void> unlink_posix_region(std::string_view name) noexcept {
    const auto guard_gone = unlink_posix_region_guard(name);
    return both_removed(guard_gone, sys::unlink_posix_shm(name));
}

}  // namespace kith::inline KITH_ABI::compose
