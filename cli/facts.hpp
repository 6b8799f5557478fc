// facts - ordered keys and values about an object: one list that prints as a table and as JSON.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace kith_cli {

class facts {
public:
    using value = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, std::string,
                               std::vector<std::int64_t>, std::vector<std::string>>;
    struct fact {
        std::string key;   ///< stable, lower case with underscores: the JSON key ("message_size")
        value what;        ///< nullptr: not known here; null in JSON, "-" in the table
        std::string note;  ///< for the table only: a unit or an explanation ("bytes", "rw-r-----")
    };

    facts& add(std::string key, value what, std::string note = {}) {
        list_.push_back({std::move(key), std::move(what), std::move(note)});
        return *this;
    }
    template <class Text>
        requires std::is_convertible_v<const Text&, std::string_view>
    facts& add(std::string key, const Text& text, std::string note = {}) {
        return add(std::move(key), value{std::string{std::string_view{text}}}, std::move(note));
    }
    template <class Number>
        requires std::is_integral_v<Number>
    facts& add(std::string key, Number number, std::string note = {}) {
        if constexpr (std::is_same_v<Number, bool>)
            return add(std::move(key), value{number}, std::move(note));
        else if constexpr (std::is_signed_v<Number>)
            return add(std::move(key), value{static_cast<std::int64_t>(number)}, std::move(note));
        else
            return add(std::move(key), value{static_cast<std::uint64_t>(number)}, std::move(note));
    }
    /// A mode: "0640" as text, with "rw-r-----" beside it in the table.
    facts& add_mode(std::string key, unsigned mode);
    /// Seconds since the epoch: RFC 3339 in UTC as text; null for 0, which in kernel objects means "never".
    facts& add_time(std::string key, std::int64_t seconds);
    /// A user or group id: the number, with the name as a note where there is one.
    facts& add_user(std::string key, unsigned uid);
    facts& add_group(std::string key, unsigned gid);

    [[nodiscard]] const std::vector<fact>& list() const { return list_; }
    [[nodiscard]] bool empty() const { return list_.empty(); }

private:
    std::vector<fact> list_;
};

}  // namespace kith_cli
