// kith/compose/fifo_pair.hpp - a two-way connection over two FIFOs, with a listening and a connecting side.
//
// One FIFO carries bytes one way; two make a connection, if both sides open them in the same order: each open waits
// for the other side, and opposite orders wait for ever. Here the order is fixed, every wait can have a deadline, and
// one connector at a time gets through. The listener of PATH makes the directory PATH.pair with the FIFOs `up` (to the
// listener) and `down` (from it) anew for each connection, and removes the names once it is made, so that nobody can
// join or mix into a connection that exists. PATH.lock, which keeps a second listener out, stays.
// No greeting, no framing: a shell is the other side with `cat > PATH.pair/up` and `cat PATH.pair/down`.
// Each direction ends by itself (half-close). Both sides blocked in writing is a deadlock, as with any two pipes: wait
// for both directions (kith/sys/poll.hpp) or use deadlines.
// Who may connect: the mode given to the listener, less the umask. Convention: docs/formats/fifo_pair.md.
// Crash: a dead peer is `end_of_stream` for the reader and `peer_gone` for the writer. A listener killed while it waits
// leaves PATH.pair, which the next listener replaces; its connectors wait for that one.
// Thread safety: one object needs the caller's lock; fork and close rules of the ends: kith/io_fd.hpp. A forked
// child's copy of a listener keeps the path taken until it is destroyed, and must not be used. Exec: closed, all of it.
// Signal handlers: no.
#pragma once
#include <sys/types.h>
#include <cstddef>
#include <string_view>

#include <kith/sys/fifo.hpp>

namespace kith::inline KITH_ABI::compose {

/// A connection: what the peer writes is read here, and the other way round. Closing `writer` is the half-close: the
/// peer reads `end_of_stream` and can go on writing.
struct fifo_connection {
    sys::fifo_reader reader;
    sys::fifo_writer writer;
};

/// The listening side of a path; at most one at a time. Destroying it removes the names.
class fifo_listener {
public:
    /// Takes the path. From the first accept on connectors find it; then they wait for accept as long as they want to.
    /// Errors: `exists` (somebody listens there), `not_found` (the directory), `not_permitted`, `wrong_kind`,
    /// `too_long`.
    [[nodiscard]] KITH_EXPORT static result<fifo_listener> open(std::string_view path, mode_t mode = 0600) noexcept;

    /// Waits for a connector. After a failure the names stay, and the next call goes on waiting.
    /// Errors: `would_block`, `timed_out` (both with ENXIO), `stopped`, and those of mkdir(2) and sys::create_fifo.
    [[nodiscard]] KITH_EXPORT result<fifo_connection> accept(const wait_policy& wait = {}) noexcept;

    KITH_EXPORT fifo_listener(fifo_listener&&) noexcept;
    KITH_EXPORT fifo_listener& operator=(fifo_listener&&) noexcept;
    KITH_EXPORT ~fifo_listener();

private:
    fifo_listener() noexcept = default;
    [[nodiscard]] result<void> prepare() noexcept;
    void withdraw() noexcept;

    static constexpr std::size_t name_capacity = 255;
    owned_fd parent_;                    // the directory that PATH is in
    owned_fd lock_;                      // PATH.lock, locked
    owned_fd pair_;                      // PATH.pair while it is there and ours
    sys::fifo_reader up_;                // open before a connector can find the pair
    char name_[name_capacity + 1] = {};  // PATH.pair without the directory
    mode_t mode_ = 0;
    pid_t owner_ = 0;
};

/// Connects to the listener of `path`, waiting for one to be there and free: either side may start first.
/// Errors: `would_block` and `timed_out`, with ENOENT (nobody listens, or the listener is busy), ENXIO (a dead
/// listener's FIFOs), EWOULDBLOCK (another connector comes first) or EINPROGRESS (not accepted yet); `stopped`;
/// `not_found` (the directory that `path` is in), `wrong_kind`, `not_permitted`, `too_long`, `limit_reached`.
[[nodiscard]] KITH_EXPORT result<fifo_connection> connect_fifo_pair(std::string_view path,
                                                                    const wait_policy& wait = {}) noexcept;

/// Removes what listeners left: PATH.lock, and a dead one's PATH.pair. Errors: `exists` (somebody listens),
/// `not_found` (nothing was there), `wrong_kind`, `not_permitted`.
[[nodiscard]] KITH_EXPORT result<void> remove_fifo_pair(std::string_view path) noexcept;

}  // namespace kith::inline KITH_ABI::compose
