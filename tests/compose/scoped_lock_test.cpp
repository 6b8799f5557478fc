// The scoped lock of docs/formats/scoped_lock.md, over all three kinds, between processes, with killed holders.
#include <kith/compose/scoped_lock.hpp>

#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <functional>
#include <optional>
#include <type_traits>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/shared_memory.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::compose;
using namespace kith::sys;

struct words {
    alignas(unnamed_sem) std::byte semaphore[sizeof(unnamed_sem)];
    alignas(robust_mutex) std::byte mutex[sizeof(robust_mutex)];
    int count;
    int expected;
};

// One free lock of each kind.
struct locks {
    locks() {
        static constexpr std::uint16_t one[] = {0, 1};
        set = sysv_sem::open(sysv_key::private_object(), {.create = creation::must_be_new, .values = one});
        named = posix_sem::open(name, {.create = creation::must_be_new, .value = 1});
        unnamed = *unnamed_sem::create_at(memory->semaphore, 1);
        robust = *robust_mutex::create_at(memory->mutex);
    }
    ~locks() {
        ::semctl(set->native_id(), 0, IPC_RMID);
        ::sem_unlink(name.c_str());
    }
    locks(const locks&) = delete;
    locks& operator=(const locks&) = delete;

    std::string name = std::string{"/"}.append(unique_name("lock"));
    shared<words> memory;
    kith::result<sysv_sem> set = sysv_sem::from_id(-1);
    kith::result<posix_sem> named = posix_sem{};
    unnamed_sem* unnamed = nullptr;
    robust_mutex* robust = nullptr;
};

using taker = std::function<kith::result<scoped_lock>(const kith::wait_policy&)>;
struct kind_of_lock {
    const char* name;
    taker take;
};

std::vector<kind_of_lock> kinds_of(locks& all) {
    return {{"sysv", [&](const kith::wait_policy& wait) { return lock(*all.set, 1, wait); }},
            {"named", [&](const kith::wait_policy& wait) { return lock(*all.named, wait); }},
            {"unnamed", [&](const kith::wait_policy& wait) { return lock(*all.unnamed, wait); }},
            {"robust", [&](const kith::wait_policy& wait) { return lock(*all.robust, wait); }}};
}

// Whether another process finds the lock free.
bool is_free(const taker& take) {
    return child{[&] { return take(deadline::immediate()) ? 0 : 1; }}.wait() == 0;
}

TEST(compose_scoped_lock, scoped_lock_two_processes_count_exactly_under_each_kind) {
    locks all;
    constexpr int rounds = 10000;
    for (const auto& [name, take] : kinds_of(all)) {
        SCOPED_TRACE(name);
        all.memory->count = 0;
        const auto count = [&] {
            for (int i = 0; i < rounds; ++i) {
                auto held = take(deadline::in(60s));
                CHILD_CHECK(held);
                all.memory->count = all.memory->count + 1;
                CHILD_CHECK(held->unlock());
            }
            return 0;
        };
        child one{count};
        child two{count};
        EXPECT_EQ(one.wait(), 0);
        EXPECT_EQ(two.wait(), 0);
        EXPECT_EQ(all.memory->count, 2 * rounds);
    }
}

TEST(compose_scoped_lock, scoped_lock_the_end_of_the_scope_gives_back_and_unlock_says_whether_it_worked) {
    locks all;
    for (const auto& [name, take] : kinds_of(all)) {
        SCOPED_TRACE(name);
        {
            const auto held = take({});
            ASSERT_TRUE(ok(held));
            EXPECT_TRUE(held->is_held());
            EXPECT_FALSE(held->owner_died());
            EXPECT_FALSE(is_free(take));
        }
        EXPECT_TRUE(is_free(take));
        auto held = take({});
        EXPECT_TRUE(ok(held->unlock()));
        EXPECT_FALSE(held->is_held());
        EXPECT_TRUE(is_free(take));
        EXPECT_TRUE(fails_with(held->unlock(), errc::invalid));
        EXPECT_TRUE(fails_with(held->mark_consistent(), errc::invalid));
    }
    EXPECT_EQ(*all.set->value(1), 1);
    EXPECT_EQ(*all.named->value(), 1);
    EXPECT_EQ(*all.unnamed->value(), 1);
}

TEST(compose_scoped_lock, scoped_lock_moving_hands_the_lock_on) {
    static_assert(!std::is_copy_constructible_v<scoped_lock> && !std::is_copy_assignable_v<scoped_lock>);
    locks all;
    for (const auto& [name, take] : kinds_of(all)) {
        SCOPED_TRACE(name);
        std::optional<scoped_lock> outer;
        {
            auto held = take({});
            ASSERT_TRUE(ok(held));
            outer.emplace(std::move(*held));
            EXPECT_FALSE(held->is_held());  // NOLINT(bugprone-use-after-move)
        }
        EXPECT_FALSE(is_free(take));
        EXPECT_TRUE(ok(outer->unlock()));
        outer.emplace(*take({}));
        auto second = lock(*all.set, 1, deadline::immediate());
        if (second) *outer = std::move(*second);  // assignment gives the first one back
        outer.reset();
        EXPECT_TRUE(is_free(take));
    }
    EXPECT_EQ(*all.set->value(1), 1);
}

TEST(compose_scoped_lock, scoped_lock_deadlines_are_kept_and_told_apart) {
    locks all;
    for (const auto& [name, take] : kinds_of(all)) {
        SCOPED_TRACE(name);
        const auto held = take({});
        child other{[&] {
            const auto now = take(deadline::immediate());
            CHILD_CHECK(!now && now.error().code() == errc::would_block);
            const auto before = deadline::clock::now();
            const auto late = take(deadline::in(20ms));
            CHILD_CHECK(!late && late.error().code() == errc::timed_out);
            CHILD_CHECK(deadline::clock::now() - before >= 20ms);
            std::stop_source stop;
            stop.request_stop();
            const auto stopped = take({deadline::never(), stop.get_token()});
            CHILD_CHECK(!stopped && stopped.error().code() == errc::stopped);
            return 0;
        }};
        EXPECT_EQ(other.wait(), 0);
    }
}

TEST(compose_scoped_lock, scoped_lock_a_forked_child_does_not_hold_its_parents_lock) {
    locks all;
    for (const auto& [name, take] : kinds_of(all)) {
        SCOPED_TRACE(name);
        auto held = take({});
        child dropping{[&] {
            const scoped_lock copy = std::move(*held);
            return 0;
        }};
        EXPECT_EQ(dropping.wait(), 0);
        child unlocking{[&] {
            const auto refused = held->unlock();
            return !refused && refused.error().code() == errc::forked ? 0 : 1;
        }};
        EXPECT_EQ(unlocking.wait(), 0);
        EXPECT_FALSE(is_free(take));
        EXPECT_TRUE(ok(held->unlock()));
    }
}

int die_holding(const taker& take) {
    return child{[&] {
               const auto held = take({});
               CHILD_CHECK(held);
               ::raise(SIGKILL);
               return 0;
           }}
        .wait();
}

TEST(compose_scoped_lock, scoped_lock_trap22_a_killed_holder_undo_none_and_robust) {
    locks all;
    for (const auto& [name, take] : kinds_of(all)) {
        SCOPED_TRACE(name);
        EXPECT_EQ(die_holding(take), 128 + SIGKILL);
        auto next = take(deadline::in(30ms));
        const std::string_view kind{name};
        if (kind == "named" || kind == "unnamed") {
            EXPECT_TRUE(fails_with(next, errc::timed_out));  // nobody gives it back
            continue;
        }
        ASSERT_TRUE(ok(next));
        EXPECT_EQ(next->owner_died(), kind == "robust");
        if (next->owner_died()) {
            EXPECT_TRUE(ok(next->mark_consistent()));
        }
        EXPECT_FALSE(next->owner_died());
        EXPECT_TRUE(ok(next->unlock()));
        EXPECT_TRUE(is_free(take));
    }
}

TEST(compose_scoped_lock, scoped_lock_a_robust_lock_dropped_without_repair_is_lost) {
    locks all;
    const taker take = [&](const kith::wait_policy& wait) { return lock(*all.robust, wait); };
    die_holding(take);
    {
        const auto held = take({});
        ASSERT_TRUE(held && held->owner_died());
    }
    EXPECT_TRUE(fails_with(take({}), errc::bad_peer, ENOTRECOVERABLE));
}

TEST(compose_scoped_lock, scoped_lock_a_set_removed_while_held_is_reported_at_unlock) {
    locks all;
    auto held = lock(*all.set, 1);
    ASSERT_TRUE(ok(held));
    ASSERT_TRUE(ok(all.set->remove()));
    EXPECT_TRUE(fails_with(held->unlock(), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(lock(*all.set, 1), errc::removed));
}

TEST(compose_scoped_lock, scoped_lock_locking_and_unlocking_leave_no_undo_behind) {
    locks all;
    child polite{[&] {
        for (int i = 0; i < 100; ++i) {
            auto held = lock(*all.set, 1);
            CHILD_CHECK(held && held->unlock());
        }
        return 0;
    }};
    EXPECT_EQ(polite.wait(), 0);
    EXPECT_EQ(*all.set->value(1), 1);
    EXPECT_EQ(*all.set->value(0), 0);
}

}  // namespace
