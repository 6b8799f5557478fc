#include <fmt/format.h>
#include <cerrno>

#include "backends/backend.hpp"
#include "input.hpp"
#include "output.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

struct arguments {
    std::string where;
    std::optional<std::string> text;
    std::optional<std::string> file;
    std::optional<std::uint64_t> max_size;
};

int run_call(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    if (!s.can_write()) return exit_failed;
    s.catch_signals();  // a reply queue or FIFO of our own must not stay behind
    const auto most = static_cast<std::size_t>(how.max_size.value_or(std::uint64_t{64} << 20U));
    auto from = input::from(how.text, how.file);
    if (!from) return s.fail("read", how.file.value_or(""), from.error());
    const auto request = from->read_all(most, s.patient());
    if (!request) return s.fail("read the request from", from->name(), request.error());
    const auto reply = backend_for(where->mechanism()).call(*where, *request, most, s.wait());
    if (!reply) {
        auto why = reply.error();
        if (why.cause.os_error() == ENOENT || why.cause.os_error() == ECONNREFUSED) {
            // The object, or the queue for the replies, is missing because its server is.
            if (why.reason.empty()) why.reason = "nobody serves requests there";
            why.tries = {fmt::format("kith serve {} -- COMMAND   answers calls there", how.where)};
        } else if (why.cause.code() == kith::errc::peer_gone || why.cause.code() == kith::errc::end_of_stream) {
            if (why.reason.empty())
                why.reason =
                    "the server gave no reply: its COMMAND failed, or it ended; whether it did what was asked is "
                    "unknown";
            why.tries = {"what the server wrote to its standard error says why"};
        }
        return s.fail("call", how.where, why);
    }
    return (s.json ? s.write(body_json(*reply)) : s.write(kith::byte_view{*reply})) ? exit_done : exit_failed;
}

}  // namespace

void add_call(CLI::App& app, session& s) {
    const auto how = std::make_shared<arguments>();
    auto& verb =
        add_verb(app, s, "call", "send one request and print its reply", [&s, how] { return run_call(s, *how); });
    add_address(verb, how->where);
    auto* text =
        verb.add_option("REQUEST", how->text, "the request; without it --file or standard input")->type_name("");
    verb.add_option("-f,--file", how->file, "send the content of this file")->type_name("F")->excludes(text);
    add_size(verb, "--max-size", how->max_size, "the longest request and reply, in bytes; 64M without it");
    add_wait_options(verb, s);
}

}  // namespace kith_cli
