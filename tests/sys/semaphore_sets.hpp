// semaphore_sets - System V semaphore sets that are gone when the test is over, however it ends.
#pragma once
#include <gtest/gtest.h>
#include <sys/sem.h>
#include <unistd.h>
#include <concepts>
#include <cstdint>
#include <kith/sys/sysv_sem.hpp>
#include <thread>
#include <vector>

#include "support/scope.hpp"

namespace kith_test {

using number_list = std::vector<std::uint16_t>;

/// A key that nobody else uses: from the process and a counter, away from what ftok makes of small projects.
inline kith::sys::sysv_key fresh_key() {
    static int counter = 0;
    return kith::sys::sysv_key{static_cast<std::int32_t>(0x6b000000 + ((::getpid() & 0xffff) << 8) + ++counter)};
}

/// A set that is removed at the end of the test, whatever happened.
class test_set {
public:
    explicit test_set(const number_list& values, unsigned mode = 0600)
        : set{*kith::sys::sysv_sem::open(
              kith::sys::sysv_key::private_object(),
              {.create = kith::sys::creation::must_be_new, .values = values, .mode = mode})} {}
    template <std::same_as<kith::sys::sysv_sem> Set>  // so that a list in braces is never taken for one
    explicit test_set(Set existing) : set{existing} {}
    ~test_set() { ::semctl(set.native_id(), 0, IPC_RMID); }
    test_set(const test_set&) = delete;
    test_set& operator=(const test_set&) = delete;
    const kith::sys::sysv_sem* operator->() const { return &set; }

    [[nodiscard]] number_list all() const {
        number_list values(set.status()->count);
        EXPECT_TRUE(ok(set.values(values)));
        return values;
    }
    kith::result<void> apply(const std::vector<kith::sys::sem_operation>& steps,
                             const kith::wait_policy& wait = {}) const {
        return set.apply(steps, wait);
    }
    kith::sys::sysv_sem set;
};

/// Waits until so many processes wait for the semaphore to grow.
inline void wait_for_waiters(const kith::sys::sysv_sem& set, std::uint16_t number, int count) {
    for (const auto give_up = kith::deadline::in(20s); *set.waiters(number) < count;) {
        ASSERT_GT(give_up.remaining_ns(), 0);
        std::this_thread::sleep_for(1ms);
    }
}

/// What a program without kith's protocol does: makes the set and goes no further.
inline int made_raw(kith::sys::sysv_key key, int count, int mode = 0600) {
    return ::semget(key.value(), count, IPC_CREAT | IPC_EXCL | mode);
}
/// Removes the set with this id at the end of the test.
struct removal {
    int id;
    ~removal() { ::semctl(id, 0, IPC_RMID); }
};

}  // namespace kith_test
