#include "sem_lock.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <kith/sys/pidfd.hpp>
#include <new>

#include "command.hpp"

namespace kith_cli {
namespace {

using kith::deadline;
using kith::sys::posix_sem;

// How long a waiting kith takes to notice a signal.
constexpr std::chrono::milliseconds look_at_signals{20};

/// The signals that would end kith and leave the semaphore taken, and SIGCHLD: blocked while it lives.
class held_signals {
public:
    held_signals() {
        sigemptyset(&set_);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD})
            sigaddset(&set_, signal);
        pthread_sigmask(SIG_BLOCK, &set_, &before_);
    }
    ~held_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    held_signals(const held_signals&) = delete;
    held_signals& operator=(const held_signals&) = delete;

    [[nodiscard]] siginfo_t next() const {
        siginfo_t what{};
        while (::sigwaitinfo(&set_, &what) < 0 && errno == EINTR) {
        }
        return what;
    }
    /// Dies of a signal that came while there was nothing to give back.
    void die_if_asked() const {
        sigset_t pending;
        sigemptyset(&pending);
        ::sigpending(&pending);
        for (int signal = 1; signal < NSIG; ++signal)
            if (signal != SIGCHLD && !is_ignored(signal) && sigismember(&set_, signal) == 1 &&
                sigismember(&pending, signal) == 1)
                die_of(signal);
    }

private:
    sigset_t set_{};
    sigset_t before_{};
};

kith::result<void> take(const posix_sem& semaphore, const kith::wait_policy& wait, const held_signals& signals) {
    if (wait.until.is_immediate()) return semaphore.wait(wait);
    for (;;) {
        auto taken = semaphore.wait(deadline::earlier(wait.until, deadline::in(look_at_signals)));
        const bool again = !taken && taken.error().code() == kith::errc::timed_out &&
                           (wait.until.is_never() || wait.until.remaining_ns() > 0);
        if (!again) return taken;
        signals.die_if_asked();
    }
}

/// How far the keeper has come, in a page that it shares with kith.
enum class giving : int { not_yet, now, done };

/// The process that gives the semaphore back, also if kith cannot. It lives until kith has said that COMMAND has ended,
/// or is gone and COMMAND too.
class keeper {
public:
    explicit keeper(const posix_sem& semaphore) {
        void* const page =
            ::mmap(nullptr, sizeof(*progress_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) return;
        progress_ = new (page) std::atomic<giving>{giving::not_yet};
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) return;
        kith::owned_fd in{ends[0]};
        to_ = kith::owned_fd{ends[1]};
        pid_ = ::fork();
        if (pid_ != 0) return;
        to_.reset();
        ::_exit(watch(semaphore, in.get()));
    }

    void command_is(pid_t pid) const {
        if (pid_ > 0) [[maybe_unused]]
            const auto told = ::write(to_.get(), &pid, sizeof pid);
    }

    /// Has the semaphore given back, once, and returns whether that is certain: it is not only if the keeper was killed
    /// in the very act.
    [[nodiscard]] bool give_back(const posix_sem& semaphore) {
        to_.reset();
        if (pid_ > 0)
            while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
            }
        const auto state = progress_ != nullptr ? progress_->load() : giving::not_yet;
        if (state == giving::not_yet) return semaphore.post().has_value();
        return state == giving::done;
    }

private:
    int watch(const posix_sem& semaphore, int from) const {
        // Away from the terminal's signals, and holding nobody's pipes open.
        ::setsid();
        const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (nothing >= 0)
            for (const int fd : {0, 1, 2}) ::dup2(nothing, fd);
        const auto read_pid = [from](pid_t& pid) {
            ssize_t n = 0;
            while ((n = ::read(from, &pid, sizeof pid)) < 0 && errno == EINTR) {
            }
            return n == sizeof pid;
        };
        pid_t command = 0;
        if (read_pid(command)) {
            // Opened while kith has not reaped it, so the number is its own.
            const auto process = kith::sys::open_pidfd(command);
            pid_t none = 0;
            read_pid(none);  // nothing comes: the end of the pipe, by kith's word or by its death
            if (process) [[maybe_unused]]
                const auto ended = process->wait_for_end();
        }
        progress_->store(giving::now);
        if (!semaphore.post()) return 1;
        progress_->store(giving::done);
        return 0;
    }

    std::atomic<giving>* progress_ = nullptr;  // lives as long as kith
    kith::owned_fd to_;
    pid_t pid_ = -1;
};

/// Waits for COMMAND and passes signals on.
int status_of_command(kith::sys::child_process& command, const held_signals& signals) {
    for (;;) {
        const auto what = signals.next();
        if (what.si_signo == SIGCHLD) {
            if (const auto ended = command.wait(deadline::immediate())) return ended->as_shell();
        } else if (what.si_code <= 0) {
            // Sent by a process. One from the terminal went to the whole group, COMMAND included.
            static_cast<void>(command.kill(what.si_signo));
        }
    }
}

}  // namespace

int become_command(session& s) {
    std::vector<char*> argv;
    argv.reserve(s.command.size() + 1);
    for (const auto& word : s.command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::signal(SIGPIPE, SIG_DFL);  // kith ignores it, and exec would hand that on
    ::execvp(argv[0], argv.data());
    const int os_error = errno;
    std::signal(SIGPIPE, SIG_IGN);
    const auto code = os_error == ENOENT ? kith::errc::not_found : kith::errc::not_permitted;
    const auto* reason = os_error == ENOENT ? "no such program in PATH" : "it cannot be executed";
    return command_not_started(
        s, s.command, failure{kith::error{code, "execvp", os_error, kith::object_ref::name(s.command[0])}, reason});
}

int run_holding(session& s, const std::string& text, const posix_sem& semaphore) {
    const held_signals signals;
    if (const auto taken = take(semaphore, s.wait(), signals); !taken) return s.fail("lock", text, taken.error());
    keeper backup{semaphore};
    auto command = start_command(s.command);
    int status = 0;
    if (command) {
        backup.command_is(command->pid());
        status = status_of_command(*command, signals);
    } else {
        status = command_not_started(s, s.command, command.error());
    }
    if (!backup.give_back(semaphore))
        s.fail("unlock", text,
               failure{kith::error{kith::errc::peer_gone, "sem_post"},
                       "it may still be taken: a process of kith's was killed"}
                   .suggest("kith sem get " + text)
                   .suggest("kith sem post " + text + "   if it is 0 and nobody holds it"));
    return status;
}

}  // namespace kith_cli
