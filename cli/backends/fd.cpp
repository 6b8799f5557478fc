// The backend of fd: addresses: descriptors that this process inherited, and those of other processes, duplicated
// with pidfd_getfd(2) where ptrace rights allow it. Looking at one (show) reads /proc and opens nothing.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>

#include <kith/sys/byte_stream.hpp>

#include "backends/backend.hpp"

namespace kith_cli {
namespace {

constexpr std::size_t usual_message = std::size_t{1} << 20U;

std::unexpected<failure> not_open(const kith::address& where) {
    const auto reason = where.pid() == 0 ? fmt::format("descriptor {} is not open here", where.fd())
                                         : fmt::format("process {} has no descriptor {}", where.pid(), where.fd());
    failure why{kith::error{kith::errc::not_found, "fcntl", EBADF, kith::object_ref::descriptor(where.fd())}, reason};
    return std::unexpected{std::move(why).suggest(
        where.pid() == 0 ? fmt::format("kith ... fd:{0} {0}<FILE   opens it in the shell", where.fd())
                         : fmt::format("ls -l /proc/{}/fd   lists what it has open", where.pid()))};
}

std::unexpected<failure> foreign_failure(const char* operation, const kith::address& where) {
    const int os_error = errno;
    if (os_error == EBADF) return not_open(where);
    const auto object = kith::object_ref::process(where.pid());
    if (os_error == ESRCH || os_error == EINVAL)
        return std::unexpected{failure{kith::error{kith::errc::not_found, operation, os_error, object},
                                       fmt::format("there is no process {}", where.pid())}
                                   .suggest("processes of another pid namespace (container) are not visible here")};
    auto why = os_failure(operation, os_error, object);
    if (why.cause.code() == kith::errc::not_permitted)
        why.tries = {"run kith as the owner of that process or as root: it needs the right to ptrace it"};
    return std::unexpected{std::move(why)};
}

/// A descriptor of our own for what the address names, sharing its open file description.
outcome<kith::owned_fd> opened(const kith::address& where) {
    if (where.pid() == 0) {
        auto copy = duplicate(kith::borrowed_fd{where.fd()});
        if (copy) return std::move(*copy);
        if (copy.error().os_error() == EBADF) return not_open(where);
        return pass_on(copy);
    }
    const kith::owned_fd process{static_cast<int>(::syscall(SYS_pidfd_open, where.pid(), 0))};
    if (!process.valid()) return foreign_failure("pidfd_open", where);
    kith::owned_fd copy{static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), where.fd(), 0))};
    if (!copy.valid()) return foreign_failure("pidfd_getfd", where);
    return copy;
}

/// The socket's type, or 0 for what is no socket.
int socket_type_of(int fd) {
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : 0;
}
bool keeps_boundaries(int fd) {
    const int type = socket_type_of(fd);
    return type == SOCK_DGRAM || type == SOCK_SEQPACKET;
}

std::unexpected<failure> wrong_direction(const kith::error& error, const char* direction) {
    return std::unexpected{failure{error, fmt::format("the descriptor is not open for {}", direction)}};
}

class fd_sender final : public sender {
public:
    explicit fd_sender(kith::io_fd fd) : boundaries_{keeps_boundaries(fd.native().get())}, to_{std::move(fd)} {}
    [[nodiscard]] bool is_stream() const override { return !boundaries_; }
    outcome<void> send(kith::byte_view body, const send_options&, const kith::wait_policy& wait) override {
        if (boundaries_ && body.empty()) return send_empty();
        std::size_t done = 0;
        if (const auto all = to_.write_full(body, done, wait); !all) {
            if (all.error().os_error() == EBADF) return wrong_direction(all.error(), "writing");
            return pass_on(all);
        }
        return {};
    }

private:
    // write(2) of nothing does nothing; an empty datagram is a message.
    outcome<void> send_empty() {
        if (::send(to_.native().get(), nullptr, 0, MSG_NOSIGNAL) == 0) return {};
        return std::unexpected{os_failure("send", errno, kith::object_ref::descriptor(to_.native().get()))};
    }
    bool boundaries_;
    kith::sys::byte_writer to_;
};

class fd_receiver final : public receiver {
public:
    explicit fd_receiver(kith::io_fd fd) : type_{socket_type_of(fd.native().get())}, from_{std::move(fd)} {}
    [[nodiscard]] bool is_stream() const override { return type_ != SOCK_DGRAM && type_ != SOCK_SEQPACKET; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        message got;
        got.body.resize(options.max_size != 0 ? options.max_size : usual_message);
        if (!is_stream()) return receive_packet(std::move(got), options, wait);
        const auto count = from_.read_some(got.body, wait);
        if (!count && count.error().os_error() == EBADF) return wrong_direction(count.error(), "reading");
        if (!count) return pass_on(count);
        got.body.resize(*count);
        return got;
    }

private:
    outcome<message> receive_packet(message got, const receive_options& options, const kith::wait_policy& wait) {
        const int fd = from_.native().get();
        for (;;) {
            if (const auto ready = from_.wait_for(POLLIN, wait, "recv"); !ready) return pass_on(ready);
            // Looked at first: a packet that is too long can then stay where it is.
            const auto size = ::recv(fd, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
            if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (size < 0) return std::unexpected{os_failure("recv", errno, kith::object_ref::descriptor(fd))};
            const auto full = static_cast<std::size_t>(size);
            if (full == 0 && ended(fd))
                return std::unexpected{
                    failure{kith::error{kith::errc::end_of_stream, "recv", 0, kith::object_ref::descriptor(fd)}}};
            if (full > got.body.size() && !options.truncate && !options.peek)
                return std::unexpected{
                    failure{kith::error{kith::errc::truncated, "recv", 0, kith::object_ref::descriptor(fd)},
                            fmt::format("the message has {} bytes, the room for it {}", full, got.body.size())}
                        .suggest(fmt::format("--max-size {} makes room, --truncate cuts it", full))};
            const auto count =
                ::recv(fd, got.body.data(), got.body.size(), MSG_DONTWAIT | (options.peek ? MSG_PEEK : 0));
            if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (count < 0) return std::unexpected{os_failure("recv", errno, kith::object_ref::descriptor(fd))};
            got.body.resize(static_cast<std::size_t>(count));
            got.truncated = full > got.body.size();
            if (got.truncated) got.full_size = full;
            return got;
        }
    }
    // An empty packet reads as 0 like the end; only the hang-up tells them apart.
    [[nodiscard]] bool ended(int fd) const {
        pollfd state{fd, POLLRDHUP, 0};
        return type_ == SOCK_SEQPACKET && ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP)) != 0;
    }
    int type_;
    kith::sys::byte_reader from_;
};

std::string proc_path(const kith::address& where, const char* folder) {
    const auto process = where.pid() == 0 ? std::string{"self"} : std::to_string(where.pid());
    return fmt::format("/proc/{}/{}/{}", process, folder, where.fd());
}

const char* kind_of(const std::string& target, const struct stat& file) {
    if (target.starts_with("pipe:")) return "pipe";
    if (target.starts_with("socket:")) return "socket";
    if (target.starts_with("anon_inode:")) return "anonymous";
    if (target.starts_with("/memfd:")) return "memfd";
    if (S_ISFIFO(file.st_mode)) return "fifo";
    if (S_ISREG(file.st_mode)) return "file";
    if (S_ISDIR(file.st_mode)) return "directory";
    if (S_ISCHR(file.st_mode))
        return target.starts_with("/dev/pts/") || target.starts_with("/dev/tty") ? "terminal" : "character device";
    if (S_ISBLK(file.st_mode)) return "block device";
    return "other";
}

/// Position and flags, and whatever the kernel says about this kind: eventfd-count, tfd, Pid ...
void add_fdinfo(facts& seen, const kith::address& where) {
    std::ifstream info{proc_path(where, "fdinfo")};
    for (std::string line; std::getline(info, line);) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        auto key = line.substr(0, colon);
        const auto start = line.find_first_not_of(" \t", colon + 1);
        const auto value = start == std::string::npos ? std::string{} : line.substr(start);
        if (key == "flags") {
            const auto flags = std::stoul(value, nullptr, 8);
            static constexpr std::array<const char*, 4> access{"read", "write", "read and write", "none"};
            seen.add("access", access[flags & O_ACCMODE]);
            seen.add("nonblocking", (flags & O_NONBLOCK) != 0).add("close_on_exec", (flags & O_CLOEXEC) != 0);
        } else if (key == "pos") {
            seen.add("position", std::stoll(value));
        } else if (key != "mnt_id" && key != "ino") {
            for (char& c : key)
                if (c == '-') c = '_';
            seen.add(key, value);
        }
    }
}

class fd_backend_type final : public backend {
public:
    fd_backend_type() : backend{kith::scheme::fd} {}

    outcome<facts> show(const kith::address& where) override {
        std::array<char, 4096> target{};
        const auto path = proc_path(where, "fd");
        const auto length = ::readlink(path.c_str(), target.data(), target.size());
        if (length < 0) {
            if (errno == ENOENT && ::access(fmt::format("/proc/{}", where.pid()).c_str(), F_OK) != 0 &&
                where.pid() != 0)
                errno = ESRCH;
            else if (errno == ENOENT)
                errno = EBADF;
            return foreign_failure("readlink", where);
        }
        const std::string name{target.data(), static_cast<std::size_t>(length)};
        struct stat file{};
        // Through the link of /proc: this looks at the open file and opens nothing.
        if (::stat(path.c_str(), &file) != 0) return foreign_failure("stat", where);
        facts seen;
        seen.add("address", where.text()).add("kind", kind_of(name, file)).add("target", name);
        if (S_ISREG(file.st_mode)) seen.add("size", file.st_size, "bytes");
        add_fdinfo(seen, where);
        if (where.pid() == 0) add_own(seen, where.fd());
        return seen;
    }

    outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options&,
                                                 const kith::wait_policy&) override {
        auto fd = adopted(where);
        if (!fd) return pass_on(fd);
        return std::make_unique<fd_sender>(std::move(*fd));
    }
    outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options&,
                                                     const kith::wait_policy&) override {
        auto fd = adopted(where);
        if (!fd) return pass_on(fd);
        return std::make_unique<fd_receiver>(std::move(*fd));
    }

    outcome<facts> peer(const kith::address& where, const kith::wait_policy&) override {
        auto fd = opened(where);
        if (!fd) return pass_on(fd);
        ucred other{};
        socklen_t size = sizeof other;
        if (::getsockopt(fd->get(), SOL_SOCKET, SO_PEERCRED, &other, &size) != 0) {
            auto why = os_failure("getsockopt(SO_PEERCRED)", errno, kith::object_ref::descriptor(where.fd()));
            if (why.cause.os_error() == ENOTSOCK) why.reason = "only sockets know who is at the other end";
            return std::unexpected{std::move(why)};
        }
        if (other.pid == 0 && other.uid == static_cast<uid_t>(-1))
            return refuse(kith::errc::unsupported, "getsockopt(SO_PEERCRED)",
                          "the socket is not connected to a process of this machine");
        facts who;
        who.add("pid", other.pid).add_user("uid", other.uid).add_group("gid", other.gid);
        return who;
    }

private:
    static outcome<kith::io_fd> adopted(const kith::address& where) {
        auto fd = opened(where);
        if (!fd) return pass_on(fd);
        auto whole = kith::io_fd::adopt(std::move(*fd));
        if (!whole) return pass_on(whole);
        return std::move(*whole);
    }
    // What only a descriptor of one's own can be asked without duplicating it first.
    static void add_own(facts& seen, int fd) {
        if (const int capacity = ::fcntl(fd, F_GETPIPE_SZ); capacity >= 0) seen.add("capacity", capacity, "bytes");
        if (const int type = socket_type_of(fd); type != 0)
            seen.add("type", type == SOCK_STREAM      ? "stream"
                             : type == SOCK_DGRAM     ? "dgram"
                             : type == SOCK_SEQPACKET ? "seqpacket"
                                                      : "other");
        if (int queued = 0; ::ioctl(fd, FIONREAD, &queued) == 0) seen.add("queued", queued, "bytes");
    }
};

}  // namespace

backend& fd_backend() {
    static fd_backend_type only;
    return only;
}

}  // namespace kith_cli
