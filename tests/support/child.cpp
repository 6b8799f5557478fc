#include "support/child.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace kith_test {
namespace {

using namespace std::chrono_literals;

int status_of(int raw) { return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw); }

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    return argv;
}

int scratch_file(const std::string& content) {
    const int fd = ::memfd_create("scratch", MFD_CLOEXEC);
    std::size_t done = 0;
    while (done < content.size()) {
        const auto n = ::write(fd, content.data() + done, content.size() - done);
        if (n <= 0) std::abort();
        done += static_cast<std::size_t>(n);
    }
    ::lseek(fd, 0, SEEK_SET);
    // Several processes write to it, and a memfd's shared offset is not locked: without this they overwrite each other.
    ::fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

std::string content_of(int fd) {
    std::string content;
    std::array<char, 65536> buffer;
    ::lseek(fd, 0, SEEK_SET);
    for (ssize_t n; (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
        content.append(buffer.data(), static_cast<std::size_t>(n));
    return content;
}

// The number under which /proc shows a call. In qemu-user /proc is the host's, and an x86-64 host has other numbers.
long number_in_proc(long number) {
#if defined(__aarch64__)
    if (const char* host = std::getenv("KITH_TEST_HOST"); host != nullptr && std::string{host} == "x86_64")
        switch (number) {
        case SYS_read: return 0;
        case SYS_write: return 1;
        case SYS_ppoll: return 271;
        case SYS_nanosleep: return 35;
        case SYS_accept4: return 288;
        case SYS_connect: return 42;
        case SYS_recvfrom: return 45;
        case SYS_wait4: return 61;
        case SYS_semtimedop: return 220;
        case SYS_msgsnd: return 69;
        case SYS_msgrcv: return 70;
        case SYS_flock: return 73;
        case SYS_futex: return 202;
        case SYS_clock_nanosleep: return 230;
        case SYS_mq_timedsend: return 242;
        case SYS_mq_timedreceive: return 243;
        case SYS_waitid: return 247;
        case SYS_openat: return 257;
        case SYS_epoll_pwait: return 281;
        case SYS_fcntl: return 72;
        default: break;
        }
#endif
    return number;
}

}  // namespace

child::child(const std::function<int()>& body) {
    std::fflush(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing survives a test that was killed by its watchdog
        const pid_t by_now = ::getppid();    // 0: the parent is outside this child's pid namespace
        if (by_now != parent && by_now != 0) ::_exit(98);
        const int status = body();
        std::fflush(nullptr);
        ::_exit(status);
    }
}

child child::exec(const std::vector<std::string>& words) {
    return child{[&] {
        const auto argv = pointers_to(words);
        ::execvp(argv[0], argv.data());
        return 127;
    }};
}

child::child(child&& other) noexcept : pid_{std::exchange(other.pid_, -1)}, status_{other.status_} {}

child::~child() {
    if (pid_ > 0 && !status_) kill_and_reap();
}

int child::wait() {
    if (!status_) {
        int raw = 0;
        while (::waitpid(pid_, &raw, 0) < 0 && errno == EINTR) {
        }
        status_ = status_of(raw);
    }
    return *status_;
}

std::optional<int> child::poll() {
    if (!status_) {
        int raw = 0;
        if (::waitpid(pid_, &raw, WNOHANG) == pid_) status_ = status_of(raw);
    }
    return status_;
}

void child::kill(int signal) const { ::kill(pid_, signal); }

void child::kill_and_reap() {
    kill(SIGKILL);
    wait();
}

void wait_until_in_syscall(pid_t pid, const std::vector<long>& numbers) {
    const auto path = "/proc/" + std::to_string(pid) + "/syscall";
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < give_up) {
        std::ifstream file{path};
        long number = -1;
        // The file says "running" while the process runs, so a number means that it sleeps in that call.
        if (file >> number)
            for (const long wanted : numbers)
                if (number == number_in_proc(wanted)) return;
        std::this_thread::sleep_for(1ms);  // between looks; the condition decides, not the time
    }
    FAIL() << "process " << pid << " did not come to wait in system call " << numbers.front();
}

void wait_until_in_syscall(pid_t pid, long number) { wait_until_in_syscall(pid, std::vector<long>{number}); }

outcome run(const std::vector<std::string>& words, const std::string& input, int seconds) {
    const int in = scratch_file(input);
    const int out = scratch_file({});
    const int err = scratch_file({});
    child program{[&] {
        ::dup2(in, 0);
        ::dup2(out, 1);
        ::dup2(err, 2);
        const auto argv = pointers_to(words);
        ::execvp(argv[0], argv.data());
        return 127;
    }};
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, program.pid(), 0));
    pollfd ended{pidfd, POLLIN, 0};
    int n = 0;
    while ((n = ::poll(&ended, 1, seconds * 1000)) < 0 && errno == EINTR) {
    }
    outcome result;
    if (n == 0) {
        program.kill();
        ADD_FAILURE() << words[0] << " was killed after " << seconds << " s";
    }
    result.status = program.wait();
    result.out = content_of(out);
    result.err = content_of(err);
    for (const int fd : {in, out, err, pidfd}) ::close(fd);
    return result;
}

}  // namespace kith_test
