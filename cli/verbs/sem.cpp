// kith sem op|get|set|wait|post|lock: semaphores of both kinds.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <kith/compose/scoped_lock.hpp>

#include "backends/semaphores.hpp"
#include "options.hpp"
#include "sem_lock.hpp"
#include "sem_steps.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

using kith::scheme;
using kith::sys::sem_undo;
using kith::sys::sysv_sem;

struct arguments {
    std::string where;
    std::string steps;
    std::vector<std::int64_t> values;
    std::uint16_t number = 0;
    int count = 1;
    bool zero = false;
    const CLI::Option* number_given = nullptr;
    const CLI::Option* count_given = nullptr;
};

/// What the errno of an operation on a set means in its terms.
failure explained(const sysv_sem& set, const kith::error& error) {
    if (error.code() == kith::errc::invalid && (error.os_error() == EFBIG || error.os_error() == EINVAL)) {
        const auto now = set.status();
        const auto last = now ? now->count - 1 : 0;
        return {error, last == 0 ? std::string{"the set has one semaphore, number 0"}
                                 : fmt::format("the semaphores of the set are numbered 0 to {}", last)};
    }
    if (error.os_error() == ERANGE)
        return {error, fmt::format("a value, or what is to be undone, would leave the range 0 to {}",
                                   kith::sys::sysv_sem_max_value)};
    if (error.code() == kith::errc::would_block) return {error, "that would have to wait"};
    return error;
}

/// Refuses what only a set has.
std::optional<failure> refused_for_posix(const arguments& how) {
    const char* option = how.number_given != nullptr && !how.number_given->empty() ? "--number"
                         : how.zero                                                ? "--zero"
                         : how.count_given != nullptr && how.count != 1            ? "--count"
                                                                                   : nullptr;
    if (option == nullptr) return std::nullopt;
    return option_refused(posix_sem_backend(), option, "it is one number that changes by one").error();
}

int run_op(session& s, const arguments& how) {
    const auto steps = read_steps(how.steps);
    if (!steps) return s.misuse(steps.error(), "kith sem op sysv-sem:0x4b01 0:-1,1:+2");
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    const auto action = fmt::format("apply {} to", how.steps);
    const auto set = sysv_sem_at(*where);
    if (!set) return s.fail(action, how.where, set.error());
    if (const auto done = set->apply(*steps, s.wait()); !done)
        return s.fail(action, how.where, explained(*set, done.error()));
    if (!s.command.empty()) return become_command(s);
    return s.json ? s.print(facts{}.add("applied", how.steps)) : exit_done;
}

/// What was done, for --json; a terminal sees nothing.
int told(session& s, const char* key, std::int64_t number) {
    return s.json ? s.print(facts{}.add(key, number)) : exit_done;
}

int print_value(session& s, int value) {
    if (s.json) return s.print(facts{}.add("value", value));
    return s.write(fmt::format("{}\n", value)) ? exit_done : exit_failed;
}

int run_get(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    if (where->mechanism() == scheme::posix_sem) {
        if (const auto refused = refused_for_posix(how)) return s.fail("read", how.where, *refused);
        const auto semaphore = posix_sem_at(*where);
        if (!semaphore) return s.fail("read", how.where, semaphore.error());
        const auto value = semaphore->value();
        return value ? print_value(s, *value) : s.fail("read", how.where, value.error());
    }
    const auto set = sysv_sem_at(*where);
    if (!set) return s.fail("read", how.where, set.error());
    if (!how.number_given->empty()) {
        const auto value = set->value(how.number);
        return value ? print_value(s, *value) : s.fail("read", how.where, explained(*set, value.error()));
    }
    const auto now = set->status();
    if (!now) return s.fail("read", how.where, now.error());
    std::vector<std::uint16_t> values(now->count);
    if (const auto read = set->values(values); !read) return s.fail("read", how.where, read.error());
    if (s.json)
        return s.print(facts{}.add("values", facts::value{std::vector<std::int64_t>{values.begin(), values.end()}}));
    return s.write(fmt::format("{}\n", fmt::join(values, ","))) ? exit_done : exit_failed;
}

int run_set(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    for (const auto value : how.values)
        if (value < 0 || value > kith::sys::sysv_sem_max_value)
            return s.misuse(fmt::format("the value {} is outside 0 to {}", value, kith::sys::sysv_sem_max_value));
    if (!how.number_given->empty() && how.values.size() != 1)
        return s.misuse("--number goes with one value", "kith sem set ADDR --number 2 7");
    const auto set = sysv_sem_at(*where);
    if (!set) return s.fail("set", how.where, set.error());
    if (!how.number_given->empty()) {
        const auto done = set->set_value(how.number, static_cast<int>(how.values[0]));
        return done ? told(s, "set", how.values[0]) : s.fail("set", how.where, explained(*set, done.error()));
    }
    const std::vector<std::uint16_t> values{how.values.begin(), how.values.end()};
    const auto done = set->set_values(values);
    if (done) return s.json ? s.print(facts{}.add("set", facts::value{how.values})) : exit_done;
    if (done.error().code() != kith::errc::wrong_size) return s.fail("set", how.where, done.error());
    const auto now = set->status();
    return s.fail(
        "set", how.where,
        failure{done.error(), fmt::format("{} values for a set of {}", values.size(), now ? now->count : 0)}.suggest(
            "--number N   sets one"));
}

int run_wait_or_post(session& s, const arguments& how, bool post) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    const auto* const action = post ? "post to" : how.zero ? "wait for zero of" : "wait for";
    if (where->mechanism() == scheme::posix_sem) {
        if (const auto refused = refused_for_posix(how)) return s.fail(action, how.where, *refused);
        const auto semaphore = posix_sem_at(*where);
        if (!semaphore) return s.fail(action, how.where, semaphore.error());
        const auto done = post ? semaphore->post() : semaphore->wait(s.wait());
        if (done) return told(s, post ? "posted" : "taken", 1);
        failure why{done.error()};
        if (done.error().os_error() == EOVERFLOW) why.reason = "its value is the largest there is";
        return s.fail(action, how.where, why);
    }
    if (how.count < 1 || how.count > kith::sys::sysv_sem_max_value)
        return s.misuse(fmt::format("--count is 1 to {}", kith::sys::sysv_sem_max_value));
    const auto set = sysv_sem_at(*where);
    if (!set) return s.fail(action, how.where, set.error());
    const auto done = post       ? set->post(how.number, how.count)
                      : how.zero ? set->wait_for_zero(how.number, s.wait())
                                 : set->wait(how.number, how.count, sem_undo::no, s.wait());
    if (!done) return s.fail(action, how.where, explained(*set, done.error()));
    return told(s, post ? "posted" : "taken", how.zero ? 0 : how.count);
}

int run_lock(session& s, const arguments& how) {
    if (s.command.empty())
        return s.misuse("a command to run is missing", "kith sem lock sysv-sem:0x4b01 -- make install");
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    if (where->mechanism() == scheme::posix_sem) {
        if (const auto refused = refused_for_posix(how)) return s.fail("lock", how.where, *refused);
        const auto semaphore = posix_sem_at(*where);
        if (!semaphore) return s.fail("lock", how.where, semaphore.error());
        return run_holding(s, how.where, *semaphore);
    }
    const auto set = sysv_sem_at(*where);
    if (!set) return s.fail("lock", how.where, set.error());
    const auto held = kith::compose::lock(*set, how.number, s.wait());
    if (!held) return s.fail("lock", how.where, explained(*set, held.error()));
    return become_command(s);
}

CLI::Option* add_number(CLI::App& verb, arguments& how) {
    return verb.add_option("--number", how.number, "which semaphore of a System V set; 0 if left out")
        ->type_name("N")
        ->check(not_natural);
}

}  // namespace

void add_sem(CLI::App& app, session& s) {
    auto& group = add_group(app, "sem", "operate on semaphores, or run a command while one is held");
    const auto given = [] { return std::make_shared<arguments>(); };

    auto how = given();
    auto& op = add_verb(group, s, "op", "apply several steps to a System V set at once, or wait until that is possible",
                        [&s, how] { return run_op(s, *how); });
    add_wait_options(op, s);
    add_address(op, how->where);
    op.add_option(
          "STEPS", how->steps,
          "NUMBER:DELTA[u][n],...: DELTA is +N, -N or 0 (wait for zero); u: taken back when the process, kith or "
          "the COMMAND that it becomes, ends; n: refuse instead of waiting")
        ->required()
        ->type_name("");
    take_command(op, command_words::optional);

    how = given();
    auto& get = add_verb(group, s, "get", "print the values", [&s, how] { return run_get(s, *how); });
    add_address(get, how->where);
    how->number_given = add_number(get, *how);

    how = given();
    auto& set = add_verb(group, s, "set", "set the values of a System V set, which wipes all undo for it",
                         [&s, how] { return run_set(s, *how); });
    add_address(set, how->where);
    how->number_given = add_number(set, *how);
    set.add_option("VALUES", how->values, "one value for each semaphore, or with --number just one")
        ->required()
        ->delimiter(',')
        ->type_name("");

    for (const bool post : {false, true}) {
        how = given();
        auto& verb = add_verb(group, s, post ? "post" : "wait",
                              post ? "give to a semaphore (V)" : "take from a semaphore, waiting until it is there (P)",
                              [&s, how, post] { return run_wait_or_post(s, *how, post); });
        if (!post) add_wait_options(verb, s);
        add_address(verb, how->where);
        how->number_given = add_number(verb, *how);
        auto* count = verb.add_option("--count", how->count, "how much at once, of a System V semaphore; 1 if left out")
                          ->type_name("N");
        how->count_given = count;
        if (!post)
            verb.add_flag("--zero", how->zero, "wait until a System V semaphore is 0, and take nothing")
                ->excludes(count);
    }

    how = given();
    auto& lock = add_verb(group, s, "lock",
                          "run COMMAND while one of a semaphore is held; it comes back when COMMAND ends or is killed",
                          [&s, how] { return run_lock(s, *how); });
    add_wait_options(lock, s);
    add_address(lock, how->where);
    how->number_given = add_number(lock, *how);
    take_command(lock);
}

}  // namespace kith_cli
