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
    [[nodiscard]] static result<c_string> from(std::string_view text, const char* operation) noexcept {
        if (text.size() > Capacity) return fail(errc::too_long, operation, ENAMETOOLONG, object_ref::name(text));
        if (text.find('\0') != std::string_view::npos)
            return fail(errc::invalid, operation, EINVAL, object_ref::name(text));
        c_string copy;
        text.copy(copy.text_, text.size());
        copy.text_[text.size()] = '\0';
        return copy;
    }
    [[nodiscard]] const char* get() const noexcept { return text_; }

private:
    c_string() noexcept {}  // NOLINT(modernize-use-equals-default): the array is left uninitialised on purpose
    char text_[Capacity + 1];
};

using c_path = c_string<PATH_MAX - 1>;

}  // namespace kith::inline KITH_ABI::detail
