// kith/sys/memfd.hpp - shared memory without a name, and seals: promises about it that nobody can take back.
//
// memfd_create(2): a file that lives in memory and is gone with the last descriptor and mapping. It is shared by
// passing the descriptor: over a UNIX socket, to a child, or (with ptrace-level rights) through /proc/PID/fd. Every
// holder shares one file offset: use the mapping, or pread and pwrite.
//
// Who receives a memfd from somebody it does not trust checks the seals first, with expect_sealed(): without
// `shrink` the sender can cut the file and the receiver dies of SIGBUS; without `write` the contents can change
// after they were checked. Writing can be sealed only while no writable shared mapping exists.
//
// Newer than Linux 5.10 and replaced where missing (event `fallback_taken`): MFD_NOEXEC_SEAL (6.3): without it the
// file could be executed, and the `exec` seal is absent; a read-only shared mapping of a write-sealed file (6.7):
// without it a private one is made, which shows the same bytes, as they cannot change.
//
// Thread safety: const calls from any threads; others need the caller's lock. Nothing here waits. Fork: the child has
// its own copy of the descriptor, close-on-exec. Signal handlers: no. Crash: the memory goes with its last holder.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <kith/fd.hpp>
#include <kith/sys/mapping.hpp>

namespace kith::inline KITH_ABI::sys {

/// Seals: fcntl(2), F_ADD_SEALS. Join them with |.
enum class seals : std::uint32_t {
    none = 0,
    more = 0x01,          ///< no further seals (F_SEAL_SEAL)
    shrink = 0x02,        ///< it never gets smaller
    grow = 0x04,          ///< it never gets larger
    write = 0x08,         ///< the contents never change
    future_write = 0x10,  ///< only the writable mappings that exist now can change them
    exec = 0x20,          ///< the execute right never changes (Linux 6.3)
};
[[nodiscard]] constexpr seals operator|(seals a, seals b) noexcept {
    return static_cast<seals>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}
[[nodiscard]] constexpr seals operator&(seals a, seals b) noexcept {
    return static_cast<seals>(static_cast<std::uint32_t>(a) & static_cast<std::uint32_t>(b));
}
/// Whether `all` contains every seal of `some`.
[[nodiscard]] constexpr bool contains(seals all, seals some) noexcept { return (all & some) == some; }

/// What makes the file a constant: size and contents fixed for ever, and the seals with them.
inline constexpr seals constant_seals = seals::more | seals::shrink | seals::grow | seals::write;

/// How a memfd is made.
struct memfd_options {
    std::size_t size = 0;     ///< bytes, rounded up to whole huge pages if these are asked for; 0: give it one later
    bool sealable = true;     ///< false: carries `more` from the start
    bool executable = false;  ///< MFD_EXEC; else it cannot be run, as long as the kernel knows how to say so
    huge_pages huge = huge_pages::none;
    bool reserve = true;  ///< memory for every byte now; false: a touch may be SIGBUS, or end the process
};

/// A memfd. Move-only; dropping it closes the descriptor and leaves mappings alone.
class memfd {
public:
    /// Makes one; `name` is for /proc/PID/fd only. Errors: `too_long` (EINVAL: the name has more than 249 bytes),
    /// `limit_reached` (EMFILE: descriptors; EFBIG: RLIMIT_FSIZE, no SIGXFSZ is raised), `not_permitted` (EACCES:
    /// vm.memfd_noexec forbids executable ones; EPERM: huge pages), `no_space` (no huge pages are reserved),
    /// `out_of_memory`, `unsupported` (ENODEV: no huge pages of that size here), `invalid`.
    [[nodiscard]] KITH_EXPORT static result<memfd> create(std::string_view name,
                                                          const memfd_options& options = {}) noexcept;

    /// Takes over one that was received, and checks it with expect_sealed().
    /// Errors: `bad_peer` (a seal is missing, or it is smaller), `wrong_kind`.
    [[nodiscard]] KITH_EXPORT static result<memfd> receive(owned_fd fd, seals required = seals::shrink,
                                                           std::size_t least_size = 0) noexcept;

    [[nodiscard]] borrowed_fd native() const noexcept { return fd_.borrow(); }
    /// Bytes now. Errors: `io`.
    [[nodiscard]] KITH_EXPORT result<std::size_t> size() const noexcept;
    /// Changes the size; growing reserves memory first. Shrinking is SIGBUS for who has it mapped.
    /// Errors: `not_permitted` (EPERM: sealed), `no_space`, `limit_reached`, `invalid`.
    [[nodiscard]] KITH_EXPORT result<void> resize(std::size_t bytes) noexcept;

    /// Adds seals; there is no way back. Errors: `would_block` (EBUSY: `write` while a writable shared mapping
    /// exists anywhere), `not_permitted` (EPERM: sealed against more seals), `invalid` (EINVAL: the kernel does not
    /// know that seal).
    [[nodiscard]] KITH_EXPORT result<void> add_seals(seals wanted) noexcept;
    [[nodiscard]] KITH_EXPORT result<sys::seals> current_seals() const noexcept;

    /// Maps it; the mapping outlives this object. Errors: kith::sys::map(); `not_permitted` (EPERM) for a writable
    /// shared mapping under `write` or `future_write`.
    [[nodiscard]] KITH_EXPORT result<mapping> map(const map_options& options = {}) const noexcept;

    /// Gives the descriptor away, as it is.
    [[nodiscard]] owned_fd release() noexcept { return std::move(fd_); }

private:
    explicit memfd(owned_fd fd) noexcept : fd_{std::move(fd)} {}
    owned_fd fd_;
};

/// The seals of any descriptor (F_GET_SEALS); POSIX shared memory carries `more` alone.
/// Errors: `wrong_kind` (EINVAL: a file without seals).
[[nodiscard]] KITH_EXPORT result<seals> seals_of(borrowed_fd fd) noexcept;

/// The receiver's check, before anything is mapped or believed: the seals in `required` are there, and the file has
/// at least `least_size` bytes. Errors: `bad_peer` (a seal is missing, or it is too small), `wrong_kind`.
[[nodiscard]] KITH_EXPORT result<void> expect_sealed(borrowed_fd fd, seals required,
                                                     std::size_t least_size = 0) noexcept;

}  // namespace kith::inline KITH_ABI::sys
