// Regions bound to a guard: who is inside, what a death leaves behind, and the convention as other programs see it.
#include <kith/compose/guarded_region.hpp>

#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cstring>
#include <stop_token>
#include <string>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::compose;
using kith::sys::creation;
using kith::sys::sysv_key;

// Both kinds of region behind one face: the tests below say what must hold for each.
struct sysv_kind {
    static constexpr bool lock_comes_back = true;
    sysv_key key{static_cast<std::int32_t>(0x6c000000 + (::getpid() & 0xffffff))};
    sysv_kind() = default;
    sysv_kind(const sysv_kind&) = delete;
    sysv_kind& operator=(const sysv_kind&) = delete;
    ~sysv_kind() { static_cast<void>(remove()); }
    [[nodiscard]] auto open(const region_options& options = {}, const kith::wait_policy& wait = {}) const {
        return open_sysv_region(key, options, wait);
    }
    [[nodiscard]] kith::result<void> remove() const { return remove_sysv_region(key); }
    [[nodiscard]] auto remove_memory() const { return kith::sys::sysv_shm::open(key)->remove(); }
    [[nodiscard]] auto guard() const { return sysv_region_guard::open(key); }
};
struct posix_kind {
    static constexpr bool lock_comes_back = false;
    std::string name = std::string{"/"}.append(unique_name("region"));
    posix_kind() = default;
    posix_kind(const posix_kind&) = delete;
    posix_kind& operator=(const posix_kind&) = delete;
    ~posix_kind() { static_cast<void>(remove()); }
    [[nodiscard]] auto open(const region_options& options = {}, const kith::wait_policy& wait = {}) const {
        return open_posix_region(name, options, wait);
    }
    [[nodiscard]] kith::result<void> remove() const { return unlink_posix_region(name); }
    [[nodiscard]] auto remove_memory() const { return kith::sys::unlink_posix_shm(name); }
    [[nodiscard]] auto guard() const { return posix_region_guard::open(name); }
};

constexpr region_options fresh{.create = creation::must_be_new, .size = 4096};

template <class Kind>
class compose_guarded_region : public testing::Test {
public:
    // Says, where nobody else does, that a killed holder is dead.
    static void bury(auto& region) {
        if constexpr (!Kind::lock_comes_back) {
            EXPECT_TRUE(ok(region.guard().release_for_dead()));
        }
    }
    Kind kind;
};
using kinds = testing::Types<sysv_kind, posix_kind>;
TYPED_TEST_SUITE(compose_guarded_region, kinds);

std::uint64_t number_in(kith::byte_view bytes) {
    std::uint64_t number = 0;
    std::memcpy(&number, bytes.data(), sizeof number);
    return number;
}
void put_number(kith::byte_span bytes, std::uint64_t number) { std::memcpy(bytes.data(), &number, sizeof number); }

TYPED_TEST(compose_guarded_region, guarded_region_two_processes_that_increment_under_the_lock_lose_nothing) {
    constexpr std::uint64_t rounds = 5000;
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    const auto increment = [&](auto& mine) {
        for (std::uint64_t i = 0; i < rounds; ++i) {
            auto change = mine.change(deadline::in(60s));
            if (!change) return false;
            put_number(change->bytes(), number_in(change->bytes()) + 1);
            if (!change->commit()) return false;
        }
        return true;
    };
    child other{[&] {
        auto mine = this->kind.open({.size = 4096});
        CHILD_CHECK(mine);
        return increment(*mine) ? 0 : 1;
    }};
    EXPECT_TRUE(increment(*region));
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(number_in(region->read()->view()), 2 * rounds);
}

TYPED_TEST(compose_guarded_region, guarded_region_the_first_one_in_writes_the_first_contents) {
    auto region = this->kind.open({.create = creation::create_or_open, .size = 100});
    ASSERT_TRUE(ok(region));
    EXPECT_EQ(region->read()->found(), contents::never_written);
    {
        const auto change = region->change();
        ASSERT_TRUE(ok(change));
        EXPECT_EQ(change->found(), contents::never_written);
        EXPECT_EQ(change->bytes().size(), 100u);
    }  // gave up
    auto change = region->change();
    EXPECT_EQ(change->found(), contents::never_written);
    change->bytes()[0] = std::byte{1};
    ASSERT_TRUE(ok(change->commit()));
    EXPECT_TRUE(change->bytes().empty());
    EXPECT_TRUE(fails_with(change->commit(), errc::invalid));
    EXPECT_EQ(region->read()->found(), contents::valid);
    auto again = this->kind.open({.create = creation::create_or_open, .size = 100});
    ASSERT_TRUE(ok(again));
    EXPECT_EQ(again->change()->found(), contents::valid);
}

TYPED_TEST(compose_guarded_region, guarded_region_a_holder_killed_inside_leaves_half_changed) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    ASSERT_TRUE(ok(region->change()->commit()));
    child victim{[&] {
        auto mine = this->kind.open();
        auto change = mine->change();
        change->bytes()[0] = std::byte{1};  // the first of two bytes that belong together
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(victim.wait(), 128 + SIGKILL);
    if (!TypeParam::lock_comes_back) {
        EXPECT_TRUE(fails_with(region->change(deadline::in(5ms)), errc::timed_out));
    }
    this->bury(*region);
    EXPECT_EQ(region->read(deadline::in(10s))->found(), contents::half_changed);
    auto repair = region->change(deadline::in(10s));
    ASSERT_TRUE(ok(repair));
    EXPECT_EQ(repair->found(), contents::half_changed);
    EXPECT_EQ(repair->bytes()[0], std::byte{1});
    repair->bytes()[0] = std::byte{0};
    ASSERT_TRUE(ok(repair->commit()));
    EXPECT_EQ(region->read()->found(), contents::valid);
}

TYPED_TEST(compose_guarded_region, guarded_region_several_deaths_need_one_repair) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    ASSERT_TRUE(ok(region->change()->commit()));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(child{[&] {
                      auto change = region->change(deadline::in(10s));
                      CHILD_CHECK(change);
                      ::raise(SIGKILL);
                      return 0;
                  }}.wait(),
                  128 + SIGKILL);
        this->bury(*region);
    }
    EXPECT_EQ(region->read(deadline::in(10s))->found(), contents::half_changed);
    ASSERT_TRUE(ok(region->change()->commit()));
    EXPECT_EQ(region->read()->found(), contents::valid);
}

TYPED_TEST(compose_guarded_region, guarded_region_a_reader_killed_inside_spoils_nothing) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    ASSERT_TRUE(ok(region->change()->commit()));
    child victim{[&] {
        const auto look = region->read();
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(victim.wait(), 128 + SIGKILL);
    this->bury(*region);
    EXPECT_EQ(region->change(deadline::in(10s))->found(), contents::valid);
}

TYPED_TEST(compose_guarded_region, guarded_region_a_scope_dropped_without_commit_counts_as_half_changed) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    ASSERT_TRUE(ok(region->change()->commit()));
    ASSERT_TRUE(ok(region->change()->leave_unchanged()));
    EXPECT_EQ(region->read()->found(), contents::valid);
    {
        const auto change = region->change();
    }
    EXPECT_EQ(region->read()->found(), contents::half_changed);
    ASSERT_TRUE(ok(region->change()->leave_unchanged()));
    EXPECT_EQ(region->read()->found(), contents::half_changed);
}

TYPED_TEST(compose_guarded_region, guarded_region_only_one_is_inside_and_the_others_keep_their_deadlines) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    auto change = region->change();
    ASSERT_TRUE(ok(change));
    child other{[&] {
        auto mine = this->kind.guard();
        CHILD_CHECK(mine);
        CHILD_CHECK(fails_with(mine->enter(entry_purpose::changing, deadline::immediate()), errc::would_block));
        CHILD_CHECK(fails_with(mine->enter(entry_purpose::reading, deadline::in(10ms)), errc::timed_out));
        CHILD_CHECK(fails_with(this->kind.open({}, deadline::in(10ms)), errc::timed_out));
        return 0;
    }};
    EXPECT_EQ(other.wait(), 0);
    ASSERT_TRUE(ok(change->commit()));
    EXPECT_TRUE(ok(region->change(deadline::immediate())));
}

TYPED_TEST(compose_guarded_region, guarded_region_without_the_lock_the_memory_has_to_be_asked_for_by_name) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    static_assert(!requires { region->bytes(); } && !requires { region->view(); } && !requires { region->data(); });
    region->unsynchronised()[7] = std::byte{7};
    EXPECT_EQ(std::as_const(*region).unsynchronised()[7], std::byte{7});
    EXPECT_EQ(region->read()->view()[7], std::byte{7});
}

TYPED_TEST(compose_guarded_region, guarded_region_memory_made_anew_behind_an_old_guard_is_never_written) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    ASSERT_TRUE(ok(region->change()->commit()));
    ASSERT_TRUE(ok(this->kind.remove_memory()));
    auto again = this->kind.open({.create = creation::create_or_open, .size = 4096});
    ASSERT_TRUE(ok(again));
    EXPECT_EQ(again->read()->found(), contents::never_written);
}

TYPED_TEST(compose_guarded_region, guarded_region_a_failed_open_leaves_nothing_of_its_own) {
    EXPECT_TRUE(fails_with(this->kind.open(), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(this->kind.open({.create = creation::must_be_new}), errc::invalid));  // no size
    EXPECT_TRUE(fails_with(this->kind.remove(), errc::not_found));
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    EXPECT_TRUE(fails_with(this->kind.open(fresh), errc::exists, EEXIST));
    EXPECT_TRUE(fails_with(this->kind.open({.size = 100}), errc::wrong_size));
    EXPECT_TRUE(ok(this->kind.open({.size = 4096})));  // the failures left the lock free
    ASSERT_TRUE(ok(this->kind.remove()));
    EXPECT_TRUE(fails_with(this->kind.open(), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(this->kind.remove(), errc::not_found));
}

TYPED_TEST(compose_guarded_region, guarded_region_moved_scopes_give_the_lock_back_once) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    {
        auto one = std::move(*region->change());
        auto two = std::move(one);
        EXPECT_TRUE(one.bytes().empty());  // NOLINT(bugprone-use-after-move): that is what is shown
        ASSERT_TRUE(ok(two.commit()));
    }
    {
        auto look = std::move(*region->read());
        EXPECT_EQ(look.found(), contents::valid);
    }
    const auto held = region->change();
    EXPECT_TRUE(fails_with(region->read(deadline::immediate()), errc::would_block));
}

TYPED_TEST(compose_guarded_region, guarded_region_a_forked_child_gives_nothing_back) {
    auto region = this->kind.open(fresh);
    ASSERT_TRUE(ok(region));
    auto change = region->change();
    child kin{[&] {
        auto look = std::move(*change);
        CHILD_CHECK(fails_with(look.commit(), errc::forked));
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_TRUE(fails_with(region->read(deadline::immediate()), errc::would_block));
    ASSERT_TRUE(ok(change->commit()));
    EXPECT_EQ(region->read()->found(), contents::valid);
}

TEST(compose_sysv_region, sysv_region_the_convention_is_what_its_page_says) {
    const sysv_kind kind;
    auto region = kind.open(fresh);
    ASSERT_TRUE(ok(region));
    const int set = ::semget(kind.key.value(), 0, 0);
    ASSERT_GE(set, 0);
    const auto values = [&] { return std::array{::semctl(set, 0, GETVAL), ::semctl(set, 1, GETVAL)}; };
    EXPECT_EQ(values(), (std::array{1, 1000}));
    {
        auto change = region->change();
        EXPECT_EQ(values(), (std::array{0, 1001}));
        ASSERT_TRUE(ok(change->commit()));
    }
    EXPECT_EQ(values(), (std::array{1, 0}));
    {
        const auto look = region->read();
        EXPECT_EQ(values(), (std::array{0, 0}));
    }
    // Another program, with nothing but semop: it takes part, and its death is seen.
    child program{[&] {
        std::array<sembuf, 2> enter{{{0, -1, SEM_UNDO}, {1, 1, 0}}};
        CHILD_CHECK(::semop(set, enter.data(), 2) == 0);
        const int id = ::shmget(kind.key.value(), 0, 0);
        auto* const memory = static_cast<char*>(::shmat(id, nullptr, 0));
        std::strcpy(memory, "plain");
        std::array<sembuf, 2> leave{{{0, 1, SEM_UNDO}, {1, -1, IPC_NOWAIT}}};
        CHILD_CHECK(::semop(set, leave.data(), 2) == 0);
        return 0;
    }};
    EXPECT_EQ(program.wait(), 0);
    EXPECT_EQ(kith::text_of(region->read()->view().first(5)), "plain");
    EXPECT_EQ(region->read()->found(), contents::valid);
}

TEST(compose_sysv_region, sysv_region_removal_ends_waits_and_is_told_to_the_holder) {
    const sysv_kind kind;
    auto region = kind.open(fresh);
    ASSERT_TRUE(ok(region));
    auto change = region->change();
    child waiter{[&] {
        CHILD_CHECK(fails_with(region->change(), errc::removed, EIDRM));
        return 0;
    }};
    wait_until_in_syscall(waiter.pid(), std::vector<long>{SYS_semop, SYS_semtimedop});
    ASSERT_TRUE(ok(kind.remove()));
    EXPECT_EQ(waiter.wait(), 0);
    EXPECT_TRUE(fails_with(change->commit(), errc::removed));
    EXPECT_TRUE(fails_with(region->read(), errc::removed));
}

TEST(compose_sysv_region, sysv_region_who_breaks_the_convention_keeps_nobody_waiting) {
    const sysv_kind kind;
    auto region = kind.open(fresh);
    ASSERT_TRUE(ok(region));
    auto change = region->change();
    ASSERT_TRUE(ok(region->guard().native().set_value(1, 0)));  // somebody resets the count under the holder
    EXPECT_TRUE(fails_with(change->commit(), errc::io, EAGAIN));
    EXPECT_TRUE(ok(region->change(deadline::immediate())));
}

TEST(compose_sysv_region, sysv_region_has_no_private_key) {
    EXPECT_TRUE(fails_with(open_sysv_region(sysv_key::private_object(), fresh), errc::invalid));
}

TEST(compose_posix_region, posix_region_the_convention_is_what_its_page_says) {
    const posix_kind kind;
    auto region = kind.open(fresh);
    ASSERT_TRUE(ok(region));
    sem_t* const lock = ::sem_open(kind.name.c_str(), 0);
    sem_t* const changes = ::sem_open((kind.name + ".changes").c_str(), 0);
    ASSERT_NE(lock, SEM_FAILED);
    ASSERT_NE(changes, SEM_FAILED);
    const auto values = [&] {
        std::array<int, 2> found{};
        ::sem_getvalue(lock, &found[0]);
        ::sem_getvalue(changes, &found[1]);
        return found;
    };
    EXPECT_EQ(values(), (std::array{1, 1000}));
    {
        auto change = region->change();
        EXPECT_EQ(values(), (std::array{0, 1001}));
        ASSERT_TRUE(ok(change->commit()));
    }
    EXPECT_EQ(values(), (std::array{1, 0}));
    {
        const auto given_up = region->change();
    }
    EXPECT_EQ(values(), (std::array{1, 1}));
    ::sem_close(lock);
    ::sem_close(changes);
}

TEST(compose_posix_region, posix_region_release_for_dead_needs_a_lock_that_is_taken) {
    const posix_kind kind;
    auto region = kind.open(fresh);
    ASSERT_TRUE(ok(region));
    EXPECT_TRUE(fails_with(region->guard().release_for_dead(), errc::invalid));
    EXPECT_TRUE(fails_with(posix_region_guard::open(std::string(244, 'x')), errc::too_long));
    EXPECT_TRUE(fails_with(unlink_posix_region_guard(std::string(244, 'x')), errc::too_long));
}

TEST(compose_posix_region, posix_shm_a_region_whose_memory_cannot_be_made_leaves_no_semaphores) {
    const posix_kind kind;
    for (const auto create : {creation::create_or_open, creation::must_be_new}) {
        const auto failed = kind.open({.create = create, .size = std::size_t{1} << 62});
        EXPECT_FALSE(failed);
        EXPECT_TRUE(fails_with(kind.guard(), errc::not_found));
        EXPECT_TRUE(fails_with(kith::sys::posix_shm::open(kind.name), errc::not_found));
    }
    std::stop_source source;
    source.request_stop();
    const auto token = source.get_token();
    EXPECT_TRUE(fails_with(kind.open(fresh, {deadline::never(), token}), errc::stopped));
    EXPECT_TRUE(fails_with(kind.guard(), errc::not_found));
    // Those that were there stay.
    const auto kept = posix_region_guard::open(kind.name, {.create = creation::must_be_new});
    ASSERT_TRUE(ok(kept));
    EXPECT_FALSE(kind.open({.create = creation::create_or_open, .size = std::size_t{1} << 62}));
    EXPECT_TRUE(ok(kind.guard()));
}

TEST(compose_posix_region, posix_shm_who_waited_at_semaphores_that_were_taken_back_begins_anew) {
    const posix_kind kind;
    auto guard = posix_region_guard::open(kind.name, {.create = creation::must_be_new});
    ASSERT_TRUE(ok(guard));
    const auto inside = guard->enter(entry_purpose::changing);
    ASSERT_TRUE(ok(inside));
    child waiter{[&] {
        auto region = kind.open({.create = creation::create_or_open, .size = 4096});
        CHILD_CHECK(region);
        // Its lock is the one that everybody finds, not the one it waited at.
        auto found = kind.guard();
        CHILD_CHECK(found);
        const auto held = found->enter(entry_purpose::changing);
        CHILD_CHECK(held);
        CHILD_CHECK(!region->change(deadline::immediate()));
        CHILD_CHECK(found->leave(*held, contents::valid));
        return 0;
    }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    // As one does whose memory cannot be made.
    ASSERT_TRUE(ok(unlink_posix_region_guard(kind.name)));
    ASSERT_TRUE(ok(guard->leave(*inside, inside->found)));
    EXPECT_EQ(waiter.wait(), 0);
}

}  // namespace
