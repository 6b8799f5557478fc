// sysv_sem - operations on a set; opening and creating: sysv_sem_open.cpp.
#include <kith/sys/sysv_sem.hpp>

#include <sys/sem.h>
#include <utility>

#include "base/clock.hpp"
#include "sys/sysv_sem_calls.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

// SEMOPM is 500 unless the administrator chose another limit; so many fit on the stack easily.
constexpr std::size_t most_steps = 500;
constexpr std::int64_t stop_slice_ns = 20'000'000;

errc code_of_semop(int os_error) noexcept {
    switch (os_error) {
    case EINVAL: return errc::removed;  // steps and time-out are right, so it is the id
    case EFBIG: return errc::invalid;
    case ENOSPC: return errc::limit_reached;
    default: return detail::code_for(os_error);
    }
}

struct step_array {
    sembuf steps[most_steps];
    std::size_t size;
    bool may_refuse;  // some step has IPC_NOWAIT, so EAGAIN need not mean that the time is up

    step_array(std::span<const sem_operation> from, bool immediate) noexcept
        : size{from.size()}, may_refuse{immediate} {
        for (std::size_t i = 0; i < size; ++i) {
            const auto& step = from[i];
            const bool no_wait = step.no_wait || immediate;
            may_refuse |= no_wait;
            steps[i] = {.sem_num = step.number,
                        .sem_op = step.delta,
                        .sem_flg = static_cast<short>((step.undo ? SEM_UNDO : 0) | (no_wait ? IPC_NOWAIT : 0))};
        }
    }
};

// Does `steps` or waits; `may_refuse` as above.
result<void> run(int id, std::span<sembuf> steps, bool may_refuse, const wait_policy& wait) noexcept {
    const auto about = object_ref::sysv_id(id);
    if (wait.stop_requested()) return fail(errc::stopped, "semtimedop", 0, about);

    const bool sliced = wait.stop != nullptr && wait.stop->stop_possible() && !wait.until.is_immediate();
    bool told = false;
    for (;;) {
        const bool endless = !sliced && (wait.until.is_never() || wait.until.is_immediate());
        const auto slice_end =
            sliced ? deadline::earlier(wait.until, deadline::in(std::chrono::nanoseconds{stop_slice_ns})) : wait.until;
        const auto left = endless ? timespec{} : detail::remaining(slice_end);
        if (::semtimedop(id, steps.data(), steps.size(), endless ? nullptr : &left) == 0) [[likely]]
            return {};
        const int os_error = errno;
        if (os_error == EAGAIN && wait.until.is_immediate())
            return detail::failed<void, &object_ref::sysv_id>(errc::would_block, "semtimedop", EAGAIN, id);
        if (os_error == EINTR) {
            if (wait.signal == on_signal::report) return fail(errc::stopped, "semtimedop", EINTR, about);
        } else if (os_error != EAGAIN) {
            return fail(code_of_semop(os_error), "semtimedop", os_error, about);
        } else if (may_refuse && (endless || !detail::expired(slice_end))) {
            // The kernel never cuts a time-out short, so a step without waiting refused.
            return fail(errc::would_block, "semtimedop", EAGAIN, about);
        } else if (detail::expired(wait.until)) {
            return fail(errc::timed_out, "semtimedop", EAGAIN, about);
        } else if (!std::exchange(told, true)) {
            detail::notify(event_kind::polling, "semtimedop", about);
        }
        if (wait.stop_requested()) return fail(errc::stopped, "semtimedop", 0, about);
    }
}

}  // namespace

result<void> sysv_sem::apply(std::span<const sem_operation> steps, const wait_policy& wait) const noexcept {
    if (steps.empty()) return fail(errc::invalid, "semop", EINVAL, object_ref::sysv_id(id_));
    if (steps.size() > most_steps) return fail(errc::too_long, "semop", E2BIG, object_ref::sysv_id(id_));
    step_array array{steps, wait.until.is_immediate()};
    return run(id_, {array.steps, array.size}, array.may_refuse, wait);
}

result<void> sysv_sem::step(std::uint16_t number, int amount, int sign, sem_undo undo,
                            const wait_policy& wait) const noexcept {
    // 0 would turn P into "wait for zero", and more than SEMVMX would wait for ever.
    if (amount < 1 || amount > sysv_sem_max_value)
        return fail(errc::invalid, "semtimedop", ERANGE, object_ref::sysv_id(id_));
    const bool immediate = wait.until.is_immediate();
    sembuf one{
        .sem_num = number,
        .sem_op = static_cast<short>(sign * amount),
        .sem_flg = static_cast<short>((undo == sem_undo::at_exit ? SEM_UNDO : 0) | (immediate ? IPC_NOWAIT : 0))};
    return run(id_, {&one, 1}, immediate, wait);
}

result<int> sysv_sem::value(std::uint16_t number) const noexcept {
    return detail::semaphore_control(id_, number, GETVAL, "semctl(GETVAL)");
}
result<pid_t> sysv_sem::last_pid(std::uint16_t number) const noexcept {
    return detail::semaphore_control(id_, number, GETPID, "semctl(GETPID)");
}
result<int> sysv_sem::waiters(std::uint16_t number) const noexcept {
    return detail::semaphore_control(id_, number, GETNCNT, "semctl(GETNCNT)");
}
result<int> sysv_sem::zero_waiters(std::uint16_t number) const noexcept {
    return detail::semaphore_control(id_, number, GETZCNT, "semctl(GETZCNT)");
}

result<void> sysv_sem::set_value(std::uint16_t number, int value) const noexcept {
    return detail::without_value(detail::semaphore_control(id_, number, SETVAL, "semctl(SETVAL)", {.val = value}));
}

// GETALL and SETALL take as many numbers as the set has, without asking how many there are places for.
result<void> sysv_sem::check_size(std::size_t size, const char* operation) const noexcept {
    std::size_t count = count_;
    if (count == 0) {
        const auto now = status();
        if (!now) return fail(now.error());
        count = now->count;
    }
    if (size != count) return fail(errc::wrong_size, operation, 0, object_ref::sysv_id(id_));
    return {};
}

result<void> sysv_sem::values(std::span<std::uint16_t> into) const noexcept {
    if (auto right = check_size(into.size(), "semctl(GETALL)"); !right) return right;
    return detail::without_value(detail::set_control(id_, GETALL, "semctl(GETALL)", {.array = into.data()}));
}

result<void> sysv_sem::set_values(std::span<const std::uint16_t> from) const noexcept {
    if (auto right = check_size(from.size(), "semctl(SETALL)"); !right) return right;
    return detail::without_value(detail::set_control(id_, SETALL, "semctl(SETALL)",
                                                     {.array = const_cast<std::uint16_t*>(from.data())}));  // only read
}

result<sysv_sem_status> sysv_sem::status() const noexcept {
    semid_ds raw;
    const auto done = detail::set_control(id_, IPC_STAT, "semctl(IPC_STAT)", {.buf = &raw});
    if (!done) return fail(done.error());
    return detail::status_from(raw);
}

result<void> sysv_sem::change(const sysv_sem_change& wish) const noexcept {
    const auto right = detail::check_sysv_mode(wish.mode.value_or(0), "semctl(IPC_SET)", object_ref::sysv_id(id_));
    if (!right) return right;
    semid_ds raw{};
    auto done = detail::set_control(id_, IPC_STAT, "semctl(IPC_STAT)", {.buf = &raw});
    if (!done) return fail(done.error());
    raw.sem_perm.uid = wish.uid.value_or(raw.sem_perm.uid);
    raw.sem_perm.gid = wish.gid.value_or(raw.sem_perm.gid);
    raw.sem_perm.mode = static_cast<decltype(raw.sem_perm.mode)>(wish.mode.value_or(raw.sem_perm.mode));
    return detail::without_value(detail::set_control(id_, IPC_SET, "semctl(IPC_SET)", {.buf = &raw}));
}

result<void> sysv_sem::remove() const noexcept {
    return detail::without_value(detail::set_control(id_, IPC_RMID, "semctl(IPC_RMID)", {}));
}

}  // namespace kith::inline KITH_ABI::sys
