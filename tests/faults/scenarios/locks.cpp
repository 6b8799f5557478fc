// Locks and counters in memory that processes share: robust mutexes and unnamed semaphores.
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/robust_mutex.hpp>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>

#include "faults/other.hpp"
#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

// What both processes see.
class shared_page {
public:
    shared_page()
        : start_{static_cast<std::byte*>(
              ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))} {}
    ~shared_page() { ::munmap(start_, 4096); }
    shared_page(const shared_page&) = delete;
    shared_page& operator=(const shared_page&) = delete;
    [[nodiscard]] kith::byte_span part(std::size_t at) const { return {start_ + at, 256}; }

private:
    std::byte* start_;
};

// A mutex that another process holds.
class held_mutex : public scenario {
public:
    // The holder does `then` when it has the lock.
    template <class Function>
    void hold(Function then) {
        held_ = *robust_mutex::create_at(page_.part(0));
        auto* const ready = new (page_.part(512).data()) std::atomic<int>{0};
        holder_.run([&] {
            (void)held_->lock();
            *ready = 1;
            then();
        });
        look_until([&] { return *ready == 1; });
    }

protected:
    shared_page page_;
    robust_mutex* held_ = nullptr;

private:
    helper holder_;
};

// Locked, marked, unlocked; and waited for in vain.
class mutex_use : public held_mutex {
public:
    void prepare() override {
        hold([] {});
    }
    kith::result<void> act() override {
        FAULT_MAKE(mutex, robust_mutex::create_at(page_.part(256)));
        FAULT_TRY((*mutex)->lock());
        FAULT_TRY((*mutex)->unlock());
        FAULT_FAILS(held_->lock(deadline::in(std::chrono::milliseconds{1})), errc::timed_out);
        return {};
    }
};
const listed<mutex_use> use_of_mutex{"robust_mutex"};

// Waited for without an end, and given back.
class mutex_wait : public held_mutex {
public:
    void prepare() override {
        const pid_t waiter = ::getpid();
        hold([this, waiter] {
            look_until_in(waiter, SYS_futex);
            (void)held_->unlock();
        });
    }
    kith::result<void> act() override {
        FAULT_TRY(held_->lock());
        return held_->unlock();
    }
};
const listed<mutex_wait> wait_for_mutex{"robust_mutex_wait"};

// Taken, given back, asked; and waited for in vain.
class unnamed_use : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(made, unnamed_sem::create_at(page_.part(0), 1));
        auto& sem = **made;
        FAULT_TRY(sem.wait());
        FAULT_TRY(sem.post());
        FAULT_TRY(sem.value());
        FAULT_TRY(sem.wait());
        FAULT_FAILS(sem.wait(deadline::in(std::chrono::milliseconds{1})), errc::timed_out);
        sem.destroy();
        return {};
    }

private:
    shared_page page_;
};
const listed<unnamed_use> use_of_unnamed{"unnamed_sem"};

// Waited for without an end, and posted.
class unnamed_wait : public scenario {
public:
    void prepare() override {
        sem_ = *unnamed_sem::create_at(page_.part(0), 0);
        const pid_t waiter = ::getpid();
        poster_.run([this, waiter] {
            look_until_in(waiter, SYS_futex);
            (void)sem_->post();
        });
    }
    kith::result<void> act() override { return sem_->wait(); }

private:
    shared_page page_;
    unnamed_sem* sem_ = nullptr;
    helper poster_;
};
const listed<unnamed_wait> wait_for_unnamed{"unnamed_sem_wait"};

}  // namespace
