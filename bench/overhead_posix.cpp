// POSIX queues, semaphores and memory, and memfds.
#include <kith/sys/memfd.hpp>
#include <kith/sys/posix_mq.hpp>
#include <kith/sys/posix_sem.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <string>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

struct queue {
    std::string name = "/kith-bench-" + std::to_string(::getpid());
    posix_mq mq = std::move(
        *must(posix_mq::open(name, {.create = creation::must_be_new, .max_messages = 4, .message_size = 64})));
    std::array<std::byte, 64> buffer{};
    queue() { must(unlink_posix_mq(name)); }
    [[nodiscard]] mqd_t id() const { return mq.native().get(); }
    void bare_send() { must_be(::mq_send(id(), reinterpret_cast<char*>(buffer.data()), 64, 0) == 0); }
    void bare_receive() { must_be(::mq_receive(id(), reinterpret_cast<char*>(buffer.data()), 64, nullptr) >= 0); }
};

const pair send{"posix_mq send 64 B, taken by the bare call",
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
                        must(one.mq.send(one.buffer));
                        one.bare_receive();
                    });
                }};
const pair receive{"posix_mq receive 64 B, sent by the bare call",
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
                           must(one.mq.receive(one.buffer));
                       });
                   }};
const pair attributes{"posix_mq attributes",
                      [](benchmark::State& state) {
                          queue one;
                          mq_attr now{};
                          each(state, [&] { must_be(::mq_getattr(one.id(), &now) == 0); });
                      },
                      [](benchmark::State& state) {
                          queue one;
                          each(state, [&] { must(one.mq.attributes()); });
                      }};

struct semaphore {
    std::string name = "/kith-bench-" + std::to_string(::getpid());
    posix_sem sem = std::move(*must(posix_sem::open(name, {.create = creation::must_be_new, .value = 1})));
    semaphore() { must(unlink_posix_sem(name)); }
};

const pair wait_and_post{"posix_sem wait and post",
                         [](benchmark::State& state) {
                             semaphore one;
                             each(state, [&] {
                                 must_be(::sem_wait(one.sem.native()) == 0);
                                 must_be(::sem_post(one.sem.native()) == 0);
                             });
                         },
                         [](benchmark::State& state) {
                             semaphore one;
                             each(state, [&] {
                                 must(one.sem.wait());
                                 must(one.sem.post());
                             });
                         }};

const pair map_memory{"memfd map (its size asked) and unmap",
                      [](benchmark::State& state) {
                          const auto fd = must(memfd::create("kith-bench", {.size = 4096}));
                          each(state, [&] {
                              struct stat file{};
                              must_be(::fstat(fd->native().get(), &file) == 0);
                              void* at =
                                  ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd->native().get(), 0);
                              ::munmap(at, 4096);
                          });
                      },
                      [](benchmark::State& state) {
                          const auto fd = must(memfd::create("kith-bench", {.size = 4096}));
                          each(state, [&] { must(fd->map()); });
                      }};
const pair ask_seals{"memfd current_seals",
                     [](benchmark::State& state) {
                         const auto fd = must(memfd::create("kith-bench", {.size = 4096}));
                         each(state, [&] { must_be(::fcntl(fd->native().get(), F_GET_SEALS) >= 0); });
                     },
                     [](benchmark::State& state) {
                         const auto fd = must(memfd::create("kith-bench", {.size = 4096}));
                         each(state, [&] { must(fd->current_seals()); });
                     }};

}  // namespace
