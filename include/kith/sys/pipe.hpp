// kith/sys/pipe.hpp - anonymous pipes, as pipe(2) and pipe(7) give them: between kin, one way.
//
// The ends are separate move-only types; give one to a child (kith/sys/spawn.hpp) and drop it here, or
// the end of the stream never comes: every open writer keeps the reader waiting.
// Two pipes used as request and reply can deadlock when both sides block on full pipes: wait for both
// directions (kith/sys/poll.hpp) or use deadlines.
// Thread, close, signal and crash rules: kith/sys/byte_stream.hpp. Fork: a child gets copies of both ends, and closes
// what it does not use. Exec: closed; kith::sys::spawn passes on what it is told to.
// Outlives the processes: no; unread bytes are gone with the last descriptor.
#pragma once
#include <cstddef>

#include <kith/sys/byte_stream.hpp>

namespace kith::inline KITH_ABI::sys {

/// How a pipe is made.
struct pipe_options {
    std::size_t capacity =
        0;                 ///< bytes to ask for, rounded up by the kernel to a power of two of pages; 0: its default
    bool packets = false;  ///< O_DIRECT: each write of up to `pipe_atomic_bytes` is read as one packet
};

/// The reading end.
class pipe_reader : public byte_reader {
public:
    using byte_reader::byte_reader;
};

/// The writing end. Closing it ends the stream for the reader, once every copy of it is closed.
class pipe_writer : public byte_writer {
public:
    using byte_writer::byte_writer;
};

/// Both ends of one pipe.
struct pipe_pair {
    pipe_reader reader;
    pipe_writer writer;
};

/// Opens a pipe; both ends are close-on-exec. In packet mode the rest of a packet that is larger than the
/// reader's buffer is lost: read with at least `pipe_atomic_bytes`.
/// Errors: `limit_reached` (descriptors), `not_permitted` (capacity above fs.pipe-max-size), `out_of_memory`.
[[nodiscard]] KITH_EXPORT result<pipe_pair> open_pipe(pipe_options options = {}) noexcept;

/// The capacity in bytes (F_GETPIPE_SZ) of a pipe or FIFO. It counts page slots: 16 writes of 3000 bytes fill 64 KiB.
/// Errors: `invalid` (EBADF: not open, or no pipe). fcntl(2).
[[nodiscard]] KITH_EXPORT result<std::size_t> pipe_capacity(borrowed_fd end) noexcept;

/// Asks for another capacity and returns the one the kernel chose (F_SETPIPE_SZ).
/// Errors: `would_block` with EBUSY (more is queued than would fit), `not_permitted` (above fs.pipe-max-size).
[[nodiscard]] KITH_EXPORT result<std::size_t> set_pipe_capacity(borrowed_fd end, std::size_t bytes) noexcept;

/// Moves up to `count` bytes from `from` to `to` inside the kernel, without a copy through user space; one
/// of the two must be a pipe. Waits like a read of `from` and a write of `to`; a socket as `to` that was adopted in
/// blocking mode is waited for until it has some room, and may then wait without a deadline for more. Returns the
/// count. Errors: `end_of_stream`, `peer_gone`, `would_block`, `timed_out`, `stopped`, `invalid` (no pipe). splice(2).
[[nodiscard]] KITH_EXPORT result<std::size_t> splice(const io_fd& from, const io_fd& to, std::size_t count,
                                                     const wait_policy& wait = {}) noexcept;

/// Copies up to `count` bytes from one pipe to another without consuming them. Errors: as splice. tee(2).
[[nodiscard]] KITH_EXPORT result<std::size_t> tee(const pipe_reader& from, const pipe_writer& to, std::size_t count,
                                                  const wait_policy& wait = {}) noexcept;

/// Hands the pages of `bytes` to the pipe instead of copying them (vmsplice(2)). They must not change until
/// the reader has taken them, which the pipe does not tell: for constant data only. Returns the count.
/// Errors: as byte_writer::write_some.
[[nodiscard]] KITH_EXPORT result<std::size_t> vmsplice(pipe_writer& to, byte_view bytes,
                                                       const wait_policy& wait = {}) noexcept;

}  // namespace kith::inline KITH_ABI::sys
