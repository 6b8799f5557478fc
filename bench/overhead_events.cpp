// Event descriptors, and the futex.
#include <kith/sys/eventfd.hpp>
#include <kith/sys/futex.hpp>
#include <kith/sys/pidfd.hpp>
#include <kith/sys/timerfd.hpp>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

const pair counter{"eventfd add and take",
                   [](benchmark::State& state) {
                       const auto fd = must(open_eventfd());
                       std::uint64_t number = 1;
                       each(state, [&] {
                           must_be(::write(fd->native().get(), &number, sizeof number) == sizeof number);
                           must_be(::read(fd->native().get(), &number, sizeof number) == sizeof number);
                       });
                   },
                   [](benchmark::State& state) {
                       auto fd = must(open_eventfd());
                       each(state, [&] {
                           must(fd->add(1));
                           must(fd->take());
                       });
                   }};
const pair arm{
    "timerfd arm",
    [](benchmark::State& state) {
        const auto fd = must(open_timerfd());
        const itimerspec far{.it_interval = {}, .it_value = {.tv_sec = 1'000'000'000, .tv_nsec = 0}};
        each(state, [&] { must_be(::timerfd_settime(fd->native().get(), TFD_TIMER_ABSTIME, &far, nullptr) == 0); });
    },
    [](benchmark::State& state) {
        auto fd = must(open_timerfd());
        const auto far = kith::deadline::at(kith::deadline::clock::time_point{std::chrono::seconds{1'000'000'000}});
        each(state, [&] { must(fd->arm(far)); });
    }};
const pair signal{"pidfd send_signal",
                  [](benchmark::State& state) {
                      const auto fd = must(open_pidfd(::getpid()));
                      each(state,
                           [&] { must_be(::syscall(SYS_pidfd_send_signal, fd->native().get(), 0, nullptr, 0) == 0); });
                  },
                  [](benchmark::State& state) {
                      const auto fd = must(open_pidfd(::getpid()));
                      each(state, [&] { must(fd->send_signal(0)); });
                  }};
const pair wake{"futex wake nobody",
                [](benchmark::State& state) {
                    std::atomic<std::uint32_t> word{0};
                    each(state, [&] { must_be(::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0) == 0); });
                },
                [](benchmark::State& state) {
                    const std::atomic<std::uint32_t> word{0};
                    each(state, [&] { must(futex_wake(word)); });
                }};

}  // namespace
