#include "backends/unix_exchange.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <algorithm>
#include <cerrno>
#include <kith/sys/poll.hpp>

namespace kith_cli {
namespace {

constexpr std::size_t piece = 65536;

bool has_ended(kith::borrowed_fd fd) {
    pollfd state{fd.get(), POLLRDHUP, 0};
    return ::poll(&state, 1, 0) == 1;
}

outcome<std::size_t> unread(kith::borrowed_fd fd) {
    int count = 0;
    if (::ioctl(fd.get(), FIONREAD, &count) != 0) return std::unexpected{os_failure("ioctl(FIONREAD)", errno)};
    return static_cast<std::size_t>(count);
}

}  // namespace

outcome<bytes> unix_exchange::request(std::size_t max_size, const kith::wait_policy& wait) {
    auto changes = kith::sys::open_event_set();
    if (!changes) return pass_on(changes);
    // On the edge: the byte that stays would end every other wait at once.
    if (const auto added = changes->add(stream_.native(), EPOLLIN | EPOLLRDHUP, 0, kith::sys::trigger::edge); !added)
        return pass_on(added);
    bytes all;
    for (;;) {
        const bool ended = has_ended(stream_.native());  // asked first: what comes before the end is then all there
        const auto there = unread(stream_.native());
        if (!there) return pass_on(there);
        if (all.size() + *there > max_size)
            return refuse(kith::errc::too_long, "recv", "the client sends more than --max-size allows");
        if (*there > 1) {
            const auto had = all.size();
            all.resize(had + std::min(*there - 1, piece));
            const auto count = stream_.read_some(std::span{all}.subspan(had), kith::deadline::immediate());
            all.resize(had + count.value_or(0));
            if (count) continue;
            if (count.error().code() != kith::errc::would_block) return pass_on(count);
        } else if (ended) {
            std::byte last;
            const auto seen = stream_.peek({&last, 1}, kith::deadline::immediate());
            if (seen) all.push_back(last);
            if (!seen && seen.error().code() != kith::errc::end_of_stream) return pass_on(seen);
            return all;
        }
        kith::sys::event_set::ready change;
        if (const auto came = changes->wait({&change, 1}, wait); !came) return pass_on(came);
    }
}

outcome<void> unix_exchange::reply(kith::byte_view body, const kith::wait_policy& wait) {
    std::size_t done = 0;
    if (const auto sent = stream_.write_full(body, done, wait); !sent) return pass_on(sent);
    std::byte last;
    static_cast<void>(stream_.read_some({&last, 1}, kith::deadline::immediate()));
    stream_.close();
    return {};
}

}  // namespace kith_cli
