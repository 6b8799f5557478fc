#include <kith/sys/timerfd.hpp>

#include <sys/timerfd.h>
#include <unistd.h>
#include <algorithm>

#include "base/clock.hpp"
#include "base/ready_io.hpp"
#include "base/transfer.hpp"

namespace kith::inline KITH_ABI::sys {

result<timer_fd> open_timerfd() noexcept {
    const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0) return detail::fail_os("timerfd_create", errno);
    return result<timer_fd>{std::in_place, owned_fd{fd}, fd_mode::nonblocking};
}

result<void> timer_fd::arm(deadline first, std::chrono::nanoseconds period) noexcept {
    const auto about = object_ref::descriptor(native().get());
    itimerspec setting{};
    if (!first.is_never()) {
        // Zero would disarm: the first moment there is stands for every moment in the past.
        const auto when = first.is_immediate() ? 1 : std::max<std::int64_t>(first.monotonic_ns(), 1);
        setting = {.it_interval = detail::to_timespec(period.count()), .it_value = detail::to_timespec(when)};
        if (first.is_immediate() && period.count() != 0) {
            // A periodic timer that began at boot would have expired very often by now.
            const auto now = deadline::clock::now().time_since_epoch();
            setting.it_value = detail::to_timespec(std::chrono::nanoseconds{now}.count());
        }
    }
    if (::timerfd_settime(native().get(), TFD_TIMER_ABSTIME, &setting, nullptr) != 0)
        return detail::fail_os("timerfd_settime", errno, about);
    return {};
}

result<std::uint64_t> timer_fd::take(const wait_policy& wait) noexcept {
    std::uint64_t expirations = 0;
    return detail::transfer_as(
        *this, POLLIN, wait, "read", [&](int fd) { return detail::read_in(mode(), fd, &expirations, 8); },
        detail::code_for, [&](std::size_t) { return expirations; });
}

result<std::chrono::nanoseconds> timer_fd::remaining() const noexcept {
    itimerspec setting{};
    if (::timerfd_gettime(native().get(), &setting) != 0) return detail::fail_errno("timerfd_gettime", native().get());
    return std::chrono::seconds{setting.it_value.tv_sec} + std::chrono::nanoseconds{setting.it_value.tv_nsec};
}

}  // namespace kith::inline KITH_ABI::sys
