// unix_path_claim - binding a path, and whose it is: the convention of docs/formats/socket_lock.md.
//
// STEPS     1 open PATH.kith-lock (created if absent) and lock it       2 is it still the file at that path? else 1
//           3 bind; refused because something is there:                 a a socket?  b recorded in the lock file?
//             c nobody listens? then 4 remove it, once, and bind        5 record the new socket in the lock file
// IF KILLED AFTER 1, 2, 3 (refused) or 4: a free lock file, perhaps with an old record of a socket that is gone.
//           3 (bound): a socket without a record: nobody takes it over. A microsecond that costs an rm by hand.
//           5: what the next one needs to take over.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <charconv>
#include <optional>
#include <utility>

#include <kith/sys/unix_socket.hpp>

#include "base/c_string.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"
#include "sys/socket_calls.hpp"
#include "sys/unix_address.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

constexpr std::string_view lock_suffix = ".kith-lock";
constexpr std::string_view lock_magic = "kith-socket-lock 1 ";
constexpr int lock_attempts = 100;  // each lost one means that another process got and released the lock
using lock_name = detail::c_string<unix_name::capacity + lock_suffix.size()>;

result<lock_name> lock_path_of(const unix_name& name) noexcept {
    char text[unix_name::capacity + lock_suffix.size() + 1];
    const auto path = name.text();
    path.copy(text, path.size());
    lock_suffix.copy(text + path.size(), lock_suffix.size());
    return lock_name::from({text, path.size() + lock_suffix.size()}, "open(socket lock)");
}

// The record: magic, device, inode, and the time of the inode's last change, so that a reused inode is not ours.
struct record {
    char text[128];
    std::size_t size = 0;

    void append(std::string_view part) noexcept {
        part.copy(text + size, part.size());
        size += part.size();
    }
    void append(std::uint64_t number, char end) noexcept {
        char* const first = text + size;
        char* const last = std::to_chars(first, text + sizeof text - 1, number).ptr;
        *last = end;
        size += static_cast<std::size_t>(last - first) + 1;
    }
    [[nodiscard]] std::string_view view() const noexcept { return {text, size}; }
};

record record_of(const struct stat& socket) noexcept {
    record made;
    made.append(lock_magic);
    made.append(socket.st_dev, ' ');
    made.append(socket.st_ino, ' ');
    made.append(static_cast<std::uint64_t>(socket.st_ctim.tv_sec), '.');
    made.append(static_cast<std::uint64_t>(socket.st_ctim.tv_nsec), '\n');
    return made;
}

// Whether what was opened is a lock file of ours: whoever may write in the folder can put something else there, a
// second name of a file that only this user may write, say, and what is ours alone is emptied and written to.
result<void> check_lock_file(const owned_fd& lock, const struct stat& opened, object_ref about) noexcept {
    if (!S_ISREG(opened.st_mode)) return fail(errc::wrong_kind, "open(socket lock)", 0, about);
    if (opened.st_uid != ::geteuid()) return fail(errc::not_permitted, "open(socket lock)", EPERM, about);
    if (opened.st_nlink > 1) return fail(errc::wrong_kind, "open(socket lock)", 0, about);
    if (opened.st_size == 0) return {};
    char begin[lock_magic.size()];
    ssize_t size = 0;
    do size = ::pread(lock.get(), begin, sizeof begin, 0);
    while (size < 0 && errno == EINTR);
    if (size < 0) return detail::fail_os("pread(socket lock)", errno, about);
    const std::string_view found{begin, static_cast<std::size_t>(size)};
    // A record that was cut short is one, too.
    if (found != lock_magic.substr(0, found.size())) return fail(errc::wrong_kind, "open(socket lock)", 0, about);
    return {};
}

bool same_file(const struct stat& a, const struct stat& b) noexcept {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Steps 1 and 2.
result<owned_fd> take_lock(const lock_name& path, object_ref about) noexcept {
    for (int attempt = 0; attempt < lock_attempts; ++attempt) {
        owned_fd lock{::open(path.get(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600)};
        if (!lock.valid()) {
            if (errno == EINTR) continue;
            return detail::fail_os("open(socket lock)", errno, about);
        }
        struct stat opened{};
        if (::fstat(lock.get(), &opened) != 0) return detail::fail_os("fstat(socket lock)", errno, about);
        if (auto ours = check_lock_file(lock, opened, about); !ours) return fail(ours.error());
        if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
            if (errno == EINTR) continue;
            const errc code = errno == EWOULDBLOCK ? errc::exists : detail::code_for(errno);
            return fail(code, "bind(socket lock held)", code == errc::exists ? EADDRINUSE : errno, about);
        }
        struct stat there{};
        const bool found = ::lstat(path.get(), &there) == 0;
        if (!found && errno != ENOENT) return detail::fail_os("lstat(socket lock)", errno, about);
        if (found && same_file(opened, there)) return lock;
        // Its holder removed it while closing, before we had the lock: what we locked is no one's lock any more.
    }
    return fail(errc::exists, "bind(socket lock held)", EADDRINUSE, about);
}

result<bool> recorded_in(const owned_fd& lock, const struct stat& socket, object_ref about) noexcept {
    char text[sizeof record::text];
    ssize_t size = 0;
    do size = ::pread(lock.get(), text, sizeof text, 0);
    while (size < 0 && errno == EINTR);
    if (size < 0) return detail::fail_os("pread(socket lock)", errno, about);
    return std::string_view{text, static_cast<std::size_t>(size)} == record_of(socket).view();
}

result<void> write_record(const owned_fd& lock, const struct stat& socket, object_ref about) noexcept {
    const auto text = record_of(socket);
    int cut = 0;
    do cut = ::ftruncate(lock.get(), 0);
    while (cut != 0 && errno == EINTR);
    if (cut != 0) return detail::fail_os("ftruncate(socket lock)", errno, about);
    ssize_t size = 0;
    do size = ::pwrite(lock.get(), text.text, text.size, 0);
    while (size < 0 && errno == EINTR);
    if (size < 0) return detail::fail_os("pwrite(socket lock)", errno, about);
    if (static_cast<std::size_t>(size) != text.size) return fail(errc::no_space, "pwrite(socket lock)", ENOSPC, about);
    return {};
}

// Step 3c. The kernel compares types before it asks whether somebody listens: a datagram socket is refused only
// where no socket at all is bound to the file, and a stream about to listen answers EPROTOTYPE.
result<bool> nobody_has(const detail::unix_address& address, object_ref about) noexcept {
    const auto probe = detail::open_socket(AF_UNIX, SOCK_DGRAM);
    if (!probe) return fail(probe.error().about(about));
    return ::connect(probe->get(), address.get(), address.size) != 0 && errno == ECONNREFUSED;
}

// Steps 3a to 4.
result<void> remove_stale(const char* path, const owned_fd& lock, const detail::unix_address& address,
                          object_ref about) noexcept {
    struct stat there{};
    if (::lstat(path, &there) != 0) return errno == ENOENT ? result<void>{} : detail::fail_os("lstat", errno, about);
    if (!S_ISSOCK(there.st_mode)) return fail(errc::wrong_kind, "bind", EADDRINUSE, about);
    const auto ours = recorded_in(lock, there, about);
    if (!ours) return fail(ours.error());
    if (!*ours) return fail(errc::exists, "bind(no record in the socket lock)", EADDRINUSE, about);
    const auto dead = nobody_has(address, about);
    if (!dead) return fail(dead.error());
    if (!*dead) return fail(errc::exists, "bind", EADDRINUSE, about);
    if (::unlink(path) != 0 && errno != ENOENT) return detail::fail_os("unlink", errno, about);
    detail::notify(event_kind::stale_removed, "bind", about);
    return {};
}

}  // namespace

unix_path_claim::unix_path_claim(unix_path_claim&& other) noexcept
    : name_{std::exchange(other.name_, {})},
      device_{other.device_},
      inode_{other.inode_},
      owner_{other.owner_},
      lock_{std::move(other.lock_)} {}

unix_path_claim& unix_path_claim::operator=(unix_path_claim&& other) noexcept {
    if (this != &other) {
        withdraw();
        name_ = std::exchange(other.name_, {});
        device_ = other.device_;
        inode_ = other.inode_;
        owner_ = other.owner_;
        lock_ = std::move(other.lock_);
    }
    return *this;
}

void unix_path_claim::withdraw() noexcept {
    if (name_.what() == unix_name::kind::path && owner_ == ::getpid()) {
        const int saved = errno;
        const auto path = detail::c_path::from(name_.text(), "unlink");
        struct stat there{};
        if (path && ::lstat(path->get(), &there) == 0 && there.st_dev == device_ && there.st_ino == inode_)
            ::unlink(path->get());
        // While it is still locked: whoever opened it before finds that it is no longer the file at that path.
        if (lock_.valid()) {
            const auto lock = lock_path_of(name_);
            struct stat held{};
            if (lock && ::fstat(lock_.get(), &held) == 0 && ::lstat(lock->get(), &there) == 0 && same_file(held, there))
                ::unlink(lock->get());
        }
        errno = saved;
    }
    leave();
}

void unix_path_claim::leave() noexcept {
    lock_.reset();
    name_ = {};
}

namespace {

// Removes a lock file that was made for a bind which then failed. One with a record belongs to a socket that lives on.
class unused_lock {
public:
    unused_lock(const owned_fd& lock, const lock_name& path) noexcept : lock_{lock}, path_{path} {}
    ~unused_lock() {
        const int saved = errno;
        struct stat held{};
        if (!kept_ && ::fstat(lock_.get(), &held) == 0 && held.st_size == 0) ::unlink(path_.get());
        errno = saved;
    }
    unused_lock(const unused_lock&) = delete;
    unused_lock& operator=(const unused_lock&) = delete;
    void keep() noexcept { kept_ = true; }

private:
    const owned_fd& lock_;
    const lock_name& path_;
    bool kept_ = false;
};

}  // namespace

result<unix_path_claim> unix_path_claim::bind(const socket_base& socket, const unix_name& name,
                                              const unix_bind_options& options) noexcept {
    const auto about = name.about();
    const int fd = socket.native().get();
    const detail::unix_address address{name};
    unix_path_claim claim;
    const bool is_path = name.what() == unix_name::kind::path;
    if (!is_path) {
        if (::bind(fd, address.get(), address.size) != 0) return detail::fail_os("bind", errno, about);
        return claim;
    }

    auto path = detail::c_path::from(name.text(), "bind");
    if (!path) return fail(path.error());
    const bool takes_over = options.on_stale == unix_bind_options::stale::take_over;
    const auto lock_path = lock_path_of(name);
    if (!lock_path) return fail(lock_path.error());
    std::optional<unused_lock> unused;
    if (takes_over) {
        auto lock = take_lock(*lock_path, about);
        if (!lock) return fail(lock.error());
        claim.lock_ = std::move(*lock);
        unused.emplace(claim.lock_, *lock_path);
    }
    // bind gives the file the socket's own mode: set before, the path never exists with a wider one.
    if (options.mode && ::fchmod(fd, *options.mode & 07777) != 0) return detail::fail_os("fchmod", errno, about);

    bool bound = ::bind(fd, address.get(), address.size) == 0;
    if (!bound && errno == EADDRINUSE && takes_over) {
        if (auto removed = remove_stale(path->get(), claim.lock_, address, about); !removed)
            return fail(removed.error());
        bound = ::bind(fd, address.get(), address.size) == 0;
    }
    if (!bound) return detail::fail_os("bind", errno, about);

    // From here on the path is ours, and every failure removes it.
    struct stat made{};
    if (::lstat(path->get(), &made) != 0) {
        const int os_error = errno;
        ::unlink(path->get());
        return detail::fail_os("lstat", os_error, about);
    }
    if (unused) unused->keep();
    claim.name_ = name;
    claim.device_ = made.st_dev;
    claim.inode_ = made.st_ino;
    claim.owner_ = ::getpid();
    if (takes_over) {
        if (auto written = write_record(claim.lock_, made, about); !written) return fail(written.error());
    }
    return claim;
}

}  // namespace kith::inline KITH_ABI::sys
