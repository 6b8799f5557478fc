// child - a forked process that runs a function, watched and reaped by the test.
#pragma once
#include <sys/syscall.h>
#include <sys/types.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#ifndef SYS_pause  // aarch64 has no such call: pause(3) sleeps in ppoll
#define SYS_pause SYS_ppoll
#endif

namespace kith_test {

/// In a child: ends it with status 99 and says where, unless `condition` holds.
#define CHILD_CHECK(condition)                                                                 \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            std::fprintf(stderr, "%s:%d: in the child: %s\n", __FILE__, __LINE__, #condition); \
            std::fflush(stderr);                                                               \
            ::_exit(99);                                                                       \
        }                                                                                      \
    } while (false)

/// A child process. The destructor kills and reaps what is still running.
class child {
public:
    /// Forks and runs `body` in the child; its return value is the exit status.
    explicit child(const std::function<int()>& body);
    /// Executes a program (found in PATH), with standard output and error inherited.
    static child exec(const std::vector<std::string>& words);
    child(child&& other) noexcept;
    child& operator=(child&&) = delete;
    ~child();

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// Waits for its end: the exit status, or 128 + the signal that ended it.
    int wait();
    /// Whether it has ended by now, without waiting.
    [[nodiscard]] std::optional<int> poll();
    void kill(int signal = SIGKILL) const;
    /// Kills it with SIGKILL and reaps it.
    void kill_and_reap();

private:
    explicit child(pid_t pid) : pid_{pid} {}
    pid_t pid_;
    std::optional<int> status_;
};

/// Waits until the process sleeps in the system call `number` (SYS_read ...): the way to be sure that it waits
/// without guessing how long it takes to get there. Fails the test after 20 seconds.
void wait_until_in_syscall(pid_t pid, long number);
/// The same for any of several calls.
void wait_until_in_syscall(pid_t pid, const std::vector<long>& numbers);
/// The same for a thread of this process, by its gettid().
inline void wait_until_thread_in_syscall(pid_t tid, long number) { wait_until_in_syscall(tid, number); }

/// The output of a program and how it ended.
struct outcome {
    int status = 0;  ///< exit status, or 128 + signal
    std::string out;
    std::string err;
};
/// Runs a program with `input` as standard input (a file, so no pipe can fill), killed after `seconds`.
outcome run(const std::vector<std::string>& words, const std::string& input = {}, int seconds = 60);

}  // namespace kith_test
