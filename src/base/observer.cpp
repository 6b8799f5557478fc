#include "base/observer.hpp"

#include <atomic>
#include <cerrno>

namespace kith::inline KITH_ABI {
namespace {
// Context before callback on the way in, callback before context on the way out: a caller never pairs a
// new callback with an older context.
constinit std::atomic<void*> current_context{nullptr};
constinit std::atomic<observer> current_callback{nullptr};
}  // namespace

std::string_view name_of(event_kind kind) noexcept {
    switch (kind) {
    case event_kind::fallback_taken: return "fallback_taken";
    case event_kind::retried: return "retried";
    case event_kind::polling: return "polling";
    case event_kind::peer_died: return "peer_died";
    case event_kind::stale_removed: return "stale_removed";
    case event_kind::messages_drained: return "messages_drained";
    case event_kind::surplus_closed: return "surplus_closed";
    }
    return "unknown";
}

void set_observer(observer callback, void* context) noexcept {
    current_callback.store(nullptr, std::memory_order_release);
    current_context.store(context, std::memory_order_release);
    current_callback.store(callback, std::memory_order_release);
}

namespace detail {
void notify(event_kind kind, const char* operation, object_ref object, int os_error, std::uint64_t count) noexcept {
    const observer callback = current_callback.load(std::memory_order_acquire);
    if (callback == nullptr) return;
    const int saved = errno;
    callback({kind, operation, object, os_error, count}, current_context.load(std::memory_order_acquire));
    errno = saved;
}
}  // namespace detail
}  // namespace kith::inline KITH_ABI
