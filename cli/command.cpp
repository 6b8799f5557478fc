#include "command.hpp"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>

namespace kith_cli {

outcome<pid_t> start_command(const std::vector<std::string>& words, int in, int out) {
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    if (in >= 0) posix_spawn_file_actions_adddup2(&files, in, 0);
    if (out >= 0) posix_spawn_file_actions_adddup2(&files, out, 1);

    // What this process blocks and ignores would be inherited.
    sigset_t none;
    sigset_t pipe;
    sigemptyset(&none);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &pipe);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    pid_t pid = -1;
    const int os_error = ::posix_spawnp(&pid, argv[0], &files, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (os_error == 0) return pid;
    const auto code = os_error == ENOENT   ? kith::errc::not_found
                      : os_error == EACCES ? kith::errc::not_permitted
                      : os_error == E2BIG  ? kith::errc::too_long
                                           : kith::errc::io;
    const auto* reason = os_error == ENOENT   ? "no such program in PATH"
                         : os_error == EACCES ? "it is not executable"
                                              : "";
    return std::unexpected{
        failure{kith::error{code, "posix_spawnp", os_error, kith::object_ref::name(words[0])}, reason}};
}

int end_of_command(pid_t pid) {
    int raw = 0;
    while (::waitpid(pid, &raw, 0) < 0)
        if (errno != EINTR) return exit_failed;
    return WIFEXITED(raw) ? WEXITSTATUS(raw) : exit_signal_base + WTERMSIG(raw);
}

int command_not_started(session& s, const std::vector<std::string>& words, const failure& why) {
    s.fail("start", words[0], why);
    return why.cause.os_error() == ENOENT ? exit_not_found : exit_not_executable;
}

}  // namespace kith_cli
