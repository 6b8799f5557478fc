// kith/sys/unix_socket.hpp - UNIX domain sockets: streams, packets and datagrams, descriptors and credentials.
//
// Three kinds: a stream of bytes without boundaries (`unix_stream`; large writes of several processes on one
// socket can interleave), connected packets in order with boundaries (`unix_seqpacket`), and datagrams without a
// connection (`unix_datagram`: reliable and in order on Linux, but a full receiver makes the sender wait).
// Listening and taking over a stale path: kith/sys/unix_listener.hpp.
//
// Descriptors travel beside bytes. What is received is close-on-exec from birth, shares offset and status
// flags (O_NONBLOCK) with the sender's, and is never lost: those that nobody made room for are closed and
// counted. On a stream they belong to the bytes they were sent with only loosely: one receive returns earlier
// plain bytes together with the next block that carries descriptors, and stops after it. Frame them.
//
// Thread, fork and close rules: kith/io_fd.hpp; messages of several threads stay whole (not on a stream).
// Fork: parent and child share a socket and its queue; the other side sees no end until both copies are closed, and a
// child's copy of a bound path removes nothing. Exec: closed. Signal handlers: no.
// Outlives the processes: only a path, never the data. Crash: a packet or datagram is sent whole or not at all, of a
// write to a stream at most a prefix. What a killed process had sent stays readable. A connected peer gets
// `end_of_stream`, or `peer_gone` if something was left unread; descriptors under way to it are closed. A path that it
// had bound stays.
// Man pages: unix(7), cmsg(3), sendmsg(2), recvmsg(2), socketpair(2).
#pragma once
#include <sys/types.h>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <kith/sys/socket.hpp>
#include <kith/sys/unix_name.hpp>

namespace kith::inline KITH_ABI::sys {

/// Who a process is, in the reader's namespaces: pid 0 is a process not visible here, uid 65534 an unmapped user.
struct peer_credentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    friend constexpr bool operator==(const peer_credentials&, const peer_credentials&) = default;
};

/// The most descriptors that one message can carry (SCM_MAX_FD).
inline constexpr std::size_t max_passed_descriptors = 253;

/// What goes out beside the bytes of a message.
struct attachments {
    /// At most `max_passed_descriptors`; they stay the sender's too.
    std::span<const borrowed_fd> descriptors = {};
    /// Credentials to state instead of one's own, for a receiver that asked for them (SCM_CREDENTIALS).
    /// Lying takes privileges: CAP_SYS_ADMIN for the pid, CAP_SETUID and CAP_SETGID for the ids.
    std::optional<peer_credentials> credentials = {};
};

/// What a receive returned beside the bytes.
struct received {
    received() noexcept {}      // NOLINT(modernize-use-equals-default): otherwise all is filled with zeros first
    std::size_t size = 0;       ///< bytes in the buffer
    std::size_t real_size = 0;  ///< bytes of the packet or datagram; more than `size` if it was cut
    bool truncated = false;     ///< the buffer was too small, and the rest of the packet is lost
    /// Something that was sent beside the bytes did not arrive: this process is out of descriptors
    /// (RLIMIT_NOFILE), or a security module refused one.
    bool attachments_lost = false;
    std::size_t descriptors = 0;  ///< how many were stored
    std::size_t surplus = 0;      ///< how many more came and were closed (event `surplus_closed`)
    /// The sender, if set_receive_credentials() is on. Of a message sent before it was: pid 0, uid and gid 65534.
    std::optional<peer_credentials> credentials = {};
    owned_fd sender_pidfd = {};  ///< the sender as a pidfd, if set_receive_pidfd() is on
    unix_name from = {};         ///< the sender's name, for a reply; unnamed if it has none or on a stream
};

/// Who is at the other end, as it was at connect, listen or socketpair time (SO_PEERCRED): it follows neither
/// exec nor the passing of descriptors, and both ends of a pair made before a fork name the parent. The pid may
/// have been reused since: see peer_pidfd. Errors: `peer_gone` (not connected), `invalid`.
[[nodiscard]] KITH_EXPORT result<peer_credentials> peer_of(const socket_base& socket) noexcept;

/// The same process as a pidfd that pid reuse cannot fool (SO_PEERPIDFD, Linux 6.5). Nothing can stand in for it
/// on older kernels (opening the pid of SO_PEERCRED could name a later process): there it is `unsupported`.
/// Errors: `unsupported`, `peer_gone` (that process has been reaped; not on kernels that still give a pidfd),
/// `limit_reached`.
[[nodiscard]] KITH_EXPORT result<owned_fd> peer_pidfd(const socket_base& socket) noexcept;

/// The supplementary groups of that process (SO_PEERGROUPS) into `groups`; returns how many there are. Errors:
/// `too_long` with ERANGE (more than fit; nothing was stored), `unsupported`.
[[nodiscard]] KITH_EXPORT result<std::size_t> peer_groups(const socket_base& socket, std::span<gid_t> groups) noexcept;

/// The security label of that process (SO_PEERSEC) into `label`; returns its length. Errors: `unsupported` (no
/// security module that labels), `too_long` with ERANGE.
[[nodiscard]] KITH_EXPORT result<std::size_t> peer_security(const socket_base& socket, std::span<char> label) noexcept;

/// The name a UNIX socket is bound to. Never waits. Errors: `invalid` (not open), `wrong_kind` (no socket).
[[nodiscard]] KITH_EXPORT result<unix_name> local_name(const socket_base& socket) noexcept;
/// The name the other side is bound to; clients usually have none. Errors: `peer_gone` (not connected).
[[nodiscard]] KITH_EXPORT result<unix_name> peer_name(const socket_base& socket) noexcept;

/// Whether each receive() names the sender (SO_PASSCRED). Set on a listener, it holds for what it accepts, and for
/// what clients send before they are accepted. While it is on, a socket without a name gets an
/// abstract one when it connects or sends. Errors: `invalid` (not open), `wrong_kind` (no socket).
[[nodiscard]] KITH_EXPORT result<void> set_receive_credentials(socket_base& socket, bool on) noexcept;
/// Whether each receive() has a pidfd of the sender (SO_PASSPIDFD). Errors: `unsupported` (before Linux 6.5).
[[nodiscard]] KITH_EXPORT result<void> set_receive_pidfd(socket_base& socket, bool on) noexcept;
/// Whether descriptors may come in at all (SO_PASSRIGHTS). While it is off, a sender of some gets
/// `not_permitted`. Errors: `unsupported` (before Linux 6.16).
[[nodiscard]] KITH_EXPORT result<void> set_receive_descriptors(socket_base& socket, bool on) noexcept;

/// A connected stream.
class KITH_EXPORT unix_stream : public stream_socket {
public:
    using stream_socket::stream_socket;

    /// Writes what fits of `bytes`, at least one byte, with `with` beside them; returns the count. What is
    /// beside goes with the first of them, once: send the rest plain.
    /// Errors: as write_some; `invalid` (no bytes: what is beside would not arrive; more than
    /// `max_passed_descriptors`; a closed descriptor, EBADF), `limit_reached` (ETOOMANYREFS: too many
    /// descriptors under way), `not_permitted` (the receiver refuses descriptors, or a lie in the credentials).
    [[nodiscard]] result<std::size_t> send(byte_view bytes, const attachments& with,
                                           const wait_policy& wait = {}) noexcept;

    /// Reads at least one byte, and what came beside: descriptors go to the front of `descriptors`, each in the place
    /// of what was there, which is closed. `truncated` is never set and `from` never filled.
    /// Errors: as read_some, before anything was taken; `invalid` (an empty buffer).
    [[nodiscard]] result<received> receive(byte_span buffer, std::span<owned_fd> descriptors = {},
                                           const wait_policy& wait = {}) noexcept;
};

/// A connected socket that keeps the boundaries of packets. An empty packet is a packet: the end of the
/// connection is `end_of_stream`, never a size of 0. (To tell them apart the socket has SO_TIMESTAMP on: a
/// packet, even an empty one, carries a time; the end does not.)
class KITH_EXPORT unix_seqpacket : public socket_base {
public:
    unix_seqpacket() noexcept = default;
    /// A connected SOCK_SEQPACKET socket from elsewhere; sets SO_TIMESTAMP on it. Errors: `invalid`, `wrong_type`.
    [[nodiscard]] static result<unix_seqpacket> adopt(owned_fd fd) noexcept;

    /// Sends one packet, whole or not at all. It may be empty; then too what is beside it arrives.
    /// Errors: `too_long` (EMSGSIZE: longer than the send buffer allows), `peer_gone`, `would_block`,
    /// `timed_out`, `stopped`; with attachments those of unix_stream::send.
    [[nodiscard]] result<void> send(byte_view packet, const wait_policy& wait = {}) noexcept;
    [[nodiscard]] result<void> send(byte_view packet, const attachments& with, const wait_policy& wait = {}) noexcept;

    /// Receives one packet. One longer than the buffer is cut, and `truncated` and `real_size` say so.
    /// Errors: `end_of_stream`, `peer_gone` (ECONNRESET), `would_block`, `timed_out`, `stopped`.
    [[nodiscard]] result<received> receive(byte_span buffer, std::span<owned_fd> descriptors = {},
                                           const wait_policy& wait = {}) noexcept;
    /// Looks at the next packet without taking it, and without its descriptors, which a peek would duplicate. Errors:
    /// as receive.
    [[nodiscard]] result<received> peek(byte_span buffer, const wait_policy& wait = {}) noexcept;

private:
    explicit unix_seqpacket(io_fd fd) noexcept : socket_base{std::move(fd)} {}
};

/// How a path is bound.
struct unix_bind_options {
    /// What to do where a dead process left its socket at the path.
    enum class stale : std::uint8_t {
        refuse,     ///< as the kernel: `exists`, whether anybody listens there or not
        take_over,  ///< under kith's lock file beside the path (docs/formats/socket_lock.md)
    };
    stale on_stale = stale::refuse;
    /// The mode of the file, less the umask; connecting needs write permission. Without it 0777 less the umask.
    std::optional<mode_t> mode = {};
};

/// A bound path and, with `take_over`, the lock beside it; nothing for other names. Part of listeners and
/// datagram sockets. Move-only.
class unix_path_claim {
public:
    unix_path_claim() noexcept = default;
    unix_path_claim(unix_path_claim&& other) noexcept;
    unix_path_claim& operator=(unix_path_claim&& other) noexcept;
    ~unix_path_claim() { withdraw(); }

    /// Removes the path if it is still the socket that was bound, in the process that bound it, and gives the
    /// lock back. A path that somebody replaced stays.
    KITH_EXPORT void withdraw() noexcept;
    /// Leaves the path where it is, and gives the lock back.
    KITH_EXPORT void leave() noexcept;

    /// Binds `socket` to `name` and claims it. For listen_unix_stream and its kin; errors are stated there.
    [[nodiscard]] static result<unix_path_claim> bind(const socket_base& socket, const unix_name& name,
                                                      const unix_bind_options& options) noexcept;

private:
    unix_name name_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    pid_t owner_ = 0;
    owned_fd lock_;
};

/// A datagram socket, bound or not, connected or not.
class KITH_EXPORT unix_datagram : public socket_base {
public:
    using socket_base::socket_base;
    unix_datagram(io_fd fd, unix_path_claim claim) noexcept : socket_base{std::move(fd)}, claim_{std::move(claim)} {}
    unix_datagram(unix_datagram&&) noexcept = default;
    unix_datagram& operator=(unix_datagram&& other) noexcept;
    ~unix_datagram() { close(); }

    /// Fixes the receiver of send(), and receives from it alone. Connecting again changes it. Errors:
    /// `not_found`, `peer_gone` (ECONNREFUSED: nobody has that name now), `wrong_type` (another kind of
    /// socket), `not_permitted` (the receiver is connected elsewhere, or the file's mode).
    [[nodiscard]] result<void> connect(const unix_name& to) noexcept;

    /// Sends one datagram to the connected receiver, whole or not at all; it may be empty. Waits while the
    /// receiver's queue is full (net.unix.max_dgram_qlen). Errors: `too_long`, `peer_gone` (receiver gone),
    /// `would_block`, `timed_out`, `stopped`; with attachments those of unix_stream::send.
    [[nodiscard]] result<void> send(byte_view datagram, const wait_policy& wait = {}) noexcept;
    [[nodiscard]] result<void> send(byte_view datagram, const attachments& with, const wait_policy& wait = {}) noexcept;
    /// The same to anyone. The kernel has no way to wait for a stranger's full queue: kith looks again, from 100
    /// microseconds on, at last every 10 ms (event `polling`). Errors also: `not_found`, `wrong_type`.
    [[nodiscard]] result<void> send_to(const unix_name& to, byte_view datagram, const attachments& with = {},
                                       const wait_policy& wait = {}) noexcept;

    /// Receives one datagram; an empty one has a size of 0, and there is no end of stream. One longer than the
    /// buffer is cut, and `truncated` and `real_size` say so. Errors: `would_block`, `timed_out`, `stopped`,
    /// `peer_gone` (the connected peer was closed with datagrams of ours unread).
    [[nodiscard]] result<received> receive(byte_span buffer, std::span<owned_fd> descriptors = {},
                                           const wait_policy& wait = {}) noexcept;
    /// Looks at the next datagram without taking it, and without what is beside it. Errors: as receive.
    [[nodiscard]] result<received> peek(byte_span buffer, const wait_policy& wait = {}) noexcept;

    /// Closes the socket and removes its path if that is still its own.
    void close() noexcept;

private:
    unix_path_claim claim_;
};

/// Two connected ends. Both name the process that made them as their peer, also after a fork.
template <class Socket>
struct socket_pair {
    Socket first;
    Socket second;
};

/// A full-duplex pipe: two stream sockets connected to each other, for kin. Each direction has a buffer of its
/// own; two sides that only write fill them and block each other: read too, or use deadlines. Errors:
/// `limit_reached`, `out_of_memory`. socketpair(2).
[[nodiscard]] KITH_EXPORT result<socket_pair<unix_stream>> open_unix_stream_pair() noexcept;
[[nodiscard]] KITH_EXPORT result<socket_pair<unix_seqpacket>> open_unix_seqpacket_pair() noexcept;
[[nodiscard]] KITH_EXPORT result<socket_pair<unix_datagram>> open_unix_datagram_pair() noexcept;

/// Connects to a listener. While its queue is full the kernel neither waits nor tells when there is room: kith
/// tries again, from 20 microseconds on, at last every 2 ms (event `polling`).
/// Errors: `not_found` (ENOENT), `peer_gone` (ECONNREFUSED: nobody listens; stale, or not listening yet),
/// `wrong_type` (a socket of another kind), `not_permitted` (no write permission), `wrong_kind` (a path that
/// leads through a file), `would_block` (the queue is full), `timed_out`, `stopped`, `limit_reached`.
[[nodiscard]] KITH_EXPORT result<unix_stream> connect_unix_stream(const unix_name& to,
                                                                  const wait_policy& wait = {}) noexcept;
[[nodiscard]] KITH_EXPORT result<unix_seqpacket> connect_unix_seqpacket(const unix_name& to,
                                                                        const wait_policy& wait = {}) noexcept;

/// A datagram socket without a name: it can send, but nobody can answer it. Errors: `limit_reached`.
[[nodiscard]] KITH_EXPORT result<unix_datagram> open_unix_datagram() noexcept;
/// A datagram socket that receives under `name`; unnamed makes the kernel choose an abstract one (local_name).
/// Errors: those of listen_unix_stream.
[[nodiscard]] KITH_EXPORT result<unix_datagram> bind_unix_datagram(const unix_name& name,
                                                                   const unix_bind_options& options = {}) noexcept;

}  // namespace kith::inline KITH_ABI::sys
