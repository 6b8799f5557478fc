// kith/sys/process.hpp - which process it is: an identity that the reuse of pids cannot fool.
//
// A pid found in shared memory, in a queue's statistics or in a file may meanwhile belong to a stranger, and
// kill(pid, 0) succeeds for strangers and for zombies. An identity is the pid with the moment its process
// started (field 22 of /proc/PID/stat, in clock ticks since boot) and the pid namespace that the number
// belongs to; no two processes of one boot share all three (a pid comes back within one tick only where all
// other pids were used up within that hundredth of a second). It can be stored and sent; it does not keep
// anything alive. For a handle that does, see open_pidfd(process_identity) in kith/sys/pidfd.hpp.
// Needs /proc of the caller's own pid namespace. Nothing here waits. Thread safety: values and free functions; from any
// thread. Fork: an identity goes on naming the process that it was taken of, never the child. Signal handlers: yes
// (system calls only; errno may change). Crash: nothing is held. Man pages: proc(5), pid_namespaces(7).
#pragma once
#include <sys/types.h>
#include <cstdint>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI::sys {

/// One process of this boot. A value; compares equal only for the same process.
struct process_identity {
    pid_t pid = 0;
    std::uint64_t started = 0;        ///< clock ticks since boot
    std::uint64_t pid_namespace = 0;  ///< inode of the pid namespace that `pid` counts in
    friend bool operator==(const process_identity&, const process_identity&) = default;
};

/// What has become of a process.
enum class process_state : std::uint8_t {
    running,  ///< it can still act, even if stopped
    zombie,   ///< it has ended; its parent has not collected its status
    gone,     ///< it has ended and was collected; its pid may belong to another process
};

/// How a process ended. A value.
struct exit_status {
    bool signaled = false;  ///< ended by a signal
    int value = 0;          ///< the exit status, or the signal
    bool dumped_core = false;
    /// As a shell tells it: the exit status, or 128 + the signal.
    [[nodiscard]] constexpr int as_shell() const noexcept { return signaled ? 128 + value : value; }
    friend constexpr bool operator==(const exit_status&, const exit_status&) = default;
};

/// The identity of the process that has this pid now, zombie or not. Errors: `not_found` (ESRCH), `invalid`
/// (pid <= 0), `unsupported` (no /proc, or one of another pid namespace), `not_permitted` (hidden, proc(5) hidepid).
[[nodiscard]] KITH_EXPORT result<process_identity> identity_of(pid_t pid) noexcept;
/// The caller's own identity; a forked child has another. Errors: `unsupported`.
[[nodiscard]] KITH_EXPORT result<process_identity> identity_of_this_process() noexcept;

/// What has become of it by now; `gone` where its pid belongs to another process. Errors: `unsupported` (the
/// identity was taken in another pid namespace and means nothing here; or no /proc), `invalid`.
[[nodiscard]] KITH_EXPORT result<process_state> state_of(const process_identity& who) noexcept;

}  // namespace kith::inline KITH_ABI::sys
