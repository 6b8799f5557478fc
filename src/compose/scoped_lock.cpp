#include <kith/compose/scoped_lock.hpp>

#include <unistd.h>
#include <cerrno>

namespace kith::inline KITH_ABI::compose {
namespace {
constexpr auto unlocking = "scoped_lock::unlock";
}  // namespace

scoped_lock::scoped_lock() noexcept : holder_{::getpid()} {}

scoped_lock::scoped_lock(scoped_lock&& other) noexcept
    : where_{other.where_},
      holder_{other.holder_},
      number_{other.number_},
      what_{std::exchange(other.what_, kind::none)},
      owner_died_{std::exchange(other.owner_died_, false)} {}

scoped_lock& scoped_lock::operator=(scoped_lock&& other) noexcept {
    if (this != &other) {
        if (is_held()) [[maybe_unused]]
            const auto unsaid = unlock();
        where_ = other.where_;
        holder_ = other.holder_;
        number_ = other.number_;
        what_ = std::exchange(other.what_, kind::none);
        owner_died_ = std::exchange(other.owner_died_, false);
    }
    return *this;
}

scoped_lock::~scoped_lock() {
    if (!is_held()) return;
    const int saved = errno;
    [[maybe_unused]] const auto unsaid = unlock();
    errno = saved;
}

result<void> scoped_lock::unlock() noexcept {
    const kind what = std::exchange(what_, kind::none);
    owner_died_ = false;
    // A post by the child would be one too many: the parent's lock is not the child's.
    if (what != kind::none && holder_ != ::getpid())
        return fail(errc::forked, unlocking, 0, object_ref::process(holder_));
    switch (what) {
    case kind::none: return fail(errc::invalid, unlocking);
    case kind::sysv: return where_.set.post(number_, 1, sys::sem_undo::at_exit);
    case kind::named: return where_.named->post();
    case kind::unnamed: return where_.unnamed->post();
    case kind::robust: return where_.robust->unlock();
    }
    return fail(errc::invalid, unlocking);
}

result<void> scoped_lock::mark_consistent() noexcept {
    if (!owner_died_) return fail(errc::invalid, "scoped_lock::mark_consistent");
    if (auto done = where_.robust->mark_consistent(); !done) return done;
    owner_died_ = false;
    return {};
}

result<scoped_lock> lock(sys::sysv_sem set, std::uint16_t number, const wait_policy& wait) noexcept {
    // Taken and given back both with undo, so that the process's adjustment returns to 0.
    if (auto taken = set.wait(number, 1, sys::sem_undo::at_exit, wait); !taken) return fail(taken.error());
    scoped_lock held;
    held.where_.set = set;
    held.number_ = number;
    held.what_ = scoped_lock::kind::sysv;
    return held;
}

result<scoped_lock> lock(const sys::posix_sem& semaphore, const wait_policy& wait) noexcept {
    if (auto taken = semaphore.wait(wait); !taken) return fail(taken.error());
    scoped_lock held;
    held.where_.named = &semaphore;
    held.what_ = scoped_lock::kind::named;
    return held;
}

result<scoped_lock> lock(sys::unnamed_sem& semaphore, const wait_policy& wait) noexcept {
    if (auto taken = semaphore.wait(wait); !taken) return fail(taken.error());
    scoped_lock held;
    held.where_.unnamed = &semaphore;
    held.what_ = scoped_lock::kind::unnamed;
    return held;
}

result<scoped_lock> lock(sys::robust_mutex& mutex, const wait_policy& wait) noexcept {
    const auto state = mutex.lock(wait);
    if (!state) return fail(state.error());
    scoped_lock held;
    held.where_.robust = &mutex;
    held.what_ = scoped_lock::kind::robust;
    held.owner_died_ = *state == sys::guarded_state::owner_died;
    return held;
}

}  // namespace kith::inline KITH_ABI::compose
