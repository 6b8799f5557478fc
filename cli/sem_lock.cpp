#include "sem_lock.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
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
    /// A signal that has come and ends kith; 0: none.
    [[nodiscard]] int asked() const {
        sigset_t pending;
        sigemptyset(&pending);
        ::sigpending(&pending);
        for (int signal = 1; signal < NSIG; ++signal)
            if (signal != SIGCHLD && !is_ignored(signal) && sigismember(&set_, signal) == 1 &&
                sigismember(&pending, signal) == 1)
                return signal;
        return 0;
    }
    /// Dies of a signal that came while there was nothing to give back.
    void die_if_asked() const {
        if (const int signal = asked(); signal != 0) die_of(signal);
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

ssize_t read_again(int fd, void* into, std::size_t size) {
    ssize_t n = 0;
    while ((n = ::read(fd, into, size)) < 0 && errno == EINTR) {
    }
    return n;
}

/// The process that gives the semaphore back, also if kith cannot. It lives until kith has said that COMMAND has ended,
/// or is gone and COMMAND too.
///
/// The pipe to it is held open by kith and by the child that will be COMMAND, which names itself in it and waits for
/// the answer before it becomes COMMAND and so closes it. The end of the pipe without a name: there is no COMMAND, and
/// nobody is left to start one. Killing kith at any point leaves a keeper that knows all there is to wait for.
class keeper {
public:
    explicit keeper(const posix_sem& semaphore) { os_error_ = start(semaphore); }

    /// Why there is none; 0: there is.
    [[nodiscard]] int os_error() const { return os_error_; }

    /// In the child that will be COMMAND: returns once the keeper waits for its end, or has been killed. False: the
    /// keeper cannot wait for it (pidfd_open(2) is refused).
    [[nodiscard]] bool wait_for_my_end() const {
        const pid_t self = ::getpid();
        char answer = watching;
        if (::write(to_.get(), &self, sizeof self) == sizeof self) [[maybe_unused]]
            const auto come = read_again(answer_.get(), &answer, sizeof answer);
        return answer == watching;
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
    static constexpr char watching = '+', refusing = '-';
    int start(const posix_sem& semaphore) {
        void* const page =
            ::mmap(nullptr, sizeof(*progress_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) return errno;
        progress_ = new (page) std::atomic<giving>{giving::not_yet};
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
        const kith::owned_fd in{ends[0]};
        to_ = kith::owned_fd{ends[1]};
        if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
        answer_ = kith::owned_fd{ends[0]};
        const kith::owned_fd out{ends[1]};
        pid_ = ::fork();
        if (pid_ < 0) return errno;
        if (pid_ != 0) return 0;
        to_.reset();
        answer_.reset();
        ::_exit(watch(semaphore, in.get(), out.get()));
    }

    int watch(const posix_sem& semaphore, int from, int to) const {
        // Away from the terminal's signals, and holding nobody's pipes open.
        ::setsid();
        const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (nothing >= 0)
            for (const int fd : {0, 1, 2}) ::dup2(nothing, fd);
        pid_t command = 0;
        if (read_again(from, &command, sizeof command) == sizeof command) {
            // Opened while it waits for the answer, so the number is its own.
            const auto process = kith::sys::open_pidfd(command);
            const char answer = process ? watching : refusing;
            [[maybe_unused]] const auto answered = ::write(to, &answer, sizeof answer);
            char none = 0;
            read_again(from, &none, sizeof none);  // nothing comes: the end of the pipe, by kith's word or by its death
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
    kith::owned_fd answer_;
    int os_error_ = 0;
    pid_t pid_ = -1;
};

constexpr const char* no_keeper = "nobody could give it back if kith were killed, so COMMAND was not started";

kith::errc shortage(int os_error) { return os_error == ENOMEM ? kith::errc::out_of_memory : kith::errc::limit_reached; }

/// Starts the child that becomes COMMAND once the keeper waits for its end. Not kith::sys::spawn: a child of that is
/// COMMAND before anybody knows its pid. Returns its pid; -1 with errno.
pid_t start_kept(session& s, const std::string& text, const keeper& backup) {
    std::fflush(nullptr);  // what has been printed is printed once
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    if (!backup.wait_for_my_end()) {
        const int refused =
            s.fail("lock", text, failure{kith::error{kith::errc::unsupported, "pidfd_open"}, no_keeper});
        std::fflush(nullptr);
        ::_exit(refused);
    }
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    const int status = become_command(s);
    std::fflush(nullptr);
    ::_exit(status);
}

/// Waits for COMMAND and passes signals on.
int status_of_command(pid_t command, const held_signals& signals) {
    for (;;) {
        const auto what = signals.next();
        if (what.si_signo == SIGCHLD) {
            int status = 0;
            if (::waitpid(command, &status, WNOHANG) != command) continue;
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
        // Sent by a process. One from the terminal went to the whole group, COMMAND included.
        if (what.si_code <= 0) ::kill(command, what.si_signo);
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
    std::signal(SIGCHLD, SIG_DFL);  // ignored, as some callers leave it, it would take away the status
    keeper backup{semaphore};
    if (const int why = backup.os_error(); why != 0) {
        static_cast<void>(semaphore.post());
        return s.fail("lock", text, failure{kith::error{shortage(why), "pipe2, fork", why}, no_keeper});
    }
    // It may have come since the last look, and would be forgotten in the child.
    if (const int signal = signals.asked(); signal != 0) {
        static_cast<void>(backup.give_back(semaphore));
        die_of(signal);
    }
    const pid_t command = start_kept(s, text, backup);
    const auto not_started = [&](int os_error) {
        return command_not_started(
            s, s.command,
            failure{kith::error{shortage(os_error), "fork", os_error, kith::object_ref::name(s.command[0])}});
    };
    const int status = command > 0 ? status_of_command(command, signals) : not_started(errno);
    if (!backup.give_back(semaphore))
        s.fail("unlock", text,
               failure{kith::error{kith::errc::peer_gone, "sem_post"},
                       "it may still be taken: a process of kith's was killed"}
                   .suggest("kith sem get " + text)
                   .suggest("kith sem post " + text + "   if it is 0 and nobody holds it"));
    return status;
}

}  // namespace kith_cli
