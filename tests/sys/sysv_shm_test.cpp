// System V shared memory: SEMANTICS H1 to H6: making segments, attaching and detaching them, and removing them.
#include <kith/sys/sysv_shm.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <fstream>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "sys/segments.hpp"

namespace {

using namespace kith_test;
using kith::errc;
using namespace kith::sys;

TEST(sys_sysv_shm, sysv_shm_H1_another_size_under_the_same_key_is_wrong_size) {
    const auto key = fresh_key();
    segment shm{made(key, 5000)};
    for (const auto create : {creation::must_exist, creation::create_or_open}) {
        EXPECT_TRUE(fails_with(sysv_shm::open(key, {.create = create, .size = 5001}), errc::wrong_size));
        EXPECT_TRUE(fails_with(sysv_shm::open(key, {.create = create, .size = 4999}), errc::wrong_size));
        const auto same = sysv_shm::open(key, {.create = create, .size = 5000});
        ASSERT_TRUE(ok(same));
        EXPECT_EQ(same->native_id(), shm->native_id());
        EXPECT_FALSE(same->created());
    }
    EXPECT_EQ(sysv_shm::open(key)->size(), 5000u);
    EXPECT_TRUE(fails_with(sysv_shm::open_id(shm->native_id(), 100), errc::wrong_size));
    EXPECT_EQ(sysv_shm::open_id(shm->native_id())->size(), 5000u);
}

TEST(sys_sysv_shm, sysv_shm_H1_the_creation_policy_is_kept) {
    const auto key = fresh_key();
    EXPECT_TRUE(fails_with(sysv_shm::open(key, {.size = 100}), errc::not_found, ENOENT));
    auto first = sysv_shm::open(key, {.create = creation::create_or_open, .size = 100});
    ASSERT_TRUE(ok(first));
    segment shm{*first};
    EXPECT_TRUE(shm->created());
    EXPECT_TRUE(fails_with(sysv_shm::open(key, {.create = creation::must_be_new, .size = 100}), errc::exists, EEXIST));
}

TEST(sys_sysv_shm, sysv_shm_H1_a_new_segment_of_no_size_or_above_shmmax_is_invalid) {
    EXPECT_TRUE(fails_with(sysv_shm::open(fresh_key(), {.create = creation::create_or_open}), errc::invalid, EINVAL));
    const auto limits = read_sysv_shm_limits();
    ASSERT_TRUE(ok(limits));
    EXPECT_TRUE(fails_with(
        sysv_shm::open(sysv_key::private_object(), {.create = creation::must_be_new, .size = limits->largest + 1}),
        errc::invalid, EINVAL));
}

TEST(sys_sysv_shm, sysv_shm_H1_too_many_segments_is_limit_reached_and_too_many_pages_no_space) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        std::ofstream{"/proc/sys/kernel/shmmni"} << "2" << std::flush;
        const auto key = sysv_key::private_object();
        CHILD_CHECK(sysv_shm::open(key, {.create = creation::must_be_new, .size = 4096}));
        CHILD_CHECK(sysv_shm::open(key, {.create = creation::must_be_new, .size = 4096}));
        CHILD_CHECK(fails_with(sysv_shm::open(key, {.create = creation::must_be_new, .size = 4096}),
                               errc::limit_reached, ENOSPC));
        std::ofstream{"/proc/sys/kernel/shmmni"} << "100" << std::flush;
        std::ofstream{"/proc/sys/kernel/shmall"} << "3" << std::flush;
        CHILD_CHECK(
            fails_with(sysv_shm::open(key, {.create = creation::must_be_new, .size = 8192}), errc::no_space, ENOSPC));
        CHILD_CHECK(sysv_shm::open(key, {.create = creation::must_be_new, .size = 4096}));
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_shm, sysv_shm_H2_memory_is_zero_and_the_size_is_what_was_asked_for) {
    segment shm{made(5000)};
    auto memory = attached(shm.shm);
    EXPECT_EQ(shm->status()->size, 5000u);
    ASSERT_EQ(memory.size(), 5000u);
    EXPECT_TRUE(std::ranges::all_of(memory.view(), [](std::byte b) { return b == std::byte{0}; }));
    // The page's tail is accessible: the overrun is not caught, and the neighbour sees it.
    auto* const tail = reinterpret_cast<volatile char*>(memory.bytes().data()) + 8191;
    *tail = 'x';
    auto again = attached(shm.shm);
    EXPECT_EQ(reinterpret_cast<const volatile char*>(again.view().data())[8191], 'x');
}

TEST(sys_sysv_shm, sysv_shm_H3_two_processes_see_each_others_bytes_by_offset) {
    segment shm{made(8192)};
    auto memory = attached(shm.shm);
    memory.bytes()[100] = std::byte{7};
    child other{[&] {
        memory = sysv_attachment{};
        // Something else takes the old place, so that the kernel must choose another.
        const auto here = shm->attach();
        CHILD_CHECK(here && here->view()[100] == std::byte{7});
        auto there = attached(shm.shm);
        CHILD_CHECK(there.view().data() != here->view().data());
        there.bytes()[101] = std::byte{8};
        return 0;
    }};
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(memory.view()[101], std::byte{8});
}

TEST(sys_sysv_shm, sysv_shm_H3_an_address_must_be_at_a_page_or_rounded_down) {
    segment shm{made(4096)};
    void* const place = ::mmap(nullptr, 16384, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(place, MAP_FAILED);
    auto* const free = static_cast<std::byte*>(place) + 4096;
    ::munmap(free, 8192);
    EXPECT_TRUE(fails_with(shm->attach({.address = free + 100}), errc::invalid, EINVAL));
    {
        const auto rounded = attached(shm.shm, {.address = free + 100, .round_down = true});
        EXPECT_EQ(rounded.view().data(), free);
        EXPECT_TRUE(fails_with(shm->attach({.address = free}), errc::invalid, EINVAL));  // taken
        const auto replaced = attached(shm.shm, {.address = free, .replace = true});
        EXPECT_EQ(replaced.view().data(), free);
    }
    ::munmap(place, 16384);
}

TEST(sys_sysv_shm, sysv_shm_H3_a_read_only_attachment_offers_nothing_to_write_and_a_write_is_SIGSEGV) {
    segment shm{made(4096)};
    auto memory = attached(shm.shm, {.access = memory_access::read_only});
    EXPECT_FALSE(memory.writable());
    EXPECT_TRUE(memory.bytes().empty());
    ASSERT_EQ(memory.view().size(), 4096u);
    child writer{[&] {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        ::signal(SIGSEGV, SIG_DFL);
        *const_cast<volatile std::byte*>(memory.view().data()) = std::byte{1};
        return 0;
    }};
    EXPECT_EQ(writer.wait(), 128 + SIGSEGV);
}

TEST(sys_sysv_shm, sysv_shm_H3_code_runs_only_from_an_executable_attachment) {
    segment shm{made(sysv_key::private_object(), 4096, {.mode = 0700})};
    // Not in front: sanitizers look at what lies before a function, too.
    constexpr std::size_t at = 64;
    attached(shm.shm).bytes()[at] = std::byte{0xc3};  // return
#if defined(__x86_64__)
    const auto run = [&](bool executable) {
        return child{[&] {
                   const rlimit no_core{0, 0};
                   ::setrlimit(RLIMIT_CORE, &no_core);
                   ::signal(SIGSEGV, SIG_DFL);
                   const auto memory = attached(shm.shm, {.executable = executable});
                   reinterpret_cast<void (*)()>(const_cast<std::byte*>(memory.view().data() + at))();
                   return 0;
               }}
            .wait();
    };
    EXPECT_EQ(run(true), 0);
    EXPECT_EQ(run(false), 128 + SIGSEGV);
#endif
}

TEST(sys_sysv_shm, sysv_shm_H4_nattch_counts_attachments_and_follows_fork_exec_exit_and_kill) {
    segment shm{made(4096)};
    auto one = attached(shm.shm);
    {
        auto two = attached(shm.shm);
        EXPECT_EQ(attachments(shm.shm), 2u);
        child kin{[] {
            ::pause();
            return 0;
        }};
        wait_until_in_syscall(kin.pid(), {
#ifdef SYS_pause
                                             SYS_pause,
#endif
                                             SYS_ppoll});
        EXPECT_EQ(attachments(shm.shm), 4u);
        kin.kill_and_reap();
        EXPECT_EQ(attachments(shm.shm), 2u);
    }
    EXPECT_EQ(attachments(shm.shm), 1u);
    auto program = child::exec({"sleep", "100"});
    wait_until_in_syscall(program.pid(), {SYS_clock_nanosleep, SYS_nanosleep});
    EXPECT_EQ(attachments(shm.shm), 1u);  // exec detached
    program.kill_and_reap();
    EXPECT_EQ(child{[] { return 0; }}.wait(), 0);
    EXPECT_EQ(attachments(shm.shm), 1u);  // exit detached
}

TEST(sys_sysv_shm, sysv_shm_H4_detaching_twice_is_nothing_and_a_place_that_is_gone_is_EINVAL) {
    segment shm{made(4096)};
    auto memory = attached(shm.shm);
    EXPECT_TRUE(ok(memory.detach()));
    EXPECT_TRUE(ok(memory.detach()));
    EXPECT_TRUE(memory.view().empty());
    EXPECT_FALSE(memory.is_attached());
    auto taken = attached(shm.shm);
    ::shmdt(taken.view().data());
    EXPECT_TRUE(fails_with(taken.detach(), errc::invalid, EINVAL));
}

TEST(sys_sysv_shm, sysv_shm_H4_moving_an_attachment_detaches_once) {
    segment shm{made(4096)};
    auto one = attached(shm.shm);
    auto two = attached(shm.shm);
    two = std::move(one);
    EXPECT_EQ(attachments(shm.shm), 1u);
    EXPECT_EQ(two.size(), 4096u);
    {
        const auto three = std::move(two);
    }
    EXPECT_EQ(attachments(shm.shm), 0u);
}

TEST(sys_sysv_shm, sysv_shm_H5_a_removed_segment_lives_until_the_last_detach_and_is_found_by_id_only) {
    const auto key = fresh_key();
    segment shm{made(key, 4096)};
    auto memory = attached(shm.shm);
    memory.bytes()[0] = std::byte{42};
    ASSERT_TRUE(ok(shm->remove()));
    const auto status = shm->status();
    ASSERT_TRUE(ok(status));
    EXPECT_TRUE(status->marked_for_removal);
    EXPECT_TRUE(status->key.is_private());
    EXPECT_TRUE(fails_with(sysv_shm::open(key), errc::not_found, ENOENT));
    {
        const auto by_id = sysv_shm::open_id(shm->native_id(), 4096);
        ASSERT_TRUE(ok(by_id));
        EXPECT_EQ(attached(*by_id).view()[0], std::byte{42});
        // The key is free: a new segment takes it, with other contents.
        segment other{made(key, 4096)};
        EXPECT_NE(other->native_id(), shm->native_id());
        EXPECT_EQ(attached(other.shm).view()[0], std::byte{0});
    }
    ASSERT_TRUE(ok(memory.detach()));
    EXPECT_TRUE(fails_with(shm->attach(), errc::removed));
    EXPECT_TRUE(fails_with(shm->status(), errc::removed));
    EXPECT_TRUE(fails_with(shm->remove(), errc::removed));
    EXPECT_TRUE(fails_with(sysv_shm::open_id(shm->native_id()), errc::not_found));
}

TEST(sys_sysv_shm, sysv_shm_H5_afterwards_the_errno_is_EINVAL) {
    const auto shm = made(4096);
    ASSERT_TRUE(ok(shm.remove()));
    EXPECT_TRUE(fails_with(shm.attach(), errc::removed, EINVAL));
    EXPECT_TRUE(fails_with(shm.change({.mode = 0600}), errc::removed, EINVAL));
}

TEST(sys_sysv_shm, sysv_shm_H5_removed_after_all_have_attached_it_goes_with_the_last_even_when_killed) {
    segment shm{made(4096)};
    auto memory = attached(shm.shm);
    child holder{[&] {
        ::pause();
        return 0;
    }};
    ASSERT_TRUE(ok(shm->remove()));
    ASSERT_TRUE(ok(memory.detach()));
    EXPECT_EQ(attachments(shm.shm), 1u);
    holder.kill_and_reap();
    EXPECT_TRUE(fails_with(shm->status(), errc::removed));
}

TEST(sys_sysv_shm, sysv_shm_H6_nobody_attached_says_nothing_about_who_will_attach_next) {
    segment shm{made(4096)};
    EXPECT_EQ(attachments(shm.shm), 0u);
    // Between that look and this removal another process attached: it keeps what it has, new ones do not come.
    child late{[&] {
        auto memory = attached(shm.shm);
        CHILD_CHECK(shm->remove());
        memory.bytes()[0] = std::byte{1};
        CHILD_CHECK(shm->status()->attachments == 1);
        return 0;
    }};
    EXPECT_EQ(late.wait(), 0);
    EXPECT_TRUE(fails_with(shm->status(), errc::removed));
}

}  // namespace
