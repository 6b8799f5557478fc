// unix_exchange - one request over a UNIX stream, and its reply.
//
// A UNIX socket that is closed with something unread resets its connection. So the last byte of a request stays in the
// socket until there is a reply: without one, also when the server is killed, the client cannot take the end for an
// empty reply. Only an empty request leaves nothing unread; a call that sends nothing and gets nothing therefore
// counts as unanswered.
#pragma once
#include <kith/sys/unix_socket.hpp>

#include "backends/backend.hpp"

namespace kith_cli {

class unix_exchange final : public exchange {
public:
    explicit unix_exchange(kith::sys::unix_stream stream) : stream_{std::move(stream)} {}
    outcome<bytes> request(std::size_t max_size, const kith::wait_policy& wait) override;
    outcome<void> reply(kith::byte_view body, const kith::wait_policy& wait) override;

private:
    kith::sys::unix_stream stream_;
};

}  // namespace kith_cli
