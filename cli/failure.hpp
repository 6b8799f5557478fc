// failure - why something did not work, with what the library cannot know: the limit that was met and what to
// type next. The verb adds what it was doing and on which address; messages.cpp makes the text or the JSON object.
#pragma once
#include <expected>
#include <string>
#include <utility>
#include <vector>

#include <kith/error.hpp>

namespace kith_cli {

struct failure {
    failure(const kith::error& error) : cause{error} {}  // NOLINT(google-explicit-constructor): every result converts
    failure(const kith::error& error, std::string why) : cause{error}, reason{std::move(why)} {}

    /// One line of detail under "limit": a limit's name, its value, where it comes from.
    failure&& limit(std::string line) && {
        limits.push_back(std::move(line));
        return std::move(*this);
    }
    /// One line of detail under "try": a command to type, or a step to take.
    failure&& suggest(std::string line) && {
        tries.push_back(std::move(line));
        return std::move(*this);
    }

    kith::error cause;
    std::string reason;               ///< one lower-case sentence for the user; empty: the usual one of the code
    std::vector<std::string> place;   ///< for texts that cannot be read: the text, and a mark under the place
    std::vector<std::string> limits;  ///< added to what messages.cpp finds out by itself from code and errno
    std::vector<std::string> tries;
    bool misuse = false;  ///< the command line's fault: exit status 2
};

/// The value or the failure. A kith::result<T> converts.
template <class T>
using outcome = std::expected<T, failure>;

/// `return refuse(errc::unsupported, "mq_receive", "a POSIX queue has no peek");`, with details if need be:
/// `return std::unexpected{failure{error, "..."}.limit("...").suggest("kith create ...")};`
[[nodiscard]] inline std::unexpected<failure> refuse(kith::errc code, const char* operation, std::string reason) {
    return std::unexpected<failure>{failure{kith::error{code, operation}, std::move(reason)}};
}
/// The same for what can never work, whatever the state of the system: the command line's fault, exit status 2.
[[nodiscard]] inline std::unexpected<failure> refuse_use(kith::errc code, const char* operation, std::string reason) {
    auto refused = refuse(code, operation, std::move(reason));
    refused.error().misuse = true;
    return refused;
}
/// A failure from the errno of a system call that the command made itself; for the usual codes.
[[nodiscard]] failure os_failure(const char* operation, int os_error, kith::object_ref object = {});

/// Passes on the failure of a kith::result or an outcome.
template <class Expected>
[[nodiscard]] std::unexpected<failure> pass_on(const Expected& from) {
    return std::unexpected<failure>{from.error()};
}

}  // namespace kith_cli
