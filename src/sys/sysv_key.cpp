#include <kith/sys/sysv_key.hpp>

#include <sys/ipc.h>
#include <sys/stat.h>

#include "base/c_string.hpp"
#include "base/errors.hpp"

namespace kith::inline KITH_ABI::sys {

result<sysv_key> sysv_key::from_path(std::string_view path, int project) noexcept {
    // Only the low 8 bits count, and 0 is unspecified: other numbers would silently name another object.
    if (project < 1 || project > 255) return fail(errc::invalid, "ftok", 0, object_ref::name(path));
    const auto name = detail::c_path::from(path, "ftok");
    if (!name) return fail(name.error());
    struct stat file{};
    // Asked first, because ftok's -1 is also a key.
    if (::stat(name->get(), &file) != 0) return detail::fail_os("ftok", errno, object_ref::name(path));
    return sysv_key{::ftok(name->get(), project)};
}

}  // namespace kith::inline KITH_ABI::sys
