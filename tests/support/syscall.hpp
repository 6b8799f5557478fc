// syscall - the system call that a process sleeps in, with its arguments.
#pragma once
#include <sys/types.h>
#include <array>
#include <cstdint>
#include <ctime>
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

}  // namespace kith_test
