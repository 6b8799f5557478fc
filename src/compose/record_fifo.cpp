#include <kith/compose/record_fifo.hpp>

#include <sys/file.h>
#include <cerrno>

#include "base/errors.hpp"
#include "compose/file_lock.hpp"

namespace kith::inline KITH_ABI::compose {

result<record_fifo_writer> record_fifo_writer::open(const sys::fifo_path& path, const wait_policy& wait) noexcept {
    auto writer = sys::open_fifo_writer(path, wait);
    if (!writer) return fail(writer.error());
    return record_fifo_writer{std::move(*writer)};
}

result<void> record_fifo_writer::write_record(byte_view record, std::size_t& done, const wait_policy& wait) noexcept {
    const bool is_long = record.size() > sys::pipe_atomic_bytes;
    const bool goes_on = is_long && done > 0;  // and still has the lock
    if (!goes_on) {
        auto locked = detail::lock_file(native(), is_long ? LOCK_EX : LOCK_SH, wait);
        if (!locked) return locked;
    }
    auto written = writer_.write_full(record, done, wait);
    if (written || !is_long || done == 0) ::flock(native().get(), LOCK_UN);
    return written;
}

}  // namespace kith::inline KITH_ABI::compose
