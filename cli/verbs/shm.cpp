// kith shm read|write|hold ADDR: the bytes of shared memory, exactly as they are. Nothing here takes a lock: that is
// for `kith sem lock ADDR -- kith shm ...`.
#include <fmt/format.h>
#include <algorithm>
#include <array>

#include "backends/shared_memory.hpp"
#include "input.hpp"
#include "messages.hpp"
#include "output.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

using kith::sys::memory_access;

struct arguments {
    std::string where;
    std::optional<std::uint64_t> offset;
    std::optional<std::uint64_t> length;
    std::optional<std::string> file;
    bool read_only = false;
};

outcome<shared_memory> open(session& s, const kith::address& where, const arguments& how, memory_access access) {
    return open_part(where, {how.offset.value_or(0), how.length}, access, s.wait());
}

std::optional<kith::address> address_of(session& s, const arguments& how) { return s.address(how.where); }

int run_read(session& s, const arguments& how) {
    const auto where = address_of(s, how);
    if (!where) return exit_misused;
    const auto memory = open(s, *where, how, memory_access::read_only);
    if (!memory) return s.fail("read", how.where, memory.error());
    if (!s.json) return s.write(memory->view()) ? exit_done : exit_failed;
    return s.write(body_json(memory->view()) + '\n') ? exit_done : exit_failed;
}

// All of the input is read before the first byte is written: what does not fit changes nothing.
int run_write(session& s, const arguments& how) {
    const auto where = address_of(s, how);
    if (!where) return exit_misused;
    auto from = input::from(std::nullopt, how.file);
    if (!from) return s.fail("read", how.file.value_or("standard input"), from.error());
    auto memory = open(s, *where, how, memory_access::read_write);
    if (!memory) return s.fail("write to", how.where, memory.error());
    const auto room = memory->bytes();
    const auto body = from->read_all(room.size(), s.patient());
    if (!body) {
        if (body.error().cause.code() != kith::errc::too_long) return s.fail("read", from->name(), body.error());
        return s.fail(
            "write to", how.where,
            failure{body.error().cause, fmt::format("the input is longer than the {} bytes {}; nothing was written",
                                                    room.size(), how.length ? "of --length" : "to its end")});
    }
    std::ranges::copy(*body, room.begin());
    if (s.json) return s.print(facts{}.add("offset", how.offset.value_or(0)).add("bytes", body->size()));
    return exit_done;
}

int run_hold(session& s, const arguments& how) {
    const auto where = address_of(s, how);
    if (!where) return exit_misused;
    const auto memory = open(s, *where, how, how.read_only ? memory_access::read_only : memory_access::read_write);
    if (!memory) return s.fail("hold", how.where, memory.error());
    // The line tells whoever waits for it that the memory is held from now on.
    if (s.json) {
        if (s.print(facts{}.add("address", where->text()).add("bytes", memory->view().size())) != exit_done)
            return exit_failed;
    } else if (!s.quiet && !s.write(where->text() + '\n')) {
        return exit_failed;
    }
    const auto wait = s.wait();
    std::array<std::byte, 4096> ignored;
    for (;;) {
        const auto count = session::read_stdin(ignored, wait);
        if (!count) return s.fail("hold", how.where, count.error());
        if (*count == 0) return exit_done;
    }
}

void add_part(CLI::App& verb, session& s, arguments& how) {
    add_address(verb, how.where);
    add_size(verb, "--offset", how.offset, "where to begin, in bytes from the start; 0 if left out");
    add_size(verb, "--length", how.length, "how many bytes at most; up to the end if left out");
    add_wait_options(verb, s);
}

}  // namespace

void add_shm(CLI::App& app, session& s) {
    const auto how = std::make_shared<arguments>();
    auto& group = add_group(app, "shm", "read and write shared memory, or keep it attached");
    auto& read = add_verb(group, s, "read", "write the memory's bytes to standard output",
                          [&s, how] { return run_read(s, *how); });
    add_part(read, s, *how);
    auto& write = add_verb(group, s, "write", "write standard input into the memory, all of it or nothing",
                           [&s, how] { return run_write(s, *how); });
    add_part(write, s, *how);
    write.add_option("-f,--file", how->file, "write the content of this file")->type_name("F");
    auto& hold = add_verb(group, s, "hold", "attach the memory, say so, and keep it until standard input ends",
                          [&s, how] { return run_hold(s, *how); });
    add_part(hold, s, *how);
    hold.add_flag("--read-only", how->read_only, "attach it for reading only");
}

}  // namespace kith_cli
