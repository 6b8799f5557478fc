// child_process - the child that kith::sys::spawn started: waiting for it, signalling it, collecting it.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <utility>

#include <kith/sys/spawn.hpp>

#include "base/clock.hpp"
#include "base/errors.hpp"
#include "sys/exit_status.hpp"

namespace kith::inline KITH_ABI::sys {

child_process::child_process(child_process&& other) noexcept
    : pid_{std::exchange(other.pid_, 0)},
      parent_{other.parent_},
      ended_{other.ended_},
      status_{other.status_},
      handle_{std::move(other.handle_)} {}

child_process& child_process::operator=(child_process&& other) noexcept {
    if (this != &other) {
        finish();
        pid_ = std::exchange(other.pid_, 0);
        parent_ = other.parent_;
        ended_ = other.ended_;
        status_ = other.status_;
        handle_ = std::move(other.handle_);
    }
    return *this;
}

child_process::~child_process() { finish(); }

result<void> child_process::check(const char* operation) const noexcept {
    if (pid_ == 0) return fail(errc::invalid, operation);
    if (parent_ != ::getpid()) return fail(errc::forked, operation, 0, object_ref::process(pid_));
    return {};
}

// As long as it is not reaped, the pid cannot mean anybody else.
result<bool> child_process::try_reap() noexcept {
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0)
        if (errno != EINTR) return detail::fail_os("waitid", errno, object_ref::process(pid_));
    if (info.si_pid == 0) return false;
    status_ = detail::exit_status_from(info);
    ended_ = true;
    return true;
}

result<exit_status> child_process::wait(const wait_policy& how) noexcept {
    if (auto mine = check("waitid"); !mine) return fail(mine.error());
    const auto about = object_ref::process(pid_);
    for (std::int64_t pause_ns = 20'000;; pause_ns = std::min<std::int64_t>(2 * pause_ns, 2'000'000)) {
        if (ended_) return status_;
        const auto reaped = try_reap();
        if (!reaped) return fail(reaped.error());
        if (*reaped) continue;
        if (handle_.is_open()) {
            if (auto over = handle_.wait_for_end(how); !over) return fail(over.error().about(about));
            continue;
        }
        if (how.stop_requested()) return fail(errc::stopped, "waitid", 0, about);
        if (detail::expired(how.until)) return fail(detail::expiry_code(how.until), "waitid", 0, about);
        const auto pause = detail::remaining(how.until, pause_ns);
        if (::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr) == EINTR && how.signal == on_signal::report)
            return fail(errc::stopped, "waitid", EINTR, about);
    }
}

result<void> child_process::kill(int signal) noexcept {
    if (auto mine = check("kill"); !mine) return mine;
    const auto about = object_ref::process(pid_);
    if (ended_) return fail(errc::peer_gone, "kill", ESRCH, about);
    if (handle_.is_open()) {
        if (auto sent = handle_.send_signal(signal); !sent) return fail(sent.error().about(about));
        return {};
    }
    // Where SIGCHLD is ignored the kernel has reaped it, and the pid may be a stranger's.
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return fail(errc::peer_gone, "kill", ESRCH, about);
    if (::kill(pid_, signal) != 0) return detail::fail_os("kill", errno, about);
    return {};
}

pid_fd child_process::release() noexcept {
    pid_ = 0;
    return std::move(handle_);
}

void child_process::finish() noexcept {
    if (pid_ == 0 || ended_ || parent_ != ::getpid()) return;
    const int saved = errno;
    const auto killed = kill(SIGKILL);
    // One that may not be killed is not waited for: it can go on for ever.
    const int unless_killed = killed || killed.error().os_error() == ESRCH ? 0 : WNOHANG;
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | unless_killed) != 0 && errno == EINTR) {
    }
    errno = saved;
}

}  // namespace kith::inline KITH_ABI::sys
