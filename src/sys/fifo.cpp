#include <kith/sys/fifo.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/backoff.hpp"
#include "base/c_string.hpp"
#include "base/clock.hpp"
#include "base/observer.hpp"
#include "base/retry.hpp"
#include "base/transfer.hpp"
#include "sys/pipe_write.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

static_assert(fifo_path{""}.directory == AT_FDCWD);

/// A fifo_path as the system calls want it.
struct place {
    place() noexcept {}  // NOLINT(modernize-use-equals-default): otherwise the page is filled with zeros first
    detail::c_path path;
    int directory = AT_FDCWD;
    std::string_view name;  // the caller's
    [[nodiscard]] object_ref about() const noexcept { return object_ref::name(name); }
    static result<place> from(const fifo_path& path, const char* operation) noexcept {
        result<place> made{std::in_place};  // the only one: a copy would be a page
        made->directory = path.directory;
        made->name = path.path;
        if (const auto set = made->path.assign(path.path, operation); !set) [[unlikely]]
            made = fail(set.error());
        return made;
    }
};

result<void> look_at(const place& where, const char* operation, struct stat& file) noexcept {
    if (::fstatat(where.directory, where.path.get(), &file, AT_SYMLINK_NOFOLLOW) != 0)
        return detail::fail_os(operation, errno, where.about());
    if (!S_ISFIFO(file.st_mode)) return fail(errc::wrong_kind, operation, 0, where.about());
    return {};
}
result<void> look_at(const place& where, const char* operation) noexcept {
    struct stat file;
    return look_at(where, operation, file);
}

// Of what was opened, not of the name: the name may mean another file by now.
// Inlined, as the next one: the way back from a system call through many functions is slow.
[[gnu::always_inline]] inline result<owned_fd> checked(owned_fd fd, const place& where) noexcept {
    struct stat file;
    if (::fstat(fd.get(), &file) != 0) return detail::fail_os("fstat", errno, where.about());
    if (!S_ISFIFO(file.st_mode)) return fail(errc::wrong_kind, "open", 0, where.about());
    return fd;
}

// O_NOCTTY: a terminal planted under the name must not become ours before it is recognised.
constexpr int always = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;

// Sockets and devices without a driver answer ENXIO, too; only a writer alone gets it from a FIFO.
std::unexpected<error> open_failed(int os_error, int access, object_ref about) noexcept {
    if (os_error == ENXIO && access != O_WRONLY) return fail(errc::wrong_kind, "open", ENXIO, about);
    return detail::fail_os("open", os_error, about);
}

// One open(2) that does not wait for the other side; a writer's ENXIO is the caller's to explain.
[[gnu::always_inline]] inline result<owned_fd> open_at_once(const place& where, int access,
                                                            const wait_policy& wait) noexcept {
    for (;;) {
        owned_fd fd{::openat(where.directory, where.path.get(), access | always | O_NONBLOCK)};
        if (fd.valid()) return checked(std::move(fd), where);
        const int os_error = errno;
        if (os_error == EINTR && wait.signal == on_signal::retry && !wait.stop_requested()) continue;
        return open_failed(os_error, access, where.about());
    }
}

// The kernel's own wait, which has neither deadline nor stop token.
result<owned_fd> open_blocking(const place& where, int access) noexcept {
    // Looked at first: opening something else for blocking use may do anything.
    if (auto fifo = look_at(where, "open"); !fifo) return fail(fifo.error());
    owned_fd fd{detail::retry([&] { return ::openat(where.directory, where.path.get(), access | always); })};
    if (!fd.valid()) return open_failed(errno, access, where.about());
    auto fifo = checked(std::move(fd), where);
    if (fifo && ::fcntl(fifo->get(), F_SETFL, access | O_NONBLOCK) != 0)
        return detail::fail_os("fcntl(F_SETFL)", errno, where.about());
    return fifo;
}

// With a stop token or reported signals kith waits itself: open(2) restarts after handlers with SA_RESTART.
bool plain_wait(const wait_policy& wait) noexcept {
    return wait.until.is_never() && wait.signal == on_signal::retry &&
           (wait.stop == nullptr || !wait.stop->stop_possible());
}

}  // namespace

result<void> create_fifo(const fifo_path& path, mode_t mode, creation policy) noexcept {
    const auto where = place::from(path, "mkfifo");
    if (!where) return fail(where.error());
    if (policy != creation::must_exist) {
        if (::mkfifoat(where->directory, where->path.get(), mode) == 0) return {};
        // mknod(2): EPERM is a file system without FIFOs; a missing right is EACCES.
        if (errno == EPERM) return fail(errc::wrong_filesystem, "mkfifo", EPERM, where->about());
        if (errno != EEXIST || policy == creation::must_be_new) return detail::fail_os("mkfifo", errno, where->about());
    }
    if (auto fifo = look_at(*where, "mkfifo"); !fifo) return fail(fifo.error());
    return {};
}

result<void> remove_fifo(const fifo_path& path) noexcept {
    const auto where = place::from(path, "unlink");
    if (!where) return fail(where.error());
    if (auto fifo = look_at(*where, "unlink"); !fifo) return fail(fifo.error());
    if (::unlinkat(where->directory, where->path.get(), 0) != 0)
        return detail::fail_os("unlink", errno, where->about());
    return {};
}

result<fifo_status> fifo_status_of(const fifo_path& path) noexcept {
    const auto where = place::from(path, "stat");
    if (!where) return fail(where.error());
    struct stat file;
    if (const auto found = look_at(*where, "stat", file); !found) return fail(found.error());
    return fifo_status{.mode = file.st_mode & 07777U,
                       .uid = file.st_uid,
                       .gid = file.st_gid,
                       .device = file.st_dev,
                       .inode = file.st_ino};
}

result<fifo_reader> open_fifo_reader(const fifo_path& path, const wait_policy& wait) noexcept {
    const auto where = place::from(path, "open");
    if (!where) return fail(where.error());
    auto fd = plain_wait(wait) ? open_blocking(*where, O_RDONLY) : open_at_once(*where, O_RDONLY, wait);
    if (!fd) return fail(fd.error());
    result<fifo_reader> reader{std::in_place, std::move(*fd), fd_mode::nonblocking};
    if (!plain_wait(wait) && !wait.until.is_immediate()) {
        if (auto met = reader->wait_for_writer(wait); !met) reader = fail(met.error().about(where->about()));
    }
    return reader;
}

namespace {

// A FIFO that had no reader: waits for one.
[[gnu::noinline]] result<owned_fd> open_when_there_is_a_reader(const place& where, const wait_policy& wait) noexcept {
    detail::backoff looks{wait, "open", where.about()};
    for (;;) {
        // Only a FIFO can get a reader later.
        if (auto fifo = look_at(where, "open"); !fifo) return fail(fifo.error());
        if (auto slept = looks.pause(ENXIO); !slept) return fail(slept.error());
        auto fd = open_at_once(where, O_WRONLY, wait);
        if (fd || fd.error().os_error() != ENXIO) return fd;
    }
}

}  // namespace

result<fifo_writer> open_fifo_writer(const fifo_path& path, const wait_policy& wait) noexcept {
    const auto where = place::from(path, "open");
    if (!where) return fail(where.error());
    const bool plain = plain_wait(wait);
    auto fd = plain ? open_blocking(*where, O_WRONLY) : open_at_once(*where, O_WRONLY, wait);
    if (!fd && !plain && fd.error().os_error() == ENXIO) fd = open_when_there_is_a_reader(*where, wait);
    if (!fd) return fail(fd.error());
    return result<fifo_writer>{std::in_place, std::move(*fd), fd_mode::nonblocking};
}

result<fifo_both> open_fifo_both(const fifo_path& path) noexcept {
    const auto where = place::from(path, "open");
    if (!where) return fail(where.error());
    auto fd = open_at_once(*where, O_RDWR, {});
    if (!fd) return fail(fd.error());
    return result<fifo_both>{std::in_place, std::move(*fd), fd_mode::nonblocking};
}

namespace {

// A pipe of our own that tee(2) copies into: the only call that tells whether a FIFO has a writer without taking
// anything out.
class scratch_pipe {
public:
    scratch_pipe() noexcept = default;
    scratch_pipe(const scratch_pipe&) = delete;
    scratch_pipe& operator=(const scratch_pipe&) = delete;
    ~scratch_pipe() {
        owned_fd{ends_[0]}.reset();
        owned_fd{ends_[1]}.reset();
    }
    [[nodiscard]] result<void> open() noexcept {
        if (::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) != 0) return detail::fail_os("pipe2", errno);
        return {};
    }
    // tee gives a count where bytes are, EAGAIN with a writer that has written nothing, and 0 without one.
    [[nodiscard]] result<bool> has_writer(int fifo) const noexcept {
        for (;;) {
            const auto n = ::tee(fifo, ends_[1], 1, SPLICE_F_NONBLOCK);
            if (n >= 0) return n > 0;
            if (errno == EAGAIN) return true;
            if (errno != EINTR) return detail::fail_os("tee", errno, object_ref::descriptor(fifo));
        }
    }

private:
    int ends_[2] = {-1, -1};
};

}  // namespace

result<bool> fifo_reader::has_writer() const noexcept {
    scratch_pipe scratch;
    if (auto made = scratch.open(); !made) return fail(made.error());
    return scratch.has_writer(native().get());
}

result<void> fifo_reader::wait_for_writer(const wait_policy& wait) noexcept {
    scratch_pipe scratch;
    if (auto made = scratch.open(); !made) return fail(made.error());
    // ppoll sees bytes and the end, but not a writer that has only opened: look for that one between short waits.
    auto slice = std::chrono::microseconds{20};
    constexpr auto longest = std::chrono::microseconds{2000};
    for (;;) {
        const auto there = scratch.has_writer(native().get());
        if (!there && !is_open() && slice.count() > 20) return fail(errc::stopped, "open", 0);  // by close()
        if (!there) return fail(there.error());
        if (*there) return {};
        wait_policy step = wait;
        if (!wait.until.is_immediate()) step.until = deadline::earlier(wait.until, deadline::in(slice));
        const auto ready = wait_for(POLLIN, step, "open");
        if (ready) return {};
        if (ready.error().code() != errc::timed_out || detail::expired(wait.until)) return fail(ready.error());
        if (slice.count() == 20) detail::notify(event_kind::polling, "open", object_ref::descriptor(native().get()));
        slice = std::min(slice * 2, longest);
    }
}

result<void> fifo_reader::start_over() noexcept {
    const int fd = native().get();
    const auto about = object_ref::descriptor(fd);
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) return detail::fail_os("fcntl(F_GETFL)", errno, about);
    char link[32] = "/proc/self/fd/";
    *std::to_chars(link + 14, link + sizeof link - 1, fd).ptr = '\0';
    // The old description stays open until the new one is: the unread bytes need one (fifo(7)).
    const owned_fd fresh{detail::retry([&] { return ::open(link, (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC); })};
    if (!fresh.valid())
        return errno == ENOENT ? fail(errc::unsupported, "open", ENOENT, about) : detail::fail_os("open", errno, about);
    if (detail::retry([&] { return ::dup3(fresh.get(), fd, O_CLOEXEC); }) < 0)
        return detail::fail_os("dup3", errno, about);
    return {};
}

result<std::size_t> fifo_both::write_some(byte_view bytes, const wait_policy& wait) noexcept {
    return detail::write_some_to(*this, bytes, wait);
}

}  // namespace kith::inline KITH_ABI::sys
