// table - every verb, in the order of the help.
#include "verbs/verbs.hpp"

namespace kith_cli {

void add_all_verbs(CLI::App& app, session& s) {
    // objects
    add_show(app, s);

    // messages and bytes

    // semaphores

    // shared memory

    // descriptors

    // the other end

    // processes

    // eventfd

    // connections and requests

    // the tour

    // the command itself
}

}  // namespace kith_cli
