// System V shared memory: SEMANTICS H7 and H8: huge pages, reserving, locking, and what goes with its maker.
#include <kith/sys/sysv_shm.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
#include <fstream>
#include <string>

#include "support/child.hpp"
#include "support/huge_pages.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"
#include "sys/segments.hpp"

namespace {

using namespace kith_test;
using kith::errc;
using namespace kith::sys;

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

}  // namespace
