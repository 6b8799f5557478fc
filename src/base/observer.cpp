#include "base/observer.hpp"

#include <sched.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>

namespace kith::inline KITH_ABI {
namespace {
// Callback and context are two words: who reads them takes them only if nobody exchanged them meanwhile, so that no
// callback is ever called with another one's context.
constinit std::atomic<std::uint32_t> exchanges{0};  // odd during one
constinit std::atomic<pid_t> exchanger{0};          // the process one of whose threads is at it; else 0
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
    const pid_t self = ::getpid();
    for (pid_t known = 0; !exchanger.compare_exchange_weak(known, self);) {
        // Another thread of this process is setting one. Or this is a forked child: the thread stayed in the parent,
        // and what it had begun is begun anew here.
        if (known == self) ::sched_yield(), known = 0;
    }
    const auto during = exchanges.load() | 1U;
    exchanges.store(during);
    current_callback.store(callback);
    current_context.store(context);
    exchanges.store(during + 1);
    exchanger.store(0);
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
