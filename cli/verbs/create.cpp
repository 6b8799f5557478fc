#include <pthread.h>
#include <csignal>

#include "backends/backend.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

struct arguments {
    std::string where;
    create_options options;
};

int run_create(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    // Making and initialising are several calls: an interrupt between them would leave half an object behind.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const auto made = backend_for(where->mechanism()).create(*where, how.options);
    const int status = made ? exit_done : s.fail("create", how.where, made.error());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!made) return status;
    if (s.json) return s.print(facts{}.add("address", made->where.text()).add("new", made->is_new));
    if (s.quiet) return exit_done;
    return s.write(made->where.text() + '\n') ? exit_done : exit_failed;
}

}  // namespace

void add_create(CLI::App& app, session& s) {
    const auto how = std::make_shared<arguments>();
    auto& verb =
        add_verb(app, s, "create", "make an object and print its address", [&s, how] { return run_create(s, *how); });
    add_address(verb, how->where);
    add_mode(verb, how->options.mode);
    verb.add_flag("--exclusive", how->options.exclusive, "fail if it exists already");
    add_size(verb, "--size", how->options.size, "bytes of a memory segment, or that a System V queue may hold");
    add_size(verb, "--max-messages", how->options.max_messages, "messages that a POSIX queue may hold");
    add_size(verb, "--message-size", how->options.message_size, "longest message of a POSIX queue, in bytes");
    verb.add_option("--values", how->options.values, "initial values of semaphores, separated by commas")
        ->delimiter(',')
        ->type_name("N,...");
}

}  // namespace kith_cli
