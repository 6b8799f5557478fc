// output - results on standard output: tables, JSON objects, messages in the four formats.
#pragma once
#include <string>

#include "backends/backend.hpp"
#include "facts.hpp"

namespace kith_cli {

[[nodiscard]] std::string facts_table(const facts& what);
/// One object on one line.
[[nodiscard]] std::string facts_json(const facts& what);

/// recv --format.
enum class message_format : std::uint8_t {
    raw,    ///< the bytes, nothing added
    lines,  ///< the bytes and a newline
    hex,    ///< two digits a byte and a newline
    json,   ///< one object a line; `body` where it is UTF-8, else `body_base64`
};
[[nodiscard]] std::string message_text(const message& what, message_format format);

/// `{"body": ...}` or `{"body_base64": ...}` for a reply or request.
[[nodiscard]] std::string body_json(kith::byte_view body);

/// All of `body` to standard output, waiting where it is a full pipe.
[[nodiscard]] outcome<void> write_stdout(kith::byte_view body, const kith::wait_policy& wait);

}  // namespace kith_cli
