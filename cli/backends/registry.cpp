// registry - which backend serves which scheme. A scheme without a backend supports nothing, and says so.
#include "backends/backend.hpp"

namespace kith_cli {
namespace {

template <kith::scheme Mechanism>
backend& nothing() {
    static backend none{Mechanism};
    return none;
}

}  // namespace

backend& backend_for(kith::scheme mechanism) {
    switch (mechanism) {
    case kith::scheme::fd: return fd_backend();

    case kith::scheme::fifo: return fifo_backend();

    case kith::scheme::sysv_mq: return sysv_mq_backend();

    case kith::scheme::posix_mq: return posix_mq_backend();

    case kith::scheme::sysv_sem: return sysv_sem_backend();

    case kith::scheme::posix_sem: return posix_sem_backend();

    case kith::scheme::sysv_shm: return sysv_shm_backend();

    case kith::scheme::posix_shm: return posix_shm_backend();

    case kith::scheme::unix_socket: return unix_backend();

    case kith::scheme::tcp: return tcp_backend();

    case kith::scheme::udp: return udp_backend();

    case kith::scheme::pid: return pid_backend();
    }
    return fd_backend();
}

}  // namespace kith_cli
