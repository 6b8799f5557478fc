// Waits of another thread that end because this one says so: close() and stop requests. Where the ring of a bell fails,
// the waiter's own deadline ends its wait.
#include <kith/sys/eventfd.hpp>
#include <kith/sys/futex.hpp>
#include <kith/sys/poll.hpp>
#include <kith/sys/sysv_mq.hpp>

#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <stop_token>
#include <thread>

#include "faults/other.hpp"
#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;

class ended_wait : public scenario {
public:
    // A thread does wait(), and sleeps in one of the calls.
    template <class... Calls>
    void start(Calls... calls) {
        thread_ = std::thread{[this] {
            id_ = ::gettid();
            wait();
        }};
        look_until([&] { return id_ != 0; });
        look_until_in(id_, calls...);
    }
    void finish() {
        if (thread_.joinable()) thread_.join();
    }
    virtual void wait() = 0;
    [[nodiscard]] kith::wait_policy policy() { return {deadline::in(std::chrono::milliseconds{100}), token_}; }
    kith::result<void> act() override {
        stop_.request_stop();
        return {};
    }

private:
    std::stop_source stop_;
    std::stop_token token_ = stop_.get_token();
    std::thread thread_;
    std::atomic<pid_t> id_{0};
};

class closed_wait : public ended_wait {
public:
    void prepare() override {
        fd_ = std::move(*open_eventfd());
        start(SYS_ppoll);
    }
    void wait() override { (void)fd_->take(deadline::in(std::chrono::milliseconds{100})); }
    ~closed_wait() override { finish(); }
    kith::result<void> act() override {
        fd_->close();
        return {};
    }

private:
    std::optional<event_fd> fd_;
};
const listed<closed_wait> close_beside{"wait_closed", {{SYS_write, any_error, {}, "close waits for the waiter's end"}}};

class stopped_wait : public ended_wait {
public:
    void prepare() override {
        fd_ = std::move(*open_eventfd());
        start(SYS_ppoll);
    }
    void wait() override { (void)fd_->take(policy()); }
    ~stopped_wait() override { finish(); }

private:
    std::optional<event_fd> fd_;
};
const listed<stopped_wait> stop_of_wait{"wait_stopped",
                                        {{SYS_write, any_error, {}, "a stop request has nobody to tell"}}};

class stopped_poll : public ended_wait {
public:
    void prepare() override { start(SYS_ppoll); }
    void wait() override { (void)set_.wait(policy()); }
    ~stopped_poll() override { finish(); }

private:
    poll_set set_;
};
const listed<stopped_poll> stop_of_poll{"poll_stopped",
                                        {{SYS_write, any_error, {}, "a stop request has nobody to tell"}}};

class stopped_futex : public ended_wait {
public:
    void prepare() override { start(SYS_futex_waitv, SYS_futex); }
    void wait() override { (void)futex_wait(word_, 0, policy()); }
    ~stopped_futex() override { finish(); }

private:
    std::atomic<std::uint32_t> word_{0};
};
const listed<stopped_futex> stop_of_futex{"futex_stopped"};

// A wait that looks at intervals.
class stopped_looks : public ended_wait {
public:
    void prepare() override {
        queue_ = *sysv_mq::open(sysv_key::private_object(), {.create = creation::must_be_new});
        start(SYS_futex);
    }
    void wait() override {
        std::array<std::byte, 16> body;
        (void)queue_->receive(body, message_selector::any(), policy());
    }
    ~stopped_looks() override {
        finish();
        if (queue_) (void)queue_->remove();
    }

private:
    std::optional<sysv_mq> queue_;
};
const listed<stopped_looks> stop_of_looks{"looks_stopped"};

}  // namespace
