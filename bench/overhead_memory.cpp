// Shared memory: System V, POSIX, memfd. Touching the memory is the program's own affair: only the calls are measured.
#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>
#include <kith/sys/memfd.hpp>
#include <kith/sys/posix_shm.hpp>
#include <kith/sys/sysv_shm.hpp>

#ifndef MFD_NOEXEC_SEAL  // Linux 6.3
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#ifndef MADV_POPULATE_WRITE  // Linux 5.14
#define MADV_POPULATE_WRITE 23
#endif

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr std::size_t size = 4096;

// fstat, as both sides need it to know the size and that it is memory.
std::size_t bare_size(int fd) {
    struct stat file{};
    must_be(::fstat(fd, &file) == 0 && S_ISREG(file.st_mode));
    return static_cast<std::size_t>(file.st_size);
}
// What keeps a full file system an error: the memory is reserved before the size is set, and a limit on the size of
// files is looked at, because exceeding it would be a signal.
void bare_reserve(int fd) {
    must_be(bare_size(fd) == 0);
    rlimit limit{};
    must_be(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
    must_be(::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size) == 0 && ::ftruncate(fd, size) == 0);
}

struct segment {
    segment() = default;
    ~segment() { ::shmctl(id(), IPC_RMID, nullptr); }
    segment(const segment&) = delete;
    segment& operator=(const segment&) = delete;
    [[nodiscard]] int id() const { return shm.native_id(); }
    sysv_key key{0x6b000000 | (::getpid() & 0xffffff)};
    sysv_shm shm = *must(sysv_shm::open(key, {.create = creation::must_be_new, .size = size}));
};
segment make_segment() { return {}; }

const pair sysv_attach = compare(
    "sysv_shm attach and detach", make_segment,
    [](segment& s) {
        void* const at = ::shmat(s.id(), nullptr, 0);
        must_be(::shmdt(at) == 0);
    },
    [](segment& s) { must(s.shm.attach()); });
const pair sysv_open = compare(
    "sysv_shm open an existing one (shmctl: its size is compared)", make_segment,
    [](segment& s) {
        shmid_ds state{};
        const int id = ::shmget(s.key.value(), 0, 0);
        must_be(id >= 0 && ::shmctl(id, IPC_STAT, &state) == 0 && state.shm_segsz == size);
    },
    [](segment& s) { must(sysv_shm::open(s.key, {.size = size})); });
const pair sysv_status = compare(
    "sysv_shm status", make_segment,
    [](segment& s) {
        shmid_ds state{};
        must_be(::shmctl(s.id(), IPC_STAT, &state) == 0);
        benchmark::DoNotOptimize(state);
    },
    [](segment& s) { must(s.shm.status()); });

struct object {
    object() = default;
    ~object() { ::shm_unlink(name.c_str()); }
    object(const object&) = delete;
    object& operator=(const object&) = delete;
    [[nodiscard]] int fd() const { return shm.native().get(); }
    std::string name = "/kith_bench_" + std::to_string(::getpid());
    posix_shm shm = std::move(*must(posix_shm::open(name, {.create = creation::must_be_new, .size = size})));
};
object make_object() { return {}; }

const pair posix_open = compare(
    "posix_shm open an existing one (fstat: its size is compared) and close", make_object,
    [](object& o) {
        const int fd = ::shm_open(o.name.c_str(), O_RDWR | O_NONBLOCK, 0);
        must_be(fd >= 0 && bare_size(fd) == size);
        ::close(fd);
    },
    [](object& o) { must(posix_shm::open(o.name, {.size = size})); });
const pair posix_create = compare(
    "posix_shm open a new one (reserved), close and unlink_posix_shm",
    [] { return "/kith_bench_new_" + std::to_string(::getpid()); },
    [](const std::string& name) {
        const int fd = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600);
        must_be(fd >= 0);
        bare_reserve(fd);
        ::close(fd);
        must_be(::shm_unlink(name.c_str()) == 0);
    },
    [](const std::string& name) {
        must(posix_shm::open(name, {.create = creation::must_be_new, .size = size}));
        must(unlink_posix_shm(name));
    });
const pair posix_size = compare(
    "posix_shm size", make_object, [](object& o) { must_be(bare_size(o.fd()) == size); },
    [](object& o) { must(o.shm.size()); });
constexpr auto bare_map = [](auto& o) {
    must_be(bare_size(o.fd()) == size);
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, o.fd(), 0);
    must_be(at != MAP_FAILED && ::munmap(at, size) == 0);
};
constexpr auto bare_resize = [](auto& o) { must_be(bare_size(o.fd()) == size && ::ftruncate(o.fd(), size) == 0); };
const pair map_and_unmap = compare("mapping map (fstat: its size is compared) and unmap", make_object, bare_map,
                                   [](object& o) { must(map(o.shm.native())); });

const pair posix_map = compare("posix_shm map (fstat: its size is compared) and unmap", make_object, bare_map,
                               [](object& o) { must(o.shm.map()); });
const pair posix_resize = compare("posix_shm resize, to the same (fstat: whether it grows)", make_object, bare_resize,
                                  [](object& o) { must(o.shm.resize(size)); });
// There and back; what grows is reserved again.
const pair posix_grow = compare(
    "posix_shm resize to nothing, and resize back (reserved)", make_object,
    [](object& o) {
        must_be(bare_size(o.fd()) == size && ::ftruncate(o.fd(), 0) == 0);
        bare_reserve(o.fd());
    },
    [](object& o) { must(o.shm.resize(0)), must(o.shm.resize(size)); });

struct mapped : object {
    mapping memory = std::move(*must(shm.map()));
};
const pair map_populate = compare(
    "mapping populate, present already", [] { return mapped{}; },
    [](mapped& m) { must_be(::madvise(m.memory.bytes().data(), size, MADV_POPULATE_WRITE) == 0); },
    [](mapped& m) { must(m.memory.populate()); });
struct attached : segment {
    sysv_attachment memory = std::move(*must(shm.attach()));
};
const pair attachment_populate = compare(
    "sysv_shm populate, present already", [] { return attached{}; },
    [](attached& m) { must_be(::madvise(m.memory.bytes().data(), size, MADV_POPULATE_WRITE) == 0); },
    [](attached& m) { must(m.memory.populate()); });

const pair memfd_create = compare(
    "memfd create (reserved) and close", no_object,
    [](nothing) {
        const int fd = ::memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        must_be(fd >= 0);
        bare_reserve(fd);
        ::close(fd);
    },
    [](nothing) { must(memfd::create("bench", {.size = size})); });
struct sealed {
    memfd memory = std::move(*must(memfd::create("bench", {.size = size})));
    [[nodiscard]] int fd() const { return memory.native().get(); }
};
sealed make_sealed() { return {}; }
sealed make_constant() {
    sealed made;
    must(made.memory.add_seals(constant_seals));
    return made;
}
// The seals, then the size.
void bare_expect(int fd) {
    const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    must_be((::fcntl(fd, F_GET_SEALS) & all) == all && bare_size(fd) >= size);
}
const pair memfd_seals = compare(
    "memfd current_seals", make_sealed, [](sealed& m) { must_be(::fcntl(m.fd(), F_GET_SEALS) >= 0); },
    [](sealed& m) { must(m.memory.current_seals()); });
const pair memfd_add_seals = compare(
    "memfd add_seals", make_sealed, [](sealed& m) { must_be(::fcntl(m.fd(), F_ADD_SEALS, F_SEAL_SHRINK) == 0); },
    [](sealed& m) { must(m.memory.add_seals(seals::shrink)); });
const pair memfd_size = compare(
    "memfd size", make_sealed, [](sealed& m) { must_be(bare_size(m.fd()) == size); },
    [](sealed& m) { must(m.memory.size()); });
const pair memfd_map = compare("memfd map (fstat: its size is compared) and unmap", make_sealed, bare_map,
                               [](sealed& m) { must(m.memory.map()); });
const pair memfd_resize = compare("memfd resize, to the same (fstat: whether it grows)", make_sealed, bare_resize,
                                  [](sealed& m) { must(m.memory.resize(size)); });
const pair seals_of_any = compare(
    "memfd seals_of", make_sealed, [](sealed& m) { must_be(::fcntl(m.fd(), F_GET_SEALS) >= 0); },
    [](sealed& m) { must(seals_of(m.memory.native())); });
const pair memfd_expect = compare(
    "memfd expect_sealed (fstat: its size is compared)", make_constant, [](sealed& m) { bare_expect(m.fd()); },
    [](sealed& m) { must(expect_sealed(m.memory.native(), constant_seals, size)); });
const pair memfd_receive = compare(
    "memfd receive (F_GET_SEALS, fstat)", make_constant, [](sealed& m) { bare_expect(m.fd()); },
    [](sealed& m) {
        kith::owned_fd fd = m.memory.release();
        m.memory = std::move(*must(memfd::receive(std::move(fd), constant_seals, size)));
    });

}  // namespace
