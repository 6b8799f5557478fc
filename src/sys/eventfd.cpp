#include <kith/sys/eventfd.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <optional>

#include "base/observer.hpp"
#include "base/ready_io.hpp"
#include "base/transfer.hpp"

namespace kith::inline KITH_ABI::sys {

result<event_fd> open_eventfd(std::uint32_t initial, eventfd_mode mode) noexcept {
    const int fd =
        ::eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK | (mode == eventfd_mode::one_by_one ? EFD_SEMAPHORE : 0));
    if (fd < 0) return detail::fail_os("eventfd", errno);
    return result<event_fd>{std::in_place, owned_fd{fd}, fd_mode::nonblocking};
}

result<std::uint64_t> event_fd::take(const wait_policy& wait) noexcept {
    std::uint64_t number = 0;
    return detail::transfer_as(
        *this, POLLIN, wait, "read", [&](int fd) { return detail::read_in(mode(), fd, &number, 8); }, detail::code_for,
        [&](std::size_t) { return number; });
}

result<void> event_fd::add(std::uint64_t number, const wait_policy& wait) noexcept {
    const auto try_once = [&](const wait_policy& how) {
        return detail::transfer_as(
            *this, POLLOUT, how, "write", [&](int fd) { return ::write(fd, &number, 8); }, detail::code_for,
            [](std::size_t) {});
    };
    // Room for 1 is what POLLOUT means, so only for 1 the kernel's own wait is enough.
    if (number <= 1 || mode() == fd_mode::blocking || wait.until.is_immediate()) return try_once(wait);
    std::optional<detail::stay> here;  // over all naps and the attempts between them
    for (auto pause = std::chrono::microseconds{20};; pause = std::min(2 * pause, std::chrono::microseconds{2000})) {
        const auto written = try_once(deadline::immediate());
        if (written) return {};
        if (here && !is_open()) return detail::failed<void>(errc::stopped, "write", 0, -1);
        if (written.error().code() != errc::would_block) return fail(written.error());
        if (!here) {
            here.emplace(*this);
            detail::notify(event_kind::polling, "write", object_ref::descriptor(native().get()));
        }
        // Waiting for no event at all is a sleep that close() and the stop token end.
        const auto until = deadline::earlier(wait.until, deadline::in(pause));
        wait_policy nap = wait;
        nap.until = until;
        const auto slept = here->wait_for(0, nap, "write");
        if (!slept && (slept.error().code() != errc::timed_out || until == wait.until)) return fail(slept.error());
    }
}

}  // namespace kith::inline KITH_ABI::sys
