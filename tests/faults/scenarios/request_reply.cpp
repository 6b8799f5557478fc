// Requests and replies over queues: servers and clients of both kinds, and what is left of dead clients.
#include <kith/compose/request_reply.hpp>

#include <array>
#include <cstring>
#include <filesystem>

#include "faults/holdings.hpp"
#include "faults/other.hpp"
#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::compose;
using kith::deadline;
using kith::errc;
using kith::sys::creation;

constexpr kith::sys::sysv_key key{0x4b03};
constexpr const char* name = "/kith-fault-requests";
const deadline soon() { return deadline::in(std::chrono::seconds{5}); }

// What the client does is the same in every run: each answer waits until the client, the caller's parent, waits for it.
template <class Server>
void answer_everything(Server& server, long clients_wait) {
    std::array<std::byte, 16> body;
    for (;;) {
        const auto request = server.take(body);
        look_until_in(::getppid(), clients_wait);
        if (request) (void)server.reply(request->from, kith::bytes_of("fine"));
    }
}

template <class Client>
kith::result<void> ask(Client& client) {
    std::array<std::byte, 16> reply;
    FAULT_TRY(client.call(kith::bytes_of("please"), reply));
    return {};
}

void remove_both_queues() {
    if (const auto server = sysv_request_server::open(key)) (void)server->remove();
}

// A POSIX queue's name and those of its clients' replies.
void remove_posix_queue() { (void)kith::sys::unlink_posix_mq(name); }

std::vector<allowance> of_identity(std::vector<allowance> others = {}) {
    others.insert(others.end(), {{SYS_getrandom, any_error, {}, "the clock and the pid have to do"},
                                 {SYS_readlink, any_error, {}, "a client that cannot be told is taken for alive"},
                                 {SYS_newfstatat, any_error, {}, "a client that cannot be told is taken for alive"},
                                 {SYS_openat, any_error, {}, "a client that cannot be told is taken for alive"},
                                 {SYS_openat, ENOENT, errc::timed_out, "the client is gone: nobody else asks", 0},
                                 {SYS_openat, ENOENT, errc::timed_out, "the client is gone: nobody else asks", ENOMSG},
                                 {SYS_openat, ENOENT, errc::peer_gone, "the client is gone", 0},
                                 {SYS_read, any_error, {}, "a client that cannot be told is taken for alive"}});
    return others;
}

std::vector<allowance> of_queues(std::vector<allowance> others = {}) {
    others.insert(others.end(), {{SYS_msgget, ENOSPC, errc::limit_reached, "msgmni queues exist"},
                                 {SYS_msgsnd, EINVAL, errc::too_long, "above msgmax"},
                                 {SYS_msgsnd, EINVAL, errc::removed, "an id that was removed"},
                                 {SYS_msgrcv, EINVAL, errc::removed, "an id that was removed"},
                                 {SYS_msgrcv, E2BIG, errc::truncated, "the message stays"},
                                 {SYS_msgrcv, ENOMSG, {}, "nothing there yet"},
                                 {SYS_msgctl, EINVAL, errc::removed, "an id that was removed"}});
    return of_identity(std::move(others));
}

class sysv_client : public scenario {
public:
    void prepare() override {
        const auto server = sysv_request_server::open(key);
        other_.run([&] { answer_everything(*server, SYS_msgrcv); });
    }
    ~sysv_client() override {
        other_.kill();
        remove_both_queues();
    }
    kith::result<void> act() override {
        FAULT_MAKE(client, sysv_request_client::open(key));
        return ask(*client);
    }

private:
    helper other_;
};
const listed<sysv_client> client_of_queues{
    "sysv_request_client",
    of_queues({{SYS_msgrcv, any_error, {}, "the client's end: what cannot be swept stays for the server"}})};

// A request lies there when the server comes, and its client waits.
class sysv_server : public scenario {
public:
    void prepare() override {
        const auto first = sysv_request_server::open(key);
        other_.run([] {
            auto client = sysv_request_client::open(key);
            if (client) (void)ask(*client);
        });
        look_until([&] { return !first || first->requests().status()->messages != 0; });
    }
    ~sysv_server() override {
        other_.kill();
        remove_both_queues();
    }
    kith::result<void> act() override {
        FAULT_MAKE(server, sysv_request_server::open(key));
        std::array<std::byte, 16> body;
        FAULT_MAKE(request, server->take(body, deadline::in(std::chrono::milliseconds{20})));
        FAULT_TRY(server->reply(request->from, kith::bytes_of("fine"), soon()));
        FAULT_TRY(server->remove());
        return {};
    }

private:
    helper other_;
};
const listed<sysv_server> server_of_queues{
    "sysv_request_server", of_queues({{SYS_msgget, EEXIST, {}, "somebody was faster: opened instead"},
                                      {SYS_msgget, ENOENT, {}, "removed in between: tried again"},
                                      {SYS_msgctl, any_error, {}, "a server that cannot sweep serves all the same"}})};

// New queues, and a second that cannot be made: the first goes with it.
class sysv_queues : public scenario {
public:
    ~sysv_queues() override { remove_both_queues(); }
    kith::result<void> act() override {
        FAULT_MAKE(server, sysv_request_server::open(key, {.create = creation::must_be_new, .capacity = 4096}));
        FAULT_TRY(server->settle(soon()));
        FAULT_TRY(server->remove());
        return {};
    }
};
const listed<sysv_queues> made_queues{
    "sysv_request_queues", of_queues({{SYS_msgget, EEXIST, {}, "somebody was faster: opened instead"},
                                      {SYS_msgctl, any_error, {}, "a server that cannot sweep serves all the same"}})};

// A reply whose client is dead.
class sysv_settle : public scenario {
public:
    void prepare() override {
        const auto server = sysv_request_server::open(key);
        helper client;
        client.run([] {
            auto self = sysv_request_client::open(key);
            if (self) (void)ask(*self);
        });
        kith::sys::message_buffer<request_header_bytes + 16> buffer;
        const auto message = buffer.space();
        if (!server || !server->requests().receive(message)) return;
        client.kill();
        // The request's header makes a reply's: docs/formats/request_reply.md.
        std::memcpy(message.body().data(), "KRP1", 4);
        std::memcpy(&message.type(), message.body().data() + 8, sizeof(long));
        (void)server->replies().send(message, request_header_bytes);
        server_ = *server;
    }
    ~sysv_settle() override { remove_both_queues(); }
    kith::result<void> act() override { return server_->settle(soon()); }

private:
    std::optional<sysv_request_server> server_;
};
const listed<sysv_settle> settled_queue{
    "sysv_request_settle",
    of_queues({{SYS_msgrcv, any_error, {}, "looked at again, until it is gone"},
               {SYS_msgctl, any_error, {}, "what cannot be counted is not swept; asked again"}})};

std::vector<allowance> of_posix(std::vector<allowance> others = {}) {
    others.insert(others.end(), {{SYS_mq_open, EINVAL, errc::limit_reached, "above msg_max or msgsize_max"},
                                 {SYS_mq_open, ENOSPC, errc::limit_reached, "queues_max queues exist"},
                                 {SYS_mq_timedsend, EBADF, errc::not_permitted, "opened for receiving"},
                                 {SYS_mq_timedreceive, EBADF, errc::not_permitted, "opened for sending"},
                                 {SYS_mq_timedreceive, EMSGSIZE, errc::truncated, "the message stays"}});
    return of_identity(std::move(others));
}

class posix_client : public scenario {
public:
    void prepare() override {
        auto server = posix_request_server::open(name, {.max_messages = 4, .message_size = 256});
        other_.run([&] { answer_everything(*server, SYS_ppoll); });
    }
    ~posix_client() override {
        other_.kill();
        remove_posix_queue();
    }
    kith::result<void> act() override {
        FAULT_MAKE(client, posix_request_client::open(name));
        return ask(*client);
    }

private:
    helper other_;
};
const listed<posix_client> client_of_queue{
    "posix_request_client", of_posix({{SYS_mq_timedreceive, any_error, {}, "late replies that cannot be taken stay"},
                                      {SYS_mq_unlink, any_error, {}, "destructors have nobody to tell"}})};

// A request lies there when the server comes, and its client waits.
class posix_server : public scenario {
public:
    void prepare() override {
        const auto first = posix_request_server::open(name, {.max_messages = 4, .message_size = 256});
        other_.run([] {
            // The bytes of all queues of a user are limited, and others use them, too.
            look_until([] {
                auto client = posix_request_client::open(name);
                if (client) (void)ask(*client);
                return client.has_value();
            });
        });
        look_until([&] { return !first || first->requests().attributes()->messages != 0; });
        look_until_in(other_.pid(), SYS_ppoll);
    }
    ~posix_server() override {
        other_.kill();
        for (const auto& queue : std::filesystem::directory_iterator{queue_folder})
            (void)kith::sys::unlink_posix_mq(("/" / queue.path().filename()).string());
    }
    kith::result<void> act() override {
        FAULT_MAKE(server, posix_request_server::open(name));
        std::array<std::byte, 16> body;
        FAULT_MAKE(request, server->take(body, deadline::in(std::chrono::milliseconds{20})));
        FAULT_TRY(server->reply(request->from, kith::bytes_of("fine"), soon()));
        return {};
    }

private:
    helper other_;
};
const listed<posix_server> server_of_queue{"posix_request_server",
                                           of_posix({{SYS_mq_open, EEXIST, {}, "somebody was faster: opened instead"},
                                                     {SYS_mq_open, ENOENT, {}, "removed in between: tried again"},
                                                     {SYS_mq_open, ENOENT, errc::peer_gone, "the client has left"}})};

// A request of a dead client: its reply queue is unlinked.
class posix_bury : public scenario {
public:
    void prepare() override {
        auto server = posix_request_server::open(name, {.max_messages = 4, .message_size = 256});
        helper client;
        client.run([] {
            auto self = posix_request_client::open(name);
            if (self) (void)ask(*self);
        });
        look_until([&] { return !server || server->requests().attributes()->messages != 0; });
        client.kill();
        if (server) server_.emplace(std::move(*server));
    }
    ~posix_bury() override { remove_posix_queue(); }
    kith::result<void> act() override {
        std::array<std::byte, 16> body;
        const auto nothing = server_->take(body, deadline::immediate());
        if (!nothing && nothing.error().code() != errc::would_block) return kith::fail(nothing.error());
        return {};
    }

private:
    std::optional<posix_request_server> server_;
};
const listed<posix_bury> buried_queue{
    "posix_request_of_the_dead",
    of_posix({{SYS_readlink, any_error, {}, "not known to be dead", same_error, true},
              {SYS_newfstatat, any_error, {}, "not known to be dead", same_error, true},
              {SYS_openat, any_error, {}, "not known to be dead", same_error, true},
              {SYS_mq_timedreceive, any_error, {}, "not taken", same_error, true},
              {SYS_mq_getsetattr, any_error, {}, "not taken", same_error, true},
              {SYS_mq_unlink, any_error, {}, "the next server finds it", same_error, true}})};

}  // namespace
