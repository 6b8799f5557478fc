// pair_names - the directory entries of a FIFO pair: PATH.pair/{up,down} and PATH.lock.
#pragma once
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <kith/result.hpp>

#include "base/c_string.hpp"
#include "base/errors.hpp"
#include "base/retry.hpp"

namespace kith::inline KITH_ABI::detail {

using c_name = c_string<255>;

/// PATH taken apart: the open directory it is in, and the two names there. The directory is held, so that a later
/// chdir or rename does not matter.
struct pair_names {
    owned_fd parent;
    char pair[256];
    char lock[256];
    object_ref about;

    [[nodiscard]] static result<pair_names> of(std::string_view path, const char* operation) noexcept {
        pair_names names;
        names.about = object_ref::name(path);
        const auto slash = path.rfind('/');
        const auto file = slash == std::string_view::npos ? path : path.substr(slash + 1);
        if (file.empty()) return fail(errc::invalid, operation, EINVAL, names.about);
        constexpr std::size_t suffix = 5;  // ".pair", ".lock"
        if (file.size() + suffix > 255) return fail(errc::too_long, operation, ENAMETOOLONG, names.about);
        const auto directory = c_path::from(
            slash == std::string_view::npos ? std::string_view{"."} : path.substr(0, slash + 1), operation);
        const auto checked = c_name::from(file, operation);
        if (!directory) return fail(directory.error());
        if (!checked) return fail(checked.error());
        for (const auto& [to, end] : {std::pair{names.pair, ".pair"}, std::pair{names.lock, ".lock"}}) {
            file.copy(to, file.size());
            std::memcpy(to + file.size(), end, suffix + 1);
        }
        names.parent = owned_fd{retry([&] { return ::open(directory->get(), O_PATH | O_DIRECTORY | O_CLOEXEC); })};
        if (!names.parent.valid()) return fail_os(operation, errno, names.about);
        return names;
    }

    /// Takes PATH.lock, making it if `flags` has O_CREAT. Errors: `exists` (held by somebody), `not_found` ...
    [[nodiscard]] result<owned_fd> take_lock(int flags) const noexcept {
        for (;;) {
            owned_fd file{retry([&] {
                return ::openat(parent.get(), lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
            })};
            if (!file.valid()) return fail_os("open", errno, about);
            struct stat opened{};
            struct stat named{};
            if (::fstat(file.get(), &opened) != 0) return fail_os("fstat", errno, about);
            if (!S_ISREG(opened.st_mode)) return fail(errc::wrong_kind, "open", 0, about);
            if (retry([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); }) != 0)
                return errno == EWOULDBLOCK ? fail(errc::exists, "flock", EWOULDBLOCK, about)
                                            : fail_os("flock", errno, about);
            // Removed between our open and our lock: the lock of a file without a name keeps nobody out.
            if (::fstatat(parent.get(), lock, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == opened.st_ino &&
                named.st_dev == opened.st_dev)
                return file;
        }
    }

    /// A descriptor of the pair's directory; not valid on failure, with errno.
    [[nodiscard]] static owned_fd open_pair(int parent_fd, const char* name) noexcept {
        return owned_fd{
            retry([&] { return ::openat(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); })};
    }

    /// Removes the pair, whole or in part; `up` first, because connectors take its absence for "accepted".
    [[nodiscard]] static result<void> remove(int parent_fd, const char* name, object_ref about) noexcept {
        const auto directory = open_pair(parent_fd, name);
        if (!directory.valid()) return fail_os("open", errno, about);
        for (const char* end : {"up", "down"})
            if (::unlinkat(directory.get(), end, 0) != 0 && errno != ENOENT) return fail_os("unlink", errno, about);
        if (::unlinkat(parent_fd, name, AT_REMOVEDIR) != 0) return fail_os("rmdir", errno, about);
        return {};
    }
};

}  // namespace kith::inline KITH_ABI::detail
