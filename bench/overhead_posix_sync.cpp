// What waits in user space: POSIX semaphores, robust mutexes, futexes.
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <kith/sys/futex.hpp>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/robust_mutex.hpp>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr int batch = 10000;

struct named {
    named() = default;
    ~named() { ::sem_unlink(name.c_str()); }
    named(const named&) = delete;
    named& operator=(const named&) = delete;
    [[nodiscard]] sem_t* raw() const { return sem.native(); }
    void empty() const {
        while (::sem_trywait(raw()) == 0) {
        }
    }
    void fill() const {
        for (int i = 0; i < batch; ++i) must_be(::sem_post(raw()) == 0);
    }
    std::string name = "/kith_bench_" + std::to_string(::getpid());
    posix_sem sem = std::move(*must(posix_sem::open(name, {.create = creation::must_be_new})));
};
struct unnamed {
    unnamed() = default;
    unnamed(const unnamed&) = delete;
    unnamed& operator=(const unnamed&) = delete;
    alignas(sem_t) std::array<std::byte, sizeof(sem_t)> memory{};
    unnamed_sem* sem = *must(unnamed_sem::create_at(memory, 0));
};
named make_named() { return {}; }
unnamed make_unnamed() { return {}; }

const pair post_and_wait = compare(
    "posix_sem post and wait", make_named,
    [](named& s) { must_be(::sem_post(s.raw()) == 0 && ::sem_wait(s.raw()) == 0); },
    [](named& s) { must(s.sem.post()), must(s.sem.wait()); });
const pair post = compare_in_batches(
    "posix_sem post", batch, make_named, [](named& s) { must_be(::sem_post(s.raw()) == 0); },
    [](named& s) { must(s.sem.post()); }, [](named& s) { s.empty(); });
const pair wait = compare_in_batches(
    "posix_sem wait", batch, make_named, [](named& s) { must_be(::sem_wait(s.raw()) == 0); },
    [](named& s) { must(s.sem.wait()); }, [](named& s) { s.fill(); });
const pair try_wait = compare_in_batches(
    "posix_sem wait, immediate", batch, make_named, [](named& s) { must_be(::sem_trywait(s.raw()) == 0); },
    [](named& s) { must(s.sem.wait(kith::deadline::immediate())); }, [](named& s) { s.fill(); });
const pair wait_in_vain = compare(
    "posix_sem wait in vain, immediate", make_named, [](named& s) { must_be(::sem_trywait(s.raw()) != 0); },
    [](named& s) { must_be(!s.sem.wait(kith::deadline::immediate())); });
const pair value = compare(
    "posix_sem value", make_named,
    [](named& s) {
        int now = 0;
        must_be(::sem_getvalue(s.raw(), &now) == 0);
        benchmark::DoNotOptimize(now);
    },
    [](named& s) { must(s.sem.value()); });
const pair unnamed_post_and_wait = compare(
    "unnamed_sem post and wait", make_unnamed,
    [](unnamed& s) { must_be(::sem_post(s.sem->native()) == 0 && ::sem_wait(s.sem->native()) == 0); },
    [](unnamed& s) { must(s.sem->post()), must(s.sem->wait()); });

struct mutex {
    mutex() = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;
    alignas(pthread_mutex_t) std::array<std::byte, sizeof(pthread_mutex_t)> memory{};
    robust_mutex* lock = *must(robust_mutex::create_at(memory));
};
const pair lock_and_unlock = compare(
    "robust_mutex lock and unlock", [] { return mutex{}; },
    [](mutex& m) {
        must_be(::pthread_mutex_lock(m.lock->native()) == 0);
        must_be(::pthread_mutex_unlock(m.lock->native()) == 0);
    },
    [](mutex& m) {
        must(m.lock->lock());
        must(m.lock->unlock());
    });

struct word {
    std::atomic<std::uint32_t> value{0};
};
const pair wake = compare(
    "futex_wake of nobody", [] { return word{}; },
    [](word& w) { must_be(::syscall(SYS_futex, &w.value, FUTEX_WAKE, 1) == 0); },
    [](word& w) { must(futex_wake(w.value)); });
const pair wait_on_changed = compare(
    "futex_wait on a word that has changed (a load)", [] { return word{}; },
    [](word& w) { must_be(w.value.load(std::memory_order_acquire) != 1); },
    [](word& w) { must(futex_wait(w.value, 1)); });

}  // namespace
