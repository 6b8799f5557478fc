#include "messages.hpp"

#include <fmt/format.h>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

namespace kith_cli {
namespace {

using json = nlohmann::ordered_json;

constexpr auto how_addresses_are_written = "man kith_addresses   tells how each scheme is written";

/// Why, for a user, where neither the backend nor a limit says it better.
std::string_view usual_reason(kith::errc code) {
    switch (code) {
    case kith::errc::would_block: return "nothing can be done there now without waiting";
    case kith::errc::timed_out: return "the time is up";
    case kith::errc::stopped: return "stopped by a signal";
    case kith::errc::end_of_stream: return "the other side has ended the stream";
    case kith::errc::peer_gone: return "nobody is at the other end";
    case kith::errc::removed: return "somebody removed it meanwhile";
    case kith::errc::not_found: return "there is no such object";
    case kith::errc::exists: return "it exists already";
    case kith::errc::not_permitted: return "you do not have the right";
    case kith::errc::wrong_kind: return "something of another kind lives under that name";
    case kith::errc::wrong_size: return "it exists with another size or other limits";
    case kith::errc::wrong_type: return "it is of another type";
    case kith::errc::wrong_version: return "it has another format version";
    case kith::errc::wrong_filesystem: return "that file system cannot hold such an object";
    case kith::errc::too_long: return "longer than the limit";
    case kith::errc::truncated: return "the message is longer than the room for it";
    case kith::errc::invalid: return "the system refuses these arguments";
    case kith::errc::bad_address: return "that is not an address";
    case kith::errc::limit_reached: return "a limit on the number of objects is reached";
    case kith::errc::no_space: return "no space is left for it";
    case kith::errc::out_of_memory: return "no memory is left for it";
    case kith::errc::unsupported: return "this kernel or this mechanism cannot do that";
    case kith::errc::bad_peer: return "the other side broke the protocol";
    case kith::errc::evicted: return "too slow: the place was lost";
    case kith::errc::lapped: return "the data was overwritten before it was read";
    case kith::errc::forked: return "the handle belongs to a parent process";
    case kith::errc::domain_lost: return "the directory of the shared objects was removed";
    case kith::errc::io: return "the operating system reports a failure";
    }
    return "unknown failure";
}

/// "/run/x" in "fifo:/run/x", and in "/run/x"; empty where the object has no path.
std::string path_in(std::string_view object) {
    const auto read = kith::address::parse(object);
    if (!read) return std::string{object};
    const bool has_path = read->mechanism() == kith::scheme::fifo ||
                          (read->mechanism() == kith::scheme::unix_socket && !read->is_abstract());
    return has_path ? read->name() : std::string{};
}

/// Where owner and mode stand. Most objects show them only to those who may read them; these places to everybody.
std::string who_may(const attempt& what) {
    struct place {
        std::string_view scheme;
        std::string_view command;
    };
    static constexpr place places[] = {{"sysv-mq:", "ipcs -q"},          {"sysv-sem:", "ipcs -s"},
                                       {"sysv-shm:", "ipcs -m"},         {"posix-mq:", "ls -l /dev/mqueue"},
                                       {"posix-sem:", "ls -l /dev/shm"}, {"posix-shm:", "ls -l /dev/shm"}};
    for (const auto& [scheme, command] : places)
        if (what.object.starts_with(scheme)) return fmt::format("{}   shows owner and mode", command);
    const auto path = path_in(what.object);
    if (path.empty()) return "another user, or root, may have the right";
    return fmt::format("ls -ld {}   shows owner and mode; those of its directory count as well",
                       kith_cli::quoted(path));
}

/// Whether what was tried is about a file that an option names, not about an object at an address.
bool is_file(const attempt& what) { return !what.object.empty() && !kith::address::parse(what.object); }

bool is_path_of_key(const failure& why) {
    return why.cause.os_error() == ENOENT && std::string_view{why.cause.operation()} == "ftok";
}

std::string help_for(const attempt& what) { return fmt::format("kith {} --help   tells what it takes", what.verb); }

/// What to do about an absent object. A reason of its own says what is absent: hardly the object then.
std::vector<std::string> steps_to_find(const attempt& what, const failure& why) {
    if (is_path_of_key(why)) return {"another path, or a key as 0x4b01"};
    if (is_file(what)) return {fmt::format("ls -ld {}   shows whether it is there", kith_cli::quoted(what.object))};
    if (what.object.starts_with("pid:")) return {"ps -e   lists the processes that run here"};
    if (!why.reason.empty()) return {"make it first, or check how its name is spelt"};
    if (what.object.starts_with("unix:") || what.object.starts_with("tcp:") || what.object.starts_with("udp:"))
        return {fmt::format("kith listen {}   is one that can be reached there", kith_cli::quoted(what.object))};
    return {"kith create makes it, where it is an object that has to be made",
            "objects of another container (IPC, mount or network namespace) are not visible here"};
}

/// The next step where nobody knows a better one: there is always one.
std::vector<std::string> usual_steps(const attempt& what, const failure& why) {
    if (why.misuse) return {help_for(what)};
    switch (why.cause.code()) {
    case kith::errc::would_block: return {"--timeout D instead of --no-wait waits, for at most D"};
    case kith::errc::timed_out: return {"a longer --timeout, or check that the other side is running"};
    case kith::errc::stopped: return {"run it again"};
    case kith::errc::end_of_stream: return {"start the other side again, if there should be more"};
    case kith::errc::peer_gone: return {"start the other side first"};
    case kith::errc::removed: return {"kith create makes it again"};
    case kith::errc::not_found: return steps_to_find(what, why);
    case kith::errc::exists:
        if (!why.reason.empty()) return {"another name, or end what uses this one"};
        return {"another name, or without --exclusive to use the one that is there"};
    case kith::errc::not_permitted: return {who_may(what)};
    case kith::errc::wrong_kind:
    case kith::errc::wrong_size:
    case kith::errc::wrong_type:
        if (is_file(what)) return {fmt::format("ls -ld {}   shows what it is", kith_cli::quoted(what.object))};
        return {fmt::format("kith show {}   tells what is there", kith_cli::quoted(what.object))};
    case kith::errc::wrong_filesystem: return {"a place on another file system, as /tmp or /dev/shm"};
    case kith::errc::too_long: return {"less at once"};
    case kith::errc::truncated: return {"--max-size N makes room, --truncate cuts it"};
    case kith::errc::bad_address: return {how_addresses_are_written};
    case kith::errc::limit_reached: return {"end or remove what uses it up, or raise the limit"};
    case kith::errc::no_space: return {"remove what is not needed, or take a smaller size"};
    case kith::errc::out_of_memory: return {"a smaller size, or end what uses the memory"};
    case kith::errc::bad_peer:
    case kith::errc::wrong_version:
        return {"check that the other side speaks the same convention, in the same version"};
    case kith::errc::evicted:
    case kith::errc::lapped: return {"start again from what is there now"};
    case kith::errc::forked:
    case kith::errc::domain_lost: return {"run it again: it has to be opened anew"};
    case kith::errc::invalid:
        if (why.cause.os_error() == EBADF) return {"open it in the shell: 0<FILE to read, 1>FILE to write"};
        return {help_for(what)};
    case kith::errc::unsupported: return {help_for(what)};
    case kith::errc::io: return {fmt::format("kith {} --verbose   tells what led to it", what.verb)};
    }
    return {help_for(what)};
}

std::string reason_of(const attempt& what, const failure& why) {
    if (!why.reason.empty()) return why.reason;
    const std::string_view operation = why.cause.operation();
    if (is_file(what) && why.cause.code() == kith::errc::not_found) return "there is no such file";
    if (is_file(what) && why.cause.code() == kith::errc::not_permitted) return "you may not read or write this file";
    if (is_path_of_key(why)) return "the path that its key is made from does not exist";
    if (why.cause.os_error() == EINVAL && why.cause.code() == kith::errc::limit_reached && operation == "mq_open")
        return "more messages, or longer ones, than the limits allow";
    std::string reason{usual_reason(why.cause.code())};
    if (why.cause.code() == kith::errc::io && why.cause.os_error() != 0)
        reason = fmt::format("{}: {}", reason, ::strerror(why.cause.os_error()));
    return reason;
}

std::string sentence_of(const attempt& what, const failure& why) {
    if (what.object.empty()) return fmt::format("cannot {}: {}", what.action, reason_of(what, why));
    return fmt::format("cannot {} {}: {}", what.action, quoted(what.object), reason_of(what, why));
}

std::string page_of(std::string_view verb) {
    return verb.empty() ? "kith(1)" : fmt::format("kith-{}(1)", verb.substr(0, verb.find(' ')));
}

/// Limits and steps: the backend's, then what the error itself tells; the usual step only where nothing better is
/// known.
limit_report details_of(const attempt& what, const failure& why) {
    limit_report found = explain_limits(why.cause);
    limit_report all{.limits = why.limits, .tries = why.tries};
    std::ranges::move(found.limits, std::back_inserter(all.limits));
    std::ranges::move(found.tries, std::back_inserter(all.tries));
    if (all.tries.empty()) all.tries = usual_steps(what, why);
    return all;
}

void append_lines(std::string& text, std::string_view label, const std::vector<std::string>& lines) {
    for (const auto& line : lines) {
        fmt::format_to(std::back_inserter(text), "  {:<5}  {}\n", label, line);
        label = "";
    }
}

std::string operation_of(const failure& why) { return why.cause.operation(); }

}  // namespace

std::string failure_text(const attempt& what, const failure& why) {
    auto text = fmt::format("kith: {}\n", sentence_of(what, why));
    const auto details = details_of(what, why);
    append_lines(text, "at", why.place);
    append_lines(text, "limit", details.limits);
    append_lines(text, "try", details.tries);
    const auto symbol = kith::errno_name(why.cause.os_error());
    fmt::format_to(std::back_inserter(text), "  more   {}{}{}{}; {}\n", name_of(why.cause.code()),
                   symbol.empty() ? "" : " (", symbol, symbol.empty() ? "" : ")",
                   why.cause.code() == kith::errc::bad_address ? "kith_addresses(7)" : page_of(what.verb));
    return text;
}

std::string failure_json(const attempt& what, const failure& why) {
    const auto details = details_of(what, why);
    std::string hint;
    for (const auto* lines : {&details.limits, &details.tries})
        for (const auto& line : *lines) hint += (hint.empty() ? "" : "; ") + line;
    const json object{{"code", name_of(why.cause.code())},
                      {"errno", why.cause.os_error()},
                      {"errno_name", kith::errno_name(why.cause.os_error())},
                      {"operation", operation_of(why)},
                      {"object", what.object},
                      {"message", sentence_of(what, why)},
                      {"hint", hint}};
    return object.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string misuse_text(std::string_view sentence, std::string_view hint) {
    auto text = fmt::format("kith: {}\n", sentence);
    if (!hint.empty()) fmt::format_to(std::back_inserter(text), "  try    {}\n", hint);
    return text;
}

std::string misuse_json(std::string_view sentence, std::string_view hint) {
    const json object{{"code", name_of(kith::errc::invalid)},
                      {"errno", 0},
                      {"errno_name", ""},
                      {"operation", "command line"},
                      {"object", ""},
                      {"message", sentence},
                      {"hint", hint}};
    return object.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

failure bad_address(std::string_view text, const kith::error& error, const kith::address_fault& fault) {
    failure why{error, std::string{fault.reason}};
    why.misuse = true;
    why.tries.emplace_back(how_addresses_are_written);
    if (text.empty()) return why;
    // Only where each byte takes one column can a mark stand under the right one.
    const bool plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7f'; });
    if (plain && text.size() < 100 && fault.position > 0) {
        why.place.emplace_back(text);
        why.place.push_back(fmt::format("{:>{}}", '^', fault.position + 1));
    }
    return why;
}

std::string size_text(std::uint64_t bytes) {
    static constexpr std::string_view units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (unit + 1 < std::size(units) && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        ++unit;
    }
    if (unit == 0 && bytes == 1) return "1 byte";
    return fmt::format("{} {}", bytes, units[unit]);
}

std::string quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f)
            fmt::format_to(std::back_inserter(out), "%{:02x}", byte);
        else
            out += c;
    }
    return out + '\'';
}

}  // namespace kith_cli
