#include <fmt/format.h>
#include <array>
#include <kith/sys/posix_mq.hpp>

#include "backends/backend.hpp"
#include "input.hpp"
#include "messages.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

struct arguments {
    std::string where;
    std::optional<std::string> text;
    std::optional<std::string> file;
    bool lines = false;
    send_options options;
};

// Where a mechanism does not say how long a message may be, memory has to have an end somewhere.
constexpr std::size_t largest_message = std::size_t{256} << 20U;

constexpr auto only_in_queues =
    "a message has a --type in System V queues, a --priority in POSIX queues, neither elsewhere";

class sending {
public:
    sending(session& s, const arguments& how, sender& to, input& from) : s_{s}, how_{how}, to_{to}, from_{from} {}

    int run() {
        const int status = how_.lines ? by_line() : to_.is_stream() ? as_stream() : as_message();
        if (status != exit_done) return status;
        if (const auto end = to_.finish(); !end) return s_.fail("finish sending to", how_.where, end.error());
        if (s_.json) return s_.print(facts{}.add("messages", messages_).add("bytes", bytes_));
        return exit_done;
    }

private:
    int by_line() {
        line_reader lines{from_};
        for (;;) {
            auto next = lines.next(most(), s_.patient());
            if (!next) return input_failed(next.error());
            auto& line = *next;
            if (!line) return exit_done;
            // In a stream the newline is the only boundary there is.
            if (to_.is_stream()) line->push_back(std::byte{'\n'});
            if (const int status = send(*line); status != exit_done) return status;
        }
    }
    int as_stream() {
        std::array<std::byte, 65536> piece;
        for (;;) {
            const auto count = from_.read_some(piece, s_.patient());
            if (!count) return input_failed(count.error());
            if (*count == 0) return exit_done;
            if (const int status = send(std::span{piece}.first(*count)); status != exit_done) return status;
        }
    }
    int as_message() {
        const auto body = from_.read_all(most(), s_.patient());
        if (!body) return input_failed(body.error());
        return send(*body);
    }
    int send(kith::byte_view body) {
        if (const auto sent = to_.send(body, how_.options, s_.wait()); !sent)
            return s_.fail(fmt::format("send {} to", size_text(body.size())), how_.where, sent.error());
        ++messages_;
        bytes_ += body.size();
        return exit_done;
    }
    int input_failed(const failure& why) {
        if (why.cause.code() != kith::errc::too_long) return s_.fail("read", from_.name(), why);
        return s_.fail("send to", how_.where, why);
    }
    [[nodiscard]] std::size_t most() const { return to_.max_message() != 0 ? to_.max_message() : largest_message; }

    session& s_;
    const arguments& how_;
    sender& to_;
    input& from_;
    std::uint64_t messages_ = 0;
    std::uint64_t bytes_ = 0;
};

int run_send(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    if (how.options.type && *how.options.type < 1)
        return s.misuse("--type: a message has a type from 1 on", "--type 1");
    if (how.options.priority &&
        (*how.options.priority < 0 || *how.options.priority > kith::sys::posix_mq_highest_priority))
        return s.misuse(fmt::format("--priority: a priority is 0 to {}", kith::sys::posix_mq_highest_priority),
                        "--priority 0");
    auto& mechanism = backend_for(where->mechanism());
    if (how.options.type && where->mechanism() != kith::scheme::sysv_mq)
        return s.fail("send to", how.where, option_refused(mechanism, "--type", only_in_queues).error());
    if (how.options.priority && where->mechanism() != kith::scheme::posix_mq)
        return s.fail("send to", how.where, option_refused(mechanism, "--priority", only_in_queues).error());
    // Before the object is opened: a missing file must not let a reader of a FIFO see a writer come and go.
    auto from = input::from(how.text, how.file);
    if (!from) return s.fail("read", how.file.value_or(""), from.error());
    auto to = mechanism.open_sender(*where, {}, s.wait());
    if (!to) return s.fail("send to", how.where, to.error());
    return sending{s, how, **to, *from}.run();
}

}  // namespace

void add_send(CLI::App& app, session& s) {
    const auto how = std::make_shared<arguments>();
    auto& verb = add_verb(app, s, "send", "send one message, or bytes, exactly as given",
                          [&s, how] { return run_send(s, *how); });
    add_address(verb, how->where);
    auto* text = verb.add_option("TEXT", how->text, "what to send; without it --file or standard input")->type_name("");
    verb.add_option("-f,--file", how->file, "send the content of this file")->type_name("F")->excludes(text);
    verb.add_flag("--lines", how->lines, "send each line as a message of its own, without its newline");
    verb.add_option("--type", how->options.type, "the type of the message, at least 1 (System V queues)")
        ->type_name("N");
    verb.add_option("--priority", how->options.priority, "the priority of the message, 0 to 32767 (POSIX queues)")
        ->type_name("N");
    add_wait_options(verb, s);
}

}  // namespace kith_cli
