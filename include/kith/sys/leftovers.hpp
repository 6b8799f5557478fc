// kith/sys/leftovers.hpp - what opening a queue does about messages that are in it already.
//
// A persistent queue outlives the programs that use it: the first receive after a crash returns a message of
// the dead run. Nothing is ever removed unless the caller says so.
#pragma once
#include <cstdint>

#include <kith/version.hpp>

namespace kith::inline KITH_ABI::sys {

/// What becomes of the messages that a queue holds when it is opened.
enum class leftovers : std::uint8_t {
    keep,   ///< they are received first
    drain,  ///< they are removed; the queue tells how many, and so does the event `messages_drained`
};

}  // namespace kith::inline KITH_ABI::sys
