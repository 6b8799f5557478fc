#include "compose/request_header.hpp"

#include <sys/random.h>
#include <unistd.h>
#include <cstring>

namespace kith::inline KITH_ABI::detail {
namespace {

constexpr char request_magic[4] = {'K', 'R', 'Q', '1'};
constexpr char reply_magic[4] = {'K', 'R', 'P', '1'};

// As it lies in a message; little-endian, which is all that kith runs on.
struct wire_header {
    char magic[4];
    std::uint32_t status;
    std::int64_t address;
    std::uint64_t number;
    std::int64_t deadline_ns;  // CLOCK_MONOTONIC; the maximum: never
    std::int32_t pid;
    std::uint32_t reserved;
    std::uint64_t started;
    std::uint64_t pid_namespace;
};
static_assert(sizeof(wire_header) == compose::request_header_bytes);

constexpr std::int64_t lowest_address = 2;  // 1 is the type of requests

}  // namespace

void encode_header(const request_header& header, byte_span to) noexcept {
    const auto& ticket = header.ticket;
    wire_header wire{.magic = {},
                     .status = static_cast<std::uint32_t>(header.status),
                     .address = ticket.address,
                     .number = ticket.number,
                     .deadline_ns = ticket.until.monotonic_ns(),
                     .pid = ticket.client.pid,
                     .reserved = 0,
                     .started = ticket.client.started,
                     .pid_namespace = ticket.client.pid_namespace};
    std::memcpy(wire.magic, header.kind == header_kind::request ? request_magic : reply_magic, sizeof wire.magic);
    std::memcpy(to.data(), &wire, sizeof wire);
}

std::optional<request_header> decode_header(byte_view message) noexcept {
    if (message.size() < sizeof(wire_header)) return std::nullopt;
    wire_header wire;
    std::memcpy(&wire, message.data(), sizeof wire);
    const bool request = std::memcmp(wire.magic, request_magic, sizeof wire.magic) == 0;
    if (!request && std::memcmp(wire.magic, reply_magic, sizeof wire.magic) != 0) return std::nullopt;
    if (wire.address < lowest_address || wire.deadline_ns <= 0 || wire.pid < 0 || wire.reserved != 0)
        return std::nullopt;
    if (wire.status > static_cast<std::uint32_t>(reply_status::refused) || (request && wire.status != 0))
        return std::nullopt;
    using std::chrono::nanoseconds;
    const auto until = wire.deadline_ns == deadline::never().monotonic_ns()
                           ? deadline::never()
                           : deadline::at(deadline::clock::time_point{nanoseconds{wire.deadline_ns}});
    return request_header{
        .kind = request ? header_kind::request : header_kind::reply,
        .status = static_cast<reply_status>(wire.status),
        .ticket = {.address = wire.address,
                   .number = wire.number,
                   .until = until,
                   .client = {.pid = wire.pid, .started = wire.started, .pid_namespace = wire.pid_namespace}}};
}

compose::request_ticket new_client() noexcept {
    std::uint64_t random = 0;
    // Without the system's randomness (before Linux has gathered it) the clock and the pid have to do.
    if (::getrandom(&random, sizeof random, GRND_NONBLOCK) != static_cast<ssize_t>(sizeof random))
        random = (static_cast<std::uint64_t>(deadline::in(std::chrono::seconds{0}).monotonic_ns()) << 22) ^
                 static_cast<std::uint64_t>(::getpid());
    auto address = static_cast<std::int64_t>(random >> 1);
    if (address < lowest_address) address += lowest_address;
    return {.address = address,
            .number = 0,
            .until = deadline::never(),
            .client = sys::identity_of_this_process().value_or(sys::process_identity{})};
}

fate fate_of(const compose::request_ticket& ticket) noexcept {
    if (!ticket.until.is_never() && ticket.until.remaining_ns() == 0) return fate::given_up;
    if (ticket.client.pid == 0) return fate::awaited;
    const auto state = sys::state_of(ticket.client);
    // Unknown, as for a client in another pid namespace, counts as alive.
    return state && *state != sys::process_state::running ? fate::dead : fate::awaited;
}

}  // namespace kith::inline KITH_ABI::detail
