#include "sem_steps.hpp"

#include <fmt/format.h>
#include <charconv>
#include <cstdint>

namespace kith_cli {
namespace {

using kith::sys::sem_operation;

std::expected<sem_operation, std::string> read_step(std::string_view text) {
    const auto wrong = [&](std::string_view why) {
        return std::unexpected{fmt::format("'{}' is not NUMBER:DELTA[u][n]: {}", text, why)};
    };
    sem_operation step;
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const auto number = std::from_chars(begin, end, step.number);
    if (number.ec != std::errc{}) return wrong("the number of a semaphore is 0 to 65535");
    const char* at = number.ptr;
    if (at == end || *at != ':') return wrong("a colon is missing after the number");
    ++at;
    const bool plus = at != end && *at == '+';
    const bool minus = at != end && *at == '-';
    int delta = 0;
    const auto read = std::from_chars(at + (plus ? 1 : 0), end, delta);
    if (read.ec != std::errc{} || (plus && delta < 0)) return wrong("the change is +N, -N or 0");
    if (!plus && !minus && delta != 0) return wrong("a change that is not 0 needs its sign");
    if (delta < -kith::sys::sysv_sem_max_value || delta > kith::sys::sysv_sem_max_value)
        return wrong(fmt::format("the change is at most {}", kith::sys::sysv_sem_max_value));
    step.delta = static_cast<std::int16_t>(delta);
    for (at = read.ptr; at != end; ++at) {
        bool& flag = *at == 'u' ? step.undo : step.no_wait;
        if ((*at != 'u' && *at != 'n') || flag) return wrong("only u and n may follow, once each");
        flag = true;
    }
    return step;
}

}  // namespace

std::expected<std::vector<sem_operation>, std::string> read_steps(std::string_view text) {
    std::vector<sem_operation> steps;
    for (;;) {
        const auto comma = text.find(',');
        auto step = read_step(text.substr(0, comma));
        if (!step) return std::unexpected{std::move(step.error())};
        steps.push_back(*step);
        if (comma == std::string_view::npos) return steps;
        text.remove_prefix(comma + 1);
    }
}

}  // namespace kith_cli
