#include "help.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <cctype>
#include <iterator>
#include <kith/version.hpp>

#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

using verbs = std::vector<const CLI::App*>;

verbs verbs_of(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* verb) { return !verb->get_name().empty(); });
}

std::vector<const CLI::Option*> options_of(const CLI::App& verb, bool positional) {
    return verb.get_options([&](const CLI::Option* option) { return option->get_positional() == positional; });
}

bool is_flag(const CLI::Option& option) { return option.get_expected_max() == 0; }
bool is_common(const CLI::Option& option) {
    for (const auto& name : option.get_lnames())
        if (name == "help" || name == "json" || name == "quiet" || name == "verbose") return true;
    return false;
}
bool repeats(const CLI::Option& option) {
    return option.get_items_expected_max() > 1 && option.get_delimiter() == '\0';
}

/// " N" or "[=INDEX]" or nothing.
std::string value_of(const CLI::Option& option) {
    const auto type = option.get_type_name();
    if (type.empty() || (is_flag(option) && !type.starts_with('['))) return {};
    return type.starts_with('[') ? type : ' ' + type;
}

std::string names_of(const CLI::Option& option) {
    std::string names;
    for (const auto& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
    for (const auto& name : option.get_lnames()) names += (names.empty() ? "--" : ", --") + name;
    return names;
}

/// "ADDR", "[TEXT]", "WORD ...".
std::string positional_of(const CLI::Option& option) {
    const auto name = option.get_single_name() + (repeats(option) ? " ..." : "");
    return option.get_required() ? name : '[' + name + ']';
}

std::string usage_of(const CLI::App& verb) {
    auto usage = "kith " + full_name(verb);
    if (usage.ends_with(' ')) usage.pop_back();
    for (const auto* option : options_of(verb, true)) usage += ' ' + positional_of(*option);
    if (!verbs_of(verb).empty()) usage += " VERB ...";
    usage += " [OPTIONS]";
    if (takes_command(verb)) usage += needs_command(verb) ? " -- COMMAND ..." : " [-- COMMAND ...]";
    return usage;
}

void append_rows(std::string& text, const std::vector<std::pair<std::string, std::string>>& rows) {
    if (rows.empty()) return;
    std::size_t width = 0;
    for (const auto& row : rows) width = std::max(width, std::min<std::size_t>(row.first.size(), 24));
    text += '\n';
    for (const auto& [label, meaning] : rows) {
        if (label.size() > width)
            fmt::format_to(std::back_inserter(text), "  {}\n  {:<{}}  {}\n", label, "", width, meaning);
        else
            fmt::format_to(std::back_inserter(text), "  {:<{}}  {}\n", label, width, meaning);
    }
}

// In mdoc: what could be read as a macro or an escape is written so that it is not.
std::string mdoc_text(std::string_view text) {
    std::string out;
    for (const char c : text) out += c == '\\' ? std::string{"\\e"} : std::string{c};
    if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
    return out;
}

/// A phrase as a sentence, in lines that mandoc's style check accepts.
std::string mdoc_sentence(std::string_view phrase) {
    auto text = mdoc_text(phrase);
    if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    text += ".\n";
    constexpr std::size_t width = 78;
    for (std::size_t line = 0; text.size() - line > width;) {
        const auto space = text.rfind(' ', line + width);
        if (space == std::string::npos || space <= line) break;
        text[space] = '\n';
        line = space + 1;
    }
    return text;
}

std::string mdoc_option(const CLI::Option& option, const std::string& name, bool is_long) {
    auto text = fmt::format("Fl {}{}", is_long ? "-" : "", name);
    const auto value = value_of(option);
    if (value.starts_with('['))
        text += fmt::format(" Ns Op = Ns Ar {}", value.substr(2, value.size() - 3));
    else if (!value.empty())
        text += fmt::format(" Ar {}", value.substr(1));
    return text;
}

std::string mdoc_synopsis(const CLI::App& verb) {
    if (!verbs_of(verb).empty() && verb.get_parent() != nullptr) {
        std::string all;
        for (const auto* sub : verbs_of(verb)) all += mdoc_synopsis(*sub);
        return all;
    }
    std::string text = ".Nm kith\n";
    if (const auto name = full_name(verb); !name.empty()) text += ".Cm " + name + '\n';
    for (const auto* option : options_of(verb, true))
        text += fmt::format("{} {}{}\n", option->get_required() ? ".Ar" : ".Op Ar", option->get_single_name(),
                            repeats(*option) ? " ..." : "");
    for (const auto* option : options_of(verb, false)) {
        if (is_common(*option)) continue;
        const bool is_long = !option->get_lnames().empty();
        text +=
            ".Op " + mdoc_option(*option, is_long ? option->get_lnames()[0] : option->get_snames()[0], is_long) + '\n';
    }
    if (verb.get_parent() == nullptr) text += ".Ar VERB\n.Op Ar ARGUMENTS\n";
    if (takes_command(verb)) text += needs_command(verb) ? ".Cm --\n.Ar COMMAND ...\n" : ".Op Cm -- Ar COMMAND ...\n";
    return text;
}

std::string mdoc_options(const CLI::App& verb) {
    if (!verbs_of(verb).empty() && verb.get_parent() != nullptr) {
        std::string all;
        for (const auto* sub : verbs_of(verb))
            all += fmt::format(".Ss kith {}\n", full_name(*sub)) + mdoc_sentence(sub->get_description()) +
                   mdoc_options(*sub);
        return all;
    }
    std::string text = ".Bl -tag -width Ds\n";
    for (const auto* option : options_of(verb, true))
        text += fmt::format(".It Ar {}{}\n", option->get_single_name(), repeats(*option) ? " ..." : "") +
                mdoc_sentence(option->get_description());
    for (const auto* option : options_of(verb, false)) {
        std::string names;
        for (const auto& name : option->get_snames())
            names += (names.empty() ? "" : " , ") + mdoc_option(*option, name, false);
        for (const auto& name : option->get_lnames())
            names += (names.empty() ? "" : " , ") + mdoc_option(*option, name, true);
        text += ".It " + names + '\n' + mdoc_sentence(option->get_description());
    }
    return text + ".El\n";
}

std::string mdoc_verbs(const CLI::App& app) {
    std::string text = ".Bl -tag -width connect\n";
    for (const auto* verb : verbs_of(app))
        text += fmt::format(".It Cm {}\n", verb->get_name()) + mdoc_sentence(verb->get_description());
    return text + ".El\n";
}

constexpr std::string_view mdoc_exit =
    ".Sh EXIT STATUS\n"
    ".Bl -tag -width 126/127 -compact\n"
    ".It 0\nDone.\n"
    ".It 1\nFailed.\n"
    ".It 2\nMisused: this command line can never work.\n"
    ".It 3\nNothing there now, or no room, and\n.Fl -no-wait\nwas given.\n"
    ".It 4\nEnded: end of the stream, object removed, other side gone; the key\n.Dq code\nof\n.Fl -json\nsays which.\n"
    ".It 124\nThe time of\n.Fl -timeout\nis up.\n"
    ".It 126 , 127\nThe\n.Ar COMMAND\ncould not be started, or was not found.\n"
    ".It 128+N\nEnded by signal\n.Ar N .\n"
    ".El\n";

}  // namespace

std::string full_name(const CLI::App& verb) {
    const auto* parent = verb.get_parent();
    if (parent == nullptr) return {};
    const auto above = full_name(*parent);
    return above.empty() ? verb.get_name() : above + ' ' + verb.get_name();
}

std::string help_text(const CLI::App& verb) {
    const auto name = full_name(verb);
    auto text = fmt::format("{}{} - {}\n\nusage: {}\n", name.empty() ? "kith" : "kith ", name, verb.get_description(),
                            usage_of(verb));
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto* sub : verbs_of(verb)) rows.emplace_back(sub->get_name(), sub->get_description());
    for (const auto* option : options_of(verb, true))
        rows.emplace_back(option->get_single_name(), option->get_description());
    append_rows(text, rows);
    rows.clear();
    for (const auto* option : options_of(verb, false))
        if (!is_common(*option)) rows.emplace_back(names_of(*option) + value_of(*option), option->get_description());
    append_rows(text, rows);
    rows.clear();
    for (const auto* option : options_of(verb, false))
        if (is_common(*option)) rows.emplace_back(names_of(*option), option->get_description());
    append_rows(text, rows);
    const auto page = name.empty() ? std::string{"kith"} : "kith-" + name.substr(0, name.find(' '));
    return text + fmt::format("\nMore: man {}, man kith_addresses\n", page);
}

std::string man_page(const CLI::App& verb, std::string_view prose, std::string_view date) {
    const auto name = full_name(verb);
    const auto page = name.empty() ? std::string{"kith"} : "kith-" + name;
    std::string title = page;
    std::ranges::transform(title, title.begin(),
                           [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
    std::string purpose = verb.get_description();
    if (purpose.ends_with('.')) purpose.pop_back();
    auto text = fmt::format(".Dd {}\n.Dt {} 1\n.Os kith {}\n.Sh NAME\n.Nm {}\n.Nd {}\n.Sh SYNOPSIS\n{}", date, title,
                            KITH_VERSION_STRING, page, mdoc_text(purpose), mdoc_synopsis(verb));
    while (!prose.empty()) {
        const auto end = std::min(prose.find('\n'), prose.size());
        const auto line = prose.substr(0, end);
        if (line == "@OPTIONS@")
            text += ".Sh OPTIONS\n" + mdoc_options(verb);
        else if (line == "@VERBS@")
            text += mdoc_verbs(verb);
        else if (line == "@EXIT@")
            text += mdoc_exit;
        else
            text += std::string{line} + '\n';
        prose.remove_prefix(std::min(end + 1, prose.size()));
    }
    return text;
}

}  // namespace kith_cli
