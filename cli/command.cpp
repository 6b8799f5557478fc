#include "command.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <kith/sys/pipe.hpp>
#include <string_view>

#include "exit.hpp"
#include "messages.hpp"

namespace kith_cli {

outcome<kith::sys::child_process> start_command(const std::vector<std::string>& words, kith::borrowed_fd in,
                                                kith::borrowed_fd out) {
    const std::vector<std::string_view> arguments{words.begin() + 1, words.end()};
    std::vector<kith::sys::descriptor_for_child> numbers;
    if (in.valid()) numbers.push_back({in, 0});
    if (out.valid()) numbers.push_back({out, 1});
    std::signal(SIGCHLD, SIG_DFL);  // ignored, as some callers leave it, it would take away the status
    auto started = kith::sys::spawn(words[0], arguments, {.descriptors = numbers});
    if (started) return std::move(*started);
    const auto& error = started.error();
    failure why{error};
    switch (error.code()) {
    case kith::errc::not_found:
        why.reason = "no such program in PATH";
        why.tries.emplace_back("its path, with a slash in it, or another PATH");
        break;
    case kith::errc::not_permitted:
    case kith::errc::wrong_kind: why.reason = "it is not executable"; break;
    default: break;
    }
    return std::unexpected{std::move(why)};
}

bool is_no_program(const failure& why) {
    return why.cause.code() == kith::errc::not_found || why.cause.code() == kith::errc::not_permitted ||
           why.cause.code() == kith::errc::wrong_kind;
}

outcome<filtered> run_filter(const std::vector<std::string>& words, kith::byte_view in, std::size_t most) {
    auto to = kith::sys::open_pipe();
    if (!to) return pass_on(to);
    auto from = kith::sys::open_pipe();
    if (!from) return pass_on(from);
    auto command = start_command(words, to->reader.native(), from->writer.native());
    if (!command) return pass_on(command);
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
    const auto ended = command->wait();
    if (!ended) return pass_on(ended);
    result.ended = *ended;
    if (result.out.size() > most)
        return refuse(kith::errc::too_long, "read", fmt::format("its output is longer than {}", size_text(most)));
    return result;
}

int command_not_started(session& s, const std::vector<std::string>& words, const failure& why) {
    s.fail("start", words[0], why);
    return why.cause.code() == kith::errc::not_found ? exit_not_found : exit_not_executable;
}

}  // namespace kith_cli
