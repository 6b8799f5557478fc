#include "backends/backend.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

int run_show(session& s, const std::string& text) {
    const auto where = s.address(text);
    if (!where) return exit_misused;
    const auto seen = backend_for(where->mechanism()).show(*where);
    if (!seen) return s.fail("show", text, seen.error());
    // The address as kith writes it comes first, for every mechanism.
    facts all;
    all.add("address", where->text());
    for (const auto& fact : seen->list())
        if (fact.key != "address") all.add(fact.key, fact.what, fact.note);
    return s.print(all);
}

}  // namespace

void add_show(CLI::App& app, session& s) {
    const auto where = std::make_shared<std::string>();
    auto& verb = add_verb(app, s, "show", "show what an object is and holds, without disturbing anybody",
                          [&s, where] { return run_show(s, *where); });
    add_address(verb, *where);
}

}  // namespace kith_cli
