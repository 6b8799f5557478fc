#include "backends/backend.hpp"
#include "relay.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

struct arguments {
    std::string where;
    listen_options options;
};

int run_listen(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    s.catch_signals();
    auto door = backend_for(where->mechanism()).listen(*where, how.options);
    if (!door) return s.fail("listen on", how.where, door.error());
    // A port that the kernel chose has to be told, or nobody could connect.
    const auto really = (*door)->where().text();
    if (really != where->text())
        s.announce("listening on " + really);
    else
        s.remark("listening on " + really);
    auto client = (*door)->accept(s.wait());
    if (!client) return s.fail("accept a client on", how.where, client.error());
    const auto peer = (*client)->peer();
    for (const auto& fact : peer.list())
        if (const auto* number = std::get_if<std::int64_t>(&fact.what))
            s.remark("client's " + fact.key + " is " + std::to_string(*number));
    return relay(s, **client, how.where);
}

}  // namespace

void add_listen(CLI::App& app, session& s) {
    const auto how = std::make_shared<arguments>();
    auto& verb = add_verb(app, s, "listen", "wait for one client and connect standard input and output to it",
                          [&s, how] { return run_listen(s, *how); });
    add_address(verb, how->where);
    add_mode(verb, how->options.mode);
    add_wait_options(verb, s);
}

}  // namespace kith_cli
