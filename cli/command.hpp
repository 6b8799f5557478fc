// command - starts the user's COMMAND and tells how it ended, as shells tell it.
#pragma once
#include <string>
#include <vector>

#include <kith/sys/spawn.hpp>

#include "backends/backend.hpp"
#include "failure.hpp"
#include "session.hpp"

namespace kith_cli {

/// Starts `words` (found in PATH) with the given standard input and output, which become blocking; none leaves the
/// own one. Descriptors without close-on-exec are inherited as usual; mask and SIGPIPE are a fresh process's.
[[nodiscard]] outcome<kith::sys::child_process> start_command(const std::vector<std::string>& words,
                                                              kith::borrowed_fd in = {}, kith::borrowed_fd out = {});
/// Whether start_command failed because there is no such program, or none that may be executed: trying again is of
/// no use.
[[nodiscard]] bool is_no_program(const failure& why);
/// How a filter ended.
struct filtered {
    bytes out;
    kith::sys::exit_status ended;
};
/// Runs `words` with `in` as its standard input and collects its standard output, of at most `most` bytes
/// (`too_long`: it is left to die of its broken pipe). A command that does not read all of `in` is fine.
[[nodiscard]] outcome<filtered> run_filter(const std::vector<std::string>& words, kith::byte_view in, std::size_t most);
/// Reports that COMMAND could not be started; returns 127 (not found) or 126.
[[nodiscard]] int command_not_started(session& s, const std::vector<std::string>& words, const failure& why);

}  // namespace kith_cli
