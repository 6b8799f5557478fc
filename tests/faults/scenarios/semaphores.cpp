#include <sys/sem.h>
#include <array>
#include <kith/compose/scoped_lock.hpp>
#include <kith/sys/futex.hpp>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/sysv_sem.hpp>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

constexpr std::array<std::uint16_t, 2> first{1, 0};
constexpr sysv_key key{0x4b01};

// What the errnos of semaphores mean where it is not the usual.
std::vector<allowance> of_sets(std::vector<allowance> others = {}) {
    others.insert(others.end(), {{SYS_semget, ENOSPC, errc::limit_reached, "SEMMNI or SEMMNS is reached"},
                                 {SYS_semctl, EINVAL, errc::removed, "no set has this id any more"},
                                 {SYS_semtimedop, EINVAL, errc::removed, "no set has this id any more"},
                                 {SYS_semtimedop, EFBIG, errc::invalid, "a number outside the set is no length"}});
    return others;
}

// Make, use, ask, remove.
class sysv_sem_use : public scenario {
public:
    ~sysv_sem_use() override {
        if (set_) [[maybe_unused]]
            const auto gone = set_->remove();
    }
    kith::result<void> act() override {
        const auto set = sysv_sem::open(key, {.create = creation::must_be_new, .values = first});
        if (!set) return kith::fail(set.error());
        set_ = *set;
        FAULT_TRY(set->wait(0));
        FAULT_TRY(set->post(0, 3));
        FAULT_TRY(set->value(0));
        FAULT_TRY(set->waiters(1));
        std::array<std::uint16_t, 2> values{};
        FAULT_TRY(set->values(values));
        FAULT_TRY(set->set_values(values));
        FAULT_TRY(set->set_value(1, 4));
        FAULT_TRY(set->status());
        FAULT_TRY(set->change({.mode = 0600}));
        FAULT_TRY(set->remove());
        set_.reset();
        return {};
    }

private:
    std::optional<sysv_sem> set_;
};
const listed<sysv_sem_use> use_of_set{"sysv_sem_use", of_sets()};

// Find a set that others made, or make it.
class sysv_sem_find : public scenario {
public:
    void prepare() override { set_ = *sysv_sem::open(key, {.create = creation::must_be_new, .values = first}); }
    ~sysv_sem_find() override {
        if (set_) [[maybe_unused]]
            const auto gone = set_->remove();
    }
    kith::result<void> act() override {
        FAULT_TRY(sysv_sem::open(key, {.create = creation::create_or_open, .values = first}));
        FAULT_TRY(sysv_sem::open(key));
        const auto limits = read_sysv_sem_limits();
        if (!limits) return kith::fail(limits.error());
        FAULT_TRY(sysv_sem_in_slot(limits->highest_slot));
        return {};
    }

private:
    std::optional<sysv_sem> set_;
};
const listed<sysv_sem_find> found_set{"sysv_sem_find",
                                      of_sets({{SYS_semget, ENOENT, {}, "removed in between: looked for again"},
                                               {SYS_semctl, EINVAL, {}, "removed in between: looked for again"},
                                               {SYS_semctl, EIDRM, {}, "removed in between: looked for again"},
                                               {SYS_semctl, EINVAL, errc::not_found, "removed in between", ENOENT},
                                               {SYS_semctl, EIDRM, errc::not_found, "removed in between", ENOENT},
                                               {SYS_semctl, EINVAL, errc::not_found, "no set in that slot"}})};

// A wait that ends at its deadline.
class sysv_sem_wait : public scenario {
public:
    void prepare() override {
        set_ = *sysv_sem::open(sysv_key::private_object(), {.create = creation::must_be_new, .count = 1});
    }
    ~sysv_sem_wait() override {
        if (set_) [[maybe_unused]]
            const auto gone = set_->remove();
    }
    kith::result<void> act() override {
        FAULT_FAILS(set_->wait(0, 1, sem_undo::no, deadline::in(std::chrono::milliseconds{1})), errc::timed_out);
        return {};
    }

private:
    std::optional<sysv_sem> set_;
};
const listed<sysv_sem_wait> wait_on_set{"sysv_sem_wait", of_sets()};

// A set whose creator has not come further than making it.
class sysv_sem_unready : public scenario {
public:
    void prepare() override { set_ = sysv_sem::from_id(::semget(key.value(), 1, IPC_CREAT | IPC_EXCL | 0600), 1); }
    ~sysv_sem_unready() override {
        if (set_) (void)set_->remove();
    }
    kith::result<void> act() override {
        FAULT_FAILS(sysv_sem::open(key, {}, deadline::in(std::chrono::milliseconds{1})), errc::timed_out);
        return {};
    }

private:
    std::optional<sysv_sem> set_;
};
const listed<sysv_sem_unready> unready_set{"sysv_sem_unready",
                                           of_sets({{SYS_semctl, EINVAL, errc::not_found, "removed in between", ENOENT},
                                                    {SYS_semctl, EIDRM, errc::not_found, "removed in between", ENOENT},
                                                    {SYS_clock_nanosleep, any_error, {}, "looks again at once"}})};

// Open, use, unlink. Making stays undisturbed: glibc makes a temporary name and unlinks it, and if that failed nobody
// could clean up after it.
class posix_sem_use : public scenario {
public:
    void prepare() override {
        [[maybe_unused]] const auto made = posix_sem::open(name, {.create = creation::must_be_new, .value = 1});
    }
    ~posix_sem_use() override { [[maybe_unused]] const auto gone = unlink_posix_sem(name); }
    kith::result<void> act() override {
        const auto found = posix_sem::open(name);
        if (!found) return kith::fail(found.error());
        FAULT_TRY(found->wait());
        FAULT_TRY(found->post());
        FAULT_TRY(found->value());
        FAULT_TRY(unlink_posix_sem(name));
        return {};
    }

private:
    static constexpr const char* name = "/kith-faults";
};
const listed<posix_sem_use> use_of_named{
    "posix_sem_use",
    {{SYS_openat, ENODEV, errc::wrong_kind, "what has that name is no file"},
     {SYS_openat, ELOOP, errc::wrong_size, "glibc says EINVAL for a link: what has that name is no semaphore"},
     {SYS_mmap, ENODEV, errc::wrong_kind, "what has that name is no file"},
     {SYS_mmap, EINVAL, errc::wrong_size, "what has that name is no semaphore"},
     {SYS_newfstatat, any_error, {}, "the size cannot be asked: taken as it is"},
     {SYS_munmap, any_error, {}, "sem_close has nobody to tell"},
     {SYS_unlink, EPERM, errc::not_permitted, "glibc makes it EACCES, as POSIX has it", EACCES}}};

// A wait that ends at its deadline; glibc asks for nothing but futexes.
class posix_sem_wait : public scenario {
public:
    void prepare() override {
        semaphore_ = std::move(*posix_sem::open("/kith-faults", {.create = creation::must_be_new}));
        [[maybe_unused]] const auto gone = unlink_posix_sem("/kith-faults");
    }
    kith::result<void> act() override {
        FAULT_FAILS(semaphore_.wait(deadline::in(std::chrono::milliseconds{1})), errc::timed_out);
        return {};
    }

private:
    posix_sem semaphore_;
};
const listed<posix_sem_wait> wait_on_named{"posix_sem_wait",
                                           {{SYS_futex, ETIMEDOUT, {}, "the deadline decides, not one time-out"}}};

// Several words and one, each until its deadline.
class futex_sleep : public scenario {
public:
    kith::result<void> act() override {
        const std::array<std::atomic<std::uint32_t>, 2> words{};
        const std::array<futex_word, 2> both{{{&words[0], 0}, {&words[1], 0}}};
        const auto soon = std::chrono::milliseconds{1};
        const auto one = futex_wait(words[0], 0, deadline::in(soon));
        if (!one && one.error().code() != errc::timed_out) return kith::fail(one.error());
        const auto any = futex_wait_any(both, deadline::in(soon));
        if (!any && any.error().code() != errc::timed_out) return kith::fail(any.error());
        FAULT_TRY(futex_wake(words[0]));
        return {};
    }
};
const listed<futex_sleep> sleep_on_words{
    "futex_sleep",
    {{SYS_futex, ETIMEDOUT, {}, "the deadline decides"},
     {SYS_futex, EINTR, errc::stopped, "the kernel never interrupts FUTEX_WAKE"},
     {SYS_futex_waitv, any_error, {}, "missing: the words are looked at; or the deadline decides"}}};

// The scoped lock over a set.
class lock_use : public scenario {
public:
    void prepare() override {
        set_ = *sysv_sem::open(sysv_key::private_object(), {.create = creation::must_be_new, .values = first});
    }
    ~lock_use() override {
        if (set_) [[maybe_unused]]
            const auto gone = set_->remove();
    }
    kith::result<void> act() override {
        auto held = kith::compose::lock(*set_, 0);
        if (!held) return kith::fail(held.error());
        return held->unlock();
    }

private:
    std::optional<sysv_sem> set_;
};
const listed<lock_use> use_of_lock{"scoped_lock_use", of_sets()};

}  // namespace
