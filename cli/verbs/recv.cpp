#include <fmt/format.h>
#include <charconv>
#include <limits>
#include <map>

#include "backends/backend.hpp"
#include "options.hpp"
#include "output.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

struct arguments {
    std::string where;
    std::optional<std::uint64_t> count;
    bool follow = false;
    std::string type;
    std::string peek;
    std::optional<std::uint64_t> max_size;
    bool truncate = false;
    std::optional<message_format> format;
};

std::optional<std::int64_t> read_number(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (status != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

/// "0", "N", "-N" and "!N" as msgrcv(2) takes them.
std::optional<selection> read_selection(std::string_view text) {
    const bool except = text.starts_with('!');
    const auto number = read_number(except ? text.substr(1) : text);
    if (!number || (except && *number <= 0) || *number == std::numeric_limits<std::int64_t>::min()) return std::nullopt;
    if (except) return selection{selection::rule::except, *number};
    if (*number == 0) return selection{};
    return *number > 0 ? selection{selection::rule::exactly, *number}
                       : selection{selection::rule::lowest_upto, -*number};
}

class receiving {
public:
    receiving(session& s, const arguments& how, receive_options options, receiver& from)
        : s_{s}, how_{how}, options_{options}, from_{from} {}

    int run() { return from_.is_stream() ? stream() : messages(); }

private:
    int messages() {
        const auto wanted = how_.follow ? std::numeric_limits<std::uint64_t>::max() : how_.count.value_or(1);
        for (std::uint64_t i = 0; i < wanted; ++i) {
            auto one = from_.receive(options_, s_.wait());
            // Everything that was there: that is what --follow --no-wait asks for.
            if (!one && how_.follow && i > 0 && one.error().cause.code() == kith::errc::would_block) return exit_done;
            if (!one) return s_.fail(doing(), how_.where, one.error());
            if (!s_.write(message_text(*one, format()))) return exit_failed;
            if (one->truncated) s_.remark(fmt::format("a message was cut to {} bytes", one->body.size()));
            if (options_.peek) ++*options_.peek;
        }
        return exit_done;
    }

    // Until the end, or until --max-size bytes have come.
    int stream() {
        constexpr std::size_t piece = 65536;
        std::uint64_t left = how_.max_size.value_or(std::numeric_limits<std::uint64_t>::max());
        std::uint64_t got = 0;
        while (left > 0) {
            options_.max_size = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece));
            auto one = from_.receive(options_, s_.wait());
            if (!one) {
                const auto code = one.error().cause.code();
                const bool all = code == kith::errc::end_of_stream ||
                                 (code == kith::errc::would_block && s_.no_wait && !how_.follow);
                if (!all || got == 0) return s_.fail(doing(), how_.where, one.error());
                break;
            }
            got += one->body.size();
            left -= one->body.size();
            if (!s_.write(stream_text(*one))) return exit_failed;
        }
        if (format() == message_format::hex && !s_.write("\n")) return exit_failed;
        return exit_done;
    }

    // A stream's pieces have no meaning: formats that mark the end of a message mark the end of the stream.
    [[nodiscard]] std::string stream_text(const message& piece) const {
        switch (format()) {
        case message_format::raw:
        case message_format::lines: return message_text(piece, message_format::raw);
        case message_format::hex: {
            auto text = message_text(piece, message_format::hex);
            text.pop_back();
            return text;
        }
        case message_format::json: break;
        }
        return message_text(piece, message_format::json);
    }

    [[nodiscard]] message_format format() const {
        return how_.format.value_or(s_.json ? message_format::json : message_format::raw);
    }
    [[nodiscard]] std::string_view doing() const { return options_.peek ? "peek at" : "receive from"; }

    session& s_;
    const arguments& how_;
    receive_options options_;
    receiver& from_;
};

int run_recv(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    receive_options options{.truncate = how.truncate};
    if (how.max_size) options.max_size = static_cast<std::size_t>(*how.max_size);
    if (!how.type.empty()) {
        const auto which = read_selection(how.type);
        if (!which)
            return s.misuse(fmt::format("--type: '{}' is not 0, N, -N or !N", how.type),
                            "--type 3, --type -3 or --type '!3'");
        options.which = *which;
    }
    if (!how.peek.empty()) {
        const auto index = read_number(how.peek);
        if (!index || *index < 0)
            return s.misuse(fmt::format("--peek: '{}' is not an index", how.peek),
                            "--peek, or --peek=2 for the third message");
        options.peek = static_cast<std::uint64_t>(*index);
        if (how.follow)
            return s.misuse("--peek and --follow exclude each other: a message that stays would come again");
        if (!how.type.empty()) return s.misuse("--peek and --type exclude each other: the kernel peeks by index only");
    }
    auto& mechanism = backend_for(where->mechanism());
    const auto* const queue_only = options.which.how != selection::rule::any ? "--type"
                                   : options.peek.value_or(0) > 0            ? "--peek=INDEX"
                                                                             : nullptr;
    if (queue_only != nullptr && where->mechanism() != kith::scheme::sysv_mq)
        return s.fail("receive from", how.where,
                      option_refused(mechanism, queue_only,
                                     "only a System V queue lets its reader choose; a POSIX queue goes by priority")
                          .error());
    if (!s.can_write()) return exit_failed;
    // Receiving binds the socket's path, which must not stay behind.
    if (where->mechanism() == kith::scheme::unix_socket) s.catch_signals();
    auto from = mechanism.open_receiver(*where, {.follow = how.follow, .peek = options.peek.has_value()}, s.wait());
    if (!from) return s.fail("receive from", how.where, from.error());
    if ((*from)->is_stream() && how.count)
        return s.misuse("--count: a stream has no messages to count", "--max-size N to stop after N bytes");
    if ((*from)->is_stream() && options.peek) return s.misuse("--peek: a stream has no messages to look at");
    return receiving{s, how, options, **from}.run();
}

}  // namespace

void add_recv(CLI::App& app, session& s) {
    static const std::map<std::string, message_format> formats{{"raw", message_format::raw},
                                                               {"lines", message_format::lines},
                                                               {"hex", message_format::hex},
                                                               {"json", message_format::json}};
    const auto how = std::make_shared<arguments>();
    auto& verb = add_verb(app, s, "recv", "receive messages, or bytes until the stream ends",
                          [&s, how] { return run_recv(s, *how); });
    add_address(verb, how->where);
    auto* count = verb.add_option("-n,--count", how->count, "receive this many messages instead of one")
                      ->type_name("N")
                      ->check(not_natural);
    verb.add_flag("--follow", how->follow, "receive until the object ends or a signal comes")->excludes(count);
    verb.add_option("--type", how->type,
                    "which message: 0 the oldest, N of that type, -N the lowest type up to N, !N of another type")
        ->type_name("T");
    verb.add_flag("--peek{0}", how->peek, "look at message INDEX (0 is the oldest) and leave it: --peek=INDEX")
        ->type_name("[=INDEX]");
    add_size(verb, "--max-size", how->max_size, "the longest message to take; of a stream, the bytes to take");
    verb.add_flag("--truncate", how->truncate, "cut a longer message instead of failing");
    verb.add_option("--format", how->format, "one of raw, lines, hex and json")
        ->type_name("FORMAT")
        ->transform(CLI::Transformer(formats).description(""));
    add_wait_options(verb, s);
}

}  // namespace kith_cli
