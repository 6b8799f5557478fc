#include <kith/sys/posix_shm.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>

#include "base/backoff.hpp"
#include "base/c_string.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"
#include "sys/memory.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

// Losing the race between "is it there?" and "make it" this often means that somebody removes it as fast.
constexpr int most_races = 100;

using shm_name = detail::c_string<256>;  // the longest name and its slash; the C library refuses what is longer

// shm_open's answer when something else has the name: a directory is EINVAL (as is a malformed name), a socket or
// a device without a driver ENXIO.
errc code_for_open(std::string_view name, int os_error) noexcept {
    if (os_error == ENXIO || os_error == ENODEV) return errc::wrong_kind;
    if (os_error != EINVAL) return detail::code_for(os_error);
    if (name.starts_with('/')) name.remove_prefix(1);
    const bool well_formed = !name.empty() && name.find('/') == name.npos && name != "." && name != "..";
    return well_formed ? errc::wrong_kind : errc::invalid;
}

// Inlined: the way back from a system call through many functions is slow.
[[gnu::always_inline]] inline result<owned_fd> open_descriptor(const shm_name& name, std::string_view text, int flags,
                                                               mode_t mode) noexcept {
    for (;;) {
        // Close-on-exec and O_NOFOLLOW are shm_open's own. O_NONBLOCK means nothing to memory, but a FIFO under that
        // name would keep the open waiting for a writer.
        const int fd = ::shm_open(name.get(), flags | O_NONBLOCK, mode);
        if (fd >= 0) return owned_fd{fd};
        if (errno != EINTR) return fail(code_for_open(text, errno), "shm_open", errno, object_ref::name(text));
    }
}

// Waits until the object, `now` bytes long, is as large as expected (any size but 0 if nothing is expected), and checks
// it.
result<void> await_size(int fd, std::size_t now, std::size_t expected, const wait_policy& wait,
                        object_ref about) noexcept {
    if (expected == 0 ? now != 0 : now == expected) [[likely]]
        return {};
    auto patience = wait;
    if (patience.until.is_never()) patience.until = deadline::in(posix_shm_creator_patience);
    detail::backoff looks{patience, "shm_open", about};
    for (;;) {
        const auto size = detail::size_of(fd, about);
        if (!size) return fail(size.error());
        if (expected == 0 ? *size != 0 : *size == expected) return {};
        if (*size > expected) return fail(errc::wrong_size, "shm_open", 0, about);
        if (const auto again = looks.pause(0); !again) {
            const bool ran_out = again.error().code() != errc::stopped;
            return ran_out && *size != 0 ? fail(errc::wrong_size, "shm_open", 0, about) : fail(again.error());
        }
    }
}

}  // namespace

result<posix_shm> posix_shm::open(std::string_view name, const posix_shm_options& options,
                                  const wait_policy& wait) noexcept {
    const auto about = object_ref::name(name);
    const auto c_name = shm_name::from(name, "shm_open");
    if (!c_name) return fail(c_name.error());
    const bool may_create = options.create != creation::must_exist;
    const bool read_only = options.access == memory_access::read_only;
    if (may_create && (options.size == 0 || read_only)) return fail(errc::invalid, "shm_open", 0, about);

    for (int race = 0; race < most_races; ++race) {
        if (race != 0) detail::notify(event_kind::retried, "shm_open", about);
        if (may_create) {
            auto fresh = open_descriptor(*c_name, name, O_RDWR | O_CREAT | O_EXCL, options.mode & 0777U);
            if (fresh) {
                if (auto sized = detail::set_size(fresh->get(), options.size, options.reserve, about); !sized) {
                    ::shm_unlink(c_name->get());
                    return fail(sized.error());
                }
                return posix_shm{std::move(*fresh), true, about};
            }
            if (fresh.error().os_error() != EEXIST || options.create == creation::must_be_new)
                return fail(fresh.error());
        }
        auto found = open_descriptor(*c_name, name, read_only ? O_RDONLY : O_RDWR, 0);
        if (!found) {
            if (found.error().os_error() == ENOENT && may_create) continue;
            return fail(found.error());
        }
        const auto size = detail::size_of(found->get(), about);
        if (!size) return fail(size.error());
        if (options.wait_for_size) {
            if (auto ready = await_size(found->get(), *size, options.size, wait, about); !ready)
                return fail(ready.error());
        } else if (options.size != 0 && *size != options.size) {
            return fail(errc::wrong_size, "shm_open", 0, about);
        }
        return posix_shm{std::move(*found), false, about};
    }
    return fail(errc::removed, "shm_open", 0, about);
}

result<std::size_t> posix_shm::size() const noexcept { return detail::size_of(fd_.get(), name_); }

result<mapping> posix_shm::map(const map_options& options) const noexcept {
    auto made = sys::map(fd_.borrow(), options);
    if (!made) made = fail(made.error().about(name_));
    return made;
}

result<void> posix_shm::resize(std::size_t bytes) noexcept { return detail::set_size(fd_.get(), bytes, true, name_); }

result<void> unlink_posix_shm(std::string_view name) noexcept {
    const auto c_name = shm_name::from(name, "shm_unlink");
    if (!c_name) return fail(c_name.error());
    if (::shm_unlink(c_name->get()) != 0) return detail::fail_os("shm_unlink", errno, object_ref::name(name));
    return {};
}

}  // namespace kith::inline KITH_ABI::sys
