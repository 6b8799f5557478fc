#include "support/syscall.hpp"

#include <sys/uio.h>
#include <fstream>
#include <string>

namespace kith_test {

std::optional<sleeping_call> sleeping_in(pid_t pid) {
    std::ifstream file{"/proc/" + std::to_string(pid) + "/syscall"};
    sleeping_call call;
    // -1: it waits, but not in a system call.
    if (!(file >> call.number) || call.number < 0) return std::nullopt;
    for (auto& argument : call.arguments) {
        std::string text;
        if (!(file >> text)) return std::nullopt;
        argument = std::stoull(text, nullptr, 16);
    }
    return call;
}

timespec time_at(pid_t pid, std::uint64_t address) {
    timespec time{.tv_sec = -1, .tv_nsec = -1};
    const iovec here{&time, sizeof time};
    const iovec there{reinterpret_cast<void*>(address), sizeof time};  // NOLINT(performance-no-int-to-ptr)
    if (::process_vm_readv(pid, &here, 1, &there, 1, 0) != sizeof time) return {.tv_sec = -1, .tv_nsec = -1};
    return time;
}

}  // namespace kith_test
