// memory - what the kinds of shared memory have in common: page sizes, populating, and giving an object its size.
#pragma once
#include <cstddef>

#include <kith/sys/mapping.hpp>

namespace kith::inline KITH_ABI::detail {

[[nodiscard]] std::size_t page_size() noexcept;

/// `value` rounded up to a multiple of `unit`, a power of two. The caller has excluded overflow.
[[nodiscard]] constexpr std::size_t round_up(std::size_t value, std::size_t unit) noexcept {
    return (value + unit - 1) & ~(unit - 1);
}

/// The huge page flag of `pages` in the form that shmget, memfd_create and mmap share; 0 for none.
[[nodiscard]] unsigned huge_page_flags(sys::huge_pages pages, unsigned hugetlb) noexcept;

/// Makes the pages at `start` present; `writable` ones with memory of their own.
[[nodiscard]] result<void> populate(std::byte* start, std::size_t size, bool writable, object_ref object) noexcept;

/// Gives the object behind `fd` its size. With `reserve` every byte has memory before the object shows the new
/// size, so that nobody who sees the size can meet SIGBUS for want of space. Growing only keeps contents.
/// RLIMIT_FSIZE is looked at first: exceeding it would raise SIGXFSZ.
[[nodiscard]] result<void> set_size(int fd, std::size_t size, bool reserve, object_ref object) noexcept;

/// The size of the object behind `fd`, which must be a regular file, else `wrong_kind`.
[[nodiscard]] result<std::size_t> size_of(int fd, object_ref object) noexcept;

}  // namespace kith::inline KITH_ABI::detail
