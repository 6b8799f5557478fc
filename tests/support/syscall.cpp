#include "support/syscall.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

namespace kith_test {

std::optional<sleeping_call> sleeping_in(pid_t pid) {
    std::ifstream file{"/proc/" + std::to_string(pid) + "/syscall"};
    sleeping_call call;
    if (!(file >> call.number)) return std::nullopt;
    for (auto& argument : call.arguments) {
        std::string text;
        file >> text;
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

bool deny_syscalls(std::initializer_list<long> numbers, int os_error) {
    std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (const long number : numbers) {
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1));
        program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(os_error)));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog filter{.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace kith_test
