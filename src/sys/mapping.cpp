#include <kith/sys/mapping.hpp>

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <cerrno>

#include "base/errors.hpp"
#include "sys/memory.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

// Huge pages are mapped and unmapped in whole ones; everything else in ordinary pages.
result<std::size_t> granule_of(int fd, const struct stat& file, object_ref object) noexcept {
    const auto page = detail::page_size();
    if (static_cast<std::size_t>(file.st_blksize) <= page) return page;
    struct statfs system{};
    if (::fstatfs(fd, &system) != 0) return detail::fail_os("fstatfs", errno, object);
    return system.f_type == HUGETLBFS_MAGIC ? static_cast<std::size_t>(file.st_blksize) : page;
}

errc code_for_mmap(int os_error) noexcept {
    switch (os_error) {
    case ENODEV: return errc::wrong_kind;  // a file that cannot be mapped
    case EAGAIN:                           // RLIMIT_MEMLOCK under mlockall(MCL_FUTURE)
    case ENFILE: return errc::limit_reached;
    default: return detail::code_for(os_error);
    }
}

}  // namespace

result<mapping> map(borrowed_fd object, const map_options& options) noexcept {
    const auto about = object_ref::descriptor(object.get());
    struct stat file;
    if (::fstat(object.get(), &file) != 0) return detail::fail_os("fstat", errno, about);
    if (!S_ISREG(file.st_mode)) return fail(errc::wrong_kind, "mmap", 0, about);

    const auto size = static_cast<std::size_t>(file.st_size);
    if (options.offset >= size || options.length > size - options.offset)
        return fail(errc::wrong_size, "mmap", 0, about);
    const auto granule = granule_of(object.get(), file, about);
    if (!granule) return fail(granule.error());

    mapping made;
    made.size_ = options.length != 0 ? options.length : size - options.offset;
    made.lead_ = options.offset % *granule;
    made.access_ = options.access;
    const auto length = detail::round_up(made.lead_ + made.size_, *granule);
    const bool writable = options.access == memory_access::read_write;
    void* const start = ::mmap(nullptr, length, PROT_READ | (writable ? PROT_WRITE : 0),
                               options.private_copy ? MAP_PRIVATE : MAP_SHARED, object.get(),
                               static_cast<off_t>(options.offset - made.lead_));
    if (start == MAP_FAILED) {
        made.size_ = 0;
        return fail(code_for_mmap(errno), "mmap", errno, about);
    }
    made.start_ = static_cast<std::byte*>(start);
    made.mapped_ = length;
    if (options.populate) {
        if (const auto present = made.populate(); !present) return fail(present.error().about(about));
    }
    return made;
}

void mapping::unmap() noexcept {
    if (start_ == nullptr) return;
    const int saved = errno;
    ::munmap(std::exchange(start_, nullptr), std::exchange(mapped_, 0));
    lead_ = size_ = 0;
    errno = saved;
}

result<void> mapping::populate() noexcept { return detail::populate(start_ + lead_, size_, writable(), object_ref{}); }

}  // namespace kith::inline KITH_ABI::sys
