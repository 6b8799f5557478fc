// Handles for processes, and what they tell. /proc is read as kith reads it: one open, read and close.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <kith/sys/pidfd.hpp>
#include <kith/sys/process.hpp>
#include <kith/sys/spawn.hpp>

#include "bare_identity.hpp"
#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

struct this_process {
    pid_fd fd = std::move(*must(open_pidfd(::getpid())));
};
const pair open_process = compare(
    "pidfd open_pidfd and close", no_object,
    [](nothing) { ::close(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), O_NONBLOCK))); },
    [](nothing) { must(open_pidfd(::getpid())); });
const pair send_signal = compare(
    "pidfd send_signal", [] { return this_process{}; },
    [](this_process& p) { must_be(::syscall(SYS_pidfd_send_signal, p.fd.native().get(), 0, nullptr, 0) == 0); },
    [](this_process& p) { must(p.fd.send_signal(0)); });
const pair copy_descriptor = compare(
    "pidfd copy_descriptor and close", [] { return this_process{}; },
    [](this_process& p) {
        const auto copy = static_cast<int>(::syscall(SYS_pidfd_getfd, p.fd.native().get(), STDOUT_FILENO, 0));
        must_be(copy >= 0 && ::close(copy) == 0);
    },
    [](this_process& p) { must(p.fd.copy_descriptor(STDOUT_FILENO)); });
const pair pid_of = compare(
    "pidfd pid (open, read and close in /proc)", [] { return this_process{}; },
    [](this_process& p) {
        std::array<char, 40> path{};
        std::snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", p.fd.native().get());
        const int fd = ::open(path.data(), O_RDONLY | O_CLOEXEC);
        std::array<char, 512> text;
        const auto count = ::read(fd, text.data(), text.size() - 1);
        must_be(count > 0 && ::close(fd) == 0);
        text.at(static_cast<std::size_t>(count)) = '\0';
        const char* const at = std::strstr(text.data(), "\nPid:\t");
        must_be(at != nullptr && std::atoi(at + 6) == ::getpid());
    },
    [](this_process& p) { must(p.fd.pid()); });
const pair wait_in_vain = compare(
    "pidfd wait_for_end of one that runs, immediate", [] { return this_process{}; },
    [](this_process& p) {
        pollfd one{p.fd.native().get(), POLLIN, 0};
        const timespec at_once{};
        must_be(::ppoll(&one, 1, &at_once, nullptr) == 0);
    },
    [](this_process& p) { must_be(!p.fd.wait_for_end(kith::deadline::immediate())); });

// Children that have ended, to be collected; made and waited for by bare calls on both sides.
constexpr int children = 16;
struct ended_children {
    ended_children() = default;
    ended_children(const ended_children&) = delete;
    ended_children& operator=(const ended_children&) = delete;
    ~ended_children() {
        for (auto& one : all) {
            siginfo_t info{};
            ::waitid(P_PIDFD, static_cast<id_t>(one.native().get()), &info, WEXITED);
        }
    }
    void fill() {
        for (auto& one : all) {
            const pid_t pid = ::fork();
            if (pid == 0) ::_exit(0);
            one = std::move(*must(open_pidfd(pid)));
            pollfd end{one.native().get(), POLLIN, 0};
            must_be(::poll(&end, 1, -1) == 1);
        }
    }
    std::array<pid_fd, children> all;
};
// Forking takes a thousand times as long as collecting: it is left out of the time.
template <class Call>
side reap_with(Call call) {
    return [call](benchmark::State& state) {
        ended_children all;
        while (state.KeepRunningBatch(children)) {
            state.PauseTiming();
            all.fill();
            state.ResumeTiming();
            for (int i = 0; i < children; ++i) call(all.all.at(static_cast<std::size_t>(i)));
        }
    };
}
const pair reap = pair{
    "pidfd reap one that has ended", reap_with([](pid_fd& one) {
        siginfo_t info{};
        must_be(::waitid(P_PIDFD, static_cast<id_t>(one.native().get()), &info, WEXITED | WNOHANG) == 0 &&
                info.si_pid != 0);
    }),
    reap_with([](pid_fd& one) {
        must(one.reap());
    })}.calls(160);

struct child {
    child_process process = std::move(*must(spawn("/bin/sleep", std::array<std::string_view, 1>{"1000"}, {})));
};
const pair kill_child = compare(
    "spawn kill, signal 0 (getpid: a forked child is not the parent)", [] { return child{}; },
    [](child& c) {
        must_be(::getpid() != 0 &&
                ::syscall(SYS_pidfd_send_signal, c.process.handle().native().get(), 0, nullptr, 0) == 0);
    },
    [](child& c) { must(c.process.kill(0)); });

const pair identity = compare(
    "process identity_of_this_process (readlink, stat, open, read and close in /proc)", no_object,
    [](nothing) { bare_identity(); }, [](nothing) { must(identity_of_this_process()); });
struct known_process {
    process_identity who = *must(identity_of_this_process());
};
const pair state = compare(
    "process state_of (readlink, stat, open, read and close in /proc)", [] { return known_process{}; },
    [](known_process&) { bare_identity(); },
    [](known_process& p) { must_be(*must(state_of(p.who)) == process_state::running); });
const pair open_known = compare(
    "pidfd open_pidfd of an identity (its start is compared) and close", [] { return known_process{}; },
    [](known_process&) {
        const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), O_NONBLOCK));
        bare_identity();
        ::close(fd);
    },
    [](known_process& p) { must(open_pidfd(p.who)); });

}  // namespace
