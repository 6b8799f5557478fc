// System V shared memory: SEMANTICS H9 and H10, the G items that concern it, and classic traps 5, 6, 13 and 19.
#include <kith/sys/sysv_shm.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <atomic>
#include <cstring>
#include <fstream>
#include <string>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"
#include "sys/segments.hpp"

namespace {

using namespace kith_test;
using kith::errc;
using namespace kith::sys;

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
