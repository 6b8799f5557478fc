#include "backends/backend.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

int run_rm(session& s, const std::string& text) {
    const auto where = s.address(text);
    if (!where) return exit_misused;
    if (const auto gone = backend_for(where->mechanism()).remove(*where); !gone)
        return s.fail("remove", text, gone.error());
    if (s.json) return s.print(facts{}.add("address", where->text()).add("removed", true));
    return exit_done;
}

}  // namespace

void add_rm(CLI::App& app, session& s) {
    const auto where = std::make_shared<std::string>();
    auto& verb = add_verb(app, s, "rm", "remove an object, or its name", [&s, where] { return run_rm(s, *where); });
    add_address(verb, *where);
}

}  // namespace kith_cli
