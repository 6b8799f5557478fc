// kith/sys/mapping.hpp - shared memory of a file, a POSIX object or a memfd in this process's address space.
//
// mmap(2) owned by a move-only type. The addresses differ from process to process: keep offsets in shared
// memory, never pointers. Nothing here synchronises anybody: kith/compose/guarded_region.hpp does. Atomics
// that are shared must be lock-free (std::atomic<T>::is_always_lock_free).
//
// Beyond the end of the object lies SIGBUS: map() refuses what is not there when it is called, but whoever
// can shrink the object later can still pull the memory away. Only a seal prevents that (kith/sys/memfd.hpp).
// The rest of the last page behind the object's end can be touched and belongs to nobody.
//
// Thread safety: const calls from any threads; map, unmap and moves need the caller's lock.
// Fork: a child inherits the mapping, and its copy of this object unmaps its own. Exec: unmapped.
// Signal handlers: only the memory itself. Crash: the kernel unmaps; what was written stays in the object.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include <kith/bytes.hpp>
#include <kith/fd.hpp>
#include <kith/result.hpp>

namespace kith::inline KITH_ABI::sys {

/// What may be done with the memory.
enum class memory_access : std::uint8_t {
    read_only,  ///< a write is SIGSEGV
    read_write,
};

/// Huge pages to make an object of. They must have been reserved by the administrator (vm.nr_hugepages).
enum class huge_pages : std::uint8_t {
    none,
    system_default,  ///< the kernel's default huge page size
    of_2_mib,
    of_1_gib,
};

/// What to map, and how.
struct map_options {
    std::size_t offset = 0;  ///< of the first byte in the object; need not be at a page
    std::size_t length = 0;  ///< bytes; 0: up to the object's end
    memory_access access = memory_access::read_write;
    bool private_copy = false;  ///< MAP_PRIVATE: writes stay here; others' later writes may or may not be seen
    bool populate = false;      ///< make every page present now instead of at the first touch
};

/// Mapped memory; unmapped with its owner.
class mapping {
public:
    mapping() noexcept = default;
    mapping(mapping&& other) noexcept
        : start_{std::exchange(other.start_, nullptr)},
          mapped_{std::exchange(other.mapped_, 0)},
          lead_{std::exchange(other.lead_, 0)},
          size_{std::exchange(other.size_, 0)},
          access_{other.access_} {}
    mapping& operator=(mapping&& other) noexcept {
        if (this != &other) {
            unmap();
            start_ = std::exchange(other.start_, nullptr);
            mapped_ = std::exchange(other.mapped_, 0);
            lead_ = std::exchange(other.lead_, 0);
            size_ = std::exchange(other.size_, 0);
            access_ = other.access_;
        }
        return *this;
    }
    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;
    ~mapping() { unmap(); }

    /// The memory, to read; empty when nothing is mapped.
    [[nodiscard]] byte_view view() const noexcept { return {start_ + lead_, size_}; }
    /// The memory, to read and write; empty for a read-only mapping, so that no write can end the program.
    [[nodiscard]] byte_span bytes() noexcept { return writable() ? byte_span{start_ + lead_, size_} : byte_span{}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool is_mapped() const noexcept { return start_ != nullptr; }
    [[nodiscard]] bool writable() const noexcept { return access_ == memory_access::read_write; }

    /// Unmaps it now. Every view becomes invalid. Idempotent.
    KITH_EXPORT void unmap() noexcept;

    /// Makes every page present, writable ones with memory of their own, so that later touches neither wait for
    /// the kernel nor fail. madvise(MADV_POPULATE_WRITE) where there is one (Linux 5.14), else by touching.
    /// Errors: `out_of_memory`, `no_space` (the object's file system is full), `io`.
    [[nodiscard]] KITH_EXPORT result<void> populate() noexcept;

private:
    friend KITH_EXPORT result<mapping> map(borrowed_fd object, const map_options& options) noexcept;
    std::byte* start_ = nullptr;  // at a page, as the kernel has it
    std::size_t mapped_ = 0;
    std::size_t lead_ = 0;  // from there to the first byte asked for
    std::size_t size_ = 0;
    memory_access access_ = memory_access::read_only;
};

/// Maps a part of `object`, which may be closed afterwards. Never blocks for long.
/// Errors: `wrong_size` (offset and length reach beyond the object's end, or there is nothing to map),
/// `not_permitted` (the descriptor or a seal forbids that access), `out_of_memory` (address space, huge pages,
/// vm.max_map_count), `wrong_kind` (a descriptor without memory), `invalid`. mmap(2).
[[nodiscard]] KITH_EXPORT result<mapping> map(borrowed_fd object, const map_options& options = {}) noexcept;

}  // namespace kith::inline KITH_ABI::sys
