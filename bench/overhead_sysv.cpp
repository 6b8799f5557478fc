// System V queues, semaphore sets and memory segments, private ones.
#include <kith/sys/sysv_mq.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <kith/sys/sysv_shm.hpp>

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr sysv_key fresh = sysv_key::private_object();

struct queue {
    sysv_mq mq = *must(sysv_mq::open(fresh, {.create = creation::must_be_new}));
    message_buffer<64> buffer;
    queue() = default;
    ~queue() { must(mq.remove()); }
    queue(const queue&) = delete;
    queue& operator=(const queue&) = delete;
    [[nodiscard]] int id() const { return mq.native_id(); }
    void bare_send() { must_be(::msgsnd(id(), &buffer, 64, 0) == 0); }
    void bare_receive() { must_be(::msgrcv(id(), &buffer, 64, 0, 0) >= 0); }
};

const pair send_in_place{"sysv_mq send 64 B in place, taken by the bare call",
                         [](benchmark::State& state) {
                             queue one;
                             each(state, [&] {
                                 one.bare_send();
                                 one.bare_receive();
                             });
                         },
                         [](benchmark::State& state) {
                             queue one;
                             each(state, [&] {
                                 must(one.mq.send(one.buffer.space(), 64));
                                 one.bare_receive();
                             });
                         }};
const pair receive_in_place{"sysv_mq receive 64 B in place, sent by the bare call",
                            [](benchmark::State& state) {
                                queue one;
                                each(state, [&] {
                                    one.bare_send();
                                    one.bare_receive();
                                });
                            },
                            [](benchmark::State& state) {
                                queue one;
                                each(state, [&] {
                                    one.bare_send();
                                    must(one.mq.receive(one.buffer.space()));
                                });
                            }};
const pair queue_status{"sysv_mq status",
                        [](benchmark::State& state) {
                            queue one;
                            msqid_ds now{};
                            each(state, [&] { must_be(::msgctl(one.id(), IPC_STAT, &now) == 0); });
                        },
                        [](benchmark::State& state) {
                            queue one;
                            each(state, [&] { must(one.mq.status()); });
                        }};

struct set {
    static constexpr std::uint16_t first[] = {1};
    sysv_sem sem = *must(sysv_sem::open(fresh, {.create = creation::must_be_new, .values = first}));
    set() = default;
    ~set() { must(sem.remove()); }
    set(const set&) = delete;
    set& operator=(const set&) = delete;
    void bare(short delta, short flags) const {
        sembuf one{0, delta, flags};
        must_be(::semop(sem.native_id(), &one, 1) == 0);
    }
};

const pair wait_and_post{"sysv_sem wait and post",
                         [](benchmark::State& state) {
                             const set one;
                             each(state, [&] {
                                 one.bare(-1, 0);
                                 one.bare(1, 0);
                             });
                         },
                         [](benchmark::State& state) {
                             const set one;
                             each(state, [&] {
                                 must(one.sem.wait(0));
                                 must(one.sem.post(0));
                             });
                         }};
const pair wait_and_post_with_undo{"sysv_sem wait and post with undo",
                                   [](benchmark::State& state) {
                                       const set one;
                                       each(state, [&] {
                                           one.bare(-1, SEM_UNDO);
                                           one.bare(1, SEM_UNDO);
                                       });
                                   },
                                   [](benchmark::State& state) {
                                       const set one;
                                       each(state, [&] {
                                           must(one.sem.wait(0, 1, sem_undo::at_exit));
                                           must(one.sem.post(0, 1, sem_undo::at_exit));
                                       });
                                   }};
const pair set_value{"sysv_sem value",
                     [](benchmark::State& state) {
                         const set one;
                         each(state, [&] { must_be(::semctl(one.sem.native_id(), 0, GETVAL) == 1); });
                     },
                     [](benchmark::State& state) {
                         const set one;
                         each(state, [&] { must(one.sem.value(0)); });
                     }};

const pair attach{"sysv_shm attach and detach",
                  [](benchmark::State& state) {
                      const auto shm = must(sysv_shm::open(fresh, {.create = creation::must_be_new, .size = 4096}));
                      each(state, [&] {
                          void* at = ::shmat(shm->native_id(), nullptr, 0);
                          ::shmdt(at);
                      });
                      must(shm->remove());
                  },
                  [](benchmark::State& state) {
                      const auto shm = must(sysv_shm::open(fresh, {.create = creation::must_be_new, .size = 4096}));
                      each(state, [&] { must(shm->attach()); });
                      must(shm->remove());
                  }};

}  // namespace
