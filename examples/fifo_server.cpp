// fifo_server PATH REQUESTS - hands out numbers: each request asks for some, and the reply says which were given.
//
// Clients (fifo_client) send through the well-known FIFO at PATH; each gets its reply through a FIFO of its own.
// Ends after REQUESTS requests.
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <kith/compose/reply_fifo.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: fifo_server PATH REQUESTS\n"), 2;

    auto server = kith::compose::reply_server::open(argv[1]);
    if (!server) return std::fprintf(stderr, "fifo_server: %s\n", kith::describe(server.error()).c_str()), 1;

    long next = 1;
    std::array<std::byte, kith::compose::reply_fifo_request_max> body;
    for (long left = std::strtol(argv[2], nullptr, 10); left > 0;) {
        const auto request = server->receive(body);
        if (!request) {
            std::fprintf(stderr, "fifo_server: %s\n", kith::describe(request.error()).c_str());
            if (request.error().code() == kith::errc::bad_peer) continue;  // no request; what follows may be one
            return 1;
        }
        --left;
        const auto text = kith::text_of(std::span{body}.first(request->size));
        long count = 0;
        const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
        if (problem != std::errc{} || end != text.data() + text.size() || count < 1 || count > 1000) {
            if (auto said = server->reply(request->from, kith::bytes_of("a number from 1 to 1000, please"),
                                          kith::deadline::in(5s));
                !said)
                std::fprintf(stderr, "fifo_server: %s\n", kith::describe(said.error()).c_str());
            continue;
        }
        const auto reply = std::to_string(next) + " to " + std::to_string(next + count - 1);
        next += count;
        // [reply]
        // A client that was killed in between, or does not read, must not hold the server up.
        if (auto sent = server->reply(request->from, kith::bytes_of(reply), kith::deadline::in(5s)); !sent)
            std::fprintf(stderr, "fifo_server: %s\n", kith::describe(sent.error()).c_str());
        // [/reply]
    }
    return 0;
}
