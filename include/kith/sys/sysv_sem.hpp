// kith/sys/sysv_sem.hpp - System V semaphore sets, as semget(2), semop(2) and semctl(2) give them.
//
// A set is an array of counters from 0 to 32767 that lives in the kernel until somebody removes it. `wait`
// (P) takes any amount from a counter and sleeps until there is that much; `post` (V) gives back; `apply`
// does several of these at once, all or nothing; and the kernel takes back what a process did with `undo`
// when it ends, however it ends. The same verbs serve POSIX semaphores (kith/sys/posix_sem.hpp).
//
// When to use it: a lock or a count of free places that must come back if its holder is killed. Its weak
// sides: slower than a POSIX semaphore (each call is a system call), machine-wide limits, no descriptor to
// poll, no fairness (a waiter for 5 can starve behind a stream of waiters for 1). Undo restores a number,
// not the data: where the survivor must know that the holder died, use kith/sys/robust_mutex.hpp.
//
// Undo: counted per process and semaphore and shared by its threads, so it is applied when the last thread ends.
// Kept across exec, not inherited by fork. set_value and set_values erase what is pending, for every process.
// A subtraction at exit stops at 0: if another process took what was posted with undo, the rest is lost.
// Waiting: semtimedop(2) with what is left of the time. With a stop token the wait is cut in slices of 20 ms
// (event `polling`), and a waiter queues anew for each. Setting the wall clock changes nothing.
// Thread safety: a set is named by its id, so an object is a value: all calls from any threads. There is nothing to
// close; remove() ends every wait with `removed`. Fork and exec: ids stay valid. Signal handlers: apply, wait and
// post are safe. Crash: killed inside a call, an array was applied whole or not at all.
// Ids and keys belong to the IPC namespace: the same key inside a container names another set, or none.
#pragma once
#include <sys/types.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <kith/result.hpp>
#include <kith/sys/creation.hpp>
#include <kith/sys/sysv_key.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::sys {

/// The largest value of a System V semaphore (SEMVMX).
inline constexpr int sysv_sem_max_value = 32767;

/// How long opening waits for a set's creator to finish where the caller names no deadline. Creating takes two
/// system calls, so a creator that takes longer is dead or stopped.
inline constexpr std::chrono::seconds sysv_sem_creator_patience{5};

/// Whether the kernel takes an operation back when the process ends.
enum class sem_undo : bool { no, at_exit };

/// One step of apply(). Steps are tried in order, each on the values that those before it would leave.
struct sem_operation {
    std::uint16_t number = 0;  ///< which semaphore of the set, from 0
    std::int16_t delta = 0;    ///< > 0 adds (V); < 0 waits until that much is there and takes it (P); 0 waits for zero
    bool undo = false;         ///< taken back when the process ends (SEM_UNDO); no meaning for delta 0
    bool no_wait = false;      ///< if this step cannot be done now, nothing is done: `would_block` (IPC_NOWAIT)
};

/// What opening does about values that may not be set yet.
enum class sem_readiness : bool {
    from_creator,  ///< wait until the creator has set them, which it shows by a first semop(2): sem_otime is not 0
    assumed,       ///< take the set as it is: made by ipcmk(1) or by a program that makes no such first semop
};

/// How a set is opened or made.
struct sysv_sem_options {
    creation create = creation::must_exist;
    std::span<const std::uint16_t> values{};  ///< first values of a new set; empty: all 0. Not applied to a found one
    std::size_t count = 0;                    ///< semaphores in the set; 0: as many as `values`, or, if that is empty
                                              ///< too, any number in a found set
    unsigned mode = 0600;                     ///< rights of a new set: read, alter. The umask does not apply
    sem_readiness ready = sem_readiness::from_creator;
};

/// What semctl(IPC_STAT) tells. Times are 0 (1970) until it happens for the first time.
struct sysv_sem_status {
    sysv_key key{0};    ///< private_object() for one without a key
    std::size_t count;  ///< semaphores in the set
    unsigned uid, gid, creator_uid, creator_gid;
    unsigned mode;                                         ///< the nine permission bits
    std::chrono::system_clock::time_point last_operation;  ///< sem_otime, to the second; 0: perhaps not initialised
    std::chrono::system_clock::time_point last_change;     ///< sem_ctime: creation, IPC_SET, SETVAL, SETALL
};

/// What to change; what is left out stays.
struct sysv_sem_change {
    std::optional<unsigned> uid{}, gid{}, mode{};
};

/// A semaphore set. A value that names it; copies name the same set.
class sysv_sem {
public:
    /// Opens the set of a key, or makes it, without the initialisation race of semget(2): the creator sets the values
    /// and then makes one semop(2) that changes nothing; who finds the set waits until that has happened, until the
    /// deadline of `wait`, or for `sysv_sem_creator_patience` if there is none. If it does not happen, the creator died
    /// in between: `timed_out` with the operation "sem_otime"; remove the set and make it anew. With an immediate
    /// deadline that is `would_block`. Needs the right to read a found set.
    /// Errors: `not_found`, `exists`, `not_permitted`, `wrong_size` (found with another count), `invalid` (no count for
    /// a new set or more than SEMMSL, a value above 32767, `values` and `count` differ, must_exist with a private key,
    /// bits of the mode above 0777), `limit_reached` (SEMMNI, SEMMNS), `timed_out`, `would_block`, `stopped`,
    /// `out_of_memory`. After a failure nothing that was made here is left. semget(2).
    [[nodiscard]] KITH_EXPORT static result<sysv_sem> open(sysv_key key, const sysv_sem_options& options = {},
                                                           const wait_policy& wait = {}) noexcept;
    /// The set with this id, which must exist and be readable. Errors: `not_found`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT static result<sysv_sem> open_id(int id) noexcept;
    /// The set with this id, unchecked: for ids from somewhere else that may be altered but not read. `count` is the
    /// number of semaphores in it, or 0: then values() and set_values() ask for it each time (IPC_STAT).
    [[nodiscard]] static constexpr sysv_sem from_id(int id, std::size_t count = 0) noexcept {
        return sysv_sem{id, count, false};
    }

    [[nodiscard]] constexpr int native_id() const noexcept { return id_; }
    /// Whether opening it made it: the one process that finds true initialises what the set guards.
    [[nodiscard]] constexpr bool created() const noexcept { return created_; }

    /// Does all of `steps`, at once and atomically, or waits until that is possible. At most 500 (SEMOPM).
    /// Errors: `would_block`, `timed_out`, `stopped`, `removed` (while waiting: EIDRM; before: EINVAL),
    /// `invalid` (no step, a number outside the set: EFBIG, a value or an undo beyond 32767: ERANGE), `too_long`
    /// (more than SEMOPM steps), `not_permitted` (delta 0 needs read, others alter), `out_of_memory`,
    /// `limit_reached` (undo structures). semop(2).
    [[nodiscard]] KITH_EXPORT result<void> apply(std::span<const sem_operation> steps,
                                                 const wait_policy& wait = {}) const noexcept;

    /// Takes `amount` (1 to 32767) from semaphore `number`, waiting until there is that much. Errors: as apply().
    [[nodiscard]] result<void> wait(std::uint16_t number, int amount = 1, sem_undo undo = sem_undo::no,
                                    const wait_policy& wait = {}) const noexcept {
        return step(number, amount, -1, undo, wait);
    }
    /// Adds `amount` (1 to 32767) to semaphore `number`; never waits. Errors: as apply(); `invalid` with ERANGE
    /// above 32767.
    [[nodiscard]] result<void> post(std::uint16_t number, int amount = 1, sem_undo undo = sem_undo::no) const noexcept {
        return step(number, amount, 1, undo, {});
    }
    /// Waits until semaphore `number` is 0. Needs the right to read. Errors: as apply().
    [[nodiscard]] result<void> wait_for_zero(std::uint16_t number, const wait_policy& wait = {}) const noexcept {
        const sem_operation one{.number = number};
        return apply({&one, 1}, wait);
    }

    /// The value of one semaphore (GETVAL); stale on return. Errors: `removed`, `invalid`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT result<int> value(std::uint16_t number) const noexcept;
    /// Sets one value, 0 to 32767 (SETVAL), and erases every process's undo for it: for a set that nobody uses, or
    /// to repair one. Errors: as value(); `invalid` with ERANGE.
    [[nodiscard]] KITH_EXPORT result<void> set_value(std::uint16_t number, int value) const noexcept;
    /// All values at one moment (GETALL), into exactly as many places as the set has. Errors: as value();
    /// `wrong_size`.
    [[nodiscard]] KITH_EXPORT result<void> values(std::span<std::uint16_t> into) const noexcept;
    /// Sets all values (SETALL), and erases every process's undo for the set. Errors: as set_value(); `wrong_size`.
    [[nodiscard]] KITH_EXPORT result<void> set_values(std::span<const std::uint16_t> from) const noexcept;
    /// The process of the last operation or SETVAL (GETPID); 0 for none or one not visible here. It may have ended,
    /// and its number may belong to another process by now. Errors: as value().
    [[nodiscard]] KITH_EXPORT result<pid_t> last_pid(std::uint16_t number) const noexcept;
    /// How many wait for more (GETNCNT) and for zero (GETZCNT). Who waits with several steps is counted only where it
    /// is stuck now. Errors: as value().
    [[nodiscard]] KITH_EXPORT result<int> waiters(std::uint16_t number) const noexcept;
    [[nodiscard]] KITH_EXPORT result<int> zero_waiters(std::uint16_t number) const noexcept;

    /// IPC_STAT; needs the right to read. Errors: `removed`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT result<sysv_sem_status> status() const noexcept;
    /// Reads the status, changes it and writes it back (IPC_SET), in two calls. Errors: `removed`, `not_permitted`
    /// (EPERM: only owner, creator and CAP_SYS_ADMIN may).
    [[nodiscard]] KITH_EXPORT result<void> change(const sysv_sem_change& wish) const noexcept;
    /// Removes the set now; whoever waits in it gets `removed`. Errors: as change().
    [[nodiscard]] KITH_EXPORT result<void> remove() const noexcept;

    friend constexpr bool operator==(const sysv_sem& a, const sysv_sem& b) noexcept { return a.id_ == b.id_; }

private:
    struct opening;
    constexpr sysv_sem(int id, std::size_t count, bool created) noexcept : id_{id}, created_{created}, count_{count} {}
    [[nodiscard]] KITH_EXPORT result<void> step(std::uint16_t number, int amount, int sign, sem_undo undo,
                                                const wait_policy& wait) const noexcept;
    [[nodiscard]] result<void> check_size(std::size_t size, const char* operation) const noexcept;

    int id_;
    bool created_;
    std::size_t count_;
};

/// The limits of this IPC namespace (IPC_INFO, /proc/sys/kernel/sem) and what is used of them (SEM_INFO).
struct sysv_sem_limits {
    std::size_t per_set;     ///< SEMMSL: semaphores in one set
    std::size_t semaphores;  ///< SEMMNS: in all sets together
    std::size_t steps;       ///< SEMOPM: in one apply()
    std::size_t sets;        ///< SEMMNI
    std::size_t sets_in_use, semaphores_in_use;
    int highest_slot;  ///< the last slot worth asking sysv_sem_in_slot for
};
/// Errors: `unsupported` (a kernel without System V IPC).
[[nodiscard]] KITH_EXPORT result<sysv_sem_limits> read_sysv_sem_limits() noexcept;

/// A set found by its place in the kernel's table: the way to list all of them, as ipcs does.
struct listed_sysv_sem {
    int id;
    sysv_sem_status status;
};
/// The set in a slot, from 0 to `highest_slot`, readable or not (SEM_STAT_ANY). Errors: `not_found` (an empty slot).
[[nodiscard]] KITH_EXPORT result<listed_sysv_sem> sysv_sem_in_slot(int slot) noexcept;

}  // namespace kith::inline KITH_ABI::sys
