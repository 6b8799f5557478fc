// complete - what could stand next on the command line, for the shells: kith __complete -- WORDS...
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "session.hpp"

namespace kith_cli {

/// Prints the candidates for the last word, one a line: the word, a tab, what it is. `words` is "--" and the words
/// after "kith", the last one being what is typed so far, perhaps empty. Candidates are whole words; those that
/// name a scheme end with its colon, and directories with a slash: no space belongs behind them.
int print_completions(session& s, const CLI::App& app, const std::vector<std::string>& words);

}  // namespace kith_cli
