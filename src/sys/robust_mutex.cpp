#include <kith/sys/robust_mutex.hpp>

#include <optional>

#include "base/backoff.hpp"
#include "sys/sem_wait.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

result<robust_mutex*> placed(byte_span memory, const char* operation) noexcept {
    if (memory.size() < sizeof(robust_mutex)) return fail(errc::wrong_size, operation);
    if (reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(robust_mutex) != 0)
        return fail(errc::invalid, operation, EINVAL);
    return reinterpret_cast<robust_mutex*>(memory.data());
}

std::unexpected<error> failed(const char* operation, int os_error) noexcept {
    switch (os_error) {
    case ENOTRECOVERABLE: return fail(errc::bad_peer, operation, os_error);
    case EDEADLK: return fail(errc::invalid, operation, os_error);
    case EAGAIN: return fail(errc::limit_reached, operation, os_error);
    default: return detail::fail_os(operation, os_error);
    }
}

}  // namespace

result<robust_mutex*> robust_mutex::create_at(byte_span memory) noexcept {
    const auto place = placed(memory, "pthread_mutex_init");
    if (!place) return place;
    pthread_mutexattr_t attributes;
    if (const int e = ::pthread_mutexattr_init(&attributes); e != 0)
        return detail::fail_os("pthread_mutexattr_init", e);
    ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    // So that locking twice is an error and not a wait for ever.
    ::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    const int os_error = ::pthread_mutex_init((*place)->native(), &attributes);
    ::pthread_mutexattr_destroy(&attributes);
    if (os_error != 0) return detail::fail_os("pthread_mutex_init", os_error);
    return place;
}

result<robust_mutex*> robust_mutex::at(byte_span memory) noexcept { return placed(memory, "robust_mutex::at"); }

result<guarded_state> robust_mutex::lock(const wait_policy& wait) noexcept {
    constexpr auto operation = "pthread_mutex_clocklock";
    if (wait.stop_requested()) return fail(errc::stopped, operation);
    const bool sliced = wait.stop != nullptr && wait.stop->stop_possible() && !wait.until.is_immediate();
    // pthread_mutex_clocklock goes on when a handler has run and says nothing: looks with pauses in between say it.
    const bool reporting = wait.signal == on_signal::report && !wait.until.is_immediate();
    std::optional<detail::backoff> looks;
    int os_error = 0;
    for (bool told = false;;) {
        if (wait.until.is_never() && !sliced && !reporting) {
            os_error = ::pthread_mutex_lock(&mutex_);
        } else {
            // Also for an immediate deadline: glibc's trylock (2.36) keeps the lock word of a mutex that it finds not
            // recoverable, and later callers would wait for ever.
            const auto until =
                wait.until.is_immediate() || reporting ? timespec{} : detail::slice_end(wait.until, sliced);
            os_error = ::pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &until);
        }
        if (os_error != ETIMEDOUT) break;
        if (reporting) {
            if (!looks) looks.emplace(wait, operation, object_ref{});
            if (auto paused = looks->pause(ETIMEDOUT); !paused) return fail(paused.error());
            continue;
        }
        if (wait.stop_requested()) return fail(errc::stopped, operation);
        if (detail::expired(wait.until)) return fail(detail::expiry_code(wait.until), operation, ETIMEDOUT);
        if (!std::exchange(told, true)) detail::notify(event_kind::polling, operation);
    }
    if (os_error == 0) [[likely]]
        return guarded_state::consistent;
    if (os_error != EOWNERDEAD) return failed(operation, os_error);
    detail::notify(event_kind::peer_died, operation, {}, EOWNERDEAD);
    return guarded_state::owner_died;
}

result<void> robust_mutex::mark_consistent() noexcept {
    if (const int e = ::pthread_mutex_consistent(&mutex_); e != 0) return failed("pthread_mutex_consistent", e);
    return {};
}

result<void> robust_mutex::unlock() noexcept {
    if (const int e = ::pthread_mutex_unlock(&mutex_); e != 0) return failed("pthread_mutex_unlock", e);
    return {};
}

}  // namespace kith::inline KITH_ABI::sys
