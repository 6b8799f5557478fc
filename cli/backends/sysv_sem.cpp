#include <fmt/format.h>

#include "backends/semaphores.hpp"
#include "backends/sysv_objects.hpp"

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
            return refuse_use(kith::errc::invalid, "semctl(SETALL)",
                              fmt::format("the value {} is outside 0 to {}", value, kith::sys::sysv_sem_max_value));
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
        const auto key = key_to_make(where);
        if (!key) return pass_on(key);
        const auto values = first_values(options.values);
        if (!values) return pass_on(values);
        const auto policy = options.exclusive || key->is_private() ? kith::sys::creation::must_be_new
                                                                   : kith::sys::creation::create_or_open;
        const auto set =
            sysv_sem::open(*key, {.create = policy, .values = *values, .mode = options.mode.value_or(0600)},
                           kith::deadline::in(creator_patience));
        if (!set) return std::unexpected{explained(set.error(), where, values->size())};
        return created{address_after(where, set->native_id()), set->created()};
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
        auto seen = identity_of(set->native_id(), *now);
        seen.add("semaphores", now->count);
        seen.add("values", each(now->count, [&](auto n) { return set->value(n); }));
        seen.add("waiters", each(now->count, [&](auto n) { return set->waiters(n); }), "wait for more");
        seen.add("zero_waiters", each(now->count, [&](auto n) { return set->zero_waiters(n); }), "wait for zero");
        seen.add("last_pids", each(now->count, [&](auto n) { return set->last_pid(n); }));
        seen.add("initialised", seconds_of(now->last_operation) != 0,
                 seconds_of(now->last_operation) != 0 ? "" : "no semop yet: perhaps its creator died");
        seen.add_time("last_operation", seconds_of(now->last_operation));
        seen.add_time("last_change", seconds_of(now->last_change));
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

outcome<sysv_sem> sysv_sem_at(const kith::address& where) {
    if (where.naming() == naming::id) {
        const auto set = sysv_sem::open_id(where.id());
        if (!set) return pass_on(set);
        return *set;
    }
    const auto key = key_to_find(where);
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
