// limits - which limit a failed call has met, what it is set to now, and how to raise it.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <cerrno>
#include <climits>
#include <fstream>
#include <sstream>

#include "messages.hpp"

namespace kith_cli {
namespace {

std::string value_in(const char* path) {
    std::ifstream file{path};
    std::string text;
    std::getline(file, text);
    for (char& c : text)
        if (c == '\t') c = ' ';
    return text.empty() ? "not known here" : text;
}

/// A limit under /proc/sys: "kernel.msgmni is 32000 (queues in all)", and the command that raises it.
void sysctl(limit_report& report, const char* name, const char* path, const char* meaning) {
    report.limits.push_back(fmt::format("{} is {} ({})", name, value_in(path), meaning));
    report.tries.push_back(fmt::format("sysctl -w {}=...   raises it, as root", name));
}

void rlimit_of(limit_report& report, __rlimit_resource which, const char* name, const char* meaning, const char* flag) {
    struct rlimit now{};
    if (::getrlimit(which, &now) != 0) return;
    const auto number = [](rlim_t value) {
        return value == RLIM_INFINITY ? std::string{"unlimited"} : std::to_string(value);
    };
    report.limits.push_back(
        fmt::format("{} is {}, at most {} ({})", name, number(now.rlim_cur), number(now.rlim_max), meaning));
    report.tries.push_back(fmt::format("ulimit {} N   raises it in this shell", flag));
}

void dev_shm(limit_report& report) {
    struct statvfs fs{};
    if (::statvfs("/dev/shm", &fs) != 0) return;
    const auto unit = static_cast<std::uint64_t>(fs.f_frsize);
    report.limits.push_back(
        fmt::format("/dev/shm has {} free of {}", size_text(unit * fs.f_bavail), size_text(unit * fs.f_blocks)));
    report.tries.emplace_back("ls -l /dev/shm   shows what fills it");
    report.tries.emplace_back("mount -o remount,size=... /dev/shm   makes it larger, as root (docker run --shm-size)");
}

void message_queue(limit_report& report, std::string_view call, const kith::error& error) {
    if (call.starts_with("msgget") && error.os_error() == ENOSPC) {
        sysctl(report, "kernel.msgmni", "/proc/sys/kernel/msgmni", "queues in this IPC namespace");
        report.tries.emplace_back("ipcs -q   lists the queues, kith rm removes one");
    }
    if (call.starts_with("msgsnd") && (error.os_error() == EINVAL || error.code() == kith::errc::too_long)) {
        sysctl(report, "kernel.msgmax", "/proc/sys/kernel/msgmax", "bytes in one message");
        report.limits.push_back(
            fmt::format("kernel.msgmnb is {} (bytes a new queue may hold)", value_in("/proc/sys/kernel/msgmnb")));
    }
    if (call == "msgctl(IPC_SET)" && error.os_error() == EPERM)
        report.limits.push_back(fmt::format("kernel.msgmnb is {} (above it a queue's size needs CAP_SYS_RESOURCE)",
                                            value_in("/proc/sys/kernel/msgmnb")));
    if (call.starts_with("mq_open")) {
        if (error.os_error() == EMFILE) {
            rlimit_of(report, RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE", "bytes in all queues of this user", "-q");
            rlimit_of(report, RLIMIT_NOFILE, "RLIMIT_NOFILE", "descriptors of this process", "-n");
        }
        if (error.os_error() == ENOSPC)
            sysctl(report, "fs.mqueue.queues_max", "/proc/sys/fs/mqueue/queues_max", "queues in this IPC namespace");
        if (error.os_error() == EINVAL) {
            sysctl(report, "fs.mqueue.msg_max", "/proc/sys/fs/mqueue/msg_max", "messages in a queue");
            sysctl(report, "fs.mqueue.msgsize_max", "/proc/sys/fs/mqueue/msgsize_max", "bytes in one message");
        }
    }
}

void semaphore(limit_report& report, std::string_view call, const kith::error& error) {
    if (!call.starts_with("sem")) return;
    const bool by_limits = call.starts_with("semget") && (error.os_error() == ENOSPC || error.os_error() == EINVAL);
    const bool by_count = call.starts_with("sem") && error.os_error() == E2BIG;
    if (by_limits || by_count)
        sysctl(report, "kernel.sem", "/proc/sys/kernel/sem",
               "semaphores in a set, semaphores in all, operations in one call, sets");
    if (call.starts_with("semget") && error.os_error() == ENOSPC)
        report.tries.emplace_back("ipcs -s   lists the sets, kith rm removes one");
}

void shared_memory(limit_report& report, std::string_view call, const kith::error& error) {
    if (call.starts_with("shmget")) {
        if (error.os_error() == ENOSPC) {
            sysctl(report, "kernel.shmmni", "/proc/sys/kernel/shmmni", "segments in this IPC namespace");
            sysctl(report, "kernel.shmall", "/proc/sys/kernel/shmall", "pages in all segments");
            report.tries.emplace_back("ipcs -m   lists the segments, kith rm removes one");
        }
        if (error.os_error() == EINVAL)
            sysctl(report, "kernel.shmmax", "/proc/sys/kernel/shmmax", "bytes in one segment");
    }
    if (error.os_error() == ENOSPC && (call.find("fallocate") != call.npos || call.starts_with("shm_open") ||
                                       call.starts_with("sem_open") || call.starts_with("ftruncate")))
        dev_shm(report);
    if (call.find("SHM_LOCK") != call.npos || call.starts_with("mlock"))
        rlimit_of(report, RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", "locked bytes", "-l");
}

void descriptors_and_buffers(limit_report& report, std::string_view call, const kith::error& error) {
    if (error.os_error() == ENAMETOOLONG)
        report.limits.push_back(fmt::format(
            "NAME_MAX is {}, PATH_MAX {} (bytes of a name between slashes, and of a whole path)", NAME_MAX, PATH_MAX));
    if (error.os_error() == EMFILE && !call.starts_with("mq_open"))
        rlimit_of(report, RLIMIT_NOFILE, "RLIMIT_NOFILE", "descriptors of this process", "-n");
    if (error.os_error() == ENFILE)
        sysctl(report, "fs.file-max", "/proc/sys/fs/file-max", "open files of the whole machine");
    if (call.find("PIPE_SZ") != call.npos && error.os_error() == EPERM)
        sysctl(report, "fs.pipe-max-size", "/proc/sys/fs/pipe-max-size", "bytes in one pipe without CAP_SYS_RESOURCE");
    if (call.starts_with("send") && error.os_error() == EMSGSIZE)
        sysctl(report, "net.core.wmem_max", "/proc/sys/net/core/wmem_max", "largest send buffer of a socket in bytes");
}

}  // namespace

limit_report explain_limits(const kith::error& error) {
    limit_report report;
    const std::string_view call = error.operation();
    message_queue(report, call, error);
    semaphore(report, call, error);
    shared_memory(report, call, error);
    descriptors_and_buffers(report, call, error);
    return report;
}

}  // namespace kith_cli
