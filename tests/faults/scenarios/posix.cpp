// POSIX queues, semaphores and shared memory, and memfds: made, used, unlinked.
#include <kith/sys/memfd.hpp>
#include <kith/sys/posix_mq.hpp>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/posix_shm.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <array>
#include <csignal>
#include <fstream>

#include "faults/scenario.hpp"
#include "support/huge_pages.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

constexpr const char* name = "/kith-fault";

// A name that act() made goes with the scenario, unless act() itself got so far.
template <auto Unlink>
class made_name {
public:
    made_name() = default;
    ~made_name() {
        if (exists_) (void)Unlink(name);
    }
    made_name(const made_name&) = delete;
    made_name& operator=(const made_name&) = delete;
    void made() { exists_ = true; }
    kith::result<void> unlink() {
        auto gone = Unlink(name);
        if (gone) exists_ = false;
        return gone;
    }

private:
    bool exists_ = false;
};

class queue : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(mq, posix_mq::open(name, {.create = creation::must_be_new, .max_messages = 2, .message_size = 16}));
        name_.made();
        FAULT_TRY(mq->send(kith::bytes_of("one"), 1));
        FAULT_TRY(mq->send(kith::bytes_of("two"), 2, deadline::in(std::chrono::seconds{5})));
        std::array<std::byte, 16> body;
        FAULT_TRY(mq->receive(body));
        FAULT_TRY(mq->attributes());
        FAULT_TRY(mq->kernel_status());
        FAULT_TRY(mq->drain());
        sigevent quiet{};
        quiet.sigev_notify = SIGEV_NONE;
        FAULT_TRY(mq->notify(quiet));
        FAULT_TRY(mq->cancel_notification());
        FAULT_TRY(read_posix_mq_limits());
        FAULT_TRY(name_.unlink());
        return {};
    }

private:
    made_name<unlink_posix_mq> name_;
};
const listed<queue> queue_in_use{"posix_mq",
                                 {{SYS_mq_open, EINVAL, errc::limit_reached, "above msg_max or msgsize_max"},
                                  {SYS_mq_open, ENOSPC, errc::limit_reached, "queues_max queues exist"},
                                  {SYS_mq_timedsend, EBADF, errc::not_permitted, "opened for receiving"},
                                  {SYS_mq_timedreceive, EBADF, errc::not_permitted, "opened for sending"},
                                  {SYS_mq_timedreceive, EMSGSIZE, errc::truncated, "the message stays"},
                                  {SYS_pread64, EBADF, errc::not_permitted, "opened for sending"},
                                  {SYS_pread64, EINTR, errc::stopped, "asking for the state does not wait"},
                                  {SYS_mq_notify, EBUSY, errc::exists, "another process is to be told"},
                                  {SYS_read, any_error, errc::io, "a limit in /proc"}}};

class queue_found : public scenario {
public:
    void prepare() override {
        const auto mq = posix_mq::open(name, {.create = creation::must_be_new, .max_messages = 2, .message_size = 16});
        name_.made();
        (void)mq->send(kith::bytes_of("left by an earlier run"));
    }
    kith::result<void> act() override {
        FAULT_TRY(posix_mq::open(
            name,
            {.create = creation::create_or_open, .max_messages = 2, .message_size = 16, .old = leftovers::drain}));
        return {};
    }

private:
    made_name<unlink_posix_mq> name_;
};
const listed<queue_found> found_and_drained{"posix_mq_found",
                                            {{SYS_mq_open, EEXIST, {}, "somebody was faster: opened instead"},
                                             {SYS_mq_open, ENOENT, {}, "removed in between: tried again"},
                                             {SYS_mq_open, EINVAL, errc::limit_reached, "above msg_max or msgsize_max"},
                                             {SYS_mq_open, ENOSPC, errc::limit_reached, "queues_max queues exist"},
                                             {SYS_mq_timedreceive, EBADF, errc::not_permitted, "opened for sending"},
                                             {SYS_mq_timedreceive, EMSGSIZE, errc::truncated, "the message stays"}}};

// A descriptor from elsewhere, in blocking mode; and messages for which the stack has no room.
class queue_adopted : public scenario {
public:
    void prepare() override {
        // Of this IPC namespace.
        std::ofstream{"/proc/sys/fs/mqueue/msgsize_max"} << large;
        const auto mq =
            posix_mq::open(name, {.create = creation::must_be_new, .max_messages = 2, .message_size = large});
        name_.made();
        fd_ = kith::owned_fd{::mq_open(name, O_RDWR | O_CLOEXEC)};
    }
    kith::result<void> act() override {
        FAULT_MAKE(mq, posix_mq::adopt(std::move(fd_)));
        FAULT_TRY(mq->send(kith::bytes_of("one")));
        FAULT_TRY(mq->drain());
        static std::array<std::byte, large> body;
        const auto late = mq->receive(body, deadline::in(std::chrono::milliseconds{1}));
        if (!late && late.error().code() != errc::timed_out) return kith::fail(late.error());
        return {};
    }

private:
    static constexpr std::size_t large = 16384;
    made_name<unlink_posix_mq> name_;
    kith::owned_fd fd_;
};
const listed<queue_adopted> adopted_queue{
    "posix_mq_adopted",
    {{SYS_mq_getsetattr, EBADF, errc::wrong_kind, "not a queue"},
     {SYS_mq_timedsend, EBADF, errc::not_permitted, "opened for receiving"},
     {SYS_mq_timedsend, ETIMEDOUT, {}, "so the kernel says that there is no room now"},
     {SYS_mq_timedreceive, EBADF, errc::not_permitted, "opened for sending"},
     {SYS_mq_timedreceive, EMSGSIZE, errc::truncated, "the message stays"},
     {SYS_mq_timedreceive, ETIMEDOUT, {}, "so the kernel says that nothing is there now"},
     {SYS_mmap, any_error, errc::out_of_memory, "memory for one call", ENOMEM}}};

class semaphore : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(sem, posix_sem::open(name, {.create = creation::must_be_new, .value = 1}));
        name_.made();
        FAULT_TRY(sem->wait());
        FAULT_TRY(sem->post());
        FAULT_TRY(sem->value());
        FAULT_TRY(sem->wait(deadline::in(std::chrono::seconds{5})));
        FAULT_FAILS(sem->wait(deadline::in(std::chrono::milliseconds{1})), errc::timed_out);
        FAULT_TRY(name_.unlink());
        return {};
    }

private:
    made_name<unlink_posix_sem> name_;
};
const listed<semaphore> semaphore_in_use{
    "posix_sem",
    {{SYS_newfstatat, any_error, errc::not_found, "sem_open looks for a free name", ENOENT},
     {SYS_newfstatat, any_error, {}, "sem_open looks for a free name"},
     {SYS_newfstatat, any_error, {}, "sem_open leaves what it made", same_error, true},
     {SYS_openat, EEXIST, {}, "sem_open tries another name"},
     {SYS_unlink, any_error, {}, "sem_open cannot remove its temporary name"},
     {SYS_unlink, EPERM, errc::not_permitted, "sem_unlink says it so", EACCES},
     {SYS_openat, ENODEV, errc::wrong_kind, "not a semaphore's file"},
     {SYS_write, EINVAL, errc::wrong_size, "not a semaphore's file"},
     {SYS_mmap, EINVAL, errc::wrong_size, "not a semaphore's file"}}};

class memory : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(shm, posix_shm::open(name, {.create = creation::must_be_new, .size = 8192}));
        name_.made();
        FAULT_TRY(shm->size());
        FAULT_MAKE(mapped, shm->map());
        FAULT_TRY(mapped->populate());
        FAULT_TRY(posix_shm::open(name, {.size = 8192, .access = memory_access::read_only}));
        mapped->unmap();
        FAULT_TRY(shm->resize(16384));
        FAULT_TRY(name_.unlink());
        return {};
    }

private:
    made_name<unlink_posix_shm> name_;
};
const listed<memory> memory_in_use{"posix_shm",
                                   {{SYS_openat, EISDIR, errc::wrong_kind, "shm_open says it so", EINVAL},
                                    {SYS_openat, ENODEV, errc::wrong_kind, "not shared memory"},
                                    {SYS_openat, ENXIO, errc::wrong_kind, "not shared memory"},
                                    {SYS_unlink, EPERM, errc::not_permitted, "shm_unlink says it so", EACCES}}};

// Large enough to ask first whether there is room.
class large_memory : public scenario {
public:
    kith::result<void> act() override {
        FAULT_TRY(memfd::create("kith-fault", {.size = std::size_t{5} << 19}));
        return {};
    }
};
const listed<large_memory> memory_in_pieces{
    "memfd_large", {{SYS_memfd_create, EINVAL, {}, "older kernel: asked again without NOEXEC"}}};

// In huge pages, of which the machine need not have any.
class huge_memory : public scenario {
public:
    kith::result<void> act() override {
        const auto fd = memfd::create("kith-fault", {.size = 1, .huge = huge_pages::of_2_mib, .reserve = false});
        if (!fd && fd.error().code() != errc::unsupported) return kith::fail(fd.error());
        if (!fd) return {};
        const auto mapped = fd->map();
        if (!mapped && mapped.error().code() != errc::out_of_memory) return kith::fail(mapped.error());
        return {};
    }

private:
    const kith_test::huge_page_pool pool_;
};
const listed<huge_memory> memory_in_huge_pages{
    "memfd_huge",
    {{SYS_memfd_create, EINVAL, {}, "older kernel: asked again without NOEXEC"},
     {SYS_fstatfs, EINTR, errc::stopped, "files in memory do not wait"},
     {SYS_fstatfs, ENOMEM, {}, "the scenario takes this for a machine without free huge pages"},
     {SYS_fstat, ENOMEM, {}, "the scenario takes this for a machine without free huge pages"},
     {SYS_newfstatat, ENOMEM, {}, "the scenario takes this for a machine without free huge pages"},
     {SYS_mmap, ENOMEM, {}, "the scenario takes this for a machine without free huge pages"}}};

class sealed : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(fd, memfd::create("kith-fault", {.size = 8192}));
        FAULT_TRY(fd->map());
        FAULT_TRY(fd->resize(4096));
        FAULT_TRY(fd->add_seals(seals::shrink));
        FAULT_TRY(fd->current_seals());
        FAULT_TRY(memfd::receive(fd->release(), seals::shrink, 4096));
        return {};
    }
};
const listed<sealed> sealed_memory{"memfd",
                                   {{SYS_memfd_create, EINVAL, {}, "older kernel: asked again without NOEXEC"},
                                    {SYS_fcntl, EINVAL, errc::wrong_kind, "no seals: not a memfd"}}};

}  // namespace
