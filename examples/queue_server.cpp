// queue_server: one System V queue, read by type by a server and by several clients.
//   queue_server PATH COUNT    answers COUNT requests of queue_client, each with its text in capitals
//
// Requests have type 1, and begin with the type that their client reads its reply by. For a service that must stand
// clients that die or give up, kith/compose/request_reply.hpp does the same with a written convention.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <kith/sys/sysv_mq.hpp>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using namespace kith::sys;

static int complain(const kith::error& why) {
    std::fprintf(stderr, "%s\n", kith::describe(why).c_str());
    return 1;
}

int main(int argc, char** argv) {
    if (argc != 3) return std::fputs("usage: queue_server PATH COUNT\n", stderr), 2;
    const auto key = sysv_key::from_path(argv[1], 'q');
    if (!key) return complain(key.error());
    // What an earlier run left behind would be answered first.
    const auto queue = sysv_mq::open(*key, {.create = creation::create_or_open, .old = leftovers::drain});
    if (!queue) return complain(queue.error());
    if (queue->drained() != 0)
        std::fprintf(stderr, "dropped %llu old messages\n", static_cast<unsigned long long>(queue->drained()));

    // [types]
    message_buffer<8192> message;  // received into and sent from without a copy
    for (int left = std::atoi(argv[2]); left > 0; --left) {
        const auto got = queue->receive(message.space(), message_selector::of_type(1));
        if (!got) return complain(got.error());
        // [/types]
        const std::string text{kith::text_of({message.body, got->size})};
        const auto space = text.find(' ');
        const long reply_type = std::atol(text.c_str());
        if (space == text.npos || reply_type < 2) continue;  // not one of ours

        auto reply = text.substr(space + 1);
        std::ranges::transform(reply, reply.begin(), [](unsigned char c) { return std::toupper(c); });
        // A client that is gone leaves its reply in the queue: a full one must not stop the server for ever.
        const auto sent = queue->send(reply_type, kith::bytes_of(reply), kith::deadline::in(1s));
        if (!sent && sent.error().code() != kith::errc::timed_out) return complain(sent.error());
    }

    // The last reply may still be unread. One of a client that is gone would be for ever, so not longer than a second.
    for (int i = 0; i < 100 && queue->status().value_or(sysv_mq_status{}).messages != 0; ++i)
        std::this_thread::sleep_for(10ms);
    if (auto removed = queue->remove(); !removed) return complain(removed.error());
    return 0;
}
