#include "tour/remains.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <kith/fd.hpp>
#include <optional>

#include "tour/conductor.hpp"
#include "tour/row.hpp"

namespace kith_cli::tour {
namespace {

/// The pid in "kith-tour-PID-RANDOM", or in "kith-tour-PID-RANDOM.new" of a run that was killed while it began.
std::optional<pid_t> pid_in(std::string_view name) {
    if (!name.starts_with(run_prefix)) return std::nullopt;
    name.remove_prefix(run_prefix.size());
    pid_t pid = 0;
    const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (status != std::errc{} || pid <= 0 || end == name.data() + name.size() || *end != '-') return std::nullopt;
    std::string_view random{end + 1, name.data() + name.size()};
    if (random.ends_with(".new")) random.remove_suffix(4);
    if (random.empty() || random.find_first_not_of("0123456789abcdef") != random.npos) return std::nullopt;
    return pid;
}

/// The directory of a dead run of this user, locked, and since when its objects can be.
std::optional<std::chrono::system_clock::time_point> lock_if_dead(const std::string& path, pid_t pid,
                                                                  kith::owned_fd& directory) {
    if (::kill(pid, 0) == 0 || errno != ESRCH) return std::nullopt;
    directory = kith::owned_fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    struct stat about{};
    if (!directory.valid() || ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0 || ::fstat(directory.get(), &about) != 0)
        return std::nullopt;
    // Another run may have removed it meanwhile: then it has no name any more.
    const bool is_ours = about.st_uid == ::geteuid() && (about.st_mode & 0777U) == 0700 && about.st_nlink > 0;
    if (!is_ours) return std::nullopt;
    // Rows come one after the other, and those with System V objects make nothing in the directory.
    return std::chrono::system_clock::from_time_t(about.st_mtime);
}

}  // namespace

std::vector<std::string> clear_remains() {
    namespace fs = std::filesystem;
    std::vector<std::string> cleared;
    std::error_code error;
    for (fs::directory_iterator at{private_directory::base(), error}, end; !error && at != end; at.increment(error)) {
        const auto name = at->path().filename().string();
        const auto pid = pid_in(name);
        if (!pid) continue;
        kith::owned_fd lock;
        const auto since = lock_if_dead(at->path().string(), *pid, lock);
        if (!since) continue;
        for (const auto& one : all_rows())
            if (one.clear != nullptr) one.clear({.name = fmt::format("{}-{}", name, one.name), .since = *since});
        std::error_code ignored;
        fs::remove_all(at->path(), ignored);
        cleared.push_back(name);
    }
    return cleared;
}

}  // namespace kith_cli::tour
