#include "sys/memory.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "base/errors.hpp"
#include "base/observer.hpp"
#include "base/uapi.hpp"

namespace kith::inline KITH_ABI::detail {
namespace {

// Reserved piece by piece: a signal makes the kernel give back what the interrupted call had reserved, so a
// single call for a large object would never end under a periodic timer.
constexpr std::size_t reserve_step = std::size_t{1} << 20;

constinit std::atomic<bool> populate_missing{false};

result<void> reserve_piece(int fd, off_t from, off_t length, object_ref object) noexcept {
    for (;;) {
        // The size stays as it is until all is reserved: others wait for the size, and must not see it early.
        if (::fallocate(fd, FALLOC_FL_KEEP_SIZE, from, length) == 0) return {};
        if (errno != EINTR) return fail_os("fallocate", errno, object);
    }
}

// For file systems without fallocate (ramfs): glibc writes to every block, and the size grows meanwhile.
result<void> reserve_by_writing(int fd, std::size_t from, std::size_t to, object_ref object) noexcept {
    notify(event_kind::fallback_taken, "fallocate", object, EOPNOTSUPP);
    int os_error = 0;
    do os_error = ::posix_fallocate(fd, static_cast<off_t>(from), static_cast<off_t>(to - from));
    while (os_error == EINTR);
    if (os_error != 0) return fail_os("posix_fallocate", os_error, object);
    return {};
}

// Whether so many bytes more can never be reserved. Without the question the pieces would fill the file system, or
// the machine's memory, before the last of them fails. An answer that is not certain is no. A single piece is not worth
// the question: it is reserved whole or not at all.
bool exceeds_free_space(int fd, std::uint64_t bytes) noexcept {
    if (bytes <= reserve_step) return false;
    struct statx file{};
    struct statfs where{};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_BLOCKS, &file) != 0 || ::fstatfs(fd, &where) != 0) return false;
    bytes -= std::min(bytes, std::uint64_t{file.stx_blocks} * 512);  // reserved already, perhaps
    const auto block = static_cast<std::uint64_t>(where.f_bsize);
    if (where.f_blocks != 0 && bytes / block > where.f_bfree) return true;
    struct sysinfo machine{};
    if (where.f_type != TMPFS_MAGIC || ::sysinfo(&machine) != 0) return false;
    return bytes / machine.mem_unit > std::uint64_t{machine.totalram} + machine.totalswap;
}

result<void> truncate(int fd, std::size_t size, object_ref object) noexcept {
    while (::ftruncate(fd, static_cast<off_t>(size)) != 0)
        if (errno != EINTR) return fail_os("ftruncate", errno, object);
    return {};
}

}  // namespace

std::size_t page_size() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

unsigned huge_page_flags(sys::huge_pages pages, unsigned hugetlb) noexcept {
    constexpr unsigned shift = 26;  // MAP_HUGE_SHIFT, SHM_HUGE_SHIFT and MFD_HUGE_SHIFT alike
    static_assert(shift == MAP_HUGE_SHIFT);
    switch (pages) {
    case sys::huge_pages::none: break;
    case sys::huge_pages::system_default: return hugetlb;
    case sys::huge_pages::of_2_mib: return hugetlb | 21U << shift;
    case sys::huge_pages::of_1_gib: return hugetlb | 30U << shift;
    }
    return 0;
}

result<void> populate(std::byte* start, std::size_t size, bool writable, object_ref object) noexcept {
    if (size == 0) return {};
    const auto page = page_size();
    auto* const first = start - (reinterpret_cast<std::uintptr_t>(start) & (page - 1));
    const auto length = round_up(size + static_cast<std::size_t>(start - first), page);
    while (!populate_missing.load(std::memory_order_relaxed)) {
        if (::madvise(first, length, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0) return {};
        if (errno == EINTR || errno == EAGAIN) continue;
        // EFAULT is what a touch would answer with SIGBUS: the file system is full, or the object was cut.
        if (errno == EFAULT) return fail(errc::no_space, "madvise(MADV_POPULATE)", EFAULT, object);
        if (errno != EINVAL) return fail_os("madvise(MADV_POPULATE)", errno, object);
        populate_missing.store(true, std::memory_order_relaxed);
        notify(event_kind::fallback_taken, "madvise(MADV_POPULATE)", object, EINVAL);
    }
    for (std::size_t at = 0; at < size; at += page) {
        auto& byte = reinterpret_cast<unsigned char&>(start[at]);
        // Adding nothing makes the page writable and present without changing what others may be writing.
        if (writable)
            std::atomic_ref{byte}.fetch_add(0, std::memory_order_relaxed);
        else [[maybe_unused]]
            const unsigned char present = const_cast<const volatile unsigned char&>(byte);
    }
    return {};
}

result<void> set_size(int fd, std::size_t size, bool reserve, object_ref object) noexcept {
    if (size > static_cast<std::size_t>(std::numeric_limits<off_t>::max()))
        return fail(errc::invalid, "ftruncate", EINVAL, object);
    const auto before = size_of(fd, object);
    if (!before) return fail(before.error());
    if (size > *before) {
        rlimit limit{};
        if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur)
            return fail(errc::limit_reached, "ftruncate", EFBIG, object);
        if (reserve && exceeds_free_space(fd, size - *before)) return fail(errc::no_space, "fallocate", ENOSPC, object);
        for (std::size_t at = *before; reserve && at < size; at += std::min(reserve_step, size - at)) {
            const auto length = std::min(reserve_step, size - at);
            auto done = reserve_piece(fd, static_cast<off_t>(at), static_cast<off_t>(length), object);
            if (done) continue;
            if (done.error().os_error() == EOPNOTSUPP || done.error().os_error() == ENOSYS) {
                done = reserve_by_writing(fd, *before, size, object);
                if (done) return {};
            }
            // What was reserved beyond the end would stay otherwise: the object may live on.
            static_cast<void>(truncate(fd, *before, object));
            return done;
        }
    }
    return truncate(fd, size, object);
}

result<std::size_t> size_of(int fd, object_ref object) noexcept {
    struct stat file;
    if (::fstat(fd, &file) != 0) return fail_os("fstat", errno, object);
    if (!S_ISREG(file.st_mode)) return fail(errc::wrong_kind, "fstat", 0, object);
    return static_cast<std::size_t>(file.st_size);
}

}  // namespace kith::inline KITH_ABI::detail
