#include "base/ready_io.hpp"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cerrno>

#include <kith/sigpipe.hpp>

namespace kith::inline KITH_ABI::detail {
namespace {

// What to do after a call with RWF_NOWAIT failed: the flag is unknown, the kind of file cannot do it (pipes before
// Linux 6.5), or it is a file that poll(2) always calls ready and that has merely not been read from the disk yet.
bool plainly(int fd) noexcept {
    if (errno == EOPNOTSUPP || errno == ENOSYS) return true;
    if (errno != EAGAIN) return false;
    struct stat file;
    const bool on_disk = ::fstat(fd, &file) == 0 && (S_ISREG(file.st_mode) || S_ISBLK(file.st_mode));
    errno = EAGAIN;
    return on_disk;
}

}  // namespace

ssize_t read_ready(int fd, void* into, std::size_t size) noexcept {
    const iovec part{into, size};
    const auto n = ::preadv2(fd, &part, 1, -1, RWF_NOWAIT);
    return n < 0 && plainly(fd) ? ::read(fd, into, size) : n;
}

ssize_t write_ready(int fd, const void* bytes, std::size_t size) noexcept {
    const sigpipe_guard quiet;
    const iovec part{const_cast<void*>(bytes), size};
    const auto n = ::pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
    return n < 0 && plainly(fd) ? ::write(fd, bytes, size) : n;
}

}  // namespace kith::inline KITH_ABI::detail
