// UNIX sockets under paths: nothing stays there, whatever fails.
#include <kith/sys/unix_listener.hpp>
#include <kith/sys/unix_socket.hpp>

#include <unistd.h>
#include <array>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

constexpr const char* path = "/tmp/kith-fault.sock";
const deadline soon() { return deadline::in(std::chrono::seconds{5}); }

class stream_at_path : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(name, unix_name::path(path));
        FAULT_MAKE(listener, listen_unix_stream(*name, {.bind = {.on_stale = unix_bind_options::stale::take_over}}));
        FAULT_MAKE(client, connect_unix_stream(*name, soon()));
        FAULT_MAKE(server, listener->accept(soon()));
        FAULT_TRY(peer_of(*client));
        FAULT_TRY(client->write_some(kith::bytes_of("hello"), soon()));
        std::array<std::byte, 5> buffer;
        FAULT_TRY(server->read_some(buffer, soon()));
        FAULT_TRY(local_name(*server));
        return {};
    }
};
const listed<stream_at_path> stream{
    "unix_stream_at_path",
    {{SYS_flock, EAGAIN, errc::exists, "another process has the path", EADDRINUSE},
     {SYS_flock, any_error, {}, "without the lock its file must stay", same_error, true},
     {SYS_ftruncate, EINTR, errc::stopped, "files on a disk do not wait"},
     {SYS_pwrite64, EINTR, errc::stopped, "files on a disk do not wait"},
     {SYS_unlink, any_error, {}, "destructors have nobody to tell"},
     {SYS_accept4, ECONNABORTED, {}, "that client left; the next one is waited for"},
     {SYS_accept4, EPROTO, {}, "that client left; the next one is waited for"},
     {SYS_accept4, EMFILE, {}, "it looks again until the deadline"},
     {SYS_accept4, ENFILE, {}, "it looks again until the deadline"},
     {SYS_accept4, ENOBUFS, {}, "it looks again until the deadline"},
     {SYS_accept4, ENOMEM, {}, "it looks again until the deadline"},
     {SYS_bind, EADDRINUSE, {}, "a leftover that is gone by now"},
     {SYS_newfstatat, any_error, {}, "what cannot be looked at is not removed", same_error, true}}};

class datagrams : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(name, unix_name::path(path));
        FAULT_MAKE(receiver, bind_unix_datagram(*name));
        FAULT_MAKE(sender, open_unix_datagram());
        FAULT_TRY(sender->send_to(*name, kith::bytes_of("hello"), {}, soon()));
        std::array<std::byte, 16> buffer;
        FAULT_TRY(receiver->receive(buffer, {}, soon()));
        return {};
    }
};
const listed<datagrams> local_datagrams{
    "unix_datagram_at_path",
    {{SYS_unlink, any_error, {}, "destructors have nobody to tell"},
     {SYS_newfstatat, any_error, {}, "what cannot be looked at is not removed", same_error, true}}};

}  // namespace
