#include <fmt/format.h>
#include <sys/stat.h>

#include "backends/semaphores.hpp"

namespace kith_cli {
namespace {

using kith::sys::posix_sem;

class posix_sem_objects final : public backend {
public:
    posix_sem_objects() : backend{kith::scheme::posix_sem} {}

    outcome<created> create(const kith::address& where, const create_options& options) override {
        if (options.size) return option_refused(*this, "--size", "a semaphore is one number: --values N");
        if (options.max_messages || options.message_size)
            return option_refused(*this, "--max-messages and --message-size", "a semaphore holds no messages");
        if (options.values.size() > 1)
            return option_refused(*this, "--values with several numbers",
                                  "a POSIX semaphore has one value; sysv-sem: has sets");
        const auto value = options.values.empty() ? 0 : options.values.front();
        if (value < 0 || value > static_cast<std::int64_t>(kith::sys::posix_sem_max_value)) {
            return refuse_use(kith::errc::invalid, "sem_open",
                              fmt::format("the value {} is outside 0 to {}", value, kith::sys::posix_sem_max_value));
        }
        auto made = open(where, options, kith::sys::creation::must_be_new, value);
        if (made) return created{where, true};
        if (options.exclusive || made.error().code() != kith::errc::exists) return pass_on(made);
        made = open(where, options, kith::sys::creation::create_or_open, value);
        if (!made) return pass_on(made);
        return created{where, false};
    }

    outcome<void> remove(const kith::address& where) override {
        if (const auto done = kith::sys::unlink_posix_sem(where.name()); !done) return pass_on(done);
        return {};
    }

    outcome<facts> show(const kith::address& where) override {
        const auto semaphore = posix_sem_at(where);
        if (!semaphore) return pass_on(semaphore);
        const auto value = semaphore->value();
        if (!value) return pass_on(value);
        const auto path = "/dev/shm/sem." + where.name().substr(1);
        facts seen;
        seen.add("value", *value);
        struct stat file{};
        if (::stat(path.c_str(), &file) == 0) {
            seen.add("path", path);
            seen.add_mode("mode", file.st_mode & 0777U);
            seen.add_user("uid", file.st_uid).add_group("gid", file.st_gid);
        }
        return seen;
    }

private:
    static kith::result<posix_sem> open(const kith::address& where, const create_options& options,
                                        kith::sys::creation policy, std::int64_t value) {
        return posix_sem::open(
            where.name(),
            {.create = policy, .value = static_cast<unsigned>(value), .mode = options.mode.value_or(0600)});
    }
};

}  // namespace

outcome<posix_sem> posix_sem_at(const kith::address& where) {
    auto semaphore = posix_sem::open(where.name());
    if (semaphore) return std::move(*semaphore);
    if (semaphore.error().code() == kith::errc::wrong_size)
        return std::unexpected{failure{semaphore.error(), "the file of that name in /dev/shm is no semaphore"}};
    return pass_on(semaphore);
}

backend& posix_sem_backend() {
    static posix_sem_objects objects;
    return objects;
}

}  // namespace kith_cli
