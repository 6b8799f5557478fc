// One rule for every verb: what the command line itself makes impossible ends with 2, whatever the state of the
// system; what the system refuses ends with another status. And every failure says what to do next.
#include <gtest/gtest.h>
#include <kith/address.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "support/child.hpp"
#include "support/paths.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

using words = std::vector<std::string>;

words joined(words first, const words& more) {
    first.insert(first.end(), more.begin(), more.end());
    return first;
}

struct verb {
    words name;
    std::set<std::string> schemes;  // that it works on
    words more = {};                // what it needs beside the address
    words at_once = {};             // so that it does not wait
};

const std::set<std::string> semaphores{"sysv-sem", "posix-sem"};
const std::set<std::string> memory{"sysv-shm", "posix-shm"};
const std::set<std::string> objects{"fifo", "sysv-mq", "posix-mq", "sysv-sem", "posix-sem", "sysv-shm", "posix-shm"};
const std::set<std::string> carriers{"fd", "fifo", "sysv-mq", "posix-mq", "unix", "tcp", "udp"};
const words no_wait{"--no-wait"};

const verb verbs[] = {
    {{"create"}, objects, {}, {}},
    {{"rm"}, {"fifo", "sysv-mq", "posix-mq", "sysv-sem", "posix-sem", "sysv-shm", "posix-shm", "unix"}, {}, {}},
    {{"show"},
     {"fd", "fifo", "sysv-mq", "posix-mq", "sysv-sem", "posix-sem", "sysv-shm", "posix-shm", "unix", "pid"},
     {},
     {}},
    {{"drain"}, {"sysv-mq", "posix-mq"}, {}, {}},
    {{"send"}, carriers, {"x"}, no_wait},
    {{"recv"}, carriers, {}, no_wait},
    {{"sem", "op"}, {"sysv-sem"}, {"0:+1"}, no_wait},
    {{"sem", "get"}, semaphores, {}, {}},
    {{"sem", "set"}, {"sysv-sem"}, {"1"}, {}},
    {{"sem", "wait"}, semaphores, {}, no_wait},
    {{"sem", "post"}, semaphores, {}, {}},
    {{"sem", "lock"}, semaphores, {"--", "true"}, no_wait},
    {{"shm", "read"}, memory, {}, no_wait},
    {{"shm", "write"}, memory, {}, no_wait},
    {{"shm", "hold"}, memory, {}, no_wait},
    {{"fd", "send"}, {"unix"}, {"/dev/null"}, no_wait},
    {{"fd", "recv"}, {"unix"}, {}, no_wait},
    {{"peer"}, {"fd", "unix"}, {}, no_wait},
    {{"wait"}, {"pid"}, {}, no_wait},
    {{"eventfd", "add"}, {"fd"}, {}, no_wait},
    {{"eventfd", "read"}, {"fd"}, {}, no_wait},
    {{"listen"}, {"fifo", "unix", "tcp"}, {}, no_wait},
    {{"connect"}, {"fifo", "unix", "tcp"}, {}, no_wait},
    {{"serve"}, {"fifo", "sysv-mq", "posix-mq", "unix", "tcp"}, {"--", "true"}, no_wait},
    {{"call"}, {"fifo", "sysv-mq", "posix-mq", "unix", "tcp"}, {"x"}, {"--timeout", "10ms"}},
};

// Well-formed, and nothing is there; some of it cannot even be made.
const std::pair<std::string, std::string> addresses[] = {
    {"fd", "fd:917"},
    {"fifo", "fifo:/no/such/directory/x"},
    {"sysv-mq", "sysv-mq:/no/such/file?proj=1"},
    {"posix-mq", "posix-mq:/kith-test-" + std::string(250, 'n')},
    {"sysv-sem", "sysv-sem:/no/such/file?proj=1"},
    {"posix-sem", "posix-sem:/kith-test-" + std::string(250, 'n')},
    {"sysv-shm", "sysv-shm:/no/such/file?proj=1"},
    {"posix-shm", "posix-shm:/kith-test-" + std::string(250, 'n')},
    {"unix", "unix:/no/such/directory/x"},
    {"tcp", "tcp:192.0.2.1:9"},  // an address of documentation (RFC 5737): nobody's
    {"udp", "udp:192.0.2.1:9"},
    {"pid", "pid:4194304"},  // above the highest pid there can be
};

outcome kith(const verb& which, const std::string& address, const words& options = {}) {
    auto command = joined({kith_command()}, which.name);
    command = joined(std::move(command), options);
    command.push_back(address);
    return run(joined(std::move(command), which.more));
}

bool has_step(const std::string& text) { return text.find("\n  try    ") != std::string::npos; }

TEST(cli_misuse, the_table_has_every_verb_with_an_address_and_every_scheme) {
    EXPECT_EQ(std::size(addresses), kith::scheme_count);
    std::set<std::string> known;
    for (const auto& one : verbs) known.insert(one.name.front());
    std::istringstream list{run({kith_command(), "__man"}).out};
    for (std::string name; list >> name;)
        EXPECT_TRUE(known.contains(name) || name == "tour" || name == "version") << name;
}

TEST(cli_misuse, a_text_that_is_no_address_is_misuse_for_every_verb) {
    for (const auto& one : verbs)
        for (const std::string text :
             {"nonsense", "gopher:x", "fifo:", "posix-mq:no-slash", "tcp:host", "unix:/x?mode=1"}) {
            const auto ran = kith(one, text);
            EXPECT_EQ(ran.status, 2) << ran.err;
            EXPECT_TRUE(has_step(ran.err)) << ran.err;
        }
}

TEST(cli_misuse, a_scheme_that_the_verb_cannot_use_is_misuse_and_no_other_is) {
    for (const auto& one : verbs)
        for (const auto& [scheme, address] : addresses) {
            const bool usable = one.schemes.contains(scheme);
            const auto ran = kith(one, address, usable ? one.at_once : words{});
            SCOPED_TRACE(one.name.front() + ' ' + one.name.back() + ' ' + address + '\n' + ran.err);
            if (usable) {
                // Datagrams to nobody may well be sent.
                EXPECT_TRUE(ran.status == 1 || ran.status == 3 || ran.status == 4 || ran.status == 124 ||
                            scheme == "udp")
                    << ran.status;
                EXPECT_EQ(ran.err.find("works on"), std::string::npos);
            } else {
                EXPECT_EQ(ran.status, 2);
                EXPECT_NE(ran.err.find("works on "), std::string::npos);
                EXPECT_NE(ran.err.find("the verbs for " + scheme + ": are "), std::string::npos);
            }
            EXPECT_TRUE(ran.status == 0 || has_step(ran.err));
        }
}

TEST(cli_misuse, forms_and_options_that_can_never_work_are_misuse) {
    const words wrong[] = {
        {"show", "sysv-mq:private"},
        {"show", "sysv-sem:private"},
        {"show", "sysv-shm:private"},
        {"rm", "sysv-sem:private"},
        {"create", "sysv-mq:id=1"},
        {"create", "sysv-sem:id=1"},
        {"create", "sysv-shm:id=1"},
        {"rm", "unix:@x"},
        {"listen", "unix:@x?type=dgram"},
        {"call", "unix:@x?type=dgram", "x"},
        {"peer", "unix:@x?type=dgram"},
        {"send", "tcp:127.0.0.1:0", "x"},
        {"recv", "udp:127.0.0.1:0"},
        {"call", "sysv-mq:private", "x"},
        {"call", "posix-mq:/kith-test-nobody", "x", "--no-wait"},
        {"send", "sysv-mq:1", "x", "--type", "0"},
        {"send", "sysv-mq:1", "x", "--type", "one"},
        {"send", "fifo:/no/such", "x", "--type", "1"},
        {"send", "posix-mq:/kith-test-nobody", "x", "--priority", "32768"},
        {"send", "unix:@kith-test-nobody", "x", "--priority", "1"},
        {"recv", "fd:917", "--type", "3"},
        {"recv", "posix-mq:/kith-test-nobody", "--type", "3"},
        {"recv", "posix-mq:/kith-test-nobody", "--peek"},
        {"recv", "fifo:/no/such", "--peek"},
        {"recv", "udp:127.0.0.1:9", "--peek=1"},
        {"recv", "sysv-mq:1", "--type", "x"},
        {"recv", "sysv-mq:1", "--peek=-1"},
        {"recv", "sysv-mq:1", "--count", "x"},
        {"recv", "sysv-mq:1", "--max-size", "x"},
        {"create", "fifo:/no/such", "--values", "1"},
        {"create", "sysv-shm:1", "--values", "1"},
        {"create", "sysv-sem:1", "--size", "1"},
        {"create", "posix-sem:/kith-test-nobody", "--values", "-1"},
        {"sem", "op", "sysv-sem:1", "0:x"},
        {"sem", "set", "sysv-sem:1", "40000"},
        {"sem", "wait", "posix-sem:/kith-test-nobody", "--count", "2"},
        {"fd", "send", "unix:@kith-test-nobody", "/dev/null", "--memfd", "--seal", "x"},
        {"fd", "recv", "unix:@kith-test-nobody", "--seal", "all,"},
        {"serve", "unix:@kith-test-nobody"},
        {"serve", "unix:@kith-test-nobody", "--jobs", "0", "--", "true"},
        {"serve", "unix:@kith-test-nobody", "--mode", "600", "--", "true"},
        {"tour", "--only", ""},
        {"tour", "--only", "pipe,,fifo"},
        {"tour", "--only", "pipes"},
    };
    for (const auto& one : wrong) {
        const auto ran = run(joined({kith_command()}, one));
        EXPECT_EQ(ran.status, 2) << ran.err;
        EXPECT_EQ(ran.out, "");
        EXPECT_TRUE(has_step(ran.err)) << ran.err;
        // The options stand before a COMMAND.
        const auto told = run(joined({kith_command(), "--json"}, one));
        EXPECT_NE(json::parse(told.err)["hint"], "") << told.err;
    }
}

TEST(cli_misuse, what_is_not_there_now_says_how_to_wait) {
    const auto queue = run({kith_command(), "create", "sysv-mq:private"}).out;
    const auto address = queue.substr(0, queue.find('\n'));
    for (const words& options : {words{}, words{"--type", "3"}, words{"--peek=2"}}) {
        const auto ran = run(joined({kith_command(), "recv", "--no-wait", address}, options));
        EXPECT_EQ(ran.status, 3) << ran.err;
        EXPECT_TRUE(has_step(ran.err)) << ran.err;
    }
    EXPECT_EQ(run({kith_command(), "rm", address}).status, 0);
    const auto set = run({kith_command(), "create", "sysv-sem:private"}).out;
    const auto semaphore = set.substr(0, set.find('\n'));
    const auto ran = run({kith_command(), "sem", "wait", "--no-wait", semaphore});
    EXPECT_EQ(ran.status, 3);
    EXPECT_NE(ran.err.find("try    --timeout D"), std::string::npos) << ran.err;
    EXPECT_EQ(run({kith_command(), "rm", semaphore}).status, 0);
}

}  // namespace
