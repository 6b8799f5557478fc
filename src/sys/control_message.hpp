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
void walk_control(byte_view control, Visit visit) {
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
void each(byte_view payload, Visit visit) {
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
    /// Appends one message; the capacity is the caller's arithmetic.
    void append(int level, int type, byte_view payload) noexcept {
        cmsghdr header{};
        header.cmsg_len = CMSG_LEN(payload.size());
        header.cmsg_level = level;
        header.cmsg_type = type;
        std::memcpy(bytes_.data() + size_, &header, sizeof header);
        std::memcpy(bytes_.data() + size_ + CMSG_LEN(0), payload.data(), payload.size());
        const auto padding = CMSG_SPACE(payload.size()) - CMSG_LEN(payload.size());
        std::memset(bytes_.data() + size_ + CMSG_LEN(payload.size()), 0, padding);
        size_ += CMSG_SPACE(payload.size());
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
