// control_message - what travels beside the bytes of a message: building it, and walking what arrived.
#pragma once
#include <sys/socket.h>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include <kith/bytes.hpp>

namespace kith::inline KITH_ABI::detail {

/// Calls `visit(level, type, payload)` for each control message in `control`, the bytes that recvmsg(2) filled.
/// Stops at one whose length makes no sense. Walks by cmsg_len, not by what was expected: alignment gives a
/// sender room for one descriptor more than was asked for. Reads by memcpy: any alignment, any bytes.
template <class Visit>
[[gnu::always_inline]] inline void walk_control(byte_view control, const Visit& visit) {
    constexpr auto head = CMSG_LEN(0);
    while (control.size() >= head) {
        cmsghdr header;
        std::memcpy(&header, control.data(), sizeof header);
        if (header.cmsg_len < head || header.cmsg_len > control.size()) return;
        visit(header.cmsg_level, header.cmsg_type, control.subspan(head, header.cmsg_len - head));
        const auto aligned = CMSG_ALIGN(header.cmsg_len);
        if (aligned >= control.size()) return;
        control = control.subspan(aligned);
    }
}

/// Calls `visit(value)` for each whole T in `payload`.
template <class T, class Visit>
[[gnu::always_inline]] inline void each(byte_view payload, const Visit& visit) {
    for (; payload.size() >= sizeof(T); payload = payload.subspan(sizeof(T))) {
        T value;
        std::memcpy(&value, payload.data(), sizeof value);
        visit(value);
    }
}

/// A control buffer on the stack.
template <std::size_t Capacity>
class control_buffer {
public:
    /// Appends one message of `size` bytes and returns where they go; the capacity is the caller's arithmetic.
    [[nodiscard]] std::byte* append(int level, int type, std::size_t size) noexcept {
        cmsghdr header{};
        header.cmsg_len = CMSG_LEN(size);
        header.cmsg_level = level;
        header.cmsg_type = type;
        std::byte* const at = bytes_.data() + size_;
        size_ += CMSG_SPACE(size);
        std::memcpy(at, &header, sizeof header);
        // The padding, with the last bytes of the payload, which are still to come.
        if (CMSG_SPACE(size) != CMSG_LEN(size))
            std::memset(bytes_.data() + size_ - sizeof(std::size_t), 0, sizeof(std::size_t));
        return at + CMSG_LEN(0);
    }
    [[nodiscard]] void* data() noexcept { return bytes_.data(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return Capacity; }
    [[nodiscard]] byte_view front(std::size_t count) const noexcept { return byte_view{bytes_}.first(count); }

private:
    alignas(cmsghdr) std::array<std::byte, Capacity> bytes_;  // left as it is: only what is appended is sent
    std::size_t size_ = 0;
};

}  // namespace kith::inline KITH_ABI::detail
