#include "backends/backend.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

int run_peer(session& s, const std::string& text) {
    const auto where = s.address(text);
    if (!where) return exit_misused;
    const auto who = backend_for(where->mechanism()).peer(*where, s.wait());
    if (!who) return s.fail("ask who is at", text, who.error());
    return s.print(*who);
}

}  // namespace

void add_peer(CLI::App& app, session& s) {
    const auto where = std::make_shared<std::string>();
    auto& verb = add_verb(app, s, "peer", "tell pid, uid and gid of the process at the other end of a socket",
                          [&s, where] { return run_peer(s, *where); });
    add_address(verb, *where);
    add_wait_options(verb, s);
}

}  // namespace kith_cli
