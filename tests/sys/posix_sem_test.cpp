// POSIX semaphores, named and in shared memory: SEMANTICS N1-N8, the rules for all mechanisms, and the classic traps.
#include <kith/observer.hpp>
#include <kith/sys/posix_sem.hpp>

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/shared_memory.hpp"
#include "support/syscall.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::on_signal;
using namespace kith::sys;

// A name that is removed at the end of the test, whatever happened.
class test_name {
public:
    explicit test_name(std::string name = std::string{"/"}.append(unique_name("sem"))) : name_{std::move(name)} {}
    ~test_name() { ::sem_unlink(name_.c_str()); }
    test_name(const test_name&) = delete;
    test_name& operator=(const test_name&) = delete;
    [[nodiscard]] posix_sem make(unsigned value = 0, unsigned mode = 0600) const {
        auto made = posix_sem::open(name_, {.create = creation::must_be_new, .value = value, .mode = mode});
        EXPECT_TRUE(ok(made));
        return std::move(*made);
    }
    [[nodiscard]] std::string file() const { return "/dev/shm/sem." + name_.substr(1); }
    operator std::string_view() const { return name_; }  // NOLINT(google-explicit-constructor)
    [[nodiscard]] const std::string& text() const { return name_; }

private:
    std::string name_;
};

// A place for an unnamed semaphore that children share.
struct place {
    alignas(unnamed_sem) std::byte bytes[sizeof(unnamed_sem)];
};

TEST(sys_posix_sem, posix_sem_N1_the_name_is_a_file_of_32_bytes_in_dev_shm) {
    const test_name name;
    const auto sem = name.make(3);
    struct stat file{};
    ASSERT_EQ(::stat(name.file().c_str(), &file), 0);
    EXPECT_EQ(file.st_size, 32);
    EXPECT_EQ(*sem.value(), 3);
}

TEST(sys_posix_sem, posix_sem_N1_names_with_and_without_the_slash_are_one_and_bad_ones_are_refused) {
    const test_name name;
    const auto sem = name.make(5);
    const auto bare = posix_sem::open(name.text().substr(1));
    ASSERT_TRUE(ok(bare));
    EXPECT_EQ(*bare->value(), 5);
    for (const std::string bad : {"", "/", "/a/b", "a/b", "//a"})
        EXPECT_TRUE(fails_with(posix_sem::open(bad, {.create = creation::create_or_open}), errc::invalid, EINVAL))
            << bad;
    EXPECT_TRUE(fails_with(posix_sem::open(std::string_view{"/a\0b", 4}), errc::invalid, EINVAL));
}

TEST(sys_posix_sem, posix_sem_N1_a_name_may_have_251_bytes_and_no_more) {
    std::string longest{"/"};
    longest.append(unique_name("")).append(251, 'x');
    const test_name name{longest.substr(0, 252)};
    const auto sem = name.make(1);
    EXPECT_TRUE(ok(sem.wait()));
    EXPECT_TRUE(fails_with(posix_sem::open(longest.substr(0, 253), {.create = creation::create_or_open}),
                           errc::too_long, ENAMETOOLONG));
    EXPECT_TRUE(fails_with(unlink_posix_sem(longest.substr(0, 253)), errc::too_long, ENAMETOOLONG));
}

TEST(sys_posix_sem, posix_sem_N1_opening_follows_the_policy_and_leaves_a_found_value_alone) {
    const test_name name;
    EXPECT_TRUE(fails_with(posix_sem::open(name), errc::not_found, ENOENT));
    const auto made = posix_sem::open(name, {.create = creation::create_or_open, .value = 2, .mode = 0600});
    ASSERT_TRUE(ok(made));
    EXPECT_TRUE(fails_with(posix_sem::open(name, {.create = creation::must_be_new}), errc::exists, EEXIST));
    const auto found = posix_sem::open(name, {.create = creation::create_or_open, .value = 9, .mode = 0666});
    ASSERT_TRUE(ok(found));
    EXPECT_EQ(*found->value(), 2);
    struct stat file{};
    ASSERT_EQ(::stat(name.file().c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0600u);
    EXPECT_TRUE(ok(posix_sem::open(name)));
}

TEST(sys_posix_sem, posix_sem_N1_a_first_value_above_the_maximum_is_refused) {
    const test_name name;
    for (const auto how : {creation::must_be_new, creation::create_or_open})
        EXPECT_TRUE(fails_with(posix_sem::open(name, {.create = how, .value = 0x80000000U}), errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(posix_sem::open(name), errc::not_found));
    EXPECT_EQ(*name.make(posix_sem_max_value).value(), 2147483647);
}

TEST(sys_posix_sem, posix_sem_N1_processes_that_race_to_create_see_the_value) {
    for (int round = 0; round < 20; ++round) {
        const test_name name;
        std::vector<child> racers;
        for (int i = 0; i < 4; ++i)
            racers.emplace_back([&] {
                const auto sem = posix_sem::open(name, {.create = creation::create_or_open, .value = 4});
                CHILD_CHECK(sem);
                CHILD_CHECK(sem->wait(deadline::immediate()));  // each finds its own
                return 0;
            });
        for (auto& one : racers) EXPECT_EQ(one.wait(), 0);
        EXPECT_EQ(*posix_sem::open(name)->value(), 0);
    }
}

TEST(sys_posix_sem, posix_sem_N1_other_users_need_to_read_and_to_write) {
    NEEDS_ROOT();
    const struct no_umask {
        mode_t before = ::umask(0);
        ~no_umask() { ::umask(before); }
    } none;
    for (const unsigned mode : {0604U, 0602U, 0600U}) {
        const test_name name;
        const auto sem = name.make(1, mode);
        EXPECT_EQ(0, as_nobody([&] {
                      const auto refused = posix_sem::open(name);
                      CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted &&
                                  refused.error().os_error() == EACCES);
                      return 0;
                  }));
    }
    const test_name name;
    const auto sem = name.make(1, 0606);
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(posix_sem::open(name)->wait());
                  const auto refused = unlink_posix_sem(name);  // /dev/shm is sticky
                  CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted);
                  return 0;
              }));
}

TEST(sys_posix_sem, posix_sem_N1_a_file_that_is_no_semaphore_is_refused) {
    const test_name name;
    for (const std::string content : {"", "no", "a file that is longer than 32 bytes, all text"}) {
        std::ofstream{name.file(), std::ios::trunc} << content;
        EXPECT_TRUE(fails_with(posix_sem::open(name), errc::wrong_size));
        EXPECT_TRUE(fails_with(posix_sem::open(name, {.create = creation::create_or_open}), errc::wrong_size));
    }
    ASSERT_TRUE(ok(unlink_posix_sem(name)));
    ASSERT_EQ(::mkfifo(name.file().c_str(), 0600), 0);
    EXPECT_TRUE(fails_with(posix_sem::open(name), errc::wrong_kind, ENODEV));
}

TEST(sys_posix_sem, posix_sem_G1_the_ways_to_fail_are_told_apart_and_name_the_object) {
    const test_name name;
    const auto absent = posix_sem::open(name);
    ASSERT_TRUE(fails_with(absent, errc::not_found, ENOENT));
    EXPECT_EQ(absent.error().object(), kith::object_ref::name(name));
    EXPECT_STREQ(absent.error().operation(), "sem_open");
    const auto sem = name.make();
    EXPECT_TRUE(fails_with(sem.wait(deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with(sem.wait(deadline::in(1ms)), errc::timed_out, ETIMEDOUT));
}

TEST(sys_posix_sem, posix_sem_N2_objects_of_one_name_share_the_semaphore_and_count_as_openings) {
    const test_name name;
    auto first = name.make(1);
    auto second = *posix_sem::open(name);
    EXPECT_EQ(first.native(), second.native());
    first.close();
    EXPECT_FALSE(first.is_open());
    EXPECT_TRUE(ok(second.wait()));  // still mapped
    EXPECT_TRUE(fails_with(first.wait(), errc::invalid, EBADF));
    EXPECT_TRUE(fails_with(first.post(), errc::invalid, EBADF));
    EXPECT_TRUE(fails_with(first.value(), errc::invalid, EBADF));
    auto moved = std::move(second);
    EXPECT_FALSE(second.is_open());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(ok(moved.post()));
    moved = *posix_sem::open(name);
    EXPECT_EQ(*moved.value(), 1);
}

TEST(sys_posix_sem, posix_sem_N3_a_post_at_the_maximum_is_refused) {
    const test_name name;
    const auto sem = name.make(posix_sem_max_value);
    EXPECT_TRUE(fails_with(sem.post(), errc::invalid, EOVERFLOW));
    EXPECT_EQ(*sem.value(), 2147483647);
}

TEST(sys_posix_sem, posix_sem_N3_a_signal_handler_may_post) {
    const test_name name;
    static const posix_sem* posted;
    const auto sem = name.make();
    posted = &sem;
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = [](int) { [[maybe_unused]] const auto done = posted->post(); };
    ::sigaction(SIGUSR1, &action, &before);
    ::raise(SIGUSR1);
    EXPECT_TRUE(ok(sem.wait(deadline::immediate())));
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(sys_posix_sem, posix_sem_trap22_a_killed_holder_never_gives_back) {
    const test_name name;
    const auto sem = name.make(1);
    child holder{[&] {
        CHILD_CHECK(sem.wait());
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(holder.wait(), 128 + SIGKILL);
    EXPECT_TRUE(fails_with(sem.wait(deadline::in(20ms)), errc::timed_out, ETIMEDOUT));  // N4
    EXPECT_EQ(*sem.value(), 0);
}

TEST(sys_posix_sem, posix_sem_N4_there_is_no_undo_at_an_orderly_end_either) {
    const test_name name;
    const auto sem = name.make(1);
    child taker{[&] { return sem.wait() ? 0 : 1; }};
    EXPECT_EQ(taker.wait(), 0);
    EXPECT_TRUE(fails_with(sem.wait(deadline::immediate()), errc::would_block, EAGAIN));
}

TEST(sys_posix_sem, posix_sem_N5_the_value_is_never_negative) {
    const test_name name;
    const auto sem = name.make();
    child waiter{[&] { return sem.wait() ? 0 : 1; }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    EXPECT_EQ(*sem.value(), 0);
    ASSERT_TRUE(ok(sem.post()));
    EXPECT_EQ(waiter.wait(), 0);
    EXPECT_EQ(*sem.value(), 0);
}

TEST(sys_posix_sem, posix_sem_N6_an_unlinked_semaphore_goes_on_where_it_is_open) {
    const test_name name;
    const auto old = name.make(1);
    ASSERT_TRUE(ok(unlink_posix_sem(name)));
    EXPECT_TRUE(fails_with(posix_sem::open(name), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(unlink_posix_sem(name), errc::not_found, ENOENT));
    EXPECT_TRUE(ok(old.wait()));
    EXPECT_TRUE(ok(old.post()));
    const auto fresh = name.make(7);
    EXPECT_EQ(*old.value(), 1);
    EXPECT_EQ(*fresh.value(), 7);
}

TEST(sys_posix_sem, posix_sem_N7_an_unnamed_semaphore_works_between_processes) {
    const shared<place> memory;
    const auto sem = unnamed_sem::create_at(memory.bytes(), 0);
    ASSERT_TRUE(ok(sem));
    child poster{[&] {
        const auto same = unnamed_sem::at(memory.bytes());
        CHILD_CHECK(same);
        CHILD_CHECK((*same)->post() && (*same)->post());
        return 0;
    }};
    EXPECT_TRUE(ok((*sem)->wait(deadline::in(60s))));
    EXPECT_TRUE(ok((*sem)->wait()));
    EXPECT_EQ(poster.wait(), 0);
    EXPECT_EQ(*(*sem)->value(), 0);
    EXPECT_TRUE(fails_with((*sem)->wait(deadline::immediate()), errc::would_block, EAGAIN));
    EXPECT_TRUE(fails_with((*sem)->wait(deadline::in(5ms)), errc::timed_out, ETIMEDOUT));
    (*sem)->destroy();
}

TEST(sys_posix_sem, posix_sem_N7_an_unnamed_semaphore_needs_room_alignment_and_a_value) {
    const shared<std::array<place, 2>> memory;
    const auto bytes = memory.bytes();
    EXPECT_TRUE(fails_with(unnamed_sem::create_at(bytes.first(sizeof(sem_t) - 1), 0), errc::wrong_size));
    EXPECT_TRUE(fails_with(unnamed_sem::at(bytes.first(1)), errc::wrong_size));
    EXPECT_TRUE(fails_with(unnamed_sem::create_at(bytes.subspan(1), 0), errc::invalid));
    EXPECT_TRUE(fails_with(unnamed_sem::at(bytes.subspan(2)), errc::invalid));
    EXPECT_TRUE(fails_with(unnamed_sem::create_at(bytes, 0x80000000U), errc::invalid, EINVAL));
    static_assert(!std::is_copy_constructible_v<unnamed_sem> && !std::is_move_constructible_v<unnamed_sem>);
    static_assert(!std::is_copy_constructible_v<posix_sem>);
    const auto full = unnamed_sem::create_at(bytes, posix_sem_max_value);
    EXPECT_TRUE(fails_with((*full)->post(), errc::invalid, EOVERFLOW));
}

TEST(sys_posix_sem, posix_sem_N8_G2_signals_do_not_shorten_or_break_a_wait) {
    const test_name name;
    const auto sem = name.make();
    const shared<place> memory;
    auto& unnamed = **unnamed_sem::create_at(memory.bytes(), 0);
    for (const bool restart : {false, true}) {
        const signal_storm storm{2ms, restart};
        const auto before = deadline::clock::now();
        EXPECT_TRUE(fails_with(sem.wait(deadline::in(40ms)), errc::timed_out, ETIMEDOUT));
        EXPECT_TRUE(fails_with(unnamed.wait(deadline::in(40ms)), errc::timed_out, ETIMEDOUT));
        EXPECT_GE(deadline::clock::now() - before, 80ms);
        // A timed wait is interrupted even with SA_RESTART.
        EXPECT_TRUE(fails_with(sem.wait({deadline::in(60s), on_signal::report}), errc::stopped, EINTR));
        EXPECT_TRUE(fails_with(unnamed.wait({deadline::in(60s), on_signal::report}), errc::stopped, EINTR));
    }
}

TEST(sys_posix_sem, posix_sem_trap07_a_wait_without_deadline_survives_signals) {
    const shared<place> memory;
    auto& sem = **unnamed_sem::create_at(memory.bytes(), 0);
    child waiter{[&] {
        const signal_storm storm;
        CHILD_CHECK(sem.wait());
        CHILD_CHECK(signal_storm::count() > 0);
        return 0;
    }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    std::this_thread::sleep_for(20ms);  // some signals; none of them may end the wait
    EXPECT_FALSE(waiter.poll());
    ASSERT_TRUE(ok(sem.post()));
    EXPECT_EQ(waiter.wait(), 0);
}

TEST(sys_posix_sem, posix_sem_G3_trap14_a_wait_is_measured_on_the_monotonic_clock) {
    const shared<place> memory;
    auto& sem = **unnamed_sem::create_at(memory.bytes(), 0);
    const auto before = deadline::clock::now().time_since_epoch();
    child waiter{[&] { return sem.wait(deadline::in(100s)) ? 0 : 1; }};
    wait_until_in_syscall(waiter.pid(), SYS_futex);
    const auto call = sleeping_in(waiter.pid());
    ASSERT_TRUE(call);
    EXPECT_EQ(static_cast<int>(call->arguments[1]) & FUTEX_CMD_MASK, FUTEX_WAIT_BITSET);
    EXPECT_EQ(static_cast<int>(call->arguments[1]) & FUTEX_CLOCK_REALTIME, 0);
    const auto end = time_at(waiter.pid(), call->arguments[3]);
    EXPECT_GE(std::chrono::seconds{end.tv_sec + 1}, before + 100s);
}

TEST(sys_posix_sem, posix_sem_G3_a_deadline_in_the_past_takes_what_is_there) {
    const test_name name;
    const auto sem = name.make(1);
    EXPECT_TRUE(ok(sem.wait(deadline::at({}))));
    EXPECT_TRUE(fails_with(sem.wait(deadline::at({})), errc::timed_out, ETIMEDOUT));
}

TEST(sys_posix_sem, posix_sem_G4_and_no_descriptor_is_kept) {
    const int before = open_descriptors();
    const test_name name;
    const auto sem = name.make(1);
    EXPECT_EQ(open_descriptors(), before);
}

TEST(sys_posix_sem, posix_sem_G8_names_belong_to_the_mount_namespace) {
    const test_name name;
    const auto sem = name.make(1);
    const int status = in_namespaces(CLONE_NEWNS, [&] {
        if (::mount("tmpfs", "/dev/shm", "tmpfs", 0, nullptr) != 0) return 77;
        const auto hidden = posix_sem::open(name);
        CHILD_CHECK(!hidden && hidden.error().code() == errc::not_found);
        CHILD_CHECK(sem.wait());  // open ones go on
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no mounts here";
    EXPECT_EQ(status, 0);
}

TEST(sys_posix_sem, posix_sem_G8_a_full_dev_shm_is_no_space) {
    const int status = in_namespaces(CLONE_NEWNS, [] {
        if (::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=4k") != 0) return 77;
        std::ofstream{"/dev/shm/filler"} << std::string(4096, 'x') << std::flush;
        const auto full = posix_sem::open("/kith-test-full", {.create = creation::must_be_new});
        CHILD_CHECK(!full && full.error().code() == errc::no_space && full.error().os_error() == ENOSPC);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no mounts here";
    EXPECT_EQ(status, 0);
}

TEST(sys_posix_sem, posix_sem_G9_a_semaphore_outlives_its_creator) {
    const test_name name;
    child creator{[&] {
        CHILD_CHECK(posix_sem::open(name, {.create = creation::must_be_new, .value = 6}));
        ::raise(SIGKILL);
        return 0;
    }};
    creator.wait();
    EXPECT_EQ(*posix_sem::open(name)->value(), 6);
}

TEST(sys_posix_sem, posix_sem_G12_the_umask_applies) {
    const test_name name;
    const auto sem = name.make(0, 0666);  // the umask is 022
    struct stat file{};
    ASSERT_EQ(::stat(name.file().c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0644u);
}

TEST(sys_posix_sem, posix_sem_G13_a_forked_child_uses_the_same_semaphore) {
    const test_name name;
    const auto sem = name.make(0);
    child poster{[&] { return sem.post() ? 0 : 1; }};
    EXPECT_TRUE(ok(sem.wait(deadline::in(60s))));
    EXPECT_EQ(poster.wait(), 0);
}

TEST(sys_posix_sem, posix_sem_close_ends_the_wait_of_another_thread) {
    const test_name name;
    auto sem = name.make();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(fails_with(sem.wait(), errc::stopped, 0));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_futex);
    sem.close();
    EXPECT_FALSE(sem.is_open());
}

TEST(sys_posix_sem, posix_sem_a_forked_child_may_close_its_copy_while_a_thread_of_the_parent_waits) {
    const test_name name;
    auto sem = name.make();
    std::atomic<pid_t> tid{0};
    std::jthread waiter{[&] {
        tid = static_cast<pid_t>(::syscall(SYS_gettid));
        EXPECT_TRUE(ok(sem.wait()));
    }};
    while (tid == 0) std::this_thread::yield();
    wait_until_thread_in_syscall(tid, SYS_futex);
    child closer{[&] {
        CHILD_CHECK(!sem.wait(deadline::in(1ms)));
        sem.close();
        return 0;
    }};
    EXPECT_EQ(closer.wait(), 0);
    EXPECT_TRUE(ok(sem.post()));
}

TEST(sys_posix_sem, posix_sem_a_stop_token_ends_the_wait) {
    const test_name name;
    const auto named = name.make();
    const shared<place> memory;
    auto& unnamed = **unnamed_sem::create_at(memory.bytes(), 0);
    for (const bool by_name : {true, false}) {
        std::atomic<pid_t> tid{0};
        std::jthread waiter{[&](const std::stop_token& stop) {
            tid = static_cast<pid_t>(::syscall(SYS_gettid));
            const kith::wait_policy how{deadline::never(), stop};
            EXPECT_TRUE(fails_with(by_name ? named.wait(how) : unnamed.wait(how), errc::stopped, 0));
            EXPECT_TRUE(fails_with(by_name ? named.wait(how) : unnamed.wait(how), errc::stopped, 0));
        }};
        while (tid == 0) std::this_thread::yield();
        wait_until_thread_in_syscall(tid, SYS_futex);
        waiter.request_stop();
    }
}

TEST(sys_posix_sem, posix_sem_a_sliced_wait_keeps_its_deadline_and_is_told_once) {
    static std::atomic<int> events;
    kith::set_observer(
        [](const kith::event& what, void*) noexcept { events += what.kind == kith::event_kind::polling; });
    const test_name name;
    const auto sem = name.make();
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(sem.wait(deadline::in(70ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 70ms);
    EXPECT_EQ(events, 1);
    kith::set_observer(nullptr);
}

TEST(sys_posix_sem, posix_sem_out_of_descriptors_is_limit_reached) {
    const test_name name;
    const auto sem = name.make();
    child limited{[&] {
        const rlimit none{3, 3};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto refused = posix_sem::open("/kith-test-other");
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

}  // namespace
