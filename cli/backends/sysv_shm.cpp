// sysv-shm: - System V shared memory segments.
#include <fmt/format.h>

#include "backends/shared_memory.hpp"

namespace kith_cli {
namespace {

using kith::sys::sysv_shm;
using naming = kith::address::sysv_naming;

outcome<kith::sys::sysv_key> key_of(const kith::address& where) {
    switch (where.naming()) {
    case naming::key: return kith::sys::sysv_key{where.key()};
    case naming::private_object: return kith::sys::sysv_key::private_object();
    case naming::path: {
        const auto key = kith::sys::sysv_key::from_path(where.name(), where.project());
        if (!key) return std::unexpected{failure{key.error(), "the file that the key is made from cannot be used"}};
        return *key;
    }
    case naming::id: break;
    }
    failure why{kith::error{kith::errc::invalid, "shmget", 0, kith::object_ref::sysv_id(where.id())},
                "the kernel chooses ids: name it by key, by path or as private"};
    why.misuse = true;
    return std::unexpected{std::move(why)};
}

class sysv_shm_objects final : public backend {
public:
    sysv_shm_objects() : backend{kith::scheme::sysv_shm} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.max_messages || options.message_size)
            return option_refused(*this, "--max-messages and --message-size", "a segment holds no messages");
        if (!options.values.empty()) return option_refused(*this, "--values", "a segment is no semaphore");
        const auto key = key_of(where);
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
        if (!key->is_private()) return created{where, shm->created()};
        return created{*kith::address::of_sysv_id(kith::scheme::sysv_shm, shm->native_id()), true};
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
        const auto seconds = [](auto time) { return std::chrono::system_clock::to_time_t(time); };
        facts seen;
        seen.add("id", shm->native_id());
        seen.add("key", fmt::format("0x{:08x}", static_cast<std::uint32_t>(now->key.value())));
        seen.add_mode("mode", now->mode);
        seen.add_user("uid", now->uid).add_group("gid", now->gid);
        seen.add_user("creator_uid", now->creator_uid).add_group("creator_gid", now->creator_gid);
        seen.add("size", now->size, "bytes");
        seen.add("attachments", now->attachments, "not processes: one can attach several times");
        seen.add("creator_pid", now->creator_pid).add("last_pid", now->last_pid);
        seen.add_time("last_attach", seconds(now->last_attach));
        seen.add_time("last_detach", seconds(now->last_detach));
        seen.add_time("last_change", seconds(now->last_change));
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
    if (where.naming() == naming::private_object) {
        failure why{kith::error{kith::errc::invalid, "shmget"},
                    "'private' names what does not exist yet: name it by id"};
        why.misuse = true;
        return std::unexpected{std::move(why)};
    }
    const auto key = key_of(where);
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
