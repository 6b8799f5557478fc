// kith/sys/byte_stream.hpp - reading and writing a stream of bytes: what pipes and FIFOs share.
//
// The kernel's own semantics: a read or a write may move less than asked, there are no boundaries.
// "End of file" and "nothing there now" are told apart: read_some never returns 0 for a non-empty buffer.
// Thread, fork and close rules: kith/io_fd.hpp. Signal handlers: no. Crash: a writer killed inside write_some leaves at
// most a prefix of its bytes in the stream; up to PIPE_BUF bytes go whole or not at all.
#pragma once
#include <cstddef>

#include <kith/bytes.hpp>
#include <kith/io_fd.hpp>
#include <kith/sigpipe.hpp>

namespace kith::inline KITH_ABI::sys {

/// The largest write, in bytes, that the kernel never splits or interleaves with others (PIPE_BUF).
inline constexpr std::size_t pipe_atomic_bytes = 4096;

/// The reading side of a stream.
class byte_reader : public io_fd {
public:
    using io_fd::io_fd;
    explicit byte_reader(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Reads what is there, at least one byte, at most `buffer`; waits for the first one. Returns the count
    /// (0 only for an empty buffer). Errors: `end_of_stream` (all writers are gone and all was read),
    /// `would_block`, `timed_out`, `stopped`, `invalid`, `io`. read(2), pipe(7).
    [[nodiscard]] KITH_EXPORT result<std::size_t> read_some(byte_span buffer, const wait_policy& wait = {}) noexcept;

    /// Reads until `buffer` is full. `done` counts what has arrived since it was 0: after a failure (any of
    /// read_some's) nothing is lost, and the same call with the same `done` goes on where it stopped.
    [[nodiscard]] KITH_EXPORT result<void> read_full(byte_span buffer, std::size_t& done,
                                                     const wait_policy& wait = {}) noexcept;

    /// Bytes that could be read now (FIONREAD). Never waits. Errors: `invalid` (not open, or nothing that can tell).
    [[nodiscard]] KITH_EXPORT result<std::size_t> queued() const noexcept;

protected:
    /// What a read(2) of 0 bytes means.
    enum class end_rule : bool {
        zero,    ///< the end
        hangup,  ///< the end if poll(2) reports POLLHUP; else no writer has come yet (FIFOs)
    };
    explicit byte_reader(end_rule rule) noexcept : end_rule_{rule} {}
    byte_reader(owned_fd fd, fd_mode mode, end_rule rule) noexcept : io_fd{std::move(fd), mode}, end_rule_{rule} {}

private:
    end_rule end_rule_ = end_rule::zero;
};

/// The writing side of a stream.
class byte_writer : public io_fd {
public:
    using io_fd::io_fd;
    explicit byte_writer(io_fd fd) noexcept : io_fd{std::move(fd)} {}

    /// Writes what fits, at least one byte; up to `pipe_atomic_bytes` all or nothing. Returns the count (0
    /// only for empty `bytes`). Errors: `peer_gone` (no reader is left; no SIGPIPE reaches the program),
    /// `would_block` (no room), `timed_out`, `stopped`, `invalid`, `io`. write(2), pipe(7).
    [[nodiscard]] KITH_EXPORT result<std::size_t> write_some(byte_view bytes, const wait_policy& wait = {}) noexcept;

    /// Writes all of `bytes`; `done` as in byte_reader::read_full.
    [[nodiscard]] KITH_EXPORT result<void> write_full(byte_view bytes, std::size_t& done,
                                                      const wait_policy& wait = {}) noexcept;
};

}  // namespace kith::inline KITH_ABI::sys
