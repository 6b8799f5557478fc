// unix - UNIX domain sockets of the three types.
#include <kith/sys/unix_listener.hpp>
#include <vector>

#include "tour/peer.hpp"
#include "tour/row.hpp"
#include "tour/rows/stream.hpp"

namespace kith_cli::tour {
namespace {

namespace sys = kith::sys;

constexpr std::size_t packet_bytes = 32U << 10;

// A path in the run's private directory: the receiver binds it, and removes it when it is done.
class path_stage final : public stage {
public:
    explicit path_stage(std::string path) : path_{std::move(path)} {}
    [[nodiscard]] std::string where() const override { return path_; }

private:
    std::string path_;
};

template <char Kind>
outcome<std::unique_ptr<stage>> set_up_path(const stage_options& options) {
    return std::make_unique<path_stage>(options.directory + '/' + Kind + ".sock");
}

outcome<void> receive_unix_stream(peer& self) {
    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto listener = sys::listen_unix_stream(*name);
    if (!listener) return pass_on(listener);
    self.ready(self.where());
    auto connection = listener->accept();
    if (!connection) return pass_on(connection);
    return receive_stream(self, *connection);
}

outcome<void> send_unix_stream(peer& self) {
    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto connection = sys::connect_unix_stream(*name);
    if (!connection) return pass_on(connection);
    return send_stream(self, *connection);
}

// There is no end of stream: an empty datagram says that all was sent.
outcome<void> receive_unix_dgram(peer& self) {
    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto socket = sys::bind_unix_datagram(*name);
    if (!socket) return pass_on(socket);
    self.ready(self.where());
    std::vector<std::byte> buffer(packet_bytes);
    for (;;) {
        const auto got = socket->receive(buffer);
        if (!got) return pass_on(got);
        if (got->size == 0) return {};
        self.take(std::span{buffer}.first(got->size));
    }
}

outcome<void> send_unix_dgram(peer& self) {
    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto socket = sys::open_unix_datagram();
    if (!socket) return pass_on(socket);
    if (auto connected = socket->connect(*name); !connected) return pass_on(connected);
    for (auto piece = self.next(packet_bytes); !piece.empty(); piece = self.next(packet_bytes))
        if (auto sent = socket->send(piece); !sent) return pass_on(sent);
    if (auto sent = socket->send({}); !sent) return pass_on(sent);
    return {};
}

outcome<void> receive_unix_seqpacket(peer& self) {
    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto listener = sys::listen_unix_seqpacket(*name);
    if (!listener) return pass_on(listener);
    self.ready(self.where());
    auto connection = listener->accept();
    if (!connection) return pass_on(connection);
    std::vector<std::byte> buffer(packet_bytes);
    for (;;) {
        const auto got = connection->receive(buffer);
        if (!got && got.error().code() == kith::errc::end_of_stream) return {};
        if (!got) return pass_on(got);
        self.take(std::span{buffer}.first(got->size));
    }
}

outcome<void> send_unix_seqpacket(peer& self) {
    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto connection = sys::connect_unix_seqpacket(*name);
    if (!connection) return pass_on(connection);
    for (auto piece = self.next(packet_bytes); !piece.empty(); piece = self.next(packet_bytes))
        if (auto sent = connection->send(piece); !sent) return pass_on(sent);
    return {};
}

constexpr row rows[] = {
    {"unix-stream", "connections on one machine; passes descriptors", relation::strangers, "bytes", "name",
     set_up_path<'s'>, receive_unix_stream, send_unix_stream},
    {"unix-dgram", "datagrams that are never lost, without connections", relation::strangers, "messages", "name",
     set_up_path<'d'>, receive_unix_dgram, send_unix_dgram},
    {"unix-seqpacket", "connections that keep message boundaries", relation::strangers, "messages", "name",
     set_up_path<'p'>, receive_unix_seqpacket, send_unix_seqpacket},
};

}  // namespace

std::span<const row> unix_rows() { return rows; }

}  // namespace kith_cli::tour
