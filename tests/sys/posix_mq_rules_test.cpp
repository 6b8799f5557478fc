// POSIX message queues: SEMANTICS Q7 (notification) and Q9 (waiting), the rules G1-G13 and the classic traps.
#include <kith/sys/posix_mq.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <kith/observer.hpp>

#include "support/child.hpp"
#include "support/queues.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

constexpr auto now = deadline::immediate();

posix_mq made(const posix_mq_name& name, posix_mq_options options = {}) {
    options.create = creation::must_be_new;
    auto queue = posix_mq::open(name.get(), options);
    EXPECT_TRUE(ok(queue));
    return queue ? std::move(*queue) : posix_mq{};
}

// SIGUSR1, blocked, so that it can be waited for.
class awaited_signal {
public:
    awaited_signal() {
        sigemptyset(&set_);
        sigaddset(&set_, SIGUSR1);
        ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    }
    [[nodiscard]] static sigevent event(int value) {
        sigevent how{};
        how.sigev_notify = SIGEV_SIGNAL;
        how.sigev_signo = SIGUSR1;
        how.sigev_value.sival_int = value;
        return how;
    }
    /// What has arrived; si_signo is 0 if nothing comes. A send has signalled before it returns.
    [[nodiscard]] siginfo_t arrived(int seconds = 0) const {
        siginfo_t info{};
        const timespec wait{.tv_sec = seconds, .tv_nsec = 0};
        while (::sigtimedwait(&set_, &info, &wait) < 0 && errno == EINTR) {
        }
        return info;
    }

private:
    sigset_t set_;
};

std::string drained_text(const posix_mq& queue, const sigevent& how) {
    std::string text;
    std::array<std::byte, 8192> body;
    const auto taken = queue.rearm_then_drain(how, body, [&](prioritised_message got) {
        text += kith::text_of({body.data(), got.size});
        text += ' ';
        return true;
    });
    return taken ? text : std::string{name_of(taken.error().code())};
}

TEST(sys_posix_mq, posix_mq_Q7_a_signal_once_from_empty_to_not_empty_with_the_senders_identity) {
    const posix_mq_name name;
    const auto queue = made(name);
    const awaited_signal signal;
    ASSERT_TRUE(ok(queue.notify(awaited_signal::event(77))));
    child sender{[&] { return queue.send(bytes_of("one")) && queue.send(bytes_of("two")) ? 0 : 1; }};
    EXPECT_EQ(sender.wait(), 0);
    const auto info = signal.arrived(20);
    EXPECT_EQ(info.si_signo, SIGUSR1);
    EXPECT_EQ(info.si_code, SI_MESGQ);
    EXPECT_EQ(info.si_value.sival_int, 77);
    EXPECT_EQ(info.si_pid, sender.pid());
    EXPECT_EQ(info.si_uid, ::getuid());
    EXPECT_EQ(signal.arrived().si_signo, 0);  // once
    EXPECT_EQ(queue.kernel_status()->notified, 0);
}

TEST(sys_posix_mq, posix_mq_Q7_one_process_per_queue_and_a_second_one_is_refused) {
    const posix_mq_name name;
    const auto queue = made(name);
    sigevent nothing{};
    nothing.sigev_notify = SIGEV_NONE;
    ASSERT_TRUE(ok(queue.notify(nothing)));
    child second{[&] {
        CHILD_CHECK(fails_with(queue.notify(awaited_signal::event(0)), errc::exists, EBUSY));
        CHILD_CHECK(fails_with(queue.rearm_then_drain(awaited_signal::event(0), {}, [](auto) { return true; }),
                               errc::exists, EBUSY));
        return 0;
    }};
    EXPECT_EQ(second.wait(), 0);
    EXPECT_EQ(queue.kernel_status()->notified, ::getpid());
    ASSERT_TRUE(ok(queue.cancel_notification()));
    ASSERT_TRUE(ok(queue.cancel_notification()));
    child third{[&] {
        const awaited_signal signal;
        return queue.notify(awaited_signal::event(0)) ? 0 : 1;
    }};
    EXPECT_EQ(third.wait(), 0);
    EXPECT_EQ(queue.kernel_status()->notified, 0);  // ended with its process
}

TEST(sys_posix_mq, posix_mq_Q7_a_receiver_in_the_kernel_is_served_instead_of_the_notification) {
    const posix_mq_name name;
    const auto queue = made(name);
    const awaited_signal signal;
    child receiver{[&] {
        const int raw = ::mq_open(name.get().c_str(), O_RDONLY);
        std::array<char, 8192> body;
        return ::mq_receive(raw, body.data(), body.size(), nullptr) == 4 ? 0 : 1;
    }};
    wait_until_in_syscall(receiver.pid(), SYS_mq_timedreceive);
    ASSERT_TRUE(ok(queue.notify(awaited_signal::event(0))));
    ASSERT_TRUE(ok(queue.send(bytes_of("mine"))));
    EXPECT_EQ(receiver.wait(), 0);
    EXPECT_EQ(signal.arrived().si_signo, 0);
    EXPECT_EQ(queue.kernel_status()->notified, ::getpid());
}

TEST(sys_posix_mq, posix_mq_Q7_a_thread_can_be_started_for_it) {
    NOT_UNDER_TSAN("does not know the thread that the C library starts");
    const posix_mq_name name;
    const auto queue = made(name);
    static std::atomic<int> value;
    value = 0;
    sigevent thread{};
    thread.sigev_notify = SIGEV_THREAD;
    thread.sigev_value.sival_int = 9;
    thread.sigev_notify_function = [](sigval got) {
        value = got.sival_int;
        value.notify_all();
    };
    ASSERT_TRUE(ok(queue.notify(thread)));
    ASSERT_TRUE(ok(queue.send(bytes_of("x"))));
    value.wait(0);
    EXPECT_EQ(value, 9);
}

TEST(sys_posix_mq, posix_mq_Q7_trap20_re_arming_first_and_draining_then_loses_no_message) {
    const posix_mq_name name;
    const auto queue = made(name);
    const awaited_signal signal;
    std::array<std::byte, 8192> body;
    const auto how = awaited_signal::event(1);

    // The trap: drained, then a message comes, then re-armed. The queue is not empty and stays silent.
    ASSERT_TRUE(ok(queue.notify(how)));
    ASSERT_TRUE(ok(queue.send(bytes_of("a"))));
    EXPECT_EQ(signal.arrived(20).si_signo, SIGUSR1);
    ASSERT_TRUE(ok(queue.receive(body, now)));
    ASSERT_TRUE(ok(queue.send(bytes_of("b"))));
    ASSERT_TRUE(ok(queue.notify(how)));
    ASSERT_TRUE(ok(queue.send(bytes_of("c"))));
    EXPECT_EQ(signal.arrived().si_signo, 0);

    // The helper: finds both, keeps the registration that it finds, and the next message is told again.
    EXPECT_EQ(drained_text(queue, how), "b c ");
    ASSERT_TRUE(ok(queue.send(bytes_of("d"))));
    EXPECT_EQ(signal.arrived(20).si_signo, SIGUSR1);
    // What arrives while it drains is taken, or told.
    bool once = true;
    const auto taken = queue.rearm_then_drain(how, body, [&](prioritised_message) {
        if (std::exchange(once, false)) {
            EXPECT_TRUE(ok(queue.send(bytes_of("e"))));
        }
        return true;
    });
    EXPECT_EQ(*taken, 2u);
    ASSERT_TRUE(ok(queue.send(bytes_of("f"))));
    EXPECT_EQ(signal.arrived(20).si_signo, SIGUSR1);
    EXPECT_EQ(*queue.rearm_then_drain(how, body, [](auto) { return false; }), 1u);
}

TEST(sys_posix_mq, posix_mq_Q9_G3_deadlines_hold_and_one_in_the_past_succeeds_if_nothing_has_to_be_waited_for) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 1, .message_size = 8});
    auto body = block(8);
    const auto start = deadline::clock::now();
    EXPECT_TRUE(fails_with(queue.receive(body, deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - start, 30ms);
    const auto past = deadline::at(deadline::clock::time_point{1s});
    EXPECT_TRUE(ok(queue.send(body, 0, past)));
    EXPECT_TRUE(fails_with(queue.send(body, 0, past), errc::timed_out));
    EXPECT_TRUE(fails_with(queue.send(body, 0, deadline::in(30ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - start, 60ms);
    EXPECT_TRUE(ok(queue.receive(body, past)));
}

TEST(sys_posix_mq, posix_mq_Q9_G2_trap07_signals_neither_shorten_nor_break_a_wait) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 1, .message_size = 8});
    auto body = block(8);
    const signal_storm storm{1ms};
    const auto start = deadline::clock::now();
    EXPECT_TRUE(fails_with(queue.receive(body, deadline::in(40ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - start, 40ms);
    const kith::wait_policy reporting{deadline::never(), kith::on_signal::report};
    EXPECT_TRUE(fails_with(queue.receive(body, reporting), errc::stopped, EINTR));
    ASSERT_TRUE(ok(queue.send(body)));
    EXPECT_TRUE(fails_with(queue.send(body, 0, reporting), errc::stopped, EINTR));
}

TEST(sys_posix_mq, posix_mq_trap14_setting_the_wall_clock_cannot_touch_a_wait) {
    const posix_mq_name name;
    const auto queue = made(name);
    child limited{[&] {
        // The kernel's time-outs of these calls go by the wall clock. With the filter an untimed call (a null pointer
        // in the last argument) fails and a timed one passes: that kith's call fails shows that it hands over no time
        // at all, and the wait before it was ppoll's, whose time is relative.
        if (!deny({{.number = SYS_mq_timedreceive, .os_error = ENOSYS, .argument = 4, .mask = 0xffffffff, .value = 0},
                   {.number = SYS_mq_timedsend, .os_error = ENOSYS, .argument = 4, .mask = 0xffffffff, .value = 0}}))
            return 77;
        auto body = block(8192);
        CHILD_CHECK(fails_with(queue.receive(body, deadline::in(1h)), errc::unsupported, ENOSYS));
        CHILD_CHECK(fails_with(queue.send(body, 0, deadline::in(1h)), errc::unsupported, ENOSYS));
        const auto start = deadline::clock::now();
        CHILD_CHECK(fails_with(queue.wait_for(POLLIN, deadline::in(20ms), "test"), errc::timed_out));
        CHILD_CHECK(deadline::clock::now() - start >= 20ms);
        return 0;
    }};
    const int status = limited.wait();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
}

TEST(sys_posix_mq, posix_mq_G1_errors_carry_operation_object_and_errno) {
    const posix_mq_name name;
    const auto missing = posix_mq::open(name.get());
    ASSERT_FALSE(missing);
    EXPECT_STREQ(missing.error().operation(), "mq_open");
    EXPECT_EQ(missing.error().object(), kith::object_ref::name(name.get()));
    const auto queue = made(name);
    auto body = block(8192);
    const auto empty = queue.receive(body, now);
    EXPECT_STREQ(empty.error().operation(), "mq_receive");
    EXPECT_EQ(empty.error().object(), kith::object_ref::descriptor(queue.native().get()));
}

TEST(sys_posix_mq, posix_mq_G4_close_on_exec_from_birth) {
    const posix_mq_name name;
    const auto queue = made(name);
    EXPECT_TRUE(::fcntl(queue.native().get(), F_GETFD) & FD_CLOEXEC);
    EXPECT_TRUE(::fcntl(posix_mq::open(name.get())->native().get(), F_GETFD) & FD_CLOEXEC);
}

TEST(sys_posix_mq, posix_mq_G8_names_belong_to_the_ipc_namespace_and_open_queues_reach_the_old_one) {
    const posix_mq_name name;
    const auto queue = made(name);
    const int status = in_namespaces(CLONE_NEWIPC, [&] {
        CHILD_CHECK(fails_with(posix_mq::open(name.get()), errc::not_found, ENOENT));
        CHILD_CHECK(queue.send(bytes_of("from inside")));
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
    EXPECT_EQ(queue.attributes()->messages, 1u);
}

TEST(sys_posix_mq, posix_mq_G9_the_queue_outlives_its_makers) {
    const posix_mq_name name;
    child maker{[&] {
        const auto queue = posix_mq::open(name.get(), {.create = creation::must_be_new});
        CHILD_CHECK(queue && queue->send(bytes_of("legacy")));
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(maker.wait(), 128 + SIGKILL);
    EXPECT_EQ(posix_mq::open(name.get())->attributes()->messages, 1u);
}

TEST(sys_posix_mq, posix_mq_G10_trap01_leftovers_are_kept_unless_drained_and_counted) {
    const posix_mq_name name;
    const auto queue = made(name);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(ok(queue.send(bytes_of("of the dead run"))));
    EXPECT_EQ(posix_mq::open(name.get())->drained(), 0u);
    std::uint64_t told = 0;
    kith::set_observer(
        [](const kith::event& what, void* context) noexcept {
            if (what.kind == kith::event_kind::messages_drained) *static_cast<std::uint64_t*>(context) += what.count;
        },
        &told);
    const auto careful = posix_mq::open(name.get(), {.create = creation::create_or_open, .old = leftovers::drain});
    kith::set_observer(nullptr);
    ASSERT_TRUE(ok(careful));
    EXPECT_EQ(careful->drained(), 3u);
    EXPECT_EQ(told, 3u);
    ASSERT_TRUE(ok(careful->send(bytes_of("new"))));
    auto body = block(8192);
    EXPECT_EQ(careful->receive(body, now)->size, 3u);
    // Draining takes the right to receive, once there is something to drain.
    ASSERT_TRUE(ok(careful->send(bytes_of("x"))));
    EXPECT_TRUE(fails_with(posix_mq::open(name.get(), {.access = posix_mq_access::send_only, .old = leftovers::drain}),
                           errc::not_permitted, EBADF));
}

TEST(sys_posix_mq, posix_mq_G12_the_umask_applies) {
    const posix_mq_name name;
    const auto before = ::umask(0027);
    const auto queue = made(name, {.mode = 0666});
    ::umask(before);
    struct stat file{};
    ASSERT_EQ(::fstat(queue.native().get(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777u, 0640u);
}

TEST(sys_posix_mq, posix_mq_G13_fork_shares_the_queue_but_not_the_registration_and_exec_closes_it) {
    const posix_mq_name name;
    const auto queue = made(name);
    const awaited_signal signal;
    ASSERT_TRUE(ok(queue.notify(awaited_signal::event(0))));
    child kin{[&] {
        CHILD_CHECK(queue.kernel_status()->notified == ::getppid());
        CHILD_CHECK(queue.cancel_notification());  // none of its own: nothing happens
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(queue.kernel_status()->notified, ::getpid());
    const auto listed = run({"ls", "-l", "/proc/self/fd"});
    EXPECT_EQ(listed.out.find(name.get()), std::string::npos);
}

TEST(sys_posix_mq, posix_mq_close_and_stop_tokens_end_the_wait) {
    const posix_mq_name name;
    auto queue = made(name);
    for (const bool by_token : {true, false}) {
        std::atomic<pid_t> tid{0};
        std::jthread waiter{[&](const std::stop_token& stop) {
            tid = static_cast<pid_t>(::syscall(SYS_gettid));
            auto body = block(8192);
            EXPECT_TRUE(fails_with(queue.receive(body, {deadline::never(), stop}), errc::stopped, 0));
        }};
        while (tid == 0) std::this_thread::yield();
        wait_until_thread_in_syscall(tid, SYS_ppoll);
        if (by_token)
            waiter.request_stop();
        else
            queue.close();
    }
}

TEST(sys_posix_mq, posix_mq_many_senders_and_receivers_lose_and_double_nothing) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 3, .message_size = 4});
    constexpr int each = 400;
    std::vector<child> kin;
    for (int s = 0; s < 3; ++s) {
        kin.emplace_back([&] {
            for (int i = 0; i < each; ++i) CHILD_CHECK(queue.send(bytes_of("abcd")));
            return 0;
        });
        kin.emplace_back([&] {
            auto body = block(4);
            for (int i = 0; i < each; ++i) CHILD_CHECK(queue.receive(body)->size == 4);
            return 0;
        });
    }
    for (auto& one : kin) EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(queue.attributes()->messages, 0u);
}

}  // namespace
