#include <kith/sys/byte_stream.hpp>

#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <climits>

#include "base/ready_io.hpp"
#include "base/sigpipe.hpp"
#include "base/transfer.hpp"
#include "sys/pipe_write.hpp"

namespace kith::inline KITH_ABI::sys {

static_assert(pipe_atomic_bytes == PIPE_BUF);

namespace {

short state_of(int fd) noexcept {
    pollfd end{fd, POLLIN, 0};
    return ::poll(&end, 1, 0) > 0 ? end.revents : short{0};
}

// A read of a FIFO, where 0 bytes are the end only if a writer has come and gone. If nobody has written yet it is the
// same wait as for a writer that has nothing to say: poll(2) reports nothing until a writer has written or has come and
// gone, so that waiting does not spin.
ssize_t read_fifo(int fd, byte_span buffer, fd_mode mode) noexcept {
    for (;;) {
        const auto n = detail::read_in(mode, fd, buffer.data(), buffer.size());
        if (n != 0) return n;
        const short state = state_of(fd);
        // A writer that came, wrote and left after the read: its bytes come before its end.
        if ((state & POLLIN) != 0) continue;
        if ((state & POLLHUP) != 0) return 0;
        errno = EAGAIN;
        return -1;
    }
}

}  // namespace

result<std::size_t> byte_reader::read_some(byte_span buffer, const wait_policy& wait) noexcept {
    if (buffer.empty()) return 0;
    return detail::transfer<detail::zero::is_the_end>(*this, POLLIN, wait, "read", [&](int fd) {
        return end_rule_ == end_rule::hangup ? read_fifo(fd, buffer, mode())
                                             : detail::read_in(mode(), fd, buffer.data(), buffer.size());
    });
}

result<void> byte_reader::read_full(byte_span buffer, std::size_t& done, const wait_policy& wait) noexcept {
    return detail::transfer_full(buffer.size(), done, [&](auto at) { return read_some(buffer.subspan(at), wait); });
}

result<std::size_t> byte_reader::queued() const noexcept {
    int bytes = 0;
    if (::ioctl(native().get(), FIONREAD, &bytes) != 0) return detail::fail_errno("ioctl(FIONREAD)", native().get());
    return static_cast<std::size_t>(bytes);
}

result<std::size_t> byte_writer::write_some(byte_view bytes, const wait_policy& wait) noexcept {
    return detail::write_some_to(*this, bytes, wait);
}

result<void> byte_writer::write_full(byte_view bytes, std::size_t& done, const wait_policy& wait) noexcept {
    return detail::transfer_full(bytes.size(), done, [&](auto at) { return write_some(bytes.subspan(at), wait); });
}

}  // namespace kith::inline KITH_ABI::sys

namespace kith::inline KITH_ABI::detail {

result<std::size_t> write_some_to(const io_fd& pipe, byte_view bytes, const wait_policy& wait) noexcept {
    if (bytes.empty()) return 0;
    if (pipe.mode() == fd_mode::nonblocking) [[likely]]
        return transfer(pipe, POLLOUT, wait, "write",
                        [bytes](int fd) { return write_without_sigpipe(fd, bytes.data(), bytes.size()); });
    // In blocking mode POLLOUT promises room for PIPE_BUF bytes and no more.
    const auto size = std::min(bytes.size(), sys::pipe_atomic_bytes);
    return transfer(pipe, POLLOUT, wait, "write", [=](int fd) { return write_ready(fd, bytes.data(), size); });
}

}  // namespace kith::inline KITH_ABI::detail
