#include <kith/sys/duplex_pipe.hpp>

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/transfer.hpp"

namespace kith::inline KITH_ABI::sys {

result<duplex_pair> open_duplex_pipe() noexcept {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return detail::fail_os("socketpair", errno);
    return duplex_pair{duplex_end{owned_fd{ends[0]}, fd_mode::nonblocking},
                       duplex_end{owned_fd{ends[1]}, fd_mode::nonblocking}};
}

result<std::size_t> duplex_end::read_some(byte_span buffer, const wait_policy& wait) noexcept {
    if (buffer.empty()) return 0;
    return detail::transfer<detail::zero::is_the_end>(
        *this, POLLIN, wait, "recv", [&](int fd) { return ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT); });
}

result<void> duplex_end::read_full(byte_span buffer, std::size_t& done, const wait_policy& wait) noexcept {
    while (done < buffer.size()) {
        const auto count = read_some(buffer.subspan(done), wait);
        if (!count) return fail(count.error());
        done += *count;
    }
    return {};
}

result<std::size_t> duplex_end::write_some(byte_view bytes, const wait_policy& wait) noexcept {
    if (bytes.empty()) return 0;
    return detail::transfer(*this, POLLOUT, wait, "send", [&](int fd) {
        return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    });
}

result<void> duplex_end::write_full(byte_view bytes, std::size_t& done, const wait_policy& wait) noexcept {
    while (done < bytes.size()) {
        const auto count = write_some(bytes.subspan(done), wait);
        if (!count) return fail(count.error());
        done += *count;
    }
    return {};
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

result<void> duplex_end::finish_writing() noexcept {
    if (::shutdown(native().get(), SHUT_WR) != 0) return detail::fail_errno("shutdown", native().get());
    return {};
}

result<std::size_t> duplex_end::queued() const noexcept {
    int bytes = 0;
    if (::ioctl(native().get(), FIONREAD, &bytes) != 0) return detail::fail_errno("ioctl(FIONREAD)", native().get());
    return static_cast<std::size_t>(bytes);
}

}  // namespace kith::inline KITH_ABI::sys
