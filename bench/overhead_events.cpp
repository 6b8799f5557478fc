// Descriptors that tell of events, and waiting for several of them.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <array>
#include <kith/sys/eventfd.hpp>
#include <kith/sys/poll.hpp>
#include <kith/sys/signalfd.hpp>
#include <kith/sys/timerfd.hpp>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

struct counter {
    event_fd fd = std::move(*must(open_eventfd(0xffff'ffff, eventfd_mode::one_by_one)));
    [[nodiscard]] int raw() const { return fd.native().get(); }
};
counter make_counter() { return {}; }
counter make_empty_counter() {
    counter made;
    made.fd = std::move(*must(open_eventfd()));
    return made;
}
const pair add = compare(
    "eventfd add", make_counter,
    [](counter& c) {
        const std::uint64_t one = 1;
        must_be(::write(c.raw(), &one, sizeof one) == sizeof one);
    },
    [](counter& c) { must(c.fd.add(1)); });
const pair take = compare(
    "eventfd take", make_counter,
    [](counter& c) {
        std::uint64_t number = 0;
        must_be(::read(c.raw(), &number, sizeof number) == sizeof number);
        benchmark::DoNotOptimize(number);
    },
    [](counter& c) { must(c.fd.take()); });
const pair take_nothing = compare(
    "eventfd take of nothing, immediate", make_empty_counter,
    [](counter& c) {
        std::uint64_t number = 0;
        must_be(::read(c.raw(), &number, sizeof number) < 0);
    },
    [](counter& c) { must_be(!c.fd.take(kith::deadline::immediate())); });
const pair open_counter = compare(
    "eventfd open_eventfd and close", no_object, [](nothing) { ::close(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); },
    [](nothing) { must(open_eventfd()); });

constexpr int signals = 16;
struct signal_queue {
    signal_queue() = default;
    signal_queue(const signal_queue&) = delete;
    signal_queue& operator=(const signal_queue&) = delete;
    void fill() const {
        for (int i = 0; i < signals; ++i) must_be(::sigqueue(::getpid(), SIGRTMIN, {}) == 0);
    }
    ~signal_queue() {
        signalfd_siginfo one;
        while (::read(fd.native().get(), &one, sizeof one) > 0) {
        }
    }
    blocked_signals blocked{signal_set{SIGRTMIN}};
    signal_fd fd = std::move(*must(open_signalfd(signal_set{SIGRTMIN})));
};
const pair take_signal = compare_in_batches(
    "signalfd take", signals, [] { return signal_queue{}; },
    [](signal_queue& q) {
        signalfd_siginfo one;
        must_be(::read(q.fd.native().get(), &one, sizeof one) == sizeof one);
        benchmark::DoNotOptimize(one);
    },
    [](signal_queue& q) { must(q.fd.take()); }, [](signal_queue& q) { q.fill(); });

void block(bool on) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    must_be(::pthread_sigmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr) == 0);
}
const pair block_signals = compare(
    "signalfd blocked_signals, made and ended", no_object, [](nothing) { block(true), block(false); },
    [](nothing) { const blocked_signals blocked{signal_set{SIGUSR2}}; });
const pair open_signals = compare(
    "signalfd open_signalfd and close", no_object,
    [](nothing) {
        const signal_set set{SIGUSR2};
        ::close(::signalfd(-1, &set.native(), SFD_CLOEXEC | SFD_NONBLOCK));
    },
    [](nothing) { must(open_signalfd(signal_set{SIGUSR2})); });
const pair watch_signals = compare(
    "signalfd watch", [] { return std::move(*must(open_signalfd(signal_set{SIGUSR2}))); },
    [](signal_fd& fd) {
        const signal_set set{SIGUSR2};
        must_be(::signalfd(fd.native().get(), &set.native(), 0) == fd.native().get());
    },
    [](signal_fd& fd) { must(fd.watch(signal_set{SIGUSR2})); });

struct timer {
    timer_fd fd = std::move(*must(open_timerfd()));
    kith::deadline later = kith::deadline::in(std::chrono::hours{1});
    [[nodiscard]] int raw() const { return fd.native().get(); }
};
timer make_timer() { return {}; }
const pair arm = compare(
    "timerfd arm", make_timer,
    [](timer& t) {
        const auto ns = t.later.monotonic_ns();
        const itimerspec setting{.it_interval = {}, .it_value = {ns / 1'000'000'000, ns % 1'000'000'000}};
        must_be(::timerfd_settime(t.raw(), TFD_TIMER_ABSTIME, &setting, nullptr) == 0);
    },
    [](timer& t) { must(t.fd.arm(t.later)); });
const pair remaining = compare(
    "timerfd remaining", make_timer,
    [](timer& t) {
        itimerspec setting{};
        must_be(::timerfd_gettime(t.raw(), &setting) == 0);
        benchmark::DoNotOptimize(setting);
    },
    [](timer& t) { must(t.fd.remaining()); });
const pair timer_take_nothing = compare(
    "timerfd take of nothing, immediate", make_timer,
    [](timer& t) {
        std::uint64_t number = 0;
        must_be(::read(t.raw(), &number, sizeof number) < 0);
    },
    [](timer& t) { must_be(!t.fd.take(kith::deadline::immediate())); });

const pair open_timer = compare(
    "timerfd open_timerfd and close", no_object,
    [](nothing) { ::close(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); },
    [](nothing) { must(open_timerfd()); });

constexpr int timers = 16;
struct expired_timers {
    void fill() {
        const itimerspec at_once{.it_interval = {}, .it_value = {0, 1}};
        for (auto& one : all) {
            must_be(::timerfd_settime(one.raw(), TFD_TIMER_ABSTIME, &at_once, nullptr) == 0);
            pollfd ready{one.raw(), POLLIN, 0};
            must_be(::poll(&ready, 1, -1) == 1);
        }
        next = 0;
    }
    std::array<timer, timers> all;
    std::size_t next = 0;
};
const pair timer_take = compare_in_batches(
    "timerfd take of an expiry", timers, [] { return expired_timers{}; },
    [](expired_timers& t) {
        std::uint64_t number = 0;
        must_be(::read(t.all[t.next++].raw(), &number, sizeof number) == sizeof number);
        benchmark::DoNotOptimize(number);
    },
    [](expired_timers& t) { must(t.all[t.next++].fd.take()); }, [](expired_timers& t) { t.fill(); });

struct watched {
    watched() {
        must(list.add(a.fd.native(), POLLIN)), must(list.add(b.fd.native(), POLLIN));
        must(set.add(a.fd.native(), EPOLLIN, 1)), must(set.add(b.fd.native(), EPOLLIN, 2));
    }
    counter a;
    counter b = make_empty_counter();
    counter c = make_empty_counter();
    poll_set list;
    event_set set = std::move(*must(open_event_set()));
    std::array<pollfd, 2> raw{{{a.raw(), POLLIN, 0}, {b.raw(), POLLIN, 0}}};
};
watched make_watched() { return {}; }
const pair poll = compare(
    "poll_set wait, one of two ready", make_watched,
    [](watched& w) { must_be(::ppoll(w.raw.data(), w.raw.size(), nullptr, nullptr) == 1); },
    [](watched& w) { must(w.list.wait()); });
const pair epoll = compare(
    "event_set wait, one of two ready", make_watched,
    [](watched& w) {
        std::array<epoll_event, 4> found;
        must_be(::epoll_wait(w.set.native().get(), found.data(), 4, 0) == 1);
        benchmark::DoNotOptimize(found);
    },
    [](watched& w) {
        std::array<event_set::ready, 4> found;
        must(w.set.wait(found));
        benchmark::DoNotOptimize(found);
    });
const pair change = compare(
    "event_set change", make_watched,
    [](watched& w) {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = 1}};
        must_be(::epoll_ctl(w.set.native().get(), EPOLL_CTL_MOD, w.a.raw(), &event) == 0);
    },
    [](watched& w) { must(w.set.change(w.a.fd.native(), EPOLLIN, 1)); });
const pair add_and_remove = compare(
    "event_set add and remove", [] { return watched{}; },
    [](watched& w) {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = 3}};
        must_be(::epoll_ctl(w.set.native().get(), EPOLL_CTL_ADD, w.c.raw(), &event) == 0);
        must_be(::epoll_ctl(w.set.native().get(), EPOLL_CTL_DEL, w.c.raw(), nullptr) == 0);
    },
    [](watched& w) { must(w.set.add(w.c.fd.native(), EPOLLIN, 3)), must(w.set.remove(w.c.fd.native())); });
const pair open_set = compare(
    "event_set open_event_set and close", no_object, [](nothing) { ::close(::epoll_create1(EPOLL_CLOEXEC)); },
    [](nothing) { must(open_event_set()); });

}  // namespace
