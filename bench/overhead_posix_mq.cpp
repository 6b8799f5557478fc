// POSIX message queues.
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>
#include <array>
#include <cstdio>
#include <cstdlib>
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
const pair open_new = compare(
    "posix_mq open a new one, close and unlink_posix_mq",
    [] { return "/kith_bench_new_" + std::to_string(::getpid()); },
    [](const std::string& name) {
        const int fd = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600, nullptr);
        must_be(fd >= 0 && ::mq_close(fd) == 0 && ::mq_unlink(name.c_str()) == 0);
    },
    [](const std::string& name) {
        must(posix_mq::open(name, {.create = creation::must_be_new}));
        must(unlink_posix_mq(name));
    });
const pair adopt = compare(
    "posix_mq adopt (F_GETFL, mq_getattr: it is a queue)", make,
    [](queue& q) {
        mq_attr now{};
        must_be(::fcntl(q.fd(), F_GETFL) >= 0 && ::mq_getattr(q.fd(), &now) == 0);
        benchmark::DoNotOptimize(now);
    },
    [](queue& q) {
        auto fd = q.mq.release();
        q.mq = std::move(*must(posix_mq::adopt(std::move(fd))));
    });
const pair drain = compare_in_batches(
    "posix_mq drain one message (mq_getattr: how many)", 1, make,
    [](queue& q) {
        mq_attr now{};
        must_be(::mq_getattr(q.fd(), &now) == 0 && now.mq_curmsgs == 1);
        must_be(::mq_receive(q.fd(), q.bytes(), q.body.size(), nullptr) == size);
    },
    [](queue& q) { must_be(*must(q.mq.drain()) == 1); },
    [](queue& q) { must_be(::mq_send(q.fd(), q.bytes(), size, 1) == 0); });
// The status line, read and parsed.
const pair kernel_status = compare(
    "posix_mq kernel_status", make,
    [](queue& q) {
        std::array<char, 128> text;
        const auto count = ::pread(q.fd(), text.data(), text.size() - 1, 0);
        must_be(count > 0);
        text.at(static_cast<std::size_t>(count)) = '\0';
        long bytes = 0;
        int how = 0;
        int signal = 0;
        int pid = 0;
        must_be(std::sscanf(text.data(), "QSIZE:%ld NOTIFY:%d SIGNO:%d NOTIFY_PID:%d", &bytes, &how, &signal, &pid) ==
                4);
        benchmark::DoNotOptimize(bytes);
    },
    [](queue& q) { must(q.mq.kernel_status()); });
constexpr auto nothing_to_do = [] {
    sigevent how{};
    how.sigev_notify = SIGEV_NONE;
    return how;
};
const pair notify = compare(
    "posix_mq notify and cancel_notification", make,
    [](queue& q) {
        const auto how = nothing_to_do();
        must_be(::mq_notify(q.fd(), &how) == 0 && ::mq_notify(q.fd(), nullptr) == 0);
    },
    [](queue& q) { must(q.mq.notify(nothing_to_do())), must(q.mq.cancel_notification()); });
const pair limits = compare(
    "posix_mq read_posix_mq_limits (open, read and close of five files in /proc; getrlimit)", no_object,
    [](nothing) {
        for (const char* path :
             {"/proc/sys/fs/mqueue/msg_max", "/proc/sys/fs/mqueue/msgsize_max", "/proc/sys/fs/mqueue/msg_default",
              "/proc/sys/fs/mqueue/msgsize_default", "/proc/sys/fs/mqueue/queues_max"}) {
            const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
            std::array<char, 32> text{};
            must_be(::read(fd, text.data(), text.size() - 1) > 0 && ::close(fd) == 0);
            benchmark::DoNotOptimize(std::atol(text.data()));
        }
        rlimit per_user{};
        must_be(::getrlimit(RLIMIT_MSGQUEUE, &per_user) == 0);
        benchmark::DoNotOptimize(per_user);
    },
    [](nothing) { must(read_posix_mq_limits()); });

}  // namespace
