#include "faults/errnos.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <cerrno>
#include <map>

namespace kith_faults {
namespace {

struct row {
    const char* name;
    std::vector<int> errnos;
};

#define ROW(call, ...)             \
    {                              \
        SYS_##call, row {          \
            #call, { __VA_ARGS__ } \
        }                          \
    }

// Left out of the rows: EFAULT and the like, which only a broken program can cause and which the library's types
// rule out, and errors of other kinds of objects than those that kith uses.
const std::map<long, row>& table() {
    static const std::map<long, row> rows{
        // descriptors
        ROW(close, EIO, EINTR, ENOSPC, EDQUOT),
        ROW(dup, EMFILE, EBADF),
        ROW(dup2, EBADF, EBUSY, EINTR, EMFILE),
        ROW(dup3, EBADF, EBUSY, EINTR, EMFILE),
        ROW(ioctl, EBADF, EINVAL, ENOTTY),
        ROW(fstat, EBADF, ENOMEM, EOVERFLOW),
        ROW(newfstatat, EACCES, EBADF, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW),
        ROW(stat, EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW),
        ROW(lstat, EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW),
        ROW(statx, EACCES, EBADF, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR),
        ROW(sysinfo, ENOSYS),
        ROW(fstatfs, EBADF, EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW),
        ROW(open, EACCES, EEXIST, EINTR, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC,
            ENOTDIR, ENXIO, EPERM, EROFS),
        ROW(openat, EACCES, EEXIST, EINTR, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC,
            ENOTDIR, ENXIO, EPERM, EROFS),
        ROW(read, EAGAIN, EBADF, EINTR, EINVAL, EIO, EISDIR),
        ROW(pread64, EAGAIN, EBADF, EINTR, EINVAL, EIO, ESPIPE),
        ROW(readv, EAGAIN, EBADF, EINTR, EINVAL, EIO),
        ROW(preadv2, EAGAIN, EBADF, EINTR, EINVAL, EIO, EISDIR, EOPNOTSUPP, ENOSYS),
        ROW(write, EAGAIN, EBADF, EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM, EPIPE),
        ROW(pwrite64, EAGAIN, EBADF, EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM, ESPIPE),
        ROW(writev, EAGAIN, EBADF, EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM, EPIPE),
        ROW(pwritev2, EAGAIN, EBADF, EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EOPNOTSUPP, EPERM, EPIPE, ENOSYS),
        ROW(lseek, EBADF, EINVAL, ENXIO, EOVERFLOW, ESPIPE),
        ROW(flock, EBADF, EINTR, EINVAL, ENOLCK, EAGAIN),
        ROW(unlink, EACCES, EBUSY, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM, EROFS),
        ROW(unlinkat, EACCES, EBADF, EBUSY, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM, EROFS),
        ROW(chmod, EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM, EROFS),
        ROW(fchmod, EBADF, EIO, EPERM, EROFS),
        ROW(rename, EACCES, EBUSY, EDQUOT, EEXIST, EINVAL, EISDIR, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC,
            ENOTDIR, EPERM, EROFS, EXDEV),
        ROW(link, EACCES, EDQUOT, EEXIST, EIO, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,
            EROFS, EXDEV),
        ROW(linkat, EACCES, EBADF, EDQUOT, EEXIST, EIO, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR,
            EPERM, EROFS, EXDEV),
        ROW(readlink, EACCES, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR),
        ROW(getdents64, EBADF, EINVAL, ENOENT, ENOTDIR),
        ROW(access, EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EROFS),
        ROW(mkdirat, EACCES, EBADF, EDQUOT, EEXIST, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,
            EROFS),
        ROW(getrandom, EAGAIN, EINTR, ENOSYS),
        ROW(mknod, EACCES, EDQUOT, EEXIST, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS),
        ROW(mknodat, EACCES, EBADF, EDQUOT, EEXIST, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,
            EROFS),
        // pipes
        ROW(pipe2, EINVAL, EMFILE, ENFILE),
        ROW(splice, EAGAIN, EBADF, EINVAL, ENOMEM, ESPIPE, EINTR, EPIPE),
        ROW(tee, EAGAIN, EINVAL, ENOMEM, EINTR, EPIPE),
        ROW(vmsplice, EAGAIN, EBADF, EINVAL, ENOMEM, EINTR, EPIPE),
        // waiting
        ROW(poll, EINTR, EINVAL, ENOMEM),
        ROW(ppoll, EINTR, EINVAL, ENOMEM),
        ROW(epoll_create1, EINVAL, EMFILE, ENFILE, ENOMEM),
        ROW(epoll_ctl, EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM, ENOSPC, EPERM),
        ROW(epoll_wait, EBADF, EINTR, EINVAL),
        ROW(epoll_pwait, EBADF, EINTR, EINVAL),
        ROW(epoll_pwait2, EBADF, EINTR, EINVAL, ENOSYS),
        ROW(clock_nanosleep, EINTR, EINVAL),
        ROW(clock_gettime, EINVAL),
        ROW(futex_waitv, EAGAIN, EINTR, EINVAL, ENOMEM, ENOSYS, EPERM, ETIMEDOUT),
        // System V
        ROW(msgget, EACCES, EEXIST, ENOENT, ENOMEM, ENOSPC),
        ROW(msgsnd, EACCES, EAGAIN, EIDRM, EINTR, EINVAL, ENOMEM),
        ROW(msgrcv, E2BIG, EACCES, EIDRM, EINTR, EINVAL, ENOMSG, ENOSYS),
        ROW(msgctl, EACCES, EIDRM, EINVAL, EPERM),
        ROW(semget, EACCES, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC),
        ROW(semop, E2BIG, EACCES, EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOMEM, ERANGE),
        ROW(semtimedop, E2BIG, EACCES, EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOMEM, ERANGE),
        ROW(semctl, EACCES, EIDRM, EINVAL, EPERM, ERANGE),
        ROW(shmget, EACCES, EEXIST, EINVAL, ENFILE, ENOENT, ENOMEM, ENOSPC, EPERM),
        ROW(shmat, EACCES, EIDRM, EINVAL, ENOMEM),
        ROW(shmdt, EINVAL),
        ROW(shmctl, EACCES, EIDRM, EINVAL, ENOENT, ENOMEM, EOVERFLOW, EPERM),
        // POSIX queues
        ROW(mq_open, EACCES, EEXIST, EINVAL, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM, ENOSPC),
        ROW(mq_unlink, EACCES, ENAMETOOLONG, ENOENT),
        ROW(mq_timedsend, EAGAIN, EBADF, EINTR, EINVAL, EMSGSIZE, ETIMEDOUT),
        ROW(mq_timedreceive, EAGAIN, EBADF, EINTR, EINVAL, EMSGSIZE, ETIMEDOUT),
        ROW(mq_notify, EBADF, EBUSY, EINVAL, ENOMEM),
        ROW(mq_getsetattr, EBADF, EINVAL),
        // memory
        ROW(mmap, EACCES, EAGAIN, EBADF, EINVAL, ENFILE, ENODEV, ENOMEM, EOVERFLOW, EPERM),
        ROW(munmap, EINVAL, ENOMEM),
        ROW(mremap, EAGAIN, EINVAL, ENOMEM),
        ROW(mprotect, EACCES, EINVAL, ENOMEM),
        ROW(mlock, EAGAIN, EINVAL, ENOMEM, EPERM),
        ROW(munlock, EINVAL, ENOMEM, EPERM),
        ROW(madvise, EACCES, EAGAIN, EBADF, EINVAL, EIO, ENOMEM, EPERM),
        ROW(memfd_create, EINVAL, EMFILE, ENFILE, ENOMEM, EPERM),
        ROW(ftruncate, EBADF, EFBIG, EINTR, EINVAL, EIO, EPERM, EROFS),
        ROW(prlimit64, EINVAL, EPERM, ESRCH),
        ROW(fallocate, EBADF, EFBIG, EINTR, EINVAL, EIO, ENODEV, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, ESPIPE),
        // sockets
        ROW(socket, EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT),
        ROW(socketpair, EAFNOSUPPORT, EMFILE, ENFILE, EOPNOTSUPP, EPROTONOSUPPORT),
        ROW(bind, EACCES, EADDRINUSE, EBADF, EINVAL, EADDRNOTAVAIL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR,
            EROFS),
        ROW(listen, EADDRINUSE, EBADF, EOPNOTSUPP),
        ROW(connect, EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, ECONNREFUSED,
            EINTR, ENETUNREACH, EPROTOTYPE, ETIMEDOUT),
        ROW(accept4, EAGAIN, EBADF, ECONNABORTED, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO, EPERM),
        ROW(getsockname, EBADF, EINVAL, ENOBUFS),
        ROW(getpeername, EBADF, EINVAL, ENOBUFS, ENOTCONN),
        ROW(getsockopt, EBADF, EINVAL, ENOPROTOOPT),
        ROW(setsockopt, EBADF, EINVAL, ENOPROTOOPT),
        ROW(sendto, EAGAIN, EBADF, ECONNRESET, EINTR, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN, EPIPE),
        ROW(sendmsg, EAGAIN, EBADF, ECONNRESET, EINTR, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN, EPIPE,
            ETOOMANYREFS),
        ROW(recvfrom, EAGAIN, EBADF, ECONNREFUSED, EINTR, EINVAL, ENOMEM, ENOTCONN),
        ROW(recvmsg, EAGAIN, EBADF, ECONNREFUSED, EINTR, EINVAL, ENOMEM, ENOTCONN),
        ROW(shutdown, EBADF, EINVAL, ENOTCONN),
        // event descriptors, processes
        ROW(eventfd2, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM),
        ROW(signalfd4, EBADF, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM),
        ROW(timerfd_create, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, EPERM),
        ROW(timerfd_settime, EBADF, ECANCELED, EINVAL),
        ROW(timerfd_gettime, EBADF, EINVAL),
        ROW(pidfd_open, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, ESRCH),
        ROW(pidfd_send_signal, EBADF, EINVAL, EPERM, ESRCH),
        ROW(pidfd_getfd, EBADF, EINVAL, EMFILE, ENFILE, EPERM, ESRCH),
        ROW(waitid, ECHILD, EINTR, EINVAL, EAGAIN),
        ROW(wait4, ECHILD, EINTR, EINVAL),
        ROW(kill, EINVAL, EPERM, ESRCH),
        ROW(tgkill, EAGAIN, EINVAL, EPERM, ESRCH),
        ROW(clone, EAGAIN, ENOMEM, EPERM),
        ROW(clone3, EAGAIN, ENOMEM, EPERM, ENOSYS),
        ROW(vfork, EAGAIN, ENOMEM),
        ROW(rt_sigtimedwait, EAGAIN, EINTR, EINVAL),
        // Calls whose pages name no error that a program can meet.
        ROW(getpid, ),
        ROW(restart_syscall, ),
        ROW(rt_sigreturn, ),
        ROW(rt_sigprocmask, ),
        ROW(rt_sigaction, ),
        ROW(rt_sigpending, ),
        ROW(gettid, ),
        ROW(getppid, ),
        ROW(getuid, ),
        ROW(geteuid, ),
        ROW(getgid, ),
        ROW(getegid, ),
        ROW(sched_yield, ),
        ROW(umask, ),
        ROW(exit_group, ),
    };
    return rows;
}

// fcntl(2) names its errors by command.
const std::map<long, std::vector<int>>& commands_of_fcntl() {
    static const std::map<long, std::vector<int>> rows{
        {F_DUPFD_CLOEXEC, {EBADF, EINVAL, EMFILE}},
        {F_GETFD, {EBADF}},
        {F_SETFD, {EBADF}},
        {F_GETFL, {EBADF}},
        {F_SETFL, {EBADF, EPERM}},
        {F_GETPIPE_SZ, {EBADF}},
        {F_SETPIPE_SZ, {EBADF, EBUSY, EPERM, ENOMEM}},
        {F_ADD_SEALS, {EBADF, EBUSY, EINVAL, EPERM}},
        {F_GET_SEALS, {EBADF, EINVAL}},
        {F_OFD_SETLK, {EACCES, EAGAIN, EBADF, EINVAL, ENOLCK}},
        {F_OFD_SETLKW, {EBADF, EDEADLK, EINTR, EINVAL, ENOLCK}},
        {F_OFD_GETLK, {EBADF, EINVAL}},
    };
    return rows;
}

// So does futex(2). The C library ends the program on other errors of its own waits, and a wake that did not happen
// leaves a waiter of its own asleep.
const std::vector<int>* errnos_of_futex(long operation, bool timed) {
    static const std::vector<int> of_wake;
    static const std::vector<int> of_wait{EAGAIN, EINTR};
    static const std::vector<int> of_timed_wait{EAGAIN, EINTR, ETIMEDOUT};
    switch (operation & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)) {
    case FUTEX_WAKE: return &of_wake;
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET: return timed ? &of_timed_wait : &of_wait;
    default: return nullptr;
    }
}

}  // namespace

const std::vector<int>* errnos_of(long call, long second_argument, bool fourth_argument) {
    if (call == SYS_fcntl) {
        const auto command = commands_of_fcntl().find(second_argument);
        return command != commands_of_fcntl().end() ? &command->second : nullptr;
    }
    if (call == SYS_futex) return errnos_of_futex(second_argument, fourth_argument);
    const auto found = table().find(call);
    return found != table().end() ? &found->second.errnos : nullptr;
}

bool happens_all_the_same(long call, int os_error, unsigned family) {
    // close(2): the descriptor is gone whatever it returns. connect(2): an interrupted one goes on in the background,
    // except between UNIX sockets, where it has only waited for its turn.
    return call == SYS_close || (call == SYS_connect && os_error == EINTR && family != AF_UNIX);
}

const char* name_of_call(long call) {
    if (call == SYS_fcntl) return "fcntl";
    if (call == SYS_futex) return "futex";
    const auto found = table().find(call);
    return found != table().end() ? found->second.name : "a call that tests/faults/errnos.cpp does not know";
}

}  // namespace kith_faults
