// retry - a system call again while signals interrupt it; for calls that are not a wait of the caller's.
#pragma once
#include <cerrno>

#include <kith/version.hpp>

namespace kith::inline KITH_ABI::detail {

/// Calls `attempt` until it does not fail with EINTR. Its result is negative on failure, with errno.
template <class Attempt>
auto retry(Attempt attempt) noexcept {
    auto outcome = attempt();
    while (outcome < 0 && errno == EINTR) outcome = attempt();
    return outcome;
}

}  // namespace kith::inline KITH_ABI::detail
