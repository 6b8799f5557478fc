// request_header - the 56 bytes before each request and reply (docs/formats/request_reply.md): from bytes and to bytes.
#pragma once
#include <optional>

#include <kith/compose/request_reply.hpp>

namespace kith::inline KITH_ABI::detail {

enum class header_kind : std::uint8_t { request, reply };

/// What a reply says of its request; in requests always `done`.
enum class reply_status : std::uint32_t {
    done = 0,
    too_long = 1,  ///< the request for the server's buffer, or the reply for its queue
    refused = 2,   ///< there will be no reply
};

struct request_header {
    header_kind kind;
    reply_status status;
    compose::request_ticket ticket;
};

/// Writes the header to the first `request_header_bytes` of `to`, which must be there.
void encode_header(const request_header& header, byte_span to) noexcept;

/// Reads a header from the beginning of a message; nothing if it is none, or not one of this version. Any bytes will
/// do.
[[nodiscard]] std::optional<request_header> decode_header(byte_view message) noexcept;

/// What a client calls itself: a random address, so that neither a pid that comes back nor a second client in the
/// process finds replies to an earlier one.
[[nodiscard]] compose::request_ticket new_client() noexcept;

/// Whether nobody waits for this reply or request any more, and why.
enum class fate : std::uint8_t { awaited, given_up, dead };
[[nodiscard]] fate fate_of(const compose::request_ticket& ticket) noexcept;

}  // namespace kith::inline KITH_ABI::detail
