#include <kith/sys/signalfd.hpp>

#include <sys/signalfd.h>
#include <unistd.h>
#include <algorithm>

#include "base/ready_io.hpp"
#include "base/transfer.hpp"

namespace kith::inline KITH_ABI::sys {

blocked_signals::blocked_signals(const signal_set& signals) noexcept {
    pthread_sigmask(SIG_BLOCK, &signals.native(), &before_);
}

blocked_signals::~blocked_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

result<signal_fd> open_signalfd(const signal_set& signals) noexcept {
    const int fd = ::signalfd(-1, &signals.native(), SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) return detail::fail_os("signalfd", errno);
    return result<signal_fd>{std::in_place, owned_fd{fd}, fd_mode::nonblocking};
}

result<void> signal_fd::watch(const signal_set& signals) noexcept {
    if (::signalfd(native().get(), &signals.native(), 0) < 0) return detail::fail_errno("signalfd", native().get());
    return {};
}

result<signal_info> signal_fd::take(const wait_policy& wait) noexcept {
    signal_info one;
    if (auto count = take({&one, 1}, wait); !count) return fail(count.error());
    return one;
}

result<std::size_t> signal_fd::take(std::span<signal_info> records, const wait_policy& wait) noexcept {
    signalfd_siginfo raw[16];
    const auto room = std::min(records.size(), std::size(raw)) * sizeof raw[0];
    const auto bytes =
        detail::transfer(*this, POLLIN, wait, "read", [&](int fd) { return detail::read_in(mode(), fd, raw, room); });
    if (!bytes) return fail(bytes.error());
    const auto count = *bytes / sizeof raw[0];
    for (std::size_t i = 0; i < count; ++i)
        records[i] = {.signal = static_cast<int>(raw[i].ssi_signo),
                      .code = raw[i].ssi_code,
                      .pid = static_cast<pid_t>(raw[i].ssi_pid),
                      .uid = raw[i].ssi_uid,
                      .value = raw[i].ssi_int,
                      .pointer = raw[i].ssi_ptr,
                      .status = raw[i].ssi_status,
                      .overrun = raw[i].ssi_overrun};
    return count;
}

}  // namespace kith::inline KITH_ABI::sys
