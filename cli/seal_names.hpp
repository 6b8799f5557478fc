// seal_names - what --seal calls the seals of a memory file.
#pragma once
#include <array>
#include <kith/sys/memfd.hpp>
#include <string_view>

namespace kith_cli {

struct seal_name {
    std::string_view name;
    kith::sys::seals which;
};
inline constexpr std::array seal_names = {seal_name{"seal", kith::sys::seals::more},
                                          seal_name{"shrink", kith::sys::seals::shrink},
                                          seal_name{"grow", kith::sys::seals::grow},
                                          seal_name{"write", kith::sys::seals::write},
                                          seal_name{"future-write", kith::sys::seals::future_write},
                                          seal_name{"exec", kith::sys::seals::exec}};
/// What stands for several of them, or for none.
inline constexpr std::array seal_sets = {seal_name{"all", kith::sys::constant_seals},
                                         seal_name{"none", kith::sys::seals::none}};

}  // namespace kith_cli
