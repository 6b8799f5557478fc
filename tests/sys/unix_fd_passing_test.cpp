// Descriptors and credentials over UNIX sockets: SEMANTICS U8-U11, U13 and trap 18.
#include <kith/observer.hpp>
#include <kith/sys/unix_listener.hpp>
#include <kith/sys/unix_socket.hpp>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "base/uapi.hpp"
#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"
#include "sys/control_message.hpp"

namespace {

using namespace kith_test;
using kith::borrowed_fd;
using kith::bytes_of;
using kith::deadline;
using kith::errc;
using kith::owned_fd;
using kith::text_of;
using namespace kith::sys;

// Descriptors of /dev/null to pass.
std::vector<owned_fd> nulls(std::size_t count) {
    std::vector<owned_fd> made;
    for (std::size_t i = 0; i < count; ++i) made.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
    return made;
}
std::vector<borrowed_fd> borrowed(const std::vector<owned_fd>& owned) {
    std::vector<borrowed_fd> all;
    for (const auto& one : owned) all.push_back(one.borrow());
    return all;
}

bool same_file(int a, int b) {
    struct stat left{};
    struct stat right{};
    return ::fstat(a, &left) == 0 && ::fstat(b, &right) == 0 && left.st_ino == right.st_ino &&
           left.st_dev == right.st_dev;
}

std::atomic<std::uint64_t> surplus_seen{0};
struct watch_surplus {
    watch_surplus() {
        surplus_seen = 0;
        kith::set_observer([](const kith::event& what, void*) noexcept {
            if (what.kind == kith::event_kind::surplus_closed) surplus_seen += what.count;
        });
    }
    ~watch_surplus() { kith::set_observer(nullptr); }
};

TEST(sys_unix, unix_U8_a_descriptor_arrives_as_a_descriptor_for_the_same_file) {
    auto pair = must(open_unix_stream_pair());
    const temp_dir dir;
    const owned_fd file{::open(dir.path("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    child sender{[&] {
        const borrowed_fd out[] = {file.borrow()};
        CHILD_CHECK(*pair.first.send(bytes_of("abc"), {.descriptors = out}) == 3);
        return 0;
    }};
    owned_fd arrived[2];
    auto buffer = block(10);
    const auto got = must(pair.second.receive(buffer, arrived, deadline::in(20s)));
    EXPECT_EQ(got.size, 3u);
    EXPECT_EQ(got.descriptors, 1u);
    EXPECT_FALSE(got.attachments_lost);
    EXPECT_TRUE(same_file(arrived[0].get(), file.get()));
    EXPECT_NE(::fcntl(arrived[0].get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_FALSE(arrived[1].valid());
    EXPECT_EQ(sender.wait(), 0);
}

TEST(sys_unix, unix_U8_on_a_stream_descriptors_need_a_byte_and_packets_may_be_empty) {
    const auto one = nulls(1);
    auto stream = must(open_unix_stream_pair());
    EXPECT_TRUE(fails_with(stream.first.send({}, {.descriptors = borrowed(one)}), errc::invalid, EINVAL));
    EXPECT_EQ(must(stream.first.send({}, {})), 0u);
    auto packets = must(open_unix_seqpacket_pair());
    auto datagrams = must(open_unix_datagram_pair());
    ASSERT_TRUE(ok(packets.first.send({}, {.descriptors = borrowed(one)})));
    ASSERT_TRUE(ok(datagrams.first.send({}, {.descriptors = borrowed(one)})));
    owned_fd arrived[1];
    const auto packet = must(packets.second.receive({}, arrived));
    EXPECT_EQ(packet.descriptors, 1u);
    EXPECT_EQ(packet.real_size, 0u);
    EXPECT_EQ(must(datagrams.second.receive({}, arrived)).descriptors, 1u);
}

TEST(sys_unix, unix_U8_253_descriptors_pass_and_254_are_refused) {
    auto pair = must(open_unix_stream_pair());
    const auto many = nulls(max_passed_descriptors + 1);
    const auto all = borrowed(many);
    EXPECT_TRUE(fails_with(pair.first.send(bytes_of("x"), {.descriptors = all}), errc::invalid, EINVAL));
    ASSERT_TRUE(ok(pair.first.send(bytes_of("x"), {.descriptors = std::span{all}.first(max_passed_descriptors)})));
    std::vector<owned_fd> arrived(max_passed_descriptors);
    std::byte one;
    const auto got = must(pair.second.receive({&one, 1}, arrived));
    EXPECT_EQ(got.descriptors, max_passed_descriptors);
    EXPECT_EQ(got.surplus, 0u);
    for (const auto& fd : arrived) EXPECT_TRUE(same_file(fd.get(), many[0].get()));
}

TEST(sys_unix, unix_U8_a_closed_descriptor_is_refused_and_nothing_is_sent) {
    auto pair = must(open_unix_seqpacket_pair());
    const borrowed_fd bad[] = {borrowed_fd{9999}};
    EXPECT_TRUE(fails_with(pair.first.send(bytes_of("x"), {.descriptors = bad}), errc::invalid, EBADF));
    EXPECT_TRUE(fails_with(pair.second.receive({}, {}, deadline::immediate()), errc::would_block));
}

TEST(sys_unix, unix_U8_too_many_descriptors_under_way_is_limit_reached) {
    auto body = [] {
        auto pair = open_unix_stream_pair();
        CHILD_CHECK(pair);
        const rlimit few{50, 50};
        const auto one = nulls(1);
        const std::vector<borrowed_fd> many(40, one[0].borrow());
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &few) == 0);
        CHILD_CHECK(pair->first.send(bytes_of("x"), {.descriptors = many}));
        CHILD_CHECK(pair->first.send(bytes_of("x"), {.descriptors = many}));
        const auto refused = pair->first.send(bytes_of("x"), {.descriptors = many});
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached &&
                    refused.error().os_error() == ETOOMANYREFS);
        return 0;
    };
    // The limit counts per user and does not bind the privileged.
    EXPECT_EQ(is_root() ? as_nobody(body) : child{body}.wait(), 0);
}

TEST(sys_unix, unix_U8_a_receiver_can_refuse_descriptors) {
    auto pair = must(open_unix_stream_pair());
    const auto off = set_receive_descriptors(pair.second, false);
    if (!off) {
        EXPECT_TRUE(fails_with(off, errc::unsupported, ENOPROTOOPT));
        GTEST_SKIP() << "this kernel has no SO_PASSRIGHTS";
    }
    const auto one = nulls(1);
    EXPECT_TRUE(fails_with(pair.first.send(bytes_of("x"), {.descriptors = borrowed(one)}), errc::not_permitted, EPERM));
    EXPECT_TRUE(ok(pair.first.send(bytes_of("x"), {})));
    ASSERT_TRUE(ok(set_receive_descriptors(pair.second, true)));
    EXPECT_TRUE(ok(pair.first.send(bytes_of("x"), {.descriptors = borrowed(one)})));
}

TEST(sys_unix, unix_U9_descriptors_that_nobody_made_room_for_are_closed_counted_and_told) {
    const watch_surplus watch;
    auto pair = must(open_unix_stream_pair());
    const auto three = nulls(3);
    ASSERT_TRUE(ok(pair.first.send(bytes_of("x"), {.descriptors = borrowed(three)})));
    const int before = open_descriptors();
    owned_fd arrived[1];
    std::byte one;
    const auto got = must(pair.second.receive({&one, 1}, arrived));
    EXPECT_EQ(got.descriptors, 1u);
    EXPECT_EQ(got.surplus, 2u);
    EXPECT_FALSE(got.attachments_lost);
    EXPECT_EQ(open_descriptors(), before + 1);
    EXPECT_EQ(surplus_seen, 2u);
}

TEST(sys_unix, unix_trap18_descriptors_smuggled_to_one_who_expects_none_do_not_stay) {
    const watch_surplus watch;
    auto packets = must(open_unix_seqpacket_pair());
    const auto many = nulls(50);
    ASSERT_TRUE(ok(packets.first.send(bytes_of("x"), {.descriptors = borrowed(many)})));
    const int before = open_descriptors();
    EXPECT_EQ(must(packets.second.receive({})).surplus, 50u);
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(surplus_seen, 50u);
}

TEST(sys_unix, unix_U9_the_walk_finds_the_descriptor_that_alignment_made_room_for) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    unix_stream sender{owned_fd{ends[0]}, kith::fd_mode::blocking};
    const owned_fd receiver{ends[1]};
    const auto three = nulls(3);
    ASSERT_TRUE(ok(sender.send(bytes_of("x"), {.descriptors = borrowed(three)})));
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> room{};  // meant for one
    std::byte one;
    iovec part{&one, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    ASSERT_EQ(::recvmsg(receiver.get(), &message, MSG_CMSG_CLOEXEC), 1);
    EXPECT_NE(message.msg_flags & MSG_CTRUNC, 0);
    std::vector<owned_fd> found;
    kith::detail::walk_control(std::span{room}.first(message.msg_controllen), [&](int level, int type, auto payload) {
        EXPECT_EQ(level, SOL_SOCKET);
        EXPECT_EQ(type, SCM_RIGHTS);
        kith::detail::each<int>(payload, [&](int fd) { found.emplace_back(fd); });
    });
    EXPECT_EQ(found.size(), 2u);
}

TEST(sys_unix, unix_U9_a_control_header_with_a_senseless_length_ends_the_walk) {
    int visits = 0;
    const auto count = [&](int, int, auto) { ++visits; };
    std::array<std::byte, 64> bytes{};
    cmsghdr header{};
    for (const std::size_t length : {std::size_t{0}, std::size_t{15}, std::size_t{65}, SIZE_MAX}) {
        header.cmsg_len = length;
        std::memcpy(bytes.data(), &header, sizeof header);
        kith::detail::walk_control(bytes, count);
    }
    EXPECT_EQ(visits, 0);
    header.cmsg_len = 64;
    std::memcpy(bytes.data(), &header, sizeof header);
    kith::detail::walk_control(bytes, count);
    EXPECT_EQ(visits, 1);
}

TEST(sys_unix, unix_U10_at_the_descriptor_limit_the_data_arrive_and_the_loss_is_reported) {
    child receiver{[] {
        auto pair = open_unix_stream_pair();
        CHILD_CHECK(pair);
        const auto two = nulls(2);
        CHILD_CHECK(pair->first.send(bytes_of("data"), {.descriptors = borrowed(two)}));
        const rlimit none{3, 3};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        owned_fd arrived[2];
        auto buffer = block(10);
        const auto got = pair->second.receive(buffer, arrived);
        CHILD_CHECK(got && got->size == 4 && got->descriptors == 0 && got->attachments_lost);
        return 0;
    }};
    EXPECT_EQ(receiver.wait(), 0);
}

TEST(sys_unix, unix_U10_a_plain_read_drops_descriptors_without_leaking_them) {
    auto pair = must(open_unix_stream_pair());
    const auto one = nulls(1);
    const int before = open_descriptors();
    ASSERT_TRUE(ok(pair.first.send(bytes_of("x"), {.descriptors = borrowed(one)})));
    auto buffer = block(10);
    EXPECT_EQ(must(pair.second.read_some(buffer)), 1u);
    EXPECT_EQ(open_descriptors(), before);
    ASSERT_TRUE(ok(pair.first.write_some(bytes_of("y"))));
    owned_fd arrived[1];
    EXPECT_EQ(must(pair.second.receive(buffer, arrived)).descriptors, 0u);  // gone with the bytes they came with
}

TEST(sys_unix, unix_U10_a_peek_duplicates_no_descriptor_and_takes_none) {
    const auto one = nulls(1);
    auto packets = must(open_unix_seqpacket_pair());
    auto stream = must(open_unix_stream_pair());
    ASSERT_TRUE(ok(packets.first.send(bytes_of("x"), {.descriptors = borrowed(one)})));
    ASSERT_TRUE(ok(stream.first.send(bytes_of("x"), {.descriptors = borrowed(one)})));
    const int before = open_descriptors();
    auto buffer = block(10);
    EXPECT_EQ(must(packets.second.peek(buffer)).size, 1u);
    EXPECT_EQ(must(stream.second.peek(buffer)), 1u);
    EXPECT_EQ(open_descriptors(), before);
    owned_fd arrived[1];
    EXPECT_EQ(must(packets.second.receive(buffer, arrived)).descriptors, 1u);
    EXPECT_EQ(must(stream.second.receive(buffer, arrived)).descriptors, 1u);
}

TEST(sys_unix, unix_U11_descriptors_are_not_tied_to_the_first_byte) {
    auto pair = must(open_unix_stream_pair());
    const auto one = nulls(1);
    ASSERT_TRUE(ok(pair.first.write_some(bytes_of("aa"))));
    ASSERT_TRUE(ok(pair.first.send(bytes_of("bb"), {.descriptors = borrowed(one)})));
    ASSERT_TRUE(ok(pair.first.write_some(bytes_of("cc"))));
    auto buffer = block(100);
    owned_fd arrived[1];
    auto got = must(pair.second.receive(buffer, arrived));
    EXPECT_EQ(text_of(buffer).substr(0, got.size), "aabb");
    EXPECT_EQ(got.descriptors, 1u);
    got = must(pair.second.receive(buffer, arrived));
    EXPECT_EQ(text_of(buffer).substr(0, got.size), "cc");
    EXPECT_EQ(got.descriptors, 0u);
}

TEST(sys_unix, unix_U13_credentials_come_with_each_message) {
    auto listener = must(listen_unix_seqpacket(unix_name{}));
    ASSERT_TRUE(ok(set_receive_credentials(listener, true)));
    const auto name = must(local_name(listener));
    child sender{[&] {
        auto socket = connect_unix_seqpacket(name);
        CHILD_CHECK(socket && socket->send(bytes_of("x")));
        return 0;
    }};
    EXPECT_EQ(sender.wait(), 0);  // sent before it was accepted
    auto server = must(listener.accept(deadline::in(20s)));
    auto buffer = block(10);
    const auto got = must(server.receive(buffer));
    ASSERT_TRUE(got.credentials.has_value());
    EXPECT_EQ(*got.credentials, (peer_credentials{sender.pid(), ::getuid(), ::getgid()}));
}

TEST(sys_unix, unix_U13_data_sent_before_credentials_were_asked_for_name_nobody) {
    auto pair = must(open_unix_datagram_pair());
    ASSERT_TRUE(ok(pair.first.send(bytes_of("early"))));
    ASSERT_TRUE(ok(set_receive_credentials(pair.second, true)));
    ASSERT_TRUE(ok(pair.first.send(bytes_of("late"))));
    auto buffer = block(10);
    EXPECT_EQ(must(pair.second.receive(buffer)).credentials, (peer_credentials{0, 65534, 65534}));
    EXPECT_EQ(must(pair.second.receive(buffer)).credentials, (peer_credentials{::getpid(), ::getuid(), ::getgid()}));
}

TEST(sys_unix, unix_U13_only_the_privileged_may_lie) {
    NEEDS_ROOT();
    auto pair = must(open_unix_datagram_pair());
    ASSERT_TRUE(ok(set_receive_credentials(pair.second, true)));
    const peer_credentials lie{1, 12345, 12345};
    ASSERT_TRUE(ok(pair.first.send(bytes_of("x"), {.credentials = lie})));
    auto buffer = block(10);
    EXPECT_EQ(must(pair.second.receive(buffer)).credentials, lie);
    EXPECT_EQ(0, as_nobody([&] {
                  const auto refused = pair.first.send(bytes_of("x"), {.credentials = lie});
                  CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted &&
                              refused.error().os_error() == EPERM);
                  const peer_credentials truth{::getpid(), ::getuid(), ::getgid()};
                  CHILD_CHECK(pair.first.send(bytes_of("x"), {.credentials = truth}));
                  return 0;
              }));
}

TEST(sys_unix, unix_U13_a_pidfd_of_the_sender_comes_with_each_message) {
    auto pair = must(open_unix_datagram_pair());
    const auto on = set_receive_pidfd(pair.second, true);
    if (!on) {
        EXPECT_TRUE(fails_with(on, errc::unsupported, ENOPROTOOPT));
        GTEST_SKIP() << "this kernel has no SO_PASSPIDFD";
    }
    const auto one = nulls(1);
    ASSERT_TRUE(ok(pair.first.send(bytes_of("x"), {.descriptors = borrowed(one)})));
    auto buffer = block(10);
    owned_fd arrived[2];
    const auto got = must(pair.second.receive(buffer, arrived));
    EXPECT_TRUE(got.sender_pidfd.valid());
    EXPECT_EQ(got.descriptors, 1u);  // the pidfd is not among them
    EXPECT_NE(::fcntl(got.sender_pidfd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(sys_unix, unix_U12_U13_what_a_kernel_does_not_have_is_unsupported) {
    child older{[] {
        auto pair = open_unix_stream_pair();
        CHILD_CHECK(pair);
        const auto lacking = [](long call, std::uint32_t name) {
            return denied_call{.number = call, .os_error = ENOPROTOOPT, .argument = 2, .mask = ~0U, .value = name};
        };
        if (!deny({lacking(SYS_getsockopt, SO_PEERPIDFD), lacking(SYS_setsockopt, SO_PASSPIDFD),
                   lacking(SYS_setsockopt, SO_PASSRIGHTS), lacking(SYS_getsockopt, SO_PEERGROUPS)}))
            return 77;
        const auto unsupported = [](const auto& outcome) {
            return !outcome && outcome.error().code() == errc::unsupported && outcome.error().os_error() == ENOPROTOOPT;
        };
        CHILD_CHECK(unsupported(peer_pidfd(pair->first)));
        CHILD_CHECK(unsupported(set_receive_pidfd(pair->first, true)));
        CHILD_CHECK(unsupported(set_receive_descriptors(pair->first, false)));
        std::array<gid_t, 4> groups{};
        CHILD_CHECK(unsupported(peer_groups(pair->first, groups)));
        CHILD_CHECK(peer_of(pair->first) && set_receive_credentials(pair->first, true));  // as old as the sockets
        return 0;
    }};
    const int status = older.wait();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
}

TEST(sys_unix, unix_U13_everything_at_once_fits) {
    auto pair = must(open_unix_seqpacket_pair());
    ASSERT_TRUE(ok(set_receive_credentials(pair.second, true)));
    static_cast<void>(set_receive_pidfd(pair.second, true));
    const auto many = nulls(max_passed_descriptors);
    ASSERT_TRUE(
        ok(pair.first.send(bytes_of("x"), {.descriptors = borrowed(many),
                                           .credentials = peer_credentials{::getpid(), ::getuid(), ::getgid()}})));
    std::vector<owned_fd> arrived(max_passed_descriptors);
    auto buffer = block(10);
    const auto got = must(pair.second.receive(buffer, arrived));
    EXPECT_EQ(got.descriptors, max_passed_descriptors);
    EXPECT_TRUE(got.credentials.has_value());
    EXPECT_FALSE(got.attachments_lost);
}

TEST(sys_unix, unix_U10_a_peek_of_a_datagram_duplicates_no_descriptor) {
    auto pair = must(open_unix_datagram_pair());
    const borrowed_fd passed[] = {borrowed_fd{0}, borrowed_fd{1}};
    ASSERT_TRUE(ok(pair.first.send(bytes_of("x"), attachments{.descriptors = passed})));
    std::array<std::byte, 8> buffer{};
    const auto seen = must(pair.second.peek(buffer));
    EXPECT_EQ(seen.size, 1u);
    EXPECT_EQ(seen.surplus, 0u);  // none came that had to be closed
    EXPECT_FALSE(seen.attachments_lost);
    std::array<owned_fd, 2> arrived;
    EXPECT_EQ(must(pair.second.receive(buffer, arrived)).descriptors, 2u);
}

}  // namespace
