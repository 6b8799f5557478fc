// echo_client ADDRESS - sends standard input to an echo_server and prints what comes back.
//
// Sends and reads at the same time: a client that sent everything first would block for ever, as soon as the answer
// that nobody reads has filled the buffers of both directions.
#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>

#include <kith/sys/tcp.hpp>
#include <kith/sys/unix_socket.hpp>

using namespace std::chrono_literals;
using namespace kith::sys;

static int report(const kith::error& failure) {
    std::fprintf(stderr, "echo_client: %s\n", kith::describe(failure).c_str());
    return 1;
}

static int talk(stream_socket& server) {
    // Reading and writing one socket from two threads is safe: the directions have nothing in common.
    int sent_status = 0;
    std::jthread sender{[&] {
        std::array<char, 65536> buffer;
        for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), stdin)) > 0;) {
            std::size_t done = 0;
            if (auto sent = server.write_full(kith::bytes_of({buffer.data(), n}), done, kith::deadline::in(30s));
                !sent) {
                sent_status = report(sent.error());
                return;
            }
        }
        // Half-close: the server reads the end, and can still answer.
        if (auto ended = server.shutdown(direction::send); !ended) sent_status = report(ended.error());
    }};
    int status = 0;
    std::array<std::byte, 65536> buffer;
    for (;;) {
        const auto got = server.read_some(buffer, kith::deadline::in(30s));
        if (!got) {
            if (got.error().code() != kith::errc::end_of_stream) status = report(got.error());
            break;
        }
        std::fwrite(buffer.data(), 1, *got, stdout);
    }
    sender.join();
    return status != 0 ? status : sent_status;
}

int main(int argc, char** argv) {
    if (argc != 2) return std::fprintf(stderr, "usage: echo_client PATH|HOST:PORT\n"), 2;
    const std::string_view address{argv[1]};

    if (const auto colon = address.rfind(':'); colon != std::string_view::npos) {
        const auto found = resolve(address.substr(0, colon), address.substr(colon + 1));
        if (!found) return report(found.error());
        auto server = connect_tcp(found->view(), kith::deadline::in(10s));
        if (!server) return report(server.error());
        return talk(*server);
    }
    const auto name = unix_name::path(address);
    if (!name) return report(name.error());
    auto server = connect_unix_stream(*name, kith::deadline::in(10s));
    if (!server) return report(server.error());
    return talk(*server);
}
