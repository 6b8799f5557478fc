// sigpipe - one write that never lets SIGPIPE reach the program.
#pragma once
#include <sys/types.h>
#include <cstddef>

#include <kith/sigpipe.hpp>

namespace kith::inline KITH_ABI::detail {

/// write(2), except that a missing reader is EPIPE and nothing else.
[[nodiscard]] ssize_t write_without_sigpipe(int fd, const void* bytes, std::size_t size) noexcept;

}  // namespace kith::inline KITH_ABI::detail
