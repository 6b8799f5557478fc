// semaphores - what the semaphore backends and `kith sem` share: from an address to the object.
#pragma once
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/sysv_sem.hpp>

#include "backends/backend.hpp"

namespace kith_cli {

/// The set that an address names, as it is: also one that ipcmk(1) or another program made without a first semop(2),
/// whose readiness nothing shows.
[[nodiscard]] outcome<kith::sys::sysv_sem> sysv_sem_at(const kith::address& where);
[[nodiscard]] outcome<kith::sys::posix_sem> posix_sem_at(const kith::address& where);

}  // namespace kith_cli
