// kith/sys/sysv_key.hpp - the 32-bit keys that name System V queues, semaphore sets and memory segments.
//
// A key from a path is weak: ftok(3) keeps 8 bits of the project, 8 of the device and 16 of the inode, so
// different files can collide and a file made anew has another key. Compare what you find with what you expect.
// Keys live in the IPC namespace: the same key inside a container names another object, or none.
// Values: distinct objects from any threads; they outlive fork and exec, and hold nothing. Nothing waits or allocates.
// Signal handlers: only what is constexpr; from_path() is not for them.
#pragma once
#include <cstdint>
#include <string_view>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI::sys {

/// A System V key. A value.
class sysv_key {
public:
    constexpr explicit sysv_key(std::int32_t value) noexcept : value_{value} {}
    /// IPC_PRIVATE: opening with it always makes a new object, reachable by its id only; that one must exist already
    /// is `invalid`.
    [[nodiscard]] static constexpr sysv_key private_object() noexcept { return sysv_key{0}; }
    /// The key that ftok(3) derives from an existing file and a project number from 1 to 255.
    /// Errors: `invalid` (project out of range, NUL in the path), `not_found`, `not_permitted`, `too_long`.
    [[nodiscard]] KITH_EXPORT static result<sysv_key> from_path(std::string_view path, int project) noexcept;

    [[nodiscard]] constexpr std::int32_t value() const noexcept { return value_; }
    [[nodiscard]] constexpr bool is_private() const noexcept { return value_ == 0; }
    friend constexpr bool operator==(sysv_key, sysv_key) = default;

private:
    std::int32_t value_;
};

}  // namespace kith::inline KITH_ABI::sys
