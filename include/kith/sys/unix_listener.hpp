// kith/sys/unix_listener.hpp - listening on a UNIX socket, and taking over a path that a dead process left.
//
// A path stays in the file system when its listener dies, and binding it again is refused although nobody
// listens. A refused connect does not prove that it is stale: the socket may be bound and about to listen. So
// kith takes a path over only where a kith listener of the same convention left it: each holds a lock on
// PATH.kith-lock from before it binds until it has closed, and writes into that file which socket is its own
// (docs/formats/socket_lock.md). Any other leftover is refused with `exists`: look at it, and remove it by hand.
//
// An orderly close removes the path, if it is still the socket that was bound, and the lock file. A forked child
// that closes its copy removes nothing.
// Thread, fork and close rules: kith/io_fd.hpp; several threads or processes may accept on one listener.
// Fork: while a child has a copy open, the socket goes on listening and the path of a dead parent cannot be taken over.
// Exec: closed. Signal handlers: no. Crash: a killed process leaves the path and the lock file. Connections that nobody
// had accepted are reset, as by close().
// Abstract names have no permissions: look at who connected (peer_of). Man pages: unix(7), listen(2), accept(2).
#pragma once
#include <kith/sys/unix_socket.hpp>

namespace kith::inline KITH_ABI::sys {

/// How to listen.
struct unix_listen_options {
    unix_bind_options bind = {};
    /// Connections that may wait to be accepted, capped by net.core.somaxconn; one more than this fits.
    int backlog = 128;
};

/// What the two kinds of listeners share.
class KITH_EXPORT unix_listener : public socket_base {
public:
    unix_listener() noexcept = default;
    unix_listener(io_fd fd, unix_path_claim claim) noexcept : socket_base{std::move(fd)}, claim_{std::move(claim)} {}
    unix_listener(unix_listener&&) noexcept = default;
    unix_listener& operator=(unix_listener&& other) noexcept;
    ~unix_listener() { close(); }

    /// Closes the socket and removes its path if that is still its own. Waiting connections are reset.
    void close() noexcept;
    /// Closes this process's copy and leaves the path, for one who passed the listener on.
    void close_and_leave_path() noexcept;

private:
    unix_path_claim claim_;
};

/// A listener for streams.
class KITH_EXPORT unix_stream_listener : public unix_listener {
public:
    using unix_listener::unix_listener;
    /// Takes the oldest waiting connection. Clients that gave up meanwhile are passed over (event `retried`).
    /// Out of descriptors or memory, it tries once more after 50 ms before it reports that, so a loop around
    /// it does not spin; the client stays in the queue. Errors: `would_block`, `timed_out`, `stopped`,
    /// `limit_reached` (EMFILE, ENFILE), `out_of_memory`, `invalid` (closed, or shut down).
    [[nodiscard]] result<unix_stream> accept(const wait_policy& wait = {}) noexcept;
};

/// A listener for packets.
class KITH_EXPORT unix_seqpacket_listener : public unix_listener {
public:
    using unix_listener::unix_listener;
    /// As unix_stream_listener::accept.
    [[nodiscard]] result<unix_seqpacket> accept(const wait_policy& wait = {}) noexcept;
};

/// Listens under `name`; unnamed makes the kernel choose an abstract one (local_name).
/// Errors: `exists` (EADDRINUSE: somebody has the name, or left it and it may not be taken over; the operation
/// says which: "bind", "bind(socket lock held)", "bind(no record in the socket lock)"), `wrong_kind` (with
/// take_over: something that is no socket is at the path), `not_found` (no such directory), `not_permitted`,
/// `too_long` (no room for the lock's name), `limit_reached`, `no_space`.
[[nodiscard]] KITH_EXPORT result<unix_stream_listener> listen_unix_stream(
    const unix_name& name, const unix_listen_options& options = {}) noexcept;
[[nodiscard]] KITH_EXPORT result<unix_seqpacket_listener> listen_unix_seqpacket(
    const unix_name& name, const unix_listen_options& options = {}) noexcept;

}  // namespace kith::inline KITH_ABI::sys
