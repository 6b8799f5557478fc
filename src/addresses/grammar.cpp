#include "addresses/grammar.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <algorithm>
#include <charconv>

namespace kith::inline KITH_ABI::detail::grammar {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

number_state read_unsigned(std::string_view digits, int base, std::uint64_t& value) noexcept {
    if (digits.empty()) return number_state::malformed;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (end != digits.data() + digits.size() || status == std::errc::invalid_argument) return number_state::malformed;
    return status == std::errc{} ? number_state::good : number_state::out_of_range;
}

/// The length of the printable UTF-8 character at the beginning of `bytes` that is longer than one byte; else 0.
std::size_t multibyte_length(std::string_view bytes) noexcept {
    const auto at = [&](std::size_t i) {
        return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : static_cast<unsigned char>(0);
    };
    const auto continues = [&](std::size_t i) { return (at(i) & 0xc0U) == 0x80U; };
    const unsigned first = at(0);
    const unsigned second = at(1);
    if (first == 0xc2U && second < 0xa0U) return 0;  // C1 controls
    if (first >= 0xc2U && first <= 0xdfU) return continues(1) ? 2 : 0;
    if (first >= 0xe0U && first <= 0xefU) {
        if (first == 0xe0U && second < 0xa0U) return 0;  // overlong
        if (first == 0xedU && second > 0x9fU) return 0;  // surrogates
        return continues(1) && continues(2) ? 3 : 0;
    }
    if (first >= 0xf0U && first <= 0xf4U) {
        if ((first == 0xf0U && second < 0x90U) || (first == 0xf4U && second > 0x8fU)) return 0;
        return continues(1) && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

bool prints_as_itself(char c) noexcept { return c > ' ' && c < '\x7f' && c != '%' && c != '?'; }

}  // namespace

number_state read_decimal(std::string_view digits, std::int64_t least, std::int64_t most,
                          std::int32_t& number) noexcept {
    std::uint64_t value = 0;
    if (const auto state = read_unsigned(digits, 10, value); state != number_state::good) return state;
    if (value > static_cast<std::uint64_t>(most) || value < static_cast<std::uint64_t>(least))
        return number_state::out_of_range;
    number = static_cast<std::int32_t>(value);
    return number_state::good;
}

number_state read_key(std::string_view digits, std::uint64_t& key) noexcept {
    const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
    const auto state = read_unsigned(hex ? digits.substr(2) : digits, hex ? 16 : 10, key);
    if (state != number_state::good) return state;
    return key <= std::numeric_limits<std::uint32_t>::max() ? state : number_state::out_of_range;
}

void append_key(std::string& out, std::uint32_t key) {
    char digits[8];
    const auto end = std::to_chars(digits, digits + sizeof digits, key, 16).ptr;
    out += "0x";
    out.append(digits, end);
}

std::size_t unescape(std::string_view raw, std::string& bytes) {
    bytes.clear();
    bytes.reserve(raw.size());
    for (std::size_t i = 0; i < raw.size(); ++i) {
        if (raw[i] == '\0') return i;
        if (raw[i] != '%') {
            bytes += raw[i];
            continue;
        }
        const int high = i + 1 < raw.size() ? hex_value(raw[i + 1]) : -1;
        const int low = i + 2 < raw.size() ? hex_value(raw[i + 2]) : -1;
        if (high < 0 || low < 0) return i;
        bytes += static_cast<char>(static_cast<unsigned char>(high * 16 + low));
        i += 2;
    }
    return no_fault;
}

void append_escaped(std::string& out, std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t whole = prints_as_itself(bytes[0]) ? 1 : multibyte_length(bytes);
        if (whole != 0) {
            out += bytes.substr(0, whole);
        } else {
            const auto byte = static_cast<unsigned char>(bytes[0]);
            out += '%';
            out += hex_digits[byte >> 4U];
            out += hex_digits[byte & 0xfU];
        }
        bytes.remove_prefix(whole != 0 ? whole : 1);
    }
}

bool read_type(std::string_view word, address::socket_type& type) noexcept {
    if (word == "stream") {
        type = address::socket_type::stream;
    } else if (word == "dgram") {
        type = address::socket_type::datagram;
    } else if (word == "seqpacket") {
        type = address::socket_type::seqpacket;
    } else {
        return false;
    }
    return true;
}

bool is_ipv6(const std::string& host) noexcept {
    char literal[INET6_ADDRSTRLEN];
    const auto zone = std::min(host.find('%'), host.size());
    if (zone >= sizeof literal || zone + 1 == host.size()) return false;
    if (zone < host.size() && !is_host_name(std::string_view{host}.substr(zone + 1))) return false;
    host.copy(literal, zone);
    literal[zone] = '\0';
    if (std::string_view{literal}.size() != zone) return false;
    in6_addr ignored{};
    return ::inet_pton(AF_INET6, literal, &ignored) == 1;
}

bool is_host_name(std::string_view host) noexcept {
    return !host.empty() && std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
               c == '.';
    });
}

}  // namespace kith::inline KITH_ABI::detail::grammar
