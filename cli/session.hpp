// session - one run of the command: what the options common to all verbs say, where output goes, how to fail.
//
// A verb's function gets what it needs from here and returns an exit status:
//
//     int run_show(session& s, const std::string& text) {
//         const auto where = s.address(text);
//         if (!where) return exit_misused;                       // said already
//         auto seen = backend_for(where->mechanism()).show(*where);
//         if (!seen) return s.fail("show", text, seen.error());  // "kith: cannot show 'fifo:/x': ..."
//         return s.print(*seen);
//     }
#pragma once
#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <kith/address.hpp>
#include <kith/bytes.hpp>
#include <kith/time.hpp>

#include "exit.hpp"
#include "facts.hpp"
#include "failure.hpp"

namespace kith_cli {

class session {
public:
    // What the common options said. Filled by the parser before a verb runs.
    std::string verb;  ///< "send", "sem op"; set by add_verb
    bool json = false;
    bool quiet = false;
    bool verbose = false;
    bool no_wait = false;
    std::optional<std::int64_t> timeout_ns;
    std::vector<std::string> command;  ///< what followed `--`, for the verbs that take a COMMAND
    int status = exit_done;            ///< what the verb returned

    session() = default;
    session(const session&) = delete;
    session& operator=(const session&) = delete;
    ~session() = default;

    /// How one wait may go: --no-wait, or --timeout from this call on, or for ever; and, after catch_signals(), until
    /// a signal asks it to stop. Ask anew for each message: the time-out is for each of them.
    [[nodiscard]] kith::wait_policy wait() const;
    /// For verbs that have something to take back when SIGINT, SIGTERM or SIGHUP comes (a socket path, a private
    /// queue): from now on these make waits end with `errc::stopped`; return as usual, so that destructors
    /// run; main() then dies of that signal. A second one, a second later or more, ends the process at once. What
    /// the caller ignores stays ignored. Costs a thread, and turns the waits of mechanisms without descriptors into
    /// repeated looks: verbs with nothing to take back do without it and simply die. Call it before anything is
    /// opened.
    void catch_signals();
    /// The signal that was caught; 0 if none.
    [[nodiscard]] static int caught_signal();
    /// How to wait for what is not the object's business (standard input and output): until stopped.
    [[nodiscard]] kith::wait_policy patient() const;
    /// A descriptor that becomes readable at that signal, for poll(2); -1 before catch_signals().
    [[nodiscard]] static int stop_descriptor();
    /// The stop token of catch_signals(), for verbs with threads.
    [[nodiscard]] const std::stop_token& stop() const { return stop_; }

    /// Reads an address of a scheme that the verb works on; what is wrong with it has been reported if there is none
    /// (return exit_misused).
    [[nodiscard]] std::optional<kith::address> address(const std::string& text);

    /// Reports "kith: cannot <action> '<object>': <why>" with its details on stderr, or the JSON object, and returns
    /// the exit status for it. An end (4) or nothing there (3) is reported like any failure; --quiet silences all
    /// of it. `object` empty: no object in the sentence.
    int fail(std::string_view action, std::string_view object, const failure& why);
    /// Reports a wrong use of the command: "kith: <sentence>", returns exit_misused. `hint`: what to type instead;
    /// without one, the verb's --help.
    int misuse(std::string_view sentence, std::string_view hint = {});

    /// Prints facts on stdout: a table, or with --json one object. Returns exit_done, or fails as write does.
    int print(const facts& what);
    /// Exact bytes to stdout; reports and returns false if that fails. `action` as "write to".
    [[nodiscard]] bool write(kith::byte_view body);
    [[nodiscard]] bool write(std::string_view text) { return write(kith::bytes_of(text)); }
    /// Reports and returns false if stdout is closed: asked before something is taken that could not be printed then.
    [[nodiscard]] bool can_write();
    /// A remark on stderr, with --verbose only.
    void remark(std::string_view sentence) const;
    /// The same, unless --quiet.
    void announce(std::string_view sentence) const;

    /// Reads from stdin what is there, at least one byte, waiting as `wait` says. 0 bytes: the end. A closed stdin
    /// is an error (`invalid`).
    [[nodiscard]] static outcome<std::size_t> read_stdin(kith::byte_span buffer, const kith::wait_policy& wait);

private:
    std::stop_source source_{std::nostopstate};
    std::stop_token stop_;
};

/// Whether the caller left `signal` ignored, as nohup(1) does.
[[nodiscard]] bool is_ignored(int signal);

/// Ends the process by `signal`, as if it had never been caught.
[[noreturn]] void die_of(int signal);

}  // namespace kith_cli
