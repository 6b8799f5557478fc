// What the three System V mechanisms share: ids, owners and modes, limits, the kernel's tables, removal.
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>
#include <kith/sys/sysv_mq.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <kith/sys/sysv_shm.hpp>
#include <type_traits>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr auto of_our_own = sysv_key::private_object();

// In which slot of the kernel's table the object with this id is: the index is the low half of the id.
constexpr int slot_of(int id) { return id & 0x7fff; }

template <class Object>
struct made {
    made() = default;
    ~made() { must(object.remove()); }
    made(const made&) = delete;
    made& operator=(const made&) = delete;
    [[nodiscard]] int id() const { return object.native_id(); }
    [[nodiscard]] int slot() const { return slot_of(id()); }
    Object object = *must(Object::open(of_our_own, first()));
    static auto first() {
        if constexpr (std::is_same_v<Object, sysv_mq>)
            return sysv_mq_options{.create = creation::must_be_new};
        else if constexpr (std::is_same_v<Object, sysv_sem>)
            return sysv_sem_options{.create = creation::must_be_new, .count = 4};
        else
            return sysv_shm_options{.create = creation::must_be_new, .size = 4096};
    }
};
using queue = made<sysv_mq>;
using set = made<sysv_sem>;
using segment = made<sysv_shm>;
queue make_queue() { return {}; }
set make_set() { return {}; }
segment make_segment() { return {}; }

constexpr unsigned mode = 0600;

const pair queue_by_id = compare(
    "sysv_mq open_id", make_queue,
    [](queue& q) {
        msqid_ds state;
        must_be(::msgctl(q.id(), IPC_STAT, &state) == 0);
        benchmark::DoNotOptimize(state);
    },
    [](queue& q) { must(sysv_mq::open_id(q.id())); });
const pair change_queue = compare(
    "sysv_mq change (msgctl twice: what is left out stays)", make_queue,
    [](queue& q) {
        msqid_ds state{};
        must_be(::msgctl(q.id(), IPC_STAT, &state) == 0);
        state.msg_perm.mode = mode;
        must_be(::msgctl(q.id(), IPC_SET, &state) == 0);
    },
    [](queue& q) { must(q.object.change({.mode = mode})); });
const pair queue_limits = compare(
    "sysv_mq read_sysv_mq_limits (msgctl twice)", no_object,
    [](nothing) {
        msginfo limits{};
        msginfo used{};
        must_be(::msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&limits)) >= 0);
        must_be(::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&used)) >= 0);
        benchmark::DoNotOptimize(limits), benchmark::DoNotOptimize(used);
    },
    [](nothing) { must(read_sysv_mq_limits()); });
const pair queue_in_slot = compare(
    "sysv_mq sysv_mq_in_slot", make_queue,
    [](queue& q) {
        msqid_ds state;
        must_be(::msgctl(q.slot(), MSG_STAT_ANY, &state) == q.id());
        benchmark::DoNotOptimize(state);
    },
    [](queue& q) { must_be(must(sysv_mq_in_slot(q.slot()))->id == q.id()); });
const pair new_queue = compare(
    "sysv_mq open a new one and remove", no_object,
    [](nothing) { must_be(::msgctl(::msgget(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | mode), IPC_RMID, nullptr) == 0); },
    [](nothing) { must(must(sysv_mq::open(of_our_own, queue::first()))->remove()); });

const pair set_by_id = compare(
    "sysv_sem open_id", make_set,
    [](set& s) {
        semid_ds state;
        must_be(::semctl(s.id(), 0, IPC_STAT, &state) == 0);
        benchmark::DoNotOptimize(state);
    },
    [](set& s) { must(sysv_sem::open_id(s.id())); });
const pair change_set = compare(
    "sysv_sem change (semctl twice: what is left out stays)", make_set,
    [](set& s) {
        semid_ds state{};
        must_be(::semctl(s.id(), 0, IPC_STAT, &state) == 0);
        state.sem_perm.mode = mode;
        must_be(::semctl(s.id(), 0, IPC_SET, &state) == 0);
    },
    [](set& s) { must(s.object.change({.mode = mode})); });
const pair set_limits = compare(
    "sysv_sem read_sysv_sem_limits (semctl twice)", no_object,
    [](nothing) {
        seminfo limits{};
        seminfo used{};
        must_be(::semctl(0, 0, IPC_INFO, &limits) >= 0 && ::semctl(0, 0, SEM_INFO, &used) >= 0);
        benchmark::DoNotOptimize(limits), benchmark::DoNotOptimize(used);
    },
    [](nothing) { must(read_sysv_sem_limits()); });
const pair set_in_slot = compare(
    "sysv_sem sysv_sem_in_slot", make_set,
    [](set& s) {
        semid_ds state;
        must_be(::semctl(s.slot(), 0, SEM_STAT_ANY, &state) == s.id());
        benchmark::DoNotOptimize(state);
    },
    [](set& s) { must_be(must(sysv_sem_in_slot(s.slot()))->id == s.id()); });
const pair new_set = compare(
    "sysv_sem open a new one (semop: it is ready) and remove", no_object,
    [](nothing) {
        const int id = ::semget(IPC_PRIVATE, 4, IPC_CREAT | IPC_EXCL | mode);
        sembuf nothing_yet{.sem_num = 0, .sem_op = 0, .sem_flg = IPC_NOWAIT};
        must_be(::semop(id, &nothing_yet, 1) == 0 && ::semctl(id, 0, IPC_RMID) == 0);
    },
    [](nothing) { must(must(sysv_sem::open(of_our_own, set::first()))->remove()); });

const pair segment_by_id = compare(
    "sysv_shm open_id", make_segment,
    [](segment& s) {
        shmid_ds state;
        must_be(::shmctl(s.id(), IPC_STAT, &state) == 0);
        benchmark::DoNotOptimize(state);
    },
    [](segment& s) { must(sysv_shm::open_id(s.id())); });
const pair change_segment = compare(
    "sysv_shm change (shmctl twice: what is left out stays)", make_segment,
    [](segment& s) {
        shmid_ds state{};
        must_be(::shmctl(s.id(), IPC_STAT, &state) == 0);
        state.shm_perm.mode = mode;
        must_be(::shmctl(s.id(), IPC_SET, &state) == 0);
    },
    [](segment& s) { must(s.object.change({.mode = mode})); });
const pair segment_limits = compare(
    "sysv_shm read_sysv_shm_limits (shmctl twice)", no_object,
    [](nothing) {
        shminfo limits{};
        shm_info used{};
        must_be(::shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&limits)) >= 0);
        must_be(::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&used)) >= 0);
        benchmark::DoNotOptimize(limits), benchmark::DoNotOptimize(used);
    },
    [](nothing) { must(read_sysv_shm_limits()); });
const pair segment_in_slot = compare(
    "sysv_shm sysv_shm_in_slot", make_segment,
    [](segment& s) {
        shmid_ds state;
        must_be(::shmctl(s.slot(), SHM_STAT_ANY, &state) == s.id());
        benchmark::DoNotOptimize(state);
    },
    [](segment& s) { must_be(must(sysv_shm_in_slot(s.slot()))->id == s.id()); });
const pair new_segment = compare(
    "sysv_shm open a new one and remove", no_object,
    [](nothing) {
        must_be(::shmctl(::shmget(IPC_PRIVATE, 4096, IPC_CREAT | IPC_EXCL | mode), IPC_RMID, nullptr) == 0);
    },
    [](nothing) { must(must(sysv_shm::open(of_our_own, segment::first()))->remove()); });
const pair lock_segment = compare(
    "sysv_shm lock and unlock", make_segment,
    [](segment& s) { must_be(::shmctl(s.id(), SHM_LOCK, nullptr) == 0 && ::shmctl(s.id(), SHM_UNLOCK, nullptr) == 0); },
    [](segment& s) { must(s.object.lock()), must(s.object.unlock()); });

const pair key_from_path = compare(
    "sysv_key from_path", no_object, [](nothing) { must_be(::ftok("/dev/shm", 1) != -1); },
    [](nothing) { must(sysv_key::from_path("/dev/shm", 1)); });

}  // namespace
