// input - what `kith send`, `kith call` and others send: a text from the command line, a file, or standard input.
#pragma once
#include <optional>
#include <string>

#include <kith/sys/byte_stream.hpp>

#include "backends/backend.hpp"
#include "session.hpp"

namespace kith_cli {

class input {
public:
    /// `text` if given, else the file, else standard input.
    [[nodiscard]] static outcome<input> from(std::optional<std::string> text, const std::optional<std::string>& file);

    /// What to call it in a sentence: "standard input", the file's name, or nothing for a text.
    [[nodiscard]] const std::string& name() const { return name_; }
    /// At least one byte; 0 is the end.
    [[nodiscard]] outcome<std::size_t> read_some(kith::byte_span buffer, const kith::wait_policy& wait);
    /// Everything, at most `most` bytes; longer is `too_long`.
    [[nodiscard]] outcome<bytes> read_all(std::size_t most, const kith::wait_policy& wait);

private:
    std::string name_;
    std::optional<std::string> text_;
    std::size_t taken_ = 0;  // of text_
    std::optional<kith::sys::byte_reader> file_;
};

/// Cuts an input into lines. The last one may lack its newline; the newline is not part of what next() returns.
class line_reader {
public:
    explicit line_reader(input& from) : from_{from} {}
    /// The next line, or nothing at the end. Longer than `most` is `too_long`.
    [[nodiscard]] outcome<std::optional<bytes>> next(std::size_t most, const kith::wait_policy& wait);

private:
    input& from_;
    bytes pending_;
    std::size_t searched_ = 0;
    bool ended_ = false;
};

}  // namespace kith_cli
