// Locks and counters in memory that processes share: robust mutexes and unnamed semaphores.
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/robust_mutex.hpp>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>

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

// Locked, marked, unlocked; and waited for in vain while another process holds it.
class mutex_use : public scenario {
public:
    void prepare() override {
        held_ = *robust_mutex::create_at(page_.part(0));
        auto* const ready = new (page_.part(512).data()) std::atomic<int>{0};
        holder_ = ::fork();
        if (holder_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)held_->lock();
            *ready = 1;
            for (;;) ::pause();
        }
        while (*ready == 0) ::usleep(100);
    }
    ~mutex_use() override {
        ::kill(holder_, SIGKILL);
        ::waitpid(holder_, nullptr, 0);
    }
    kith::result<void> act() override {
        FAULT_MAKE(mutex, robust_mutex::create_at(page_.part(256)));
        FAULT_TRY((*mutex)->lock());
        FAULT_TRY((*mutex)->unlock());
        const auto late = held_->lock(deadline::in(std::chrono::milliseconds{1}));
        if (late || late.error().code() != errc::timed_out) return kith::fail(late.error());
        return {};
    }

private:
    shared_page page_;
    robust_mutex* held_ = nullptr;
    pid_t holder_ = -1;
};
const listed<mutex_use> use_of_mutex{"robust_mutex"};

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
        const auto late = sem.wait(deadline::in(std::chrono::milliseconds{1}));
        if (late || late.error().code() != errc::timed_out) return kith::fail(late.error());
        sem.destroy();
        return {};
    }

private:
    shared_page page_;
};
const listed<unnamed_use> use_of_unnamed{"unnamed_sem"};

}  // namespace
