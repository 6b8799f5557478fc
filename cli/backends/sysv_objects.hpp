// sysv_objects - what the three System V backends share: from an address to a key, and what the kernel knows of each
// such object alike.
#pragma once
#include <fmt/format.h>
#include <chrono>
#include <cstdint>
#include <kith/sys/sysv_key.hpp>

#include "backends/backend.hpp"

namespace kith_cli {

/// The key of an object to be made. Misuse for an id: the kernel chooses those.
[[nodiscard]] outcome<kith::sys::sysv_key> key_to_make(const kith::address& where);
/// The key of an object that exists, named by key or path. Misuse for `private`, which names none yet.
[[nodiscard]] outcome<kith::sys::sysv_key> key_to_find(const kith::address& where);

/// How an object is reached from now on: by its id if its key says nothing.
[[nodiscard]] inline kith::address address_after(const kith::address& where, int id) {
    if (where.naming() != kith::address::sysv_naming::private_object) return where;
    return kith::address::of_sysv_id(where.mechanism(), id).value_or(where);
}

[[nodiscard]] inline std::int64_t seconds_of(std::chrono::system_clock::time_point when) {
    return std::chrono::system_clock::to_time_t(when);
}

/// Id, key, owner, creator and mode.
template <class Status>
[[nodiscard]] facts identity_of(int id, const Status& now) {
    facts seen;
    seen.add("id", id);
    if (now.key.is_private())
        seen.add("key", nullptr);
    else
        seen.add("key", fmt::format("{:#010x}", static_cast<std::uint32_t>(now.key.value())));
    seen.add_user("uid", now.uid)
        .add_group("gid", now.gid)
        .add_user("creator_uid", now.creator_uid)
        .add_group("creator_gid", now.creator_gid)
        .add_mode("mode", now.mode);
    return seen;
}

}  // namespace kith_cli
