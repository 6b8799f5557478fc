// queues - System V and POSIX queues that are gone when the test is over, however it ends.
#pragma once
#include <mqueue.h>
#include <sched.h>
#include <sys/msg.h>
#include <unistd.h>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <kith/sys/sysv_mq.hpp>
#include <string>
#include <vector>

#include "support/scope.hpp"

namespace kith_test {

/// Gives this process, where it may, an IPC namespace of its own before its first queue: even a test that is killed
/// then leaves no queue behind, and no other test shares the limits on their number.
inline void use_own_queues() { [[maybe_unused]] static const int once = is_root() ? ::unshare(CLONE_NEWIPC) : 0; }

/// Removes the System V queue with this id, if it still exists.
class sysv_mq_guard {
public:
    explicit sysv_mq_guard(int id) : id_{id} {}
    ~sysv_mq_guard() { ::msgctl(id_, IPC_RMID, nullptr); }
    sysv_mq_guard(const sysv_mq_guard&) = delete;
    sysv_mq_guard& operator=(const sysv_mq_guard&) = delete;

private:
    int id_;
};

/// A new private queue of its own for one test.
class scoped_sysv_mq : public kith::sys::sysv_mq {
public:
    explicit scoped_sysv_mq(kith::sys::sysv_mq_options options = {})
        : sysv_mq{made(kith::sys::sysv_key::private_object(), options)}, guard_{native_id()} {}
    scoped_sysv_mq(kith::sys::sysv_key key, kith::sys::sysv_mq_options options)
        : sysv_mq{made(key, options)}, guard_{native_id()} {}

private:
    static sysv_mq made(kith::sys::sysv_key key, kith::sys::sysv_mq_options options) {
        use_own_queues();
        options.create = kith::sys::creation::must_be_new;
        auto queue = open(key, options);
        EXPECT_TRUE(ok(queue));
        return queue ? *queue : from_id(-1);
    }
    sysv_mq_guard guard_;
};

/// A key that no other test uses: the pid (22 bits) and a counter.
inline kith::sys::sysv_key unique_key() {
    use_own_queues();
    static std::atomic<std::int32_t> counter{0};
    return kith::sys::sysv_key{0x40000000 | (::getpid() << 7) | (++counter & 0x7f)};
}

/// Unlinks the POSIX queue when it goes out of scope.
class posix_mq_name {
public:
    posix_mq_name() : posix_mq_name{std::string{"/"}.append(unique_name("mq"))} {}
    explicit posix_mq_name(std::string name) : name_{std::move(name)} { use_own_queues(); }
    ~posix_mq_name() { ::mq_unlink(name_.c_str()); }
    posix_mq_name(const posix_mq_name&) = delete;
    posix_mq_name& operator=(const posix_mq_name&) = delete;
    [[nodiscard]] const std::string& get() const { return name_; }

private:
    std::string name_;
};

}  // namespace kith_test
