// remains - what a tour leaves that is killed by SIGKILL, and how a later one knows it again.
//
// A run holds a lock (flock(2)) on its private directory from before it has its name, so a directory of that name
// which can be locked, and whose pid nobody has, is that of a dead run. Everything else that the run made is named
// after the directory: POSIX objects begin with its name, whose random part is known to nobody else, and the keys of
// System V objects are made from it.
#pragma once
#include <unistd.h>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <kith/result.hpp>
#include <kith/sys/sysv_key.hpp>

namespace kith_cli::tour {

/// A row of a dead run.
struct remains {
    std::string name;                             ///< stage_options::name of that row
    std::chrono::system_clock::time_point since;  ///< nothing of it is older, to the second
};

/// The key of a row's System V objects: FNV-1a of its name, and never that of private objects.
[[nodiscard]] constexpr kith::sys::sysv_key key_of(std::string_view name) {
    std::uint32_t hash = 2166136261U;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return kith::sys::sysv_key{static_cast<std::int32_t>(hash == 0 ? 1 : hash)};
}

/// Removes what was found under that key, if this user made it, and not before that run began: a key has only 32 bits.
template <class Object>
void remove_remains(const remains& of, const kith::result<Object>& found) {
    if (!found) return;
    const auto now = found->status();
    if (now && now->creator_uid == ::geteuid() && now->last_change >= of.since) static_cast<void>(found->remove());
}

/// Removes all that dead runs of this user left under $TMPDIR or /tmp, and returns their names.
[[nodiscard]] std::vector<std::string> clear_remains();

}  // namespace kith_cli::tour
