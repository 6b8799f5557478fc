// errors - from errno to kith's codes.
#pragma once
#include <cerrno>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI::detail {

/// What an errno means unless the operation knows better.
[[nodiscard]] errc code_for(int os_error) noexcept;

/// A failure from errno; mechanisms whose errno means something else pass their own code to fail().
/// Out of line: what callers do on success stays short.
[[nodiscard, gnu::cold]] std::unexpected<error> fail_os(const char* operation, int os_error,
                                                        object_ref object = {}) noexcept;
/// The same about the descriptor `fd`, with the errno of now.
[[nodiscard, gnu::cold]] std::unexpected<error> fail_errno(const char* operation, int fd) noexcept;

/// A failure made in the result itself, about the descriptor or id `number`. Out of line and never copied: what callers
/// poll with should cost little more than the system call.
template <class T, object_ref (*About)(int) noexcept = &object_ref::descriptor>
[[nodiscard, gnu::noinline]] result<T> failed(errc code, const char* operation, int os_error, int number) noexcept {
    return result<T>{std::unexpect, code, operation, os_error, About(number)};
}

}  // namespace kith::inline KITH_ABI::detail
