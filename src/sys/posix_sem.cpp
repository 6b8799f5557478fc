// posix_sem - waits, and close() beside them.
//
// A waiter counts itself in waiters_ before it looks at sem_; close() takes sem_ away and then looks at waiters_
// (both seq_cst). So either the waiter finds none, or close() waits for it to leave; it looks every 20 ms.
#include <kith/sys/posix_sem.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/c_string.hpp"
#include "sys/sem_wait.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

static_assert(SEM_FAILED == nullptr, "what sem_open returns on failure is an object that is not open");

// With room for the slash in front that glibc lets out.
using sem_name = detail::c_string<posix_sem_max_name + 1>;

result<sem_name> checked(std::string_view name, const char* operation) noexcept {
    const auto bare = name.starts_with('/') ? name.substr(1) : name;
    if (bare.empty() || bare.contains('/')) return fail(errc::invalid, operation, EINVAL, object_ref::name(name));
    if (bare.size() > posix_sem_max_name) return fail(errc::too_long, operation, ENAMETOOLONG, object_ref::name(name));
    return sem_name::from(name, operation);
}

// glibc (2.36) maps whatever has the name; touching a semaphore in an empty file would be SIGBUS. A name that is gone
// by now says nothing: what was opened was there.
bool has_size_of_semaphore(std::string_view name) noexcept {
    if (name.starts_with('/')) name.remove_prefix(1);
    constexpr std::string_view directory = "/dev/shm/sem.";
    char path[directory.size() + posix_sem_max_name + 1]{};
    directory.copy(path, directory.size());
    name.copy(path + directory.size(), posix_sem_max_name);
    struct stat file;
    return ::stat(path, &file) != 0 || file.st_size == sizeof(sem_t);
}

object_ref no_object(int) noexcept { return {}; }

// 0, or the errno of a look without waiting.
int try_wait(sem_t* sem) noexcept {
    while (::sem_trywait(sem) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

// Whether a look that found `os_error` is the end of the call, and how it ends.
bool ends(int os_error, const wait_policy& wait) noexcept { return os_error != EAGAIN || wait.until.is_immediate(); }
result<void> end_of(int os_error) noexcept {
    if (os_error == 0) [[likely]]
        return {};
    const auto code = os_error == EAGAIN ? errc::would_block : detail::code_for(os_error);
    return detail::failed<void, no_object>(code, "sem_trywait", os_error, 0);
}

result<void> post_to(sem_t* sem) noexcept {
    if (::sem_post(sem) != 0) return detail::fail_os("sem_post", errno);
    return {};
}

result<int> value_of(sem_t* sem) noexcept {
    int value = 0;
    if (::sem_getvalue(sem, &value) != 0) return detail::fail_os("sem_getvalue", errno);
    return value;
}

}  // namespace

// One thread's stay in the object.
class posix_sem::waiting {
public:
    explicit waiting(const posix_sem& object) noexcept : object_{object} {
        const pid_t self = ::getpid();
        pid_t known = object.waiters_pid_.load();
        // Forked: the counted waiters are the parent's.
        if (known != self && object.waiters_pid_.compare_exchange_strong(known, self) && known != 0)
            object.waiters_.store(0);
        object.waiters_.fetch_add(1);
    }
    ~waiting() {
        if (object_.waiters_.fetch_sub(1) == 1) object_.waiters_.notify_all();
    }
    waiting(const waiting&) = delete;
    waiting& operator=(const waiting&) = delete;

private:
    const posix_sem& object_;
};

posix_sem::posix_sem(posix_sem&& other) noexcept
    : sem_{other.sem_.exchange(nullptr)}, waiters_pid_{other.waiters_pid_.load()} {}

posix_sem& posix_sem::operator=(posix_sem&& other) noexcept {
    if (this != &other) {
        close();
        sem_.store(other.sem_.exchange(nullptr));
        waiters_pid_.store(other.waiters_pid_.load());
    }
    return *this;
}

void posix_sem::close() noexcept {
    sem_t* sem = sem_.exchange(nullptr);
    if (sem == nullptr) return;
    // Whose waiters they are is asked last, because it is a system call.
    if (waiters_.load() != 0 && waiters_pid_.load() == ::getpid())
        for (int n = waiters_.load(); n != 0; n = waiters_.load()) waiters_.wait(n);
    const int saved = errno;
    ::sem_close(sem);
    errno = saved;
}

result<void> posix_sem::wait(const wait_policy& wait) const noexcept {
    if (wait.stop_requested()) return fail(errc::stopped, "sem_clockwait");
    sem_t* sem = native();
    if (sem == nullptr) return fail(errc::invalid, "sem_clockwait", EBADF);
    if (const int tried = try_wait(sem); ends(tried, wait)) return end_of(tried);

    const waiting stay{*this};
    const auto closed = [this] { return sem_.load() == nullptr; };
    if (closed()) return fail(errc::stopped, "sem_clockwait");
    return detail::wait_on_semaphore(sem, true, wait, {}, closed);
}

result<void> posix_sem::post() const noexcept {
    sem_t* sem = native();
    if (sem == nullptr) return fail(errc::invalid, "sem_post", EBADF);
    return post_to(sem);
}

result<int> posix_sem::value() const noexcept {
    sem_t* sem = native();
    if (sem == nullptr) return fail(errc::invalid, "sem_getvalue", EBADF);
    return value_of(sem);
}

result<posix_sem> posix_sem::open(std::string_view name, const posix_sem_options& options) noexcept {
    const auto text = checked(name, "sem_open");
    if (!text) return fail(text.error());
    const auto about = object_ref::name(name);
    // glibc looks at the value only where it makes the semaphore.
    if (options.create != creation::must_exist && options.value > posix_sem_max_value)
        return fail(errc::invalid, "sem_open", EINVAL, about);
    const int flags = options.create == creation::must_exist    ? 0
                      : options.create == creation::must_be_new ? O_CREAT | O_EXCL
                                                                : O_CREAT;
    sem_t* opened = nullptr;
    do opened = ::sem_open(text->get(), flags, options.mode, options.value);
    while (opened == SEM_FAILED && errno == EINTR);
    posix_sem sem{opened};
    if (!sem.is_open()) {
        const int os_error = errno;
        // Name and value were right, so it is what lies under the name: too small, not a file, a link.
        if (os_error == EINVAL) return fail(errc::wrong_size, "sem_open", EINVAL, about);
        if (os_error == ENODEV) return fail(errc::wrong_kind, "sem_open", ENODEV, about);
        return detail::fail_os("sem_open", os_error, about);
    }
    if (options.create != creation::must_be_new && !has_size_of_semaphore(name))
        return fail(errc::wrong_size, "sem_open", 0, about);
    return sem;
}

result<void> unlink_posix_sem(std::string_view name) noexcept {
    const auto text = checked(name, "sem_unlink");
    if (!text) return fail(text.error());
    if (::sem_unlink(text->get()) != 0) return detail::fail_os("sem_unlink", errno, object_ref::name(name));
    return {};
}

namespace {

result<unnamed_sem*> placed(byte_span memory, const char* operation) noexcept {
    if (memory.size() < sizeof(unnamed_sem)) return fail(errc::wrong_size, operation);
    if (reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(unnamed_sem) != 0)
        return fail(errc::invalid, operation, EINVAL);
    return reinterpret_cast<unnamed_sem*>(memory.data());
}

}  // namespace

result<unnamed_sem*> unnamed_sem::create_at(byte_span memory, unsigned value) noexcept {
    const auto place = placed(memory, "sem_init");
    if (!place) return place;
    constexpr int between_processes = 1;
    if (::sem_init((*place)->native(), between_processes, value) != 0) return detail::fail_os("sem_init", errno);
    return place;
}

result<unnamed_sem*> unnamed_sem::at(byte_span memory) noexcept { return placed(memory, "unnamed_sem::at"); }

void unnamed_sem::destroy() noexcept { ::sem_destroy(&sem_); }

result<void> unnamed_sem::wait(const wait_policy& wait) noexcept {
    if (wait.stop_requested()) return fail(errc::stopped, "sem_clockwait");
    if (const int tried = try_wait(&sem_); ends(tried, wait)) return end_of(tried);
    const bool sliced = wait.stop != nullptr && wait.stop->stop_possible();
    return detail::wait_on_semaphore(&sem_, sliced, wait, {}, [] { return false; });
}

result<void> unnamed_sem::post() noexcept { return post_to(&sem_); }
result<int> unnamed_sem::value() noexcept { return value_of(&sem_); }

}  // namespace kith::inline KITH_ABI::sys
