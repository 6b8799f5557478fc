// kith/compose/record_fifo.hpp - many writers, one FIFO, whole records of any length.
//
// The kernel keeps writes of up to PIPE_BUF bytes whole; longer ones of several writers mix. Here every writer takes
// flock(2) on the FIFO itself around each record: shared for records of up to `pipe_atomic_bytes`, which the kernel
// keeps apart, exclusive for longer ones. So the lock binds the writers that take it, and nobody else: a shell's
// `printf >` must stay within PIPE_BUF, and even then may land inside a long record.
// Records are raw: nothing is added, so the reader is any reader, and must be able to tell records apart by their
// content or their fixed size. Where all records are short, a plain `sys::fifo_writer` does the same without a lock.
// Many short records can keep a long one waiting: flock is not fair.
// Convention: docs/formats/record_fifo.md.
// Crash: a writer killed inside a long record leaves its beginning in the FIFO, directly before the next record, and
// its lock is released by the kernel. A record of up to `pipe_atomic_bytes` is there whole or not at all.
// Thread safety: one object needs the caller's lock; close() beside a waiting call as in kith/io_fd.hpp. Fork: parent
// and child would share one lock: each process opens its own writer. Signal handlers: no.
#pragma once
#include <cstddef>

#include <kith/sys/fifo.hpp>

namespace kith::inline KITH_ABI::compose {

/// One of the writers.
class record_fifo_writer {
public:
    /// Opens the FIFO for writing and waits for a reader. Errors: as sys::open_fifo_writer.
    [[nodiscard]] KITH_EXPORT static result<record_fifo_writer> open(const sys::fifo_path& path,
                                                                     const wait_policy& wait = {}) noexcept;

    /// Writes one record. `done` counts what has been written since it was 0. After a failure inside a long record
    /// (0 < done < size) the lock is kept, and the same call with the same `done` goes on where it stopped; close()
    /// gives up and leaves the beginning. The wait is for the lock, then for room. While another writer is inside a
    /// record, the wait for the lock looks again after 20 us to 2 ms (event `polling`).
    /// Errors: `peer_gone` (no reader is left), `would_block`, `timed_out`, `stopped`, `invalid`, `io`.
    [[nodiscard]] KITH_EXPORT result<void> write_record(byte_view record, std::size_t& done,
                                                        const wait_policy& wait = {}) noexcept;

    /// Closes the FIFO, and releases the lock if a record was unfinished.
    void close() noexcept { writer_.close(); }
    [[nodiscard]] borrowed_fd native() const noexcept { return writer_.native(); }

private:
    explicit record_fifo_writer(sys::fifo_writer writer) noexcept : writer_{std::move(writer)} {}
    sys::fifo_writer writer_;
};

}  // namespace kith::inline KITH_ABI::compose
