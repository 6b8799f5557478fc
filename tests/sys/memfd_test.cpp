// memfd and seals: SEMANTICS R4-R8, the G items that concern them, and classic traps 5 and 13.
#include <kith/sys/memfd.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <string>

#include <kith/observer.hpp>
#include "base/uapi.hpp"
#include "support/child.hpp"
#include "support/huge_pages.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::errc;
using namespace kith::sys;

#define EXPECT_DONE(status)                                         \
    do {                                                            \
        const int ended = (status);                                 \
        if (ended == 77) GTEST_SKIP() << "the kernel refuses this"; \
        EXPECT_EQ(ended, 0);                                        \
    } while (false)

memfd made(const memfd_options& options = {.size = 4096}) {
    auto file = memfd::create("kith-test", options);
    EXPECT_TRUE(ok(file));
    return std::move(*file);
}
mapping mapped(const memfd& file, const map_options& options = {}) {
    auto memory = file.map(options);
    EXPECT_TRUE(ok(memory));
    return std::move(*memory);
}
constexpr map_options reading{.access = memory_access::read_only};

int fallbacks = 0;
void count_fallbacks() {
    fallbacks = 0;
    kith::set_observer([](const kith::event& what, void*) noexcept {
        if (what.kind == kith::event_kind::fallback_taken) ++fallbacks;
    });
}

// Sends a descriptor over a socket, in the kernel's plain form.
void send_descriptor(int socket, int fd) {
    char byte = 'x';
    iovec part{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    EXPECT_EQ(::sendmsg(socket, &message, MSG_NOSIGNAL), 1);
}
kith::owned_fd receive_descriptor(int socket) {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || message.msg_controllen == 0) return {};
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return kith::owned_fd{fd};
}

TEST(sys_memfd, memfd_R4_the_name_has_at_most_249_bytes) {
    EXPECT_TRUE(ok(memfd::create(std::string(249, 'x'))));
    EXPECT_TRUE(fails_with(memfd::create(std::string(250, 'x')), errc::too_long, EINVAL));
    EXPECT_TRUE(ok(memfd::create("")));
    EXPECT_TRUE(fails_with(memfd::create(std::string_view{"a\0b", 3}), errc::invalid));
}

TEST(sys_memfd, memfd_R4_an_unsealable_one_takes_no_seals_and_neither_does_posix_shm) {
    auto file = made({.size = 4096, .sealable = false});
    EXPECT_TRUE(contains(*file.current_seals(), seals::more));
    EXPECT_TRUE(fails_with(file.add_seals(seals::shrink), errc::not_permitted, EPERM));
    const auto name = std::string{"/"}.append(unique_name("seal"));
    const int shm = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(shm, 0);
    ::shm_unlink(name.c_str());
    EXPECT_EQ(*seals_of(kith::borrowed_fd{shm}), seals::more);
    ::close(shm);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    EXPECT_TRUE(fails_with(seals_of(kith::borrowed_fd{ends[0]}), errc::wrong_kind, EINVAL));
    EXPECT_TRUE(fails_with(seals_of(kith::borrowed_fd{-1}), errc::invalid, EBADF));
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(sys_memfd, memfd_R5_shrink_and_grow_fix_the_size) {
    auto file = made();
    ASSERT_TRUE(ok(file.resize(8192)));
    ASSERT_TRUE(ok(file.resize(4096)));
    ASSERT_TRUE(ok(file.add_seals(seals::shrink)));
    EXPECT_TRUE(fails_with(file.resize(100), errc::not_permitted, EPERM));
    ASSERT_TRUE(ok(file.resize(8192)));
    ASSERT_TRUE(ok(file.add_seals(seals::grow)));
    EXPECT_TRUE(fails_with(file.resize(10000), errc::not_permitted, EPERM));
    EXPECT_EQ(*file.size(), 8192u);
}

TEST(sys_memfd, memfd_R5_write_needs_every_writable_mapping_gone_and_then_nobody_writes) {
    auto file = made();
    auto writer = mapped(file);
    writer.bytes()[0] = std::byte{1};
    EXPECT_TRUE(fails_with(file.add_seals(seals::write), errc::would_block, EBUSY));
    writer.unmap();
    ASSERT_TRUE(ok(file.add_seals(seals::write)));
    EXPECT_EQ(::pwrite(file.native().get(), "x", 1, 0), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_TRUE(fails_with(file.map(), errc::not_permitted, EPERM));
    EXPECT_EQ(mapped(file, reading).view()[0], std::byte{1});
}

TEST(sys_memfd, memfd_R5_future_write_leaves_existing_mappings_alone) {
    auto file = made();
    auto writer = mapped(file);
    ASSERT_TRUE(ok(file.add_seals(seals::future_write)));
    writer.bytes()[0] = std::byte{7};
    EXPECT_TRUE(fails_with(file.map(), errc::not_permitted, EPERM));
    EXPECT_EQ(::pwrite(file.native().get(), "x", 1, 0), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(mapped(file, reading).view()[0], std::byte{7});
}

TEST(sys_memfd, memfd_R5_more_ends_the_sealing) {
    auto file = made();
    ASSERT_TRUE(ok(file.add_seals(constant_seals)));
    EXPECT_TRUE(contains(*file.current_seals(), constant_seals));
    EXPECT_TRUE(fails_with(file.add_seals(seals::future_write), errc::not_permitted, EPERM));
    EXPECT_TRUE(fails_with(made().add_seals(static_cast<seals>(0x4000)), errc::invalid, EINVAL));
}

TEST(sys_memfd, memfd_R5_a_receiver_refuses_what_is_not_sealed_as_it_needs) {
    auto file = made();
    const auto copy = [&] { return std::move(*kith::duplicate(file.native())); };
    EXPECT_TRUE(fails_with(memfd::receive(copy()), errc::bad_peer));  // it could be cut: SIGBUS
    ASSERT_TRUE(ok(file.add_seals(seals::shrink)));
    EXPECT_TRUE(ok(memfd::receive(copy())));
    EXPECT_TRUE(fails_with(memfd::receive(copy(), seals::shrink | seals::write), errc::bad_peer));
    EXPECT_TRUE(fails_with(expect_sealed(file.native(), seals::shrink, 4097), errc::bad_peer));
    EXPECT_TRUE(ok(expect_sealed(file.native(), seals::shrink, 4096)));
    ASSERT_TRUE(ok(file.add_seals(seals::write)));
    EXPECT_TRUE(ok(memfd::receive(copy(), seals::shrink | seals::write)));
    const temp_dir dir;
    const kith::owned_fd plain{::open(dir.path("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    const auto refused = expect_sealed(plain.borrow(), seals::shrink);
    ASSERT_FALSE(refused);  // a tmpfs gives its files one seal, other file systems none
    EXPECT_TRUE(refused.error().code() == errc::wrong_kind || refused.error().code() == errc::bad_peer);
}

TEST(sys_memfd, memfd_R5_a_sealed_sender_cannot_cut_what_the_receiver_mapped) {
    auto file = made({.size = 8192});
    ASSERT_TRUE(ok(file.add_seals(seals::shrink)));
    const auto memory = mapped(file, reading);
    EXPECT_EQ(child{[&] { return file.resize(0) ? 1 : 0; }}.wait(), 0);
    EXPECT_EQ(memory.view()[8191], std::byte{0});
}

TEST(sys_memfd, memfd_R6_a_write_sealed_file_can_be_read_shared_or_privately_and_never_made_writable) {
    auto file = made();
    mapped(file).bytes()[5] = std::byte{9};
    ASSERT_TRUE(ok(file.add_seals(constant_seals)));
    auto memory = mapped(file, reading);
    EXPECT_EQ(memory.view()[5], std::byte{9});
    auto* const page = const_cast<std::byte*>(memory.view().data());
    count_fallbacks();
    const bool shared = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file.native().get(), 0) != MAP_FAILED;
    if (shared) {
        EXPECT_EQ(::mprotect(page, 4096, PROT_READ | PROT_WRITE), -1);
        EXPECT_EQ(errno, EACCES);
    }
    static_cast<void>(mapped(file, reading));
    EXPECT_EQ(fallbacks, shared ? 0 : 1);
    kith::set_observer(nullptr);
    auto own = mapped(file, {.private_copy = true});
    own.bytes()[5] = std::byte{1};
    EXPECT_EQ(memory.view()[5], std::byte{9});
}

TEST(sys_memfd, memfd_R6_on_a_kernel_that_refuses_the_shared_mapping_a_private_one_is_made) {
    EXPECT_DONE(child{[] {
                    auto file = made();
                    mapped(file).bytes()[5] = std::byte{9};
                    CHILD_CHECK(file.add_seals(constant_seals));
                    if (!deny({{.number = SYS_mmap,
                                .os_error = EPERM,
                                .argument = 3,
                                .mask = MAP_SHARED | MAP_PRIVATE,
                                .value = MAP_SHARED}}))
                        return 77;
                    count_fallbacks();
                    const auto memory = file.map(reading);
                    CHILD_CHECK(memory && memory->view()[5] == std::byte{9});
                    CHILD_CHECK(fallbacks == 1);
                    // Where the contents can still change a private mapping would show something else: no fallback.
                    CHILD_CHECK(fails_with(made().map(reading), errc::not_permitted, EPERM));
                    CHILD_CHECK(fails_with(file.map(), errc::not_permitted, EPERM));
                    return 0;
                }}.wait());
}

TEST(sys_memfd, memfd_R7_it_cannot_be_executed_and_that_is_sealed) {
    const auto file = made();
    const int probe = ::memfd_create("probe", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (probe < 0) GTEST_SKIP() << "no MFD_NOEXEC_SEAL here";
    ::close(probe);
    EXPECT_EQ(*file.current_seals(), seals::exec);
    struct stat info{};
    ASSERT_EQ(::fstat(file.native().get(), &info), 0);
    EXPECT_EQ(info.st_mode & 0111U, 0u);
    EXPECT_EQ(::fchmod(file.native().get(), 0777), -1);
    EXPECT_EQ(errno, EPERM);
    const auto program = made({.executable = true});
    ASSERT_EQ(::fstat(program.native().get(), &info), 0);
    EXPECT_EQ(info.st_mode & 0111U, 0111U);
    EXPECT_FALSE(contains(*program.current_seals(), seals::exec));
}

TEST(sys_memfd, memfd_R7_on_a_kernel_without_MFD_NOEXEC_SEAL_it_is_made_without) {
    EXPECT_DONE(
        child{[] {
            for (const unsigned flag : {MFD_NOEXEC_SEAL, MFD_EXEC})
                if (!deny(
                        {{.number = SYS_memfd_create, .os_error = EINVAL, .argument = 1, .mask = flag, .value = flag}}))
                    return 77;
            count_fallbacks();
            auto file = memfd::create("old", {.size = 4096});
            CHILD_CHECK(file && *file->current_seals() == seals::none);
            CHILD_CHECK(memfd::create("old", {.executable = true}));
            CHILD_CHECK(fallbacks == 1);  // remembered
            CHILD_CHECK(file->add_seals(constant_seals));
            const auto fixed = memfd::create("old", {.size = 1, .sealable = false});
            CHILD_CHECK(fixed && *fixed->current_seals() == seals::more);
            return 0;
        }}.wait());
}

TEST(sys_memfd, memfd_R7_an_administrator_can_forbid_executable_ones) {
    EXPECT_DONE(child{[] {
                    if (!deny({{.number = SYS_memfd_create,
                                .os_error = EACCES,
                                .argument = 1,
                                .mask = MFD_EXEC,
                                .value = MFD_EXEC}}))
                        return 77;
                    CHILD_CHECK(fails_with(memfd::create("x", {.executable = true}), errc::not_permitted, EACCES));
                    CHILD_CHECK(memfd::create("x"));
                    return 0;
                }}.wait());
}

TEST(sys_memfd, memfd_R7_huge_pages_that_nobody_reserved_are_an_error_and_no_SIGBUS) {
    const huge_page_pool pool;
    if (!huge_page_pool::is_empty()) GTEST_SKIP() << "huge pages are free here, or there are none of 2 MiB";
    const auto refused = memfd::create("huge", {.size = 1 << 21, .huge = huge_pages::of_2_mib});
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().code() == errc::no_space || refused.error().code() == errc::not_permitted)
        << kith::describe(refused.error());
    const auto later = memfd::create("huge", {.size = 1, .huge = huge_pages::of_2_mib, .reserve = false});
    if (later) {
        EXPECT_TRUE(fails_with(later->map(), errc::out_of_memory, ENOMEM));
    }
}

TEST(sys_memfd, memfd_R7_reserved_huge_pages_back_a_file_rounded_up_to_them) {
    NEEDS_ROOT();
    huge_page_pool pool;
    if (!pool.add(2)) GTEST_SKIP() << "no two huge pages can be had";
    const auto file = made({.size = 3000000, .huge = huge_pages::of_2_mib});
    EXPECT_EQ(*file.size(), std::size_t{4 << 20});
    auto memory = mapped(file, {.populate = true});
    memory.bytes().back() = std::byte{1};
    const auto part = mapped(file, {.offset = (2 << 20) + 5000, .length = 100});
    EXPECT_EQ(part.size(), 100u);
    memory.bytes()[(2 << 20) + 5001] = std::byte{8};
    EXPECT_EQ(part.view()[1], std::byte{8});
}

TEST(sys_memfd, memfd_R8_passed_over_a_socket_it_shares_memory_and_offset) {
    int sockets[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    child receiver{[&] {
        auto file = memfd::receive(receive_descriptor(sockets[1]), seals::shrink | seals::grow, 4096);
        CHILD_CHECK(file);
        CHILD_CHECK(::lseek(file->native().get(), 0, SEEK_CUR) == 10);  // the sender's offset is ours
        char text[6] = {};
        CHILD_CHECK(::pread(file->native().get(), text, 5, 100) == 5 && std::strcmp(text, "hello") == 0);
        file->map()->bytes()[200] = std::byte{1};
        return 0;
    }};
    auto file = made();
    std::memcpy(mapped(file).bytes().data() + 100, "hello", 5);
    ASSERT_TRUE(ok(file.add_seals(seals::shrink | seals::grow)));
    ::lseek(file.native().get(), 10, SEEK_SET);
    send_descriptor(sockets[0], file.native().get());
    EXPECT_EQ(receiver.wait(), 0);
    EXPECT_EQ(mapped(file).view()[200], std::byte{1});
    for (const int fd : sockets) ::close(fd);
}

TEST(sys_memfd, memfd_R8_through_proc_it_can_be_opened_by_who_has_the_right) {
    auto file = made();
    mapped(file).bytes()[0] = std::byte{4};
    const auto path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file.native().get());
    EXPECT_EQ(child{[&] {
                  const kith::owned_fd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
                  CHILD_CHECK(fd.valid());
                  auto memory = map(fd.borrow());
                  CHILD_CHECK(memory && memory->view()[0] == std::byte{4});
                  memory->bytes()[1] = std::byte{5};
                  return 0;
              }}.wait(),
              0);
    EXPECT_EQ(mapped(file).view()[1], std::byte{5});
    if (is_root()) {
        EXPECT_EQ(0, as_nobody([&] {
                      CHILD_CHECK(::open(path.c_str(), O_RDWR | O_CLOEXEC) == -1 && errno == EACCES);
                      return 0;
                  }));
    }
}

TEST(sys_memfd, memfd_G4_the_descriptor_is_closed_on_exec_and_none_leaks) {
    const int before = open_descriptors();
    {
        auto file = made();
        EXPECT_TRUE(::fcntl(file.native().get(), F_GETFD) & FD_CLOEXEC);
        const auto memory = mapped(file);
        EXPECT_FALSE(memfd::create("big", {.size = static_cast<std::size_t>(-1)}));
        auto other = made();
        file = std::move(other);
        const auto away = file.release();
        EXPECT_TRUE(away.valid());
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST(sys_memfd, memfd_G9_the_memory_goes_with_its_last_holder) {
    auto file = made();
    const auto path = "/proc/self/fd/" + std::to_string(file.native().get());
    auto memory = mapped(file);
    file = made();
    memory.bytes()[0] = std::byte{1};  // kept by the mapping
    EXPECT_EQ(memory.view()[0], std::byte{1});
    std::string target(100, '\0');
    const auto length = ::readlink(path.c_str(), target.data(), target.size());
    EXPECT_LT(length, 0);
}

TEST(sys_memfd, memfd_G13_a_child_inherits_descriptor_and_mapping) {
    auto file = made();
    auto memory = mapped(file);
    EXPECT_EQ(child{[&] {
                  memory.bytes()[0] = std::byte{1};
                  file.map()->bytes()[1] = std::byte{2};
                  return 0;
              }}.wait(),
              0);
    EXPECT_EQ(memory.view()[0], std::byte{1});
    EXPECT_EQ(memory.view()[1], std::byte{2});
}

TEST(sys_memfd, memfd_trap13_every_byte_is_reserved_unless_asked_otherwise) {
    struct stat file{};
    const auto reserved = made({.size = 1 << 20});
    ASSERT_EQ(::fstat(reserved.native().get(), &file), 0);
    EXPECT_EQ(file.st_blocks * 512, 1 << 20);
    const auto lazy = made({.size = 1 << 20, .reserve = false});
    ASSERT_EQ(::fstat(lazy.native().get(), &file), 0);
    EXPECT_EQ(file.st_blocks, 0);
    EXPECT_EQ(*lazy.size(), std::size_t{1 << 20});
}

TEST(sys_memfd, memfd_a_file_size_limit_is_an_error_and_no_SIGXFSZ) {
    EXPECT_EQ(child{[] {
                  rlimit limit{};
                  limit.rlim_cur = limit.rlim_max = 4096;
                  CHILD_CHECK(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
                  CHILD_CHECK(fails_with(memfd::create("x", {.size = 4097}), errc::limit_reached, EFBIG));
                  CHILD_CHECK(memfd::create("x", {.size = 4096}));
                  return 0;
              }}.wait(),
              0);
}

TEST(sys_memfd, memfd_out_of_descriptors_is_limit_reached) {
    EXPECT_EQ(child{[] {
                  rlimit none{};
                  none.rlim_cur = none.rlim_max = 3;
                  CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
                  CHILD_CHECK(fails_with(memfd::create("x"), errc::limit_reached, EMFILE));
                  return 0;
              }}.wait(),
              0);
}

}  // namespace
