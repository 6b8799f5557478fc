#include <kith/sys/process.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <charconv>
#include <string_view>

#include <kith/fd.hpp>

#include "base/errors.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

struct stat_fields {
    char state;
    std::uint64_t started;
};

template <class Number>
Number number_at(std::string_view text) noexcept {
    Number number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

// /proc may belong to another pid namespace (entered without a mount of its own): its numbers are not ours.
result<std::uint64_t> own_pid_namespace() noexcept {
    std::array<char, 32> self{};
    const auto n = ::readlink("/proc/self", self.data(), self.size());
    if (n < 0 && errno != ENOENT) return detail::fail_os("readlink(/proc/self)", errno);
    if (n < 0) return fail(errc::unsupported, "readlink(/proc/self)", ENOENT);
    if (number_at<pid_t>({self.data(), static_cast<std::size_t>(n)}) != ::getpid())
        return fail(errc::unsupported, "readlink(/proc/self)");
    struct stat inode;
    if (::stat("/proc/self/ns/pid", &inode) != 0) return fail(errc::unsupported, "stat(/proc/self/ns/pid)", errno);
    return inode.st_ino;
}

result<stat_fields> read_stat(pid_t pid) noexcept {
    const auto about = object_ref::process(pid);
    // "/proc/" + at most 10 digits + "/stat"
    std::array<char, 32> path{'/', 'p', 'r', 'o', 'c', '/'};
    char* end = std::to_chars(path.data() + 6, path.data() + path.size(), pid).ptr;
    std::string_view{"/stat"}.copy(end, 5);

    const owned_fd file{::open(path.data(), O_RDONLY | O_CLOEXEC)};
    if (!file.valid()) {
        if (errno == ENOENT) return fail(errc::not_found, "open(/proc/PID/stat)", ESRCH, about);
        return detail::fail_os("open(/proc/PID/stat)", errno, about);
    }
    std::array<char, 1024> text;
    ssize_t n = 0;
    while ((n = ::read(file.get(), text.data(), text.size())) < 0 && errno == EINTR) {
    }
    if (n < 0 && errno == ESRCH) return fail(errc::not_found, "read(/proc/PID/stat)", ESRCH, about);
    if (n < 0) return detail::fail_os("read(/proc/PID/stat)", errno, about);

    // The name in field 2 may hold blanks and parentheses: what follows the last one is field 3.
    const std::string_view all{text.data(), static_cast<std::size_t>(n)};
    const auto name_end = all.rfind(") ");
    if (name_end == std::string_view::npos) return fail(errc::unsupported, "read(/proc/PID/stat)", 0, about);
    auto rest = all.substr(name_end + 2);
    const char state = rest.empty() ? '?' : rest.front();
    for (int field = 3; field < 22; ++field) {
        const auto blank = rest.find(' ');
        if (blank == std::string_view::npos) return fail(errc::unsupported, "read(/proc/PID/stat)", 0, about);
        rest.remove_prefix(blank + 1);
    }
    return stat_fields{state, number_at<std::uint64_t>(rest)};
}

}  // namespace

result<process_identity> identity_of(pid_t pid) noexcept {
    if (pid <= 0) return fail(errc::invalid, "open(/proc/PID/stat)", EINVAL, object_ref::process(pid));
    const auto space = own_pid_namespace();
    if (!space) return fail(space.error());
    const auto fields = read_stat(pid);
    if (!fields) return fail(fields.error());
    return process_identity{pid, fields->started, *space};
}

result<process_identity> identity_of_this_process() noexcept { return identity_of(::getpid()); }

result<process_state> state_of(const process_identity& who) noexcept {
    if (who.pid <= 0) return fail(errc::invalid, "open(/proc/PID/stat)", EINVAL, object_ref::process(who.pid));
    const auto space = own_pid_namespace();
    if (!space) return fail(space.error());
    if (*space != who.pid_namespace)
        return fail(errc::unsupported, "stat(/proc/self/ns/pid)", 0, object_ref::process(who.pid));
    const auto fields = read_stat(who.pid);
    // By the errno: other failures to open count as `not_found`, too, and do not say that the process has ended.
    if (!fields && fields.error().os_error() == ESRCH) return process_state::gone;
    if (!fields) return fail(fields.error());
    if (fields->started != who.started) return process_state::gone;
    return fields->state == 'Z' || fields->state == 'X' ? process_state::zombie : process_state::running;
}

}  // namespace kith::inline KITH_ABI::sys
