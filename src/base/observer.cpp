#include "base/observer.hpp"

#include <sched.h>
#include <atomic>
#include <cerrno>

namespace kith::inline KITH_ABI {
namespace {
// Callback and context are two words: who reads them takes them only if nobody exchanged them meanwhile, so that no
// callback is ever called with another one's context.
constinit std::atomic<std::uint32_t> exchanges{0};  // odd during one
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
    auto seen = exchanges.load();
    while ((seen & 1U) != 0 || !exchanges.compare_exchange_weak(seen, seen + 1)) {
        ::sched_yield();  // another thread is setting one
        seen = exchanges.load();
    }
    current_callback.store(callback);
    current_context.store(context);
    exchanges.store(seen + 2);
}

namespace detail {
void notify(event_kind kind, const char* operation, object_ref object, int os_error, std::uint64_t count) noexcept {
    if (current_callback.load(std::memory_order_relaxed) == nullptr) [[likely]]
        return;
    const auto before = exchanges.load();
    const observer callback = current_callback.load();
    void* const context = current_context.load();
    // One is being exchanged for another just now: the event falls between the two.
    if (callback == nullptr || (before & 1U) != 0 || exchanges.load() != before) return;
    const int saved = errno;
    callback({kind, operation, object, os_error, count}, context);
    errno = saved;
}
}  // namespace detail
}  // namespace kith::inline KITH_ABI
