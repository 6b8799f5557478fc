// sysv_sem_calls - semctl(2) as results: the union that its callers must define, and what its errnos mean.
#pragma once
#include <sys/sem.h>

#include <kith/sys/sysv_sem.hpp>

#include "base/errors.hpp"
#include "base/observer.hpp"
#include "sys/sysv_rules.hpp"

namespace kith::inline KITH_ABI::detail {

union semctl_argument {
    int val;
    semid_ds* buf;
    unsigned short* array;
    seminfo* info;
};

/// A call about one semaphore. Its EINVAL is an id that is no longer valid or a number outside the set, which
/// GETVAL reports alike; the number is looked into only after the failure.
[[nodiscard]] inline result<int> semaphore_control(int id, std::uint16_t number, int command, const char* operation,
                                                   semctl_argument argument = {}) noexcept {
    const int value = ::semctl(id, number, command, argument);
    if (value >= 0) [[likely]]
        return value;
    const int os_error = errno;
    errc code = code_for(os_error);
    if (os_error == EINVAL) {
        semid_ds raw{};
        const bool exists = ::semctl(id, 0, IPC_STAT, semctl_argument{.buf = &raw}) == 0 || errno == EACCES;
        code = exists ? errc::invalid : errc::removed;
    }
    return fail(code, operation, os_error, object_ref::sysv_id(id));
}

/// A call about the whole set.
[[nodiscard]] inline result<int> set_control(int id, int command, const char* operation,
                                             semctl_argument argument) noexcept {
    const int value = ::semctl(id, 0, command, argument);
    if (value >= 0) [[likely]]
        return value;
    const int os_error = errno;
    return fail(os_error == EINVAL ? errc::removed : code_for(os_error), operation, os_error, object_ref::sysv_id(id));
}

[[nodiscard]] inline result<void> without_value(const result<int>& done) noexcept {
    if (!done) return fail(done.error());
    return {};
}

[[nodiscard]] inline sys::sysv_sem_status status_from(const semid_ds& raw) noexcept {
    using clock = std::chrono::system_clock;
    return {
        .key = sys::sysv_key{raw.sem_perm.__key},  // NOLINT(clang-analyzer-core.CallAndMessage): semctl has filled it
        .count = raw.sem_nsems,
        .uid = raw.sem_perm.uid,
        .gid = raw.sem_perm.gid,
        .creator_uid = raw.sem_perm.cuid,
        .creator_gid = raw.sem_perm.cgid,
        .mode = raw.sem_perm.mode & sysv_mode_bits,
        .last_operation = clock::from_time_t(raw.sem_otime),
        .last_change = clock::from_time_t(raw.sem_ctime)};
}

}  // namespace kith::inline KITH_ABI::detail
