#include <kith/sys/duplex_pipe.hpp>

#include <poll.h>
#include <sys/socket.h>

#include "base/errors.hpp"

namespace kith::inline KITH_ABI::sys {

result<duplex_pair> open_duplex_pipe() noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return detail::fail_os("socketpair", errno);
    return duplex_pair{duplex_end{owned_fd{ends[0]}, fd_mode::nonblocking},
                       duplex_end{owned_fd{ends[1]}, fd_mode::nonblocking}};
}

result<void> duplex_end::exchange(byte_view out, std::size_t& sent, byte_span in, std::size_t& received,
                                  const wait_policy& wait) noexcept {
    while (sent < out.size() || received < in.size()) {
        bool moved = false;
        if (received < in.size()) {
            const auto count = read_some(in.subspan(received), deadline::immediate());
            if (!count && count.error().code() != errc::would_block) return fail(count.error());
            if (count) received += *count, moved = true;
        }
        if (sent < out.size()) {
            const auto count = write_some(out.subspan(sent), deadline::immediate());
            if (!count && count.error().code() != errc::would_block) return fail(count.error());
            if (count) sent += *count, moved = true;
        }
        if (moved) continue;
        const int events = (received < in.size() ? POLLIN : 0) | (sent < out.size() ? POLLOUT : 0);
        if (auto ready = wait_for(static_cast<short>(events), wait, "exchange"); !ready) return fail(ready.error());
    }
    return {};
}

}  // namespace kith::inline KITH_ABI::sys
