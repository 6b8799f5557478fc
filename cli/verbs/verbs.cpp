#include "verbs/verbs.hpp"

#include <fmt/format.h>
#include <kith/observer.hpp>

#include "help.hpp"
#include "options.hpp"

namespace kith_cli {
namespace {

// Groups are for the help of the parser, which is not used: here they remember who takes a COMMAND.
const std::string command_group = "COMMAND";
const std::string optional_command_group = "[COMMAND]";

void show_event(const kith::event& what, void* context) noexcept {
    const auto& s = *static_cast<const session*>(context);
    std::string text = fmt::format("note: {} in {}", name_of(what.kind), what.operation);
    if (what.object.what() == kith::object_ref::kind::name)
        text += fmt::format(" on '{}'", what.object.text());
    else if (what.object.what() != kith::object_ref::kind::none)
        text += fmt::format(" on {}", what.object.value());
    if (what.os_error != 0) text += fmt::format(" ({})", kith::errno_name(what.os_error));
    if (what.count != 0) text += fmt::format(", {}", what.count);
    s.remark(text);
}

}  // namespace

namespace {

void add_common_options(CLI::App& app, session& s) {
    app.add_flag("--json", s.json, "print one JSON object per result, also for failures");
    app.add_flag("-q,--quiet", s.quiet, "say nothing on failure; the exit status tells");
    app.add_flag("-v,--verbose", s.verbose, "say on standard error what the library did on the quiet");
}

}  // namespace

void add_app_options(CLI::App& app, session& s) {
    app.set_help_flag("-h,--help", "print this help");
    app.set_version_flag("--version", "", "print the version");
    add_common_options(app, s);
    app.require_subcommand(1);
}

int print_help(session& s, const CLI::App& verb) { return s.write(help_text(verb)) ? exit_done : exit_failed; }

CLI::App& add_verb(CLI::App& parent, session& s, const std::string& name, const std::string& purpose,
                   std::function<int()> run) {
    auto& verb = *parent.add_subcommand(name, purpose);
    verb.set_help_flag("-h,--help", "print this help");
    add_common_options(verb, s);
    verb.callback([&s, &verb, run = std::move(run)] {
        s.verb = full_name(verb);
        if (s.verbose) kith::set_observer(show_event, &s);
        s.status = run();
    });
    return verb;
}

CLI::App& add_group(CLI::App& app, const std::string& name, const std::string& purpose) {
    auto& group = *app.add_subcommand(name, purpose);
    group.set_help_flag("-h,--help", "print this help");
    group.require_subcommand(1);
    return group;
}

void add_wait_options(CLI::App& verb, session& s) {
    auto* no_wait = verb.add_flag("--no-wait", s.no_wait, "do not wait: exit status 3 if nothing can be done now");
    add_duration(verb, "--timeout", s.timeout_ns, "wait for at most this long: exit status 124")->excludes(no_wait);
}

CLI::Option* add_address(CLI::App& verb, std::string& text) {
    return verb.add_option("ADDR", text, "the object, as fifo:/run/x or sysv-mq:0x4b01")->required()->type_name("");
}

void take_command(CLI::App& verb, command_words words) {
    verb.group(words == command_words::required ? command_group : optional_command_group);
}
bool needs_command(const CLI::App& verb) { return verb.get_group() == command_group; }
bool takes_command(const CLI::App& verb) { return needs_command(verb) || verb.get_group() == optional_command_group; }

}  // namespace kith_cli
