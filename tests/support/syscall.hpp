// syscall - the system call that a process sleeps in, with its arguments; and system calls made to be missing.
#pragma once
#include <sys/types.h>
#include <array>
#include <cstdint>
#include <ctime>
#include <initializer_list>
#include <optional>

namespace kith_test {

/// What /proc/PID/syscall tells about a process that sleeps in a system call.
struct sleeping_call {
    long number = -1;
    std::array<std::uint64_t, 6> arguments{};
};
std::optional<sleeping_call> sleeping_in(pid_t pid);

/// The timespec at an address of another process (a child).
timespec time_at(pid_t pid, std::uint64_t address);

/// From now on these calls fail with `os_error` in this thread and what it starts: a kernel that lacks them.
bool deny_syscalls(std::initializer_list<long> numbers, int os_error);

}  // namespace kith_test
