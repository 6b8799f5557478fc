// What waits in user space: POSIX semaphores, robust mutexes, futexes.
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
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
    std::string file = "/dev/shm/sem." + name.substr(1);
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
const pair open_named = compare(
    "posix_sem open an existing one (stat: it has the size of one) and close", make_named,
    [](named& s) {
        sem_t* const opened = ::sem_open(s.name.c_str(), 0);
        struct stat file{};
        must_be(opened != SEM_FAILED && ::stat(s.file.c_str(), &file) == 0 && file.st_size == sizeof(sem_t));
        ::sem_close(opened);
    },
    [](named& s) { must(posix_sem::open(s.name)); });
const pair new_named = compare(
    "posix_sem open a new one, close and unlink_posix_sem",
    [] { return "/kith_bench_new_" + std::to_string(::getpid()); },
    [](const std::string& name) {
        sem_t* const made = ::sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 0);
        must_be(made != SEM_FAILED && ::sem_close(made) == 0 && ::sem_unlink(name.c_str()) == 0);
    },
    [](const std::string& name) {
        must(posix_sem::open(name, {.create = creation::must_be_new}));
        must(unlink_posix_sem(name));
    });
const pair new_unnamed = compare(
    "unnamed_sem create_at and destroy", make_unnamed,
    [](unnamed& s) { must_be(::sem_init(s.sem->native(), 1, 0) == 0 && ::sem_destroy(s.sem->native()) == 0); },
    [](unnamed& s) { (*must(unnamed_sem::create_at(s.memory, 0)))->destroy(); });
const pair unnamed_value = compare(
    "unnamed_sem value", make_unnamed,
    [](unnamed& s) {
        int now = 0;
        must_be(::sem_getvalue(s.sem->native(), &now) == 0);
        benchmark::DoNotOptimize(now);
    },
    [](unnamed& s) { must(s.sem->value()); });
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

const pair create_mutex = compare(
    "robust_mutex create_at", [] { return mutex{}; },
    [](mutex& m) {
        pthread_mutexattr_t attributes;
        ::pthread_mutexattr_init(&attributes);
        ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        ::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
        must_be(::pthread_mutex_init(m.lock->native(), &attributes) == 0);
        ::pthread_mutexattr_destroy(&attributes);
    },
    [](mutex& m) { must(robust_mutex::create_at(m.memory)); });
// What the kernel writes when a holder dies; a death each time would be measured instead of the calls.
void holder_dies(mutex& m) { m.lock->native()->__data.__lock = FUTEX_OWNER_DIED; }
const pair repair = compare(
    "robust_mutex lock after a death, mark_consistent and unlock", [] { return mutex{}; },
    [](mutex& m) {
        holder_dies(m);
        must_be(::pthread_mutex_lock(m.lock->native()) == EOWNERDEAD);
        must_be(::pthread_mutex_consistent(m.lock->native()) == 0);
        must_be(::pthread_mutex_unlock(m.lock->native()) == 0);
    },
    [](mutex& m) {
        holder_dies(m);
        must_be(*must(m.lock->lock()) == guarded_state::owner_died);
        must(m.lock->mark_consistent());
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
const pair wait_any_on_changed = compare(
    "futex_wait_any on two words, one of which has changed (two loads)",
    [] {
        struct two {
            word a;
            word b;
        };
        return two{};
    },
    [](auto& w) {
        must_be(w.a.value.load(std::memory_order_acquire) == 0);
        must_be(w.b.value.load(std::memory_order_acquire) != 1);
    },
    [](auto& w) {
        const std::array<futex_word, 2> words{{{&w.a.value, 0}, {&w.b.value, 1}}};
        must(futex_wait_any(words));
    });

}  // namespace
