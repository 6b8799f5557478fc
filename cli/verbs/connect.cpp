#include "backends/backend.hpp"
#include "relay.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

int run_connect(session& s, const std::string& text) {
    const auto where = s.address(text);
    if (!where) return exit_misused;
    s.catch_signals();
    auto connection = backend_for(where->mechanism()).connect(*where, s.wait());
    if (!connection) return s.fail("connect to", text, connection.error());
    return relay(s, **connection, text);
}

}  // namespace

void add_connect(CLI::App& app, session& s) {
    const auto where = std::make_shared<std::string>();
    auto& verb = add_verb(app, s, "connect", "connect standard input and output to a listener",
                          [&s, where] { return run_connect(s, *where); });
    add_address(verb, *where);
    add_wait_options(verb, s);
}

}  // namespace kith_cli
