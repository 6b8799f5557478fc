// POSIX message queues: SEMANTICS Q1-Q6, Q8, Q10 and Q11. Notification, waiting, the rules for all mechanisms and the
// classic traps are in posix_mq_rules_test.cpp.
#include <kith/sys/posix_mq.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/queues.hpp"
#include "support/scope.hpp"

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

std::string text_received(const posix_mq& queue) {
    std::array<std::byte, 8192> body;
    const auto got = queue.receive(body, now);
    if (!got) return std::string{name_of(got.error().code())};
    return std::to_string(got->priority) + ":" + std::string{kith::text_of({body.data(), got->size})};
}

short state(const posix_mq& queue) {
    pollfd one{queue.native().get(), POLLIN | POLLOUT, 0};
    ::poll(&one, 1, 0);
    return one.revents;
}

// Root may exceed the limits: runs where nobody may.
int without_rights(const std::function<int()>& body) { return is_root() ? as_nobody(body) : child{body}.wait(); }

TEST(sys_posix_mq, posix_mq_Q1_names_have_one_leading_slash_and_no_other) {
    const posix_mq_options make{.create = creation::must_be_new};
    EXPECT_TRUE(fails_with(posix_mq::open("jobs", make), errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(posix_mq::open("", make), errc::invalid));
    EXPECT_TRUE(fails_with(posix_mq::open("/", make), errc::invalid, ENOENT));
    EXPECT_TRUE(fails_with(posix_mq::open("/a/b", make), errc::invalid, EACCES));
    EXPECT_TRUE(fails_with(posix_mq::open(std::string_view{"/a\0b", 4}, make), errc::invalid));
    EXPECT_TRUE(fails_with(unlink_posix_mq("/a/b"), errc::invalid, EACCES));
}

TEST(sys_posix_mq, posix_mq_Q1_255_characters_are_a_name_and_256_are_too_long) {
    auto longest = std::string{"/"}.append(unique_name("longest"));
    longest.resize(256, 'x');
    const posix_mq_name name{longest};
    EXPECT_TRUE(made(name).is_open());
    EXPECT_TRUE(fails_with(posix_mq::open(longest + "x"), errc::too_long, ENAMETOOLONG));
    EXPECT_TRUE(fails_with(unlink_posix_mq(longest + "x"), errc::too_long, ENAMETOOLONG));
}

TEST(sys_posix_mq, posix_mq_Q1_absent_exclusive_and_either) {
    const posix_mq_name name;
    EXPECT_TRUE(fails_with(posix_mq::open(name.get()), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(unlink_posix_mq(name.get()), errc::not_found, ENOENT));
    const auto first = posix_mq::open(name.get(), {.create = creation::create_or_open});
    ASSERT_TRUE(ok(first));
    EXPECT_TRUE(first->created());
    EXPECT_FALSE(posix_mq::open(name.get(), {.create = creation::create_or_open})->created());
    EXPECT_TRUE(fails_with(posix_mq::open(name.get(), {.create = creation::must_be_new}), errc::exists, EEXIST));
}

TEST(sys_posix_mq, posix_mq_Q1_without_the_right_it_is_not_permitted) {
    NEEDS_ROOT();
    const posix_mq_name name;
    const auto queue = made(name, {.mode = 0604});
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(fails_with(posix_mq::open(name.get()), errc::not_permitted, EACCES));
                  CHILD_CHECK(posix_mq::open(name.get(), {.access = posix_mq_access::receive_only}));
                  CHILD_CHECK(fails_with(unlink_posix_mq(name.get()), errc::not_permitted));
                  return 0;
              }));
}

TEST(sys_posix_mq, posix_mq_Q2_without_attributes_the_defaults_hold) {
    const posix_mq_name name;
    const auto limits = read_posix_mq_limits();
    ASSERT_TRUE(ok(limits));
    const auto attributes = made(name).attributes();
    EXPECT_EQ(attributes->max_messages, std::min(limits->default_max_messages, limits->max_messages));
    EXPECT_EQ(attributes->message_size, std::min(limits->default_message_size, limits->message_size));
    EXPECT_EQ(attributes->messages, 0u);
}

TEST(sys_posix_mq, posix_mq_Q2_one_attribute_alone_leaves_the_other_at_its_default) {
    const posix_mq_name few;
    const posix_mq_name small;
    EXPECT_EQ(made(few, {.max_messages = 3}).attributes()->max_messages, 3u);
    EXPECT_EQ(made(small, {.message_size = 16}).attributes()->message_size, 16u);
    EXPECT_EQ(posix_mq::open(few.get())->attributes()->message_size, read_posix_mq_limits()->default_message_size);
    EXPECT_EQ(posix_mq::open(small.get())->attributes()->max_messages, read_posix_mq_limits()->default_max_messages);
}

TEST(sys_posix_mq, posix_mq_Q2_attributes_above_the_limits_are_limit_reached) {
    EXPECT_EQ(
        0, without_rights([] {
            const posix_mq_name name;
            const auto limits = read_posix_mq_limits();
            CHILD_CHECK(limits);
            CHILD_CHECK(fails_with(
                posix_mq::open(name.get(), {.create = creation::must_be_new, .max_messages = limits->max_messages + 1}),
                errc::limit_reached, EINVAL));
            CHILD_CHECK(fails_with(
                posix_mq::open(name.get(), {.create = creation::must_be_new, .message_size = limits->message_size + 1}),
                errc::limit_reached, EINVAL));
            CHILD_CHECK(
                fails_with(posix_mq::open(name.get(), {.create = creation::must_be_new, .max_messages = SIZE_MAX}),
                           errc::limit_reached, EINVAL));
            return 0;
        }));
}

TEST(sys_posix_mq, posix_mq_Q2_the_bytes_of_the_users_queues_are_told_from_descriptors) {
    child limited{[] {
        const posix_mq_name name;
        const rlimit little{1000, 1000};
        CHILD_CHECK(::setrlimit(RLIMIT_MSGQUEUE, &little) == 0);
        CHILD_CHECK(read_posix_mq_limits()->bytes_per_user == 1000);
        const auto refused = posix_mq::open(name.get(), {.create = creation::must_be_new});
        CHILD_CHECK(fails_with(refused, errc::limit_reached, EMFILE));
        CHILD_CHECK(std::string{refused.error().operation()} == "mq_open(RLIMIT_MSGQUEUE)");
        CHILD_CHECK(describe(refused.error()).find("ulimit -q") != std::string::npos);
        const rlimit none{3, 3};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto no_descriptor = posix_mq::open(name.get(), {.create = creation::must_be_new});
        CHILD_CHECK(fails_with(no_descriptor, errc::limit_reached, EMFILE));
        CHILD_CHECK(std::string{no_descriptor.error().operation()} == "mq_open");
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

TEST(sys_posix_mq, posix_mq_Q2_too_many_queues_is_limit_reached_with_ENOSPC) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        std::ofstream{"/proc/sys/fs/mqueue/queues_max"} << 2;
        if (read_posix_mq_limits()->queues != 2) return 77;
        const auto body = [] {
            const posix_mq_options make{.create = creation::must_be_new, .max_messages = 1, .message_size = 1};
            CHILD_CHECK(posix_mq::open("/one", make));
            CHILD_CHECK(posix_mq::open("/two", make));
            CHILD_CHECK(fails_with(posix_mq::open("/three", make), errc::limit_reached, ENOSPC));
            return 0;
        };
        return without_rights(body);
    });
    if (status == 77 || (!is_root() && status == 97)) GTEST_SKIP() << "no namespaces here, or their limits are fixed";
    EXPECT_EQ(status, 0);
}

TEST(sys_posix_mq, posix_mq_Q2_a_found_queue_with_other_attributes_is_wrong_size_if_it_matters) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 3, .message_size = 100});
    EXPECT_TRUE(ok(posix_mq::open(name.get())));
    EXPECT_TRUE(ok(posix_mq::open(name.get(), {.max_messages = 3, .message_size = 100})));
    for (const auto create : {creation::must_exist, creation::create_or_open}) {
        EXPECT_TRUE(fails_with(posix_mq::open(name.get(), {.create = create, .max_messages = 4}), errc::wrong_size));
        EXPECT_TRUE(fails_with(posix_mq::open(name.get(), {.create = create, .message_size = 99}), errc::wrong_size));
    }
}

TEST(sys_posix_mq, posix_mq_Q3_highest_priority_first_and_oldest_within_it) {
    const posix_mq_name name;
    const auto queue = made(name);
    for (const auto& [priority, text] :
         std::vector<std::pair<unsigned, std::string>>{{0, "a"}, {7, "b"}, {32767, "c"}, {7, "d"}, {0, "e"}})
        ASSERT_TRUE(ok(queue.send(bytes_of(text), priority)));
    for (const auto* expected : {"32767:c", "7:b", "7:d", "0:a", "0:e", "would_block"})
        EXPECT_EQ(text_received(queue), expected);
    EXPECT_TRUE(fails_with(queue.send(bytes_of("x"), posix_mq_highest_priority + 1), errc::invalid, EINVAL));
}

TEST(sys_posix_mq, posix_mq_Q4_the_buffer_must_hold_the_largest_message_whatever_comes) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 2, .message_size = 50});
    ASSERT_TRUE(ok(queue.send(bytes_of("tiny"))));
    auto small = block(49);
    EXPECT_TRUE(fails_with(queue.receive(small, now), errc::truncated, EMSGSIZE));
    EXPECT_EQ(queue.attributes()->messages, 1u);
    auto enough = block(50);
    EXPECT_EQ(queue.receive(enough, now)->size, 4u);
    EXPECT_TRUE(fails_with(queue.send(block(51)), errc::too_long, EMSGSIZE));
    EXPECT_TRUE(ok(queue.send(block(50))));
}

TEST(sys_posix_mq, posix_mq_Q4_trap15_an_empty_message_is_a_message) {
    const posix_mq_name name;
    const auto queue = made(name);
    ASSERT_TRUE(ok(queue.send({}, 5)));
    EXPECT_EQ(text_received(queue), "5:");
    EXPECT_EQ(text_received(queue), "would_block");
}

TEST(sys_posix_mq, posix_mq_Q5_full_and_empty_are_would_block_with_EAGAIN) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 2, .message_size = 8});
    auto body = block(8);
    EXPECT_TRUE(fails_with(queue.receive(body, now), errc::would_block, EAGAIN));
    ASSERT_TRUE(ok(queue.send(body, 0, now)));
    ASSERT_TRUE(ok(queue.send(body, 0, now)));
    EXPECT_TRUE(fails_with(queue.send(body, 0, now), errc::would_block, EAGAIN));
}

TEST(sys_posix_mq, posix_mq_Q5_waiting_for_room_and_for_messages) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 1, .message_size = 8});
    child other{[&] {
        auto body = block(8);
        CHILD_CHECK(queue.receive(body)->size == 2);
        CHILD_CHECK(queue.send(bytes_of("1"), 1));
        CHILD_CHECK(queue.send(bytes_of("2"), 2));  // no room until the parent has received
        return 0;
    }};
    wait_until_in_syscall(other.pid(), SYS_ppoll);
    ASSERT_TRUE(ok(queue.send(bytes_of("go"))));
    // The queue holds one message: as long as that is "go", the other has not woken yet.
    while (queue.kernel_status()->bytes != 1) std::this_thread::yield();
    wait_until_in_syscall(other.pid(), SYS_ppoll);
    auto body = block(8);
    ASSERT_TRUE(ok(queue.receive(body)));
    ASSERT_TRUE(ok(queue.receive(body)));
    EXPECT_EQ(other.wait(), 0);
}

TEST(sys_posix_mq, posix_mq_Q5_blocking_mode_belongs_to_the_open_description_and_is_left_as_found) {
    const posix_mq_name name;
    const auto ours = made(name, {.max_messages = 1, .message_size = 8});
    const int raw = ::mq_open(name.get().c_str(), O_RDWR);
    ASSERT_GE(raw, 0);
    const auto adopted = posix_mq::adopt(kith::owned_fd{raw});
    ASSERT_TRUE(ok(adopted));
    auto body = block(8);
    EXPECT_TRUE(fails_with(adopted->receive(body, deadline::in(10ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(adopted->receive(body, now), errc::would_block));
    ASSERT_TRUE(ok(adopted->send(body)));
    EXPECT_TRUE(fails_with(adopted->send(body, 0, deadline::in(10ms)), errc::timed_out));
    EXPECT_TRUE(ok(adopted->receive(body)));
    mq_attr attributes{};
    ASSERT_EQ(::mq_getattr(raw, &attributes), 0);
    EXPECT_EQ(attributes.mq_flags, 0);
    ASSERT_EQ(::mq_getattr(ours.native().get(), &attributes), 0);
    EXPECT_EQ(attributes.mq_flags, O_NONBLOCK);
    attributes.mq_maxmsg = 5;  // ignored, as everything but the flag
    ASSERT_EQ(::mq_setattr(raw, &attributes, nullptr), 0);
    EXPECT_EQ(adopted->attributes()->max_messages, 1u);
}

TEST(sys_posix_mq, posix_mq_Q6_the_descriptor_can_be_polled) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 2, .message_size = 8});
    EXPECT_EQ(state(queue), POLLOUT);
    ASSERT_TRUE(ok(queue.send({})));
    EXPECT_EQ(state(queue), POLLIN | POLLOUT);
    ASSERT_TRUE(ok(queue.send({})));
    EXPECT_EQ(state(queue), POLLIN);

    const kith::owned_fd set{::epoll_create1(EPOLL_CLOEXEC)};
    epoll_event wanted{.events = EPOLLOUT, .data = {.u64 = 42}};
    ASSERT_EQ(::epoll_ctl(set.get(), EPOLL_CTL_ADD, queue.native().get(), &wanted), 0);
    epoll_event seen{};
    EXPECT_EQ(::epoll_wait(set.get(), &seen, 1, 0), 0);
    EXPECT_EQ(text_received(queue), "0:");
    ASSERT_EQ(::epoll_wait(set.get(), &seen, 1, 60000), 1);
    const std::uint64_t tag = seen.data.u64;  // a copy: the struct is packed
    EXPECT_EQ(tag, 42u);
}

TEST(sys_posix_mq, posix_mq_Q6_access_is_checked_per_call) {
    const posix_mq_name name;
    const auto queue = made(name);
    const auto sender = posix_mq::open(name.get(), {.access = posix_mq_access::send_only});
    const auto receiver = posix_mq::open(name.get(), {.access = posix_mq_access::receive_only});
    auto body = block(8192);
    EXPECT_TRUE(fails_with(sender->receive(body), errc::not_permitted, EBADF));
    EXPECT_TRUE(fails_with(sender->kernel_status(), errc::not_permitted, EBADF));
    EXPECT_TRUE(fails_with(receiver->send({}), errc::not_permitted, EBADF));
    ASSERT_TRUE(ok(sender->send({})));
    EXPECT_TRUE(ok(receiver->receive(body)));
    posix_mq closed;
    EXPECT_TRUE(fails_with(closed.send({}), errc::invalid, EBADF));
    EXPECT_TRUE(fails_with(closed.attributes(), errc::invalid, EBADF));
}

TEST(sys_posix_mq, posix_mq_Q6_read_gives_the_status_line_and_write_is_refused) {
    const posix_mq_name name;
    const auto queue = made(name);
    ASSERT_TRUE(ok(queue.send(block(30))));
    ASSERT_TRUE(ok(queue.send(block(12))));
    sigevent signal{};
    signal.sigev_notify = SIGEV_SIGNAL;
    signal.sigev_signo = SIGUSR1;
    ASSERT_TRUE(ok(queue.notify(signal)));
    for (int twice = 0; twice < 2; ++twice) {
        const auto line = queue.kernel_status();
        ASSERT_TRUE(ok(line));
        EXPECT_EQ(line->bytes, 42u);
        EXPECT_EQ(line->notification, SIGEV_SIGNAL);
        EXPECT_EQ(line->signal, SIGUSR1);
        EXPECT_EQ(line->notified, ::getpid());
    }
    ASSERT_TRUE(ok(queue.cancel_notification()));
    EXPECT_EQ(queue.kernel_status()->notified, 0);
    EXPECT_EQ(::write(queue.native().get(), "x", 1), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST(sys_posix_mq, posix_mq_Q6_a_descriptor_of_something_else_is_wrong_kind) {
    EXPECT_TRUE(
        fails_with(posix_mq::adopt(kith::owned_fd{::open("/dev/null", O_RDWR | O_CLOEXEC)}), errc::wrong_kind, EBADF));
    EXPECT_TRUE(fails_with(posix_mq::adopt(kith::owned_fd{}), errc::invalid, EBADF));
}

TEST(sys_posix_mq, posix_mq_Q8_the_name_goes_at_once_and_open_queues_go_on) {
    const posix_mq_name name;
    const auto queue = made(name);
    child other{[&] {
        auto body = block(8192);
        CHILD_CHECK(queue.receive(body)->size == 5);
        return 0;
    }};
    wait_until_in_syscall(other.pid(), SYS_ppoll);
    ASSERT_TRUE(ok(unlink_posix_mq(name.get())));
    EXPECT_TRUE(fails_with(posix_mq::open(name.get()), errc::not_found));
    ASSERT_TRUE(ok(queue.send(bytes_of("still"))));
    EXPECT_EQ(other.wait(), 0);
    const auto next = made(name);
    EXPECT_EQ(next.attributes()->messages, 0u);
}

TEST(sys_posix_mq, posix_mq_Q10_the_calls_work_without_the_mount_and_listing_needs_it) {
    const int status = in_namespaces(CLONE_NEWIPC | CLONE_NEWNS, [] {
        const auto queue = posix_mq::open("/listed", {.create = creation::must_be_new});
        CHILD_CHECK(queue && queue->send(bytes_of("x")));
        const temp_dir dir;
        CHILD_CHECK(::access(dir.path("listed").c_str(), F_OK) != 0);
        if (::mount("mqueue", dir.dir().c_str(), "mqueue", 0, nullptr) != 0) return 77;
        std::string line;
        std::getline(std::ifstream{dir.path("listed")}, line);
        CHILD_CHECK(line.starts_with("QSIZE:1 "));
        CHILD_CHECK(::umount(dir.dir().c_str()) == 0);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces or mounts here";
    EXPECT_EQ(status, 0);
}

TEST(sys_posix_mq, posix_mq_Q11_receivers_in_the_kernel_are_served_by_priority_then_age) {
    const posix_mq_name name;
    const auto queue = made(name, {.max_messages = 3, .message_size = 8});
    std::vector<child> waiting;
    for (const int nice : {5, 0, 0}) {
        waiting.emplace_back([&, nice] {
            // The plain call of some other program: kith itself waits in ppoll.
            const int raw = ::mq_open(name.get().c_str(), O_RDONLY);
            CHILD_CHECK(raw >= 0 && ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + nice) == 0);
            char body[8];
            CHILD_CHECK(::mq_receive(raw, body, sizeof body, nullptr) == 1);
            return body[0] - '0';
        });
        wait_until_in_syscall(waiting.back().pid(), SYS_mq_timedreceive);
    }
    for (const auto* text : {"1", "2", "3"}) ASSERT_TRUE(ok(queue.send(bytes_of(text))));
    EXPECT_EQ(waiting[1].wait(), 1);
    EXPECT_EQ(waiting[2].wait(), 2);
    EXPECT_EQ(waiting[0].wait(), 3);
}

}  // namespace
