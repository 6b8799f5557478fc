// echo_server ADDRESS CLIENTS - sends back what each client sends, over a UNIX socket or TCP, until they half-close.
//
// ADDRESS is a path, or HOST:PORT with a numeric host (port 0: the kernel chooses, and the first line says which).
// One thread per client, so that a slow one holds nobody up. Ends after CLIENTS clients.
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include <kith/sys/tcp.hpp>
#include <kith/sys/unix_listener.hpp>

using namespace std::chrono_literals;
using namespace kith::sys;

static int report(const kith::error& failure) {
    std::fprintf(stderr, "echo_server: %s\n", kith::describe(failure).c_str());
    return 1;
}

// [echo]
// The same for every connected stream: UNIX and TCP differ only in how they are found.
static void echo(stream_socket& client) {
    std::array<std::byte, 65536> buffer;
    for (;;) {
        const auto got = client.read_some(buffer, kith::deadline::in(30s));
        if (!got) {
            if (got.error().code() != kith::errc::end_of_stream) report(got.error());
            return;  // closing is the end of the answer
        }
        std::size_t done = 0;
        // A client that never reads fills both directions: it is dropped, not waited for.
        if (auto sent = client.write_full(std::span{buffer}.first(*got), done, kith::deadline::in(30s)); !sent) {
            report(sent.error());
            return;
        }
    }
}
// [/echo]

template <class Listener>
static int serve(Listener& listener, long clients) {
    std::vector<std::jthread> threads;
    for (; clients > 0; --clients) {
        auto client = listener.accept();
        if (!client) return report(client.error());
        threads.emplace_back([stream = std::move(*client)]() mutable { echo(stream); });
    }
    return 0;  // the threads are joined here
}

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: echo_server PATH|HOST:PORT CLIENTS\n"), 2;
    const std::string_view address{argv[1]};
    const long clients = std::strtol(argv[2], nullptr, 10);

    if (const auto colon = address.rfind(':'); colon != std::string_view::npos) {
        const auto found = resolve(address.substr(0, colon), address.substr(colon + 1), {.numeric_only = true});
        if (!found) return report(found.error());
        auto listener = listen_tcp(found->view()[0]);
        if (!listener) return report(listener.error());
        const auto where = listener->local();
        if (!where) return report(where.error());
        std::printf("%s\n", std::string{where->text().view()}.c_str());
        std::fflush(stdout);
        return serve(*listener, clients);
    }
    const auto name = unix_name::path(address);
    if (!name) return report(name.error());
    // A server that was killed leaves its path behind; the next one takes it over.
    auto listener = listen_unix_stream(*name, {.bind = {.on_stale = unix_bind_options::stale::take_over}});
    if (!listener) return report(listener.error());
    return serve(*listener, clients);
}
