#include <fmt/format.h>

#include "backends/semaphores.hpp"

namespace kith_cli {
namespace {

using kith::sys::sysv_sem;
using naming = kith::address::sysv_naming;

// Making a set takes microseconds: who has not finished after this long has died.
constexpr std::chrono::seconds creator_patience{1};

outcome<std::vector<std::uint16_t>> first_values(const std::vector<std::int64_t>& given) {
    std::vector<std::uint16_t> values;
    for (const auto value : given) {
        if (value < 0 || value > kith::sys::sysv_sem_max_value) {
            failure why{kith::error{kith::errc::invalid, "semctl(SETALL)"},
                        fmt::format("the value {} is outside 0 to {}", value, kith::sys::sysv_sem_max_value)};
            why.misuse = true;
            return std::unexpected{std::move(why)};
        }
        values.push_back(static_cast<std::uint16_t>(value));
    }
    if (values.empty()) values.push_back(0);
    return values;
}

/// One number of each semaphore.
template <class Ask>
facts::value each(std::size_t count, Ask ask) {
    std::vector<std::int64_t> all;
    for (std::size_t i = 0; i < count; ++i) {
        const auto one = ask(static_cast<std::uint16_t>(i));
        if (!one) return nullptr;
        all.push_back(*one);
    }
    return all;
}

class sysv_sem_objects final : public backend {
public:
    sysv_sem_objects() : backend{kith::scheme::sysv_sem} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.size) return option_refused(*this, "--size", "a set has --values, one for each semaphore");
        if (options.max_messages || options.message_size)
            return option_refused(*this, "--max-messages and --message-size", "a set holds no messages");
        const auto key = sysv_sem_key(where);
        if (!key) return pass_on(key);
        const auto values = first_values(options.values);
        if (!values) return pass_on(values);
        const auto policy = options.exclusive || key->is_private() ? kith::sys::creation::must_be_new
                                                                   : kith::sys::creation::create_or_open;
        const auto set =
            sysv_sem::open(*key, {.create = policy, .values = *values, .mode = options.mode.value_or(0600)},
                           kith::deadline::in(creator_patience));
        if (!set) return std::unexpected{explained(set.error(), where, values->size())};
        if (!key->is_private()) return created{where, set->created()};
        return created{*kith::address::of_sysv_id(kith::scheme::sysv_sem, set->native_id()), true};
    }

    outcome<void> remove(const kith::address& where) override {
        // By id without a look: the owner may remove what it may not read.
        const auto set = where.naming() == naming::id ? sysv_sem::from_id(where.id()) : sysv_sem_at(where);
        if (!set) return pass_on(set);
        if (const auto done = set->remove(); !done) return std::unexpected{absent_not_removed(done.error())};
        return {};
    }

    outcome<facts> show(const kith::address& where) override {
        const auto set = sysv_sem_at(where);
        if (!set) return pass_on(set);
        const auto now = set->status();
        if (!now) return pass_on(now);
        const auto seconds = [](auto time) { return std::chrono::system_clock::to_time_t(time); };
        facts seen;
        seen.add("id", set->native_id());
        seen.add("key", fmt::format("0x{:08x}", static_cast<std::uint32_t>(now->key.value())));
        seen.add_mode("mode", now->mode);
        seen.add_user("uid", now->uid).add_group("gid", now->gid);
        seen.add_user("creator_uid", now->creator_uid).add_group("creator_gid", now->creator_gid);
        seen.add("semaphores", now->count);
        seen.add("values", each(now->count, [&](auto n) { return set->value(n); }));
        seen.add("waiters", each(now->count, [&](auto n) { return set->waiters(n); }), "wait for more");
        seen.add("zero_waiters", each(now->count, [&](auto n) { return set->zero_waiters(n); }), "wait for zero");
        seen.add("last_pids", each(now->count, [&](auto n) { return set->last_pid(n); }));
        seen.add("initialised", seconds(now->last_operation) != 0,
                 seconds(now->last_operation) != 0 ? "" : "no semop yet: perhaps its creator died");
        seen.add_time("last_operation", seconds(now->last_operation));
        seen.add_time("last_change", seconds(now->last_change));
        return seen;
    }

private:
    static failure absent_not_removed(const kith::error& error) {
        if (error.code() != kith::errc::removed || error.os_error() != EINVAL) return error;
        return kith::error{kith::errc::not_found, error.operation(), error.os_error(), error.object()};
    }

    static failure explained(const kith::error& error, const kith::address& where, std::size_t count) {
        const auto address = where.text();
        if (std::string_view{error.operation()} == "sem_otime")
            return failure{error,
                           "it exists, but its creator has not finished: it died, or it never marks a set as ready"}
                .suggest(fmt::format("kith rm {}   and create it again", address))
                .suggest(fmt::format("kith sem get {}   takes it as it is", address));
        if (error.code() == kith::errc::wrong_size) {
            std::size_t found = 0;
            if (const auto set = sysv_sem_at(where))
                if (const auto now = set->status()) found = now->count;
            return failure{error, fmt::format("it exists with {} semaphores, not {}", found, count)}.suggest(
                fmt::format("kith show {}   shows what is there", address));
        }
        return error;
    }
};

}  // namespace

outcome<kith::sys::sysv_key> sysv_sem_key(const kith::address& where) {
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
    failure why{kith::error{kith::errc::invalid, "semget", 0, kith::object_ref::sysv_id(where.id())},
                "the kernel chooses ids: name it by key, by path or as private"};
    why.misuse = true;
    return std::unexpected{std::move(why)};
}

outcome<sysv_sem> sysv_sem_at(const kith::address& where) {
    if (where.naming() == naming::id) {
        const auto set = sysv_sem::open_id(where.id());
        if (!set) return pass_on(set);
        return *set;
    }
    const auto key = sysv_sem_key(where);
    if (!key) return pass_on(key);
    const auto set = sysv_sem::open(*key, {.ready = kith::sys::sem_readiness::assumed});
    if (!set) return pass_on(set);
    return *set;
}

backend& sysv_sem_backend() {
    static sysv_sem_objects objects;
    return objects;
}

}  // namespace kith_cli
