// Requests and replies over message queues: several clients at once, stale messages, killed clients, and that no reply
// that nobody takes holds the server up. Proves the rules and the table of docs/formats/request_reply.md.
#include <kith/compose/request_reply.hpp>

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <kith/observer.hpp>

#include "compose/request_header.hpp"
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
using namespace kith::compose;
using kith::sys::creation;
using kith::sys::leftovers;
using kith::sys::posix_mq;
using kith::sys::sysv_mq;

constexpr auto now = deadline::immediate();

struct counted {
    std::uint64_t stale = 0;
    std::uint64_t died = 0;
    counted() {
        kith::set_observer(
            [](const kith::event& what, void* context) noexcept {
                auto& self = *static_cast<counted*>(context);
                if (what.kind == kith::event_kind::stale_removed) self.stale += what.count;
                if (what.kind == kith::event_kind::peer_died) self.died += what.count;
            },
            this);
    }
    ~counted() { kith::set_observer(nullptr); }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
};

// A server with both of its queues, removed at the end.
struct sysv_service {
    kith::sys::sysv_key key = unique_key();
    sysv_request_server server;
    sysv_mq_guard requests{server.requests().native_id()};
    sysv_mq_guard replies{server.replies().native_id()};

    explicit sysv_service(sysv_request_server::options how = {}) : server{*sysv_request_server::open(key, how)} {}
    using client = sysv_request_client;
    [[nodiscard]] kith::result<client> open_client() const { return client::open(key); }
};

struct posix_service {
    posix_mq_name name;
    posix_request_server server;

    explicit posix_service(posix_request_server::options how = {})
        : server{*posix_request_server::open(name.get(), how)} {}
    using client = posix_request_client;
    [[nodiscard]] kith::result<client> open_client() const { return client::open(name.get()); }
};

// Answers `count` requests with their text in front of which stands "re:".
template <class Server>
void serve(Server& server, int count) {
    std::array<std::byte, 2000> body;
    for (int i = 0; i < count; ++i) {
        const auto got = server.take(body);
        CHILD_CHECK(got);
        const auto reply = std::string{"re:"}.append(kith::text_of(byte_span{body}.first(got->size)));
        CHILD_CHECK(server.reply(got->from, bytes_of(reply)));
    }
}

template <class Client>
std::string asked(Client& client, const std::string& request, const kith::wait_policy& wait = {}) {
    std::array<std::byte, 2000> reply;
    const auto size = client.call(bytes_of(request), reply, wait);
    return size ? std::string{kith::text_of(byte_span{reply}.first(*size))} : std::string{name_of(size.error().code())};
}

template <class Service>
class compose_request_reply : public testing::Test {};
using services = testing::Types<sysv_service, posix_service>;
TYPED_TEST_SUITE(compose_request_reply, services);

TYPED_TEST(compose_request_reply, several_clients_at_once_each_get_their_own_replies) {
    TypeParam service;
    constexpr int clients = 4;
    constexpr int calls = 100;
    std::vector<child> kin;
    for (int c = 0; c < clients; ++c)
        kin.emplace_back([&, c] {
            auto client = service.open_client();
            CHILD_CHECK(client);
            for (int i = 0; i < calls; ++i) {
                const auto text = std::to_string(c) + "/" + std::to_string(i);
                CHILD_CHECK(asked(*client, text) == std::string{"re:"}.append(text));
            }
            return 0;
        });
    serve(service.server, clients * calls);
    for (auto& one : kin) EXPECT_EQ(one.wait(), 0);
}

TYPED_TEST(compose_request_reply, empty_requests_and_replies_are_requests_and_replies) {
    TypeParam service;
    child kin{[&] {
        auto client = service.open_client();
        return asked(*client, "") == "" ? 0 : 1;
    }};
    std::array<std::byte, 1> body;
    const auto got = service.server.take(body);
    ASSERT_TRUE(ok(got));
    EXPECT_EQ(got->size, 0u);
    EXPECT_TRUE(ok(service.server.reply(got->from, {})));
    EXPECT_EQ(kin.wait(), 0);
}

TYPED_TEST(compose_request_reply, trap01_a_late_reply_is_not_taken_for_the_reply_to_the_next_call) {
    TypeParam service;
    auto client = service.open_client();
    ASSERT_TRUE(ok(client));
    EXPECT_EQ(asked(*client, "first", deadline::in(20ms)), "timed_out");
    // A server that is slower than its client: the ticket as it was, but with a time limit that it believes in.
    std::array<std::byte, 100> body;
    std::jthread slow{[&] {
        const auto second = service.server.take(body);  // the first was dropped: nobody waits for it
        EXPECT_TRUE(ok(second));
        EXPECT_EQ(kith::text_of(byte_span{body}.first(second->size)), "second");
        auto late = second->from;
        --late.number;
        EXPECT_TRUE(ok(service.server.reply(late, bytes_of("reply to the first"))));
        EXPECT_TRUE(ok(service.server.reply(second->from, bytes_of("reply to the second"))));
    }};
    EXPECT_EQ(asked(*client, "second"), "reply to the second");
}

TYPED_TEST(compose_request_reply, a_request_of_a_killed_client_is_dropped) {
    TypeParam service;
    const counted events;
    child victim{[&] {
        auto client = service.open_client();
        static_cast<void>(asked(*client, "of the dead"));
        return 0;
    }};
    wait_until_in_syscall(victim.pid(), {SYS_msgrcv, SYS_ppoll});
    victim.kill_and_reap();
    child alive{[&] {
        auto client = service.open_client();
        return asked(*client, "alive") == "re:alive" ? 0 : 1;
    }};
    serve(service.server, 1);
    EXPECT_EQ(alive.wait(), 0);
    EXPECT_EQ(events.died, 1u);
}

TYPED_TEST(compose_request_reply, a_reply_to_a_killed_client_is_peer_gone) {
    TypeParam service;
    child victim{[&] {
        auto client = service.open_client();
        static_cast<void>(asked(*client, "x"));
        return 0;
    }};
    std::array<std::byte, 10> body;
    const auto got = service.server.take(body);
    ASSERT_TRUE(ok(got));
    victim.kill_and_reap();
    EXPECT_TRUE(fails_with(service.server.reply(got->from, bytes_of("too late")), errc::peer_gone));
}

TYPED_TEST(compose_request_reply, trap12_a_reused_pid_is_not_the_client) {
    TypeParam service;
    std::array<std::byte, 10> body;
    child kin{[&] {
        auto own = service.open_client();
        return asked(*own, "x") == "peer_gone" ? 0 : 1;
    }};
    const auto got = service.server.take(body);
    ASSERT_TRUE(ok(got));
    auto former = got->from;
    --former.client.started;  // the same pid, but a process that has ended
    EXPECT_TRUE(fails_with(service.server.reply(former, bytes_of("to whom?")), errc::peer_gone));
    if constexpr (std::is_same_v<TypeParam, sysv_service>) {
        EXPECT_TRUE(ok(service.server.refuse(got->from)));
        EXPECT_EQ(kin.wait(), 0);
    } else {  // its queue was taken for an orphan's and is gone
        EXPECT_TRUE(fails_with(service.server.refuse(got->from), errc::peer_gone));
    }
}

TYPED_TEST(compose_request_reply, what_is_no_request_is_dropped_and_the_next_one_served) {
    TypeParam service;
    const counted events;
    const auto garbage = block(300, 'g');
    if constexpr (std::is_same_v<TypeParam, sysv_service>) {
        ASSERT_TRUE(ok(service.server.requests().send(1, garbage)));
        ASSERT_TRUE(ok(service.server.requests().send(1, {})));
        ASSERT_TRUE(ok(service.server.requests().send(2, garbage)));  // another type is not the server's business
    } else {
        ASSERT_TRUE(ok(service.server.requests().send(garbage)));
        ASSERT_TRUE(ok(service.server.requests().send({})));
    }
    child kin{[&] {
        auto client = service.open_client();
        return asked(*client, "good") == "re:good" ? 0 : 1;
    }};
    serve(service.server, 1);
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(events.stale, 2u);
}

TYPED_TEST(compose_request_reply, too_long_in_either_direction_is_told_to_the_client) {
    TypeParam service;
    child kin{[&] {
        auto client = service.open_client();
        std::array<std::byte, 3> small;
        CHILD_CHECK(asked(*client, std::string(11, 'x')) == "too_long");
        CHILD_CHECK(asked(*client, "too much") == "too_long");
        CHILD_CHECK(fails_with(client->call(bytes_of("four"), small), errc::truncated));
        CHILD_CHECK(asked(*client, "refuse") == "peer_gone");
        CHILD_CHECK(fails_with(client->call({}, small, now), errc::invalid));
        return 0;
    }};
    std::array<std::byte, 10> ten;
    // The first, of 11 bytes, is answered inside take(), which goes on to the next.
    const auto too_much = service.server.take(ten);
    ASSERT_TRUE(ok(too_much));
    EXPECT_EQ(too_much->size, 8u);
    EXPECT_TRUE(fails_with(service.server.reply(too_much->from, block(20000)), errc::too_long));
    serve(service.server, 1);
    const auto unwanted = service.server.take(ten);
    ASSERT_TRUE(ok(unwanted));
    EXPECT_TRUE(ok(service.server.refuse(unwanted->from)));
    EXPECT_EQ(kin.wait(), 0);
}

TYPED_TEST(compose_request_reply, a_forked_child_must_not_call_with_its_parents_client) {
    TypeParam service;
    auto client = service.open_client();
    ASSERT_TRUE(ok(client));
    child kin{[&] { return asked(*client, "x") == "forked" ? 0 : 1; }};
    EXPECT_EQ(kin.wait(), 0);
    std::jthread server{[&] { serve(service.server, 1); }};
    EXPECT_EQ(asked(*client, "mine"), "re:mine");  // the child's end has not taken anything away
}

TEST(compose_request_reply_sysv, replies_that_nobody_takes_do_not_hold_the_server_up) {
    const counted events;
    sysv_service service{{.capacity = 600, .reply_patience = 30ms}};
    // Three clients that are killed with their replies in the queue, which is then full.
    for (int i = 0; i < 3; ++i) {
        child victim{[&] {
            // A client that dies between its request and its receive: the kernel would hand a reply to one that waits.
            std::array<std::byte, request_header_bytes> raw;
            kith::detail::encode_header(
                {kith::detail::header_kind::request, kith::detail::reply_status::done, kith::detail::new_client()},
                raw);
            CHILD_CHECK(service.server.requests().send(1, raw));
            for (;;) ::pause();
            return 0;
        }};
        std::array<std::byte, 10> body;
        const auto got = service.server.take(body);
        ASSERT_TRUE(ok(got));
        ASSERT_TRUE(ok(service.server.reply(got->from, block(140))));
        victim.kill_and_reap();
    }
    EXPECT_GE(service.server.replies().status()->messages, 2u);
    child alive{[&] {
        auto client = service.open_client();
        return asked(*client, "alive").size() == 400 ? 0 : 1;
    }};
    std::array<std::byte, 10> body;
    const auto got = service.server.take(body);
    ASSERT_TRUE(ok(got));
    EXPECT_TRUE(ok(service.server.reply(got->from, block(400))));
    EXPECT_EQ(alive.wait(), 0);
    EXPECT_GE(events.stale, 2u);
}

TEST(compose_request_reply_sysv, a_living_client_that_takes_nothing_costs_no_more_than_the_patience) {
    sysv_service service{{.capacity = 300, .reply_patience = 30ms}};
    // A stranger's message is nothing that anybody waits for.
    ASSERT_TRUE(ok(service.server.replies().send(4711, block(300))));
    child waiting{[&] {
        auto client = service.open_client();
        return asked(*client, "x") == "re:x" ? 0 : 1;
    }};
    serve(service.server, 1);
    EXPECT_EQ(waiting.wait(), 0);

    // Replies that are still waited for stay, and the server gives up.
    auto ticket = kith::detail::new_client();
    ticket.number = 1;
    ASSERT_TRUE(ok(service.server.reply(ticket, block(200))));
    const auto start = deadline::clock::now();
    EXPECT_TRUE(fails_with(service.server.reply(ticket, block(200)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - start, 30ms);
    EXPECT_TRUE(fails_with(service.server.reply(ticket, block(200), now), errc::would_block));
    EXPECT_TRUE(fails_with(service.server.reply(ticket, block(301)), errc::too_long));
    EXPECT_EQ(service.server.replies().status()->messages, 1u);
}

TEST(compose_request_reply_sysv, without_MSG_COPY_the_server_still_gives_up) {
    sysv_service service{{.capacity = 300, .reply_patience = 20ms}};
    child limited{[&] {
        if (!deny({{.number = SYS_msgrcv, .os_error = ENOSYS, .argument = 4, .mask = MSG_COPY, .value = MSG_COPY}}))
            return 77;
        auto ticket = kith::detail::new_client();
        CHILD_CHECK(service.server.reply(ticket, block(200)));
        CHILD_CHECK(fails_with(service.server.reply(ticket, block(200)), errc::timed_out));
        return 0;
    }};
    const int status = limited.wait();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
}

TEST(compose_request_reply_sysv, a_new_server_finds_the_queues_and_removes_stale_replies) {
    sysv_service service;
    auto dead = kith::detail::new_client();
    child gone{[] { return 0; }};
    dead.client.pid = gone.pid();
    gone.wait();
    auto ticket = dead;
    ticket.client = {};
    ASSERT_TRUE(ok(service.server.reply(ticket, bytes_of("unknown client: stays"))));
    std::array<std::byte, kith::compose::request_header_bytes> raw;
    kith::detail::encode_header({kith::detail::header_kind::reply, kith::detail::reply_status::done, dead}, raw);
    ASSERT_TRUE(ok(service.server.replies().send(99, raw)));
    const auto again = sysv_request_server::open(service.key, {.create = creation::must_exist});
    ASSERT_TRUE(ok(again));
    EXPECT_EQ(service.server.replies().status()->messages, 1u);
    EXPECT_TRUE(fails_with(sysv_request_server::open(service.key, {.create = creation::must_be_new}), errc::exists));
    EXPECT_TRUE(ok(again->remove()));
    EXPECT_TRUE(fails_with(sysv_request_client::open(service.key), errc::not_found));
}

TEST(compose_request_reply_sysv, settle_waits_for_the_living_and_not_for_the_dead) {
    sysv_service service;
    auto ticket = kith::detail::new_client();
    ASSERT_TRUE(ok(service.server.reply(ticket, bytes_of("x"))));
    EXPECT_TRUE(fails_with(service.server.settle(deadline::in(20ms)), errc::timed_out));
    auto expired = ticket;
    expired.until = deadline::in(10ms);
    ++expired.address;
    ASSERT_TRUE(ok(service.server.reply(expired, bytes_of("y"))));
    child taker{[&] {
        std::array<std::byte, 100> body;
        return service.server.replies().receive(body, kith::sys::message_selector::of_type(ticket.address)) ? 0 : 1;
    }};
    EXPECT_TRUE(ok(service.server.settle()));
    EXPECT_EQ(taker.wait(), 0);
}

TEST(compose_request_reply_sysv, keys_that_have_no_partner_are_invalid) {
    for (const auto key : {kith::sys::sysv_key{0}, kith::sys::sysv_key{INT32_MIN}}) {
        EXPECT_TRUE(fails_with(sysv_request_server::open(key), errc::invalid));
        EXPECT_TRUE(fails_with(sysv_request_client::open(key), errc::invalid));
    }
}

TEST(compose_request_reply_sysv, removal_ends_the_calls_that_wait) {
    sysv_service service;
    child caller{[&] {
        auto client = service.open_client();
        return asked(*client, "x") == "removed" ? 0 : 1;
    }};
    wait_until_in_syscall(caller.pid(), SYS_msgrcv);
    ASSERT_TRUE(ok(service.server.remove()));
    EXPECT_EQ(caller.wait(), 0);
}

TEST(compose_request_reply_posix, a_clients_queue_goes_with_the_client_or_is_removed_by_the_server) {
    posix_service service;
    {
        auto client = service.open_client();
        ASSERT_TRUE(ok(client));
        std::jthread server{[&] { serve(service.server, 1); }};
        EXPECT_EQ(asked(*client, "x"), "re:x");
    }
    const counted events;
    child victim{[&] {
        auto client = service.open_client();
        CHILD_CHECK(asked(*client, "x") == "re:x");
        ::raise(SIGKILL);
        return 0;
    }};
    serve(service.server, 1);
    EXPECT_EQ(victim.wait(), 128 + SIGKILL);
    std::array<std::byte, 10> body;
    // It looks about once a second.
    for (int i = 0; i < 100 && events.stale == 0; ++i)
        EXPECT_TRUE(fails_with(service.server.take(body, deadline::in(50ms)), errc::timed_out));
    EXPECT_EQ(events.stale, 1u);
}

TEST(compose_request_reply_posix, a_reply_queue_with_limits_of_its_own) {
    posix_service service;
    auto client = posix_request_client::open(service.name.get(), 10);
    ASSERT_TRUE(ok(client));
    std::jthread server{[&] {
        std::array<std::byte, 100> body;
        const auto got = service.server.take(body);
        EXPECT_TRUE(fails_with(service.server.reply(got->from, block(11)), errc::too_long));
    }};
    EXPECT_EQ(asked(*client, "x"), "too_long");
}

TEST(compose_request_reply_posix, names_that_leave_no_room_for_reply_queues_are_too_long) {
    EXPECT_TRUE(fails_with(posix_request_server::open(std::string{"/"}.append(230, 'x')), errc::too_long));
    EXPECT_TRUE(fails_with(posix_request_client::open("/kith-test-nobody"), errc::not_found));
}

TEST(compose_request_header, the_header_is_the_documented_one) {
    const unsigned char documented[] = {0x4b, 0x52, 0x51, 0x31, 0x00, 0x00, 0x00, 0x00, 0x39, 0x1c, 0x7e, 0x05,
                                        0xaa, 0x91, 0x3b, 0x2f, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x92, 0x10, 0x00, 0x00,
                                        0x00, 0x00, 0x00, 0x00, 0x6a, 0x2c, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00,
                                        0xfc, 0xff, 0xff, 0xef, 0x00, 0x00, 0x00, 0x00};
    const kith::detail::request_header header{
        kith::detail::header_kind::request,
        kith::detail::reply_status::done,
        {0x2f3b91aa057e1c39, 1, deadline::never(), {.pid = 4242, .started = 404586, .pid_namespace = 4026531836}}};
    std::array<std::byte, request_header_bytes> bytes;
    kith::detail::encode_header(header, bytes);
    EXPECT_EQ(std::memcmp(bytes.data(), documented, sizeof documented), 0);
    const auto back = kith::detail::decode_header(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->ticket.client, header.ticket.client);
    EXPECT_TRUE(back->ticket.until.is_never());
    for (const std::size_t at : {0u, 3u, 4u, 15u, 31u, 35u, 36u}) {
        auto broken = bytes;
        broken[at] = std::byte{0xff};
        EXPECT_FALSE(kith::detail::decode_header(broken)) << at;
    }
    EXPECT_FALSE(kith::detail::decode_header(byte_span{bytes}.first(55)));
}

}  // namespace
