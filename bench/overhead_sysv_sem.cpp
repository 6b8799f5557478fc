// System V semaphore sets.
#include <sys/ipc.h>
#include <sys/sem.h>
#include <array>
#include <kith/sys/sysv_sem.hpp>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr int batch = 10000;  // below the highest value

struct set {
    set() = default;
    ~set() { ::semctl(id(), 0, IPC_RMID); }
    set(const set&) = delete;
    set& operator=(const set&) = delete;
    [[nodiscard]] int id() const { return sem.native_id(); }
    void at(int value) const { must_be(::semctl(id(), 0, SETVAL, value) == 0); }
    void bare(short delta, short flags) const {
        sembuf step{.sem_num = 0, .sem_op = delta, .sem_flg = flags};
        must_be(::semtimedop(id(), &step, 1, nullptr) == 0);
    }

    sysv_sem sem = *must(sysv_sem::open(sysv_key::private_object(), {.create = creation::must_be_new, .count = 4}));
};
set make() { return {}; }
constexpr auto at_zero = [](set& s) { s.at(0); };
constexpr auto high = [](set& s) { s.at(batch); };

const pair post = compare_in_batches(
    "sysv_sem post", batch, make, [](set& s) { s.bare(1, 0); }, [](set& s) { must(s.sem.post(0)); }, at_zero);
const pair wait = compare_in_batches(
    "sysv_sem wait", batch, make, [](set& s) { s.bare(-1, 0); }, [](set& s) { must(s.sem.wait(0)); }, high);
const pair wait_now = compare_in_batches(
    "sysv_sem wait, immediate", batch, make, [](set& s) { s.bare(-1, IPC_NOWAIT); },
    [](set& s) { must(s.sem.wait(0, 1, sem_undo::no, kith::deadline::immediate())); }, high);
const pair wait_in_vain = compare(
    "sysv_sem wait in vain, immediate", make,
    [](set& s) {
        sembuf step{.sem_num = 0, .sem_op = -1, .sem_flg = IPC_NOWAIT};
        must_be(::semtimedop(s.id(), &step, 1, nullptr) != 0);
    },
    [](set& s) { must_be(!s.sem.wait(0, 1, sem_undo::no, kith::deadline::immediate())); });
const pair undo = compare(
    "sysv_sem wait and post with undo",
    [] {
        struct one : set {
            one() { at(1); }
        };
        return one{};
    },
    [](set& s) { s.bare(-1, SEM_UNDO), s.bare(1, SEM_UNDO); },
    [](set& s) {
        must(s.sem.wait(0, 1, sem_undo::at_exit));
        must(s.sem.post(0, 1, sem_undo::at_exit));
    });
const pair apply = compare_in_batches(
    "sysv_sem apply, 3 steps", batch, make,
    [](set& s) {
        std::array<sembuf, 3> steps{{{0, 1, 0}, {1, 1, 0}, {1, -1, 0}}};
        must_be(::semtimedop(s.id(), steps.data(), steps.size(), nullptr) == 0);
    },
    [](set& s) {
        const std::array<sem_operation, 3> steps{
            {{.number = 0, .delta = 1}, {.number = 1, .delta = 1}, {.number = 1, .delta = -1}}};
        must(s.sem.apply(steps));
    },
    at_zero);
const pair value = compare(
    "sysv_sem value", make, [](set& s) { must_be(::semctl(s.id(), 0, GETVAL) >= 0); },
    [](set& s) { must(s.sem.value(0)); });
const pair set_value = compare(
    "sysv_sem set_value", make, [](set& s) { must_be(::semctl(s.id(), 0, SETVAL, 1) >= 0); },
    [](set& s) { must(s.sem.set_value(0, 1)); });
const pair values = compare(
    "sysv_sem values", make,
    [](set& s) {
        std::array<unsigned short, 4> all{};
        must_be(::semctl(s.id(), 0, GETALL, all.data()) == 0);
        benchmark::DoNotOptimize(all);
    },
    [](set& s) {
        std::array<std::uint16_t, 4> all{};
        must(s.sem.values(all));
        benchmark::DoNotOptimize(all);
    });
const pair set_values = compare(
    "sysv_sem set_values", make,
    [](set& s) {
        std::array<unsigned short, 4> all{};
        must_be(::semctl(s.id(), 0, SETALL, all.data()) == 0);
    },
    [](set& s) {
        const std::array<std::uint16_t, 4> all{};
        must(s.sem.set_values(all));
    });
const pair last_pid = compare(
    "sysv_sem last_pid", make, [](set& s) { must_be(::semctl(s.id(), 0, GETPID) >= 0); },
    [](set& s) { must(s.sem.last_pid(0)); });
const pair waiters = compare(
    "sysv_sem waiters", make, [](set& s) { must_be(::semctl(s.id(), 0, GETNCNT) == 0); },
    [](set& s) { must(s.sem.waiters(0)); });
const pair zero_waiters = compare(
    "sysv_sem zero_waiters", make, [](set& s) { must_be(::semctl(s.id(), 0, GETZCNT) == 0); },
    [](set& s) { must(s.sem.zero_waiters(0)); });
const pair wait_for_zero =
    compare("sysv_sem wait_for_zero", make, [](set& s) { s.bare(0, 0); }, [](set& s) { must(s.sem.wait_for_zero(0)); });
const pair status = compare(
    "sysv_sem status", make,
    [](set& s) {
        semid_ds state{};
        must_be(::semctl(s.id(), 0, IPC_STAT, &state) == 0);
        benchmark::DoNotOptimize(state);
    },
    [](set& s) { must(s.sem.status()); });

}  // namespace
