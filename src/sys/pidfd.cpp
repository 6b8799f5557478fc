#include <kith/sys/pidfd.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/errors.hpp"
#include "base/stay.hpp"
#include "sys/exit_status.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

// Not glibc's own functions: in 2.36 their header lacks C linkage for C++.
int pidfd_open(pid_t pid, unsigned flags) noexcept { return static_cast<int>(::syscall(SYS_pidfd_open, pid, flags)); }
int pidfd_getfd(int pidfd, int fd) noexcept { return static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0)); }
int pidfd_send_signal(int pidfd, int signal) noexcept {
    return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

}  // namespace

result<pid_fd> open_pidfd(pid_t pid) noexcept {
    // PIDFD_NONBLOCK (Linux 5.10): waitid on the descriptor then never waits by itself.
    const int fd = pidfd_open(pid, O_NONBLOCK);
    if (fd >= 0) return result<pid_fd>{std::in_place, owned_fd{fd}, fd_mode::nonblocking};
    if (errno == ESRCH) return fail(errc::not_found, "pidfd_open", ESRCH, object_ref::process(pid));
    return detail::fail_os("pidfd_open", errno, object_ref::process(pid));
}

result<pid_fd> open_pidfd(const process_identity& who) noexcept {
    auto handle = open_pidfd(who.pid);
    if (!handle) return handle;
    // Asked after opening: whoever is found now is the one the handle names, or has already left the pid to another.
    const auto found = identity_of(who.pid);
    if (!found) return fail(found.error());
    if (found->pid_namespace != who.pid_namespace)
        return fail(errc::unsupported, "pidfd_open", 0, object_ref::process(who.pid));
    if (*found != who) return fail(errc::not_found, "pidfd_open", ESRCH, object_ref::process(who.pid));
    return handle;
}

result<void> pid_fd::send_signal(int signal) const noexcept {
    if (pidfd_send_signal(native().get(), signal) != 0) return detail::fail_errno("pidfd_send_signal", native().get());
    return {};
}

result<void> pid_fd::wait_for_end(const wait_policy& wait) const noexcept {
    if (auto ended = wait_for(POLLIN, wait, "wait for the end of a process"); !ended) return fail(ended.error());
    return {};
}

result<exit_status> pid_fd::reap(const wait_policy& wait) const noexcept {
    std::optional<detail::stay> here;  // over all waits and the looks between them
    for (;;) {
        siginfo_t info{};
        const int fd = native().get();
        if (here && fd < 0) return detail::failed<exit_status>(errc::stopped, "waitid", 0, fd);
        const int rc = ::waitid(P_PIDFD, static_cast<id_t>(fd), &info, WEXITED | WNOHANG);
        if (rc == 0 && info.si_pid != 0) return detail::exit_status_from(info);
        if (rc != 0 && errno != EAGAIN && errno != EINTR)
            return detail::fail_os("waitid", errno, object_ref::descriptor(fd));
        if (!here && is_open() && !wait.until.is_immediate()) here.emplace(*this);
        const auto ended = here ? here->wait_for(POLLIN, wait, "waitid") : wait_for(POLLIN, wait, "waitid");
        if (!ended) return fail(ended.error());
    }
}

result<owned_fd> pid_fd::copy_descriptor(int fd) const noexcept {
    const int copy = pidfd_getfd(native().get(), fd);
    if (copy >= 0) return owned_fd{copy};
    if (errno == EBADF && ::fcntl(native().get(), F_GETFD) >= 0)
        return fail(errc::not_found, "pidfd_getfd", EBADF, object_ref::descriptor(fd));
    return detail::fail_os("pidfd_getfd", errno, object_ref::descriptor(fd));
}

result<pid_t> pid_fd::pid() const noexcept {
    const auto about = object_ref::descriptor(native().get());
    constexpr std::string_view directory = "/proc/self/fdinfo/";
    std::array<char, 40> path{};
    directory.copy(path.data(), directory.size());
    std::to_chars(path.data() + directory.size(), path.data() + path.size() - 1, native().get());
    const owned_fd file{::open(path.data(), O_RDONLY | O_CLOEXEC)};
    if (!file.valid() && errno == ENOENT) return fail(errc::unsupported, "open(/proc/self/fdinfo)", ENOENT, about);
    if (!file.valid()) return detail::fail_os("open(/proc/self/fdinfo)", errno, about);

    std::array<char, 512> text;
    const auto n = ::read(file.get(), text.data(), text.size());
    if (n < 0) return detail::fail_os("read(/proc/self/fdinfo)", errno, about);
    const std::string_view all{text.data(), static_cast<std::size_t>(n)};
    const auto at = all.find("\nPid:\t");
    if (at == std::string_view::npos) return fail(errc::invalid, "read(/proc/self/fdinfo)", 0, about);
    pid_t pid = 0;
    std::from_chars(all.data() + at + 6, all.data() + all.size(), pid);
    if (pid < 0) return fail(errc::peer_gone, "read(/proc/self/fdinfo)", ESRCH, about);
    if (pid == 0) return fail(errc::not_found, "read(/proc/self/fdinfo)", 0, about);
    return pid;
}

}  // namespace kith::inline KITH_ABI::sys
