// file_lock - flock(2) with a deadline, for the conventions that need a lock which its holder's death releases.
#pragma once
#include <kith/fd.hpp>
#include <kith/time.hpp>

namespace kith::inline KITH_ABI::detail {

/// Takes the lock (LOCK_SH or LOCK_EX) on an open file. The kernel's own wait is used where it can be; else looks at
/// intervals. Errors: `would_block`, `timed_out`, `stopped`, `invalid`.
[[nodiscard]] result<void> lock_file(borrowed_fd file, int kind, const wait_policy& wait) noexcept;

}  // namespace kith::inline KITH_ABI::detail
