// Starting processes, and telling who a process is.
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <kith/sys/process.hpp>
#include <kith/sys/spawn.hpp>

#include "bare_identity.hpp"
#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

// A child with an empty signal mask, SIGPIPE's default and no descriptors but the first three, and a pidfd for it.
int bare_spawn() {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t to_default;
    sigemptyset(&none);
    sigemptyset(&to_default);
    sigaddset(&to_default, SIGPIPE);
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &to_default);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    char program[] = "/bin/true";
    char* arguments[] = {program, nullptr};
    pid_t pid = 0;
    must_be(::posix_spawn(&pid, program, &actions, &attributes, arguments, environ) == 0);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, O_NONBLOCK));
}
void bare_reap(int pidfd) {
    pollfd end{pidfd, POLLIN, 0};
    siginfo_t info{};
    must_be(::poll(&end, 1, -1) == 1);
    must_be(::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) == 0);
}
const pair start = compare(
                       "spawn /bin/true (with a pidfd); collected by bare calls", no_object,
                       [](nothing) {
                           const int pidfd = bare_spawn();
                           bare_reap(pidfd);
                           ::close(pidfd);
                       },
                       [](nothing) {
                           const auto pidfd = must(spawn("/bin/true", {}, {.search_path = false}))->release();
                           bare_reap(pidfd.native().get());
                       })
                       .calls(100);
const pair start_and_wait =
    compare(
        "spawn /bin/true and wait (a look first; eventfd: close() can end the wait)", no_object,
        [](nothing) {
            const int pidfd = bare_spawn();
            siginfo_t info{};
            must_be(::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) == 0 || errno == EAGAIN);
            const int bell = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            if (info.si_pid == 0) bare_reap(pidfd);
            ::close(bell);
            ::close(pidfd);
        },
        [](nothing) {
            auto child = must(spawn("/bin/true", {}, {.search_path = false}));
            must(child->wait());
        })
        .calls(100);

const pair identity = compare(
    "process identity_of (readlink, stat, open, read and close in /proc)", no_object, [](nothing) { bare_identity(); },
    [](nothing) { must(identity_of(::getpid())); });

}  // namespace
