// ready_io - reads and writes on descriptors in blocking mode, after poll(2) has said that they are ready.
#pragma once
#include <unistd.h>
#include <cstddef>

#include <kith/io_fd.hpp>

namespace kith::inline KITH_ABI::detail {

/// read(2), except that it does not wait: another reader may have taken what there was, and then it is EAGAIN
/// (RWF_NOWAIT). A kind of file that cannot do that is read plainly, and waits as its mode says.
[[nodiscard]] ssize_t read_ready(int fd, void* into, std::size_t size) noexcept;

/// A read on a descriptor in either mode that does not wait.
[[nodiscard]] inline ssize_t read_in(fd_mode mode, int fd, void* into, std::size_t size) noexcept {
    return mode == fd_mode::nonblocking ? ::read(fd, into, size) : read_ready(fd, into, size);
}

/// write(2) in the same way; a missing reader is EPIPE and nothing else.
[[nodiscard]] ssize_t write_ready(int fd, const void* bytes, std::size_t size) noexcept;

}  // namespace kith::inline KITH_ABI::detail
