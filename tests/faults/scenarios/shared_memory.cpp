#include <kith/compose/guarded_region.hpp>
#include <kith/sys/memfd.hpp>
#include <kith/sys/posix_shm.hpp>
#include <kith/sys/sysv_shm.hpp>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

constexpr sysv_key key{0x4b02};

// Make, attach, ask, change, lock, list, remove.
class sysv_segment : public scenario {
public:
    ~sysv_segment() override {
        if (shm_) static_cast<void>(shm_->remove());
    }
    kith::result<void> act() override {
        const auto shm = sysv_shm::open(key, {.create = creation::create_or_open, .size = 8192});
        if (!shm) return kith::fail(shm.error());
        shm_ = *shm;
        auto memory = shm->attach({.populate = true});
        if (!memory) return kith::fail(memory.error());
        FAULT_TRY(shm->status());
        FAULT_TRY(shm->change({.mode = 0640}));
        FAULT_TRY(shm->lock());
        FAULT_TRY(shm->unlock());
        FAULT_TRY(read_sysv_shm_limits());
        FAULT_TRY(sysv_shm::open(key, {.size = 8192}));
        FAULT_TRY(memory->detach());
        return {};
    }

private:
    std::optional<sysv_shm> shm_;
};
const listed<sysv_segment> segment{
    "sysv_segment",
    {{SYS_shmget, ENOENT, {}, "it is not there: it is made, or was"},
     {SYS_shmget, EEXIST, {}, "somebody else made it: it is opened"},
     {SYS_shmget, ENOSPC, errc::no_space, "the number of segments is not what ran out"},
     {SYS_shmctl, EINVAL, errc::removed, "the id is gone"},
     {SYS_shmctl, EINVAL, errc::not_found, "it was removed between finding it and asking"},
     {SYS_shmctl, EIDRM, errc::not_found, "it was removed between finding it and asking"},
     {SYS_madvise, EINVAL, {}, "no MADV_POPULATE_WRITE: the pages are touched"},
     {SYS_madvise, EAGAIN, {}, "asked again"}}};

// Make, map, grow, ask, remove.
class posix_object : public scenario {
public:
    ~posix_object() override { static_cast<void>(unlink_posix_shm("/faults")); }
    kith::result<void> act() override {
        auto shm = posix_shm::open("/faults", {.create = creation::create_or_open, .size = 8192});
        if (!shm) return kith::fail(shm.error());
        FAULT_TRY(shm->map({.populate = true}));
        FAULT_TRY(shm->resize(20000));
        FAULT_TRY(shm->size());
        return {};
    }
};
const listed<posix_object> object{"posix_object",
                                  {{SYS_fallocate, EOPNOTSUPP, {}, "reserved by writing"},
                                   {SYS_fallocate, ENOSYS, {}, "reserved by writing"},
                                   {SYS_fallocate, EINTR, {}, "made again"},
                                   {SYS_ftruncate, EINTR, {}, "made again"},
                                   {SYS_openat, EINTR, {}, "made again"},
                                   {SYS_prlimit64, any_error, {}, "the kernel then says itself what is too large"},
                                   {SYS_mmap, ENODEV, errc::wrong_kind, "nothing that can be mapped"},
                                   {SYS_mmap, EAGAIN, errc::limit_reached, "RLIMIT_MEMLOCK under mlockall"},
                                   {SYS_munmap, any_error, {}, "a mapping that goes has nobody to tell"},
                                   {SYS_openat, EEXIST, {}, "said to exist, then not there: made in the next round"},
                                   {SYS_openat, EISDIR, errc::wrong_kind, "the C library makes it EINVAL"},
                                   {SYS_openat, EINVAL, errc::wrong_kind, "a directory has the name"},
                                   {SYS_openat, ENODEV, errc::wrong_kind, "a device has the name"},
                                   {SYS_openat, ENXIO, errc::wrong_kind, "a socket has the name"},
                                   {SYS_madvise, EINVAL, {}, "no MADV_POPULATE_WRITE: the pages are touched"},
                                   {SYS_madvise, EAGAIN, {}, "asked again"}}};

// Make, seal, check, map.
class sealed_memfd : public scenario {
public:
    kith::result<void> act() override {
        auto file = memfd::create("faults", {.size = 8192});
        if (!file) return kith::fail(file.error());
        FAULT_TRY(file->add_seals(constant_seals));
        FAULT_TRY(expect_sealed(file->native(), seals::shrink | seals::write, 8192));
        FAULT_TRY(file->map({.access = memory_access::read_only}));
        return {};
    }
};
const listed<sealed_memfd> sealed{"sealed_memfd",
                                  {{SYS_memfd_create, EINVAL, {}, "no MFD_NOEXEC_SEAL: made without"},
                                   {SYS_fallocate, EOPNOTSUPP, {}, "reserved by writing"},
                                   {SYS_fallocate, ENOSYS, {}, "reserved by writing"},
                                   {SYS_fallocate, EINTR, {}, "made again"},
                                   {SYS_ftruncate, EINTR, {}, "made again"},
                                   {SYS_prlimit64, any_error, {}, "the kernel then says itself what is too large"},
                                   {SYS_mmap, ENODEV, errc::wrong_kind, "nothing that can be mapped"},
                                   {SYS_mmap, EAGAIN, errc::limit_reached, "RLIMIT_MEMLOCK under mlockall"},
                                   {SYS_munmap, any_error, {}, "a mapping that goes has nobody to tell"},
                                   {SYS_fcntl, EINVAL, errc::wrong_kind, "a file without seals"},
                                   {SYS_mmap, EPERM, {}, "before Linux 6.7: mapped privately"}}};

// Make a region, change it and look at it. What a failed creation leaves behind is found, as only a region that was
// made is removed.
class sysv_region : public scenario {
public:
    ~sysv_region() override {
        if (made_) static_cast<void>(kith::compose::remove_sysv_region(key));
    }
    kith::result<void> act() override {
        auto region = kith::compose::open_sysv_region(key, {.create = creation::must_be_new, .size = 4096});
        if (!region) return kith::fail(region.error());
        made_ = true;
        auto change = region->change();
        if (!change) return kith::fail(change.error());
        FAULT_TRY(change->commit());
        FAULT_TRY(region->read());
        return {};
    }

private:
    bool made_ = false;
};
const listed<sysv_region> region_of_key{"sysv_region",
                                        {{SYS_semget, ENOSPC, errc::limit_reached, "too many sets or semaphores"},
                                         {SYS_semctl, EINVAL, errc::removed, "the set is gone"},
                                         {SYS_semtimedop, EINVAL, errc::removed, "the set is gone"},
                                         {SYS_semtimedop, EFBIG, errc::invalid, "the set has fewer semaphores"},
                                         {SYS_semtimedop, EAGAIN, errc::io, "the count of changes ran out"},
                                         {SYS_semtimedop, any_error, {}, "the end of a look has nobody to tell"},
                                         {SYS_shmdt, EINVAL, {}, "an attachment that goes has nobody to tell"}}};

class posix_region : public scenario {
public:
    ~posix_region() override {
        if (made_) static_cast<void>(kith::compose::unlink_posix_region("faults"));
    }
    kith::result<void> act() override {
        auto region = kith::compose::open_posix_region("faults", {.create = creation::create_or_open, .size = 4096});
        if (!region) return kith::fail(region.error());
        made_ = true;
        auto change = region->change();
        if (!change) return kith::fail(change.error());
        FAULT_TRY(change->commit());
        FAULT_TRY(region->read());
        return {};
    }

private:
    bool made_ = false;
};
const listed<posix_region> region_of_names{
    "posix_region",
    {{SYS_newfstatat, any_error, errc::not_found, "sem_open looks for a free name", ENOENT},
     {SYS_newfstatat, any_error, {}, "sem_open looks for a free name"},
     {SYS_newfstatat, any_error, {}, "sem_open leaves what it made", same_error, true},
     {SYS_openat, EEXIST, {}, "sem_open tries another name"},
     {SYS_openat, ENOENT, {}, "the semaphores have lost their names: made in the next round", same_error, true},
     {SYS_openat, ENXIO, errc::wrong_kind, "a socket has the memory's name"},
     {SYS_openat, ENXIO, {}, "as if a semaphore had lost its name: made in the next round"},
     {SYS_unlink, any_error, {}, "sem_open cannot remove its temporary name"},
     {SYS_openat, ENODEV, errc::wrong_kind, "not a semaphore's file"},
     {SYS_write, EINVAL, errc::wrong_size, "not a semaphore's file"},
     {SYS_mmap, EINVAL, errc::wrong_size, "not a semaphore's file"},
     {SYS_link, EEXIST, {}, "somebody else made it: it is opened, or made in the next round"}}};

}  // namespace
