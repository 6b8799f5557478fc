#include <kith/sys/sysv_mq.hpp>

#include <sys/msg.h>

#include "base/backoff.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"
#include "sys/sysv_rules.hpp"

// Making, finding, describing and removing queues.
namespace kith::inline KITH_ABI::sys {
namespace {

std::chrono::system_clock::time_point time_of(time_t seconds) noexcept {
    return std::chrono::system_clock::from_time_t(seconds);
}

sysv_mq_status status_from(const msqid_ds& state) noexcept {
    return {.key = sysv_key{state.msg_perm.__key},
            .uid = state.msg_perm.uid,
            .gid = state.msg_perm.gid,
            .creator_uid = state.msg_perm.cuid,
            .creator_gid = state.msg_perm.cgid,
            .mode = state.msg_perm.mode & detail::sysv_mode_bits,
            .messages = state.msg_qnum,
            .bytes = state.msg_cbytes,
            .capacity = state.msg_qbytes,
            .last_sender = state.msg_lspid,
            .last_receiver = state.msg_lrpid,
            .last_send = time_of(state.msg_stime),
            .last_receive = time_of(state.msg_rtime),
            .last_change = time_of(state.msg_ctime)};
}

result<void> control(int id, int command, msqid_ds* state, const char* operation) noexcept {
    if (::msgctl(id, command, state) >= 0) return {};
    if (errno == EINVAL) return fail(errc::removed, operation, EINVAL, object_ref::sysv_id(id));
    return detail::fail_os(operation, errno, object_ref::sysv_id(id));
}

std::unexpected<error> get_failure(sysv_key key, int os_error) noexcept {
    // ENOSPC here is msgmni, the number of queues, not storage.
    const auto code = os_error == ENOSPC ? errc::limit_reached : detail::code_for(os_error);
    return fail(code, "msgget", os_error, object_ref::sysv_key(key.value()));
}

struct found_queue {
    int id;
    bool created;
};

// Inlined, as the way back from a system call through many functions is slow.
[[gnu::always_inline]] inline result<found_queue> get(sysv_key key, creation create, int mode, int wanted) noexcept {
    // Exclusive first, because only that tells whether the queue is new. Between the two calls another process may
    // remove the queue or make it, again and again; each turn of the loop means that one did.
    constexpr int turns = 1000;
    for (int turn = 0; turn < turns; ++turn) {
        if (create != creation::must_exist) {
            if (const int id = ::msgget(key.value(), IPC_CREAT | IPC_EXCL | mode); id >= 0)
                return found_queue{id, true};
            if (errno != EEXIST || create == creation::must_be_new) return get_failure(key, errno);
        }
        if (const int id = ::msgget(key.value(), wanted); id >= 0) return found_queue{id, false};
        if (errno != ENOENT || create == creation::must_exist) return get_failure(key, errno);
        detail::notify(event_kind::retried, "msgget", object_ref::sysv_key(key.value()), ENOENT);
    }
    return get_failure(key, ENOENT);
}

// Whether a queue may be one whose maker has yet to set the capacity, its second call: made within the last seconds,
// as large as the kernel makes them, and never used.
bool may_be_half_made(const sysv_mq_status& state) noexcept {
    const auto limits = read_sysv_mq_limits();
    const auto age = std::chrono::system_clock::now() - state.last_change;
    return limits && state.capacity == limits->queue_bytes && state.last_send == time_of(0) &&
           age < std::chrono::seconds{3} && age > -std::chrono::seconds{3};
}

// A found queue's capacity against the one that is demanded.
result<void> check_capacity(const sysv_mq& queue, std::size_t wanted, object_ref about) noexcept {
    const wait_policy patience{deadline::in(sysv_mq_creator_patience)};
    detail::backoff looks{patience, "msgctl(IPC_STAT)", about};
    for (;;) {
        const auto now = queue.status();
        if (!now) return fail(now.error());
        if (now->capacity == wanted) return {};
        if (!may_be_half_made(*now) || !looks.pause(0)) return fail(errc::wrong_size, "msgctl(IPC_STAT)", 0, about);
    }
}

}  // namespace

result<sysv_mq> sysv_mq::open(sysv_key key, const sysv_mq_options& options) noexcept {
    if (auto right = detail::check_sysv_open(key, options.create, options.mode, "msgget"); !right)
        return fail(right.error());
    const int wanted = (options.check_read ? 0444 : 0) | (options.check_write ? 0222 : 0);
    const auto found = get(key, options.create, static_cast<int>(options.mode), wanted);
    if (!found) return fail(found.error());
    sysv_mq queue{found->id, found->created};

    if (queue.created_ && options.capacity != 0) {
        if (auto changed = queue.change({.capacity = options.capacity}); !changed) {
            // Made a moment ago and not as it was asked for: nobody else may find it.
            ::msgctl(queue.id_, IPC_RMID, nullptr);
            return fail(changed.error());
        }
    } else if (options.capacity != 0) {
        if (auto right = check_capacity(queue, options.capacity, object_ref::sysv_key(key.value())); !right)
            return fail(right.error());
    }
    if (!queue.created_ && options.old == leftovers::drain) {
        const auto removed = queue.drain();
        if (!removed) return fail(removed.error());
        queue.drained_ = *removed;
    }
    return queue;
}

result<sysv_mq> sysv_mq::open_id(int id) noexcept {
    msqid_ds state;
    if (::msgctl(id, IPC_STAT, &state) == 0) return sysv_mq{id};
    const auto code = errno == EINVAL || errno == EIDRM ? errc::not_found : detail::code_for(errno);
    return fail(code, "msgctl(IPC_STAT)", errno, object_ref::sysv_id(id));
}

result<std::uint64_t> sysv_mq::drain() const noexcept {
    msqid_ds before;
    if (auto read = control(id_, IPC_STAT, &before, "msgctl(IPC_STAT)"); !read) return fail(read.error());
    std::uint64_t count = 0;
    for (long type = 0; count < before.msg_qnum;) {
        // A cut to nothing: the bodies are not wanted.
        if (::msgrcv(id_, &type, 0, 0, IPC_NOWAIT | MSG_NOERROR) >= 0) {
            ++count;
        } else if (errno == ENOMSG) {
            break;
        } else if (errno != EINTR) {
            const auto code = errno == EINVAL ? errc::removed : detail::code_for(errno);
            return fail(code, "msgrcv", errno, object_ref::sysv_id(id_));
        }
    }
    if (count != 0) detail::notify(event_kind::messages_drained, "msgrcv", object_ref::sysv_id(id_), 0, count);
    return count;
}

result<sysv_mq_status> sysv_mq::status() const noexcept {
    msqid_ds state;
    if (auto read = control(id_, IPC_STAT, &state, "msgctl(IPC_STAT)"); !read) return fail(read.error());
    return status_from(state);
}

result<void> sysv_mq::change(const sysv_mq_change& wish) const noexcept {
    const auto right = detail::check_sysv_mode(wish.mode.value_or(0), "msgctl(IPC_SET)", object_ref::sysv_id(id_));
    if (!right) return right;
    msqid_ds state{};
    if (auto read = control(id_, IPC_STAT, &state, "msgctl(IPC_STAT)"); !read) return read;
    if (wish.uid) state.msg_perm.uid = *wish.uid;
    if (wish.gid) state.msg_perm.gid = *wish.gid;
    if (wish.mode) state.msg_perm.mode = static_cast<decltype(state.msg_perm.mode)>(*wish.mode);
    if (wish.capacity) state.msg_qbytes = *wish.capacity;
    return control(id_, IPC_SET, &state, "msgctl(IPC_SET)");
}

result<void> sysv_mq::remove() const noexcept { return control(id_, IPC_RMID, nullptr, "msgctl(IPC_RMID)"); }

result<sysv_mq_limits> read_sysv_mq_limits() noexcept {
    msginfo limits{};
    msginfo used{};
    // The buffer is declared as another type than these two commands fill in (msgctl(2)).
    if (::msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&limits)) < 0)
        return detail::fail_os("msgctl(IPC_INFO)", errno);
    const int highest = ::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&used));
    if (highest < 0) return detail::fail_os("msgctl(MSG_INFO)", errno);
    return sysv_mq_limits{.message_bytes = static_cast<std::size_t>(limits.msgmax),
                          .queue_bytes = static_cast<std::size_t>(limits.msgmnb),
                          .queues = static_cast<std::size_t>(limits.msgmni),
                          .queues_in_use = static_cast<std::size_t>(used.msgpool),
                          .messages_in_use = static_cast<std::size_t>(used.msgmap),
                          .bytes_in_use = static_cast<std::size_t>(used.msgtql),
                          .highest_slot = highest};
}

result<listed_sysv_mq> sysv_mq_in_slot(int slot) noexcept {
    msqid_ds state;
    const int id = ::msgctl(slot, MSG_STAT_ANY, &state);
    if (id >= 0) return listed_sysv_mq{id, status_from(state)};
    const auto code = errno == EINVAL ? errc::not_found : detail::code_for(errno);
    return fail(code, "msgctl(MSG_STAT_ANY)", errno);
}

}  // namespace kith::inline KITH_ABI::sys
