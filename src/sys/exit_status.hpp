// exit_status - what waitid(2) tells about the end of a child.
#pragma once
#include <sys/wait.h>

#include <kith/sys/process.hpp>

namespace kith::inline KITH_ABI::detail {

[[nodiscard]] inline sys::exit_status exit_status_from(const siginfo_t& info) noexcept {
    return {.signaled = info.si_code != CLD_EXITED, .value = info.si_status, .dumped_core = info.si_code == CLD_DUMPED};
}

}  // namespace kith::inline KITH_ABI::detail
