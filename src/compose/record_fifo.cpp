#include <kith/compose/record_fifo.hpp>

#include <sys/file.h>
#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/clock.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"
#include "base/stay.hpp"

namespace kith::inline KITH_ABI::compose {
namespace {

// flock(2) has no deadline, and close() in another thread would not end its wait: asked without waiting, with sleeps on
// the descriptor in between.
result<void> take_lock(const sys::fifo_writer& fifo, int kind, const wait_policy& wait) noexcept {
    if (::flock(fifo.native().get(), kind | LOCK_NB) == 0) [[likely]]
        return {};
    const detail::stay here{fifo};
    for (auto nap = std::chrono::microseconds{20};; nap = std::min(2 * nap, std::chrono::microseconds{2000})) {
        const int fd = fifo.native().get();
        const auto about = object_ref::descriptor(fd);
        if (fd < 0) return fail(errc::stopped, "flock", 0, about);
        if (::flock(fd, kind | LOCK_NB) == 0) return {};
        const int os_error = errno;
        if (os_error == EINTR) continue;
        if (os_error != EWOULDBLOCK) return detail::fail_os("flock", os_error, about);
        if (nap.count() == 20 && !wait.until.is_immediate())
            detail::notify(event_kind::polling, "flock", about, EWOULDBLOCK);
        wait_policy step = wait;
        if (!wait.until.is_immediate()) step.until = deadline::earlier(wait.until, deadline::in(nap));
        const auto woken = here.wait_for(0, step, "flock");
        // The only thing that ends a wait for nothing is an error state: no reader is left.
        if (woken) return fail(errc::peer_gone, "flock", EPIPE, about);
        if (!fifo.is_open()) return fail(errc::stopped, "flock", 0, about);
        const auto& why = woken.error();
        const bool over = why.code() != errc::timed_out || detail::expired(wait.until);
        if (over) return fail(why.code(), "flock", why.code() == errc::stopped ? why.os_error() : EWOULDBLOCK, about);
    }
}

}  // namespace

result<record_fifo_writer> record_fifo_writer::open(const sys::fifo_path& path, const wait_policy& wait) noexcept {
    auto writer = sys::open_fifo_writer(path, wait);
    if (!writer) return fail(writer.error());
    return record_fifo_writer{std::move(*writer)};
}

result<void> record_fifo_writer::write_record(byte_view record, std::size_t& done, const wait_policy& wait) noexcept {
    const bool is_long = record.size() > sys::pipe_atomic_bytes;
    const bool goes_on = is_long && done > 0;  // and still has the lock
    if (!goes_on) {
        if (!writer_.is_open()) return fail(errc::invalid, "flock", EBADF, object_ref::descriptor(-1));
        auto locked = take_lock(writer_, is_long ? LOCK_EX : LOCK_SH, wait);
        if (!locked) return locked;
    }
    auto written = writer_.write_full(record, done, wait);
    if (written || !is_long || done == 0) ::flock(native().get(), LOCK_UN);
    return written;
}

}  // namespace kith::inline KITH_ABI::compose
