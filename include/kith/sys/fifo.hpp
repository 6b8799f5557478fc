// kith/sys/fifo.hpp - FIFOs, as fifo(7) and open(2) give them: pipes with a name, between strangers, one way.
//
// Opening a FIFO is a meeting: who opens it for reading waits for a writer, and the other way round. The
// deadline of the open functions says which of open(2)'s two rules holds, and adds what the kernel lacks:
//   `deadline::never()`      without O_NONBLOCK: the kernel's own blocking open (with a stop token: as below)
//   `deadline::immediate()`  with O_NONBLOCK: a reader opens at once, also when nobody writes; a writer without a
//                            reader fails (ENXIO)
//   any other deadline       waits for the other side until then. The kernel has no such open, so kith opens
//                            without waiting and looks again after 20 us to 2 ms (event `polling`); no thread.
// A waiting reader counts as a reader, as in the kernel: it lets a waiting writer in. If its deadline passes just
// then, that writer gets `peer_gone`.
// Two FIFOs, two processes: open both in the same order on both sides, or neither open ever returns
// (kith/compose/fifo_pair.hpp does). Once open, descriptors are non-blocking and waits have deadlines.
// What was opened is checked to be a FIFO, and a symbolic link at the path's end is not followed: a file that
// somebody planted under the name is `wrong_kind`, and nothing is written to it.
// Several writers: up to `pipe_atomic_bytes` per write stay whole; longer records need kith/compose/record_fifo.hpp.
// Several readers split the bytes among them arbitrarily.
// Outlives the processes: the name, until it is removed; unread bytes are gone with the last open descriptor.
// Who may open it: the file's mode. FIFOs follow the mount namespace: a container sees its own.
// Thread, fork and close rules: kith/io_fd.hpp. An open that waits can be ended by its stop token only.
// Fork: parent and child share an end: the other side sees a reader or a writer until both copies are closed. Exec:
// closed. Signal handlers: no. Crash: the kernel closes the ends of a killed process, whose peers then get
// `end_of_stream` (readers, after what it had written) or `peer_gone` (writers). A write that it was killed in leaves
// at most a prefix, of up to `pipe_atomic_bytes` all or nothing. An open that it was killed in leaves nothing.
#pragma once
#include <sys/types.h>
#include <concepts>
#include <cstddef>
#include <string_view>

#include <kith/sys/byte_stream.hpp>
#include <kith/sys/creation.hpp>

namespace kith::inline KITH_ABI::sys {

/// Where a FIFO is: a path, relative to the working directory or to a directory that the caller has open (openat(2)).
/// Borrows the text for the duration of the call.
struct fifo_path {
    template <class Text>
        requires std::convertible_to<const Text&, std::string_view>
    constexpr fifo_path(const Text& text) noexcept : path{text} {}  // NOLINT(google-explicit-constructor)
    constexpr fifo_path(borrowed_fd directory_, std::string_view path_) noexcept
        : path{path_}, directory{directory_.get()} {}

    std::string_view path;
    int directory = -100;  ///< AT_FDCWD
};

/// What can be told about a FIFO without opening it.
struct fifo_status {
    mode_t mode = 0;  ///< permission bits
    uid_t uid = 0;    ///< owner
    gid_t gid = 0;    ///< group
    dev_t device = 0;
    ino_t inode = 0;
};

/// Makes a FIFO with permissions `mode` & ~umask, or, as `policy` says, is content with the one that is there
/// (its mode is left as it is). Nothing is opened. mkfifo(3).
/// Errors: `exists`, `not_found` (must_exist; a directory of the path), `wrong_kind` (something else is there, or a
/// symbolic link), `wrong_filesystem` (cannot hold FIFOs), `not_permitted`, `no_space`, `too_long`, `invalid` (NUL).
[[nodiscard]] KITH_EXPORT result<void> create_fifo(const fifo_path& path, mode_t mode = 0600,
                                                   creation policy = creation::must_be_new) noexcept;

/// Removes the name. Who has it open goes on; nobody can open it any more. Anything but a FIFO is left alone.
/// (Between that check and the removal somebody may exchange the file: only the directory's mode prevents that.)
/// Errors: `not_found`, `wrong_kind`, `not_permitted`, `too_long`, `invalid`. unlink(2).
[[nodiscard]] KITH_EXPORT result<void> remove_fifo(const fifo_path& path) noexcept;

/// Looks at the FIFO without opening it: opening would let a waiting writer or reader in.
/// Errors: `not_found`, `wrong_kind`, `not_permitted`, `too_long`, `invalid`. stat(2).
[[nodiscard]] KITH_EXPORT result<fifo_status> fifo_status_of(const fifo_path& path) noexcept;

/// The reading end. read(2) on a FIFO returns 0 both before the first writer has come and after the last one has
/// left; here the former is a wait like any other (`would_block`, `timed_out`), and only the latter is
/// `end_of_stream`. The end is reported again and again until a new writer opens: a reader that goes on calls
/// start_over(), or is a `fifo_both` from the start, which never sees the end.
class fifo_reader : public byte_reader {
public:
    fifo_reader() noexcept : byte_reader{end_rule::hangup} {}
    fifo_reader(owned_fd fd, fd_mode mode) noexcept : byte_reader{std::move(fd), mode, end_rule::hangup} {}

    /// Whether some process has it open for writing, or left bytes that are still unread. Takes nothing out; needs two
    /// free descriptors for a moment.
    /// Errors: `limit_reached`, `invalid`. tee(2).
    [[nodiscard]] KITH_EXPORT result<bool> has_writer() const noexcept;

    /// Waits until a writer has opened it, or has been there since it was opened (then data or the end can be read).
    /// Looks at intervals, as the open functions do. Errors: `would_block`, `timed_out`, `stopped`, `limit_reached`.
    [[nodiscard]] KITH_EXPORT result<void> wait_for_writer(const wait_policy& wait = {}) noexcept;

    /// After `end_of_stream`: forgets the writers that have left, so that later reads wait for the next ones. Unread
    /// bytes stay. A writer that came and left since the end was reported is forgotten, too: ends cannot be counted.
    /// The descriptor keeps its number and becomes a new open file description (through /proc); no other
    /// thread may be waiting. Errors: `unsupported` (no /proc), `not_permitted`, `limit_reached`, `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> start_over() noexcept;
};

/// The writing end. When the last one closes, readers get `end_of_stream`.
class fifo_writer : public byte_writer {
public:
    using byte_writer::byte_writer;
};

/// Both ends in one descriptor (O_RDWR): the reader of a server that must not see the end each time a client leaves.
/// It keeps the FIFO and the unread bytes alive, and writers never lack a reader. Writing puts bytes into the same
/// FIFO, for whoever reads first, itself included. As a `fifo_reader` (move it into one) it never sees `end_of_stream`.
class fifo_both : public fifo_reader {
public:
    using fifo_reader::fifo_reader;
    /// As byte_writer::write_some; never `peer_gone`.
    [[nodiscard]] KITH_EXPORT result<std::size_t> write_some(byte_view bytes, const wait_policy& wait = {}) noexcept;
};

/// Opens for reading. Waits for a writer; `immediate()` does not, and still succeeds: F_GETFL shows exactly
/// open(O_RDONLY | O_NONBLOCK). Close-on-exec, as all of these.
/// Errors: `timed_out`, `stopped`, `not_found`, `not_permitted`, `wrong_kind`, `limit_reached`, `too_long`, `invalid`.
[[nodiscard]] KITH_EXPORT result<fifo_reader> open_fifo_reader(const fifo_path& path,
                                                               const wait_policy& wait = {}) noexcept;

/// Opens for writing. Waits for a reader. With `immediate()` and no reader: `would_block` with ENXIO. Not `not_found`,
/// for the FIFO is there, and not `peer_gone`, for nobody has left: a reader may come, which is what would_block says.
/// For the same reason expiry is `timed_out` with ENXIO. Other errors: as open_fifo_reader.
[[nodiscard]] KITH_EXPORT result<fifo_writer> open_fifo_writer(const fifo_path& path,
                                                               const wait_policy& wait = {}) noexcept;

/// Opens for reading and writing, which on Linux never waits. Needs both permissions.
/// Errors: as open_fifo_reader, without those of waiting.
[[nodiscard]] KITH_EXPORT result<fifo_both> open_fifo_both(const fifo_path& path) noexcept;

}  // namespace kith::inline KITH_ABI::sys
