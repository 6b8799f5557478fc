#include "backends/shared_memory.hpp"

#include <fmt/format.h>
#include <algorithm>

#include "messages.hpp"

namespace kith_cli {
namespace {

using kith::sys::memory_access;

outcome<std::size_t> length_of(const memory_part& part, std::uint64_t size) {
    const kith::error beyond{kith::errc::wrong_size, "shm"};
    if (part.offset >= size)
        return std::unexpected{
            failure{beyond, fmt::format("offset {} is beyond its end: it has {} bytes", part.offset, size)}};
    const auto length = part.length.value_or(size - part.offset);
    if (length > size - part.offset)
        return std::unexpected{failure{
            beyond,
            fmt::format("{} bytes from offset {} reach beyond its end: it has {} bytes", length, part.offset, size)}};
    return length;
}

outcome<shared_memory> attach_sysv(const kith::address& where, const memory_part& part, memory_access access) {
    const auto shm = sysv_shm_at(where);
    if (!shm) return pass_on(shm);
    auto attached = shm->attach({.access = access});
    if (!attached) return pass_on(attached);
    const auto length = length_of(part, attached->size());
    if (!length) return pass_on(length);
    return shared_memory{std::move(*attached), part.offset, *length};
}

outcome<shared_memory> map_posix(const kith::address& where, const memory_part& part, memory_access access,
                                 const kith::wait_policy& wait) {
    const auto shm = posix_shm_at(where, access, wait);
    if (!shm) return pass_on(shm);
    const auto size = shm->size();
    if (!size) return pass_on(size);
    const auto length = length_of(part, *size);
    if (!length) return pass_on(length);
    // No bytes cannot be mapped: one is, and none of it shown.
    auto mapped = shm->map(
        {.offset = part.offset, .length = std::max<std::size_t>(*length, 1), .access = access, .populate = true});
    if (mapped) return shared_memory{std::move(*mapped), 0, *length};
    failure why{mapped.error()};
    if (why.cause.code() == kith::errc::no_space)
        why.reason = "/dev/shm has no room for the bytes that nobody has written yet";
    return std::unexpected{std::move(why)};
}

}  // namespace

outcome<shared_memory> open_part(const kith::address& where, const memory_part& part, memory_access access,
                                 const kith::wait_policy& wait) {
    if (where.mechanism() == kith::scheme::posix_shm) return map_posix(where, part, access, wait);
    return attach_sysv(where, part, access);
}

failure other_size(const kith::error& error, std::uint64_t found, std::uint64_t wanted, const kith::address& where) {
    return failure{error, fmt::format("it exists with {} bytes, not {}", found, wanted)}
        .suggest(fmt::format("kith show {}   shows what is there", where.text()))
        .suggest(fmt::format("kith rm {}   removes it, if it is a leftover", where.text()));
}

failure size_missing(const char* operation) {
    failure why{kith::error{kith::errc::invalid, operation}, "a new one needs a size"};
    why.misuse = true;
    why.tries.emplace_back("--size 64K");
    return why;
}

}  // namespace kith_cli
