#include <kith/sys/pipe.hpp>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <algorithm>
#include <climits>
#include <utility>

#include "base/sigpipe.hpp"
#include "base/transfer.hpp"

namespace kith::inline KITH_ABI::sys {

result<pipe_pair> open_pipe(pipe_options options) noexcept {
    int ends[2];
    // Close-on-exec in the same call: a fork between pipe() and fcntl() would leak both ends.
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK | (options.packets ? O_DIRECT : 0)) != 0)
        return detail::fail_os("pipe2", errno);

    // Owned before anything else can fail, so every return below closes both.
    result<pipe_pair> pair{std::in_place, pipe_reader{owned_fd{ends[0]}, fd_mode::nonblocking},
                           pipe_writer{owned_fd{ends[1]}, fd_mode::nonblocking}};
    if (options.capacity != 0) {
        if (auto set = set_pipe_capacity(pair->writer.native(), options.capacity); !set) pair = fail(set.error());
    }
    return pair;
}

result<std::size_t> pipe_capacity(borrowed_fd end) noexcept {
    const int bytes = ::fcntl(end.get(), F_GETPIPE_SZ);
    if (bytes < 0) return detail::fail_errno("fcntl(F_GETPIPE_SZ)", end.get());
    return static_cast<std::size_t>(bytes);
}

result<std::size_t> set_pipe_capacity(borrowed_fd end, std::size_t bytes) noexcept {
    constexpr std::size_t largest = INT_MAX;
    const int got = ::fcntl(end.get(), F_SETPIPE_SZ, static_cast<int>(std::min(bytes, largest)));
    if (got < 0) return detail::fail_errno("fcntl(F_SETPIPE_SZ)", end.get());
    return static_cast<std::size_t>(got);
}

namespace {

// splice and tee report EAGAIN without saying which side was not ready: wait for the source, then the sink.
template <class Move>
result<std::size_t> move_between(const io_fd& from, const io_fd& to, const wait_policy& wait, const char* operation,
                                 Move move) noexcept {
    // SPLICE_F_NONBLOCK does not hold SIGPIPE back.
    const sigpipe_guard quiet;
    // SPLICE_F_NONBLOCK is for the pipe: what else there is waits as its own mode says.
    bool wait_first = from.mode() == fd_mode::blocking || to.mode() == fd_mode::blocking;
    for (;;) {
        if (std::exchange(wait_first, true)) {
            if (auto ready = from.wait_for(POLLIN, wait, operation); !ready) return fail(ready.error());
            if (auto ready = to.wait_for(POLLOUT, wait, operation); !ready) return fail(ready.error());
        }
        const auto n = move();
        if (n > 0) return static_cast<std::size_t>(n);
        const int os_error = errno;
        if (n == 0) return fail(errc::end_of_stream, operation, 0, object_ref::descriptor(from.native().get()));
        if (os_error == EINTR && wait.signal == on_signal::retry) continue;
        if (os_error != EAGAIN) return detail::fail_os(operation, os_error, object_ref::descriptor(to.native().get()));
        if (wait.until.is_immediate())
            return fail(errc::would_block, operation, EAGAIN, object_ref::descriptor(from.native().get()));
    }
}

}  // namespace

result<std::size_t> splice(const io_fd& from, const io_fd& to, std::size_t count, const wait_policy& wait) noexcept {
    if (count == 0) return 0;
    return move_between(from, to, wait, "splice", [&] {
        return ::splice(from.native().get(), nullptr, to.native().get(), nullptr, count,
                        SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    });
}

result<std::size_t> tee(const pipe_reader& from, const pipe_writer& to, std::size_t count,
                        const wait_policy& wait) noexcept {
    if (count == 0) return 0;
    return move_between(from, to, wait, "tee",
                        [&] { return ::tee(from.native().get(), to.native().get(), count, SPLICE_F_NONBLOCK); });
}

result<std::size_t> vmsplice(pipe_writer& to, byte_view bytes, const wait_policy& wait) noexcept {
    if (bytes.empty()) return 0;
    const sigpipe_guard quiet;
    return detail::transfer(to, POLLOUT, wait, "vmsplice", [&](int fd) {
        const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
        return ::vmsplice(fd, &part, 1, SPLICE_F_NONBLOCK);
    });
}

}  // namespace kith::inline KITH_ABI::sys
