// sem_steps - "0:-1,1:+2u": the steps of `kith sem op`, as text and as the library takes them.
#pragma once
#include <expected>
#include <kith/sys/sysv_sem.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kith_cli {

/// Reads NUMBER:DELTA[FLAGS] separated by commas: DELTA is +N (give), -N (take) or 0 (wait for zero), FLAGS are u
/// (taken back when the process ends) and n (refuse instead of waiting). Else a sentence about what is wrong.
[[nodiscard]] std::expected<std::vector<kith::sys::sem_operation>, std::string> read_steps(std::string_view text);

}  // namespace kith_cli
