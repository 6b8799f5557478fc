// Whatever a peer writes before a request or a reply: nothing outside the text is read, what is accepted keeps the
// grammar of docs/formats/reply_fifo.md, and more bytes never turn a whole header into something else.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <kith/compose/reply_fifo.hpp>

#include "compose/reply_header.hpp"

using kith::detail::header_state;
using kith::detail::reply_header;

namespace {

void check(bool fact) {
    if (!fact) std::abort();
}

template <class Parse>
void check_prefixes(std::string_view text, Parse parse) {
    reply_header header;
    bool decided = false;
    auto before = header_state::partial;
    for (std::size_t size = 0; size <= text.size(); ++size) {
        const auto state = parse(text.substr(0, size), header);
        check(!decided || state == before);
        decided = state != header_state::partial;
        before = state;
        if (state == header_state::whole) check(header.size <= size && header.size <= kith::detail::header_max);
        if (size > 2 * kith::detail::header_max) break;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    check_prefixes(text, kith::detail::parse_request);
    check_prefixes(text, kith::detail::parse_reply);

    reply_header header;
    char line[kith::detail::header_max];
    if (kith::detail::parse_request(text, header) == header_state::whole) {
        check(header.length <= kith::compose::reply_fifo_request_max);
        check(header.token.find('/') == std::string_view::npos && header.token.find('.') == std::string_view::npos);
        const auto length = kith::detail::write_header(line, header.id, header.length, header.token);
        reply_header again;
        check(kith::detail::parse_request({line, length}, again) == header_state::whole);
        check(again.id == header.id && again.length == header.length && again.token == header.token);
    }
    if (kith::detail::parse_reply(text, header) == header_state::whole) {
        const auto length = kith::detail::write_header(line, header.id, header.length, {});
        reply_header again;
        check(kith::detail::parse_reply({line, length}, again) == header_state::whole);
        check(again.id == header.id && again.length == header.length);
    }
    return 0;
}
