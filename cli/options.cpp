#include "options.hpp"

#include <charconv>
#include <CLI/CLI.hpp>
#include <cmath>
#include <limits>

#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

/// An option whose text `read` turns into a value; what it cannot read is refused with `expected`.
template <class Value, class Read>
CLI::Option* add_read(CLI::App& verb, const std::string& name, std::optional<Value>& value, const std::string& purpose,
                      const std::string& type, const std::string& expected, Read read) {
    return verb
        .add_option_function<std::string>(
            name,
            [&value, name, expected, read](const std::string& text) {
                value = read(text);
                if (!value) throw CLI::ValidationError(name, "'" + text + "' is not " + expected);
            },
            purpose)
        ->type_name(type);
}

}  // namespace

std::optional<std::uint64_t> read_size(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (status != std::errc{}) return std::nullopt;
    const std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    unsigned shift = 0;
    if (unit == "K" || unit == "k" || unit == "KiB")
        shift = 10;
    else if (unit == "M" || unit == "MiB")
        shift = 20;
    else if (unit == "G" || unit == "GiB")
        shift = 30;
    else if (!unit.empty() && unit != "B")
        return std::nullopt;
    if (number > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
    return number << shift;
}

std::optional<std::int64_t> read_duration(std::string_view text) {
    double number = 0;
    const auto [end, status] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (status != std::errc{} || !std::isfinite(number) || number < 0) return std::nullopt;
    const std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    double ns = 0;
    if (unit == "ns")
        ns = 1;
    else if (unit == "us")
        ns = 1e3;
    else if (unit == "ms")
        ns = 1e6;
    else if (unit == "s" || unit.empty())
        ns = 1e9;
    else if (unit == "m")
        ns = 60e9;
    else if (unit == "h")
        ns = 3600e9;
    else
        return std::nullopt;
    const double span = number * ns;
    // Longer than the clock counts is as good as for ever.
    if (span >= 9.0e18) return std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(span);
}

std::optional<unsigned> read_mode(std::string_view text) {
    unsigned mode = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (status != std::errc{} || end != text.data() + text.size() || mode > 0777) return std::nullopt;
    return mode;
}

std::string not_natural(const std::string& text) {
    std::uint64_t number = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (status == std::errc{} && end == text.data() + text.size()) return {};
    return "'" + text + "' is not a number from 0 on";
}

CLI::Option* add_duration(CLI::App& verb, const std::string& name, std::optional<std::int64_t>& ns,
                          const std::string& purpose) {
    return add_read(verb, name, ns, purpose, "D", "a duration, as 500ms, 2s or 1m", read_duration);
}

CLI::Option* add_size(CLI::App& verb, const std::string& name, std::optional<std::uint64_t>& size,
                      const std::string& purpose) {
    return add_read(verb, name, size, purpose, "N", "a size in bytes, as 4096, 64K or 1M", read_size);
}

CLI::Option* add_mode(CLI::App& verb, std::optional<unsigned>& mode) {
    return add_read(verb, "--mode", mode, "permissions of a new object, in octal", "M", "a mode in octal, as 640",
                    read_mode);
}

}  // namespace kith_cli
