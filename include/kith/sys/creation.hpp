// kith/sys/creation.hpp - whether opening a named object may or must make it.
#pragma once
#include <cstdint>

#include <kith/version.hpp>

namespace kith::inline KITH_ABI::sys {

/// What opening a persistent object does about its existence.
enum class creation : std::uint8_t {
    must_exist,      ///< open what is there; else `not_found`
    create_or_open,  ///< make it if it is not there, and check that what was found is what was expected
    must_be_new,     ///< make it; else `exists`
};

}  // namespace kith::inline KITH_ABI::sys
