// semaphore_workers - P and V by a set of processes: five workers share three places.
//
// One System V set. Semaphore 0 counts the free places: a worker takes all that it needs at once (P by any number) and
// gives them back (V). Semaphore 1 is a gate: each worker takes one from it and waits for zero, so that all begin
// together. The places are taken with undo: the fourth worker is killed in the middle of its work, and the kernel
// gives its places back. The workers are programs of their own, started by exec; the set's id is all they know.
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <kith/sys/spawn.hpp>
#include <kith/sys/sysv_sem.hpp>

using namespace kith::sys;

namespace {

constexpr std::uint16_t places = 0;
constexpr std::uint16_t gate = 1;
constexpr std::uint16_t count_of_places = 3;
constexpr std::array<int, 5> needs{1, 2, 3, 2, 1};
constexpr int the_one_that_dies = 4;

int complain(const kith::error& why) {
    std::fprintf(stderr, "semaphore_workers: %s\n", kith::describe(why).c_str());
    return 1;
}

int work(const sysv_sem& set, int worker) {
    const int need = needs.at(static_cast<std::size_t>(worker) - 1);
    if (auto here = set.wait(gate); !here) return complain(here.error());
    if (auto all_here = set.wait_for_zero(gate); !all_here) return complain(all_here.error());

    // [work]
    if (auto taken = set.wait(places, need, sem_undo::at_exit); !taken) return complain(taken.error());
    std::printf("worker %d has %d of %d places\n", worker, need, count_of_places);
    std::fflush(stdout);
    if (worker == the_one_that_dies) std::raise(SIGKILL);
    if (auto given = set.post(places, need, sem_undo::at_exit); !given) return complain(given.error());
    // [/work]
    return 0;
}

// Starts the workers, waits for them and returns how many were killed; nothing if one failed.
std::optional<int> run_workers(const sysv_sem& set) {
    const auto id = std::to_string(set.native_id());
    std::array<child_process, needs.size()> workers;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const auto number = std::to_string(i + 1);
        const std::array<std::string_view, 2> arguments{id, number};
        auto started = spawn("/proc/self/exe", arguments);
        if (!started) return complain(started.error()), std::nullopt;
        workers.at(i) = std::move(*started);
    }
    int killed = 0;
    for (auto& worker : workers) {
        const auto ended = worker.wait();
        if (!ended) return complain(ended.error()), std::nullopt;
        if (ended->as_shell() == 128 + SIGKILL)
            ++killed;
        else if (ended->as_shell() != 0)
            return std::nullopt;
    }
    return killed;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3) return work(sysv_sem::from_id(std::atoi(argv[1])), std::atoi(argv[2]));

    constexpr std::array<std::uint16_t, 2> first{count_of_places, needs.size()};
    const auto set =
        sysv_sem::open(sysv_key::private_object(), {.create = creation::must_be_new, .values = first, .mode = 0600});
    if (!set) return complain(set.error());

    const auto killed = run_workers(*set);
    const auto left = set->value(places);
    if (killed && left) std::printf("%d was killed, and %d of %d places are free\n", *killed, *left, count_of_places);
    if (auto removed = set->remove(); !removed) return complain(removed.error());
    return killed && left && *left == count_of_places ? 0 : 1;
}
