// kith/sys/spawn.hpp - starting a program as a child with chosen descriptors, without fork.
//
// posix_spawn(3): the parent's memory is not copied, and no other thread's descriptors can leak, because all
// of kith's are close-on-exec and the child gets exactly those that are named. On what it gets, O_NONBLOCK and
// close-on-exec are cleared: most programs expect blocking descriptors. O_NONBLOCK belongs to the open file
// description, so do not keep a copy of what you give away. The child starts with an empty signal mask and with
// SIGPIPE at its default, whatever the parent blocks or ignores; both are inherited otherwise.
// Close your own copy of what the child got: a reader never sees the end of a pipe whose write end you still hold.
// Signal handlers: no. Crash: a child lives on when its parent is killed; the kernel gives it another parent.
#pragma once
#include <sys/types.h>
#include <optional>
#include <span>
#include <string_view>

#include <kith/fd.hpp>
#include <kith/sys/pidfd.hpp>
#include <kith/sys/process.hpp>

namespace kith::inline KITH_ABI::sys {

/// A descriptor of this process, and the number it shall have in the child.
struct descriptor_for_child {
    borrowed_fd from;
    int number;
};

/// What to start, and how. The views are only used during the call.
struct spawn_options {
    bool search_path = true;  ///< look a name without a slash up in PATH, as a shell does
    bool own_group = false;   ///< the child leads a process group of its own: a terminal's signals do not reach it
    bool keep_others =
        true;  ///< descriptors that are not close-on-exec are inherited; false: only 0, 1, 2 and the named
    std::string_view directory = {};                         ///< the child's working directory; empty: the caller's
    std::span<const descriptor_for_child> descriptors = {};  ///< the numbers must differ
    std::optional<std::span<const std::string_view>> environment = std::nullopt;  ///< "NAME=value"; none: the caller's
};

/// A child process. Its end is always collected: destruction kills (SIGKILL) and reaps what still runs, so no
/// zombie is left and no child is forgotten; `release` lets it live on. One that this process may not kill (it has
/// become another user) is left alone, and becomes a zombie of its parent when it ends.
/// Thread safety: one thread at a time; `handle()` may be waited on from others. Fork: a forked child that
/// destroys its copy disturbs nothing. Where pidfds are missing or descriptors have run out, waits look again at
/// intervals of at most 2 ms (event `fallback_taken`).
class child_process {
public:
    child_process() noexcept = default;
    KITH_EXPORT child_process(child_process&& other) noexcept;
    KITH_EXPORT child_process& operator=(child_process&& other) noexcept;
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;
    KITH_EXPORT ~child_process();

    /// The child's pid; it stays valid, as a zombie's, until wait has returned its status. 0: no child.
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// Whether the end has been collected already.
    [[nodiscard]] bool ended() const noexcept { return ended_; }
    /// A handle for poll sets: readable when the child has ended. Not open where the fallback is in use.
    [[nodiscard]] const pid_fd& handle() const noexcept { return handle_; }

    /// Waits for the end, collects it and tells how it ended; again, the same answer. Errors: `would_block` (it
    /// runs), `timed_out`, `stopped`, `not_found` (ECHILD: SIGCHLD is ignored, or somebody else collected it),
    /// `forked` (not this process's child), `invalid` (no child).
    [[nodiscard]] KITH_EXPORT result<exit_status> wait(const wait_policy& how = {}) noexcept;

    /// Sends it a signal. Errors: `peer_gone` (ESRCH, collected already), `forked`, `invalid`, `not_permitted`.
    [[nodiscard]] KITH_EXPORT result<void> kill(int signal) noexcept;

    /// Lets it live on: from now on nobody collects it here. Returns its handle.
    [[nodiscard]] KITH_EXPORT pid_fd release() noexcept;

private:
    friend KITH_EXPORT result<child_process> spawn(std::string_view program,
                                                   std::span<const std::string_view> arguments,
                                                   const spawn_options& options) noexcept;
    [[nodiscard]] result<void> check(const char* operation) const noexcept;
    [[nodiscard]] result<bool> try_reap() noexcept;
    void finish() noexcept;

    pid_t pid_ = 0;
    pid_t parent_ = 0;
    bool ended_ = false;
    exit_status status_;
    pid_fd handle_;
};

/// Starts `program` with `arguments` (the first of them is argv[1]; argv[0] is the program as given). Errors:
/// `not_found` (no such program; 127 in a shell), `not_permitted` or `wrong_kind` (found but not executable:
/// EACCES, ENOEXEC; 126), operation "open(directory)": the directory; `invalid` (a number twice, NUL in a text),
/// `too_long` (E2BIG), `limit_reached` (EAGAIN: RLIMIT_NPROC; descriptors), `out_of_memory`.
[[nodiscard]] KITH_EXPORT result<child_process> spawn(std::string_view program,
                                                      std::span<const std::string_view> arguments,
                                                      const spawn_options& options = {}) noexcept;

/// What a shell's exit status says about a program that could not be started: 127 not found, else 126.
[[nodiscard]] KITH_EXPORT int shell_status_of(const error& spawn_failure) noexcept;

}  // namespace kith::inline KITH_ABI::sys
