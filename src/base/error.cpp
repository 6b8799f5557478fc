#include <kith/error.hpp>

#include <cstring>

#include "base/errors.hpp"

namespace kith::inline KITH_ABI {

std::string_view name_of(errc code) noexcept {
    switch (code) {
    case errc::would_block: return "would_block";
    case errc::timed_out: return "timed_out";
    case errc::stopped: return "stopped";
    case errc::end_of_stream: return "end_of_stream";
    case errc::peer_gone: return "peer_gone";
    case errc::removed: return "removed";
    case errc::not_found: return "not_found";
    case errc::exists: return "exists";
    case errc::not_permitted: return "not_permitted";
    case errc::wrong_kind: return "wrong_kind";
    case errc::wrong_size: return "wrong_size";
    case errc::wrong_type: return "wrong_type";
    case errc::wrong_version: return "wrong_version";
    case errc::wrong_filesystem: return "wrong_filesystem";
    case errc::too_long: return "too_long";
    case errc::truncated: return "truncated";
    case errc::invalid: return "invalid";
    case errc::bad_address: return "bad_address";
    case errc::limit_reached: return "limit_reached";
    case errc::no_space: return "no_space";
    case errc::out_of_memory: return "out_of_memory";
    case errc::unsupported: return "unsupported";
    case errc::bad_peer: return "bad_peer";
    case errc::evicted: return "evicted";
    case errc::lapped: return "lapped";
    case errc::forked: return "forked";
    case errc::domain_lost: return "domain_lost";
    case errc::io: return "io";
    }
    return "unknown";
}

namespace {

std::string_view sentence_of(errc code) noexcept {
    switch (code) {
    case errc::would_block: return "nothing to do without waiting";
    case errc::timed_out: return "the deadline passed";
    case errc::stopped: return "the wait was stopped";
    case errc::end_of_stream: return "the stream has ended";
    case errc::peer_gone: return "the other side is gone";
    case errc::removed: return "the object was removed";
    case errc::not_found: return "there is no such object";
    case errc::exists: return "it exists already";
    case errc::not_permitted: return "not permitted";
    case errc::wrong_kind: return "that name belongs to another kind of object";
    case errc::wrong_size: return "the object has another size than expected";
    case errc::wrong_type: return "the other side uses another type";
    case errc::wrong_version: return "the other side uses another format version";
    case errc::wrong_filesystem: return "that file system cannot hold it";
    case errc::too_long: return "longer than the limit";
    case errc::truncated: return "the message was cut";
    case errc::invalid: return "an argument makes no sense here";
    case errc::bad_address: return "not a valid address";
    case errc::limit_reached: return "a limit is reached";
    case errc::no_space: return "no space is left for it";
    case errc::out_of_memory: return "no memory is left for it";
    case errc::unsupported: return "not supported here";
    case errc::bad_peer: return "the other side broke the protocol";
    case errc::evicted: return "this participant was too slow and lost its place";
    case errc::lapped: return "the data was overwritten before it was read";
    case errc::forked: return "the handle belongs to the parent process";
    case errc::domain_lost: return "the directory of the shared objects was removed";
    case errc::io: return "the operating system reports a failure";
    }
    return "unknown failure";
}

void append_object(std::string& text, const object_ref& object) {
    switch (object.what()) {
    case object_ref::kind::none: return;
    case object_ref::kind::descriptor: text += " on descriptor " + std::to_string(object.value()); return;
    case object_ref::kind::process: text += " on process " + std::to_string(object.value()); return;
    case object_ref::kind::sysv_id: text += " on System V id " + std::to_string(object.value()); return;
    case object_ref::kind::sysv_key: {
        static constexpr char digits[] = "0123456789abcdef";
        const auto key = static_cast<std::uint32_t>(object.value());
        text += " on System V key 0x";
        for (int shift = 28; shift >= 0; shift -= 4) text += digits[(key >> shift) & 0xfU];
        return;
    }
    case object_ref::kind::name:
        text += " on '";
        text += object.text();
        text += '\'';
        return;
    }
}

}  // namespace

std::string_view errno_name(int os_error) noexcept {
    if (os_error == 0) return {};
    const char* name = ::strerrorname_np(os_error);
    return name != nullptr ? std::string_view{name} : std::string_view{};
}

std::string_view remedy(const error& failure) noexcept {
    // Two failures whose remedy does not follow from the code.
    if (std::string_view{failure.operation()} == "sem_otime")
        return "the set's creator died before it had set the values, or never will: remove the set and create it "
               "again (kith rm, ipcrm -S KEY), or open it as it is";
    if (failure.os_error() == ENOTRECOVERABLE)
        return "a holder died and what the lock guards was not repaired: make the lock and its data anew";
    switch (failure.code()) {
    case errc::would_block: return "wait with a deadline, or try again later";
    case errc::timed_out: return "give it more time, or check that the other side is running";
    case errc::peer_gone: return "start the other side again, then open a new connection";
    case errc::removed: return "somebody removed the object: create it again";
    case errc::not_found:
        return "create it first; System V objects and queues of another IPC namespace (container) are not visible here";
    case errc::exists: return "choose another name, open the existing one, or remove it";
    case errc::not_permitted: return "check the object's owner and mode";
    case errc::limit_reached:
        // EMFILE of mq_open means the bytes of the user's queues, unless descriptors really have run out.
        if (std::string_view{failure.operation()} == "mq_open(RLIMIT_MSGQUEUE)")
            return "remove queues that nobody uses, make smaller ones, or raise the limit (ulimit -q)";
        return failure.os_error() == EMFILE ? "raise the limit (ulimit -n), or close descriptors"
                                            : "remove objects that nobody uses, or raise the limit";
    case errc::no_space: return "free space on the file system or remove objects that nobody uses";
    case errc::too_long: return "send less at once, or use a mechanism with a larger limit";
    case errc::unsupported: return "use another mechanism or a newer kernel";
    default: return {};
    }
}

std::string describe(const error& failure) {
    std::string text{failure.operation()};
    append_object(text, failure.object());
    text += " failed: ";
    text += sentence_of(failure.code());
    text += " (";
    text += name_of(failure.code());
    if (const auto symbol = errno_name(failure.os_error()); !symbol.empty()) {
        text += ", ";
        text += symbol;
    }
    text += ')';
    if (const auto next = remedy(failure); !next.empty()) {
        text += "; ";
        text += next;
    }
    return text;
}

namespace detail {

errc code_for(int os_error) noexcept {
    switch (os_error) {
    case EAGAIN:
    case EBUSY: return errc::would_block;
    case ETIMEDOUT: return errc::timed_out;
    case EINTR:
    case ECANCELED: return errc::stopped;
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
    case ECONNABORTED:
    case ENOTCONN:
    case ESHUTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ESRCH: return errc::peer_gone;
    case EIDRM: return errc::removed;
    case ENOENT:
    case ENXIO:
    case ENODEV:
    case ECHILD: return errc::not_found;
    case EEXIST:
    case EADDRINUSE: return errc::exists;
    case EACCES:
    case EPERM:
    case EROFS: return errc::not_permitted;
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENOTSOCK:
    case ESPIPE: return errc::wrong_kind;
    case EPROTOTYPE: return errc::wrong_type;
    case ENAMETOOLONG:
    case EMSGSIZE:
    case E2BIG:
    case EFBIG: return errc::too_long;
    case EMFILE:
    case ENFILE:
    case ETOOMANYREFS:
    case EUSERS: return errc::limit_reached;
    case ENOSPC:
    case EDQUOT: return errc::no_space;
    case ENOMEM:
    case ENOBUFS: return errc::out_of_memory;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOPROTOOPT: return errc::unsupported;
    case EPROTO:
    case EBADMSG: return errc::bad_peer;
    case EINVAL:
    case EBADF:
    case EDOM:
    case ERANGE:
    case EFAULT:
    case EOVERFLOW:
    case EADDRNOTAVAIL:
    case ENOTTY: return errc::invalid;
    default: return errc::io;
    }
}

std::unexpected<error> fail_os(const char* operation, int os_error, object_ref object) noexcept {
    return fail(code_for(os_error), operation, os_error, object);
}

std::unexpected<error> fail_errno(const char* operation, int fd) noexcept {
    const int os_error = errno;
    return fail(code_for(os_error), operation, os_error, object_ref::descriptor(fd));
}

}  // namespace detail
}  // namespace kith::inline KITH_ABI
