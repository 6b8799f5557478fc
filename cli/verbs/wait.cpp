#include <kith/sys/pidfd.hpp>

#include "backends/backend.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

int run_wait(session& s, const std::string& text) {
    const auto where = s.address(text);
    if (!where) return exit_misused;
    const auto process = kith::sys::open_pidfd(where->pid());
    if (!process) return s.fail("wait for", text, process.error());
    if (const auto ended = process->wait_for_end(s.wait()); !ended) {
        failure why{ended.error().about(kith::object_ref::process(where->pid()))};
        if (ended.error().code() == kith::errc::would_block) why.reason = "it is still running";
        return s.fail("wait for", text, why);
    }
    if (!s.json) return exit_done;
    return s.print(facts{}.add("pid", where->pid()).add("ended", true));
}

}  // namespace

void add_wait(CLI::App& app, session& s) {
    const auto where = std::make_shared<std::string>();
    auto& verb = add_verb(app, s, "wait", "wait until a process, anybody's, has ended",
                          [&s, where] { return run_wait(s, *where); });
    add_wait_options(verb, s);
    add_address(verb, *where);
}

}  // namespace kith_cli
