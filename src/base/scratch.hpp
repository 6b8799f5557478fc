// scratch - memory for the length of one call: on the stack up to a size, an anonymous mapping beyond. Never the heap.
#pragma once
#include <sys/mman.h>
#include <cstddef>

#include <kith/bytes.hpp>

namespace kith::inline KITH_ABI::detail {

/// At least the asked number of uninitialised bytes, aligned for any type; check `valid()` above `StackBytes`.
template <std::size_t StackBytes>
class scratch {
public:
    explicit scratch(std::size_t size) noexcept : size_{size} {
        if (size <= StackBytes) return;
        void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mapped_ = memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
    }
    ~scratch() {
        if (mapped_ != nullptr) ::munmap(mapped_, size_);
    }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;

    /// False if the mapping failed: `out_of_memory`.
    [[nodiscard]] bool valid() const noexcept { return size_ <= StackBytes || mapped_ != nullptr; }
    [[nodiscard]] byte_span bytes() noexcept { return {mapped_ != nullptr ? mapped_ : stack_, size_}; }

private:
    std::size_t size_;
    std::byte* mapped_ = nullptr;
    alignas(std::max_align_t) std::byte stack_[StackBytes];  // first touched by its user
};

}  // namespace kith::inline KITH_ABI::detail
