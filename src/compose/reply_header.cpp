#include "compose/reply_header.hpp"

#include <algorithm>
#include <charconv>

#include <kith/compose/reply_fifo.hpp>

namespace kith::inline KITH_ABI::detail {
namespace {

constexpr std::size_t id_digits = 16;
constexpr std::size_t length_digits = 18;

bool is_token(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

// Up to the separator, which is taken off as well.
std::string_view take_field(std::string_view& text, char separator) noexcept {
    const auto end = text.find(separator);
    const auto field = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return field;
}

bool read_number(std::string_view digits, int base, std::uint64_t& value) noexcept {
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    return problem == std::errc{} && end == digits.data() + digits.size();
}

header_state parse(std::string_view text, std::string_view magic, bool with_token, reply_header& into) noexcept {
    const auto known = std::min(text.size(), magic.size());
    if (text.substr(0, known) != magic.substr(0, known)) return header_state::wrong;
    const auto end = text.substr(0, header_max).find('\n');
    if (end == std::string_view::npos) return text.size() < header_max ? header_state::partial : header_state::wrong;
    reply_header header;
    header.size = end + 1;
    auto line = text.substr(magic.size(), end + 1 - magic.size());
    const auto id = take_field(line, ' ');
    const auto length = take_field(line, with_token ? ' ' : '\n');
    if (id.size() != id_digits || !read_number(id, 16, header.id)) return header_state::wrong;
    if (length.empty() || length.size() > length_digits || !read_number(length, 10, header.length))
        return header_state::wrong;
    if (with_token) {
        header.token = take_field(line, '\n');
        const bool fits = !header.token.empty() && header.token.size() <= compose::reply_to::token_capacity;
        if (!fits || !std::all_of(header.token.begin(), header.token.end(), is_token)) return header_state::wrong;
    }
    if (!line.empty()) return header_state::wrong;
    into = header;
    return header_state::whole;
}

}  // namespace

header_state parse_request(std::string_view text, reply_header& into) noexcept {
    const auto state = parse(text, request_magic, true, into);
    return state == header_state::whole && into.length > compose::reply_fifo_request_max ? header_state::wrong : state;
}

header_state parse_reply(std::string_view text, reply_header& into) noexcept {
    return parse(text, reply_magic, false, into);
}

std::size_t write_header(char* line, std::uint64_t id, std::size_t length, std::string_view token) noexcept {
    const auto magic = token.empty() ? reply_magic : request_magic;
    char* at = line + magic.copy(line, magic.size());
    for (int shift = 60; shift >= 0; shift -= 4) *at++ = "0123456789abcdef"[(id >> shift) & 0xfU];
    *at++ = ' ';
    at = std::to_chars(at, line + header_max, length).ptr;
    if (!token.empty()) {
        *at++ = ' ';
        at += token.copy(at, token.size());
    }
    *at++ = '\n';
    return static_cast<std::size_t>(at - line);
}

}  // namespace kith::inline KITH_ABI::detail
