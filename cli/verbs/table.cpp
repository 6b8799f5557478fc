// table - every verb, in the order of the help.
#include "verbs/verbs.hpp"

namespace kith_cli {

void add_all_verbs(CLI::App& app, session& s) {
    // objects
    add_create(app, s);
    add_rm(app, s);
    add_show(app, s);
    add_drain(app, s);

    // messages and bytes
    add_send(app, s);
    add_recv(app, s);

    // semaphores
    add_sem(app, s);

    // shared memory
    add_shm(app, s);

    // descriptors
    add_fd(app, s);

    // the other end
    add_peer(app, s);

    // processes
    add_wait(app, s);

    // eventfd
    add_eventfd(app, s);

    // connections and requests
    add_listen(app, s);
    add_connect(app, s);
    add_serve(app, s);
    add_call(app, s);

    // the tour
    add_tour(app, s);

    // the command itself
    add_version(app, s);
}

}  // namespace kith_cli
