// kith/observer.hpp - what the library did on the quiet: fallbacks taken, retries, peers found dead.
//
// The library never prints or logs. A program that wants to know sets one callback for the process;
// while none is set, an event costs one relaxed load on a path that is slow anyway.
// Thread safety: set_observer from any thread; the callback is called from whatever thread is in kith,
// possibly several at once, and must not call back into the object it was told about. Where kith is called in a signal
// handler, the callback runs there, too; set_observer() is not for handlers. Fork: a child keeps the observer. Exec:
// none is set. Crash: nothing is held. errno is the same after the callback as before it.
#pragma once
#include <kith/error.hpp>

namespace kith::inline KITH_ABI {

/// What happened.
enum class event_kind : std::uint8_t {
    fallback_taken,    ///< a newer kernel feature is missing; an older way is used from now on
    retried,           ///< a call was interrupted or lost a race and was made again
    polling,           ///< the kernel has no timed form of this wait: kith looks again at intervals
    peer_died,         ///< a peer was found dead, and what it held was released
    stale_removed,     ///< a leftover of a dead process was removed
    messages_drained,  ///< an open policy removed messages of an earlier run; `count` says how many
    surplus_closed,    ///< descriptors arrived that nobody asked for, and were closed; `count` says how many
};

/// The kind's name as spelled here, for logs.
[[nodiscard]] KITH_EXPORT std::string_view name_of(event_kind kind) noexcept;

/// One event. The strings are literals.
struct event {
    event_kind kind;
    const char* operation;  ///< the system call or step
    object_ref object;
    int os_error;         ///< the errno behind it, or 0
    std::uint64_t count;  ///< how many, where that makes sense; else 0
};

/// The callback; `context` is what was given to set_observer.
using observer = void (*)(const event& what, void* context) noexcept;

/// Sets the process's observer; nullptr ends it. `context` must outlive the last call.
/// A call already running in another thread may still end after this returns. An event that falls between two
/// observers is told to neither; none gets the other's context.
KITH_EXPORT void set_observer(observer callback, void* context = nullptr) noexcept;

}  // namespace kith::inline KITH_ABI
