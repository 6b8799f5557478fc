// hello_queue: the README's example. Sends a message of type 7 to a System V queue and receives it by its type.

#include <cstdio>
#include <kith/kith.hpp>

using namespace std::chrono_literals;
using namespace kith::sys;

static int complain(const kith::error& why) { return std::puts(kith::describe(why).c_str()), 1; }

int main() {
    auto queue = sysv_mq::open(sysv_key{0x4b01}, {.create = creation::create_or_open, .mode = 0600});
    if (!queue) return complain(queue.error());

    if (auto sent = queue->send(7, kith::bytes_of("hello")); !sent) return complain(sent.error());

    std::byte buffer[8192];
    auto got = queue->receive(buffer, message_selector::of_type(7), kith::deadline::in(100ms));
    if (!got) return complain(got.error());
    std::printf("type %ld: %.*s\n", got->type, static_cast<int>(got->size), reinterpret_cast<char*>(buffer));

    return queue->remove() ? 0 : 1;
}
