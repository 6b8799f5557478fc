#include <kith/fd.hpp>

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>

#include "base/errors.hpp"

namespace kith::inline KITH_ABI {

void owned_fd::close_descriptor(int fd) noexcept {
    const int saved = errno;  // a destructor on an error path must not change what is being reported
    if (::close(fd) != 0) [[unlikely]]
        errno = saved;
}

result<owned_fd> duplicate(borrowed_fd fd) noexcept {
    const int copy = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return detail::fail_errno("fcntl(F_DUPFD_CLOEXEC)", fd.get());
    return owned_fd{copy};
}

}  // namespace kith::inline KITH_ABI
