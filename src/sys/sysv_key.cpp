#include <kith/sys/sysv_key.hpp>

#include <sys/ipc.h>
#include <cerrno>

#include "base/c_string.hpp"
#include "base/errors.hpp"

namespace kith::inline KITH_ABI::sys {

result<sysv_key> sysv_key::from_path(std::string_view path, int project) noexcept {
    // Only the low 8 bits count, and 0 is unspecified: other numbers would silently name another object.
    if (project < 1 || project > 255) return fail(errc::invalid, "ftok", 0, object_ref::name(path));
    const auto name = detail::c_path::from(path, "ftok");
    if (!name) return fail(name.error());
    // -1 is also a key; only with an errno it says that the path cannot be looked at. Asking stat first would not do:
    // the path may go in between.
    errno = 0;
    const auto key = ::ftok(name->get(), project);
    if (key == -1 && errno != 0) return detail::fail_os("ftok", errno, object_ref::name(path));
    return sysv_key{key};
}

}  // namespace kith::inline KITH_ABI::sys
