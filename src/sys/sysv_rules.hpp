// sysv_rules - what the three System V mechanisms ask alike of a key, an open policy and a mode.
#pragma once
#include <cerrno>

#include <kith/sys/creation.hpp>
#include <kith/sys/sysv_key.hpp>

namespace kith::inline KITH_ABI::detail {

/// The rights that a System V object has.
inline constexpr unsigned sysv_mode_bits = 0777;

/// Whether a mode has nothing but rights: the kernel would drop the other bits without a word. Errors: `invalid`.
[[nodiscard]] inline result<void> check_sysv_mode(unsigned mode, const char* operation, object_ref about) noexcept {
    if ((mode & ~sysv_mode_bits) != 0) [[unlikely]]
        return fail(errc::invalid, operation, EINVAL, about);
    return {};
}

/// Whether an object may be opened so: a private key always makes a new one, so none can exist already.
/// Errors: `invalid`.
[[nodiscard]] inline result<void> check_sysv_open(sys::sysv_key key, sys::creation create, unsigned mode,
                                                  const char* operation) noexcept {
    const auto about = object_ref::sysv_key(key.value());
    if (key.is_private() && create == sys::creation::must_exist) [[unlikely]]
        return fail(errc::invalid, operation, EINVAL, about);
    return check_sysv_mode(mode, operation, about);
}

}  // namespace kith::inline KITH_ABI::detail
