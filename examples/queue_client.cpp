// queue_client: asks queue_server, and reads its own replies only: those of the type that it chose.
//   queue_client PATH TEXT...    prints the reply to each TEXT
#include <unistd.h>
#include <cstdio>
#include <kith/sys/sysv_mq.hpp>
#include <string>

using namespace std::chrono_literals;
using namespace kith::sys;

static int complain(const kith::error& why) {
    std::fprintf(stderr, "%s\n", kith::describe(why).c_str());
    return 1;
}

int main(int argc, char** argv) {
    if (argc < 3) return std::fputs("usage: queue_client PATH TEXT...\n", stderr), 2;
    const auto key = sysv_key::from_path(argv[1], 'q');
    if (!key) return complain(key.error());
    const auto queue = sysv_mq::open(*key);
    if (!queue) return complain(queue.error());

    const long mine = ::getpid() + 1L;  // 1 is the type of requests
    // Replies to an earlier process with this pid.
    std::byte body[8192];
    while (queue->receive_cutting(body, message_selector::of_type(mine), kith::deadline::immediate())) {
    }
    for (int i = 2; i < argc; ++i) {
        const auto request = std::to_string(mine) + ' ' + argv[i];
        const auto until = kith::deadline::in(10s);  // for both halves together
        if (auto sent = queue->send(1, kith::bytes_of(request), until); !sent) return complain(sent.error());
        const auto got = queue->receive(body, message_selector::of_type(mine), until);
        if (!got) return complain(got.error());
        std::printf("%.*s\n", static_cast<int>(got->size), reinterpret_cast<const char*>(body));
    }
    return 0;
}
