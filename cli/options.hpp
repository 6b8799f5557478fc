// options - values on the command line: sizes, durations, modes.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace kith_cli {

/// "100", "64K", "1M", "2G": bytes, in powers of 1024.
[[nodiscard]] std::optional<std::uint64_t> read_size(std::string_view text);
/// "500ms", "2s", "1m", "1.5h", "20us": nanoseconds. A number alone counts seconds.
[[nodiscard]] std::optional<std::int64_t> read_duration(std::string_view text);
/// "640", "0640": permission bits in octal.
[[nodiscard]] std::optional<unsigned> read_mode(std::string_view text);

/// A check for options that count: the parser itself would take "-1" for a very large number.
[[nodiscard]] std::string not_natural(const std::string& text);

/// Adds an option that takes a duration.
CLI::Option* add_duration(CLI::App& verb, const std::string& name, std::optional<std::int64_t>& ns,
                          const std::string& purpose);

}  // namespace kith_cli
