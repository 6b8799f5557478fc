// The kith command: reads the command line, runs one verb, ends with its status.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <kith/version.hpp>
#include <new>

#include "complete.hpp"
#include "help.hpp"
#include "session.hpp"
#include "tour/peer.hpp"
#include "verbs/verbs.hpp"

namespace {

using namespace kith_cli;

// A closed standard descriptor stays closed in effect (reads and writes are EBADF, children do not get it), but
// its number is taken: nothing that is opened later may end up as "standard output".
void hold_standard_numbers() {
    for (int fd = 0; fd <= 2; ++fd)
        if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) [[maybe_unused]]
            const int held = ::open("/", O_PATH | O_CLOEXEC);
}

const CLI::App* verb_of(const CLI::App& app, const std::vector<std::string>& words) {
    const CLI::App* verb = &app;
    for (const auto& word : words) {
        if (word.starts_with('-')) continue;
        const auto named = verb->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; });
        if (named.empty()) break;
        verb = named.front();
    }
    return verb;
}

/// The word that should have been a verb and is not; empty if there is none.
std::string unknown_verb(const CLI::App& verb, const std::vector<std::string>& words) {
    if (verb.get_subcommands([](const CLI::App*) { return true; }).empty()) return {};
    for (const auto& word : words)
        if (!word.starts_with('-') && word != verb.get_name()) return word;
    return {};
}

/// "Could not convert: --type = x", as the parser puts it, in kith's words.
std::string unreadable(const CLI::App& verb, const std::string& sentence) {
    static constexpr std::string_view start = "Could not convert: ";
    const auto sign = sentence.find(" = ");
    if (!sentence.starts_with(start) || sign == sentence.npos) return sentence;
    const auto name = sentence.substr(start.size(), sign - start.size());
    const auto* option = verb.get_option_no_throw(name);
    const auto type = option != nullptr ? option->get_type_name() : std::string{};
    const auto wanted = type.starts_with("N,") ? std::string{"a list of numbers, as 1,0,5"}
                        : type == "N"          ? std::string{"a number, or it is too large"}
                        : option != nullptr    ? option->get_description()
                                               : std::string{"what it takes"};
    return fmt::format("{}: '{}' is not {}", name, sentence.substr(sign + 3), wanted);
}

int misused(session& s, const CLI::App& app, const std::vector<std::string>& words, const CLI::ParseError& error) {
    const auto& verb = *verb_of(app, words);
    const auto name = full_name(verb).empty() ? std::string{"kith"} : "kith " + full_name(verb);
    // The parser may have stopped before it came to these.
    s.json = s.json || std::ranges::find(words, "--json") != words.end();
    s.quiet = s.quiet || std::ranges::find(words, "--quiet") != words.end();
    std::string sentence = error.what();
    if (const auto word = unknown_verb(verb, words); !word.empty())
        sentence = fmt::format("'{}' is not a verb of {}", word, name);
    else if (error.get_name() == "RequiredError" && !verb.get_subcommands([](const CLI::App*) { return true; }).empty())
        sentence = "a verb is missing";
    else if (error.get_name() == "RequiredError" && sentence.ends_with(" is required"))
        sentence.replace(sentence.size() - 12, 12, " is missing");
    else if (error.get_name() == "ConversionError")
        sentence = unreadable(verb, sentence);
    std::ranges::replace(sentence, '\n', ' ');
    while (sentence.ends_with(' ')) sentence.pop_back();
    return s.misuse(sentence, name + " --help");
}

/// kith __man: the names of all verbs; kith __man VERB PROSE DATE: the man page. For the build of the documentation.
int print_man_page(session& s, const CLI::App& app, const std::vector<std::string>& words) {
    if (words.size() == 1) {
        for (const auto* verb : app.get_subcommands([](const CLI::App*) { return true; }))
            if (!s.write(verb->get_name() + '\n')) return exit_failed;
        return exit_done;
    }
    if (words.size() != 4) return s.misuse("__man takes a verb, a file and a date");
    const auto& verb = *verb_of(app, {words[1]});
    if (full_name(verb) != words[1]) return s.misuse(fmt::format("'{}' is not a verb of kith", words[1]));
    std::ifstream file{words[2]};
    const std::string prose{std::istreambuf_iterator<char>{file}, {}};
    if (!file) return s.misuse(fmt::format("'{}' cannot be read", words[2]));
    return s.write(man_page(verb, prose, words[3])) ? exit_done : exit_failed;
}

int run(int argc, char** argv) {
    if (argc > 1 && argv[1] == tour::peer_word) return tour::run_peer({argv + 2, argv + argc});
    session s;
    CLI::App app{"every way two processes can talk", "kith"};
    add_app_options(app, s);
    add_all_verbs(app, s);

    std::vector<std::string> words{argv + 1, argv + argc};
    const auto dashes = std::ranges::find(words, "--");
    if (dashes != words.end() && takes_command(*verb_of(app, {words.begin(), dashes}))) {
        s.command.assign(dashes + 1, words.end());
        words.erase(dashes, words.end());
    }
    if (!words.empty() && words[0] == "__man") return print_man_page(s, app, words);
    if (!words.empty() && words[0] == "__complete") return print_completions(s, app, {words.begin() + 1, words.end()});
    try {
        app.parse(std::vector<std::string>{words.rbegin(), words.rend()});  // the parser takes them from the end
    } catch (const CLI::CallForHelp& help) {
        return print_help(s, *verb_of(app, words));
    } catch (const CLI::CallForVersion&) {
        return s.write("kith " KITH_VERSION_STRING "\n") ? exit_done : exit_failed;
    } catch (const CLI::ParseError& error) {
        return misused(s, app, words, error);
    }
    return s.status;
}

}  // namespace

int main(int argc, char** argv) {
    hold_standard_numbers();
    // A reader that went away is an error to report, not a silent death. COMMANDs get the default back.
    ::signal(SIGPIPE, SIG_IGN);
    int status = 0;
    int signal = 0;
    try {
        status = run(argc, argv);
    } catch (const std::bad_alloc&) {
        [[maybe_unused]] const auto said = ::write(2, "kith: out of memory\n", 20);
        status = exit_failed;
    }
    signal = session::caught_signal();
    if (signal != 0) die_of(signal);
    return status;
}
