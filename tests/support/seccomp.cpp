#include "support/seccomp.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <cstddef>

namespace kith_test {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t this_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t this_architecture = AUDIT_ARCH_AARCH64;
#endif

constexpr std::uint32_t at(std::size_t offset) { return static_cast<std::uint32_t>(offset); }

sock_filter load(std::uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter answer(std::uint32_t value) { return BPF_STMT(BPF_RET | BPF_K, value); }
sock_filter skip_unless(std::uint32_t value, std::uint8_t statements) {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, statements);
}

}  // namespace

bool deny(const std::vector<denied_call>& calls) {
    std::vector<sock_filter> program{
        load(at(offsetof(seccomp_data, arch))),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, this_architecture, 1, 0),
        answer(SECCOMP_RET_ALLOW),
    };
    for (const auto& call : calls) {
        program.push_back(load(at(offsetof(seccomp_data, nr))));
        program.push_back(skip_unless(static_cast<std::uint32_t>(call.number), call.mask != 0 ? 4 : 1));
        if (call.mask != 0) {
            // The low half of the argument comes first: the platform is little-endian.
            program.push_back(load(at(offsetof(seccomp_data, args)) + 8U * static_cast<std::uint32_t>(call.argument)));
            program.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, call.mask));
            program.push_back(skip_unless(call.value, 1));
        }
        program.push_back(answer(SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(call.os_error)));
    }
    program.push_back(answer(SECCOMP_RET_ALLOW));
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

}  // namespace kith_test
