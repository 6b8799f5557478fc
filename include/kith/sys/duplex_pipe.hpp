// kith/sys/duplex_pipe.hpp - full-duplex pipes between kin: a byte stream in each direction on one descriptor.
//
// A connected pair of UNIX stream sockets (socketpair(2), unix(7)). Give one end to a child
// (kith/sys/spawn.hpp) and drop it here, as with a pipe.
// Two sides that both write before they read block each other for ever once both directions are full: use
// `exchange`, which moves both directions at once, or deadlines, or wait for both (kith/sys/poll.hpp).
// A side that goes away with bytes of ours unread makes our read end with `peer_gone` (ECONNRESET), once,
// after what it had sent; an orderly end is `end_of_stream`.
// Thread, fork and close rules: kith/io_fd.hpp. Fork: parent and child share an end: the other side sees no end of the
// stream until both copies are closed, or one of them is shut down. Exec: closed. Signal handlers: no.
// Crash: what a killed side had sent stays readable; then comes the end as told above. A write that it was killed in
// leaves at most a prefix.
// Outlives the processes: no; unread bytes are gone with the descriptor that would have read them.
#pragma once
#include <kith/sys/socket.hpp>

namespace kith::inline KITH_ABI::sys {

/// One end: reads what the other end writes, and the other way round. Reading, writing and shutdown() are those of any
/// connected socket (kith/sys/socket.hpp).
class duplex_end : public stream_socket {
public:
    using stream_socket::stream_socket;

    /// Writes all of `out` and reads until `in` is full, whichever direction is ready, so that two sides that
    /// exchange more than the kernel buffers cannot block each other. `sent` and `received` count from 0, also
    /// after a failure: the same call goes on where it stopped. Errors: as write_some and read_some.
    [[nodiscard]] KITH_EXPORT result<void> exchange(byte_view out, std::size_t& sent, byte_span in,
                                                    std::size_t& received, const wait_policy& wait = {}) noexcept;

    /// Half-close: the other side reads what was written and then the end of the stream; reading goes on here.
    /// Errors: `peer_gone` (ENOTCONN), `invalid`. shutdown(2).
    [[nodiscard]] result<void> finish_writing() noexcept { return shutdown(direction::send); }
};

/// Both ends of one full-duplex pipe; they are alike.
struct duplex_pair {
    duplex_end first;
    duplex_end second;
};

/// Opens a full-duplex pipe; both ends are close-on-exec. Errors: `limit_reached` (descriptors), `out_of_memory`.
[[nodiscard]] KITH_EXPORT result<duplex_pair> open_duplex_pipe() noexcept;

}  // namespace kith::inline KITH_ABI::sys
