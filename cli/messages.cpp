#include "messages.hpp"

#include <fmt/format.h>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

namespace kith_cli {
namespace {

using json = nlohmann::ordered_json;

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

/// The next step that a code alone suggests.
std::vector<std::string> usual_steps(const attempt& what, kith::errc code) {
    switch (code) {
    case kith::errc::would_block: return {"--timeout D instead of --no-wait waits, for at most D"};
    case kith::errc::timed_out: return {"a longer --timeout, or check that the other side is running"};
    case kith::errc::not_found:
        if (what.object.starts_with("pid:")) return {"ps -e   lists the processes that run here"};
        return {"kith create makes it, where it is an object that has to be made",
                "objects of another container (IPC, mount or network namespace) are not visible here"};
    case kith::errc::exists: return {"another name, or without --exclusive to use the one that is there"};
    case kith::errc::not_permitted: return {who_may(what)};
    case kith::errc::peer_gone: return {"start the other side first"};
    case kith::errc::removed: return {"kith create makes it again"};
    case kith::errc::truncated: return {"--max-size N makes room, --truncate cuts it"};
    default: return {};
    }
}

/// Whether what was tried is about a file that an option names, not about an object at an address.
bool is_file(const attempt& what) { return !what.object.empty() && !kith::address::parse(what.object); }

std::string reason_of(const attempt& what, const failure& why) {
    if (!why.reason.empty()) return why.reason;
    const std::string_view operation = why.cause.operation();
    if (is_file(what) && why.cause.code() == kith::errc::not_found) return "there is no such file";
    if (is_file(what) && why.cause.code() == kith::errc::not_permitted) return "you may not read or write this file";
    if (why.cause.os_error() == ENOENT && operation == "ftok")
        return "the path that its key is made from does not exist";
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
    const bool by_path = why.cause.os_error() == ENOENT && std::string_view{why.cause.operation()} == "ftok";
    if (all.tries.empty() && why.reason.empty() && !by_path && !is_file(what))
        all.tries = usual_steps(what, why.cause.code());
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
