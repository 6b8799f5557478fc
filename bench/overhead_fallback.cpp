// A program of its own: writes to a pipe on a kernel without RWF_NOSIGNAL. A seccomp filter takes pwritev2 away, which
// costs every call of the program a little, the bare ones too.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <cerrno>
#include <cstddef>

#include "pipe_pairs.hpp"

namespace {

void take_pwritev2_away() {
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{.len = sizeof code / sizeof code[0], .filter = code};
    kith_bench::must_be(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    kith_bench::must_be(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

}  // namespace

int main(int argc, char** argv) {
    take_pwritev2_away();
    const kith_bench::pair write{"pipe write_some 1 B, without RWF_NOSIGNAL", kith_bench::bare_write,
                                 kith_bench::kith_write};
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
}
