// c_string - a NUL-terminated copy of a name on the stack, for system calls that want one.
#pragma once
#include <cerrno>
#include <climits>
#include <cstddef>
#include <string_view>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI::detail {

/// Room for `Capacity` characters and the NUL. A NUL inside the text is refused: the kernel would cut the name there.
template <std::size_t Capacity>
class c_string {
public:
    c_string() noexcept { text_[0] = '\0'; }  // the rest is left as it is on purpose

    /// One return and nothing copied: the array may be a page.
    [[nodiscard]] static result<c_string> from(std::string_view text, const char* operation) noexcept {
        result<c_string> made{std::in_place};
        if (const auto assigned = made->assign(text, operation); !assigned) [[unlikely]]
            made = fail(assigned.error());
        return made;
    }
    [[nodiscard]] result<void> assign(std::string_view text, const char* operation) noexcept {
        if (text.size() > Capacity) [[unlikely]]
            return fail(errc::too_long, operation, ENAMETOOLONG, object_ref::name(text));
        if (text.find('\0') != std::string_view::npos) [[unlikely]]
            return fail(errc::invalid, operation, EINVAL, object_ref::name(text));
        text.copy(text_, text.size());
        text_[text.size()] = '\0';
        return {};
    }
    [[nodiscard]] const char* get() const noexcept { return text_; }

private:
    char text_[Capacity + 1];
};

using c_path = c_string<PATH_MAX - 1>;

}  // namespace kith::inline KITH_ABI::detail
