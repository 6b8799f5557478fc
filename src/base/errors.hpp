// errors - from errno to kith's codes.
#pragma once
#include <cerrno>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI::detail {

/// What an errno means unless the operation knows better.
[[nodiscard]] errc code_for(int os_error) noexcept;

/// A failure from errno; mechanisms whose errno means something else pass their own code to fail().
[[nodiscard]] inline std::unexpected<error> fail_os(const char* operation, int os_error,
                                                    object_ref object = {}) noexcept {
    return fail(code_for(os_error), operation, os_error, object);
}

}  // namespace kith::inline KITH_ABI::detail
