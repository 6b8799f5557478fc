#include "command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <kith/sys/pipe.hpp>

#include "messages.hpp"

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

outcome<filtered> run_filter(const std::vector<std::string>& words, kith::byte_view in, std::size_t most) {
    auto to = kith::sys::open_pipe();
    if (!to) return pass_on(to);
    auto from = kith::sys::open_pipe();
    if (!from) return pass_on(from);
    // The command's ends must wait as every program expects; ours must not.
    for (const int fd : {to->reader.native().get(), from->writer.native().get()})
        ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    const auto pid = start_command(words, to->reader.native().get(), from->writer.native().get());
    if (!pid) return pass_on(pid);
    to->reader.close();
    from->writer.close();

    filtered result;
    std::array<std::byte, 65536> piece;
    for (bool open = true; open;) {
        if (in.empty()) to->writer.close();
        pollfd both[2] = {{from->reader.native().get(), POLLIN, 0}, {to->writer.native().get(), POLLOUT, 0}};
        if (::poll(both, 2, -1) < 0 && errno != EINTR) break;
        if (both[1].revents != 0) {
            const auto count = to->writer.write_some(in, kith::deadline::immediate());
            if (count)
                in = in.subspan(*count);
            else if (count.error().code() != kith::errc::would_block)
                in = {};  // it has read what it wants
        }
        if (both[0].revents == 0) continue;
        const auto count = from->reader.read_some(piece, kith::deadline::immediate());
        if (count)
            result.out.insert(result.out.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*count));
        open = count || count.error().code() == kith::errc::would_block;
        if (result.out.size() > most) break;
    }
    from->reader.close();
    to->writer.close();
    result.status = end_of_command(*pid);
    if (result.out.size() > most)
        return refuse(kith::errc::too_long, "read", fmt::format("its output is longer than {}", size_text(most)));
    return result;
}

int command_not_started(session& s, const std::vector<std::string>& words, const failure& why) {
    s.fail("start", words[0], why);
    return why.cause.os_error() == ENOENT ? exit_not_found : exit_not_executable;
}

}  // namespace kith_cli
