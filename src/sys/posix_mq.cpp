#include <kith/sys/posix_mq.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <unistd.h>
#include <charconv>

#include "base/observer.hpp"
#include "base/scratch.hpp"
#include "base/transfer.hpp"

// Moving messages, and notifications. Names, limits and opening are in posix_mq_open.cpp.
namespace kith::inline KITH_ABI::sys {
namespace {

constexpr std::size_t common_message = 8192;  // the default message_size

object_ref about(const io_fd& queue) noexcept { return object_ref::descriptor(queue.native().get()); }

// EBADF is also how the kernel says "not opened for that".
errc access_code(const io_fd& queue, int os_error) noexcept {
    if (os_error != EBADF) return detail::code_for(os_error);
    return queue.is_open() && ::fcntl(queue.native().get(), F_GETFD) >= 0 ? errc::not_permitted : errc::invalid;
}

// On a descriptor in blocking mode a time-out that has passed long ago makes the call a look, like O_NONBLOCK.
constexpr timespec long_ago{.tv_sec = 0, .tv_nsec = 0};

ssize_t looked(ssize_t outcome) noexcept {
    if (outcome < 0 && errno == ETIMEDOUT) errno = EAGAIN;
    return outcome;
}

bool parse_field(std::string_view& line, std::string_view key, std::int64_t& value) noexcept {
    if (!line.starts_with(key)) return false;
    line.remove_prefix(key.size());
    const auto [end, problem] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (problem != std::errc{}) return false;
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return true;
}

}  // namespace

result<void> posix_mq::send(byte_view body, unsigned priority, const wait_policy& wait) const noexcept {
    // The C library wants an address also of nothing.
    const auto* const bytes = body.empty() ? "" : reinterpret_cast<const char*>(body.data());
    return detail::transfer_as(
        *this, POLLOUT, wait, "mq_send",
        [&](int fd) -> ssize_t {
            if (mode() == fd_mode::nonblocking) return ::mq_send(fd, bytes, body.size(), priority);
            return looked(::mq_timedsend(fd, bytes, body.size(), priority, &long_ago));
        },
        [&](int os_error) { return access_code(*this, os_error); }, [](std::size_t) {});
}

result<prioritised_message> posix_mq::receive(byte_span buffer, const wait_policy& wait) const noexcept {
    char none;
    auto* const bytes = buffer.empty() ? &none : reinterpret_cast<char*>(buffer.data());
    unsigned priority = 0;
    return detail::transfer_as(
        *this, POLLIN, wait, "mq_receive",
        [&](int fd) -> ssize_t {
            if (mode() == fd_mode::nonblocking) return ::mq_receive(fd, bytes, buffer.size(), &priority);
            return looked(::mq_timedreceive(fd, bytes, buffer.size(), &priority, &long_ago));
        },
        [&](int os_error) { return os_error == EMSGSIZE ? errc::truncated : access_code(*this, os_error); },
        [&](std::size_t size) { return prioritised_message{size, priority}; });
}

result<std::uint64_t> posix_mq::drain() const noexcept {
    mq_attr before{};
    if (::mq_getattr(native().get(), &before) != 0) return detail::fail_os("mq_getattr", errno, about(*this));
    detail::scratch<common_message> memory{static_cast<std::size_t>(before.mq_msgsize)};
    if (!memory.valid()) return detail::fail_os("mmap", ENOMEM, about(*this));
    std::uint64_t count = 0;
    while (count < static_cast<std::uint64_t>(before.mq_curmsgs)) {
        const auto got = receive(memory.bytes(), deadline::immediate());
        if (!got && got.error().code() == errc::would_block) break;
        if (!got) return fail(got.error());
        ++count;
    }
    if (count != 0) detail::notify(event_kind::messages_drained, "mq_receive", about(*this), 0, count);
    return count;
}

result<posix_mq_attributes> posix_mq::attributes() const noexcept {
    mq_attr now{};
    if (::mq_getattr(native().get(), &now) != 0) return detail::fail_os("mq_getattr", errno, about(*this));
    return posix_mq_attributes{.max_messages = static_cast<std::size_t>(now.mq_maxmsg),
                               .message_size = static_cast<std::size_t>(now.mq_msgsize),
                               .messages = static_cast<std::size_t>(now.mq_curmsgs)};
}

result<posix_mq_kernel_status> posix_mq::kernel_status() const noexcept {
    char text[128];
    // From its beginning, whatever was read through this description before.
    const auto size = ::pread(native().get(), text, sizeof text, 0);
    if (size < 0) return fail(access_code(*this, errno), "pread", errno, about(*this));
    std::string_view line{text, static_cast<std::size_t>(size)};
    std::int64_t bytes = 0;
    std::int64_t notification = 0;
    std::int64_t signal = 0;
    std::int64_t notified = 0;
    if (!parse_field(line, "QSIZE:", bytes) || !parse_field(line, "NOTIFY:", notification) ||
        !parse_field(line, "SIGNO:", signal) || !parse_field(line, "NOTIFY_PID:", notified))
        return fail(errc::bad_peer, "pread", 0, about(*this));
    return posix_mq_kernel_status{.bytes = static_cast<std::size_t>(bytes),
                                  .notification = static_cast<int>(notification),
                                  .signal = static_cast<int>(signal),
                                  .notified = notified};
}

result<void> posix_mq::notify(const sigevent& how) const noexcept {
    if (::mq_notify(native().get(), &how) == 0) return {};
    return fail(errno == EBUSY ? errc::exists : detail::code_for(errno), "mq_notify", errno, about(*this));
}

result<void> posix_mq::cancel_notification() const noexcept {
    if (::mq_notify(native().get(), nullptr) == 0) return {};
    return detail::fail_os("mq_notify", errno, about(*this));
}

result<void> posix_mq::rearm(const sigevent& how) const noexcept {
    auto armed = notify(how);
    if (armed || armed.error().code() != errc::exists) return armed;
    // EBUSY does not say who is registered; the status line does.
    const auto now = kernel_status();
    return now && now->notified == ::getpid() ? result<void>{} : armed;
}

}  // namespace kith::inline KITH_ABI::sys
