// write_fifo PATH - copies standard input into a FIFO, for read_fifo or `cat` at the other end.
//
// Makes the FIFO if it is not there, and waits up to a minute for somebody to read it.
#include <unistd.h>
#include <array>
#include <chrono>
#include <cstdio>

#include <kith/sys/fifo.hpp>

using namespace std::chrono_literals;

static int report(const kith::error& failure) {
    std::fprintf(stderr, "write_fifo: %s\n", kith::describe(failure).c_str());
    return 1;
}

int main(int argc, char** argv) {
    if (argc != 2) return std::fprintf(stderr, "usage: write_fifo PATH < DATA\n"), 2;

    if (auto made = kith::sys::create_fifo(argv[1], 0600, kith::sys::creation::create_or_open); !made)
        return report(made.error());
    // [write]
    auto fifo = kith::sys::open_fifo_writer(argv[1], kith::deadline::in(60s));
    if (!fifo) return report(fifo.error());
    // [/write]

    auto input = kith::duplicate(kith::borrowed_fd{STDIN_FILENO});
    if (!input) return report(input.error());
    auto stream = kith::io_fd::adopt(std::move(*input));
    if (!stream) return report(stream.error());
    kith::sys::byte_reader from{std::move(*stream)};

    std::array<std::byte, 65536> buffer;
    for (;;) {
        const auto got = from.read_some(buffer);
        if (!got && got.error().code() == kith::errc::end_of_stream) return 0;
        if (!got) return report(got.error());
        std::size_t done = 0;
        // A reader that leaves is an error here, peer_gone, and not a signal that ends the program.
        if (auto sent = fifo->write_full(std::span{buffer}.first(*got), done); !sent) return report(sent.error());
    }
}
