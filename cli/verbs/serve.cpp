#include <fmt/format.h>
#include <atomic>
#include <list>
#include <semaphore>
#include <thread>

#include "backends/backend.hpp"
#include "command.hpp"
#include "options.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

constexpr unsigned most_jobs = 256;

struct arguments {
    std::string where;
    listen_options options;
    std::optional<std::uint64_t> count;
    unsigned jobs = 1;
    std::optional<std::uint64_t> max_size;
};

class serving {
public:
    serving(session& s, const arguments& how, server& at) : s_{s}, how_{how}, server_{at}, idle_{how.jobs} {}

    int run() {
        const int status = take_requests();
        // Every exchange that was begun is ended before the server's object goes.
        for (auto& one : workers_) one.thread.join();
        return fatal_ != exit_done ? fatal_.load() : status;
    }

private:
    int take_requests() {
        for (std::uint64_t i = 0; !how_.count || i < *how_.count; ++i) {
            idle_.acquire();
            if (fatal_ != exit_done) return exit_failed;
            auto one = server_.next(s_.wait());
            if (!one) return s_.fail("take a request from", how_.where, one.error());
            if (how_.jobs == 1) {
                answer(**one);
                idle_.release();
                continue;
            }
            reap();
            auto& fresh = workers_.emplace_back();
            fresh.thread = std::thread{[this, &fresh, job = std::move(*one)]() mutable {
                answer(*job);
                job.reset();
                fresh.ended = true;
                idle_.release();
            }};
        }
        return exit_done;
    }

    // What goes wrong with one client is told, and the next one is served.
    void answer(exchange& with) {
        const auto most = static_cast<std::size_t>(how_.max_size.value_or(std::uint64_t{64} << 20U));
        const auto request = with.request(most, s_.wait());
        if (!request) {
            s_.fail("read a request from", how_.where, request.error());
            return;
        }
        const auto reply = run_filter(s_.command, *request, most);
        // Without a reply the exchange tells the client, as far as the mechanism can, that there will be none.
        if (!reply && reply.error().cause.operation() == std::string_view{"posix_spawnp"}) {
            const int status = command_not_started(s_, s_.command, reply.error());
            if (is_no_program(reply.error())) fatal_ = status;
            return;
        }
        if (!reply || reply->ended != kith::sys::exit_status{}) {
            s_.fail("reply with the output of", s_.command.front(), reply ? failed(reply->ended) : reply.error());
            return;
        }
        if (const auto sent = with.reply(reply->out, s_.wait()); !sent)
            s_.fail(fmt::format("send a reply of {} bytes through", reply->out.size()), how_.where, sent.error());
    }

    static failure failed(const kith::sys::exit_status& ended) {
        const auto how =
            fmt::format("{} {}", ended.signaled ? "was ended by signal" : "ended with status", ended.value);
        return failure{kith::error{kith::errc::io, "waitid"}, fmt::format("it {}; the client gets no reply", how)}
            .suggest("a COMMAND that ends with 0 where its output is the reply");
    }

    struct worker {
        std::thread thread;
        std::atomic<bool> ended{false};
    };
    void reap() {
        workers_.remove_if([](worker& one) {
            if (!one.ended) return false;
            one.thread.join();
            return true;
        });
    }

    session& s_;
    const arguments& how_;
    server& server_;
    std::counting_semaphore<most_jobs> idle_;
    std::list<worker> workers_;
    std::atomic<int> fatal_{exit_done};
};

int run_serve(session& s, const arguments& how) {
    if (s.command.empty()) return s.misuse("COMMAND is missing", "kith serve unix:/run/x.sock -- tr a-z A-Z");
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    s.catch_signals();
    auto at = backend_for(where->mechanism()).serve(*where, how.options);
    if (!at) return s.fail("serve", how.where, at.error());
    const auto really = (*at)->where().text();
    if (really != where->text())
        s.announce("serving " + really);
    else
        s.remark("serving " + really);
    return serving{s, how, **at}.run();
}

}  // namespace

void add_serve(CLI::App& app, session& s) {
    const auto how = std::make_shared<arguments>();
    auto& verb = add_verb(app, s, "serve", "run COMMAND for each request: request on its input, reply from its output",
                          [&s, how] { return run_serve(s, *how); });
    add_address(verb, how->where);
    verb.add_option("-n,--count", how->count, "end after this many requests")->type_name("N")->check(not_natural);
    verb.add_option("-j,--jobs", how->jobs, "run this many COMMANDs at once, 1 without it")
        ->type_name("N")
        ->check(CLI::Range(1U, most_jobs).description(""));
    add_size(verb, "--max-size", how->max_size, "the longest request and reply, in bytes; 64M without it");
    add_mode(verb, how->options.mode);
    add_wait_options(verb, s);
    take_command(verb);
}

}  // namespace kith_cli
