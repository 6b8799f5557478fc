// other - the other side of a scenario: a process or thread that waits, or that acts when act() waits.
#pragma once
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/syscall.hpp"

namespace kith_faults {

/// Looks until `seen()`, at intervals and for 10 seconds at most.
template <class Seen>
bool look_until(Seen seen) {
    for (int looks = 0; looks < 50'000; ++looks) {
        if (seen()) return true;
        ::usleep(200);
    }
    return false;
}

/// Looks until a process, or thread, sleeps in one of the system calls.
template <class... Calls>
bool look_until_in(pid_t pid, Calls... calls) {
    return look_until([&] {
        const auto call = kith_test::sleeping_in(pid);
        return call && ((call->number == calls) || ...);
    });
}

/// Another process, killed at the end of the scenario.
class helper {
public:
    helper() = default;
    ~helper() { kill(); }
    helper(const helper&) = delete;
    helper& operator=(const helper&) = delete;
    template <class Function>
    void run(Function what) {
        pid_ = ::fork();
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        [&]() noexcept { what(); }();  // what it throws must not get into the tests' own code
        for (;;) ::pause();
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void kill() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

private:
    pid_t pid_ = -1;
};

}  // namespace kith_faults
