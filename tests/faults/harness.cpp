#include "faults/harness.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fstream>
#include <set>
#include <span>

#include "faults/holdings.hpp"
#include "faults/traced_run.hpp"
#include "faults/verdict.hpp"

namespace kith_faults {
namespace {

constexpr int most_attempts = 10;
constexpr int undisturbed_runs = 5;

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
    open_site_list();  // its file may lie below the /tmp that goes out of sight
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
    return mount_empty("tmpfs", "/dev/shm") && mount_empty("tmpfs", "/tmp") && ::mkdir(queue_folder, 0700) == 0 &&
           mount_empty("mqueue", queue_folder);
}

namespace {

// A call and the place that it came from, as far as these can be told apart.
using place = std::pair<long, std::uintptr_t>;
place place_of(const seen_call& call) { return {call.number, call.origins.empty() ? 0 : call.origins.front()}; }

class exploration {
public:
    explicit exploration(const entry& one) : one_{one} {}
    ~exploration() { ::munmap(told_, sizeof(report)); }
    exploration(const exploration&) = delete;
    exploration& operator=(const exploration&) = delete;

    findings run() {
        if (!undisturbed()) return std::move(all_);
        for (std::size_t site = 0; site < calls_.size(); ++site) fail_each_way({}, calls_, site);
        // What is only called when something else has failed.
        for (std::size_t next = 0; next < behind_.size(); ++next)
            fail_each_way({&behind_[next].first, 1}, behind_[next].calls, behind_[next].calls.size() - 1);
        return std::move(all_);
    }

private:
    struct detour {
        fault first;
        std::vector<seen_call> calls;  // up to the one that is of interest
    };

    // Notes the calls that every run makes: glibc draws the random name of sem_open a second time in one run of 22.
    bool undisturbed() {
        for (int attempt = 0; attempt < undisturbed_runs; ++attempt) {
            auto made = run_once(one_, {}, *told_);
            if (!told_->finished || !told_->succeeded) {
                all_.complaints.push_back(told_->finished ? "undisturbed, " + in_words(*told_)
                                                          : "undisturbed, it does not finish");
                return false;
            }
            if (const auto more = surplus(told_->before, told_->after); !more.empty())
                all_.complaints.push_back("undisturbed, there are " + more + " than before");
            if (attempt == 0 || made.calls.size() < calls_.size()) calls_ = std::move(made.calls);
        }
        for (const auto& call : calls_) known_.insert(place_of(call));
        return true;
    }

    // Makes a call fail with each of its errnos; `first` has failed before, or is empty.
    void fail_each_way(std::span<const fault> first, const std::vector<seen_call>& calls, std::size_t site) {
        const auto& call = calls[site];
        const auto* errnos = errnos_of(call);
        if (errnos == nullptr) {
            all_.complaints.push_back("system call " + std::to_string(call.number) + " (second argument " +
                                      std::to_string(call.second_argument) + ") has no row in tests/faults/errnos.cpp");
            return;
        }
        ++all_.sites;
        std::vector<fault> planned{first.begin(), first.end()};
        planned.push_back({call.number, count_of(std::span{calls}.first(site + 1), call.number), 0});
        for (const int os_error : *errnos) {
            planned.back().os_error = os_error;
            // What another process does meanwhile can change which calls are needed.
            traced_run made;
            for (int attempt = 0; attempt < most_attempts && made.injected < planned.size(); ++attempt)
                made = run_once(one_, planned, *told_);
            ++all_.runs;
            if (made.injected == planned.size()) {
                failed_.emplace(place_of(call), os_error);
                for (auto& complaint : judge(one_, planned, *told_, made.status))
                    all_.complaints.push_back(std::move(complaint));
                if (first.empty()) follow(planned.back(), made);
            } else if (first.empty() && !failed_.contains({place_of(call), os_error})) {
                all_.complaints.push_back(in_words(planned) +
                                          ": another run makes other calls; make the scenario regular");
            }
        }
    }

    // Notes which calls the fault has brought about that are made to fail nowhere else.
    void follow(const fault& first, const traced_run& made) {
        for (auto next = made.before_fault; next < made.calls.size(); ++next)
            if (known_.insert(place_of(made.calls[next])).second)
                behind_.push_back(
                    {first, {made.calls.begin(), made.calls.begin() + static_cast<std::ptrdiff_t>(next) + 1}});
    }

    const entry& one_;
    report* const told_ = static_cast<report*>(
        ::mmap(nullptr, sizeof(report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    findings all_;
    std::vector<seen_call> calls_;
    std::set<place> known_;
    std::set<std::pair<place, int>> failed_;
    std::vector<detour> behind_;
};

}  // namespace

findings explore(const entry& one) { return exploration{one}.run(); }

}  // namespace kith_faults
