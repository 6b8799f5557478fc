// System V message queues: SEMANTICS M1-M15, what holds between calls and processes. Rules for all mechanisms and
// the classic traps are in sysv_mq_rules_test.cpp.
#include <kith/sys/sysv_mq.hpp>

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <kith/fd.hpp>

#include "support/child.hpp"
#include "support/queues.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::byte_span;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using namespace kith::sys;
using select = message_selector;

constexpr auto now = deadline::immediate();

std::string text_received(const sysv_mq& queue, message_selector which = select::any()) {
    std::array<std::byte, 100> body;
    const auto got = queue.receive(body, which, now);
    if (!got) return std::string{name_of(got.error().code())};
    return std::to_string(got->type) + ":" + std::string{kith::text_of({body.data(), got->size})};
}

void send_all(const sysv_mq& queue, const std::vector<std::pair<long, std::string>>& messages) {
    for (const auto& [type, body] : messages) ASSERT_TRUE(ok(queue.send(type, bytes_of(body), now)));
}

TEST(sys_sysv_mq, sysv_mq_M1_must_be_new_must_exist_and_create_or_open) {
    const auto key = unique_key();
    EXPECT_TRUE(fails_with(sysv_mq::open(key), errc::not_found, ENOENT));
    const scoped_sysv_mq made{key, {}};
    EXPECT_TRUE(made.created());
    EXPECT_TRUE(fails_with(sysv_mq::open(key, {.create = creation::must_be_new}), errc::exists, EEXIST));
    const auto again = sysv_mq::open(key, {.create = creation::create_or_open});
    ASSERT_TRUE(ok(again));
    EXPECT_FALSE(again->created());
    EXPECT_EQ(again->native_id(), made.native_id());
    EXPECT_EQ(sysv_mq::open(key)->native_id(), made.native_id());
    EXPECT_EQ(sysv_mq::open_id(made.native_id())->native_id(), made.native_id());
}

TEST(sys_sysv_mq, sysv_mq_M1_G11_create_or_open_makes_what_is_missing_and_compares_what_it_finds) {
    const auto key = unique_key();
    const auto made = sysv_mq::open(key, {.create = creation::create_or_open, .capacity = 1000});
    ASSERT_TRUE(ok(made));
    const sysv_mq_guard guard{made->native_id()};
    EXPECT_TRUE(made->created());
    EXPECT_EQ(made->status()->capacity, 1000u);
    EXPECT_EQ(made->status()->key, key);
    EXPECT_TRUE(ok(sysv_mq::open(key, {.capacity = 1000})));
    EXPECT_TRUE(fails_with(sysv_mq::open(key, {.capacity = 999}), errc::wrong_size));
}

TEST(sys_sysv_mq, sysv_mq_M1_a_private_queue_is_always_new) {
    const scoped_sysv_mq one;
    const scoped_sysv_mq two;
    EXPECT_NE(one.native_id(), two.native_id());
    EXPECT_TRUE(one.status()->key.is_private());
    EXPECT_TRUE(fails_with(sysv_mq::open(sysv_key::private_object()), errc::invalid));
}

TEST(sys_sysv_mq, sysv_mq_M1_an_old_id_never_reaches_another_queue) {
    const auto old = sysv_mq::open(sysv_key::private_object(), {.create = creation::must_be_new});
    ASSERT_TRUE(ok(old));
    ASSERT_TRUE(ok(old->remove()));
    const scoped_sysv_mq next;
    EXPECT_NE(old->native_id(), next.native_id());
    EXPECT_TRUE(fails_with(old->send(1, bytes_of("x")), errc::removed));
    EXPECT_TRUE(fails_with(sysv_mq::open_id(old->native_id()), errc::not_found));
    EXPECT_EQ(next.status()->messages, 0u);
}

TEST(sys_sysv_mq, sysv_mq_M1_without_the_right_it_is_not_permitted) {
    NEEDS_ROOT();
    const auto key = unique_key();
    const scoped_sysv_mq queue{key, {.mode = 0602}};
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(fails_with(sysv_mq::open(key, {.check_read = true}), errc::not_permitted, EACCES));
                  const auto sender = sysv_mq::open(key, {.check_write = true});
                  CHILD_CHECK(sender);
                  CHILD_CHECK(sender->send(1, bytes_of("may write")));
                  std::array<std::byte, 10> body;
                  CHILD_CHECK(fails_with(sender->receive(body), errc::not_permitted, EACCES));
                  CHILD_CHECK(fails_with(sender->status(), errc::not_permitted, EACCES));
                  CHILD_CHECK(fails_with(sysv_mq::open(key, {.old = leftovers::drain}), errc::not_permitted, EACCES));
                  return 0;
              }));
    EXPECT_EQ(queue.status()->messages, 1u);
}

TEST(sys_sysv_mq, sysv_mq_M1_too_many_queues_is_limit_reached) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        std::ofstream{"/proc/sys/kernel/msgmni"} << 3;
        const auto limits = read_sysv_mq_limits();
        CHILD_CHECK(limits);
        // Where the limit cannot be lowered, as in a user namespace of an older kernel, it is reached the long way.
        for (std::size_t i = 0; i < limits->queues; ++i)
            CHILD_CHECK(sysv_mq::open(sysv_key::private_object(), {.create = creation::must_be_new}));
        const auto refused = sysv_mq::open(sysv_key::private_object(), {.create = creation::must_be_new});
        CHILD_CHECK(fails_with(refused, errc::limit_reached, ENOSPC));
        CHILD_CHECK(read_sysv_mq_limits()->queues_in_use == limits->queues);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_mq, sysv_mq_M2_a_type_below_one_is_invalid_and_nothing_is_sent) {
    const scoped_sysv_mq queue;
    for (const long type : {0L, -1L, std::numeric_limits<long>::min()})
        EXPECT_TRUE(fails_with(queue.send(type, bytes_of("x")), errc::invalid, EINVAL));
    EXPECT_TRUE(ok(queue.send(std::numeric_limits<long>::max(), bytes_of("x"))));
    EXPECT_EQ(queue.status()->messages, 1u);
}

TEST(sys_sysv_mq, sysv_mq_M2_a_body_above_msgmax_is_too_long) {
    const scoped_sysv_mq queue;
    const auto limit = read_sysv_mq_limits()->message_bytes;
    EXPECT_TRUE(ok(queue.send(1, block(limit), now)));
    EXPECT_TRUE(fails_with(queue.send(1, block(limit + 1), now), errc::too_long, EINVAL));
    EXPECT_EQ(queue.status()->messages, 1u);
}

TEST(sys_sysv_mq, sysv_mq_M2_a_body_may_be_empty_or_any_bytes) {
    const scoped_sysv_mq queue;
    std::array<std::byte, 256> all;
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(i);
    ASSERT_TRUE(ok(queue.send(7, all)));
    ASSERT_TRUE(ok(queue.send(8, {})));
    std::array<std::byte, 256> got;
    EXPECT_EQ(queue.receive(got)->size, 256u);
    EXPECT_EQ(got, all);
    const auto empty = queue.receive(got);
    ASSERT_TRUE(ok(empty));
    EXPECT_EQ(empty->type, 8);
    EXPECT_EQ(empty->size, 0u);
}

TEST(sys_sysv_mq, sysv_mq_M3_full_by_bytes) {
    const scoped_sysv_mq queue{{.capacity = 64}};
    ASSERT_TRUE(ok(queue.send(1, block(60), now)));
    EXPECT_TRUE(fails_with(queue.send(1, block(5), now), errc::would_block, EAGAIN));
    EXPECT_TRUE(ok(queue.send(1, block(4), now)));
    EXPECT_EQ(queue.status()->bytes, 64u);
}

TEST(sys_sysv_mq, sysv_mq_M3_full_by_the_number_of_messages) {
    const scoped_sysv_mq queue{{.capacity = 100}};
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(ok(queue.send(1, {}, now)));
    EXPECT_TRUE(fails_with(queue.send(1, {}, now), errc::would_block, EAGAIN));
    EXPECT_EQ(queue.status()->messages, 100u);
}

TEST(sys_sysv_mq, sysv_mq_M3_a_sender_waits_for_room) {
    const scoped_sysv_mq queue{{.capacity = 64}};
    ASSERT_TRUE(ok(queue.send(1, block(64, 'a'), now)));
    child sender{[&] {
        CHILD_CHECK(queue.send(2, block(64, 'b')));
        return 0;
    }};
    wait_until_in_syscall(sender.pid(), SYS_msgsnd);
    EXPECT_EQ(text_received(queue).substr(0, 3), "1:a");
    EXPECT_EQ(sender.wait(), 0);
    EXPECT_EQ(text_received(queue).substr(0, 3), "2:b");
}

TEST(sys_sysv_mq, sysv_mq_M4_a_message_larger_than_the_queue_is_refused_at_once) {
    const scoped_sysv_mq queue{{.capacity = 64}};
    EXPECT_TRUE(fails_with(queue.send(1, block(65)), errc::too_long, EAGAIN));
    EXPECT_TRUE(fails_with(queue.send(1, block(65), deadline::in(1h)), errc::too_long, EAGAIN));
    EXPECT_TRUE(fails_with(queue.send(1, block(65), now), errc::too_long, EAGAIN));
    EXPECT_TRUE(ok(queue.send(1, block(64))));
}

TEST(sys_sysv_mq, sysv_mq_M4_a_capacity_lowered_meanwhile_ends_a_timed_wait) {
    const scoped_sysv_mq queue{{.capacity = 64}};
    ASSERT_TRUE(ok(queue.send(1, block(64), now)));
    child sender{[&] {
        CHILD_CHECK(fails_with(queue.send(1, block(40), deadline::in(1h)), errc::too_long, EAGAIN));
        return 0;
    }};
    wait_until_in_syscall(sender.pid(), SYS_futex);
    ASSERT_TRUE(ok(queue.change({.capacity = 30})));
    EXPECT_EQ(sender.wait(), 0);
}

TEST(sys_sysv_mq, sysv_mq_M5_selection_by_type) {
    const scoped_sysv_mq queue;
    send_all(queue, {{5, "a"}, {3, "b"}, {9, "c"}, {3, "d"}, {5, "e"}});
    EXPECT_EQ(text_received(queue, select::of_type(9)), "9:c");
    EXPECT_EQ(text_received(queue, select::lowest_up_to(5)), "3:b");
    EXPECT_EQ(text_received(queue, select::lowest_up_to(2)), "would_block");
    EXPECT_EQ(text_received(queue, select::any()), "5:a");
    EXPECT_EQ(text_received(queue, select::lowest_up_to(4)), "3:d");
    EXPECT_EQ(text_received(queue, select::of_type(4)), "would_block");
    EXPECT_EQ(text_received(queue, select::lowest_up_to(std::numeric_limits<long>::max())), "5:e");
}

TEST(sys_sysv_mq, sysv_mq_M5_a_selector_that_makes_no_sense_is_invalid) {
    const scoped_sysv_mq queue;
    send_all(queue, {{1, "stays"}});
    for (const auto which : {select::of_type(0), select::of_type(-3), select::lowest_up_to(0), select::lowest_up_to(-1),
                             select::except(0), select::except(-2)})
        EXPECT_EQ(text_received(queue, which), "invalid");
    EXPECT_EQ(queue.status()->messages, 1u);
}

TEST(sys_sysv_mq, sysv_mq_M6_except_takes_the_oldest_of_another_type) {
    const scoped_sysv_mq queue;
    send_all(queue, {{5, "a"}, {3, "b"}, {9, "c"}});
    EXPECT_EQ(text_received(queue, select::except(5)), "3:b");
    EXPECT_EQ(text_received(queue, select::except(5)), "9:c");
    EXPECT_EQ(text_received(queue, select::except(5)), "would_block");
    EXPECT_EQ(text_received(queue, select::any()), "5:a");
}

TEST(sys_sysv_mq, sysv_mq_M7_a_too_small_buffer_leaves_the_message) {
    const scoped_sysv_mq queue;
    send_all(queue, {{4, "0123456789"}});
    std::array<std::byte, 9> small;
    message_buffer<9> in_place;
    EXPECT_TRUE(fails_with(queue.receive(small), errc::truncated, E2BIG));
    EXPECT_TRUE(fails_with(queue.receive(in_place.space()), errc::truncated, E2BIG));
    EXPECT_TRUE(fails_with(queue.receive(byte_span{}), errc::truncated, E2BIG));
    EXPECT_EQ(text_received(queue), "4:0123456789");
}

TEST(sys_sysv_mq, sysv_mq_M7_a_cut_message_says_that_it_was_cut) {
    const scoped_sysv_mq queue;
    send_all(queue, {{4, "0123456789"}, {4, "0123456789"}, {4, "0123456789"}, {4, "0123456789"}});
    std::array<std::byte, 9> nine;
    const auto cut = queue.receive_cutting(nine);
    ASSERT_TRUE(ok(cut));
    EXPECT_TRUE(cut->cut);
    EXPECT_EQ(cut->size, 9u);
    EXPECT_EQ(kith::text_of(nine), "012345678");
    std::array<std::byte, 10> ten;
    EXPECT_FALSE(queue.receive_cutting(ten)->cut);
    message_buffer<3> three;
    const auto in_place = queue.receive_cutting(three.space());
    ASSERT_TRUE(ok(in_place));
    EXPECT_TRUE(in_place->cut);
    EXPECT_EQ(in_place->size, 3u);
    message_buffer<10> whole;
    EXPECT_FALSE(queue.receive_cutting(whole.space())->cut);
    EXPECT_EQ(queue.status()->messages, 0u);
}

TEST(sys_sysv_mq, sysv_mq_M7_a_waiting_receiver_with_too_small_a_buffer_is_woken_and_the_message_stays) {
    const scoped_sysv_mq queue;
    child receiver{[&] {
        message_buffer<3> small;
        CHILD_CHECK(fails_with(queue.receive(small.space()), errc::truncated, E2BIG));
        return 0;
    }};
    wait_until_in_syscall(receiver.pid(), SYS_msgrcv);
    send_all(queue, {{2, "long"}});
    EXPECT_EQ(receiver.wait(), 0);
    EXPECT_EQ(text_received(queue), "2:long");
}

TEST(sys_sysv_mq, sysv_mq_M8_peek_by_index_removes_nothing) {
    const scoped_sysv_mq queue;
    send_all(queue, {{5, "first"}, {3, "second"}});
    std::array<std::byte, 20> body;
    for (int twice = 0; twice < 2; ++twice) {
        const auto second = queue.peek(body, 1);
        ASSERT_TRUE(ok(second));
        EXPECT_EQ(second->type, 3);
        EXPECT_EQ(kith::text_of({body.data(), second->size}), "second");
    }
    message_buffer<20> in_place;
    EXPECT_EQ(queue.peek(in_place.space())->type, 5);
    EXPECT_TRUE(fails_with(queue.peek(body, 2), errc::would_block, ENOMSG));
    EXPECT_TRUE(fails_with(queue.peek(byte_span{body}.first(2)), errc::truncated, E2BIG));
    EXPECT_EQ(queue.status()->messages, 2u);
}

TEST(sys_sysv_mq, sysv_mq_M8_the_kernels_own_rules_for_MSG_COPY_hold) {
    const scoped_sysv_mq queue;
    send_all(queue, {{5, "first"}});
    struct {
        long type;
        char body[20];
    } raw;
    EXPECT_EQ(::msgrcv(queue.native_id(), &raw, 20, 0, MSG_COPY), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(::msgrcv(queue.native_id(), &raw, 20, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST(sys_sysv_mq, sysv_mq_M8_a_kernel_without_MSG_COPY_makes_peek_unsupported) {
    const scoped_sysv_mq queue;
    send_all(queue, {{5, "first"}});
    child limited{[&] {
        if (!deny({{.number = SYS_msgrcv, .os_error = ENOSYS, .argument = 4, .mask = MSG_COPY, .value = MSG_COPY}}))
            return 77;
        std::array<std::byte, 20> body;
        CHILD_CHECK(fails_with(queue.peek(body), errc::unsupported, ENOSYS));
        CHILD_CHECK(queue.receive(body));
        return 0;
    }};
    const int status = limited.wait();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_mq, sysv_mq_M9_nothing_that_fits_is_would_block_with_ENOMSG_or_waits) {
    const scoped_sysv_mq queue;
    send_all(queue, {{5, "other"}});
    std::array<std::byte, 20> body;
    EXPECT_TRUE(fails_with(queue.receive(body, select::of_type(6), now), errc::would_block, ENOMSG));
    child receiver{[&] {
        std::array<std::byte, 20> mine;
        const auto got = queue.receive(mine, select::of_type(6));
        CHILD_CHECK(got && got->type == 6 && got->size == 4);
        return 0;
    }};
    wait_until_in_syscall(receiver.pid(), SYS_msgrcv);
    send_all(queue, {{6, "mine"}});
    EXPECT_EQ(receiver.wait(), 0);
    EXPECT_EQ(text_received(queue), "5:other");
}

TEST(sys_sysv_mq, sysv_mq_M10_removed_while_waiting_is_EIDRM_and_later_EINVAL) {
    const scoped_sysv_mq queue{{.capacity = 10}};
    ASSERT_TRUE(ok(queue.send(1, block(10), now)));
    std::vector<child> waiting;
    for (const bool sends : {true, false})
        for (const auto until : {deadline::never(), deadline::in(1h)})
            waiting.emplace_back([&, sends, until] {
                std::array<std::byte, 20> body;
                if (sends)
                    CHILD_CHECK(fails_with(queue.send(1, block(5), until), errc::removed));
                else
                    CHILD_CHECK(fails_with(queue.receive(body, select::of_type(9), until), errc::removed));
                return 0;
            });
    wait_until_in_syscall(waiting[0].pid(), SYS_msgsnd);
    wait_until_in_syscall(waiting[1].pid(), SYS_futex);
    wait_until_in_syscall(waiting[2].pid(), SYS_msgrcv);
    wait_until_in_syscall(waiting[3].pid(), SYS_futex);
    child in_kernel{[&] {
        std::array<std::byte, 20> body;
        CHILD_CHECK(fails_with(queue.receive(body, select::of_type(9)), errc::removed, EIDRM));
        return 0;
    }};
    wait_until_in_syscall(in_kernel.pid(), SYS_msgrcv);
    ASSERT_TRUE(ok(queue.remove()));
    for (auto& one : waiting) EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(in_kernel.wait(), 0);

    std::array<std::byte, 20> body;
    EXPECT_TRUE(fails_with(queue.send(1, {}), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(queue.receive(body), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(queue.peek(body), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(queue.drain(), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(queue.remove(), errc::removed, EINVAL));
}

TEST(sys_sysv_mq, sysv_mq_M11_G2_signals_interrupt_even_with_SA_RESTART_and_are_retried_or_reported) {
    const scoped_sysv_mq queue{{.capacity = 10}};
    ASSERT_TRUE(ok(queue.send(1, block(10), now)));
    std::array<std::byte, 20> body;
    {
        const signal_storm storm{2ms, true};
        const kith::wait_policy reporting{deadline::never(), kith::on_signal::report};
        EXPECT_TRUE(fails_with(queue.receive(body, select::of_type(9), reporting), errc::stopped, EINTR));
        EXPECT_TRUE(fails_with(queue.send(1, block(1), reporting), errc::stopped, EINTR));
    }
    child interrupted{[&] {
        const signal_storm storm{1ms, true};
        std::array<std::byte, 20> mine;
        CHILD_CHECK(queue.receive(mine, select::of_type(9)));
        CHILD_CHECK(signal_storm::count() > 3);
        CHILD_CHECK(queue.send(3, block(5)));
        return 0;
    }};
    wait_until_in_syscall(interrupted.pid(), SYS_msgrcv);
    std::this_thread::sleep_for(20ms);  // for the signals to happen, not for a state
    EXPECT_EQ(text_received(queue).substr(0, 2), "1:");
    ASSERT_TRUE(ok(queue.send(9, bytes_of("go"))));
    EXPECT_EQ(interrupted.wait(), 0);
    EXPECT_EQ(text_received(queue, select::of_type(3)), "3:xxxxx");
}

TEST(sys_sysv_mq, sysv_mq_M13_a_thread_that_forwards_to_an_eventfd_makes_it_pollable_but_empties_the_queue) {
    const scoped_sysv_mq queue;
    const kith::owned_fd bell{::eventfd(0, EFD_CLOEXEC)};
    pollfd watched{bell.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&watched, 1, 0), 0);
    std::array<std::byte, 20> body;
    std::jthread forwarder{[&] {
        EXPECT_TRUE(ok(queue.receive(body)));
        const std::uint64_t one = 1;
        EXPECT_EQ(::write(bell.get(), &one, sizeof one), 8);
    }};
    send_all(queue, {{1, "x"}});
    EXPECT_EQ(::poll(&watched, 1, 60000), 1);
    EXPECT_EQ(queue.status()->messages, 0u);
}

TEST(sys_sysv_mq, sysv_mq_M14_the_layout_is_the_kernels_and_the_size_excludes_the_type) {
    const scoped_sysv_mq queue;
    message_buffer<32> message;
    message.type = 77;
    message.body[0] = std::byte{'k'};
    message.body[1] = std::byte{'i'};
    ASSERT_TRUE(ok(queue.send(message.space(), 2)));
    struct {
        long type;
        char body[32];
    } raw{};
    ASSERT_EQ(::msgrcv(queue.native_id(), &raw, sizeof raw.body, 0, IPC_NOWAIT), 2);
    EXPECT_EQ(raw.type, 77);
    EXPECT_STREQ(raw.body, "ki");
    raw.type = 78;
    ASSERT_EQ(::msgsnd(queue.native_id(), &raw, 2, 0), 0);
    EXPECT_EQ(text_received(queue), "78:ki");
    EXPECT_TRUE(fails_with(queue.send(message.space(), 33), errc::invalid));
    EXPECT_TRUE(fails_with(queue.receive(message_space::over(&raw, sizeof(long))), errc::invalid));
}

TEST(sys_sysv_mq, sysv_mq_M15_nobody_is_told_that_the_reader_died_and_the_queue_fills) {
    const scoped_sysv_mq queue{{.capacity = 100}};
    child reader{[&] {
        std::array<std::byte, 20> body;
        for (;;) CHILD_CHECK(queue.receive(body));
        return 0;
    }};
    wait_until_in_syscall(reader.pid(), SYS_msgrcv);
    reader.kill_and_reap();
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(ok(queue.send(1, block(10))));
    EXPECT_TRUE(fails_with(queue.send(1, block(10), deadline::in(10ms)), errc::timed_out));
}

}  // namespace
