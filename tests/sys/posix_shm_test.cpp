// POSIX shared memory and mappings: SEMANTICS R1-R4, R9, the G items that concern them, and classic traps 5, 6, 13, 19.
#include <kith/sys/posix_shm.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include <kith/observer.hpp>
#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;

// A name in /dev/shm that is free again after the test.
struct shm_name {
    std::string text = std::string{"/"}.append(unique_name("shm"));
    shm_name() = default;
    shm_name(const shm_name&) = delete;
    shm_name& operator=(const shm_name&) = delete;
    ~shm_name() {
        ::shm_unlink(text.c_str());
        ::rmdir(path().c_str());
    }
    [[nodiscard]] std::string path() const { return std::string{"/dev/shm"}.append(text); }
};

posix_shm made(const shm_name& name, std::size_t size) {
    auto shm = posix_shm::open(name.text, {.create = creation::must_be_new, .size = size});
    EXPECT_TRUE(ok(shm));
    return std::move(*shm);
}
mapping mapped(const posix_shm& shm, const map_options& options = {}) {
    auto memory = shm.map(options);
    EXPECT_TRUE(ok(memory));
    return std::move(*memory);
}

// Ends with the signal of the first bad touch, without leaving a core file.
int touching(const std::function<void()>& touch) {
    return child{[&] {
               const rlimit no_core{0, 0};
               ::setrlimit(RLIMIT_CORE, &no_core);
               for (const int signal : {SIGSEGV, SIGBUS}) ::signal(signal, SIG_DFL);
               touch();
               return 0;
           }}
        .wait();
}

// Runs `body` where /dev/shm is a file system of its own of `size`; 77 where that cannot be had.
int with_dev_shm_of(const std::string& size, const std::function<int()>& body) {
    return in_namespaces(CLONE_NEWNS, [&] {
        if (::mount("shm", "/dev/shm", "tmpfs", 0, std::string{"size="}.append(size).c_str()) != 0) return 77;
        return body();
    });
}
#define EXPECT_DONE(status)                                         \
    do {                                                            \
        const int ended = (status);                                 \
        if (ended == 77) GTEST_SKIP() << "the kernel refuses this"; \
        EXPECT_EQ(ended, 0);                                        \
    } while (false)

TEST(sys_posix_shm, posix_shm_R1_a_new_object_has_its_size_and_reads_as_zeros) {
    const shm_name name;
    const auto shm = made(name, 5000);
    EXPECT_TRUE(shm.created());
    EXPECT_EQ(*shm.size(), 5000u);
    const auto memory = mapped(shm);
    EXPECT_EQ(memory.size(), 5000u);
    EXPECT_TRUE(std::ranges::all_of(memory.view(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST(sys_posix_shm, posix_shm_R1_the_creation_policy_is_kept) {
    const shm_name name;
    EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.size = 100}), errc::not_found, ENOENT));
    const auto first = posix_shm::open(name.text, {.create = creation::create_or_open, .size = 100});
    ASSERT_TRUE(ok(first));
    EXPECT_TRUE(first->created());
    EXPECT_TRUE(
        fails_with(posix_shm::open(name.text, {.create = creation::must_be_new, .size = 100}), errc::exists, EEXIST));
    const auto second = posix_shm::open(name.text, {.create = creation::create_or_open, .size = 100});
    ASSERT_TRUE(ok(second));
    EXPECT_FALSE(second->created());
    EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.create = creation::create_or_open}), errc::invalid));
    EXPECT_TRUE(fails_with(
        posix_shm::open(name.text,
                        {.create = creation::create_or_open, .size = 100, .access = memory_access::read_only}),
        errc::invalid));
}

TEST(sys_posix_shm, posix_shm_R1_openers_wait_for_the_size) {
    const shm_name name;
    const int fd = ::shm_open(name.text.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);  // a creator between two calls
    ASSERT_GE(fd, 0);
    for (const std::size_t expected : {std::size_t{0}, std::size_t{4096}}) {
        ASSERT_EQ(::ftruncate(fd, 0), 0);
        child opener{[&] {
            const auto shm = posix_shm::open(name.text, {.size = expected}, deadline::in(60s));
            CHILD_CHECK(shm);
            CHILD_CHECK(*shm->size() == 4096);
            return 0;
        }};
        wait_until_in_syscall(opener.pid(), SYS_futex);
        ASSERT_EQ(::ftruncate(fd, 4096), 0);
        EXPECT_EQ(opener.wait(), 0);
    }
    ::close(fd);
}

TEST(sys_posix_shm, posix_shm_R1_the_wait_for_a_size_is_bounded) {
    const shm_name name;
    const int fd = ::shm_open(name.text.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(fd, 0);
    ::close(fd);  // the creator died in between
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(posix_shm::open(name.text, {}, deadline::in(30ms)), errc::timed_out));
    EXPECT_TRUE(
        fails_with(posix_shm::open(name.text, {.create = creation::create_or_open, .size = 10}, deadline::in(30ms)),
                   errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 60ms);
    EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.size = 10}, deadline::immediate()), errc::would_block));
    std::stop_source stop;
    stop.request_stop();
    const auto token = stop.get_token();
    EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.size = 10}, {deadline::never(), token}), errc::stopped));
    const auto as_it_is = posix_shm::open(name.text, {.wait_for_size = false});
    ASSERT_TRUE(ok(as_it_is));
    EXPECT_EQ(*as_it_is->size(), 0u);
    EXPECT_TRUE(fails_with(as_it_is->map(), errc::wrong_size));
}

TEST(sys_posix_shm, posix_shm_R1_the_wait_has_a_bound_of_its_own_where_none_is_given) {
    const shm_name name;
    const int fd = ::shm_open(name.text.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(fd, 0);
    ::close(fd);
    EXPECT_TRUE(fails_with(posix_shm::open(name.text), errc::timed_out));
}

TEST(sys_posix_shm, posix_shm_R1_G12_the_umask_applies) {
    const auto before = ::umask(027);
    const shm_name name;
    const auto shm = posix_shm::open(name.text, {.create = creation::must_be_new, .size = 10, .mode = 0666});
    ::umask(before);
    ASSERT_TRUE(ok(shm));
    struct stat file{};
    ASSERT_EQ(::stat(name.path().c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0640u);
}

TEST(sys_posix_shm, posix_shm_R1_names_with_and_without_slash) {
    const shm_name name;
    ASSERT_TRUE(ok(posix_shm::open(name.text.substr(1), {.create = creation::must_be_new, .size = 10})));
    EXPECT_TRUE(ok(posix_shm::open(name.text)));
    for (const char* bad : {"/a/b", "", "/"})
        EXPECT_TRUE(
            fails_with(posix_shm::open(bad, {.create = creation::create_or_open, .size = 1}), errc::invalid, EINVAL))
            << bad;
    EXPECT_TRUE(fails_with(posix_shm::open(std::string{"/"}.append(256, 'x')), errc::too_long, ENAMETOOLONG));
    EXPECT_TRUE(fails_with(posix_shm::open(std::string{"/"}.append(255, 'x')), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(posix_shm::open(std::string_view{"/a\0b", 4}), errc::invalid));
}

TEST(sys_posix_shm, posix_shm_R2_touching_the_last_partial_page_is_fine_and_beyond_it_is_SIGBUS) {
    const shm_name name;
    const int fd = ::shm_open(name.text.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_EQ(::ftruncate(fd, 100), 0);
    auto* const memory = static_cast<volatile char*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    EXPECT_EQ(touching([&] { memory[4095] = 'x'; }), 0);
    EXPECT_EQ(touching([&] { memory[4096] = 'x'; }), 128 + SIGBUS);
    ::close(fd);
    // kith's own mappings end where the object does.
    const auto shm = posix_shm::open(name.text);
    EXPECT_EQ(mapped(*shm).size(), 100u);
    EXPECT_TRUE(fails_with(shm->map({.length = 101}), errc::wrong_size));
    EXPECT_TRUE(fails_with(shm->map({.offset = 100}), errc::wrong_size));
    EXPECT_TRUE(fails_with(shm->map({.offset = 99, .length = 2}), errc::wrong_size));
    EXPECT_TRUE(fails_with(shm->map({.offset = 1, .length = static_cast<std::size_t>(-1)}), errc::wrong_size));
    EXPECT_EQ(mapped(*shm, {.offset = 99, .length = 1}).size(), 1u);
}

TEST(sys_posix_shm, posix_shm_R2_a_peer_that_shrinks_the_object_takes_the_memory_away) {
    const shm_name name;
    auto shm = made(name, 8192);
    auto memory = mapped(shm);
    memory.bytes()[5000] = std::byte{1};
    EXPECT_EQ(child{[&] {
                  auto mine = posix_shm::open(name.text);
                  return mine->resize(4096) ? 0 : 1;
              }}.wait(),
              0);
    auto* const bytes = reinterpret_cast<volatile char*>(memory.bytes().data());
    EXPECT_EQ(touching([&] { bytes[4095] = 'x'; }), 0);
    EXPECT_EQ(touching([&] { bytes[5000] = 'x'; }), 128 + SIGBUS);
}

TEST(sys_posix_shm, posix_shm_R2_growing_keeps_contents_and_gives_zeros) {
    const shm_name name;
    auto shm = made(name, 100);
    mapped(shm).bytes()[99] = std::byte{7};
    ASSERT_TRUE(ok(shm.resize(3 << 20)));
    const auto memory = mapped(shm);
    EXPECT_EQ(memory.size(), std::size_t{3 << 20});
    EXPECT_EQ(memory.view()[99], std::byte{7});
    EXPECT_EQ(memory.view()[100], std::byte{0});
    EXPECT_EQ(memory.view().back(), std::byte{0});
}

TEST(sys_posix_shm, posix_shm_R2_a_full_dev_shm_is_no_space_and_nothing_is_left_behind) {
    EXPECT_DONE(with_dev_shm_of("1m", [] {
        const auto refused = posix_shm::open("/big", {.create = creation::must_be_new, .size = 3 << 20});
        CHILD_CHECK(fails_with(refused, errc::no_space, ENOSPC));
        CHILD_CHECK(fails_with(posix_shm::open("/big"), errc::not_found, ENOENT));
        // What does fit can be touched to its last byte, although the rest of the file system is then full.
        auto fits = posix_shm::open("/fits", {.create = creation::must_be_new, .size = 700 << 10});
        CHILD_CHECK(fits);
        CHILD_CHECK(fails_with(fits->resize(2 << 20), errc::no_space, ENOSPC));
        CHILD_CHECK(*fits->size() == 700 << 10);
        auto rest = posix_shm::open("/rest", {.create = creation::must_be_new, .size = 300 << 10});
        CHILD_CHECK(rest);
        auto memory = fits->map();
        CHILD_CHECK(memory);
        std::memset(memory->bytes().data(), 1, memory->size());
        return 0;
    }));
}

TEST(sys_posix_shm, posix_shm_R2_what_can_never_fit_is_refused_before_anything_is_reserved) {
    EXPECT_DONE(with_dev_shm_of("64m", [] {
        // Reserving piece by piece would meet the EIO of the first piece, and without it fill all there is.
        if (!deny({{.number = SYS_fallocate, .os_error = EIO}})) return 0;
        const auto refused = posix_shm::open("/big", {.create = creation::must_be_new, .size = 65 << 20});
        CHILD_CHECK(fails_with(refused, errc::no_space, ENOSPC));
        CHILD_CHECK(fails_with(posix_shm::open("/big"), errc::not_found, ENOENT));
        return 0;
    }));
}

TEST(sys_posix_shm, posix_shm_R2_without_reserving_the_first_touch_is_what_fails) {
    EXPECT_DONE(with_dev_shm_of("64k", [] {
        auto shm = posix_shm::open("/lazy", {.create = creation::must_be_new, .size = 1 << 20, .reserve = false});
        CHILD_CHECK(shm);
        CHILD_CHECK(fails_with(shm->map({.populate = true}), errc::no_space, EFAULT));
        auto memory = shm->map();
        CHILD_CHECK(memory);
        CHILD_CHECK(touching([&] { std::memset(memory->bytes().data(), 1, memory->size()); }) == 128 + SIGBUS);
        return 0;
    }));
}

TEST(sys_posix_shm, posix_shm_R2_an_opener_never_sees_a_size_that_is_not_reserved) {
    EXPECT_DONE(with_dev_shm_of("8m", [] {
        // The creator's reservation fails half way: whoever saw the size meanwhile would meet SIGBUS.
        child creator{[] {
            for (int i = 0; i < 200; ++i)
                CHILD_CHECK(fails_with(posix_shm::open("/x", {.create = creation::must_be_new, .size = 16 << 20}),
                                       errc::no_space));
            return 0;
        }};
        while (!creator.poll()) {
            const auto seen = posix_shm::open("/x", {.wait_for_size = false});
            if (seen) CHILD_CHECK(*seen->size() == 0);
        }
        CHILD_CHECK(creator.wait() == 0);
        return 0;
    }));
}

TEST(sys_posix_shm, posix_shm_R2_a_file_size_limit_is_an_error_and_no_SIGXFSZ) {
    const shm_name name;
    child limited{[&] {
        const rlimit limit{8192, 8192};
        CHILD_CHECK(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
        ::signal(SIGXFSZ, SIG_DFL);
        CHILD_CHECK(fails_with(posix_shm::open(name.text, {.create = creation::must_be_new, .size = 8193}),
                               errc::limit_reached, EFBIG));
        auto fits = posix_shm::open(name.text, {.create = creation::must_be_new, .size = 8192});
        CHILD_CHECK(fits);
        CHILD_CHECK(fails_with(fits->resize(20000), errc::limit_reached, EFBIG));
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

TEST(sys_posix_shm, posix_shm_R2_a_file_system_without_fallocate_is_reserved_by_writing) {
    const shm_name name;
    child old{[&] {
        if (!deny({{.number = SYS_fallocate, .os_error = EOPNOTSUPP}})) return 77;
        static int fallbacks = 0;
        kith::set_observer([](const kith::event& what, void*) noexcept {
            if (what.kind == kith::event_kind::fallback_taken) ++fallbacks;
        });
        const auto shm = posix_shm::open(name.text, {.create = creation::must_be_new, .size = 3 << 20});
        CHILD_CHECK(shm);
        CHILD_CHECK(fallbacks == 1);
        struct stat file{};
        CHILD_CHECK(::fstat(shm->native().get(), &file) == 0);
        CHILD_CHECK(file.st_size == 3 << 20 && file.st_blocks * 512 >= 3 << 20);
        return 0;
    }};
    EXPECT_DONE(old.wait());
}

TEST(sys_posix_shm, posix_shm_R3_opening_never_truncates_and_a_foreign_O_TRUNC_cuts_mappings) {
    const shm_name name;
    const auto shm = made(name, 4096);
    auto memory = mapped(shm);
    memory.bytes()[0] = std::byte{9};
    ASSERT_TRUE(ok(posix_shm::open(name.text, {.create = creation::create_or_open, .size = 4096})));
    EXPECT_EQ(memory.view()[0], std::byte{9});
    const int fd = ::shm_open(name.text.c_str(), O_RDWR | O_TRUNC, 0);
    ASSERT_GE(fd, 0);
    ::close(fd);
    auto* const bytes = reinterpret_cast<volatile char*>(memory.bytes().data());
    EXPECT_EQ(touching([&] { bytes[0] = 'x'; }), 128 + SIGBUS);
}

TEST(sys_posix_shm, posix_shm_R3_unlink_removes_the_name_and_leaves_the_memory) {
    const shm_name name;
    const auto shm = made(name, 4096);
    auto memory = mapped(shm);
    ASSERT_TRUE(ok(unlink_posix_shm(name.text)));
    EXPECT_TRUE(fails_with(unlink_posix_shm(name.text), errc::not_found, ENOENT));
    EXPECT_TRUE(fails_with(posix_shm::open(name.text), errc::not_found, ENOENT));
    memory.bytes()[0] = std::byte{1};
    EXPECT_EQ(mapped(shm).view()[0], std::byte{1});
    EXPECT_EQ(mapped(made(name, 4096)).view()[0], std::byte{0});  // a new one under the old name
    EXPECT_TRUE(fails_with(unlink_posix_shm("/a/b"), errc::not_found, ENOENT));
}

TEST(sys_posix_shm, posix_shm_a_mapping_outlives_the_descriptor_and_moves) {
    const shm_name name;
    mapping memory;
    EXPECT_FALSE(memory.is_mapped());
    EXPECT_TRUE(memory.view().empty());
    EXPECT_TRUE(memory.bytes().empty());
    memory = mapped(made(name, 4096));
    memory.bytes()[10] = std::byte{3};
    auto other = std::move(memory);
    EXPECT_FALSE(memory.is_mapped());  // NOLINT(bugprone-use-after-move): that is what is shown
    EXPECT_EQ(other.view()[10], std::byte{3});
    const auto* const place = other.view().data();
    other.unmap();
    other.unmap();
    EXPECT_EQ(touching([&] { static_cast<void>(*const_cast<const volatile std::byte*>(place)); }), 128 + SIGSEGV);
}

TEST(sys_posix_shm, posix_shm_a_part_may_begin_anywhere) {
    const shm_name name;
    const auto shm = made(name, 20000);
    auto whole = mapped(shm);
    for (std::size_t i = 0; i < whole.size(); ++i) whole.bytes()[i] = static_cast<std::byte>(i % 251);
    for (const std::size_t offset : {0U, 1U, 4095U, 4096U, 4097U, 12288U, 19999U}) {
        const auto part = mapped(shm, {.offset = offset});
        EXPECT_EQ(part.size(), 20000 - offset);
        EXPECT_TRUE(std::ranges::equal(part.view(), whole.view().subspan(offset)));
    }
    const auto middle = mapped(shm, {.offset = 5000, .length = 5000, .populate = true});
    EXPECT_TRUE(std::ranges::equal(middle.view(), whole.view().subspan(5000, 5000)));
}

TEST(sys_posix_shm, posix_shm_read_only_offers_nothing_to_write_and_a_write_is_SIGSEGV) {
    const shm_name name;
    made(name, 4096);
    const auto shm = posix_shm::open(name.text, {.access = memory_access::read_only});
    ASSERT_TRUE(ok(shm));
    EXPECT_TRUE(fails_with(shm->map(), errc::not_permitted, EACCES));
    auto memory = mapped(*shm, {.access = memory_access::read_only});
    EXPECT_TRUE(memory.bytes().empty());
    EXPECT_EQ(memory.view().size(), 4096u);
    EXPECT_EQ(touching([&] { *const_cast<volatile std::byte*>(memory.view().data()) = std::byte{1}; }), 128 + SIGSEGV);
    auto copy = mapped(*shm, {.private_copy = true});
    copy.bytes()[0] = std::byte{1};
    EXPECT_EQ(memory.view()[0], std::byte{0});
}

TEST(sys_posix_shm, posix_shm_another_kind_of_object_at_the_name_is_wrong_kind) {
    for (const std::string kind : {"directory", "symlink", "fifo", "socket"}) {
        const shm_name name;
        int planted = 0;
        if (kind == "directory") planted = ::mkdir(name.path().c_str(), 0700);
        if (kind == "symlink") planted = ::symlink("/etc/passwd", name.path().c_str());
        if (kind == "fifo") planted = ::mkfifo(name.path().c_str(), 0600);
        ASSERT_EQ(planted, 0);
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (kind == "socket") {
            sockaddr_un address{};
            address.sun_family = AF_UNIX;
            std::strncpy(address.sun_path, name.path().c_str(), sizeof address.sun_path - 1);
            ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        }
        EXPECT_TRUE(fails_with(posix_shm::open(name.text), errc::wrong_kind)) << kind;
        EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.access = memory_access::read_only}), errc::wrong_kind))
            << kind;
        EXPECT_TRUE(
            fails_with(posix_shm::open(name.text, {.create = creation::create_or_open, .size = 10}), errc::wrong_kind))
            << kind;
        ::close(fd);
    }
}

TEST(sys_posix_shm, posix_shm_without_the_right_it_is_not_permitted) {
    NEEDS_ROOT();
    const shm_name name;
    const auto shm = made(name, 4096);
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(fails_with(posix_shm::open(name.text), errc::not_permitted, EACCES));
                  CHILD_CHECK(fails_with(unlink_posix_shm(name.text), errc::not_permitted));
                  return 0;
              }));
    ASSERT_EQ(::fchmod(shm.native().get(), 0644), 0);
    EXPECT_EQ(0, as_nobody([&] {
                  CHILD_CHECK(posix_shm::open(name.text, {.access = memory_access::read_only}));
                  CHILD_CHECK(fails_with(posix_shm::open(name.text), errc::not_permitted, EACCES));
                  return 0;
              }));
}

TEST(sys_posix_shm, posix_shm_G1_an_error_names_operation_object_and_errno) {
    const auto failure = posix_shm::open("/kith-test-no-such-object").error();
    EXPECT_STREQ(failure.operation(), "shm_open");
    EXPECT_EQ(failure.object().text(), "/kith-test-no-such-object");
    EXPECT_EQ(failure.os_error(), ENOENT);
    const shm_name name;
    EXPECT_EQ(made(name, 10).map({.length = 11}).error().object(), kith::object_ref::name(name.text));
}

TEST(sys_posix_shm, posix_shm_G2_signals_disturb_neither_reserving_nor_waiting) {
    const shm_name name;
    const signal_storm storm{500us};
    ASSERT_TRUE(ok(posix_shm::open(name.text, {.create = creation::must_be_new, .size = 64 << 20})));
    ASSERT_TRUE(ok(unlink_posix_shm(name.text)));
    const int fd = ::shm_open(name.text.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ::close(fd);
    const auto before = deadline::clock::now();
    EXPECT_TRUE(fails_with(posix_shm::open(name.text, {}, deadline::in(40ms)), errc::timed_out));
    EXPECT_GE(deadline::clock::now() - before, 40ms);
    EXPECT_TRUE(
        fails_with(posix_shm::open(name.text, {}, {deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}

TEST(sys_posix_shm, posix_shm_G4_the_descriptor_is_closed_on_exec_and_none_leaks) {
    const shm_name name;
    const int before = open_descriptors();
    {
        const auto shm = made(name, 4096);
        EXPECT_TRUE(::fcntl(shm.native().get(), F_GETFD) & FD_CLOEXEC);
        EXPECT_FALSE(posix_shm::open(name.text, {.size = 1}));
        EXPECT_FALSE(posix_shm::open(name.text, {.size = 9999}, deadline::immediate()));
        const auto memory = mapped(shm);
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST(sys_posix_shm, posix_shm_G8_another_mount_of_dev_shm_does_not_have_the_name) {
    const shm_name name;
    made(name, 4096);
    EXPECT_DONE(with_dev_shm_of("64k", [&] {
        CHILD_CHECK(fails_with(posix_shm::open(name.text), errc::not_found, ENOENT));
        return 0;
    }));
    EXPECT_TRUE(ok(posix_shm::open(name.text)));
}

TEST(sys_posix_shm, posix_shm_G9_an_object_outlives_its_creator_until_it_is_removed) {
    const shm_name name;
    EXPECT_EQ(child{[&] {
                  mapped(made(name, 4096)).bytes()[3] = std::byte{5};
                  return 0;
              }}.wait(),
              0);
    const auto left = posix_shm::open(name.text, {.size = 4096});
    ASSERT_TRUE(ok(left));
    EXPECT_EQ(mapped(*left).view()[3], std::byte{5});
}

TEST(sys_posix_shm, posix_shm_G13_a_child_inherits_the_mapping) {
    const shm_name name;
    auto memory = mapped(made(name, 4096));
    child kin{[&] {
        memory.bytes()[0] = std::byte{1};
        memory.unmap();
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(memory.view()[0], std::byte{1});
}

TEST(sys_posix_shm, posix_shm_trap05_an_object_of_another_size_under_the_same_name_is_noticed) {
    const shm_name name;
    made(name, 4096);
    for (const auto create : {creation::must_exist, creation::create_or_open}) {
        EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.create = create, .size = 4095}), errc::wrong_size));
        EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.create = create, .size = 4097}, deadline::in(5ms)),
                               errc::wrong_size));
    }
    EXPECT_TRUE(fails_with(posix_shm::open(name.text, {.size = 4097, .wait_for_size = false}), errc::wrong_size));
    EXPECT_TRUE(ok(posix_shm::open(name.text, {.size = 4096})));
}

TEST(sys_posix_shm, posix_shm_trap06_a_killed_creator_leaves_the_object_and_its_removal_hurts_nobody) {
    const shm_name name;
    child creator{[&] {
        auto memory = mapped(made(name, 4096));
        memory.bytes()[0] = std::byte{1};
        ::raise(SIGKILL);
        return 0;
    }};
    EXPECT_EQ(creator.wait(), 128 + SIGKILL);
    const auto left = posix_shm::open(name.text, {.size = 4096});
    ASSERT_TRUE(ok(left));
    auto memory = mapped(*left);
    ASSERT_TRUE(ok(unlink_posix_shm(name.text)));
    memory.bytes()[1] = std::byte{2};
    EXPECT_EQ(memory.view()[0], std::byte{1});
}

TEST(sys_posix_shm, posix_shm_trap13_dev_shm_fills_up_while_objects_are_made) {
    EXPECT_DONE(with_dev_shm_of("1m", [] {
        std::string name = "/n";
        for (;; name += 'n') {
            const auto shm = posix_shm::open(name, {.create = creation::must_be_new, .size = 100000});
            if (!shm) {
                CHILD_CHECK(fails_with(shm, errc::no_space, ENOSPC));
                break;
            }
            auto memory = shm->map();
            std::memset(memory->bytes().data(), 1, memory->size());
        }
        CHILD_CHECK(name.size() >= 6);
        CHILD_CHECK(fails_with(posix_shm::open(name), errc::not_found));
        return 0;
    }));
}

TEST(sys_posix_shm, posix_shm_trap19_two_mappings_of_one_object_lie_at_different_addresses) {
    const shm_name name;
    const auto shm = made(name, 4096);
    auto one = mapped(shm);
    const auto two = mapped(shm);
    EXPECT_NE(one.view().data(), two.view().data());
    one.bytes()[4000] = std::byte{1};
    EXPECT_EQ(two.view()[4000], std::byte{1});
}

TEST(sys_posix_shm, posix_shm_creators_and_removers_race_without_a_wrong_answer) {
    const shm_name name;
    child other{[&] {
        for (int i = 0; i < 300; ++i) static_cast<void>(unlink_posix_shm(name.text));
        return 0;
    }};
    for (int i = 0; i < 300; ++i) {
        const auto shm = posix_shm::open(name.text, {.create = creation::create_or_open, .size = 4096});
        ASSERT_TRUE(ok(shm));
        EXPECT_EQ(*shm->size(), 4096u);
    }
    EXPECT_EQ(other.wait(), 0);
}

TEST(sys_posix_shm, posix_shm_map_refuses_what_has_no_memory) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    EXPECT_TRUE(fails_with(map(kith::borrowed_fd{ends[0]}), errc::wrong_kind));
    EXPECT_TRUE(fails_with(map(kith::borrowed_fd{-1}), errc::invalid, EBADF));
    ::close(ends[0]);
    ::close(ends[1]);
}

}  // namespace
