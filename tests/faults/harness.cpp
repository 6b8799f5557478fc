#include "faults/harness.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <span>

#include "base/errors.hpp"
#include "faults/errnos.hpp"
#include "faults/holdings.hpp"

namespace kith_faults {
namespace {

constexpr unsigned watchdog_seconds = 20;
constexpr int most_attempts = 10;
constexpr int undisturbed_runs = 5;

// What the child tells; in memory that both share.
struct report {
    bool finished;
    bool succeeded;
    kith::errc code;
    int os_error;
    const char* operation;  // a literal: the same address in the forked child
    holdings before;
    holdings after;
};

// A system call that act() made.
struct seen_call {
    long number;
    long second_argument;
};

// One call that is not made, and what it returns instead.
struct fault {
    long call;
    std::size_t occurrence;  // the how manieth of these calls; other calls may come and go with the timing
    int os_error;
};

// The tracer is told by a trap where act() begins and ends; no system call would do, as each of those is a site.
void mark() { __asm__ volatile("int3"); }

[[noreturn]] void be_the_child(const entry& one, report& told) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::alarm(watchdog_seconds);
    // What the C library sets up at first use is no leak of the scenario.
    for (int warm = 0; warm < 2; ++warm) {
        const auto run = one.make();
        run->prepare();
        [[maybe_unused]] const auto ignored = run->act();
    }
    (void)holdings::now();
    told.before = holdings::now();
    {
        const auto run = one.make();
        run->prepare();
        mark();
        const auto outcome = run->act();
        mark();
        told.succeeded = outcome.has_value();
        if (!outcome) {
            told.code = outcome.error().code();
            told.os_error = outcome.error().os_error();
            told.operation = outcome.error().operation();
        }
    }
    told.after = holdings::now();
    told.finished = true;
    ::_exit(0);
}

// A child under trace. Each step ends at a stop or at the child's end.
class traced {
public:
    explicit traced(pid_t pid) : pid_{pid} {}
    ~traced() {
        if (!ended()) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, &status_, 0);
        }
    }
    traced(const traced&) = delete;
    traced& operator=(const traced&) = delete;

    // Goes on in the given way to the next stop; signals other than traps are delivered.
    bool go(__ptrace_request how) {
        for (int signal = 0;;) {
            if (::ptrace(how, pid_, nullptr, signal) != 0) return false;
            if (::waitpid(pid_, &status_, 0) != pid_ || ended()) return false;
            const int stop = WSTOPSIG(status_);
            if (stop == SIGTRAP || stop == (SIGTRAP | 0x80)) return true;
            signal = stop;
        }
    }
    bool wait_for_the_first_mark() {
        if (::waitpid(pid_, &status_, 0) != pid_ || ended()) return false;
        if (WSTOPSIG(status_) != SIGTRAP && !go(PTRACE_CONT)) return false;
        ::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
        return true;
    }
    [[nodiscard]] bool at_mark() const { return WIFSTOPPED(status_) && WSTOPSIG(status_) == SIGTRAP; }
    [[nodiscard]] bool ended() const { return WIFEXITED(status_) || WIFSIGNALED(status_); }
    [[nodiscard]] int status() const { return status_; }

    [[nodiscard]] user_regs_struct registers() const {
        user_regs_struct all{};
        ::ptrace(PTRACE_GETREGS, pid_, nullptr, &all);
        return all;
    }
    [[nodiscard]] long word_at(unsigned long long address) const {
        return ::ptrace(PTRACE_PEEKDATA, pid_, address, nullptr);
    }
    void set(const user_regs_struct& all) const { ::ptrace(PTRACE_SETREGS, pid_, nullptr, &all); }

private:
    pid_t pid_;
    int status_ = 0;
};

// At the entry of a call: keeps it from being made (unless it happens all the same) and changes what it returns.
bool inject(traced& child, const fault& planned) {
    auto registers = child.registers();
    const auto family = static_cast<sa_family_t>(planned.call == SYS_connect ? child.word_at(registers.rsi) : 0);
    if (!happens_all_the_same(planned.call, planned.os_error, family)) {
        registers.orig_rax = ~0ULL;
        child.set(registers);
    }
    if (!child.go(PTRACE_SYSCALL)) return false;
    registers = child.registers();
    registers.rax = static_cast<unsigned long long>(-static_cast<long long>(planned.os_error));
    child.set(registers);
    return true;
}

std::size_t count_of(std::span<const seen_call> seen, long number) {
    return static_cast<std::size_t>(std::ranges::count(seen, number, &seen_call::number));
}

bool reaches(const std::vector<seen_call>& seen, const fault& planned) {
    return count_of(seen, planned.call) == planned.occurrence;
}

// Runs the scenario in a fresh child, with one fault or none; returns the calls that act() made up to the fault.
std::vector<seen_call> run_once(const entry& one, const fault* planned, report& told, int& status) {
    told = {};
    sweep();
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) be_the_child(one, told);
    std::vector<seen_call> calls;
    traced child{pid};
    bool alive = child.wait_for_the_first_mark() && child.go(PTRACE_SYSCALL);
    while (alive && !child.at_mark()) {
        const auto registers = child.registers();
        calls.push_back({static_cast<long>(registers.orig_rax), static_cast<long>(registers.rsi)});
        const bool here = planned != nullptr && reaches(calls, *planned);
        alive = here ? inject(child, *planned) : child.go(PTRACE_SYSCALL);
        if (here) break;
        alive = alive && child.go(PTRACE_SYSCALL);
    }
    // The other mark is still ahead where a fault was injected.
    while (alive) alive = child.go(PTRACE_CONT);
    status = child.status();
    return calls;
}

std::string in_words(const fault& planned) {
    return std::string{name_of_call(planned.call)} + " (number " + std::to_string(planned.occurrence) +
           ") fails with " + std::string{kith::errno_name(planned.os_error)};
}

std::string in_words(const report& told) {
    if (told.succeeded) return "the operation succeeds";
    return std::string{"it ends with "} + std::string{kith::name_of(told.code)} + ", " +
           std::string{kith::errno_name(told.os_error)} + " from " + told.operation;
}

// What holds for every operation.
const std::vector<allowance> everywhere{
    {SYS_eventfd2, any_error, {}, "a wait without its bell looks again at intervals"},
    {SYS_munmap, any_error, {}, "destructors have nobody to tell"},
    {SYS_futex, ETIMEDOUT, {}, "the clock decides when the time is up"},
    {SYS_openat, EINTR, kith::errc::stopped, "only FIFOs keep open waiting"},
    {SYS_fallocate, EOPNOTSUPP, {}, "posix_fallocate writes instead"},
    {SYS_fallocate, ENOSYS, {}, "posix_fallocate writes instead"},
    {SYS_openat, EISDIR, kith::errc::wrong_kind, "shm_open says it so", EINVAL},
    {SYS_prlimit64, any_error, {}, "an unknown limit is none"},
    {SYS_statx, any_error, {}, "where free space is not known, reserving tells"},
    {SYS_fstatfs, any_error, {}, "where free space is not known, reserving tells"},
    {SYS_sysinfo, any_error, {}, "where free space is not known, reserving tells"},
    {SYS_getrandom, ENOSYS, {}, "the C library has another source"},
    {SYS_madvise, EINVAL, {}, "older kernel: pages are touched instead"},
    {SYS_mmap, EAGAIN, kith::errc::limit_reached, "RLIMIT_MEMLOCK"},
    {SYS_mmap, ENODEV, kith::errc::wrong_kind, "a file that cannot be mapped"},
};

bool is_about(const allowance& may, const fault& planned) {
    return (may.call == any_call || may.call == planned.call) &&
           (may.os_error == any_error || may.os_error == planned.os_error);
}

bool ends_as(const allowance& may, const fault& planned, const report& told) {
    if (!may.code) return told.succeeded;
    const int reported = may.reported == same_error ? planned.os_error : may.reported;
    return !told.succeeded && told.code == *may.code && told.os_error == reported;
}

bool is_right(const entry& one, const fault& planned, const report& told) {
    if (!told.succeeded && told.os_error == planned.os_error && told.code == kith::detail::code_for(planned.os_error) &&
        planned.os_error != EINTR)
        return true;
    // Interrupted calls are made again, calls that would wait wait, and nobody asks what close says.
    if (told.succeeded && (planned.os_error == EINTR || planned.os_error == EAGAIN || planned.call == SYS_close))
        return true;
    const auto allows = [&](const allowance& may) { return is_about(may, planned) && ends_as(may, planned, told); };
    return std::ranges::any_of(one.allowed, allows) || std::ranges::any_of(everywhere, allows);
}

// What cannot be removed stays; that is what the fault says.
bool may_leave_a_name(const entry& one, const fault& planned) {
    return planned.call == SYS_unlink || planned.call == SYS_unlinkat || planned.call == SYS_mq_unlink ||
           std::ranges::any_of(one.allowed,
                               [&](const allowance& may) { return may.leaves_names && is_about(may, planned); });
}

// Unmapping that fails leaves the memory mapped; that is what the fault says.
bool may_leave_a_mapping(long call) { return call == SYS_munmap || call == SYS_shmdt; }

void judge(const entry& one, const fault& planned, report& told, int status, findings& all) {
    if (!told.finished) {
        all.complaints.push_back(in_words(planned) + ": the process ends with " +
                                 (WIFSIGNALED(status) ? std::string{"signal "} + ::strsignal(WTERMSIG(status))
                                                      : "status " + std::to_string(WEXITSTATUS(status))));
        return;
    }
    if (!is_right(one, planned, told)) all.complaints.push_back(in_words(planned) + ": " + in_words(told));
    if (may_leave_a_mapping(planned.call)) {
        told.after.shared_mappings = told.before.shared_mappings;
        told.after.sysv_segments = told.before.sysv_segments;  // one that was removed lives with its attachment
    }
    if (may_leave_a_name(one, planned)) told.after.names = told.before.names;
    if (const auto more = surplus(told.before, told.after); !more.empty())
        all.complaints.push_back(in_words(planned) + ": " + more + " than before");
}

bool mount_empty(const char* kind, const char* where) {
    return ::mount("none", where, kind, MS_NOSUID | MS_NODEV, nullptr) == 0;
}

}  // namespace

std::vector<entry>& entries() {
    static std::vector<entry> all;
    return all;
}

std::string why_not() {
#if !defined(__x86_64__)
    return "the harness knows the registers of x86-64 only";
#else
    const pid_t probe = ::fork();
    if (probe == 0) ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
    int status = 0;
    ::waitpid(probe, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "ptrace is not permitted here";
#endif
}

bool isolate() {
    const auto uid = ::getuid();
    const auto gid = ::getgid();
    if (::geteuid() != 0) {
        if (::unshare(CLONE_NEWUSER) != 0) return false;
        std::ofstream{"/proc/self/setgroups"} << "deny";
        std::ofstream{"/proc/self/uid_map"} << "0 " << uid << " 1";
        std::ofstream{"/proc/self/gid_map"} << "0 " << gid << " 1";
    }
    if (::unshare(CLONE_NEWIPC | CLONE_NEWNS) != 0) return false;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
    // /dev/mqueue need not exist; then queues are counted by nobody.
    (void)mount_empty("mqueue", "/dev/mqueue");
    return mount_empty("tmpfs", "/dev/shm") && mount_empty("tmpfs", "/tmp");
}

findings explore(const entry& one) {
    findings all;
    void* memory = ::mmap(nullptr, sizeof(report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto& told = *static_cast<report*>(memory);
    int status = 0;

    // The calls every run makes: glibc draws the random name of sem_open a second time in one run of 22.
    std::vector<seen_call> calls;
    for (int run = 0; run < undisturbed_runs; ++run) {
        auto made = run_once(one, nullptr, told, status);
        if (!told.finished || !told.succeeded) {
            all.complaints.push_back(told.finished ? "undisturbed, " + in_words(told)
                                                   : "undisturbed, it does not finish");
            return all;
        }
        if (const auto more = surplus(told.before, told.after); !more.empty())
            all.complaints.push_back("undisturbed, there are " + more + " than before");
        if (run == 0 || made.size() < calls.size()) calls = std::move(made);
    }

    for (std::size_t site = 0; site < calls.size(); ++site) {
        const auto [call, second_argument] = calls[site];
        const auto* errnos = errnos_of(call, second_argument);
        if (errnos == nullptr) {
            all.complaints.push_back("system call " + std::to_string(call) + " (second argument " +
                                     std::to_string(second_argument) + ") has no row in tests/faults/errnos.cpp");
            continue;
        }
        ++all.sites;
        for (const int os_error : *errnos) {
            const fault planned{call, count_of(std::span{calls}.first(site + 1), call), os_error};
            // What another process does meanwhile can change which calls are needed.
            std::vector<seen_call> seen;
            for (int attempt = 0; attempt < most_attempts && !reaches(seen, planned); ++attempt)
                seen = run_once(one, &planned, told, status);
            ++all.runs;
            if (!reaches(seen, planned))
                all.complaints.push_back(in_words(planned) +
                                         ": another run makes other calls; make the scenario regular");
            else
                judge(one, planned, told, status, all);
        }
    }
    ::munmap(memory, sizeof(report));
    return all;
}

}  // namespace kith_faults
