#include <kith/sys/memfd.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <atomic>
#include <cerrno>

#include "base/c_string.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"
#include "base/uapi.hpp"
#include "sys/memory.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

static_assert(static_cast<unsigned>(seals::more | seals::shrink | seals::grow | seals::write) ==
              (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
static_assert(static_cast<unsigned>(seals::future_write | seals::exec) == (F_SEAL_FUTURE_WRITE | F_SEAL_EXEC));

constexpr std::size_t longest_name = 249;

constinit std::atomic<bool> exec_flags_missing{false};  // MFD_EXEC and MFD_NOEXEC_SEAL came together

int create_descriptor(const char* name, unsigned flags, bool executable) noexcept {
    if (!exec_flags_missing.load(std::memory_order_relaxed)) {
        const int fd = ::memfd_create(name, flags | (executable ? MFD_EXEC : MFD_NOEXEC_SEAL));
        if (fd >= 0 || errno != EINVAL) return fd;
    }
    const int fd = ::memfd_create(name, flags);
    // Only when the same call passes without the flag was the flag what the kernel did not know.
    if (fd >= 0 && !exec_flags_missing.exchange(true, std::memory_order_relaxed))
        detail::notify(event_kind::fallback_taken, "memfd_create", object_ref::descriptor(fd), EINVAL);
    return fd;
}

errc code_for_create(std::size_t name_length, int os_error) noexcept {
    if (os_error == EINVAL && name_length > longest_name) return errc::too_long;
    if (os_error == ENODEV || os_error == ENOENT) return errc::unsupported;  // no huge pages of that size
    return detail::code_for(os_error);
}

result<std::size_t> whole_pages(int fd, std::size_t size, object_ref about) noexcept {
    struct stat file;
    if (::fstat(fd, &file) != 0) return detail::fail_os("fstat", errno, about);
    const auto page = static_cast<std::size_t>(file.st_blksize);
    if (size > PTRDIFF_MAX - page) return fail(errc::invalid, "memfd_create", EINVAL, about);
    return detail::round_up(size, page);
}

}  // namespace

result<memfd> memfd::create(std::string_view name, const memfd_options& options) noexcept {
    const auto about = object_ref::name(name);
    const auto c_name = detail::c_path::from(name, "memfd_create");
    if (!c_name) return fail(c_name.error());
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | detail::huge_page_flags(options.huge, MFD_HUGETLB);
    owned_fd fd{create_descriptor(c_name->get(), flags, options.executable)};
    if (!fd.valid()) return fail(code_for_create(name.size(), errno), "memfd_create", errno, about);

    auto size = options.size;
    if (options.huge != huge_pages::none) {
        const auto whole = whole_pages(fd.get(), size, about);
        if (!whole) return fail(whole.error());
        size = *whole;
    }
    memfd made{std::move(fd)};
    if (size != 0) {
        if (auto sized = detail::set_size(made.fd_.get(), size, options.reserve, about); !sized)
            return fail(sized.error());
    }
    if (!options.sealable) {
        if (auto sealed = made.add_seals(seals::more); !sealed) return fail(sealed.error());
    }
    return made;
}

result<memfd> memfd::receive(owned_fd fd, seals required, std::size_t least_size) noexcept {
    if (auto checked = expect_sealed(fd.borrow(), required, least_size); !checked) return fail(checked.error());
    return memfd{std::move(fd)};
}

result<std::size_t> memfd::size() const noexcept {
    return detail::size_of(fd_.get(), object_ref::descriptor(fd_.get()));
}

result<void> memfd::resize(std::size_t bytes) noexcept {
    return detail::set_size(fd_.get(), bytes, true, object_ref::descriptor(fd_.get()));
}

result<void> memfd::add_seals(seals wanted) noexcept {
    if (::fcntl(fd_.get(), F_ADD_SEALS, static_cast<unsigned>(wanted)) != 0)
        return detail::fail_errno("fcntl(F_ADD_SEALS)", fd_.get());
    return {};
}

result<seals> memfd::current_seals() const noexcept { return seals_of(fd_.borrow()); }

result<mapping> memfd::map(const map_options& options) const noexcept {
    auto made = sys::map(fd_.borrow(), options);
    if (made || made.error().os_error() != EPERM || options.private_copy || options.access != memory_access::read_only)
        return made;
    const auto sealed = seals_of(fd_.borrow());
    if (!sealed || !contains(*sealed, seals::write)) return made;
    // Before Linux 6.7 a shared mapping counted as a possible writer. The contents are constant: a private one
    // shows the same.
    auto instead = options;
    instead.private_copy = true;
    auto copy = sys::map(fd_.borrow(), instead);
    if (copy) detail::notify(event_kind::fallback_taken, "mmap", object_ref::descriptor(fd_.get()), EPERM);
    return copy;
}

result<seals> seals_of(borrowed_fd fd) noexcept {
    const int found = ::fcntl(fd.get(), F_GET_SEALS);
    if (found >= 0) return static_cast<seals>(found);
    const auto about = object_ref::descriptor(fd.get());
    if (errno == EINVAL) return fail(errc::wrong_kind, "fcntl(F_GET_SEALS)", EINVAL, about);
    return detail::fail_os("fcntl(F_GET_SEALS)", errno, about);
}

result<void> expect_sealed(borrowed_fd fd, seals required, std::size_t least_size) noexcept {
    const auto about = object_ref::descriptor(fd.get());
    const auto found = seals_of(fd);
    if (!found) return fail(found.error());
    if (!contains(*found, required)) return fail(errc::bad_peer, "fcntl(F_GET_SEALS)", 0, about);
    // Looked at after the seals: without `shrink` among them the answer is stale at once.
    const auto size = detail::size_of(fd.get(), about);
    if (!size) return fail(size.error());
    if (*size < least_size) return fail(errc::bad_peer, "fstat", 0, about);
    return {};
}

}  // namespace kith::inline KITH_ABI::sys
