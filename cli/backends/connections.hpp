// connections - what the backends of unix: and tcp: share: sessions over one connection, made from three functions.
//
// A request over a connection is what the client sends until it half-closes, the reply what the server sends until it
// closes: no framing. A connection whose request is not answered is reset, so that nobody takes its end for an empty
// reply.
#pragma once
#include <memory>
#include <utility>

#include <kith/sys/socket.hpp>

#include "backends/backend.hpp"

namespace kith_cli {

inline constexpr std::size_t usual_message = std::size_t{1} << 20U;

template <class Stream>
class stream_sender final : public sender {
public:
    explicit stream_sender(Stream stream) : stream_{std::move(stream)} {}
    [[nodiscard]] bool is_stream() const override { return true; }
    outcome<void> send(kith::byte_view body, const send_options&, const kith::wait_policy& wait) override {
        std::size_t done = 0;
        if (const auto sent = stream_.write_full(body, done, wait); !sent) return pass_on(sent);
        return {};
    }
    outcome<void> finish() override {
        if (const auto ended = stream_.shutdown(kith::sys::direction::send); !ended) return pass_on(ended);
        return {};
    }

private:
    Stream stream_;
};

/// Receives from the first client of a listener; with --follow from one after the other.
template <class Listener, class Stream>
class stream_receiver final : public receiver {
public:
    stream_receiver(Listener listener, bool follow) : listener_{std::move(listener)}, follow_{follow} {}
    [[nodiscard]] bool is_stream() const override { return true; }
    outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) override {
        message got;
        got.body.resize(options.max_size != 0 ? options.max_size : usual_message);
        for (;;) {
            if (!client_.is_open()) {
                auto accepted = listener_.accept(wait);
                if (!accepted) return pass_on(accepted);
                client_ = std::move(*accepted);
            }
            const auto count = client_.read_some(got.body, wait);
            if (!count && follow_ && count.error().code() == kith::errc::end_of_stream) {
                client_.close();
                continue;
            }
            if (!count) return pass_on(count);
            got.body.resize(*count);
            return got;
        }
    }

private:
    Listener listener_;
    Stream client_;
    bool follow_;
};

template <class Stream>
class stream_duplex final : public duplex {
public:
    stream_duplex(Stream stream, facts peer) : stream_{std::move(stream)}, peer_{std::move(peer)} {}
    [[nodiscard]] kith::borrowed_fd readable() const override { return stream_.native(); }
    [[nodiscard]] kith::borrowed_fd writable() const override { return stream_.native(); }
    outcome<std::size_t> read_some(kith::byte_span buffer, const kith::wait_policy& wait) override {
        const auto count = stream_.read_some(buffer, wait);
        if (!count) return pass_on(count);
        return *count;
    }
    outcome<std::size_t> write_some(kith::byte_view body, const kith::wait_policy& wait) override {
        const auto count = stream_.write_some(body, wait);
        if (!count) return pass_on(count);
        return *count;
    }
    outcome<void> finish_writing() override {
        if (const auto ended = stream_.shutdown(kith::sys::direction::send); !ended) return pass_on(ended);
        return {};
    }
    [[nodiscard]] facts peer() const override { return peer_; }

private:
    Stream stream_;
    facts peer_;
};

/// Reads until the other side half-closes or closes.
[[nodiscard]] outcome<bytes> read_to_end(kith::sys::stream_socket& stream, std::size_t max_size,
                                         const kith::wait_policy& wait);

template <class Stream>
[[nodiscard]] outcome<bytes> call_over(Stream stream, kith::byte_view request, std::size_t max_size,
                                       const kith::wait_policy& wait) {
    std::size_t done = 0;
    if (const auto sent = stream.write_full(request, done, wait); !sent) return pass_on(sent);
    if (const auto ended = stream.shutdown(kith::sys::direction::send); !ended) return pass_on(ended);
    return read_to_end(stream, max_size, wait);
}

}  // namespace kith_cli
