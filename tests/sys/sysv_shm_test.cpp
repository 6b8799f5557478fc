// System V shared memory: SEMANTICS H1-H10, the G items that concern it, and classic traps 5, 6, 13 and 19.
#include <kith/sys/sysv_shm.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "support/child.hpp"
#include "support/huge_pages.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::errc;
using namespace kith::sys;

// A segment that goes with the test, however it ends. Marked for removal late: a key is needed meanwhile.
struct segment {
    explicit segment(sysv_shm made) : shm{made} {}
    segment(const segment&) = delete;
    segment& operator=(const segment&) = delete;
    ~segment() { static_cast<void>(shm.remove()); }
    sysv_shm* operator->() { return &shm; }
    sysv_shm shm;
};

sysv_shm made(sysv_key key, std::size_t size, sysv_shm_options options = {}) {
    options.create = creation::must_be_new;
    options.size = size;
    auto shm = sysv_shm::open(key, options);
    EXPECT_TRUE(ok(shm));
    return *shm;
}
sysv_shm made(std::size_t size) { return made(sysv_key::private_object(), size); }

// A key that nobody else uses: derived from this process and never 0.
sysv_key fresh_key() {
    static int count = 0;
    return sysv_key{static_cast<std::int32_t>(0x6b000000 + (::getpid() & 0xfffff) * 16 + ++count)};
}

sysv_attachment attached(const sysv_shm& shm, const attach_options& options = {}) {
    auto memory = shm.attach(options);
    EXPECT_TRUE(ok(memory));
    return std::move(*memory);
}

std::uint64_t attachments(const sysv_shm& shm) {
    const auto status = shm.status();
    EXPECT_TRUE(ok(status));
    return status ? status->attachments : 999;
}

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
    attached(shm.shm).bytes()[0] = std::byte{0xc3};
#if defined(__x86_64__)
    const auto run = [&](bool executable) {
        return child{[&] {
                   const rlimit no_core{0, 0};
                   ::setrlimit(RLIMIT_CORE, &no_core);
                   ::signal(SIGSEGV, SIG_DFL);
                   const auto memory = attached(shm.shm, {.executable = executable});
                   reinterpret_cast<void (*)()>(const_cast<std::byte*>(memory.view().data()))();
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

std::string setting(const std::string& path) {
    std::string text;
    std::ifstream{path} >> text;
    return text;
}

TEST(sys_sysv_shm, sysv_shm_H7_huge_pages_that_nobody_reserved_are_out_of_memory) {
    const huge_page_pool pool;
    if (!huge_page_pool::is_empty()) GTEST_SKIP() << "huge pages are free here, or there are none of 2 MiB";
    NEEDS_ROOT();
    for (const auto huge : {huge_pages::system_default, huge_pages::of_2_mib})
        EXPECT_TRUE(fails_with(sysv_shm::open(sysv_key::private_object(),
                                              {.create = creation::must_be_new, .size = 1 << 21, .huge = huge}),
                               errc::out_of_memory, ENOMEM));
}

TEST(sys_sysv_shm, sysv_shm_H7_huge_pages_without_the_right_are_not_permitted) {
    NEEDS_ROOT();
    if (setting("/proc/sys/vm/hugetlb_shm_group") == "65534") GTEST_SKIP() << "group nobody may use huge pages";
    EXPECT_EQ(0, as_nobody([] {
                  const auto refused =
                      sysv_shm::open(sysv_key::private_object(),
                                     {.create = creation::must_be_new, .size = 1 << 21, .huge = huge_pages::of_2_mib});
                  CHILD_CHECK(fails_with(refused, errc::not_permitted, EPERM));
                  return 0;
              }));
}

TEST(sys_sysv_shm, sysv_shm_H7_reserved_huge_pages_back_a_segment_rounded_up_to_them) {
    NEEDS_ROOT();
    huge_page_pool pool;
    if (!pool.add(2)) GTEST_SKIP() << "no two huge pages can be had";
    auto shm = sysv_shm::open(sysv_key::private_object(),
                              {.create = creation::must_be_new, .size = 3000000, .huge = huge_pages::of_2_mib});
    ASSERT_TRUE(ok(shm));
    segment owned{*shm};
    auto memory = attached(*shm, {.populate = true});
    EXPECT_EQ(memory.size(), 3000000u);
    reinterpret_cast<volatile char*>(memory.bytes().data())[(1 << 22) - 1] = 'x';  // the second huge page's last byte
}

TEST(sys_sysv_shm, sysv_shm_H7_noreserve_makes_a_segment_that_commits_nothing) {
    // Larger than the machine: the heuristic refuses to commit it, and without a commitment it can be had.
    const auto pages = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES));
    const auto size = pages * 4096 * 16;
    if (setting("/proc/sys/vm/overcommit_memory") != "0") GTEST_SKIP() << "overcommit is not heuristic here";
    EXPECT_TRUE(fails_with(sysv_shm::open(sysv_key::private_object(), {.create = creation::must_be_new, .size = size}),
                           errc::out_of_memory, ENOMEM));
    auto shm =
        sysv_shm::open(sysv_key::private_object(), {.create = creation::must_be_new, .size = size, .commit = false});
    ASSERT_TRUE(ok(shm));
    segment owned{*shm};
    EXPECT_EQ(shm->size(), size);
}

TEST(sys_sysv_shm, sysv_shm_H7_lock_and_unlock_show_in_the_status) {
    segment shm{made(4096)};
    ASSERT_TRUE(ok(shm->lock()));
    EXPECT_TRUE(shm->status()->locked);
    ASSERT_TRUE(ok(shm->unlock()));
    EXPECT_FALSE(shm->status()->locked);
}

TEST(sys_sysv_shm, sysv_shm_H7_lock_without_right_and_allowance_is_not_permitted) {
    NEEDS_ROOT();
    EXPECT_EQ(0, as_nobody([] {
                  auto own =
                      sysv_shm::open(sysv_key::private_object(), {.create = creation::must_be_new, .size = 8192});
                  CHILD_CHECK(own);
                  rlimit allowance{4096, 4096};
                  ::setrlimit(RLIMIT_MEMLOCK, &allowance);
                  const auto above = own->lock();
                  allowance = {0, 0};
                  ::setrlimit(RLIMIT_MEMLOCK, &allowance);
                  const auto none = own->lock();
                  CHILD_CHECK(own->remove());
                  CHILD_CHECK(fails_with(above, errc::out_of_memory, ENOMEM));
                  CHILD_CHECK(fails_with(none, errc::not_permitted, EPERM));
                  return 0;
              }));
}

TEST(sys_sysv_shm, sysv_shm_H8_with_shm_rmid_forced_an_unattached_segment_goes_with_its_creator) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        std::ofstream{"/proc/sys/kernel/shm_rmid_forced"} << "1" << std::flush;
        CHILD_CHECK(setting("/proc/sys/kernel/shm_rmid_forced") == "1");
        const sysv_key key{0x4b01};
        CHILD_CHECK(child{[&] { return sysv_shm::open(key, {creation::must_be_new, 4096}) ? 0 : 1; }}.wait() == 0);
        CHILD_CHECK(fails_with(sysv_shm::open(key), errc::not_found, ENOENT));
        std::ofstream{"/proc/sys/kernel/shm_rmid_forced"} << "0" << std::flush;
        CHILD_CHECK(child{[&] { return sysv_shm::open(key, {creation::must_be_new, 4096}) ? 0 : 1; }}.wait() == 0);
        CHILD_CHECK(sysv_shm::open(key));
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_shm, sysv_shm_H9_the_status_tells_who_and_when) {
    const auto key = fresh_key();
    segment shm{made(key, 1234, {.mode = 0640})};
    auto status = shm->status();
    ASSERT_TRUE(ok(status));
    EXPECT_EQ(status->key, key);
    EXPECT_EQ(status->size, 1234u);
    EXPECT_EQ(status->mode, 0640u);
    EXPECT_EQ(status->uid, ::geteuid());
    EXPECT_EQ(status->gid, ::getegid());
    EXPECT_EQ(status->creator_uid, ::geteuid());
    EXPECT_EQ(status->creator_gid, ::getegid());
    EXPECT_EQ(status->creator_pid, ::getpid());
    EXPECT_EQ(status->last_pid, 0);
    EXPECT_EQ(status->last_attach.time_since_epoch().count(), 0);
    EXPECT_EQ(status->last_detach.time_since_epoch().count(), 0);
    EXPECT_NE(status->last_change.time_since_epoch().count(), 0);
    EXPECT_FALSE(status->marked_for_removal);
    child visitor{[&] {
        attached(shm.shm);
        return 0;
    }};
    const auto pid = visitor.pid();
    EXPECT_EQ(visitor.wait(), 0);
    status = shm->status();
    EXPECT_EQ(status->last_pid, pid);
    EXPECT_NE(status->last_attach.time_since_epoch().count(), 0);
    EXPECT_NE(status->last_detach.time_since_epoch().count(), 0);
}

TEST(sys_sysv_shm, sysv_shm_H9_owner_and_mode_can_be_changed_by_owner_only) {
    NEEDS_ROOT();
    segment shm{made(4096)};
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(fails_with(shm->change({0, 0, 0666}), errc::not_permitted, EPERM));
                  CHILD_CHECK(fails_with(shm->change({.mode = 0666}), errc::not_permitted, EACCES));
                  CHILD_CHECK(fails_with(shm->remove(), errc::not_permitted, EPERM));
                  CHILD_CHECK(fails_with(shm->status(), errc::not_permitted, EACCES));
                  CHILD_CHECK(fails_with(shm->attach(), errc::not_permitted, EACCES));
                  return 0;
              }));
    ASSERT_TRUE(ok(shm->change({.uid = 65534, .gid = 65534, .mode = 0444})));
    EXPECT_EQ(shm->status()->mode, 0444u);
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(shm->attach({.access = memory_access::read_only}));
                  CHILD_CHECK(fails_with(shm->attach(), errc::not_permitted, EACCES));
                  CHILD_CHECK(shm->remove());
                  return 0;
              }));
}

TEST(sys_sysv_shm, sysv_shm_H9_who_may_not_read_a_segment_may_still_remove_it) {
    NEEDS_ROOT();
    EXPECT_EQ(0, as_nobody([] {
                  const auto key = fresh_key();
                  CHILD_CHECK(sysv_shm::open(key, {.create = creation::must_be_new, .size = 4096, .mode = 0}));
                  CHILD_CHECK(fails_with(sysv_shm::open(key, {.size = 4096}), errc::not_permitted, EACCES));
                  const auto found = sysv_shm::open(key);
                  CHILD_CHECK(found && found->size() == 0);
                  CHILD_CHECK(fails_with(found->attach(), errc::not_permitted, EACCES));
                  CHILD_CHECK(sysv_shm::from_id(found->native_id()).change({.uid = 65534, .gid = 65534, .mode = 0600}));
                  CHILD_CHECK(found->attach()->size() == 4096);
                  CHILD_CHECK(found->remove());
                  return 0;
              }));
}

TEST(sys_sysv_shm, sysv_shm_H9_limits_and_list_show_every_segment) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        auto limits = read_sysv_shm_limits();
        CHILD_CHECK(limits && limits->used_segments == 0 && limits->highest_slot == -1);
        CHILD_CHECK(limits->segments > 0 && limits->largest > 0 && limits->total_pages > 0);
        auto one = sysv_shm::open(sysv_key{77}, {creation::must_be_new, 5000});
        auto two =
            sysv_shm::open(sysv_key::private_object(), {.create = creation::must_be_new, .size = 4096, .mode = 0});
        CHILD_CHECK(one && two);
        limits = read_sysv_shm_limits();
        CHILD_CHECK(limits->used_segments == 2 && limits->used_pages == 3 && limits->highest_slot == 1);
        attached(*one, {.populate = true});
        CHILD_CHECK(read_sysv_shm_limits()->resident_pages == 2);
        const auto first = sysv_shm_in_slot(0);
        CHILD_CHECK(first && first->id == one->native_id() && first->status.key.value() == 77 &&
                    first->status.size == 5000);
        CHILD_CHECK(sysv_shm_in_slot(1)->id == two->native_id());
        CHILD_CHECK(one->remove());
        CHILD_CHECK(fails_with(sysv_shm_in_slot(0), errc::not_found));
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_shm, sysv_shm_H9_an_unreadable_segment_of_somebody_else_is_still_listed) {
    NEEDS_ROOT();
    segment shm{made(sysv_key::private_object(), 4096, {.mode = 0})};
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(fails_with(shm->status(), errc::not_permitted, EACCES));
                  const int last = read_sysv_shm_limits()->highest_slot;
                  for (int i = 0; i <= last; ++i)
                      if (const auto found = sysv_shm_in_slot(i); found && found->id == shm->native_id()) return 0;
                  return 1;
              }));
}

TEST(sys_sysv_shm, sysv_shm_H10_nothing_synchronises_but_atomics_do) {
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
    segment shm{made(4096)};
    auto memory = attached(shm.shm);
    auto* const ready = new (memory.bytes().data()) std::atomic<std::uint32_t>{0};
    auto* const count = new (memory.bytes().data() + 64) std::atomic<std::uint64_t>{0};
    child other{[&] {
        while (ready->load(std::memory_order_acquire) == 0) ::sched_yield();
        CHILD_CHECK(memory.view()[128] == std::byte{9});  // written before the flag, seen after it
        for (int i = 0; i < 50000; ++i) count->fetch_add(1);
        return 0;
    }};
    memory.bytes()[128] = std::byte{9};
    ready->store(1, std::memory_order_release);
    for (int i = 0; i < 50000; ++i) count->fetch_add(1);
    EXPECT_EQ(other.wait(), 0);
    EXPECT_EQ(count->load(), 100000u);
}

TEST(sys_sysv_shm, sysv_shm_G1_an_error_names_operation_object_and_errno) {
    const auto key = fresh_key();
    const auto failure = sysv_shm::open(key).error();
    EXPECT_STREQ(failure.operation(), "shmget");
    EXPECT_EQ(failure.object(), kith::object_ref::sysv_key(key.value()));
    EXPECT_EQ(failure.os_error(), ENOENT);
    const auto gone = sysv_shm::open_id(0x7fffffff).error();
    EXPECT_EQ(gone.code(), errc::not_found);
    EXPECT_EQ(gone.os_error(), EINVAL);
    EXPECT_EQ(gone.object(), kith::object_ref::sysv_id(0x7fffffff));
}

TEST(sys_sysv_shm, sysv_shm_G8_another_ipc_namespace_does_not_know_the_key) {
    const auto key = fresh_key();
    segment shm{made(key, 4096)};
    auto memory = attached(shm.shm);
    const int status = in_namespaces(CLONE_NEWIPC, [&] {
        const auto hidden = sysv_shm::open(key);
        CHILD_CHECK(fails_with(hidden, errc::not_found, ENOENT));
        CHILD_CHECK(kith::describe(hidden.error()).find("namespace") != std::string::npos);
        CHILD_CHECK(fails_with(sysv_shm::open_id(shm->native_id()), errc::not_found));
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_shm, sysv_shm_G9_a_segment_outlives_its_creator_until_it_is_removed) {
    const auto key = fresh_key();
    EXPECT_EQ(child{[&] {
                  auto shm = made(key, 4096);
                  attached(shm).bytes()[3] = std::byte{5};
                  return 0;
              }}.wait(),
              0);
    const auto found = sysv_shm::open(key, {.size = 4096});
    ASSERT_TRUE(ok(found));
    segment shm{*found};
    EXPECT_EQ(attached(*found).view()[3], std::byte{5});
}

TEST(sys_sysv_shm, sysv_shm_G11_a_private_key_always_makes_a_new_segment) {
    segment one{made(4096)};
    auto other = sysv_shm::open(sysv_key::private_object(), {.create = creation::create_or_open, .size = 4096});
    ASSERT_TRUE(ok(other));
    segment two{*other};
    EXPECT_NE(one->native_id(), two->native_id());
    EXPECT_TRUE(two->created());
}

TEST(sys_sysv_shm, sysv_shm_G11_a_key_from_a_path_finds_the_segment) {
    const temp_dir dir;
    std::ofstream{dir.path("key")} << "x";
    const auto key = sysv_key::from_path(dir.path("key"), 65);
    ASSERT_TRUE(ok(key));
    segment shm{made(*key, 4096)};
    EXPECT_EQ(sysv_shm::open(*sysv_key::from_path(dir.path("key"), 65))->native_id(), shm->native_id());
    EXPECT_TRUE(fails_with(sysv_shm::open(*sysv_key::from_path(dir.path("key"), 66)), errc::not_found));
}

TEST(sys_sysv_shm, sysv_shm_G12_the_umask_does_not_apply) {
    const auto before = ::umask(077);
    segment shm{made(sysv_key::private_object(), 4096, {.mode = 0666})};
    ::umask(before);
    EXPECT_EQ(shm->status()->mode, 0666u);
}

TEST(sys_sysv_shm, sysv_shm_G13_a_child_inherits_the_attachment_and_detaches_its_own) {
    segment shm{made(4096)};
    auto memory = attached(shm.shm);
    child kin{[&] {
        CHILD_CHECK(attachments(shm.shm) == 2);
        memory.bytes()[0] = std::byte{1};
        CHILD_CHECK(memory.detach());
        CHILD_CHECK(attachments(shm.shm) == 1);
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(memory.view()[0], std::byte{1});
}

TEST(sys_sysv_shm, sysv_shm_trap05_a_segment_of_another_program_under_the_same_key_is_noticed) {
    const auto key = fresh_key();
    const int foreign = ::shmget(key.value(), 300, IPC_CREAT | IPC_EXCL | 0600);  // some other program's
    ASSERT_GE(foreign, 0);
    const auto found = sysv_shm::open(key, {.create = creation::create_or_open, .size = 4096});
    EXPECT_TRUE(fails_with(found, errc::wrong_size));
    EXPECT_EQ(found.error().object(), kith::object_ref::sysv_key(key.value()));
    ::shmctl(foreign, IPC_RMID, nullptr);
}

TEST(sys_sysv_shm, sysv_shm_trap06_a_killed_creator_leaves_it_and_its_removal_hurts_nobody) {
    const auto key = fresh_key();
    child creator{[&] {
        const auto shm = made(key, 4096);
        auto memory = attached(shm);
        memory.bytes()[0] = std::byte{1};
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(creator.wait(), 128 + SIGKILL);
    const auto left = sysv_shm::open(key, {.size = 4096});
    ASSERT_TRUE(ok(left));
    EXPECT_EQ(attachments(*left), 0u);
    auto user = attached(*left);
    ASSERT_TRUE(ok(left->remove()));
    user.bytes()[1] = std::byte{2};  // in use while it is removed
    EXPECT_EQ(user.view()[0], std::byte{1});
}

TEST(sys_sysv_shm, sysv_shm_trap13_a_full_dev_shm_does_not_touch_system_v_segments) {
    const int status = in_namespaces(CLONE_NEWNS | CLONE_NEWIPC, [] {
        if (::mount("shm", "/dev/shm", "tmpfs", 0, "size=64k") != 0) return 77;
        auto shm = sysv_shm::open(sysv_key::private_object(), {.create = creation::must_be_new, .size = 1 << 20});
        CHILD_CHECK(shm);
        auto memory = attached(*shm, {.populate = true});
        std::memset(memory.bytes().data(), 1, memory.size());
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_shm, sysv_shm_trap19_an_offset_means_the_same_everywhere_and_a_pointer_does_not) {
    segment shm{made(8192)};
    auto memory = attached(shm.shm);
    constexpr std::size_t offset = 4000;
    const char* const pointer = reinterpret_cast<const char*>(memory.view().data()) + offset;
    std::memcpy(memory.bytes().data(), &offset, sizeof offset);
    std::memcpy(memory.bytes().data() + 8, &pointer, sizeof pointer);
    std::memcpy(memory.bytes().data() + offset, "here", 5);
    child other{[&] {
        auto mine = attached(shm.shm);
        CHILD_CHECK(memory.detach());
        std::size_t at = 0;
        const char* stored = nullptr;
        std::memcpy(&at, mine.view().data(), sizeof at);
        std::memcpy(&stored, mine.view().data() + 8, sizeof stored);
        const auto* const here = reinterpret_cast<const char*>(mine.view().data()) + at;
        CHILD_CHECK(std::strcmp(here, "here") == 0);
        CHILD_CHECK(stored != here);
        return 0;
    }};
    EXPECT_EQ(other.wait(), 0);
}

TEST(sys_sysv_shm, sysv_shm_populate_works_on_kernels_without_MADV_POPULATE) {
    const int status =
        child{[] {
            if (!deny({{.number = SYS_madvise, .os_error = EINVAL}})) return 77;
            auto shm = sysv_shm::open(sysv_key::private_object(), {.create = creation::must_be_new, .size = 20000});
            CHILD_CHECK(shm);
            auto memory = shm->attach({.populate = true});
            auto reader = shm->attach({.access = memory_access::read_only, .populate = true});
            CHILD_CHECK(shm->remove());
            CHILD_CHECK(memory && reader);
            unsigned char present[5] = {};
            CHILD_CHECK(::mincore(memory->bytes().data(), 20000, present) == 0);
            for (const auto page : present) CHILD_CHECK(page & 1);
            return 0;
        }}.wait();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
}

TEST(sys_sysv_shm, sysv_shm_creators_and_removers_race_without_a_wrong_answer) {
    const auto key = fresh_key();
    child other{[&] {
        for (int i = 0; i < 300; ++i)
            if (const auto shm = sysv_shm::open(key)) static_cast<void>(shm->remove());
        return 0;
    }};
    for (int i = 0; i < 300; ++i) {
        const auto shm = sysv_shm::open(key, {.create = creation::create_or_open, .size = 4096});
        ASSERT_TRUE(ok(shm));
        EXPECT_EQ(shm->size(), 4096u);
    }
    EXPECT_EQ(other.wait(), 0);
    if (const auto left = sysv_shm::open(key)) static_cast<void>(left->remove());
}

TEST(sys_sysv_shm, sysv_shm_G11_a_private_key_names_no_segment_that_could_exist) {
    EXPECT_TRUE(fails_with(sysv_shm::open(sysv_key::private_object(), {.size = 4096}), errc::invalid, EINVAL));
}

TEST(sys_sysv_shm, sysv_shm_G12_bits_of_the_mode_above_0777_are_invalid) {
    const auto key = fresh_key();
    EXPECT_TRUE(fails_with(sysv_shm::open(key, {.create = creation::must_be_new, .size = 1, .mode = 02600}),
                           errc::invalid, EINVAL));
    EXPECT_TRUE(fails_with(sysv_shm::open(key), errc::not_found));
    segment shm{made(4096)};
    EXPECT_TRUE(fails_with(shm->change({.mode = 02600}), errc::invalid, EINVAL));
    EXPECT_EQ(shm->status()->mode, 0600u);
}

}  // namespace
