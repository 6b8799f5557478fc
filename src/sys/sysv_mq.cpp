#include <kith/sys/sysv_mq.hpp>

#include <sys/msg.h>
#include <algorithm>
#include <climits>

#include "base/backoff.hpp"
#include "base/errors.hpp"
#include "base/scratch.hpp"

// Sending and receiving. What manages queues is in sysv_mq_control.cpp.
namespace kith::inline KITH_ABI::sys {
namespace {

// The default msgmax: longer messages are rare and pay for a mapping.
constexpr std::size_t common_body = 8192;
using message_scratch = detail::scratch<sizeof(long) + common_body + 1>;

// Whether the kernel's own wait does what the caller asks for.
bool waits_in_the_kernel(const wait_policy& wait) noexcept {
    return wait.until.is_never() && (wait.stop == nullptr || !wait.stop->stop_possible());
}

// EINVAL is one errno for "no such queue any more" and for arguments; the queue itself tells which.
bool is_gone(int id) noexcept {
    msqid_ds state{};
    return ::msgctl(id, IPC_STAT, &state) != 0 && (errno == EINVAL || errno == EIDRM);
}

[[gnu::cold]] std::unexpected<error> send_failure(int id, int os_error) noexcept {
    if (os_error == EINVAL)
        return fail(is_gone(id) ? errc::removed : errc::too_long, "msgsnd", EINVAL, object_ref::sysv_id(id));
    return detail::fail_os("msgsnd", os_error, object_ref::sysv_id(id));
}

[[gnu::cold]] std::unexpected<error> receive_failure(int id, int os_error) noexcept {
    const auto object = object_ref::sysv_id(id);
    switch (os_error) {
    case ENOMSG: return fail(errc::would_block, "msgrcv", ENOMSG, object);
    case E2BIG: return fail(errc::truncated, "msgrcv", E2BIG, object);
    case EINVAL: return fail(errc::removed, "msgrcv", EINVAL, object);
    default: return detail::fail_os("msgrcv", os_error, object);
    }
}

// The queue had no room: waits for it, unless the message can never fit.
[[gnu::noinline]] result<void> send_when_there_is_room(int id, const void* message, std::size_t size,
                                                       const wait_policy& wait) noexcept {
    const auto object = object_ref::sysv_id(id);
    detail::backoff pauses{wait, "msgsnd", object};
    for (;;) {
        msqid_ds state{};
        // Without the right to read it the capacity is unknown, and the kernel's rule alone holds.
        if (::msgctl(id, IPC_STAT, &state) == 0 && size > state.msg_qbytes)
            return fail(errc::too_long, "msgsnd", EAGAIN, object);
        const bool block = waits_in_the_kernel(wait);
        if (!block) {
            if (auto paused = pauses.pause(EAGAIN); !paused) return paused;
        }
        if (::msgsnd(id, message, size, block ? 0 : IPC_NOWAIT) == 0) return {};
        if (errno == EINTR && wait.signal == on_signal::retry) continue;
        if (errno != EAGAIN) return send_failure(id, errno);
    }
}

result<void> send_in_place(int id, const void* message, long type, std::size_t size, const wait_policy& wait) noexcept {
    if (type < 1) return fail(errc::invalid, "msgsnd", EINVAL, object_ref::sysv_id(id));
    if (wait.stop_requested()) return fail(errc::stopped, "msgsnd", 0, object_ref::sysv_id(id));
    // Without waiting first, because only a full queue is worth the question whether the message can ever fit.
    int sent = 0;
    do sent = ::msgsnd(id, message, size, IPC_NOWAIT);
    while (sent != 0 && errno == EINTR && wait.signal == on_signal::retry);
    if (sent == 0) [[likely]]
        return {};
    if (errno != EAGAIN) return send_failure(id, errno);
    return send_when_there_is_room(id, message, size, wait);
}

struct receive_request {
    void* memory;
    std::size_t capacity;  // one byte less than the memory has behind the type
    message_selector which;
    bool cutting;
    std::byte* body = nullptr;  // where the bytes behind the type are copied to

    [[nodiscard]] ssize_t attempt(int id, bool block) const noexcept {
        const int flags = (block ? 0 : IPC_NOWAIT) | (which.is_exception() ? MSG_EXCEPT : 0);
        return cutting ? ::msgrcv(id, memory, capacity + 1, which.native_type(), flags | MSG_NOERROR)
                       : ::msgrcv(id, memory, capacity, which.native_type(), flags);
    }
    [[nodiscard]] received_message received(ssize_t count) const noexcept {
        const auto real_size = static_cast<std::size_t>(count);
        const auto size = std::min(real_size, capacity);
        if (body != nullptr) std::copy_n(static_cast<const std::byte*>(memory) + sizeof(long), size, body);
        return {*static_cast<const long*>(memory), size, real_size > capacity};
    }
};

[[gnu::noinline]] result<received_message> receive_later(int id, const receive_request& request,
                                                         const wait_policy& wait) noexcept {
    detail::backoff pauses{wait, "msgrcv", object_ref::sysv_id(id)};
    for (;;) {
        if (auto paused = pauses.pause(ENOMSG); !paused) return fail(paused.error());
        if (const auto n = request.attempt(id, false); n >= 0) return request.received(n);
        if (errno != ENOMSG && errno != EINTR) return receive_failure(id, errno);
    }
}

// Inlined, because what it returns is copied once more where the body is.
[[gnu::always_inline]] inline result<received_message> receive_in_place(int id, const receive_request& request,
                                                                        const wait_policy& wait) noexcept {
    if (!request.which.valid()) return fail(errc::invalid, "msgrcv", EINVAL, object_ref::sysv_id(id));
    if (wait.stop_requested()) return fail(errc::stopped, "msgrcv", 0, object_ref::sysv_id(id));
    const bool block = waits_in_the_kernel(wait);
    for (;;) {
        if (const auto n = request.attempt(id, block); n >= 0) [[likely]]
            return request.received(n);
        if (errno == ENOMSG && wait.until.is_immediate())
            return detail::failed<received_message, &object_ref::sysv_id>(errc::would_block, "msgrcv", ENOMSG, id);
        if (errno == ENOMSG) return receive_later(id, request, wait);
        if (errno != EINTR || wait.signal == on_signal::report) return receive_failure(id, errno);
    }
}

// Into a body of at most common_body bytes.
[[gnu::noinline]] result<received_message> through_the_stack(int id, byte_span body, message_selector which,
                                                             bool cutting, const wait_policy& wait) noexcept {
    alignas(long) std::byte memory[sizeof(long) + common_body + 1];  // written by the kernel
    return receive_in_place(id, {memory, body.size(), which, cutting, body.data()}, wait);
}

result<received_message> through_a_copy(int id, byte_span body, message_selector which, bool cutting,
                                        const wait_policy& wait) noexcept {
    if (body.size() <= common_body) [[likely]]
        return through_the_stack(id, body, which, cutting, wait);
    // A longer buffer is first tried with the stack's: most messages fit, and one that does not stays queued.
    auto got = through_the_stack(id, body.first(common_body), which, false, wait);
    if (got || got.error().code() != errc::truncated) return got;
    message_scratch memory{sizeof(long) + body.size() + 1};
    if (!memory.valid()) return detail::fail_os("mmap", ENOMEM, object_ref::sysv_id(id));
    return receive_in_place(id, {memory.bytes().data(), body.size(), which, cutting, body.data()}, wait);
}

[[gnu::cold]] std::unexpected<error> no_memory_for(const char* operation, int id) noexcept {
    return fail(errc::invalid, operation, 0, object_ref::sysv_id(id));
}

}  // namespace

result<void> sysv_mq::send(message_space message, std::size_t size, const wait_policy& wait) const noexcept {
    if (!message.usable() || size > message.capacity()) return no_memory_for("msgsnd", id_);
    return send_in_place(id_, message.native(), message.type(), size, wait);
}

result<void> sysv_mq::send(long type, byte_view body, const wait_policy& wait) const noexcept {
    message_scratch memory{sizeof(long) + body.size()};
    if (!memory.valid()) return detail::fail_os("mmap", ENOMEM, object_ref::sysv_id(id_));
    const auto bytes = memory.bytes();
    std::copy_n(reinterpret_cast<const std::byte*>(&type), sizeof type, bytes.data());
    std::copy_n(body.data(), body.size(), bytes.data() + sizeof type);
    return send_in_place(id_, bytes.data(), type, body.size(), wait);
}

result<received_message> sysv_mq::receive(message_space message, message_selector which,
                                          const wait_policy& wait) const noexcept {
    if (!message.usable()) return no_memory_for("msgrcv", id_);
    return receive_in_place(id_, {message.native(), message.capacity(), which, false}, wait);
}

result<received_message> sysv_mq::receive(byte_span body, message_selector which,
                                          const wait_policy& wait) const noexcept {
    return through_a_copy(id_, body, which, false, wait);
}

result<received_message> sysv_mq::receive_cutting(message_space message, message_selector which,
                                                  const wait_policy& wait) const noexcept {
    if (!message.usable()) return no_memory_for("msgrcv", id_);
    return receive_in_place(id_, {message.native(), message.capacity(), which, true}, wait);
}

result<received_message> sysv_mq::receive_cutting(byte_span body, message_selector which,
                                                  const wait_policy& wait) const noexcept {
    return through_a_copy(id_, body, which, true, wait);
}

result<received_message> sysv_mq::peek(message_space message, std::size_t index) const noexcept {
    if (!message.usable() || index > LONG_MAX) return no_memory_for("msgrcv(MSG_COPY)", id_);
    const auto n = ::msgrcv(id_, message.native(), message.capacity(), static_cast<long>(index), MSG_COPY | IPC_NOWAIT);
    if (n >= 0) return received_message{message.type(), static_cast<std::size_t>(n)};
    const int os_error = errno;
    // The kernel's copy has room for msgmax bytes, and a message from before msgmax was lowered may be longer.
    if (os_error == EINVAL && !is_gone(id_))
        return fail(errc::truncated, "msgrcv(MSG_COPY)", EINVAL, object_ref::sysv_id(id_));
    return receive_failure(id_, os_error);
}

result<received_message> sysv_mq::peek(byte_span body, std::size_t index) const noexcept {
    message_scratch memory{sizeof(long) + body.size() + 1};
    if (!memory.valid()) return detail::fail_os("mmap", ENOMEM, object_ref::sysv_id(id_));
    auto got = peek(message_space::over(memory.bytes().data(), memory.bytes().size()), index);
    if (got) std::copy_n(memory.bytes().data() + sizeof(long), got->size, body.data());
    return got;
}

}  // namespace kith::inline KITH_ABI::sys
