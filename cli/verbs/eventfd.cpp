// kith eventfd add|read FD: FD is a number, fd:N, or fd:PID/N.
#include <fmt/format.h>
#include <unistd.h>
#include <array>
#include <kith/sys/eventfd.hpp>
#include <kith/sys/pidfd.hpp>

#include "options.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

outcome<kith::owned_fd> descriptor_at(const kith::address& where) {
    if (where.pid() == 0) {
        auto copy = duplicate(kith::borrowed_fd{where.fd()});
        if (!copy) return std::unexpected{failure{copy.error(), "it is not open in this process"}};
        return std::move(*copy);
    }
    const auto process = kith::sys::open_pidfd(where.pid());
    if (!process) return pass_on(process);
    auto copy = process->copy_descriptor(where.fd());
    if (!copy) return pass_on(copy);
    return std::move(*copy);
}

// Refuses anything else: reading 8 bytes from it would take somebody's data.
outcome<kith::sys::event_fd> counter_at(const kith::address& where) {
    auto fd = descriptor_at(where);
    if (!fd) return pass_on(fd);
    std::array<char, 64> kind{};
    const auto n = ::readlink(fmt::format("/proc/self/fd/{}", fd->get()).c_str(), kind.data(), kind.size());
    const std::string_view found{kind.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
    if (found != "anon_inode:[eventfd]")
        return std::unexpected{failure{
            kith::error{kith::errc::wrong_kind, "readlink(/proc/self/fd)", 0, kith::object_ref::descriptor(where.fd())},
            fmt::format("it is no eventfd but '{}'", found)}};
    auto object = kith::io_fd::adopt(std::move(*fd));
    if (!object) return pass_on(object);
    return kith::sys::event_fd{std::move(*object)};
}

std::optional<kith::address> address_of(session& s, const std::string& text) {
    const bool is_number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    return s.address(is_number ? "fd:" + text : text);
}

int run_read(session& s, const std::string& text) {
    const auto where = address_of(s, text);
    if (!where) return exit_misused;
    if (!s.can_write()) return exit_failed;
    auto counter = counter_at(*where);
    if (!counter) return s.fail("read", where->text(), counter.error());
    const auto number = counter->take(s.wait());
    if (!number) return s.fail("read", where->text(), number.error());
    if (s.json) return s.print(facts{}.add("value", *number));
    return s.write(fmt::format("{}\n", *number)) ? exit_done : exit_failed;
}

int run_add(session& s, const std::string& text, std::uint64_t number) {
    const auto where = address_of(s, text);
    if (!where) return exit_misused;
    auto counter = counter_at(*where);
    if (!counter) return s.fail("add to", where->text(), counter.error());
    if (const auto added = counter->add(number, s.wait()); !added) {
        failure why{added.error()};
        if (number > kith::sys::event_fd::largest)
            why.reason = fmt::format("an eventfd holds at most {}", kith::sys::event_fd::largest);
        return s.fail(fmt::format("add {} to", number), where->text(), why);
    }
    return s.json ? s.print(facts{}.add("added", number)) : exit_done;
}

}  // namespace

void add_eventfd(CLI::App& app, session& s) {
    struct options {
        std::string fd;
        std::uint64_t number = 1;
    };
    const auto given = std::make_shared<options>();
    auto& group = add_group(app, "eventfd", "add to an eventfd that was inherited, or read it");
    auto& add = add_verb(group, s, "add", "add a number to the counter, waiting until it fits",
                         [&s, given] { return run_add(s, given->fd, given->number); });
    add_wait_options(add, s);
    add.add_option("FD", given->fd, "the descriptor: a number, fd:N or fd:PID/N")->required()->type_name("");
    add.add_option("NUMBER", given->number, "what to add; 1 if left out")->type_name("")->check(not_natural);
    auto& read = add_verb(group, s, "read", "wait until the counter is not 0, take it and print it",
                          [&s, given] { return run_read(s, given->fd); });
    add_wait_options(read, s);
    read.add_option("FD", given->fd, "the descriptor: a number, fd:N or fd:PID/N")->required()->type_name("");
}

}  // namespace kith_cli
