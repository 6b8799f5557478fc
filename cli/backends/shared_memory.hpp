// shared_memory - what kith shm needs of the two schemes that have memory.
#pragma once
#include <kith/sys/posix_shm.hpp>
#include <kith/sys/sysv_shm.hpp>
#include <variant>

#include "backends/backend.hpp"

namespace kith_cli {

/// A part of an object's memory, reachable in this process for as long as this lives.
class shared_memory {
public:
    using owner = std::variant<kith::sys::sysv_attachment, kith::sys::mapping>;
    /// `length` bytes from `offset` in what was attached or mapped.
    shared_memory(owner memory, std::size_t offset, std::size_t length)
        : memory_{std::move(memory)}, offset_{offset}, length_{length} {}

    [[nodiscard]] kith::byte_view view() const {
        return std::visit([](const auto& memory) { return memory.view(); }, memory_).subspan(offset_, length_);
    }
    [[nodiscard]] kith::byte_span bytes() {
        return std::visit([](auto& memory) { return memory.bytes(); }, memory_).subspan(offset_, length_);
    }

private:
    owner memory_;
    std::size_t offset_;
    std::size_t length_;
};

/// A part of an object's memory.
struct memory_part {
    std::uint64_t offset = 0;
    std::optional<std::uint64_t> length;  ///< not given: up to the end
};

/// Opens an object and makes a part of its memory reachable, with every page of it present: what has no room in
/// /dev/shm is an error here and not a SIGBUS later. `wait` is for a POSIX object that has no size yet.
[[nodiscard]] outcome<shared_memory> open_part(const kith::address& where, const memory_part& part,
                                               kith::sys::memory_access access, const kith::wait_policy& wait);

/// Memory that the address names, in its two kinds: cli/backends/sysv_shm.cpp and posix_shm.cpp.
[[nodiscard]] outcome<kith::sys::sysv_shm> sysv_shm_at(const kith::address& where);
[[nodiscard]] outcome<kith::sys::posix_shm> posix_shm_at(const kith::address& where, kith::sys::memory_access access,
                                                         const kith::wait_policy& wait);

/// "it has 4096 bytes, not 8192".
[[nodiscard]] failure other_size(const kith::error& error, std::uint64_t found, std::uint64_t wanted,
                                 const kith::address& where);
/// Why a new object without --size cannot be made.
[[nodiscard]] failure size_missing(const char* operation);

}  // namespace kith_cli
