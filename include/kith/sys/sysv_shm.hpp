// kith/sys/sysv_shm.hpp - System V shared memory: segments that processes attach, as shmget(2) and shmop(2) give them.
//
// A segment is named by a key or known by its id, and lives until somebody removes it: no process owns it. A
// handle (`sysv_shm`) is only the id, so there is nothing to close and nothing here waits. New memory reads as
// zeros. Removing marks the segment: it loses its key at once, can still be attached by id, and is gone with the
// last attachment. Remove right after all have attached to get "gone when everybody is gone".
//
// What System V does not promise: creating a segment charges it against the memory the system may commit, but
// gives it no pages (without SHM_NORESERVE, and strictly only with vm.overcommit_memory=2). It does not live in
// /dev/shm and no file system limits it; when the machine runs out of memory the kernel kills a process.
// Attach with `populate` to have every page before work starts. Huge pages are reserved at creation.
// With kernel.shm_rmid_forced=1 a segment that nobody has attached is destroyed when its creator exits:
// "create, exit, attach later" does not work there.
//
// The number of attachments (nattch) is a snapshot: do not remove "because nobody is attached" without a lock.
// Addresses differ from process to process: keep offsets in the segment, never pointers. The segment ends where
// it was asked to, the mapping at the end of its page: running over the end is not caught there.
//
// Keys and ids live in the IPC namespace: a container does not see the host's. Two programs can have picked the
// same key: give the size you expect, and check what you find.
//
// Thread safety: handles are values. Fork: attachments are inherited (and counted); exec detaches.
// Signal handlers: only the memory. Crash: the kernel detaches; what was written stays. Allocates nothing.
#pragma once
#include <sys/types.h>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <kith/sys/creation.hpp>
#include <kith/sys/mapping.hpp>
#include <kith/sys/sysv_key.hpp>

namespace kith::inline KITH_ABI::sys {

/// How a segment is opened or made.
struct sysv_shm_options {
    creation create = creation::must_exist;
    std::size_t size = 0;  ///< bytes; needed to create. An existing segment must have exactly this, unless it is 0
    mode_t mode = 0600;    ///< of a new segment; the umask does not apply
    huge_pages huge = huge_pages::none;
    bool commit = true;  ///< charge the memory at creation; false: SHM_NORESERVE, a touch may be SIGBUS or worse
};

/// How a segment is attached.
struct attach_options {
    memory_access access = memory_access::read_write;
    void* address = nullptr;  ///< where; nullptr: the kernel chooses a free place, which is what to do
    bool round_down = false;  ///< SHM_RND: round `address` down to SHMLBA (a page); else it must be a multiple
    bool replace = false;     ///< SHM_REMAP: take the place of what is mapped at `address`
    bool executable = false;  ///< SHM_EXEC: code may be run from it; needs the execute right on the segment
    bool populate = false;    ///< make every page present now
};

/// What the kernel knows about a segment (IPC_STAT). Times are 0 (1970) until it happens for the first time. A pid may
/// have been reused since, and is 0 for a process that is not visible here.
struct sysv_shm_status {
    sysv_key key{0};   ///< private_object() for one without a key, or one that is marked for removal
    std::size_t size;  ///< as it was asked for, not rounded
    unsigned uid, gid, creator_uid, creator_gid;
    unsigned mode;                       ///< the nine permission bits
    std::uint64_t attachments;           ///< nattch: attachments, not processes
    std::int64_t creator_pid, last_pid;  ///< who made it; who attached or detached last
    std::chrono::system_clock::time_point last_attach, last_detach, last_change;  ///< to the second
    bool marked_for_removal;  ///< SHM_DEST: removed, kept by its attachments
    bool locked;              ///< SHM_LOCKED
};

/// Limits and use of the whole IPC namespace (IPC_INFO, SHM_INFO).
struct sysv_shm_limits {
    std::size_t largest = 0;           ///< bytes of one segment (kernel.shmmax)
    std::uint64_t segments = 0;        ///< number of segments (kernel.shmmni)
    std::uint64_t total_pages = 0;     ///< pages of all segments (kernel.shmall)
    std::uint64_t used_segments = 0;   ///< segments now
    std::uint64_t used_pages = 0;      ///< pages of all segments now, present or not
    std::uint64_t resident_pages = 0;  ///< of these, in memory
    std::uint64_t swapped_pages = 0;   ///< of these, swapped out
    int highest_slot = -1;             ///< the last slot worth asking sysv_shm_in_slot for
};

/// What to change; what is left out stays.
struct sysv_shm_change {
    std::optional<unsigned> uid{}, gid{}, mode{};
};

/// An attached segment; detached with its owner.
/// Thread safety, fork, exec: the file comment.
class sysv_attachment {
public:
    sysv_attachment() noexcept = default;
    sysv_attachment(sysv_attachment&& other) noexcept
        : start_{std::exchange(other.start_, nullptr)}, size_{std::exchange(other.size_, 0)}, access_{other.access_} {}
    sysv_attachment& operator=(sysv_attachment&& other) noexcept;
    sysv_attachment(const sysv_attachment&) = delete;
    sysv_attachment& operator=(const sysv_attachment&) = delete;
    ~sysv_attachment() { static_cast<void>(detach()); }

    /// The memory, to read; empty when detached.
    [[nodiscard]] byte_view view() const noexcept { return {start_, size_}; }
    /// The memory, to read and write; empty for a read-only attachment, so that no write can end the program.
    [[nodiscard]] byte_span bytes() noexcept { return writable() ? byte_span{start_, size_} : byte_span{}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool is_attached() const noexcept { return start_ != nullptr; }
    [[nodiscard]] bool writable() const noexcept { return access_ == memory_access::read_write; }

    /// Detaches now. Every view becomes invalid. Nothing attached is no error; `invalid` (EINVAL) says that
    /// somebody else unmapped it. shmdt(2).
    KITH_EXPORT result<void> detach() noexcept;  // NOLINT(modernize-use-nodiscard): the answer is rarely of use

    /// Makes every page present, as mapping::populate. Errors: `out_of_memory`, `io`.
    [[nodiscard]] KITH_EXPORT result<void> populate() noexcept;

private:
    friend class sysv_shm;
    std::byte* start_ = nullptr;
    std::size_t size_ = 0;
    memory_access access_ = memory_access::read_only;
};

/// A segment, by its id. A value: copies name the same segment, and none of them owns it.
class sysv_shm {
public:
    /// Opens or makes the segment of `key`. What is found is checked: another size is `wrong_size`.
    /// sysv_key::private_object() always makes a new one. To open without knowing the size leave it 0;
    /// then the right to read is not needed either.
    /// Errors: `not_found`, `exists`, `wrong_size`, `not_permitted` (EACCES; EPERM: huge pages need
    /// CAP_IPC_LOCK or the group vm.hugetlb_shm_group), `invalid` (a new segment of size 0 or above kernel.shmmax,
    /// must_exist with a private key, bits of the mode above 0777),
    /// `limit_reached` (ENOSPC: kernel.shmmni segments), `no_space` (ENOSPC: kernel.shmall), `out_of_memory` (also: no
    /// huge pages are reserved). shmget(2).
    [[nodiscard]] KITH_EXPORT static result<sysv_shm> open(sysv_key key, const sysv_shm_options& options = {}) noexcept;
    /// The segment with this id, also one that is marked for removal. `size` as in sysv_shm_options.
    /// Errors: `not_found` (EINVAL or EIDRM: no such id, or not any more), `wrong_size`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT static result<sysv_shm> open_id(int id, std::size_t size = 0) noexcept;
    /// The segment with this id, unchecked and of unknown size: for ids from somewhere else that may be changed or
    /// removed, but not read.
    [[nodiscard]] static constexpr sysv_shm from_id(int id) noexcept { return {id, 0, false}; }

    [[nodiscard]] int native_id() const noexcept { return id_; }
    /// Bytes, as asked for at creation; a segment never changes its size. 0: not known, as it may not be read.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Whether this open() made it: then it is this process's part to initialise the contents.
    [[nodiscard]] bool created() const noexcept { return created_; }

    /// Attaches it. Errors: `removed` (EINVAL, EIDRM), `not_permitted` (reading needs the read right, writing
    /// both), `invalid` (EINVAL: `address` is taken or no multiple of a page), `out_of_memory`. shmat(2).
    [[nodiscard]] KITH_EXPORT result<sysv_attachment> attach(const attach_options& options = {}) const noexcept;

    /// What the kernel knows about it. Errors: `removed`, `not_permitted` (needs the read right).
    [[nodiscard]] KITH_EXPORT result<sysv_shm_status> status() const noexcept;
    /// Changes owner and mode (IPC_SET); what is left out of `wish` is read first (IPC_STAT). Errors: `removed`,
    /// `not_permitted` (EPERM: owner, creator or CAP_SYS_ADMIN), `invalid` (bits of the mode above 0777).
    [[nodiscard]] KITH_EXPORT result<void> change(const sysv_shm_change& wish) const noexcept;
    /// Removes it: see the file comment for when it is gone. Errors: as change().
    [[nodiscard]] KITH_EXPORT result<void> remove() const noexcept;

    /// Keeps its pages, once touched, in memory (SHM_LOCK), until unlock() or removal; no process holds the lock.
    /// Errors: `removed`, `not_permitted` (EPERM: needs CAP_IPC_LOCK or RLIMIT_MEMLOCK above 0),
    /// `out_of_memory` (ENOMEM: above RLIMIT_MEMLOCK).
    [[nodiscard]] KITH_EXPORT result<void> lock() const noexcept;
    /// Lets the kernel swap its pages again (SHM_UNLOCK), whoever locked them. Errors: `removed`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT result<void> unlock() const noexcept;

private:
    constexpr sysv_shm(int id, std::size_t size, bool created) noexcept : id_{id}, size_{size}, created_{created} {}
    int id_;
    std::size_t size_;
    bool created_;
};

/// The limits of this IPC namespace and what is in use. Errors: `io`.
[[nodiscard]] KITH_EXPORT result<sysv_shm_limits> read_sysv_shm_limits() noexcept;

/// A segment found by its place in the kernel's table: the way to list all of them, as ipcs does.
struct listed_sysv_shm {
    int id;
    sysv_shm_status status;
};
/// The segment in a slot, from 0 to `highest_slot`, whoever owns it (SHM_STAT_ANY). Errors: `not_found` (an empty
/// slot).
[[nodiscard]] KITH_EXPORT result<listed_sysv_shm> sysv_shm_in_slot(int slot) noexcept;

}  // namespace kith::inline KITH_ABI::sys
