// observer - how the rest of the library reports an event.
#pragma once
#include <kith/observer.hpp>

namespace kith::inline KITH_ABI::detail {

/// Calls the observer, if one is set. Preserves errno.
void notify(event_kind kind, const char* operation, object_ref object = {}, int os_error = 0,
            std::uint64_t count = 0) noexcept;

}  // namespace kith::inline KITH_ABI::detail
