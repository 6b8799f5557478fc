// The kith command: reads the command line, runs one verb, ends with its status.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <CLI/CLI.hpp>
#include <iostream>
#include <new>

#include "session.hpp"
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

int misused(session& s, const CLI::App& app, const std::vector<std::string>& words, const CLI::ParseError& error) {
    const auto* verb = verb_of(app, words);
    std::string name = "kith";
    if (verb != &app)
        name += ' ' + (verb->get_parent() != &app ? verb->get_parent()->get_name() + ' ' : "") + verb->get_name();
    // The parser may have stopped before it came to these.
    s.json = s.json || std::ranges::find(words, "--json") != words.end();
    std::string sentence = error.what();
    std::ranges::replace(sentence, '\n', ' ');
    while (sentence.ends_with(' ')) sentence.pop_back();
    return s.misuse(sentence, name + " --help");
}

int run(int argc, char** argv) {
    session s;
    CLI::App app{"Every way two processes can talk.", "kith"};
    add_app_options(app, s);
    add_all_verbs(app, s);

    std::vector<std::string> words{argv + 1, argv + argc};
    const auto dashes = std::ranges::find(words, "--");
    if (dashes != words.end() && takes_command(*verb_of(app, {words.begin(), dashes}))) {
        s.command.assign(dashes + 1, words.end());
        words.erase(dashes, words.end());
    }
    try {
        app.parse(std::vector<std::string>{words.rbegin(), words.rend()});  // the parser takes them from the end
    } catch (const CLI::CallForHelp& help) {
        return print_help(s, *verb_of(app, words));
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
