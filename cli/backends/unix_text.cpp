#include "backends/unix_text.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <fstream>
#include <sstream>

#include <kith/fd.hpp>

namespace kith_cli {
namespace {

using kith::errc;
using kith::sys::unix_name;
using kind = kith::address::socket_type;

std::string lock_path(const kith::address& where) { return where.name() + ".kith-lock"; }

// What the kernel lists about one name.
struct listed {
    bool found = false;
    std::string type;
    bool listening = false;
    std::uint64_t connections = 0;  // accepted ones bear the listener's name
};

listed look_up(const kith::address& where) {
    // An abstract name is listed with '@' for each NUL in it.
    std::string name = where.is_abstract() ? '@' + where.name() : where.name();
    for (auto& c : name)
        if (c == '\0') c = '@';
    listed seen;
    std::ifstream file{"/proc/net/unix"};
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields{line};
        std::string slot, references, protocol, flags, type, state, inode, path;
        if (!(fields >> slot >> references >> protocol >> flags >> type >> state >> inode)) continue;
        std::getline(fields >> std::ws, path);
        if (path != name) continue;
        constexpr unsigned long accepts = 0x10000;  // __SO_ACCEPTCON
        const bool listening = (std::strtoul(flags.c_str(), nullptr, 16) & accepts) != 0;
        if (state == "03" && !listening) {
            ++seen.connections;
            continue;
        }
        seen.found = true;
        seen.listening = seen.listening || listening;
        seen.type = type == "0001" ? "stream" : type == "0002" ? "dgram" : "seqpacket";
    }
    return seen;
}

facts::value lock_state(const std::string& path) {
    const kith::owned_fd lock{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    if (!lock.valid()) return nullptr;
    // Shared, and given back at once: a listener that is being born in this moment would have to try again.
    if (::flock(lock.get(), LOCK_SH | LOCK_NB) != 0) return std::string{"held"};
    return std::string{"free"};
}

bool is_socket(const std::string& path) {
    struct stat there{};
    return ::lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode);
}

std::unexpected<failure> no_socket(const kith::address& where, const kith::error& error) {
    failure why{kith::error{errc::wrong_kind, error.operation(), error.os_error(), error.object()},
                "something that is no socket lives at that path"};
    return std::unexpected{std::move(why).suggest(fmt::format("ls -l {}   shows what it is", where.name()))};
}

}  // namespace

outcome<unix_name> unix_name_of(const kith::address& where) {
    auto name = where.is_abstract() ? unix_name::abstract(where.name()) : unix_name::path(where.name());
    if (name) return *name;
    failure why{name.error()};
    if (name.error().code() == errc::too_long) {
        why.reason = fmt::format("the name has {} bytes", where.name().size());
        why.limits.push_back(fmt::format("a socket's {} has at most {} bytes",
                                         where.is_abstract() ? "abstract name" : "path", unix_name::capacity));
        if (!where.is_abstract()) why.tries.emplace_back("cd to its directory, and use a relative path");
    }
    return std::unexpected{std::move(why)};
}

std::unexpected<failure> bind_failure(const kith::address& where, const kith::error& error) {
    const std::string_view step{error.operation()};
    const auto text = where.text();
    failure why{error};
    if (error.code() == errc::wrong_kind && step == "bind") return no_socket(where, error);
    if (error.code() == errc::exists && step == "bind(socket lock held)") {
        why.reason = "another kith listens there";
        why.tries.push_back(fmt::format("kith peer {}   tells its process", text));
    } else if (error.code() == errc::exists && step == "bind(no record in the socket lock)") {
        why.reason = "a socket is there that no kith left: it may be about to listen";
        why.tries.push_back(fmt::format("kith show {}   tells whether anybody has it", text));
        why.tries.push_back(fmt::format("kith rm {}   if nobody needs it", text));
    } else if (error.code() == errc::exists) {
        why.reason = "another process has that name";
        why.tries.push_back(fmt::format("kith show {}   tells more", text));
    } else if (error.code() == errc::not_found) {
        why.reason = "there is no such directory";
        why.tries.emplace_back("mkdir makes it");
    }
    return std::unexpected{std::move(why)};
}

std::unexpected<failure> connect_failure(const kith::address& where, const kith::error& error) {
    const auto text = where.text();
    failure why{error};
    if (error.os_error() == ECONNREFUSED && !where.is_abstract()) {
        if (!is_socket(where.name())) return no_socket(where, error);
        why.reason = "nobody listens there: the socket is stale, or its owner does not listen yet";
        why.tries.push_back(fmt::format("kith listen {}   listens, and takes over what a killed kith left", text));
    } else if (error.os_error() == ECONNREFUSED || error.code() == errc::not_found) {
        why.reason = "nobody listens there";
        why.tries.push_back(fmt::format("kith listen {}   in another terminal", text));
        if (where.is_abstract())
            why.tries.emplace_back("abstract names of another network namespace are not visible here");
    } else if (error.code() == errc::wrong_type) {
        const auto seen = look_up(where);
        why.reason = seen.found ? fmt::format("the socket there is of type {}", seen.type)
                                : std::string{"the socket there is of another type"};
        if (seen.found) why.tries.push_back(fmt::format("?type={} in the address", seen.type));
    } else if (error.code() == errc::not_permitted && !where.is_abstract()) {
        why.reason = "connecting takes write permission on the socket's file";
    } else if (error.code() == errc::would_block || error.code() == errc::timed_out) {
        why.reason = "the listener's queue is full: it accepts nobody";
    }
    return std::unexpected{std::move(why)};
}

outcome<facts> show_unix(const kith::address& where) {
    facts shown;
    const auto seen = look_up(where);
    if (where.is_abstract()) {
        if (!seen.found)
            return refuse(errc::not_found, "read(/proc/net/unix)", "no socket of this network namespace has that name");
    } else {
        struct stat there{};
        if (::lstat(where.name().c_str(), &there) != 0)
            return std::unexpected{os_failure("lstat", errno, kith::object_ref::name(where.name()))};
        if (!S_ISSOCK(there.st_mode))
            return no_socket(where, kith::error{errc::wrong_kind, "lstat", 0, kith::object_ref::name(where.name())});
        shown.add_mode("mode", there.st_mode & 07777);
        shown.add_user("uid", there.st_uid).add_group("gid", there.st_gid);
        shown.add_time("created", there.st_ctim.tv_sec);
    }
    shown.add("type", seen.found ? facts::value{seen.type} : facts::value{nullptr});
    // By the path as it was bound: another spelling of it, or another network namespace, is not found.
    shown.add("state",
              seen.listening ? "listening"
              : seen.found   ? "bound"
                             : "unknown",
              seen.found ? "" : "not in use under this spelling in this network namespace");
    shown.add("connections", seen.connections);
    if (!where.is_abstract()) shown.add("lock", lock_state(lock_path(where)));
    return shown;
}

outcome<void> remove_unix(const kith::address& where) {
    if (where.is_abstract())
        return refuse_use(errc::unsupported, "unlink",
                          "an abstract name goes with its socket: end the process that has it");
    const auto object = kith::object_ref::name(where.name());
    struct stat there{};
    if (::lstat(where.name().c_str(), &there) != 0) return std::unexpected{os_failure("lstat", errno, object)};
    if (!S_ISSOCK(there.st_mode)) return no_socket(where, kith::error{errc::wrong_kind, "unlink", 0, object});
    if (::unlink(where.name().c_str()) != 0) return std::unexpected{os_failure("unlink", errno, object)};
    const auto path = lock_path(where);
    const kith::owned_fd lock{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    struct stat opened{};
    if (lock.valid() && ::fstat(lock.get(), &opened) == 0 && S_ISREG(opened.st_mode) &&
        ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0 && ::lstat(path.c_str(), &there) == 0 &&
        there.st_ino == opened.st_ino && there.st_dev == opened.st_dev)
        ::unlink(path.c_str());
    return {};
}

}  // namespace kith_cli
