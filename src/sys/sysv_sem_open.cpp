// sysv_sem_open - making and finding sets, and the protocol that keeps a found set from being used too early.
//
// WORDS     sem_otime   0 in a new set; the time of the last semop(2) afterwards. SETVAL and SETALL leave it alone.
// STEPS     creator     C1 semget(IPC_CREAT | IPC_EXCL)   C2 SETALL   C3 one semop that changes nothing
//           opener      O1 semget   O2 IPC_STAT: is sem_otime 0? again, until the deadline
// IF THE CREATOR DIES AFTER C1 or C2 sem_otime stays 0: every opener times out, and says what to do.
#include <kith/sys/sysv_sem.hpp>

#include <sys/sem.h>
#include <algorithm>
#include <limits>
#include <utility>

#include "base/clock.hpp"
#include "sys/sysv_sem_calls.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

constexpr std::int64_t first_pause_ns = 20'000;
constexpr std::int64_t longest_pause_ns = 2'000'000;

std::size_t wanted_count(const sysv_sem_options& options) noexcept {
    return options.count != 0 ? options.count : options.values.size();
}

errc code_of_semget(int os_error) noexcept {
    return os_error == ENOSPC ? errc::limit_reached : detail::code_for(os_error);
}

// C2 and C3. Both steps of C3 need the right to alter only, and leave every value as it is.
result<void> initialise(int id, const sysv_sem_options& options) noexcept {
    const auto set = sysv_sem::from_id(id, wanted_count(options));
    if (!options.values.empty()) {
        if (auto done = set.set_values(options.values); !done) return done;
    }
    const bool has_some = !options.values.empty() && options.values[0] != 0;
    const std::int16_t out = has_some ? -1 : 1;
    const sem_operation nothing[] = {{.delta = out, .no_wait = true},
                                     {.delta = static_cast<std::int16_t>(-out), .no_wait = true}};
    return set.apply(nothing);
}

// O2. How long: see open_sysv_sem.
result<void> wait_for_creator(int id, object_ref about, deadline until, const wait_policy& wait) noexcept {
    auto pause = first_pause_ns;
    for (bool told = false;;) {
        const auto now = sysv_sem::from_id(id).status();
        if (!now) return fail(now.error().about(about));
        if (now->last_operation.time_since_epoch().count() != 0) return {};
        if (wait.stop_requested()) return fail(errc::stopped, "sem_otime", 0, about);
        if (detail::expired(until)) return fail(detail::expiry_code(until), "sem_otime", 0, about);
        if (!std::exchange(told, true)) detail::notify(event_kind::polling, "sem_otime", about);
        const auto nap = detail::remaining(until, pause);
        if (::clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, nullptr) == EINTR && wait.signal == on_signal::report)
            return fail(errc::stopped, "sem_otime", EINTR, about);
        pause = std::min(pause * 2, longest_pause_ns);
    }
}

}  // namespace

struct sysv_sem::opening {
    static result<sysv_sem> make(sysv_key key, const sysv_sem_options& options) noexcept {
        const auto about = object_ref::sysv_key(key.value());
        const auto count = wanted_count(options);
        // semget takes an int, and would see a huge count as a small one.
        if (count > static_cast<std::size_t>(std::numeric_limits<int>::max()))
            return fail(errc::invalid, "semget", EINVAL, about);
        const int id =
            ::semget(key.value(), static_cast<int>(count), static_cast<int>(options.mode) | IPC_CREAT | IPC_EXCL);
        if (id < 0) return fail(code_of_semget(errno), "semget", errno, about);
        if (auto done = initialise(id, options); !done) {
            // Ours alone, and useless: nobody could tell it from one whose creator died.
            ::semctl(id, 0, IPC_RMID);
            return fail(done.error().about(about));
        }
        return sysv_sem{id, count, true};
    }

    static result<sysv_sem> find(sysv_key key, const sysv_sem_options& options, const wait_policy& wait) noexcept {
        const auto about = object_ref::sysv_key(key.value());
        const int id = ::semget(key.value(), 0, 0);
        if (id < 0) return fail(code_of_semget(errno), "semget", errno, about);
        const auto now = sysv_sem::from_id(id).status();
        if (!now) return fail(now.error().about(about));
        if (const auto wanted = wanted_count(options); wanted != 0 && wanted != now->count)
            return fail(errc::wrong_size, "semget", 0, about);
        if (options.ready == sem_readiness::from_creator) {
            const auto until = wait.until.is_never() ? deadline::in(sysv_sem_creator_patience) : wait.until;
            if (auto ready = wait_for_creator(id, about, until, wait); !ready) return fail(ready.error());
        }
        return from_id(id, now->count);
    }
};

result<sysv_sem> sysv_sem::open(sysv_key key, const sysv_sem_options& options, const wait_policy& wait) noexcept {
    if (auto right = detail::check_sysv_open(key, options.create, options.mode, "semget"); !right)
        return fail(right.error());
    const auto about = object_ref::sysv_key(key.value());
    if (!options.values.empty() && options.count != 0 && options.values.size() != options.count)
        return fail(errc::invalid, "semget", 0, about);
    if (key.is_private() || options.create == creation::must_be_new) return opening::make(key, options);
    // Others may make and remove the set between our calls; each turn means that somebody did.
    for (;;) {
        auto found = opening::find(key, options, wait);
        const bool gone = !found && (found.error().code() == errc::not_found || found.error().code() == errc::removed);
        if (!gone) return found;
        if (options.create == creation::must_exist) return fail(errc::not_found, "semget", ENOENT, about);
        auto made = opening::make(key, options);
        if (made || made.error().code() != errc::exists) return made;
        if (wait.stop_requested()) return fail(errc::stopped, "semget", 0, about);
        if (!wait.until.is_never() && detail::expired(wait.until))
            return fail(detail::expiry_code(wait.until), "semget", 0, about);
        detail::notify(event_kind::retried, "semget", about, EEXIST);
    }
}

result<sysv_sem> sysv_sem::open_id(int id) noexcept {
    const auto now = sysv_sem::from_id(id).status();
    if (!now) {
        const auto& failure = now.error();
        return fail(failure.code() == errc::removed ? errc::not_found : failure.code(), failure.operation(),
                    failure.os_error(), failure.object());
    }
    return from_id(id, now->count);
}

result<sysv_sem_limits> read_sysv_sem_limits() noexcept {
    seminfo limits{};
    seminfo used{};
    if (::semctl(0, 0, IPC_INFO, detail::semctl_argument{.info = &limits}) < 0)
        return detail::fail_os("semctl(IPC_INFO)", errno);
    const int last = ::semctl(0, 0, SEM_INFO, detail::semctl_argument{.info = &used});
    if (last < 0) return detail::fail_os("semctl(SEM_INFO)", errno);
    return sysv_sem_limits{.per_set = static_cast<std::size_t>(limits.semmsl),
                           .semaphores = static_cast<std::size_t>(limits.semmns),
                           .steps = static_cast<std::size_t>(limits.semopm),
                           .sets = static_cast<std::size_t>(limits.semmni),
                           .sets_in_use = static_cast<std::size_t>(used.semusz),
                           .semaphores_in_use = static_cast<std::size_t>(used.semaem),
                           .highest_slot = last};
}

result<listed_sysv_sem> sysv_sem_in_slot(int slot) noexcept {
    semid_ds raw{};
    const int id = ::semctl(slot, 0, SEM_STAT_ANY, detail::semctl_argument{.buf = &raw});
    if (id >= 0) return listed_sysv_sem{.id = id, .status = detail::status_from(raw)};
    const int os_error = errno;
    return fail(os_error == EINVAL ? errc::not_found : detail::code_for(os_error), "semctl(SEM_STAT_ANY)", os_error,
                object_ref::sysv_id(slot));
}

}  // namespace kith::inline KITH_ABI::sys
