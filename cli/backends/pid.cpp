// pid: - processes: kith show, kith wait.
#include <fmt/format.h>
#include <unistd.h>
#include <ctime>
#include <fstream>
#include <kith/sys/process.hpp>
#include <map>
#include <sstream>

#include "backends/backend.hpp"

namespace kith_cli {
namespace {

// "Name:\tcat" ... of /proc/PID/status.
std::map<std::string, std::string> status_of(pid_t pid) {
    std::map<std::string, std::string> fields;
    std::ifstream file{fmt::format("/proc/{}/status", pid)};
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(':');
        const auto start = line.find_first_not_of(" \t", colon + 1);
        if (colon != std::string::npos && start != std::string::npos)
            fields[line.substr(0, colon)] = line.substr(start);
    }
    return fields;
}

facts::value first_number(const std::string& text) {
    if (text.empty()) return nullptr;
    return static_cast<std::int64_t>(std::strtoll(text.c_str(), nullptr, 10));
}

std::string words_of(pid_t pid) {
    std::ifstream file{fmt::format("/proc/{}/cmdline", pid)};
    std::ostringstream all;
    all << file.rdbuf();  // an iterator would throw where the process ends meanwhile (ESRCH)
    auto text = std::move(all).str();
    while (text.ends_with('\0')) text.pop_back();
    for (auto& c : text)
        if (c == '\0') c = ' ';
    return text;
}

// When it started, in seconds since the epoch; the kernel counts ticks since boot.
std::int64_t start_time(std::uint64_t ticks) {
    timespec now{};
    timespec since_boot{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return now.tv_sec - since_boot.tv_sec + static_cast<std::int64_t>(ticks) / ::sysconf(_SC_CLK_TCK);
}

const char* state_text(kith::sys::process_state state) {
    switch (state) {
    case kith::sys::process_state::running: return "running";
    case kith::sys::process_state::zombie: return "zombie";
    case kith::sys::process_state::gone: return "gone";
    }
    return "";
}

class pid_objects final : public backend {
public:
    pid_objects() : backend{kith::scheme::pid} {}

    outcome<facts> show(const kith::address& where) override {
        const auto who = kith::sys::identity_of(where.pid());
        if (!who) return pass_on(who);
        auto fields = status_of(who->pid);
        const auto command = words_of(who->pid);
        // Looked at last: if it is still the same process, so was what lies between.
        const auto state = kith::sys::state_of(*who);
        if (!state) return pass_on(state);
        if (*state == kith::sys::process_state::gone)
            return refuse(kith::errc::not_found, "read(/proc/PID/status)", "it has just ended");
        facts seen;
        seen.add("pid", who->pid);
        seen.add("state", state_text(*state), *state == kith::sys::process_state::zombie ? fields["State"] : "");
        seen.add("name", std::string_view{fields["Name"]});
        seen.add("command", std::string_view{command});
        seen.add("parent", first_number(fields["PPid"]));
        seen.add_user("uid", static_cast<unsigned>(std::strtoul(fields["Uid"].c_str(), nullptr, 10)));
        seen.add_group("gid", static_cast<unsigned>(std::strtoul(fields["Gid"].c_str(), nullptr, 10)));
        seen.add("threads", first_number(fields["Threads"]));
        seen.add_time("started", start_time(who->started));
        seen.add("started_ticks", who->started, "clock ticks since boot: with the pid, its identity");
        seen.add("pid_namespace", who->pid_namespace);
        return seen;
    }
};

}  // namespace

backend& pid_backend() {
    static pid_objects instance;
    return instance;
}

}  // namespace kith_cli
