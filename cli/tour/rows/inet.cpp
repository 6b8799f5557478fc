// inet - TCP and UDP over the loopback interface.
#include <bit>
#include <charconv>
#include <cstring>
#include <kith/sys/tcp.hpp>
#include <kith/sys/udp.hpp>
#include <optional>
#include <vector>

#include "tour/peer.hpp"
#include "tour/row.hpp"
#include "tour/rows/stream.hpp"

namespace kith_cli::tour {
namespace {

namespace sys = kith::sys;
using std::chrono::milliseconds;

// The kernel chooses the port; the receiver tells it when it is ready.
class nothing_to_prepare final : public stage {};

outcome<std::unique_ptr<stage>> set_up_nothing(const stage_options&) { return std::make_unique<nothing_to_prepare>(); }

sys::endpoint address_of(const peer& self) {
    const auto& text = self.where();
    std::uint16_t port = 0;
    std::from_chars(text.data(), text.data() + text.size(), port);
    return sys::endpoint::loopback(port);
}

outcome<void> receive_tcp(peer& self) {
    auto listener = sys::listen_tcp();
    if (!listener) return pass_on(listener);
    const auto local = listener->local();
    if (!local) return pass_on(local);
    self.ready(std::to_string(local->port()));
    auto connection = listener->accept();
    if (!connection) return pass_on(connection);
    return receive_stream(self, *connection);
}

outcome<void> send_tcp(peer& self) {
    auto connection = sys::connect_tcp(address_of(self));
    if (!connection) return pass_on(connection);
    if (auto all = send_stream(self, *connection); !all) return all;
    if (auto finished = connection->shutdown(sys::direction::send); !finished) return pass_on(finished);
    // Only the other side's end says that it has read everything.
    std::byte nothing;
    const auto end = connection->read_some({&nothing, 1});
    if (!end && end.error().code() != kith::errc::end_of_stream) return pass_on(end);
    return {};
}

// UDP loses what the receiver has no room for, and tells nobody. So datagrams are numbered and go in batches; after a
// batch the sender asks what is missing and sends that again, until nothing is. A question or an answer can be
// lost as well: without an answer the sender asks once more.
constexpr std::size_t batch_size = 16;  // a little more than the receiver's buffer usually holds: losses show
constexpr std::size_t body_bytes = 8192;
constexpr milliseconds patience{20};
constexpr int most_goodbyes = 50;

enum class datagram_kind : std::uint32_t { data, what_is_missing, missing, finished, farewell };

struct header {
    datagram_kind kind;
    std::uint32_t batch;
    std::uint64_t number;  ///< data: place in the batch; question: datagrams in it; answer: a bit for each one missing
};

struct datagram {
    header head;
    std::byte body[body_bytes];
    [[nodiscard]] kith::byte_view view(std::size_t size) const {
        return std::as_bytes(std::span{this, 1}).first(sizeof head + size);
    }
};
static_assert(sizeof(datagram) == sizeof(header) + body_bytes);

constexpr std::uint64_t all_of(std::uint64_t count) { return count >= 64 ? ~0ULL : (1ULL << count) - 1; }

class udp_sender {
public:
    udp_sender(peer& self, sys::udp_socket socket) : self_{self}, socket_{std::move(socket)} {}

    outcome<void> run() {
        for (std::uint32_t batch = 0;; ++batch) {
            std::vector<kith::byte_view> pieces;
            while (pieces.size() < batch_size) {
                const auto piece = self_.next(body_bytes);
                if (piece.empty()) break;
                pieces.push_back(piece);
            }
            if (pieces.empty()) return say_goodbye(batch);
            if (auto sent = send_batch(batch, pieces); !sent) return sent;
        }
    }

private:
    outcome<void> send_batch(std::uint32_t batch, const std::vector<kith::byte_view>& pieces) {
        auto missing = all_of(pieces.size());
        for (bool again = false; missing != 0; again = true) {
            if (again) self_.count_lost(static_cast<std::uint64_t>(std::popcount(missing)));
            for (std::size_t i = 0; i < pieces.size(); ++i) {
                if ((missing >> i & 1) == 0) continue;
                out_.head = {datagram_kind::data, batch, i};
                std::ranges::copy(pieces[i], out_.body);
                if (auto sent = socket_.send(out_.view(pieces[i].size())); !sent) return pass_on(sent);
            }
            std::optional<std::uint64_t> answer;
            while (!answer) {
                auto got = ask({datagram_kind::what_is_missing, batch, pieces.size()}, datagram_kind::missing);
                if (!got) return pass_on(got);
                answer = *got;
            }
            missing = *answer & all_of(pieces.size());
        }
        return {};
    }

    // The answer's number; nothing if none came in time.
    outcome<std::optional<std::uint64_t>> ask(const header& question, datagram_kind expected) {
        if (auto sent = socket_.send(std::as_bytes(std::span{&question, 1})); !sent) return pass_on(sent);
        const auto until = kith::deadline::in(patience);
        for (;;) {
            header answer{};
            const auto got = socket_.receive(std::as_writable_bytes(std::span{&answer, 1}), until);
            if (!got && got.error().code() == kith::errc::timed_out) return std::nullopt;
            if (!got) return pass_on(got);
            if (got->size == sizeof answer && answer.kind == expected && answer.batch == question.batch)
                return answer.number;
        }
    }

    // Everything has arrived by now: a receiver that has left is as good as its farewell.
    outcome<void> say_goodbye(std::uint32_t batch) {
        for (int i = 0; i < most_goodbyes; ++i) {
            const auto answer = ask({datagram_kind::finished, batch, 0}, datagram_kind::farewell);
            if (!answer && answer.error().cause.code() == kith::errc::peer_gone) return {};
            if (!answer) return pass_on(answer);
            if (*answer) return {};
        }
        return {};
    }

    peer& self_;
    sys::udp_socket socket_;
    datagram out_{};
};

class udp_receiver {
public:
    udp_receiver(peer& self, sys::udp_socket socket)
        : self_{self}, socket_{std::move(socket)}, bodies_(batch_size * body_bytes), sizes_(batch_size) {}

    outcome<void> run() {
        datagram in{};
        bool connected = false;
        for (;;) {
            const auto got = socket_.receive(std::as_writable_bytes(std::span{&in, 1}));
            if (!got) return pass_on(got);
            if (got->size < sizeof(header)) continue;
            if (!connected) {
                // From now on only who came first is heard.
                if (auto fixed = socket_.connect(got->from); !fixed) return pass_on(fixed);
                connected = true;
            }
            switch (in.head.kind) {
            case datagram_kind::data: keep(in, got->size - sizeof(header)); break;
            case datagram_kind::what_is_missing:
                if (auto told = answer(in.head); !told) return told;
                break;
            case datagram_kind::finished:
                if (in.head.batch == batch_) return send({datagram_kind::farewell, batch_, 0});
                break;
            case datagram_kind::missing:
            case datagram_kind::farewell: break;
            }
        }
    }

private:
    void keep(const datagram& in, std::size_t size) {
        // A late copy of something that has arrived already means nothing.
        if (in.head.batch != batch_ || in.head.number >= batch_size) return;
        const auto place = static_cast<std::size_t>(in.head.number);
        std::memcpy(bodies_.data() + place * body_bytes, in.body, size);
        sizes_[place] = size;
        here_ |= 1ULL << place;
    }

    outcome<void> answer(const header& question) {
        std::uint64_t missing = 0;
        if (question.batch == batch_) {
            missing = all_of(question.number) & ~here_;
            if (missing == 0) finish_batch(question.number);
        }
        return send({datagram_kind::missing, question.batch, missing});
    }

    void finish_batch(std::uint64_t count) {
        for (std::size_t i = 0; i < std::min<std::uint64_t>(count, batch_size); ++i)
            self_.take(kith::byte_view{bodies_.data() + i * body_bytes, sizes_[i]});
        here_ = 0;
        ++batch_;
    }

    outcome<void> send(const header& what) {
        if (auto sent = socket_.send(std::as_bytes(std::span{&what, 1})); !sent) return pass_on(sent);
        return {};
    }

    peer& self_;
    sys::udp_socket socket_;
    std::vector<std::byte> bodies_;
    std::vector<std::size_t> sizes_;
    std::uint64_t here_ = 0;  // a bit for each datagram of the batch that has arrived
    std::uint32_t batch_ = 0;
};

outcome<void> receive_udp(peer& self) {
    auto socket = sys::bind_udp();
    if (!socket) return pass_on(socket);
    const auto local = socket->local();
    if (!local) return pass_on(local);
    self.ready(std::to_string(local->port()));
    return udp_receiver{self, std::move(*socket)}.run();
}

outcome<void> send_udp(peer& self) {
    auto socket = sys::connect_udp(address_of(self));
    if (!socket) return pass_on(socket);
    return udp_sender{self, std::move(*socket)}.run();
}

constexpr row rows[] = {
    {"tcp", "connections, also to other machines", relation::strangers, "bytes", "no", set_up_nothing, receive_tcp,
     send_tcp},
    {"udp", "datagrams that may be lost; here missing ones are sent again", relation::strangers, "messages", "no",
     set_up_nothing, receive_udp, send_udp},
};

}  // namespace

std::span<const row> inet_rows() { return rows; }

}  // namespace kith_cli::tour
