// fd_passing - what travels beside the bytes over a UNIX socket, out and in.
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/observer.hpp"
#include "base/transfer.hpp"
#include "base/uapi.hpp"
#include "sys/control_message.hpp"
#include "sys/socket_calls.hpp"
#include "sys/unix_address.hpp"
#include "sys/unix_message.hpp"

namespace kith::inline KITH_ABI::detail {

using sys::attachments;
using sys::max_passed_descriptors;
using sys::received;

namespace {

// Everything the kernel may put beside one message: room for all of it means that nothing is cut by us.
constexpr std::size_t all_descriptors = CMSG_SPACE(max_passed_descriptors * sizeof(int));
constexpr std::size_t all_we_send = all_descriptors + CMSG_SPACE(sizeof(ucred));
constexpr std::size_t all_we_receive =
    all_we_send + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(timeval)) + CMSG_SPACE(256);  // pidfd, time, label
constexpr std::size_t only_the_time = CMSG_SPACE(sizeof(timeval));

// Takes everything out of the control bytes; descriptors beyond the caller's room are closed here. Returns whether the
// time of arrival was there.
bool take_apart(byte_view control, std::span<owned_fd> descriptors, received& out) noexcept {
    bool has_time = false;
    walk_control(control, [&](int level, int type, byte_view payload) {
        if (level != SOL_SOCKET) return;
        if (type == SCM_RIGHTS) {
            each<int>(payload, [&](int fd) {
                owned_fd arrived{fd};
                if (out.descriptors < descriptors.size())
                    descriptors[out.descriptors++] = std::move(arrived);
                else
                    ++out.surplus;
            });
        } else if (type == SCM_CREDENTIALS) {
            each<ucred>(payload,
                        [&](const ucred& who) { out.credentials = {.pid = who.pid, .uid = who.uid, .gid = who.gid}; });
        } else if (type == SCM_PIDFD) {
            each<int>(payload, [&](int fd) { out.sender_pidfd = owned_fd{fd}; });
        } else if (type == SCM_TIMESTAMP) {
            has_time = true;
        }
    });
    return has_time;
}

// One result, filled where the caller will find it: it is too large to be copied about. Inlined: the way back from a
// system call through many functions is slow.
template <std::size_t Room>
[[gnu::always_inline]] inline result<received> receive_message(const io_fd& socket, boundaries kind, byte_span buffer,
                                                               std::span<owned_fd> descriptors, const wait_policy& wait,
                                                               int flags, const char* operation) noexcept {
    result<received> out;
    control_buffer<Room> control;
    sockaddr_un from;
    iovec part{buffer.data(), buffer.size()};
    // A call that fails leaves it as it is.
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (kind == boundaries::datagrams) {
        message.msg_name = &from;
        message.msg_namelen = sizeof from;
    }
    // Where a peek has no time to ask for, the room would be filled with duplicates of descriptors.
    if (kind != boundaries::datagrams || (flags & MSG_PEEK) == 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.capacity();
    }
    // MSG_TRUNC returns the real length of a packet.
    const bool cut = kind != boundaries::none;
    const int all_flags = flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (cut ? MSG_TRUNC : 0);
    const auto count = transfer(
        socket, POLLIN, wait, operation, [&message, all_flags](int fd) { return ::recvmsg(fd, &message, all_flags); },
        connection_code);
    if (!count) {
        out = fail(count.error());
        return out;
    }
    const bool has_time = take_apart(control.front(message.msg_controllen), descriptors, *out);
    out->real_size = *count;
    out->size = std::min(*count, buffer.size());
    out->truncated = cut && (message.msg_flags & MSG_TRUNC) != 0;
    out->attachments_lost = (message.msg_flags & MSG_CTRUNC) != 0;
    if (message.msg_namelen != 0) out->from = sys::unix_name::from_sockaddr(&from, message.msg_namelen);
    if (out->surplus != 0) [[unlikely]]
        notify(event_kind::surplus_closed, operation, object_ref::descriptor(socket.native().get()), 0, out->surplus);
    if (*count == 0 && (kind == boundaries::none || (kind == boundaries::packets && !has_time))) [[unlikely]]
        out = fail(errc::end_of_stream, operation, 0, object_ref::descriptor(socket.native().get()));
    return out;
}

}  // namespace

result<std::size_t> send_unix(const io_fd& socket, byte_view bytes, const attachments& with, const sys::unix_name* to,
                              const wait_policy& wait) noexcept {
    if (with.descriptors.size() > max_passed_descriptors)
        return fail(errc::invalid, "sendmsg(SCM_RIGHTS)", EINVAL, object_ref::descriptor(socket.native().get()));

    control_buffer<all_we_send> control;
    if (!with.descriptors.empty()) {
        std::byte* at = control.append(SOL_SOCKET, SCM_RIGHTS, with.descriptors.size() * sizeof(int));
        for (const borrowed_fd one : with.descriptors) {
            const int number = one.get();
            std::memcpy(at, &number, sizeof number);
            at += sizeof number;
        }
    }
    if (with.credentials) {
        const ucred who{with.credentials->pid, with.credentials->uid, with.credentials->gid};
        std::memcpy(control.append(SOL_SOCKET, SCM_CREDENTIALS, sizeof who), &who, sizeof who);
    }

    std::optional<unix_address> address;
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (to != nullptr) {
        address.emplace(*to);
        message.msg_name = &address->address;
        message.msg_namelen = address->size;
    }
    if (control.size() != 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    const auto attempt = [&](int fd) { return ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); };
    if (to == nullptr) return transfer(socket, POLLOUT, wait, "sendmsg", attempt, connection_code);

    // poll(2) knows nothing of a stranger's queue: one attempt at a time, with growing sleeps.
    std::chrono::nanoseconds nap = std::chrono::microseconds{100};
    for (std::optional<stay> here;;) {  // over all sleeps and the attempts between them
        auto sent =
            transfer(socket, POLLOUT, {deadline::immediate(), wait.signal}, "sendmsg", attempt, connection_code);
        if (sent) return sent;
        if (here && !socket.is_open()) return fail(errc::stopped, "sendmsg", 0, to->about());
        if (sent.error().code() != errc::would_block) return fail(sent.error().about(to->about()));
        if (!here && !wait.until.is_immediate()) {
            here.emplace(socket);
            notify(event_kind::polling, "sendmsg", to->about(), EAGAIN);
        }
        if (auto again = pause(socket, nap, wait, "sendmsg"); !again) return fail(again.error().about(to->about()));
        nap = std::min<std::chrono::nanoseconds>(nap * 2, std::chrono::milliseconds{10});
    }
}

result<received> receive_unix(const io_fd& socket, boundaries kind, byte_span buffer, std::span<owned_fd> descriptors,
                              const wait_policy& wait) noexcept {
    return receive_message<all_we_receive>(socket, kind, buffer, descriptors, wait, 0, "recvmsg");
}

result<received> peek_unix(const io_fd& socket, boundaries kind, byte_span buffer, const wait_policy& wait) noexcept {
    // MSG_PEEK would install duplicates of the descriptors: there is room for the time of arrival and no more.
    auto seen = receive_message<only_the_time>(socket, kind, buffer, {}, wait, MSG_PEEK, "recvmsg(MSG_PEEK)");
    if (seen) seen->attachments_lost = false;
    return seen;
}

result<void> mark_packets(borrowed_fd fd) noexcept {
    return set_socket_option(fd, SOL_SOCKET, SO_TIMESTAMP, 1, "setsockopt(SO_TIMESTAMP)");
}

}  // namespace kith::inline KITH_ABI::detail
