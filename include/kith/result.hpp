// kith/result.hpp - the value or the error that every call returns.
#pragma once
#include <expected>

#include <kith/error.hpp>

namespace kith::inline KITH_ABI {

/// `std::expected` with kith's error. `result<void>` for calls that return nothing.
template <class T>
using result = std::expected<T, error>;

/// Shorthand to return an error: `return fail(errc::invalid, "msgsnd", 0, object_ref::sysv_id(id));`
[[nodiscard]] constexpr std::unexpected<error> fail(errc code, const char* operation, int os_error = 0,
                                                    object_ref object = {}) noexcept {
    return std::unexpected<error>{std::in_place, code, operation, os_error, object};
}
/// Shorthand to pass an error on.
[[nodiscard]] constexpr std::unexpected<error> fail(const error& failure) noexcept {
    return std::unexpected<error>{failure};
}

}  // namespace kith::inline KITH_ABI
