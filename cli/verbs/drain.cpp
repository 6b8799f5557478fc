#include "backends/backend.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

int run_drain(session& s, const std::string& text) {
    const auto where = s.address(text);
    if (!where) return exit_misused;
    const auto count = backend_for(where->mechanism()).drain(*where);
    if (!count) return s.fail("drain", text, count.error());
    if (s.json) return s.print(facts{}.add("address", where->text()).add("drained", *count));
    return s.write(std::to_string(*count) + '\n') ? exit_done : exit_failed;
}

}  // namespace

void add_drain(CLI::App& app, session& s) {
    const auto where = std::make_shared<std::string>();
    auto& verb = add_verb(app, s, "drain", "remove all messages and print how many there were",
                          [&s, where] { return run_drain(s, *where); });
    add_address(verb, *where);
}

}  // namespace kith_cli
