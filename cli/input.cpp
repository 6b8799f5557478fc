#include "input.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "messages.hpp"

namespace kith_cli {

outcome<input> input::from(std::optional<std::string> text, const std::optional<std::string>& file) {
    input made;
    if (text) {
        made.text_ = std::move(text);
        return made;
    }
    if (!file) {
        made.name_ = "standard input";
        return made;
    }
    made.name_ = *file;
    kith::owned_fd fd{::open(file->c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
    if (!fd.valid()) {
        auto why = os_failure("open", errno, kith::object_ref::name(*file));
        if (why.cause.code() == kith::errc::not_found) why.reason = "there is no such file";
        if (why.cause.code() == kith::errc::not_permitted) why.reason = "you may not read this file";
        return std::unexpected{std::move(why)};
    }
    auto adopted = kith::io_fd::adopt(std::move(fd));
    if (!adopted) return pass_on(adopted);
    made.file_.emplace(std::move(*adopted));
    return made;
}

outcome<std::size_t> input::read_some(kith::byte_span buffer, const kith::wait_policy& wait) {
    if (text_) {
        const auto count = std::min(buffer.size(), text_->size() - taken_);
        std::memcpy(buffer.data(), text_->data() + taken_, count);
        taken_ += count;
        return count;
    }
    if (!file_) return session::read_stdin(buffer, wait);
    const auto count = file_->read_some(buffer, wait);
    if (!count && count.error().code() == kith::errc::end_of_stream) return std::size_t{0};
    if (!count) return pass_on(count);
    return *count;
}

outcome<bytes> input::read_all(std::size_t most, const kith::wait_policy& wait) {
    bytes all;
    std::array<std::byte, 65536> piece;
    for (;;) {
        // One byte more than fits tells "too long" from "just fits" without reading the rest.
        const auto room = std::min(piece.size(), most - std::min(all.size(), most) + 1);
        const auto count = read_some(std::span{piece}.first(room), wait);
        if (!count) return pass_on(count);
        if (*count == 0) return all;
        all.insert(all.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*count));
        if (all.size() > most)
            return refuse(kith::errc::too_long, "read", fmt::format("a message may have {}", size_text(most)));
    }
}

outcome<std::optional<bytes>> line_reader::next(std::size_t most, const kith::wait_policy& wait) {
    for (;;) {
        const auto from = pending_.begin() + static_cast<std::ptrdiff_t>(searched_);
        const auto newline = std::find(from, pending_.end(), std::byte{'\n'});
        const bool found = newline != pending_.end();
        const auto length = static_cast<std::size_t>(newline - pending_.begin());
        if (length > most)
            return refuse(kith::errc::too_long, "read", fmt::format("a line may have {}", size_text(most)));
        if (found || ended_) {
            if (!found && pending_.empty()) return std::nullopt;
            bytes line{pending_.begin(), newline};
            pending_.erase(pending_.begin(), found ? newline + 1 : newline);
            searched_ = 0;
            return line;
        }
        searched_ = pending_.size();
        std::array<std::byte, 65536> piece;
        const auto count = from_.read_some(piece, wait);
        if (!count) return pass_on(count);
        ended_ = *count == 0;
        pending_.insert(pending_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*count));
    }
}

}  // namespace kith_cli
