// read_fifo PATH [BYTES] - prints what arrives in a FIFO, until its last writer has left.
//
// Waits for the first writer as long as it takes. With BYTES it goes on, writer after writer, until it has that many.
#include <array>
#include <cstdio>
#include <cstdlib>

#include <kith/sys/fifo.hpp>

static int report(const kith::error& failure) {
    std::fprintf(stderr, "read_fifo: %s\n", kith::describe(failure).c_str());
    return 1;
}

int main(int argc, char** argv) {
    if (argc < 2 || argc > 3) return std::fprintf(stderr, "usage: read_fifo PATH [BYTES]\n"), 2;
    const bool goes_on = argc == 3;
    const auto wanted = goes_on ? std::strtoull(argv[2], nullptr, 10) : 0;

    if (auto made = kith::sys::create_fifo(argv[1], 0600, kith::sys::creation::create_or_open); !made)
        return report(made.error());
    auto fifo = kith::sys::open_fifo_reader(argv[1]);  // returns when somebody writes
    if (!fifo) return report(fifo.error());

    std::array<std::byte, 65536> buffer;
    for (unsigned long long total = 0; !goes_on || total < wanted;) {
        const auto got = fifo->read_some(buffer);
        if (got) {
            if (std::fwrite(buffer.data(), 1, *got, stdout) != *got) return std::perror("read_fifo"), 1;
            total += *got;
            continue;
        }
        if (got.error().code() != kith::errc::end_of_stream) return report(got.error());
        if (!goes_on) break;
        // Without this, the next read would say end_of_stream again, and again: wait for the next writer instead.
        if (auto again = fifo->start_over(); !again) return report(again.error());
    }
    return std::fflush(stdout) == 0 ? 0 : 1;
}
