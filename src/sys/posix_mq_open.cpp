#include <kith/sys/posix_mq.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/resource.h>
#include <unistd.h>
#include <charconv>
#include <climits>

#include "base/c_string.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

using c_name = detail::c_string<NAME_MAX + 1>;  // the slash, and a file name of the mqueue file system

int flag_of(posix_mq_access access) noexcept {
    switch (access) {
    case posix_mq_access::send_only: return O_WRONLY;
    case posix_mq_access::receive_only: return O_RDONLY;
    case posix_mq_access::send_and_receive: break;
    }
    return O_RDWR;
}

result<std::size_t> read_limit(const char* path) noexcept {
    const owned_fd file{::open(path, O_RDONLY | O_CLOEXEC)};
    if (!file.valid()) return detail::fail_os("open", errno, object_ref::name(path));
    char text[32];
    const auto size = ::read(file.get(), text, sizeof text);
    std::size_t value = 0;
    if (size <= 0 || std::from_chars(text, text + size, value).ec != std::errc{})
        return fail(errc::io, "read", size < 0 ? errno : 0, object_ref::name(path));
    return value;
}

// Both attributes must be given to the kernel if one is; what the caller left open is what it would have chosen itself.
long or_default(std::size_t wish, const char* path, std::size_t usual) noexcept {
    if (wish == 0) wish = read_limit(path).value_or(usual);
    return wish > static_cast<std::size_t>(LONG_MAX) ? LONG_MAX : static_cast<long>(wish);
}

// Whether this process could open one more descriptor: EMFILE has two meanings.
bool has_descriptors_left() noexcept {
    const owned_fd probe{::open("/", O_PATH | O_CLOEXEC)};
    return probe.valid() || errno != EMFILE;
}

std::unexpected<error> open_failure(std::string_view name, int os_error) noexcept {
    const auto object = object_ref::name(name);
    const bool well_formed = name.size() > 1 && name.find('/', 1) == std::string_view::npos && name.front() == '/';
    if (!well_formed) return fail(errc::invalid, "mq_open", os_error, object);
    switch (os_error) {
    // The name is in order, so it is the attributes, and those can only be too large.
    case EINVAL:
    case ENOSPC: return fail(errc::limit_reached, "mq_open", os_error, object);
    case EMFILE:
        return fail(errc::limit_reached, has_descriptors_left() ? "mq_open(RLIMIT_MSGQUEUE)" : "mq_open", EMFILE,
                    object);
    default: return detail::fail_os("mq_open", os_error, object);
    }
}

result<owned_fd> open_descriptor(std::string_view name, const c_name& path, const posix_mq_options& options,
                                 bool& created) noexcept {
    const int flags = flag_of(options.access) | O_NONBLOCK | O_CLOEXEC;
    mq_attr wish{};
    const bool any = options.max_messages == 0 && options.message_size == 0;
    if (!any) {
        wish.mq_maxmsg = or_default(options.max_messages, "/proc/sys/fs/mqueue/msg_default", 10);
        wish.mq_msgsize = or_default(options.message_size, "/proc/sys/fs/mqueue/msgsize_default", 8192);
    }
    // Exclusive first, because only that tells whether the queue is new. Each turn of the loop means that another
    // process removed the queue or made it between the two calls.
    constexpr int turns = 1000;
    for (int turn = 0; turn < turns; ++turn) {
        if (options.create != creation::must_exist) {
            owned_fd fd{::mq_open(path.get(), flags | O_CREAT | O_EXCL, static_cast<mode_t>(options.mode),
                                  any ? nullptr : &wish)};
            created = fd.valid();
            if (created) return fd;
            if (errno != EEXIST || options.create == creation::must_be_new) return open_failure(name, errno);
        }
        owned_fd fd{::mq_open(path.get(), flags)};
        if (fd.valid()) return fd;
        if (errno != ENOENT || options.create == creation::must_exist) return open_failure(name, errno);
        detail::notify(event_kind::retried, "mq_open", object_ref::name(name), ENOENT);
    }
    return open_failure(name, ENOENT);
}

}  // namespace

result<posix_mq> posix_mq::open(std::string_view name, const posix_mq_options& options) noexcept {
    const auto path = c_name::from(name, "mq_open");
    if (!path) return fail(path.error());
    bool created = false;
    auto fd = open_descriptor(name, *path, options, created);
    if (!fd) return fail(fd.error());
    posix_mq queue{io_fd{std::move(*fd), fd_mode::nonblocking}};
    queue.created_ = created;
    if (created) return queue;

    // The kernel ignores the attributes when the queue exists.
    const auto now = queue.attributes();
    if (!now) return fail(now.error());
    if ((options.max_messages != 0 && options.max_messages != now->max_messages) ||
        (options.message_size != 0 && options.message_size != now->message_size))
        return fail(errc::wrong_size, "mq_getattr", 0, object_ref::name(name));
    if (options.old == leftovers::drain) {
        const auto removed = queue.drain();
        if (!removed) return fail(removed.error().about(object_ref::name(name)));
        queue.drained_ = *removed;
    }
    return queue;
}

result<posix_mq> posix_mq::adopt(owned_fd fd) noexcept {
    mq_attr now{};
    auto taken = io_fd::adopt(std::move(fd));
    if (!taken) return fail(taken.error());
    if (::mq_getattr(taken->native().get(), &now) != 0) {
        // The descriptor is open, so EBADF can only mean that it is no queue.
        const auto code = errno == EBADF ? errc::wrong_kind : detail::code_for(errno);
        return fail(code, "mq_getattr", errno, object_ref::descriptor(taken->native().get()));
    }
    return posix_mq{std::move(*taken)};
}

result<void> unlink_posix_mq(std::string_view name) noexcept {
    const auto path = c_name::from(name, "mq_unlink");
    if (!path) return fail(path.error());
    if (::mq_unlink(path->get()) == 0) return {};
    const int os_error = errno;
    const bool well_formed = name.size() > 1 && name.front() == '/' && name.find('/', 1) == std::string_view::npos;
    const auto code = well_formed ? detail::code_for(os_error) : errc::invalid;
    return fail(code, "mq_unlink", os_error, object_ref::name(name));
}

result<posix_mq_limits> read_posix_mq_limits() noexcept {
    std::size_t values[5] = {};
    constexpr const char* paths[5] = {"/proc/sys/fs/mqueue/msg_max", "/proc/sys/fs/mqueue/msgsize_max",
                                      "/proc/sys/fs/mqueue/msg_default", "/proc/sys/fs/mqueue/msgsize_default",
                                      "/proc/sys/fs/mqueue/queues_max"};
    for (std::size_t i = 0; i < 5; ++i) {
        const auto value = read_limit(paths[i]);
        if (!value) return fail(value.error());
        values[i] = *value;
    }
    rlimit per_user{};
    if (::getrlimit(RLIMIT_MSGQUEUE, &per_user) != 0) return detail::fail_os("getrlimit", errno);
    return posix_mq_limits{.max_messages = values[0],
                           .message_size = values[1],
                           .default_max_messages = values[2],
                           .default_message_size = values[3],
                           .queues = values[4],
                           .bytes_per_user = per_user.rlim_cur};
}

}  // namespace kith::inline KITH_ABI::sys
