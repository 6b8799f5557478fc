#include <kith/sys/fifo.hpp>

#include <unistd.h>

#include <kith/compose/fifo_pair.hpp>
#include <kith/compose/record_fifo.hpp>
#include <kith/compose/reply_fifo.hpp>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

constexpr const char* path = "/tmp/fifo";  // of this run's own /tmp

const allowance older_kernel{SYS_pwritev2, EOPNOTSUPP, {}, "older kernel: SIGPIPE is masked instead"};
const allowance oldest_kernel{SYS_pwritev2, ENOSYS, {}, "older kernel: SIGPIPE is masked instead"};
const allowance no_fifos{SYS_mknodat, EPERM, errc::wrong_filesystem, "mknod(2): a file system without FIFOs"};
const allowance no_device{SYS_openat, ENXIO, errc::wrong_kind,
                          "open(2): a socket or a device; no FIFO's reader gets it"};

// The name: made, found, looked at, removed.
class fifo_name : public scenario {
public:
    ~fifo_name() override { ::unlink(path); }
    kith::result<void> act() override {
        FAULT_TRY(create_fifo(path));
        FAULT_TRY(create_fifo(path, 0600, creation::create_or_open));
        FAULT_TRY(fifo_status_of(path));
        FAULT_TRY(remove_fifo(path));
        return {};
    }
};
const listed<fifo_name> name{"fifo_name",
                             {no_fifos, {SYS_mknodat, EEXIST, {}, "then it is there, which is what was asked for"}}};

class with_fifo : public scenario {
public:
    ~with_fifo() override { ::unlink(path); }
    void prepare() override { static_cast<void>(create_fifo(path)); }
};

// Every way of opening that does not need another process, and bytes through it.
class fifo_transfer : public with_fifo {
public:
    kith::result<void> act() override {
        auto reader = open_fifo_reader(path, deadline::immediate());
        if (!reader) return kith::fail(reader.error());
        auto writer = open_fifo_writer(path);  // the kernel's blocking open: the reader is there
        if (!writer) return kith::fail(writer.error());
        FAULT_TRY(reader->wait_for_writer(deadline::immediate()));
        FAULT_TRY(writer->write_some(kith::bytes_of("hello")));
        std::byte buffer[5];
        FAULT_TRY(reader->read_some(buffer));
        writer->close();
        FAULT_TRY(reader->start_over());
        auto both = open_fifo_both(path);
        if (!both) return kith::fail(both.error());
        FAULT_TRY(both->write_some(kith::bytes_of("x")));
        return {};
    }
};
const listed<fifo_transfer> transfer{"fifo_transfer",
                                     {older_kernel,
                                      oldest_kernel,
                                      no_device,
                                      {SYS_openat, ENXIO, errc::would_block, "open(2): no reader"},
                                      {SYS_openat, ENOENT, errc::unsupported, "starting over goes through /proc"},
                                      {SYS_tee, EAGAIN, {}, "that is a writer that has written nothing"},
                                      {SYS_read, EAGAIN, {}, "waits and reads again"}}};

// An open that ends at its deadline; one that has passed, for how often it looks before one that comes is chance.
class fifo_wait : public with_fifo {
public:
    kith::result<void> act() override {
        const auto past = deadline::at(deadline::clock::now() - std::chrono::seconds{1});
        const auto nobody = open_fifo_writer(path, past);
        if (!nobody && nobody.error().code() != errc::timed_out) return kith::fail(nobody.error());
        const auto reader = open_fifo_reader(path, past);
        if (!reader && reader.error().code() != errc::timed_out) return kith::fail(reader.error());
        return {};
    }
};
const listed<fifo_wait> wait{"fifo_wait",
                             {no_device,
                              {SYS_openat, ENXIO, {}, "open(2): no reader, so it looks again"},
                              {SYS_tee, EAGAIN, {}, "taken for a writer"},
                              {SYS_eventfd2, any_error, {}, "without descriptors it looks again at intervals"}}};

class fifo_record : public with_fifo {
public:
    kith::result<void> act() override {
        const auto reader = open_fifo_both(path);
        if (!reader) return kith::fail(reader.error());
        auto writer = kith::compose::record_fifo_writer::open(path);
        if (!writer) return kith::fail(writer.error());
        std::size_t done = 0;
        FAULT_TRY(writer->write_record(kith::bytes_of("short"), done));
        done = 0;
        FAULT_TRY(writer->write_record(std::vector<std::byte>(5000), done));
        return {};
    }
};
const listed<fifo_record> record{"fifo_record",
                                 {older_kernel,
                                  oldest_kernel,
                                  no_device,
                                  {SYS_openat, ENXIO, errc::would_block, "open(2): no reader"},
                                  {SYS_flock, EAGAIN, {}, "held: looks again; or unlocking, which close makes good"},
                                  {SYS_flock, any_error, {}, "unlocking, which close makes good"}}};

// A listener that waits in vain, and a connector that does.
class fifo_meeting : public scenario {
public:
    ~fifo_meeting() override {
        listener_.reset();
        static_cast<void>(kith::compose::remove_fifo_pair(path));
    }
    kith::result<void> act() override {
        auto listener = kith::compose::fifo_listener::open(path);
        if (!listener) return kith::fail(listener.error());
        listener_ = std::move(*listener);
        const auto nobody = listener_->accept(deadline::immediate());
        if (!nobody && nobody.error().os_error() != ENXIO) return kith::fail(nobody.error());
        const auto alone = kith::compose::connect_fifo_pair(path, deadline::immediate());
        if (!alone && alone.error().code() != errc::would_block) return kith::fail(alone.error());
        return {};
    }

private:
    std::optional<kith::compose::fifo_listener> listener_;
};
const listed<fifo_meeting> meeting{"fifo_meeting",
                                   {no_fifos,
                                    no_device,
                                    {SYS_flock, EAGAIN, errc::exists, "somebody else listens"},
                                    {SYS_flock, EAGAIN, {}, "another connector: not now"},
                                    {SYS_openat, ENOENT, {}, "nobody listens: not now, or nothing to clear away"},
                                    {SYS_openat, ENXIO, {}, "a dead listener: not now"},
                                    {SYS_tee, EAGAIN, {}, "taken for a writer"},
                                    {SYS_poll, any_error, {}, "looks again later"},
                                    {SYS_newfstatat, any_error, {}, "the lock file was exchanged: locks it again"}}};

// What a listener made, and left, is removed.
class fifo_pair_removed : public scenario {
public:
    void prepare() override {
        const auto listener = kith::compose::fifo_listener::open(path);
        static_cast<void>(listener);
    }
    ~fifo_pair_removed() override { static_cast<void>(kith::compose::remove_fifo_pair(path)); }
    kith::result<void> act() override { return kith::compose::remove_fifo_pair(path); }
};
const listed<fifo_pair_removed> pair_removed{
    "fifo_pair_removed",
    {{SYS_flock, EAGAIN, errc::exists, "somebody listens"},
     {SYS_openat, ENOENT, {}, "nothing there to clear away"},
     {SYS_newfstatat, any_error, {}, "the lock file was exchanged: looks again"}}};

// A server, and a client whose request it refuses.
class fifo_reply : public scenario {
public:
    ~fifo_reply() override {
        client_.reset();
        ::unlink(path);
    }
    kith::result<void> act() override {
        auto server = kith::compose::reply_server::open(path);
        if (!server) return kith::fail(server.error());
        auto client = kith::compose::reply_client::open(path);
        if (!client) return kith::fail(client.error());
        client_ = std::move(*client);
        std::byte reply[5];
        const auto asked = client_->call(kith::bytes_of("hello"), reply, deadline::immediate());
        if (!asked && asked.error().code() != errc::would_block) return kith::fail(asked.error());
        static std::byte body[kith::compose::reply_fifo_request_max];
        const auto request = server->receive(body, deadline::immediate());
        if (!request) return kith::fail(request.error());
        FAULT_TRY(server->reply(request->from, kith::bytes_of("hello")));
        return {};
    }

private:
    std::optional<kith::compose::reply_client> client_;
};
const listed<fifo_reply> reply{"fifo_reply",
                               {older_kernel,
                                oldest_kernel,
                                no_fifos,
                                no_device,
                                {SYS_mknodat, EEXIST, errc::not_found, "a FIFO that was there and is gone", ENOENT},
                                {SYS_poll, any_error, {}, "looks again later"},
                                {SYS_newfstatat, ENOENT, errc::peer_gone, "the client has left"},
                                {SYS_flock, EAGAIN, errc::exists, "another server has it"},
                                {SYS_openat, ENXIO, errc::would_block, "open(2): no reader"},
                                {SYS_openat, ENXIO, errc::peer_gone, "the client is dead"},
                                {SYS_openat, ENOENT, errc::peer_gone, "the client has left"},
                                {SYS_getrandom, EAGAIN, errc::would_block, "no random numbers now"}}};

// A client that asks again: its first request was not answered.
class fifo_reply_again : public scenario {
public:
    void prepare() override {
        auto server = kith::compose::reply_server::open(path);
        auto client = kith::compose::reply_client::open(path);
        if (!server || !client) return;
        (void)client->call(kith::bytes_of("hello"), reply_, deadline::immediate());
        server_ = std::move(*server);
        client_ = std::move(*client);
    }
    ~fifo_reply_again() override {
        client_.reset();
        ::unlink(path);
    }
    kith::result<void> act() override {
        FAULT_FAILS(client_->call(kith::bytes_of("hello"), reply_, deadline::immediate()), errc::would_block);
        return {};
    }

private:
    std::optional<kith::compose::reply_server> server_;
    std::optional<kith::compose::reply_client> client_;
    std::byte reply_[5];
};
const listed<fifo_reply_again> asked_again{
    "fifo_reply_again",
    {older_kernel,
     oldest_kernel,
     no_fifos,
     no_device,
     {SYS_newfstatat, any_error, {}, "the name of the last reply's FIFO stays", same_error, true},
     {SYS_unlinkat, any_error, {}, "the name of the last reply's FIFO stays"},
     {SYS_epoll_ctl, any_error, {}, "what is closed next is not watched any longer"},
     {SYS_poll, any_error, {}, "looks again later"}}};

}  // namespace
