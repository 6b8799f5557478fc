// fifo_client PATH COUNT... - asks fifo_server for numbers, once for each COUNT, and prints what it was given.
#include <array>
#include <chrono>
#include <cstdio>

#include <kith/compose/reply_fifo.hpp>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
    if (argc < 3) return std::fprintf(stderr, "usage: fifo_client PATH COUNT...\n"), 2;

    auto client = kith::compose::reply_client::open(argv[1], kith::deadline::in(10s));
    if (!client) return std::fprintf(stderr, "fifo_client: %s\n", kith::describe(client.error()).c_str()), 1;

    for (int i = 2; i < argc; ++i) {
        std::array<std::byte, 256> reply;
        const auto size = client->call(kith::bytes_of(argv[i]), reply, kith::deadline::in(10s));
        if (!size) return std::fprintf(stderr, "fifo_client: %s\n", kith::describe(size.error()).c_str()), 1;
        const auto text = kith::text_of(std::span{reply}.first(*size));
        std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
    }
    return 0;
}
