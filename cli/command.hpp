// command - starts the user's COMMAND and tells how it ended, as shells tell it.
#pragma once
#include <sys/types.h>
#include <string>
#include <vector>

#include "backends/backend.hpp"
#include "failure.hpp"
#include "session.hpp"

namespace kith_cli {

/// Starts `words` (found in PATH) with the given standard input and output; -1 leaves the own one. Signal mask and
/// SIGPIPE are as a fresh process has them; descriptors without close-on-exec are inherited as usual.
[[nodiscard]] outcome<pid_t> start_command(const std::vector<std::string>& words, int in = -1, int out = -1);
/// Waits for it: its exit status, or 128 + the signal that ended it.
[[nodiscard]] int end_of_command(pid_t pid);
/// How a filter ended.
struct filtered {
    bytes out;
    int status = 0;  ///< as end_of_command
};
/// Runs `words` with `in` as its standard input and collects its standard output, of at most `most` bytes
/// (`too_long`: it is left to die of its broken pipe). A command that does not read all of `in` is fine.
[[nodiscard]] outcome<filtered> run_filter(const std::vector<std::string>& words, kith::byte_view in, std::size_t most);
/// Reports that COMMAND could not be started; returns 127 (not found) or 126.
[[nodiscard]] int command_not_started(session& s, const std::vector<std::string>& words, const failure& why);

}  // namespace kith_cli
