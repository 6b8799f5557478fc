// kith/fd.hpp - who owns a file descriptor.
//
// An `owned_fd` closes its descriptor, a `borrowed_fd` leaves that to somebody else. What kith opens or receives is
// close-on-exec from birth; a descriptor that is handed over as a number keeps the flag it has.
// Nothing here waits, unless close(2) itself does. Thread safety: distinct objects from any threads; one object needs
// the caller's lock. Fork: the child has descriptors of its own to close, for the same open file descriptions: what
// closing means for the other side happens when the last copy is closed. Signal handlers: yes (close(2) and fcntl(2)
// only), on objects that the interrupted code is not changing. Crash: the kernel closes all of a process's descriptors.
// Man pages: close(2), fcntl(2), open(2).
#pragma once
#include <utility>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI {

/// A descriptor that somebody else owns and keeps open while this is used. A value.
class borrowed_fd {
public:
    constexpr borrowed_fd() noexcept = default;
    constexpr explicit borrowed_fd(int fd) noexcept : fd_{fd} {}
    [[nodiscard]] constexpr int get() const noexcept { return fd_; }
    [[nodiscard]] constexpr bool valid() const noexcept { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// A descriptor that is closed with its owner. Move-only.
class owned_fd {
public:
    constexpr owned_fd() noexcept = default;
    constexpr explicit owned_fd(int fd) noexcept : fd_{fd} {}
    constexpr owned_fd(owned_fd&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    constexpr owned_fd& operator=(owned_fd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    owned_fd(const owned_fd&) = delete;
    owned_fd& operator=(const owned_fd&) = delete;
    constexpr ~owned_fd() { reset(); }

    [[nodiscard]] constexpr int get() const noexcept { return fd_; }
    [[nodiscard]] constexpr bool valid() const noexcept { return fd_ >= 0; }
    [[nodiscard]] constexpr borrowed_fd borrow() const noexcept { return borrowed_fd{fd_}; }
    /// Gives the descriptor away; the caller closes it.
    [[nodiscard]] constexpr int release() noexcept { return std::exchange(fd_, -1); }
    /// Closes it now and leaves errno alone. close(2) is never retried: on Linux the descriptor is gone whatever it
    /// returns.
    constexpr void reset() noexcept {
        if (fd_ >= 0) close_descriptor(std::exchange(fd_, -1));
    }

private:
    KITH_EXPORT static void close_descriptor(int fd) noexcept;
    int fd_ = -1;
};

/// A second descriptor for the same open file description (shared offset and status flags),
/// close-on-exec. Errors: `limit_reached` (RLIMIT_NOFILE), `invalid` (not open). fcntl(2), F_DUPFD_CLOEXEC.
[[nodiscard]] KITH_EXPORT result<owned_fd> duplicate(borrowed_fd fd) noexcept;

}  // namespace kith::inline KITH_ABI
