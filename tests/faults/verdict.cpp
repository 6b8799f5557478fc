#include "faults/verdict.hpp"

#include <sys/wait.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/errors.hpp"
#include "faults/errnos.hpp"

namespace kith_faults {
namespace {

// What holds for every operation.
const std::vector<allowance> everywhere{
    {SYS_eventfd2, any_error, {}, "a wait without its bell looks again at intervals"},
    {SYS_munmap, any_error, {}, "destructors have nobody to tell"},
    {SYS_futex, ETIMEDOUT, {}, "the clock decides when the time is up"},
    {SYS_openat, EINTR, kith::errc::stopped, "only FIFOs keep open waiting"},
    {SYS_fallocate, EOPNOTSUPP, {}, "posix_fallocate writes instead"},
    {SYS_fallocate, ENOSYS, {}, "posix_fallocate writes instead"},
    {SYS_openat, EISDIR, kith::errc::wrong_kind, "shm_open says it so", EINVAL},
    {SYS_munmap, EINVAL, kith::errc::wrong_size, "sem_open cannot unmap what it made, and says that instead"},
    {SYS_prlimit64, any_error, {}, "an unknown limit is none"},
    {SYS_statx, any_error, {}, "where free space is not known, reserving tells"},
    {SYS_fstatfs, any_error, {}, "where free space is not known, reserving tells"},
    {SYS_sysinfo, any_error, {}, "where free space is not known, reserving tells"},
    {SYS_getrandom, ENOSYS, {}, "the C library has another source"},
    {SYS_madvise, EINVAL, {}, "older kernel: pages are touched instead"},
    {SYS_mmap, EAGAIN, kith::errc::limit_reached, "RLIMIT_MEMLOCK"},
    {SYS_mmap, ENODEV, kith::errc::wrong_kind, "a file that cannot be mapped"},
};

bool is_about(const allowance& may, const fault& planned) {
    return (may.call == any_call || may.call == planned.call) &&
           (may.os_error == any_error || may.os_error == planned.os_error);
}

bool ends_as(const allowance& may, const fault& planned, const report& told) {
    if (!may.code) return told.succeeded;
    const int reported = may.reported == same_error ? planned.os_error : may.reported;
    return !told.succeeded && told.code == *may.code && told.os_error == reported;
}

bool is_right(const entry& one, const fault& planned, const report& told) {
    if (!told.succeeded && told.os_error == planned.os_error && told.code == kith::detail::code_for(planned.os_error) &&
        planned.os_error != EINTR)
        return true;
    // Interrupted calls are made again, calls that would wait wait, and nobody asks what close says.
    if (told.succeeded && (planned.os_error == EINTR || planned.os_error == EAGAIN || planned.call == SYS_close))
        return true;
    const auto allows = [&](const allowance& may) { return is_about(may, planned) && ends_as(may, planned, told); };
    return std::ranges::any_of(one.allowed, allows) || std::ranges::any_of(everywhere, allows);
}

// What cannot be removed stays; that is what the fault says.
bool may_leave_a_name(const entry& one, const fault& planned) {
    return planned.call == SYS_unlink || planned.call == SYS_unlinkat || planned.call == SYS_mq_unlink ||
           std::ranges::any_of(one.allowed,
                               [&](const allowance& may) { return may.leaves_names && is_about(may, planned); });
}

// Unmapping that fails leaves the memory mapped; that is what the fault says.
bool may_leave_a_mapping(long call) { return call == SYS_munmap || call == SYS_shmdt; }

// And so does removing that fails when what was made is to be taken back.
bool may_leave_an_object(std::span<const fault> planned) {
    return planned.size() > 1 &&
           (planned[1].call == SYS_msgctl || planned[1].call == SYS_semctl || planned[1].call == SYS_shmctl);
}

}  // namespace

std::string in_words(std::span<const fault> planned) {
    std::string text;
    for (const auto& one : planned)
        text += (text.empty() ? "" : ", then ") + std::string{name_of_call(one.call)} + " (number " +
                std::to_string(one.occurrence) + ") fails with " + std::string{kith::errno_name(one.os_error)};
    return text;
}

std::string in_words(const report& told) {
    if (told.succeeded) return "the operation succeeds";
    return std::string{"it ends with "} + std::string{kith::name_of(told.code)} + ", " +
           std::string{kith::errno_name(told.os_error)} + " from " + told.operation;
}

std::vector<std::string> judge(const entry& one, std::span<const fault> planned, report told, int status) {
    std::vector<std::string> complaints;
    const auto any = [&](auto&& holds) { return std::ranges::any_of(planned, holds); };
    if (!told.finished) {
        complaints.push_back(in_words(planned) + ": the process ends with " +
                             (WIFSIGNALED(status) ? std::string{"signal "} + ::strsignal(WTERMSIG(status))
                                                  : "status " + std::to_string(WEXITSTATUS(status))));
        return complaints;
    }
    if (!any([&](const fault& each) { return is_right(one, each, told); }))
        complaints.push_back(in_words(planned) + ": " + in_words(told));
    if (any([](const fault& each) { return may_leave_a_mapping(each.call); })) {
        told.after.shared_mappings = told.before.shared_mappings;
        told.after.sysv_segments = told.before.sysv_segments;  // one that was removed lives with its attachment
    }
    if (may_leave_an_object(planned)) {
        told.after.sysv_queues = told.before.sysv_queues;
        told.after.sysv_semaphores = told.before.sysv_semaphores;
        told.after.sysv_segments = told.before.sysv_segments;
    }
    if (any([&](const fault& each) { return may_leave_a_name(one, each); })) told.after.names = told.before.names;
    if (const auto more = surplus(told.before, told.after); !more.empty())
        complaints.push_back(in_words(planned) + ": " + more + " than before");
    return complaints;
}

}  // namespace kith_faults
