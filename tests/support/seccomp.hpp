// seccomp - a kernel without some system calls, for one child process.
#pragma once
#include <cstdint>
#include <vector>

namespace kith_test {

/// A system call that shall fail. With `mask` other than 0 only the calls whose argument number `argument`
/// has exactly the bits `value` under `mask` (its low 32 bits) are meant: one flag, one option, one operation.
struct denied_call {
    long number;  ///< SYS_...
    int os_error;
    int argument = 0;
    std::uint32_t mask = 0;
    std::uint32_t value = 0;
};

/// From now on the calls fail in this thread and in all it starts, with no way back: use it in a child.
/// Returns whether the kernel took the filter; where it does not, the test should skip.
[[nodiscard]] bool deny(const std::vector<denied_call>& calls);

}  // namespace kith_test
