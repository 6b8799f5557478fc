#include <kith/compose/guarded_region.hpp>

#include <optional>

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

result<posix_region> open_posix_region(std::string_view name, const region_options& options,
                                       const wait_policy& wait) noexcept {
    auto guard = posix_region_guard::open(name, {.create = options.create, .mode = options.mode});
    if (!guard) return fail(guard.error());
    const auto object = open_inside(
        *guard, wait,
        [&] {
            return sys::posix_shm::open(name, {.create = options.create, .size = options.size, .mode = options.mode},
                                        wait);
        },
        [&](const sys::posix_shm&) { static_cast<void>(sys::unlink_posix_shm(name)); });
    if (!object) {
        if (options.create == sys::creation::must_be_new) static_cast<void>(unlink_posix_region_guard(name));
        return fail(object.error());
    }
    auto memory = object->map();
    if (!memory) {
        if (object->created()) static_cast<void>(sys::unlink_posix_shm(name));
        if (options.create == sys::creation::must_be_new) static_cast<void>(unlink_posix_region_guard(name));
        return fail(memory.error());
    }
    return posix_region{std::move(*memory), std::move(*guard)};
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
