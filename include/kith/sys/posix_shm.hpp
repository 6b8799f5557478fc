// kith/sys/posix_shm.hpp - POSIX shared memory: named objects in /dev/shm that processes map.
//
// shm_open(3) and its kin. An object has a name, a size and an owner as a file has, is opened for a descriptor and
// mapped (kith/sys/mapping.hpp), and lives until its name is removed and the last descriptor and mapping are gone.
// New memory reads as zeros.
//
// A new object is given memory for every byte before it shows its size (posix_fallocate(3)): a full /dev/shm is
// `no_space` when it is made and never SIGBUS when it is touched. Others find it with size 0 until then: openers
// wait, until a deadline, for the size they expect. A creator killed in between leaves an object of size 0
// (`timed_out`): remove it and make it anew. What the bytes mean, and when they are ready, the size does not tell:
// put a ready flag into them, or use kith/compose/guarded_region.hpp.
//
// Whoever may write to an object may shrink it, and then every other process that touches what was cut off gets
// SIGBUS, which no check beforehand can prevent: between processes that do not trust each other use a sealed memfd
// (kith/sys/memfd.hpp). These objects cannot be sealed. kith never opens with O_TRUNC, which does the same harm.
//
// Names: one leading "/", which may be left out, and no other; at most 255 bytes. /dev/shm follows the mount
// namespace and is small in many containers (64 MiB). The umask applies to the mode.
//
// Thread safety: const calls from any threads; others need the caller's lock. Nothing here waits but open().
// Fork: the child has its own copy of the descriptor, close-on-exec. Signal handlers: no. Crash: the object stays.
#pragma once
#include <sys/types.h>
#include <chrono>
#include <cstddef>
#include <string_view>

#include <kith/fd.hpp>
#include <kith/sys/creation.hpp>
#include <kith/sys/mapping.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::sys {

/// How long opening waits for an object's creator to give it its size, where the caller names no deadline.
inline constexpr std::chrono::seconds posix_shm_creator_patience{2};

/// How an object is opened or made.
struct posix_shm_options {
    creation create = creation::must_exist;
    std::size_t size = 0;  ///< bytes; needed to create. An existing object must have exactly this; 0: any but 0
    mode_t mode = 0600;    ///< of a new object, less the umask
    memory_access access = memory_access::read_write;  ///< read_only needs only the read right, and cannot create
    bool reserve = true;        ///< memory for every byte at creation; false: a touch may be SIGBUS
    bool wait_for_size = true;  ///< false: take an existing object as it is now, also an empty one
};

/// An open object. Move-only; dropping it closes the descriptor and leaves object and mappings alone.
class posix_shm {
public:
    /// Opens or makes the object `name`. `wait` bounds the wait for an existing object's size; without a deadline
    /// it ends after `posix_shm_creator_patience`. The look repeats at up to 2 ms (event `polling`).
    /// Errors: `not_found`, `exists`, `wrong_size`, `wrong_kind` (no regular file, or a symbolic link),
    /// `not_permitted`, `no_space` (/dev/shm is full), `limit_reached` (EFBIG: RLIMIT_FSIZE, no SIGXFSZ is raised;
    /// EMFILE: descriptors), `invalid` (the name; size 0 or read_only with creation), `too_long` (the name),
    /// `timed_out` and `would_block` (it has no size yet), `stopped`. A failed creation leaves nothing behind.
    [[nodiscard]] KITH_EXPORT static result<posix_shm> open(std::string_view name,
                                                            const posix_shm_options& options = {},
                                                            const wait_policy& wait = {}) noexcept;

    [[nodiscard]] borrowed_fd native() const noexcept { return fd_.borrow(); }
    /// Whether this open() made it: then it is this process's part to initialise the contents.
    [[nodiscard]] bool created() const noexcept { return created_; }
    /// Bytes now (fstat(2)). Errors: `io`.
    [[nodiscard]] KITH_EXPORT result<std::size_t> size() const noexcept;

    /// Maps it; the mapping outlives this object. Errors: kith::sys::map().
    [[nodiscard]] KITH_EXPORT result<mapping> map(const map_options& options = {}) const noexcept;

    /// Changes the size. Growing reserves memory first, as creation does. Shrinking takes the memory away from
    /// everybody who has it mapped: SIGBUS for them; it is for an object that nobody else uses.
    /// Errors: `no_space`, `limit_reached`, `invalid` (opened read-only). ftruncate(2).
    [[nodiscard]] KITH_EXPORT result<void> resize(std::size_t bytes) noexcept;

    /// Gives the descriptor away, as it is.
    [[nodiscard]] owned_fd release() noexcept { return std::move(fd_); }

private:
    posix_shm(owned_fd fd, bool created, object_ref name) noexcept
        : fd_{std::move(fd)}, created_{created}, name_{name} {}
    owned_fd fd_;
    bool created_;
    object_ref name_;
};

/// Removes the name; descriptors and mappings stay good, and a new object can have the name at once.
/// Errors: `not_found` (ENOENT: also for a malformed name), `not_permitted`, `too_long`. shm_unlink(3).
[[nodiscard]] KITH_EXPORT result<void> unlink_posix_shm(std::string_view name) noexcept;

}  // namespace kith::inline KITH_ABI::sys
