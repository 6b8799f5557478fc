// reply_names - where the private FIFOs of a well-known one lie.
#pragma once
#include <fcntl.h>
#include <array>
#include <cerrno>
#include <string_view>

#include <kith/compose/reply_fifo.hpp>

#include "base/c_string.hpp"
#include "base/errors.hpp"
#include "base/retry.hpp"

namespace kith::inline KITH_ABI::detail {

/// Takes `path` apart: opens the directory, and leaves room in `name` for ".reply." and a token.
[[nodiscard]] inline result<owned_fd> open_directory_of(std::string_view path, std::array<char, 256>& name) noexcept {
    const auto about = object_ref::name(path);
    const auto slash = path.rfind('/');
    const bool bare = slash == std::string_view::npos;
    const auto file = bare ? path : path.substr(slash + 1);
    if (file.empty()) return fail(errc::invalid, "open", EINVAL, about);
    if (file.size() > 255 - 7 - compose::reply_to::token_capacity)
        return fail(errc::too_long, "open", ENAMETOOLONG, about);
    const auto directory = c_path::from(bare ? std::string_view{"."} : path.substr(0, slash + 1), "open");
    if (!directory) return fail(directory.error());
    name[file.copy(name.data(), file.size())] = '\0';
    owned_fd opened{retry([&] { return ::open(directory->get(), O_PATH | O_DIRECTORY | O_CLOEXEC); })};
    if (!opened.valid()) return fail_os("open", errno, about);
    return opened;
}

/// NAME.reply.TOKEN
class reply_name {
public:
    reply_name(const std::array<char, 256>& name, const compose::reply_to& to) noexcept {
        for (const std::string_view part :
             {std::string_view{name.data()}, std::string_view{".reply."}, std::string_view{to.token.data()}})
            size_ += part.copy(text_ + size_, sizeof text_ - size_);
    }
    [[nodiscard]] std::string_view text() const noexcept { return {text_, size_}; }

private:
    char text_[256];
    std::size_t size_ = 0;
};

}  // namespace kith::inline KITH_ABI::detail
