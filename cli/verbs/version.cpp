#include <fmt/format.h>
#include <kith/version.hpp>

#include "verbs/verbs.hpp"

namespace kith_cli {

void add_version(CLI::App& app, session& s) {
    add_verb(app, s, "version", "print the version of the command and of the library", [&s] {
        const auto of_library = kith::library_version();
        const auto library =
            fmt::format("{}.{}.{}", of_library.major_number, of_library.minor_number, of_library.patch_number);
        if (s.json) return s.print(facts{}.add("command", KITH_VERSION_STRING).add("library", library));
        return s.write(fmt::format("kith {} (library {})\n", KITH_VERSION_STRING, library)) ? exit_done : exit_failed;
    });
}

}  // namespace kith_cli
