// memory - System V, POSIX and anonymous shared memory, each guarded by the semaphores that go with it.
#include <fmt/format.h>
#include <kith/sys/memfd.hpp>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/posix_shm.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <kith/sys/sysv_shm.hpp>
#include <kith/sys/unix_listener.hpp>
#include <sstream>

#include "tour/peer.hpp"
#include "tour/remains.hpp"
#include "tour/row.hpp"
#include "tour/rows/ring.hpp"

namespace kith_cli::tour {
namespace {

namespace sys = kith::sys;

// ---- System V: a segment and a set of two semaphores

struct sysv_guards {
    sys::sysv_sem set;
    kith::result<void> wait_free() { return set.wait(0); }
    kith::result<void> post_full() { return set.post(1); }
    kith::result<void> wait_full() { return set.wait(1); }
    kith::result<void> post_free() { return set.post(0); }
};

class sysv_shm_stage final : public stage {
public:
    sysv_shm_stage(sys::sysv_sem set, sys::sysv_shm memory) : set_{set}, memory_{memory} {}
    ~sysv_shm_stage() override {
        static_cast<void>(set_.remove());
        static_cast<void>(memory_.remove());
    }
    [[nodiscard]] std::string where() const override {
        return fmt::format("{}/{}", set_.native_id(), memory_.native_id());
    }

private:
    sys::sysv_sem set_;
    sys::sysv_shm memory_;
};

outcome<std::unique_ptr<stage>> set_up_sysv_shm(const stage_options& options) {
    constexpr std::uint16_t free_and_full[] = {ring_blocks, 0};
    auto set =
        sys::sysv_sem::open(key_of(options.name), {.create = sys::creation::must_be_new, .values = free_and_full});
    if (!set) return pass_on(set);
    auto memory = sys::sysv_shm::open(key_of(options.name), {.create = sys::creation::must_be_new, .size = ring_bytes});
    if (!memory) {
        static_cast<void>(set->remove());
        return pass_on(memory);
    }
    return std::make_unique<sysv_shm_stage>(*set, *memory);
}

void clear_sysv_shm(const remains& of) {
    remove_remains(of, sys::sysv_sem::open(key_of(of.name), {.ready = sys::sem_readiness::assumed}));
    remove_remains(of, sys::sysv_shm::open(key_of(of.name)));
}

struct sysv_part {
    sysv_guards guards;
    sys::sysv_attachment memory;
};

outcome<sysv_part> attach_sysv(const peer& self, sys::memory_access access) {
    int set_id = -1;
    int memory_id = -1;
    char slash = 0;
    std::istringstream{self.where()} >> set_id >> slash >> memory_id;
    auto segment = sys::sysv_shm::open_id(memory_id, ring_bytes);
    if (!segment) return pass_on(segment);
    auto attached = segment->attach({.access = access});
    if (!attached) return pass_on(attached);
    return sysv_part{{sys::sysv_sem::from_id(set_id, 2)}, std::move(*attached)};
}

outcome<void> receive_sysv_shm(peer& self) {
    auto part = attach_sysv(self, sys::memory_access::read_only);
    if (!part) return pass_on(part);
    self.ready(self.where());
    return receive_ring(self, part->memory.view(), part->guards);
}

outcome<void> send_sysv_shm(peer& self) {
    auto part = attach_sysv(self, sys::memory_access::read_write);
    if (!part) return pass_on(part);
    return send_ring(self, part->memory.bytes(), part->guards);
}

// ---- POSIX: an object in /dev/shm and two named semaphores

struct posix_guards {
    sys::posix_sem free;
    sys::posix_sem full;
    kith::result<void> wait_free() { return free.wait(); }
    kith::result<void> post_full() { return full.post(); }
    kith::result<void> wait_full() { return full.wait(); }
    kith::result<void> post_free() { return free.post(); }
};

class posix_shm_stage final : public stage {
public:
    explicit posix_shm_stage(std::string name) : name_{std::move(name)} {}
    ~posix_shm_stage() override {
        static_cast<void>(sys::unlink_posix_shm(name_));
        static_cast<void>(sys::unlink_posix_sem(name_ + "-free"));
        static_cast<void>(sys::unlink_posix_sem(name_ + "-full"));
    }
    [[nodiscard]] std::string where() const override { return name_; }

private:
    std::string name_;
};

outcome<posix_guards> open_posix_guards(const std::string& name, sys::creation create) {
    auto free = sys::posix_sem::open(name + "-free", {.create = create, .value = ring_blocks});
    if (!free) return pass_on(free);
    auto full = sys::posix_sem::open(name + "-full", {.create = create, .value = 0});
    if (!full) return pass_on(full);
    return posix_guards{std::move(*free), std::move(*full)};
}

outcome<std::unique_ptr<stage>> set_up_posix_shm(const stage_options& options) {
    auto made = std::make_unique<posix_shm_stage>('/' + options.name);
    if (auto memory = sys::posix_shm::open(made->where(), {.create = sys::creation::must_be_new, .size = ring_bytes});
        !memory)
        return pass_on(memory);
    if (auto guards = open_posix_guards(made->where(), sys::creation::must_be_new); !guards) return pass_on(guards);
    return made;
}

void clear_posix_shm(const remains& of) { posix_shm_stage{'/' + of.name}; }

outcome<sys::mapping> map_posix(const std::string& name, sys::memory_access access) {
    auto memory = sys::posix_shm::open(name, {.size = ring_bytes, .access = access});
    if (!memory) return pass_on(memory);
    auto mapped = memory->map({.access = access});
    if (!mapped) return pass_on(mapped);
    return std::move(*mapped);
}

outcome<void> receive_posix_shm(peer& self) {
    auto memory = map_posix(self.where(), sys::memory_access::read_only);
    if (!memory) return pass_on(memory);
    auto guards = open_posix_guards(self.where(), sys::creation::must_exist);
    if (!guards) return pass_on(guards);
    self.ready(self.where());
    return receive_ring(self, memory->view(), *guards);
}

outcome<void> send_posix_shm(peer& self) {
    auto memory = map_posix(self.where(), sys::memory_access::read_write);
    if (!memory) return pass_on(memory);
    auto guards = open_posix_guards(self.where(), sys::creation::must_exist);
    if (!guards) return pass_on(guards);
    return send_ring(self, memory->bytes(), *guards);
}

// ---- memfd: memory without a name, passed over a socket, with unnamed semaphores in its first page

constexpr std::size_t guards_bytes = 4096;
constexpr std::size_t memfd_bytes = guards_bytes + ring_bytes;
constexpr auto fixed_size = sys::seals::more | sys::seals::shrink | sys::seals::grow;

struct unnamed_guards {
    sys::unnamed_sem* free;
    sys::unnamed_sem* full;
    kith::result<void> wait_free() { return free->wait(); }
    kith::result<void> post_full() { return full->post(); }
    kith::result<void> wait_full() { return full->wait(); }
    kith::result<void> post_free() { return free->post(); }
};

kith::byte_span free_place(kith::byte_span memory) { return memory.subspan(0, 64); }
kith::byte_span full_place(kith::byte_span memory) { return memory.subspan(64, 64); }

class memfd_stage final : public stage {
public:
    explicit memfd_stage(std::string path) : path_{std::move(path)} {}
    [[nodiscard]] std::string where() const override { return path_; }

private:
    std::string path_;  // the receiver removes it, and else the directory goes with all that is in it
};

outcome<std::unique_ptr<stage>> set_up_memfd(const stage_options& options) {
    return std::make_unique<memfd_stage>(options.directory + "/memfd.sock");
}

outcome<void> receive_memfd(peer& self) {
    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto listener = sys::listen_unix_stream(*name);
    if (!listener) return pass_on(listener);
    self.ready(self.where());
    auto connection = listener->accept();
    if (!connection) return pass_on(connection);
    listener->close();
    std::byte greeting;
    kith::owned_fd descriptor;
    if (auto got = connection->receive({&greeting, 1}, {&descriptor, 1}); !got) return pass_on(got);
    // Sealed, so that whoever sent it cannot cut the memory off under us.
    auto memory = sys::memfd::receive(std::move(descriptor), sys::seals::shrink, memfd_bytes);
    if (!memory) return pass_on(memory);
    auto mapped = memory->map();
    if (!mapped) return pass_on(mapped);
    const auto free = sys::unnamed_sem::at(free_place(mapped->bytes()));
    if (!free) return pass_on(free);
    const auto full = sys::unnamed_sem::at(full_place(mapped->bytes()));
    if (!full) return pass_on(full);
    unnamed_guards guards{*free, *full};
    return receive_ring(self, mapped->view().subspan(guards_bytes), guards);
}

outcome<void> send_memfd(peer& self) {
    auto memory = sys::memfd::create("kith-tour", {.size = memfd_bytes});
    if (!memory) return pass_on(memory);
    if (auto sealed = memory->add_seals(fixed_size); !sealed) return pass_on(sealed);
    auto mapped = memory->map();
    if (!mapped) return pass_on(mapped);
    const auto free = sys::unnamed_sem::create_at(free_place(mapped->bytes()), ring_blocks);
    if (!free) return pass_on(free);
    const auto full = sys::unnamed_sem::create_at(full_place(mapped->bytes()), 0);
    if (!full) return pass_on(full);

    const auto name = sys::unix_name::path(self.where());
    if (!name) return pass_on(name);
    auto connection = sys::connect_unix_stream(*name);
    if (!connection) return pass_on(connection);
    const auto descriptor = memory->native();
    if (auto sent = connection->send(kith::bytes_of("m"), {.descriptors = {&descriptor, 1}}); !sent)
        return pass_on(sent);
    unnamed_guards guards{*free, *full};
    return send_ring(self, mapped->bytes().subspan(guards_bytes), guards);
}

constexpr row rows[] = {
    {"sysv-shm", "shared memory by key or id; a sysv-sem set guards it", relation::strangers, "memory", "yes",
     set_up_sysv_shm, receive_sysv_shm, send_sysv_shm, false, clear_sysv_shm},
    {"posix-shm", "shared memory by name; two posix-sems guard it", relation::strangers, "memory", "yes",
     set_up_posix_shm, receive_posix_shm, send_posix_shm, false, clear_posix_shm},
    {"memfd", "sealed memory passed over a socket; semaphores in it", relation::strangers, "memory", "no", set_up_memfd,
     receive_memfd, send_memfd},
};

}  // namespace

std::span<const row> memory_rows() { return rows; }

}  // namespace kith_cli::tour
