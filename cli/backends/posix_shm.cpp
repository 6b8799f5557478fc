// posix-shm: - POSIX shared memory objects.
#include <fmt/format.h>
#include <sys/stat.h>
#include <cerrno>

#include "backends/shared_memory.hpp"

namespace kith_cli {
namespace {

using kith::sys::memory_access;
using kith::sys::posix_shm;

// How long one that is smaller than asked for may still be growing.
constexpr std::chrono::milliseconds creator_patience{250};

failure explained(const kith::error& error, const kith::address& where) {
    if (error.code() == kith::errc::timed_out || error.code() == kith::errc::would_block)
        return failure{error, "it has no size yet: its creator has not finished, or died"}.suggest(
            fmt::format("kith rm {}   removes it, if its creator is gone", where.text()));
    if (error.code() == kith::errc::limit_reached && error.os_error() == EFBIG)
        return failure{error, "it would be larger than files of this process may be"}.suggest(
            "ulimit -f N   raises RLIMIT_FSIZE in this shell");
    return error;
}

class posix_shm_objects final : public backend {
public:
    posix_shm_objects() : backend{kith::scheme::posix_shm} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.max_messages || options.message_size)
            return option_refused(*this, "--max-messages and --message-size", "shared memory holds no messages");
        if (!options.values.empty()) return option_refused(*this, "--values", "shared memory is no semaphore");
        const auto size = static_cast<std::size_t>(options.size.value_or(0));
        if (size == 0) {
            // Without a size there is nothing to make, but what exists fits.
            const auto found = as_it_is(where);
            if (options.exclusive || (!found && found.error().cause.code() == kith::errc::not_found))
                return std::unexpected{size_missing("shm_open")};
            if (!found) return pass_on(found);
            return created{where, false};
        }
        const auto policy = options.exclusive ? kith::sys::creation::must_be_new : kith::sys::creation::create_or_open;
        const auto shm = posix_shm::open(
            where.name(), {.create = policy, .size = size, .mode = static_cast<mode_t>(options.mode.value_or(0600))},
            kith::deadline::in(creator_patience));
        if (shm) return created{where, shm->created()};
        if (shm.error().code() == kith::errc::wrong_size)
            if (const auto found = as_it_is(where))
                return std::unexpected{other_size(shm.error(), found->size().value_or(0), size, where)};
        return std::unexpected{explained(shm.error(), where)};
    }

    outcome<void> remove(const kith::address& where) override {
        const auto done = kith::sys::unlink_posix_shm(where.name());
        if (!done) return pass_on(done);
        return {};
    }

    outcome<facts> show(const kith::address& where) override {
        const auto shm = as_it_is(where);
        if (!shm) return pass_on(shm);
        struct stat file{};
        if (::fstat(shm->native().get(), &file) != 0)
            return std::unexpected{os_failure("fstat", errno, kith::object_ref::name(where.name()))};
        facts seen;
        seen.add("name", where.name());
        seen.add_mode("mode", file.st_mode & 0777U);
        seen.add_user("uid", file.st_uid).add_group("gid", file.st_gid);
        seen.add("size", file.st_size, file.st_size == 0 ? "bytes: its creator has not finished, or died" : "bytes");
        seen.add("reserved", file.st_blocks * 512, "bytes of /dev/shm in use");
        seen.add_time("last_change", file.st_mtime);
        return seen;
    }

private:
    static outcome<posix_shm> as_it_is(const kith::address& where) {
        auto shm = posix_shm::open(where.name(), {.access = memory_access::read_only, .wait_for_size = false});
        if (!shm) return pass_on(shm);
        return std::move(*shm);
    }
};

}  // namespace

outcome<posix_shm> posix_shm_at(const kith::address& where, memory_access access, const kith::wait_policy& wait) {
    auto shm = posix_shm::open(where.name(), {.access = access}, wait);
    if (!shm) return std::unexpected{explained(shm.error(), where)};
    return std::move(*shm);
}

backend& posix_shm_backend() {
    static posix_shm_objects objects;
    return objects;
}

}  // namespace kith_cli
