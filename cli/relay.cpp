#include "relay.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace kith_cli {
namespace {

/// Bytes that have been read from one side and not yet been written to the other.
class buffer {
public:
    [[nodiscard]] kith::byte_span room() { return bytes_; }
    void filled(std::size_t count) {
        begin_ = 0;
        end_ = count;
    }
    [[nodiscard]] kith::byte_view content() const { return std::span{bytes_}.subspan(begin_, end_ - begin_); }
    void taken(std::size_t count) { begin_ += count; }
    [[nodiscard]] bool empty() const { return begin_ == end_; }

private:
    std::array<std::byte, 65536> bytes_{};
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

class relaying {
public:
    relaying(session& s, duplex& connection, const std::string& object)
        : s_{s}, connection_{connection}, object_{object} {}

    int run() {
        while (!finished()) {
            if (const int status = one_round(); status != going_on) return status;
        }
        return exit_done;
    }

private:
    static constexpr int going_on = -1;
    enum side : std::size_t { input, output, readable, writable, stop };

    [[nodiscard]] bool finished() const { return peer_ended_ && inward_.empty() && (input_ended_ && outward_.empty()); }

    int one_round() {
        std::array<pollfd, 5> watched{};
        const auto watch = [&](side which, int fd, short events) { watched[which] = {fd, events, 0}; };
        watch(input, !input_ended_ && outward_.empty() ? 0 : -1, POLLIN);
        watch(output, inward_.empty() ? -1 : 1, POLLOUT);
        watch(readable, !peer_ended_ && inward_.empty() ? connection_.readable().get() : -1, POLLIN);
        // Watched also with nothing to write: a peer that is gone shows as an error or hang-up.
        watch(writable, said_the_end_ ? -1 : connection_.writable().get(),
              static_cast<short>(outward_.empty() ? 0 : POLLOUT));
        watch(stop, session::stop_descriptor(), POLLIN);
        const int limit =
            s_.timeout_ns ? static_cast<int>(std::clamp<std::int64_t>(*s_.timeout_ns / 1'000'000, 1, INT_MAX)) : -1;
        const int n = ::poll(watched.data(), watched.size(), limit);
        if (n < 0 && errno == EINTR) return going_on;
        if (n < 0) return s_.fail("wait for", object_, os_failure("poll", errno));
        if (n == 0) return s_.fail("wait for", object_, kith::error{kith::errc::timed_out, "poll"});
        if (watched[stop].revents != 0) return exit_failed;

        int status = going_on;
        if (watched[input].revents != 0) status = from_input();
        if (status == going_on && watched[readable].revents != 0) status = from_peer();
        if (status == going_on && watched[output].revents != 0) status = to_output();
        if (status == going_on && watched[writable].revents != 0) status = to_peer(watched[writable].revents);
        return status;
    }

    int from_input() {
        const auto count = session::read_stdin(outward_.room(), s_.patient());
        if (!count) return s_.fail("read", "standard input", count.error());
        outward_.filled(*count);
        input_ended_ = *count == 0;
        return input_ended_ ? say_the_end() : going_on;
    }
    int say_the_end() {
        said_the_end_ = true;
        const auto done = connection_.finish_writing();
        // Somebody who has left already need not be told.
        if (!done && done.error().cause.code() != kith::errc::peer_gone)
            return s_.fail("half-close", object_, done.error());
        return going_on;
    }
    int from_peer() {
        const auto count = connection_.read_some(inward_.room(), kith::deadline::immediate());
        if (count)
            inward_.filled(*count);
        else if (count.error().cause.code() == kith::errc::end_of_stream)
            peer_ended_ = true;
        else if (count.error().cause.code() != kith::errc::would_block)
            return s_.fail("read from", object_, count.error());
        return going_on;
    }
    int to_output() {
        // POLLOUT promises room for PIPE_BUF bytes; a regular file takes everything.
        const auto piece = inward_.content().first(std::min<std::size_t>(inward_.content().size(), PIPE_BUF));
        if (!s_.write(piece)) return exit_failed;
        inward_.taken(piece.size());
        return going_on;
    }
    int to_peer(short state) {
        if (outward_.empty()) {
            // Nothing more can reach them, and what they sent has been read or will be: no use to wait for input.
            if ((state & (POLLERR | POLLHUP)) != 0) input_ended_ = said_the_end_ = true;
            return going_on;
        }
        const auto count = connection_.write_some(outward_.content(), kith::deadline::immediate());
        if (count) {
            outward_.taken(*count);
            return going_on;
        }
        if (count.error().cause.code() == kith::errc::would_block) return going_on;
        return s_.fail(fmt::format("send {} bytes to", outward_.content().size()), object_, count.error());
    }

    session& s_;
    duplex& connection_;
    const std::string& object_;
    buffer outward_;
    buffer inward_;
    bool input_ended_ = false;
    bool peer_ended_ = false;
    bool said_the_end_ = false;
};

}  // namespace

int relay(session& s, duplex& connection, const std::string& object) { return relaying{s, connection, object}.run(); }

}  // namespace kith_cli
