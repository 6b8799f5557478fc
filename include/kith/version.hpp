// kith/version.hpp - the version of the headers and of the library linked against.
//
// 0.x: every minor version may change the ABI. The soname is libkith.so.0.N and everything lives in
// `inline namespace v0_N`, so code compiled against another minor version fails to link, not to run.
#pragma once
#include <kith/platform.hpp>

#define KITH_VERSION_MAJOR 0
#define KITH_VERSION_MINOR 1
#define KITH_VERSION_PATCH 0
#define KITH_VERSION_STRING "0.1.0"

/// The inline namespace of this ABI; headers open `namespace kith::inline KITH_ABI`.
#define KITH_ABI v0_1

namespace kith::inline KITH_ABI {

/// A version of kith.
struct version_number {
    int major_number;
    int minor_number;
    int patch_number;
    friend constexpr bool operator==(const version_number&, const version_number&) = default;
};

/// The version of the headers this file belongs to.
inline constexpr version_number header_version{KITH_VERSION_MAJOR, KITH_VERSION_MINOR, KITH_VERSION_PATCH};

/// The version of the library that is linked in. Differs from `header_version` only in the patch
/// number, unless somebody mixed installations. Never blocks; safe anywhere.
[[nodiscard]] KITH_EXPORT version_number library_version() noexcept;

}  // namespace kith::inline KITH_ABI
