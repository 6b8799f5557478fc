// POSIX message queues.
#include <fcntl.h>
#include <mqueue.h>
#include <unistd.h>
#include <array>
#include <kith/sys/posix_mq.hpp>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr std::size_t size = 100;
constexpr int batch = 8;  // the default queue takes 10

struct queue {
    queue() = default;
    ~queue() { ::mq_unlink(name.c_str()); }
    queue(const queue&) = delete;
    queue& operator=(const queue&) = delete;
    [[nodiscard]] int fd() const { return mq.native().get(); }
    [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(body.data()); }
    void empty() {
        while (::mq_receive(fd(), bytes(), body.size(), nullptr) >= 0) {
        }
    }
    void fill() {
        for (int i = 0; i < batch; ++i) must_be(::mq_send(fd(), bytes(), size, 1) == 0);
    }

    std::string name = "/kith_bench_" + std::to_string(::getpid());
    posix_mq mq = std::move(*must(posix_mq::open(name, {.create = creation::must_be_new})));
    std::array<std::byte, 8192> body{};
};
queue make() { return {}; }

const pair send = compare_in_batches(
    "posix_mq send 100 B", batch, make, [](queue& q) { must_be(::mq_send(q.fd(), q.bytes(), size, 1) == 0); },
    [](queue& q) { must(q.mq.send({q.body.data(), size}, 1)); }, [](queue& q) { q.empty(); });
const pair receive = compare_in_batches(
    "posix_mq receive 100 B", batch, make,
    [](queue& q) {
        unsigned priority = 0;
        must_be(::mq_receive(q.fd(), q.bytes(), q.body.size(), &priority) == size);
        benchmark::DoNotOptimize(priority);
    },
    [](queue& q) { must(q.mq.receive(q.body)); }, [](queue& q) { q.fill(); });
const pair receive_nothing = compare(
    "posix_mq receive of nothing, immediate", make,
    [](queue& q) {
        unsigned priority = 0;
        must_be(::mq_receive(q.fd(), q.bytes(), q.body.size(), &priority) < 0);
    },
    [](queue& q) { must_be(!q.mq.receive(q.body, kith::deadline::immediate())); });
const pair attributes = compare(
    "posix_mq attributes", make,
    [](queue& q) {
        mq_attr now{};
        must_be(::mq_getattr(q.fd(), &now) == 0);
        benchmark::DoNotOptimize(now);
    },
    [](queue& q) { must(q.mq.attributes()); });
const pair open = compare(
    "posix_mq open an existing one (mq_getattr: its limits are compared) and close", make,
    [](queue& q) {
        const int fd = ::mq_open(q.name.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
        mq_attr now{};
        must_be(fd >= 0 && ::mq_getattr(fd, &now) == 0);
        ::mq_close(fd);
    },
    [](queue& q) { must(posix_mq::open(q.name)); });

}  // namespace
