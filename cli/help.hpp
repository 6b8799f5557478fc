// help - the help texts and the generated parts of the man pages, both from the command-line model, so that they
// cannot differ.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace kith_cli {

/// "send", "sem op"; empty for the app itself.
[[nodiscard]] std::string full_name(const CLI::App& verb);
/// What --help prints.
[[nodiscard]] std::string help_text(const CLI::App& verb);
/// The whole man page in mdoc(7): head, NAME and SYNOPSIS, then `prose` with its lines @OPTIONS@, @VERBS@ and
/// @EXIT@ replaced by what the model says.
[[nodiscard]] std::string man_page(const CLI::App& verb, std::string_view prose, std::string_view date);

}  // namespace kith_cli
