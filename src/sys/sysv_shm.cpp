#include <kith/sys/sysv_shm.hpp>

#include <sys/ipc.h>
#include <sys/shm.h>
#include <cerrno>

#include "base/errors.hpp"
#include "base/observer.hpp"
#include "sys/memory.hpp"
#include "sys/sysv_rules.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

// Losing the race between "is it there?" and "make it" this often means that somebody removes it as fast.
constexpr int most_races = 100;

constexpr bool no_such_id(int os_error) noexcept { return os_error == EINVAL || os_error == EIDRM; }

// An id that was good once and is not known any more was removed.
std::unexpected<error> failed_on(int id, const char* operation, int os_error) noexcept {
    const auto about = object_ref::sysv_id(id);
    if (no_such_id(os_error)) return fail(errc::removed, operation, os_error, about);
    return detail::fail_os(operation, os_error, about);
}

std::chrono::system_clock::time_point moment(time_t seconds) noexcept {
    return std::chrono::system_clock::from_time_t(seconds);
}

sysv_shm_status status_from(const shmid_ds& segment) noexcept {
    const auto& rights = segment.shm_perm;
    return {
        .key = sysv_key{rights.__key},
        .size = segment.shm_segsz,
        .uid = rights.uid,
        .gid = rights.gid,
        .creator_uid = rights.cuid,
        .creator_gid = rights.cgid,
        .mode = rights.mode & detail::sysv_mode_bits,
        .attachments = segment.shm_nattch,
        .creator_pid = segment.shm_cpid,
        .last_pid = segment.shm_lpid,
        .last_attach = moment(segment.shm_atime),
        .last_detach = moment(segment.shm_dtime),
        .last_change = moment(segment.shm_ctime),
        .marked_for_removal = (rights.mode & SHM_DEST) != 0,
        .locked = (rights.mode & SHM_LOCKED) != 0,
    };
}

// The size that a segment has, checked against the one expected. 0 expects nothing, and is the answer where the
// segment may not be read: changing or removing it may still be allowed.
result<std::size_t> checked_size(int id, std::size_t expected, object_ref about) noexcept {
    shmid_ds segment;
    if (::shmctl(id, IPC_STAT, &segment) != 0) {
        if (no_such_id(errno)) return fail(errc::not_found, "shmctl(IPC_STAT)", errno, about);
        if (errno == EACCES && expected == 0) return 0;
        return detail::fail_os("shmctl(IPC_STAT)", errno, about);
    }
    if (expected != 0 && segment.shm_segsz != expected) return fail(errc::wrong_size, "shmget", 0, about);
    return segment.shm_segsz;
}

// ENOSPC has two reasons: the number of segments, and the pages of all of them.
errc out_of_segments() noexcept {
    const auto limits = read_sysv_shm_limits();
    return limits && limits->used_segments >= limits->segments ? errc::limit_reached : errc::no_space;
}

}  // namespace

result<sysv_shm> sysv_shm::open(sysv_key key, const sysv_shm_options& options) noexcept {
    if (auto right = detail::check_sysv_open(key, options.create, options.mode, "shmget"); !right)
        return fail(right.error());
    const auto about = object_ref::sysv_key(key.value());
    const auto how = key.is_private() ? creation::must_be_new : options.create;
    const int make = IPC_CREAT | IPC_EXCL | static_cast<int>(options.mode) | (options.commit ? 0 : SHM_NORESERVE) |
                     static_cast<int>(detail::huge_page_flags(options.huge, SHM_HUGETLB));
    for (int race = 0; race < most_races; ++race) {
        if (race != 0) detail::notify(event_kind::retried, "shmget", about);
        if (how != creation::must_be_new) {
            // Asked for with size 0, so that a smaller segment is found and named, not refused with EINVAL.
            const int id = ::shmget(key.value(), 0, 0);
            if (id >= 0) {
                const auto size = checked_size(id, options.size, about);
                if (size) return sysv_shm{id, *size, false};
                // Removed between the two calls is as if it had not been found.
                if (size.error().code() != errc::not_found || how == creation::must_exist) return fail(size.error());
                continue;
            }
            if (errno != ENOENT || how == creation::must_exist) return detail::fail_os("shmget", errno, about);
        }
        const int id = ::shmget(key.value(), options.size, make);
        if (id >= 0) return sysv_shm{id, options.size, true};
        if (errno == ENOSPC) return fail(out_of_segments(), "shmget", ENOSPC, about);
        if (errno != EEXIST || how == creation::must_be_new) return detail::fail_os("shmget", errno, about);
    }
    return fail(errc::removed, "shmget", 0, about);
}

result<sysv_shm> sysv_shm::open_id(int id, std::size_t size) noexcept {
    const auto found = checked_size(id, size, object_ref::sysv_id(id));
    if (!found) return fail(found.error());
    return sysv_shm{id, *found, false};
}

result<sysv_attachment> sysv_shm::attach(const attach_options& options) const noexcept {
    auto size = size_;
    if (size == 0) {
        const auto now = status();
        if (!now) return fail(now.error());
        size = now->size;
    }
    const bool writable = options.access == memory_access::read_write;
    const int flags = (writable ? 0 : SHM_RDONLY) | (options.round_down ? SHM_RND : 0) |
                      (options.replace ? SHM_REMAP : 0) | (options.executable ? SHM_EXEC : 0);
    void* const start = ::shmat(id_, options.address, flags);
    if (reinterpret_cast<std::intptr_t>(start) == -1) {
        const int os_error = errno;
        // EINVAL is also the answer to a bad address: the segment itself tells which it was.
        shmid_ds segment{};
        if (no_such_id(os_error) && (::shmctl(id_, IPC_STAT, &segment) == 0 || !no_such_id(errno)))
            return detail::fail_os("shmat", os_error, object_ref::sysv_id(id_));
        return failed_on(id_, "shmat", os_error);
    }
    sysv_attachment attached;
    attached.start_ = static_cast<std::byte*>(start);
    attached.size_ = size;
    attached.access_ = options.access;
    if (options.populate) {
        if (const auto present = attached.populate(); !present)
            return fail(present.error().about(object_ref::sysv_id(id_)));
    }
    return attached;
}

result<sysv_shm_status> sysv_shm::status() const noexcept {
    shmid_ds segment;
    if (::shmctl(id_, IPC_STAT, &segment) != 0) return failed_on(id_, "shmctl(IPC_STAT)", errno);
    return status_from(segment);
}

result<void> sysv_shm::change(const sysv_shm_change& wish) const noexcept {
    const auto right = detail::check_sysv_mode(wish.mode.value_or(0), "shmctl(IPC_SET)", object_ref::sysv_id(id_));
    if (!right) return right;
    shmid_ds segment{};
    // Not asked where nothing is to stay: an owner may have taken the read right away from itself.
    const bool all = wish.uid && wish.gid && wish.mode;
    if (!all && ::shmctl(id_, IPC_STAT, &segment) != 0) return failed_on(id_, "shmctl(IPC_STAT)", errno);
    auto& rights = segment.shm_perm;
    rights.uid = wish.uid.value_or(rights.uid);
    rights.gid = wish.gid.value_or(rights.gid);
    rights.mode = static_cast<unsigned short>(wish.mode.value_or(rights.mode));
    if (::shmctl(id_, IPC_SET, &segment) != 0) return failed_on(id_, "shmctl(IPC_SET)", errno);
    return {};
}

result<void> sysv_shm::remove() const noexcept {
    if (::shmctl(id_, IPC_RMID, nullptr) != 0) return failed_on(id_, "shmctl(IPC_RMID)", errno);
    return {};
}

result<void> sysv_shm::lock() const noexcept {
    if (::shmctl(id_, SHM_LOCK, nullptr) != 0) return failed_on(id_, "shmctl(SHM_LOCK)", errno);
    return {};
}

result<void> sysv_shm::unlock() const noexcept {
    if (::shmctl(id_, SHM_UNLOCK, nullptr) != 0) return failed_on(id_, "shmctl(SHM_UNLOCK)", errno);
    return {};
}

sysv_attachment& sysv_attachment::operator=(sysv_attachment&& other) noexcept {
    if (this != &other) {
        static_cast<void>(detach());
        start_ = std::exchange(other.start_, nullptr);
        size_ = std::exchange(other.size_, 0);
        access_ = other.access_;
    }
    return *this;
}

result<void> sysv_attachment::detach() noexcept {
    if (start_ == nullptr) return {};
    const int saved = errno;  // the destructor must not change what an error path reports
    size_ = 0;
    if (::shmdt(std::exchange(start_, nullptr)) != 0) {
        const int os_error = std::exchange(errno, saved);
        return detail::fail_os("shmdt", os_error);
    }
    return {};
}

result<void> sysv_attachment::populate() noexcept { return detail::populate(start_, size_, writable(), object_ref{}); }

result<sysv_shm_limits> read_sysv_shm_limits() noexcept {
    // Both requests fill structures of their own, which the C interface hides behind shmid_ds.
    shminfo allowed{};
    const int highest = ::shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&allowed));
    if (highest < 0) return detail::fail_os("shmctl(IPC_INFO)", errno);
    shm_info used{};
    if (::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&used)) < 0)
        return detail::fail_os("shmctl(SHM_INFO)", errno);
    return sysv_shm_limits{
        .largest = allowed.shmmax,
        .segments = allowed.shmmni,
        .total_pages = allowed.shmall,
        .used_segments = static_cast<std::uint64_t>(used.used_ids),
        .used_pages = used.shm_tot,
        .resident_pages = used.shm_rss,
        .swapped_pages = used.shm_swp,
        .highest_slot = used.used_ids == 0 ? -1 : highest,  // the kernel answers 0 for an empty table, too
    };
}

result<listed_sysv_shm> sysv_shm_in_slot(int slot) noexcept {
    shmid_ds segment{};
    const int id = ::shmctl(slot, SHM_STAT_ANY, &segment);
    if (id < 0) {
        if (no_such_id(errno)) return fail(errc::not_found, "shmctl(SHM_STAT_ANY)", errno);
        return detail::fail_os("shmctl(SHM_STAT_ANY)", errno);
    }
    return listed_sysv_shm{id, status_from(segment)};
}

}  // namespace kith::inline KITH_ABI::sys
