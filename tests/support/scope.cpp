#include "support/scope.hpp"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "support/child.hpp"

namespace kith_test {
namespace {
std::atomic<int> handled{0};
}  // namespace

std::string unique_name(const std::string& hint) {
    static std::atomic<int> counter{0};
    return "kith-test-" + std::to_string(::getpid()) + "-" + std::to_string(++counter) + "-" + hint;
}

temp_dir::temp_dir() {
    const char* base = std::getenv("TMPDIR");
    dir_ = std::string{base != nullptr ? base : "/tmp"} + "/kith-test-XXXXXX";
    if (::mkdtemp(dir_.data()) == nullptr) std::abort();
    ::chmod(dir_.c_str(), 0755);
}
temp_dir::~temp_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
}

bool is_root() { return ::geteuid() == 0; }

int as_nobody(const std::function<int()>& body) {
    return child{[&] {
               constexpr uid_t nobody = 65534;
               if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 ||
                   ::setresuid(nobody, nobody, nobody) != 0)
                   return 97;
               return body();
           }}
        .wait();
}

int in_namespaces(int flags, const std::function<int()>& body) {
    return child{[&] {
               if (!is_root()) {
                   const auto uid = ::getuid();
                   const auto gid = ::getgid();
                   if (::unshare(CLONE_NEWUSER) != 0) return 77;
                   std::ofstream{"/proc/self/setgroups"} << "deny";
                   std::ofstream{"/proc/self/uid_map"} << "0 " << uid << " 1";
                   std::ofstream{"/proc/self/gid_map"} << "0 " << gid << " 1";
               }
               if (::unshare(flags) != 0) return 77;
               // What is mounted in there must not be seen outside. In a chroot, where / is no mount point, that cannot
               // be had.
               if ((flags & CLONE_NEWNS) != 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
                   return 77;
               return body();
           }}
        .wait();
}

signal_storm::signal_storm(std::chrono::microseconds period, bool restart) {
    struct sigaction action{};
    action.sa_handler = [](int) { handled.fetch_add(1, std::memory_order_relaxed); };
    action.sa_flags = restart ? SA_RESTART : 0;
    ::sigaction(SIGALRM, &action, &before_);
    const timeval every{.tv_sec = 0, .tv_usec = period.count()};
    const itimerval timer{every, every};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
}
signal_storm::~signal_storm() {
    const itimerval off{};
    ::setitimer(ITIMER_REAL, &off, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
}
int signal_storm::count() { return handled.load(); }

int open_descriptors() {
    int n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
    return n - 1;  // the directory itself
}

}  // namespace kith_test
