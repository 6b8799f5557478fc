// Any bytes as the header of a request or reply: what is understood must come out the same when it is written again.
#include <cstdlib>
#include <cstring>

#include "compose/request_header.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace kith;
    const byte_view message{reinterpret_cast<const std::byte*>(data), size};
    const auto header = detail::decode_header(message);
    if (!header) return 0;
    if (header->ticket.address < 2 || header->ticket.client.pid < 0) std::abort();
    std::byte again[compose::request_header_bytes];
    detail::encode_header(*header, again);
    if (std::memcmp(again, data, sizeof again) != 0) std::abort();
    return 0;
}
