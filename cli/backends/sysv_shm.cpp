// sysv-shm: - System V shared memory segments.
#include <fmt/format.h>

#include "backends/shared_memory.hpp"
#include "backends/sysv_objects.hpp"

namespace kith_cli {
namespace {

using kith::sys::sysv_shm;
using naming = kith::address::sysv_naming;

class sysv_shm_objects final : public backend {
public:
    sysv_shm_objects() : backend{kith::scheme::sysv_shm} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.max_messages || options.message_size)
            return option_refused(*this, "--max-messages and --message-size", "a segment holds no messages");
        if (!options.values.empty()) return option_refused(*this, "--values", "a segment is no semaphore");
        const auto key = key_to_make(where);
        if (!key) return pass_on(key);
        const auto size = static_cast<std::size_t>(options.size.value_or(0));
        const auto mode = static_cast<mode_t>(options.mode.value_or(0600));
        const bool must_be_new = options.exclusive || key->is_private();
        if (size == 0) {
            // Without a size there is nothing to make, but what exists fits.
            const auto found = sysv_shm::open(*key);
            if (must_be_new || (!found && found.error().code() == kith::errc::not_found))
                return std::unexpected{size_missing("shmget")};
            if (!found) return pass_on(found);
            return created{where, false};
        }
        const auto shm = sysv_shm::open(
            *key, {.create = must_be_new ? kith::sys::creation::must_be_new : kith::sys::creation::create_or_open,
                   .size = size,
                   .mode = mode});
        if (!shm) {
            const auto found = sysv_shm::open(*key);
            if (shm.error().code() == kith::errc::wrong_size && found)
                return std::unexpected{other_size(shm.error(), found->size(), size, where)};
            return pass_on(shm);
        }
        return created{address_after(where, shm->native_id()), shm->created()};
    }

    outcome<void> remove(const kith::address& where) override {
        const auto shm = sysv_shm_at(where);
        if (!shm) return pass_on(shm);
        const auto done = shm->remove();
        if (!done) return pass_on(done);
        return {};
    }

    outcome<facts> show(const kith::address& where) override {
        const auto shm = sysv_shm_at(where);
        if (!shm) return pass_on(shm);
        const auto now = shm->status();
        if (!now) return pass_on(now);
        auto seen = identity_of(shm->native_id(), *now);
        seen.add("size", now->size, "bytes");
        seen.add("attachments", now->attachments, "not processes: one can attach several times");
        seen.add("creator_pid", now->creator_pid).add("last_pid", now->last_pid);
        seen.add_time("last_attach", seconds_of(now->last_attach));
        seen.add_time("last_detach", seconds_of(now->last_detach));
        seen.add_time("last_change", seconds_of(now->last_change));
        seen.add("marked_for_removal", now->marked_for_removal,
                 now->marked_for_removal ? "gone with its last attachment" : "");
        seen.add("locked", now->locked);
        return seen;
    }
};

}  // namespace

outcome<sysv_shm> sysv_shm_at(const kith::address& where) {
    if (where.naming() == naming::id) {
        const auto shm = sysv_shm::open_id(where.id());
        if (!shm) return pass_on(shm);
        return *shm;
    }
    const auto key = key_to_find(where);
    if (!key) return pass_on(key);
    const auto shm = sysv_shm::open(*key);
    if (!shm) return pass_on(shm);
    return *shm;
}

backend& sysv_shm_backend() {
    static sysv_shm_objects objects;
    return objects;
}

}  // namespace kith_cli
