// verbs - how a verb joins the command. One file per verb: cli/verbs/<verb>.cpp defines add_<verb>(), which is
// declared below and called from table.cpp.
//
//     void add_drain(CLI::App& app, session& s) {
//         const auto where = std::make_shared<std::string>();
//         auto& verb = add_verb(app, s, "drain", "remove all messages and print how many there were",
//                               [&s, where] { return run_drain(s, *where); });
//         add_address(verb, *where);
//     }
//
// Option variables live in a shared_ptr that the callback holds. Help, man page and completion come from this model:
// every option needs a description, one lower-case phrase without full stop. Prose and examples of the man page are
// written by hand in docs/man/man1/kith-<verb>.mdoc.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "session.hpp"

namespace kith_cli {

/// Adds the verb `name` with --json, --quiet and --verbose. `parent` is the app, or a group from add_group.
/// `run` returns the exit status.
CLI::App& add_verb(CLI::App& parent, session& s, const std::string& name, const std::string& purpose,
                   std::function<int()> run);
/// Adds a verb that only holds others: `kith sem op`, `kith sem get` ...
CLI::App& add_group(CLI::App& app, const std::string& name, const std::string& purpose);

/// What the app itself takes: --json, --quiet, --verbose and --version.
void add_app_options(CLI::App& app, session& s);
/// Prints the help of a verb, a group or the app on stdout; returns the exit status.
int print_help(session& s, const CLI::App& verb);

/// Adds --no-wait and --timeout D.
void add_wait_options(CLI::App& verb, session& s);
/// Adds the positional ADDR.
CLI::Option* add_address(CLI::App& verb, std::string& text);
/// Adds an option that takes a size in bytes, with K, M, G (powers of 1024).
CLI::Option* add_size(CLI::App& verb, const std::string& name, std::optional<std::uint64_t>& size,
                      const std::string& purpose);
/// Adds an option that takes a permission mode in octal.
CLI::Option* add_mode(CLI::App& verb, std::optional<unsigned>& mode);
/// Makes the verb take `-- COMMAND...`: main() puts the words after `--` into session::command, unseen by the parser.
enum class command_words : bool { optional, required };
void take_command(CLI::App& verb, command_words words = command_words::required);
[[nodiscard]] bool takes_command(const CLI::App& verb);
[[nodiscard]] bool needs_command(const CLI::App& verb);

/// Adds every verb; table.cpp.
void add_all_verbs(CLI::App& app, session& s);

// One per verb, in the order of the help.
void add_create(CLI::App& app, session& s);
void add_rm(CLI::App& app, session& s);
void add_show(CLI::App& app, session& s);
void add_drain(CLI::App& app, session& s);
void add_send(CLI::App& app, session& s);
void add_recv(CLI::App& app, session& s);
void add_sem(CLI::App& app, session& s);
void add_shm(CLI::App& app, session& s);
void add_fd(CLI::App& app, session& s);
void add_peer(CLI::App& app, session& s);
void add_wait(CLI::App& app, session& s);
void add_eventfd(CLI::App& app, session& s);
void add_listen(CLI::App& app, session& s);
void add_connect(CLI::App& app, session& s);
void add_serve(CLI::App& app, session& s);
void add_call(CLI::App& app, session& s);
void add_tour(CLI::App& app, session& s);
void add_version(CLI::App& app, session& s);

}  // namespace kith_cli
