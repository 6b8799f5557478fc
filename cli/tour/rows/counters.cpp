// counters - what semaphores are for: two processes increment one counter under a lock, and not one step is lost.
#include <fmt/format.h>
#include <sched.h>
#include <atomic>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/posix_shm.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <kith/sys/sysv_shm.hpp>
#include <sstream>

#include "tour/peer.hpp"
#include "tour/remains.hpp"
#include "tour/row.hpp"

namespace kith_cli::tour {
namespace {

namespace sys = kith::sys;

struct board {
    volatile std::uint64_t counter;  // plain memory: without the lock, steps of the other process would be overwritten
    std::uint64_t arrived;           // how many processes are ready to count
};
board& board_in(kith::byte_span memory) { return *reinterpret_cast<board*>(memory.data()); }

// Both count at the same time, or the lock would have nothing to do.
void wait_for_the_other(board& shared) {
    const std::atomic_ref arrived{shared.arrived};
    arrived.fetch_add(1);
    while (arrived.load() < 2) ::sched_yield();
}

// So often the processor is offered to the other between reading and writing: a lock that does not hold shows.
constexpr std::uint64_t steps_between_yields = 512;

template <class Lock, class Unlock>
outcome<void> count_under(peer& self, board& shared, Lock lock, Unlock unlock) {
    wait_for_the_other(shared);
    self.start_clock();
    for (std::uint64_t i = 0; i < self.increments(); ++i) {
        if (auto held = lock(); !held) return pass_on(held);
        const auto seen = shared.counter;
        if (i % steps_between_yields == 0) ::sched_yield();
        shared.counter = seen + 1;
        if (auto given = unlock(); !given) return pass_on(given);
    }
    return {};
}

class sysv_sem_stage final : public stage {
public:
    sysv_sem_stage(sys::sysv_sem lock, sys::sysv_shm memory) : lock_{lock}, memory_{memory} {}
    ~sysv_sem_stage() override {
        static_cast<void>(lock_.remove());
        static_cast<void>(memory_.remove());
    }
    [[nodiscard]] std::string where() const override {
        return fmt::format("{}/{}", lock_.native_id(), memory_.native_id());
    }
    std::optional<std::uint64_t> count() override {
        auto attached = memory_.attach();
        if (!attached) return std::nullopt;
        return board_in(attached->bytes()).counter;
    }

private:
    sys::sysv_sem lock_;
    sys::sysv_shm memory_;
};

outcome<std::unique_ptr<stage>> set_up_sysv_sem(const stage_options& options) {
    constexpr std::uint16_t free = 1;
    auto lock = sys::sysv_sem::open(key_of(options.name), {.create = sys::creation::must_be_new, .values = {&free, 1}});
    if (!lock) return pass_on(lock);
    auto memory =
        sys::sysv_shm::open(key_of(options.name), {.create = sys::creation::must_be_new, .size = sizeof(board)});
    if (!memory) {
        static_cast<void>(lock->remove());
        return pass_on(memory);
    }
    return std::make_unique<sysv_sem_stage>(*lock, *memory);
}

void clear_sysv_sem(const remains& of) {
    remove_remains(of, sys::sysv_sem::open(key_of(of.name), {.ready = sys::sem_readiness::assumed}));
    remove_remains(of, sys::sysv_shm::open(key_of(of.name)));
}

outcome<void> count_sysv(peer& self) {
    int lock_id = -1;
    int memory_id = -1;
    char slash = 0;
    std::istringstream{self.where()} >> lock_id >> slash >> memory_id;
    const auto lock = sys::sysv_sem::from_id(lock_id, 1);
    auto memory = sys::sysv_shm::open_id(memory_id);
    if (!memory) return pass_on(memory);
    auto attached = memory->attach();
    if (!attached) return pass_on(attached);
    // With undo: a process that is killed while it holds the lock gives it back.
    constexpr auto undo = sys::sem_undo::at_exit;
    return count_under(
        self, board_in(attached->bytes()), [&] { return lock.wait(0, 1, undo); },
        [&] { return lock.post(0, 1, undo); });
}

class posix_sem_stage final : public stage {
public:
    posix_sem_stage(std::string name, sys::mapping memory) : name_{std::move(name)}, memory_{std::move(memory)} {}
    ~posix_sem_stage() override {
        static_cast<void>(sys::unlink_posix_sem(name_));
        static_cast<void>(sys::unlink_posix_shm(name_));
    }
    [[nodiscard]] std::string where() const override { return name_; }
    std::optional<std::uint64_t> count() override { return board_in(memory_.bytes()).counter; }

private:
    std::string name_;
    sys::mapping memory_;
};

outcome<std::unique_ptr<stage>> set_up_posix_sem(const stage_options& options) {
    auto name = '/' + options.name;
    auto memory = sys::posix_shm::open(name, {.create = sys::creation::must_be_new, .size = sizeof(board)});
    if (!memory) return pass_on(memory);
    auto mapped = memory->map();
    // From here on the stage's destructor removes both.
    auto made = std::make_unique<posix_sem_stage>(name, mapped ? std::move(*mapped) : sys::mapping{});
    if (!mapped) return pass_on(mapped);
    if (auto lock = sys::posix_sem::open(name, {.create = sys::creation::must_be_new, .value = 1}); !lock)
        return pass_on(lock);
    return made;
}

void clear_posix_sem(const remains& of) { posix_sem_stage{'/' + of.name, {}}; }

outcome<void> count_posix(peer& self) {
    auto lock = sys::posix_sem::open(self.where());
    if (!lock) return pass_on(lock);
    auto memory = sys::posix_shm::open(self.where(), {.size = sizeof(board)});
    if (!memory) return pass_on(memory);
    auto mapped = memory->map();
    if (!mapped) return pass_on(mapped);
    return count_under(self, board_in(mapped->bytes()), [&] { return lock->wait(); }, [&] { return lock->post(); });
}

// The first of the two lets the other start and counts at once.
template <outcome<void> (*Count)(peer&)>
outcome<void> count_first(peer& self) {
    self.ready(self.where());
    return Count(self);
}

constexpr row rows[] = {
    {"sysv-sem", "a lock that comes back if its holder is killed", relation::strangers, "count", "yes", set_up_sysv_sem,
     count_first<count_sysv>, count_sysv, true, clear_sysv_sem},
    {"posix-sem", "counting and waking, fast; no owner", relation::strangers, "count", "yes", set_up_posix_sem,
     count_first<count_posix>, count_posix, true, clear_posix_sem},
};

}  // namespace

std::span<const row> counter_rows() { return rows; }

}  // namespace kith_cli::tour
