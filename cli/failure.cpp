#include "failure.hpp"

#include <cerrno>

namespace kith_cli {

failure os_failure(const char* operation, int os_error, kith::object_ref object) {
    const auto code = [&] {
        switch (os_error) {
        case EAGAIN: return kith::errc::would_block;
        case ENOENT:
        case ENXIO: return kith::errc::not_found;
        case EEXIST: return kith::errc::exists;
        case EACCES:
        case EPERM:
        case EROFS: return kith::errc::not_permitted;
        case ENOTDIR:
        case EISDIR:
        case ELOOP:
        case ENOTSOCK: return kith::errc::wrong_kind;
        case ENAMETOOLONG:
        case EMSGSIZE: return kith::errc::too_long;
        case EMFILE:
        case ENFILE: return kith::errc::limit_reached;
        case ENOSPC:
        case EDQUOT: return kith::errc::no_space;
        case ENOMEM: return kith::errc::out_of_memory;
        case EPIPE:
        case ESRCH:
        case ECONNRESET:
        case ECONNREFUSED:
        case ENOTCONN: return kith::errc::peer_gone;
        case ENOSYS:
        case EOPNOTSUPP: return kith::errc::unsupported;
        case EINVAL:
        case EBADF: return kith::errc::invalid;
        default: return kith::errc::io;
        }
    }();
    return kith::error{code, operation, os_error, object};
}

}  // namespace kith_cli
