// System V message queues. The bare side uses the flags that kith's rules lead to: sending tries without waiting first.
#include <sys/ipc.h>
#include <sys/msg.h>
#include <array>
#include <cstring>
#include <kith/sys/sysv_mq.hpp>
#include <vector>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr std::size_t size = 100;
constexpr int batch = 64;

struct queue {
    queue() { message.type = 7; }
    ~queue() { ::msgctl(id(), IPC_RMID, nullptr); }
    queue(const queue&) = delete;
    queue& operator=(const queue&) = delete;
    [[nodiscard]] int id() const { return mq.native_id(); }
    [[nodiscard]] void* raw() { return &message; }
    void empty() {
        while (::msgrcv(id(), raw(), 1024, 0, IPC_NOWAIT) >= 0) {
        }
    }
    void fill() {
        for (int i = 0; i < batch; ++i) must_be(::msgsnd(id(), raw(), size, IPC_NOWAIT) == 0);
    }

    sysv_mq mq = *must(sysv_mq::open(sysv_key::private_object(), {.create = creation::must_be_new}));
    message_buffer<1024> message{};
    std::array<std::byte, 1024> body{};
};
queue make() { return {}; }
constexpr auto empty = [](queue& q) { q.empty(); };
constexpr auto refill = [](queue& q) { q.fill(); };

const pair send_in_place = compare_in_batches(
    "sysv_mq send 100 B in place", batch, make,
    [](queue& q) { must_be(::msgsnd(q.id(), q.raw(), size, IPC_NOWAIT) == 0); },
    [](queue& q) { must(q.mq.send(q.message.space(), size)); }, empty);
const pair send_a_body = compare_in_batches(
    "sysv_mq send 100 B from a body (copied behind a type)", batch, make,
    [](queue& q) {
        message_buffer<1024> copy;
        copy.type = 7;
        std::memcpy(copy.body, q.body.data(), size);
        must_be(::msgsnd(q.id(), &copy, size, IPC_NOWAIT) == 0);
    },
    [](queue& q) { must(q.mq.send(7, {q.body.data(), size})); }, empty);
const pair receive_in_place = compare_in_batches(
    "sysv_mq receive 100 B in place", batch, make,
    [](queue& q) { must_be(::msgrcv(q.id(), q.raw(), 1024, 0, 0) == size); },
    [](queue& q) { must(q.mq.receive(q.message.space())); }, refill);
const pair receive_a_body = compare_in_batches(
    "sysv_mq receive 100 B into a body (copied from behind a type)", batch, make,
    [](queue& q) {
        message_buffer<1024> copy;
        const auto n = ::msgrcv(q.id(), &copy, 1024, 0, 0);
        must_be(n == size);
        auto count = static_cast<std::size_t>(n);
        benchmark::DoNotOptimize(count);  // not a constant in life
        std::memcpy(q.body.data(), copy.body, count);
    },
    [](queue& q) { must(q.mq.receive(q.body)); }, refill);
const pair receive_by_type = compare_in_batches(
    "sysv_mq receive 100 B by type", batch, make,
    [](queue& q) { must_be(::msgrcv(q.id(), q.raw(), 1024, 7, 0) == size); },
    [](queue& q) { must(q.mq.receive(q.message.space(), message_selector::of_type(7))); }, refill);
// The buffer has a byte more, which only a longer message fills.
const pair receive_cutting = compare_in_batches(
    "sysv_mq receive_cutting 100 B in place", batch, make,
    [](queue& q) { must_be(::msgrcv(q.id(), q.raw(), 1025, 0, MSG_NOERROR) == size); },
    [](queue& q) { must(q.mq.receive_cutting(q.message.space())); }, refill);
const pair drain = compare_in_batches(
    "sysv_mq drain one message (msgctl: how many)", 1, make,
    [](queue& q) {
        msqid_ds state{};
        must_be(::msgctl(q.id(), IPC_STAT, &state) == 0 && state.msg_qnum == 1);
        must_be(::msgrcv(q.id(), q.raw(), 0, 0, MSG_NOERROR | IPC_NOWAIT) == 0);
    },
    [](queue& q) { must_be(*must(q.mq.drain()) == 1); },
    [](queue& q) { must_be(::msgsnd(q.id(), q.raw(), size, IPC_NOWAIT) == 0); });
const pair receive_nothing = compare(
    "sysv_mq receive of nothing, immediate", make,
    [](queue& q) { must_be(::msgrcv(q.id(), q.raw(), 1024, 0, IPC_NOWAIT) < 0); },
    [](queue& q) { must_be(!q.mq.receive(q.message.space(), message_selector::any(), kith::deadline::immediate())); });
const pair peek = compare(
    "sysv_mq peek 100 B in place",
    [] {
        struct filled : queue {
            filled() { fill(); }
        };
        return filled{};
    },
    [](queue& q) { must_be(::msgrcv(q.id(), q.raw(), 1024, 0, MSG_COPY | IPC_NOWAIT) == size); },
    [](queue& q) { must(q.mq.peek(q.message.space())); });
const pair status = compare(
    "sysv_mq status", make,
    [](queue& q) {
        msqid_ds state{};
        must_be(::msgctl(q.id(), IPC_STAT, &state) == 0);
        benchmark::DoNotOptimize(state);
    },
    [](queue& q) { must(q.mq.status()); });
struct made_queues {
    std::vector<int> ids;
    void remove() {
        for (const int id : ids) must_be(::msgctl(id, IPC_RMID, nullptr) == 0);
        ids.clear();
    }
    made_queues() { ids.reserve(batch); }
};
const pair create = compare_in_batches(
    "sysv_mq open, private", batch, [] { return made_queues{}; },
    [](made_queues& made) {
        const int id = ::msgget(IPC_PRIVATE, IPC_CREAT | IPC_EXCL | 0600);
        must_be(id >= 0);
        made.ids.push_back(id);
    },
    [](made_queues& made) {
        const auto queue = must(sysv_mq::open(sysv_key::private_object(), {.create = creation::must_be_new}));
        made.ids.push_back(queue->native_id());
    },
    [](made_queues& made) { made.remove(); });

}  // namespace
