// System V queues, semaphore sets and memory segments: made, used, changed, removed.
#include <kith/sys/sysv_mq.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <kith/sys/sysv_shm.hpp>

#include <array>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

constexpr sysv_key key{0x4b01};

// Removes what act() made and did not remove itself, whatever happened to it.
template <class Object>
class made {
public:
    made() = default;
    ~made() {
        if (object_) (void)object_->remove();
    }
    made(const made&) = delete;
    made& operator=(const made&) = delete;
    Object& keep(Object object) { return object_.emplace(std::move(object)); }
    Object& get() { return *object_; }
    kith::result<void> remove() {
        auto removed = object_->remove();
        if (removed) object_.reset();
        return removed;
    }

private:
    std::optional<Object> object_;
};

class queue : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(opened, sysv_mq::open(key, {.create = creation::must_be_new}));
        auto& mq = queue_.keep(*opened);
        FAULT_TRY(mq.send(3, kith::bytes_of("first")));
        FAULT_TRY(mq.send(4, kith::bytes_of("second"), deadline::in(std::chrono::seconds{5})));
        std::array<std::byte, 16> body;
        FAULT_TRY(mq.peek(body));
        FAULT_TRY(mq.receive(body));
        FAULT_TRY(mq.receive(body, message_selector::any(), deadline::in(std::chrono::seconds{5})));
        FAULT_TRY(mq.send(5, kith::bytes_of("third"), deadline::immediate()));
        FAULT_TRY(mq.receive_cutting(std::span{body}.first(2), message_selector::any(), deadline::immediate()));
        FAULT_TRY(mq.status());
        FAULT_TRY(mq.change({.mode = 0640}));
        FAULT_TRY(mq.drain());
        FAULT_TRY(read_sysv_mq_limits());
        FAULT_TRY(queue_.remove());
        return {};
    }

private:
    made<sysv_mq> queue_;
};
const listed<queue> queue_in_use{"sysv_mq",
                                 {{SYS_msgget, ENOSPC, errc::limit_reached, "msgmni queues exist"},
                                  {SYS_msgsnd, EINVAL, errc::too_long, "above msgmax"},
                                  {SYS_msgrcv, E2BIG, errc::truncated, "the message stays"},
                                  {SYS_msgrcv, EINTR, errc::stopped, "looking does not wait"},
                                  {SYS_msgrcv, EINVAL, errc::truncated, "looking at what does not fit"},
                                  {SYS_msgrcv, EINVAL, errc::removed, "an id that was removed"},
                                  {SYS_msgrcv, ENOMSG, errc::would_block, "nothing there"},
                                  {SYS_msgrcv, ENOMSG, {}, "it waits"},
                                  {SYS_msgctl, EINVAL, errc::removed, "an id that was removed"},
                                  {SYS_msgctl, EIDRM, errc::removed, "why it could not be sent", EINVAL}}};

class queue_found : public scenario {
public:
    void prepare() override {
        auto& mq = queue_.keep(*sysv_mq::open(key, {.create = creation::must_be_new}));
        (void)mq.send(1, kith::bytes_of("left by an earlier run"));
    }
    kith::result<void> act() override {
        FAULT_MAKE(found, sysv_mq::open(key, {.create = creation::create_or_open, .old = leftovers::drain}));
        FAULT_TRY(sysv_mq::open_id(found->native_id()));
        return {};
    }

private:
    made<sysv_mq> queue_;
};
const listed<queue_found> found_and_drained{"sysv_mq_found",
                                            {{SYS_msgget, EEXIST, {}, "somebody was faster: opened instead"},
                                             {SYS_msgget, ENOENT, {}, "removed in between: tried again"},
                                             {SYS_msgget, ENOSPC, errc::limit_reached, "msgmni queues exist"},
                                             {SYS_msgrcv, EINVAL, errc::removed, "an id that was removed"},
                                             {SYS_msgrcv, ENOMSG, {}, "drained"},
                                             {SYS_msgctl, EINVAL, errc::removed, "an id that was removed"},
                                             {SYS_msgctl, EINVAL, errc::not_found, "no queue has that id"},
                                             {SYS_msgctl, EIDRM, errc::not_found, "no queue has that id"}}};

// A buffer for which the stack has no room.
class queue_of_large : public scenario {
public:
    void prepare() override { queue_.keep(*sysv_mq::open(key, {.create = creation::must_be_new})); }
    kith::result<void> act() override {
        auto& mq = queue_.get();
        FAULT_TRY(mq.send(1, kith::bytes_of("small")));
        static std::array<std::byte, 20'000> body;
        FAULT_TRY(mq.receive(body));
        return {};
    }

private:
    made<sysv_mq> queue_;
};
const listed<queue_of_large> large_messages{
    "sysv_mq_large",
    {{SYS_msgsnd, EINVAL, errc::too_long, "above msgmax"},
     {SYS_msgsnd, EINVAL, errc::removed, "an id that was removed"},
     {SYS_msgrcv, E2BIG, {}, "tried again with all of the buffer"},
     {SYS_msgrcv, E2BIG, errc::truncated, "the message stays"},
     {SYS_msgrcv, EINVAL, errc::removed, "an id that was removed"},
     {SYS_msgrcv, ENOMSG, {}, "it waits"},
     {SYS_msgctl, EINVAL, errc::removed, "an id that was removed"},
     {SYS_msgctl, EIDRM, errc::removed, "why it could not be sent", EINVAL},
     {SYS_mmap, any_error, errc::out_of_memory, "memory for one call", ENOMEM}}};

class set : public scenario {
public:
    kith::result<void> act() override {
        constexpr std::array<std::uint16_t, 2> first{1, 0};
        FAULT_MAKE(opened, sysv_sem::open(key, {.create = creation::must_be_new, .values = first}));
        auto& sem = set_.keep(*opened);
        FAULT_TRY(sem.wait(0));
        FAULT_TRY(sem.post(0));
        FAULT_TRY(sem.wait(0, 1, sem_undo::no, deadline::in(std::chrono::seconds{5})));
        FAULT_TRY(sem.wait_for_zero(1));
        FAULT_TRY(sem.value(0));
        FAULT_TRY(sem.set_value(0, 3));
        std::array<std::uint16_t, 2> all;
        FAULT_TRY(sem.values(all));
        FAULT_TRY(sem.set_values(all));
        FAULT_TRY(sem.last_pid(0));
        FAULT_TRY(sem.waiters(0));
        FAULT_TRY(sem.zero_waiters(0));
        FAULT_TRY(sem.status());
        FAULT_TRY(sem.change({.mode = 0640}));
        FAULT_TRY(read_sysv_sem_limits());
        FAULT_TRY(set_.remove());
        return {};
    }

private:
    made<sysv_sem> set_;
};
const listed<set> set_in_use{"sysv_sem",
                             {{SYS_semget, ENOSPC, errc::limit_reached, "semmni sets exist"},
                              {SYS_semctl, EINVAL, errc::removed, "an id that was removed"},
                              {SYS_semtimedop, EFBIG, errc::invalid, "no such semaphore in the set"},
                              {SYS_semtimedop, EINVAL, errc::removed, "an id that was removed"}}};

class segment : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(opened, sysv_shm::open(key, {.create = creation::must_be_new, .size = 8192}));
        auto& shm = segment_.keep(*opened);
        FAULT_MAKE(attached, shm.attach());
        FAULT_TRY(shm.status());
        FAULT_TRY(shm.change({.mode = 0640}));
        FAULT_TRY(shm.lock());
        FAULT_TRY(shm.unlock());
        FAULT_TRY(attached->populate());
        FAULT_TRY(attached->detach());
        FAULT_TRY(read_sysv_shm_limits());
        FAULT_TRY(sysv_shm::open(key, {.size = 8192}));
        FAULT_TRY(segment_.remove());
        return {};
    }

private:
    made<sysv_shm> segment_;
};
const listed<segment> segment_in_use{"sysv_shm",
                                     {{SYS_shmctl, EINVAL, errc::removed, "an id that was removed"},
                                      {SYS_shmctl, EINVAL, errc::not_found, "no segment has that id"},
                                      {SYS_shmctl, EIDRM, errc::not_found, "no segment has that id"}}};

// The key of a path.
class key_of_path : public scenario {
public:
    kith::result<void> act() override {
        FAULT_TRY(sysv_key::from_path("/tmp", 'k'));
        return {};
    }
};
const listed<key_of_path> path_key{"sysv_key"};

// Objects found by their place in the kernel's tables.
class slots : public scenario {
public:
    void prepare() override {
        queue_.keep(*sysv_mq::open(key, {.create = creation::must_be_new}));
        set_.keep(*sysv_sem::open(key, {.create = creation::must_be_new, .count = 1}));
        segment_.keep(*sysv_shm::open(key, {.create = creation::must_be_new, .size = 4096}));
        queue_slot_ = read_sysv_mq_limits()->highest_slot;
        set_slot_ = read_sysv_sem_limits()->highest_slot;
        segment_slot_ = read_sysv_shm_limits()->highest_slot;
    }
    kith::result<void> act() override {
        FAULT_TRY(sysv_mq_in_slot(queue_slot_));
        FAULT_TRY(sysv_sem_in_slot(set_slot_));
        FAULT_TRY(sysv_shm_in_slot(segment_slot_));
        return {};
    }

private:
    made<sysv_mq> queue_;
    made<sysv_sem> set_;
    made<sysv_shm> segment_;
    int queue_slot_ = 0;
    int set_slot_ = 0;
    int segment_slot_ = 0;
};
const listed<slots> in_slots{"sysv_in_slot",
                             {{SYS_msgctl, EINVAL, errc::not_found, "no queue in that slot"},
                              {SYS_semctl, EINVAL, errc::not_found, "no set in that slot"},
                              {SYS_shmctl, EINVAL, errc::not_found, "no segment in that slot"},
                              {SYS_shmctl, EIDRM, errc::not_found, "no segment in that slot"}}};

}  // namespace
