#include <kith/sys/spawn.hpp>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>
#include <algorithm>
#include <new>
#include <string>
#include <vector>

#include "base/c_string.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

class file_actions {
public:
    file_actions() noexcept { ::posix_spawn_file_actions_init(&actions_); }
    ~file_actions() { ::posix_spawn_file_actions_destroy(&actions_); }
    file_actions(const file_actions&) = delete;
    file_actions& operator=(const file_actions&) = delete;
    posix_spawn_file_actions_t* get() noexcept { return &actions_; }

private:
    posix_spawn_file_actions_t actions_;
};

class attributes {
public:
    explicit attributes(bool own_group) noexcept {
        ::posix_spawnattr_init(&attributes_);
        sigset_t none;
        sigemptyset(&none);
        ::posix_spawnattr_setsigmask(&attributes_, &none);
        sigset_t to_default;
        sigemptyset(&to_default);
        sigaddset(&to_default, SIGPIPE);
        ::posix_spawnattr_setsigdefault(&attributes_, &to_default);
        const int group = own_group ? POSIX_SPAWN_SETPGROUP : 0;
        ::posix_spawnattr_setflags(&attributes_,
                                   static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
    }
    ~attributes() { ::posix_spawnattr_destroy(&attributes_); }
    attributes(const attributes&) = delete;
    attributes& operator=(const attributes&) = delete;
    const posix_spawnattr_t* get() const noexcept { return &attributes_; }

private:
    posix_spawnattr_t attributes_;
};

// NUL-terminated copies and the array of pointers to them that exec wants.
class string_array {
public:
    explicit string_array(std::size_t size) {
        texts_.reserve(size);  // no reallocation later: the pointers stay valid
        pointers_.reserve(size + 1);
    }
    void add(std::string_view text) { pointers_.push_back(texts_.emplace_back(text).data()); }
    char** get() {
        pointers_.push_back(nullptr);
        return pointers_.data();
    }

private:
    std::vector<std::string> texts_;
    std::vector<char*> pointers_;
};

bool has_nul(std::string_view text) noexcept { return text.find('\0') != std::string_view::npos; }

std::unexpected<error> fail_spawn(const char* operation, int os_error, std::string_view program) noexcept {
    const auto about = object_ref::name(program);
    if (os_error == ENOEXEC || os_error == EISDIR) return fail(errc::wrong_kind, operation, os_error, about);
    if (os_error == EAGAIN) return fail(errc::limit_reached, operation, EAGAIN, about);
    return detail::fail_os(operation, os_error, about);
}

result<void> clear_nonblocking(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ((flags & O_NONBLOCK) != 0 && ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0))
        return detail::fail_os("fcntl(F_SETFL)", errno, object_ref::descriptor(fd));
    return {};
}

// Puts every descriptor where the child wants it. First copies above all wanted numbers, so that no dup2 in
// the child overwrites one that is still needed; `copies` keeps them open until the child has started.
result<void> place_descriptors(const spawn_options& options, file_actions& actions, std::vector<owned_fd>& copies) {
    int top = 2;
    for (const auto& one : options.descriptors) {
        if (one.number < 0 || std::ranges::count(options.descriptors, one.number, &descriptor_for_child::number) != 1)
            return fail(errc::invalid, "spawn", EINVAL, object_ref::descriptor(one.number));
        top = std::max(top, one.number);
    }
    for (const auto& one : options.descriptors) {
        if (auto cleared = clear_nonblocking(one.from.get()); !cleared) return cleared;
        const int copy = ::fcntl(one.from.get(), F_DUPFD_CLOEXEC, top + 1);
        if (copy < 0) return detail::fail_os("fcntl(F_DUPFD_CLOEXEC)", errno, object_ref::descriptor(one.from.get()));
        copies.emplace_back(copy);
        if (::posix_spawn_file_actions_adddup2(actions.get(), copy, one.number) != 0)
            return fail(errc::out_of_memory, "posix_spawn_file_actions_adddup2", ENOMEM);
    }
    if (options.keep_others) return {};
    int rc = 0;
    for (int fd = 3; fd <= top; ++fd)
        if (std::ranges::count(options.descriptors, fd, &descriptor_for_child::number) == 0)
            rc |= ::posix_spawn_file_actions_addclose(actions.get(), fd);
    rc |= ::posix_spawn_file_actions_addclosefrom_np(actions.get(), top + 1);
    if (rc != 0) return fail(errc::out_of_memory, "posix_spawn_file_actions_addclose", ENOMEM);
    return {};
}

// Opened here, so that a missing directory is told apart from a missing program; `copies` keeps it open.
result<void> enter_directory(std::string_view directory, file_actions& actions, std::vector<owned_fd>& copies) {
    if (directory.empty()) return {};
    const auto path = detail::c_path::from(directory, "open(directory)");
    if (!path) return fail(path.error());
    owned_fd there{::open(path->get(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!there.valid()) return detail::fail_os("open(directory)", errno, object_ref::name(directory));
    const int rc = ::posix_spawn_file_actions_addfchdir_np(actions.get(), there.get());
    if (rc != 0) return detail::fail_os("posix_spawn_file_actions_addfchdir_np", rc);
    copies.push_back(std::move(there));
    return {};
}

result<pid_t> start(std::string_view program, std::span<const std::string_view> arguments,
                    const spawn_options& options) {
    const auto environment = options.environment.value_or(std::span<const std::string_view>{});
    if (has_nul(program) || std::ranges::any_of(arguments, has_nul) || std::ranges::any_of(environment, has_nul))
        return fail(errc::invalid, "spawn", EINVAL, object_ref::name(program));
    string_array words{arguments.size() + 1};
    words.add(program);
    for (const auto argument : arguments) words.add(argument);
    string_array variables{environment.size()};
    for (const auto variable : environment) variables.add(variable);

    file_actions actions;
    std::vector<owned_fd> copies;
    // The directory first: closing the others comes last and would take its descriptor away.
    if (auto entered = enter_directory(options.directory, actions, copies); !entered) return fail(entered.error());
    if (auto placed = place_descriptors(options, actions, copies); !placed) return fail(placed.error());

    const attributes attributes{options.own_group};
    char** const argv = words.get();
    char** const envp = options.environment ? variables.get() : ::environ;
    pid_t pid = 0;
    const int rc = options.search_path ? ::posix_spawnp(&pid, argv[0], actions.get(), attributes.get(), argv, envp)
                                       : ::posix_spawn(&pid, argv[0], actions.get(), attributes.get(), argv, envp);
    if (rc != 0) return fail_spawn(options.search_path ? "posix_spawnp" : "posix_spawn", rc, program);
    return pid;
}

}  // namespace

result<child_process> spawn(std::string_view program, std::span<const std::string_view> arguments,
                            const spawn_options& options) noexcept {
    try {
        const auto pid = start(program, arguments, options);
        if (!pid) return fail(pid.error());
        child_process child;
        child.pid_ = *pid;
        child.parent_ = ::getpid();
        // The pid cannot have been reused: nobody but this object reaps it.
        if (auto handle = open_pidfd(*pid))
            child.handle_ = std::move(*handle);
        else
            detail::notify(event_kind::fallback_taken, "pidfd_open", object_ref::process(*pid),
                           handle.error().os_error());
        return child;
    } catch (const std::bad_alloc&) {
        return fail(errc::out_of_memory, "spawn", ENOMEM, object_ref::name(program));
    }
}

int shell_status_of(const error& spawn_failure) noexcept { return spawn_failure.code() == errc::not_found ? 127 : 126; }

}  // namespace kith::inline KITH_ABI::sys
