#include "faults/traced_run.hpp"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "faults/errnos.hpp"

// From the linker: where this program begins, and where its code ends.
extern "C" const char __executable_start;
extern "C" const char etext;

namespace kith_faults {
namespace {

constexpr unsigned watchdog_seconds = 20;

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

// Whether a call ends at `address`: a direct one, one through the global offset table (so the library calls others:
// -fno-plt), or one through a register.
bool follows_a_call(std::uintptr_t address) {
    const auto* code = reinterpret_cast<const unsigned char*>(address);
    return code[-5] == 0xe8 || (code[-6] == 0xff && code[-5] == 0x15) ||
           (code[-2] == 0xff && (code[-1] & 0xf8) == 0xd0);
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
    // Where in the library the call may have come from, counted from the program's beginning: what looks like a return
    // address near the stack's top, nearest first. The C library's frames may hold old ones.
    [[nodiscard]] std::vector<std::uintptr_t> origins() const {
        constexpr std::size_t most = 16;
        std::array<std::uintptr_t, 2048> stack{};
        const auto top = registers().rsp;
        std::size_t words = 0;
        // What lies behind the stack's beginning cannot be read.
        for (std::size_t want = stack.size(); want >= 16 && words == 0; want /= 2) {
            const iovec to{stack.data(), want * sizeof stack[0]};
            const iovec from{reinterpret_cast<void*>(top), to.iov_len};
            const auto n = ::process_vm_readv(pid_, &to, 1, &from, 1, 0);
            if (n > 0) words = static_cast<std::size_t>(n) / sizeof stack[0];
        }
        const auto begin = reinterpret_cast<std::uintptr_t>(&__executable_start);
        const auto end = reinterpret_cast<std::uintptr_t>(&etext);
        std::vector<std::uintptr_t> found;
        for (const auto word : std::span{stack}.first(words))
            if (found.size() < most && word > begin + 6 && word < end && follows_a_call(word))
                found.push_back(word - begin);
        return found;
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

bool reaches(const std::vector<seen_call>& seen, const fault& planned) {
    return seen.back().number == planned.call && count_of(seen, planned.call) == planned.occurrence;
}

// Notes where faults were injected; see harness.hpp.
class site_list {
public:
    site_list() {
        if (const char* path = std::getenv("KITH_FAULT_SITES")) file_.open(path, std::ios::app);
    }
    void add(const seen_call& call) {
        if (!file_.is_open()) return;
        std::ostringstream line;
        line << name_of_call(call.number) << std::hex;
        for (const auto where : call.origins) line << ' ' << where;
        if (seen_.insert(line.str()).second) file_ << line.str() << std::endl;
    }

private:
    std::ofstream file_;
    std::set<std::string> seen_;
};

site_list& sites() {
    static site_list all;
    return all;
}

}  // namespace

const std::vector<int>* errnos_of(const seen_call& call) {
    return kith_faults::errnos_of(call.number, call.second_argument, call.fourth_argument);
}

std::size_t count_of(std::span<const seen_call> seen, long number) {
    return static_cast<std::size_t>(std::ranges::count(seen, number, &seen_call::number));
}

traced_run run_once(const entry& one, std::span<const fault> planned, report& told) {
    told = {};
    sweep();
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) be_the_child(one, told);
    traced_run made;
    traced child{pid};
    bool alive = child.wait_for_the_first_mark() && child.go(PTRACE_SYSCALL);
    while (alive && !child.at_mark()) {
        const auto registers = child.registers();
        auto& call = made.calls.emplace_back(static_cast<long>(registers.orig_rax), static_cast<long>(registers.rsi),
                                             registers.r10 != 0, child.origins());
        const auto* errnos = errnos_of(call);
        const bool here = made.injected < planned.size() && reaches(made.calls, planned[made.injected]);
        if (here || (errnos != nullptr && errnos->empty())) sites().add(call);
        alive = here ? inject(child, planned[made.injected]) : child.go(PTRACE_SYSCALL);
        if (here) {
            ++made.injected;
            made.before_fault = made.calls.size();
        }
        alive = alive && child.go(PTRACE_SYSCALL);
    }
    while (alive) alive = child.go(PTRACE_CONT);
    made.status = child.status();
    return made;
}

void open_site_list() { (void)sites(); }

}  // namespace kith_faults
