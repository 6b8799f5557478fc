// Event descriptors, processes, polling, futexes.
#include <kith/sys/eventfd.hpp>
#include <kith/sys/futex.hpp>
#include <kith/sys/pidfd.hpp>
#include <kith/sys/poll.hpp>
#include <kith/sys/process.hpp>
#include <kith/sys/signalfd.hpp>
#include <kith/sys/spawn.hpp>
#include <kith/sys/timerfd.hpp>

#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <csignal>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

const deadline soon() { return deadline::in(std::chrono::seconds{5}); }

class counter : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(fd, open_eventfd());
        FAULT_TRY(fd->add(3, soon()));
        FAULT_TRY(fd->take(soon()));
        return {};
    }
};
const listed<counter> eventfd_in_use{"eventfd"};

class timer : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(fd, open_timerfd());
        FAULT_TRY(fd->arm(deadline::in(std::chrono::milliseconds{1})));
        FAULT_TRY(fd->remaining());
        FAULT_TRY(fd->take(soon()));
        FAULT_TRY(fd->disarm());
        return {};
    }
};
const listed<timer> timerfd_in_use{"timerfd"};

class signals : public scenario {
public:
    // Blocked it is queued all the same, and unblocked again it does no harm.
    void prepare() override { ::signal(SIGUSR1, SIG_IGN); }
    kith::result<void> act() override {
        const signal_set usr1{SIGUSR1};
        const blocked_signals blocked{usr1};
        FAULT_MAKE(fd, open_signalfd(usr1));
        // Not what is tried, so not by a call that could be made to fail.
        ::raise(SIGUSR1);
        FAULT_TRY(fd->watch(usr1));
        const auto taken = fd->take(deadline::in(std::chrono::milliseconds{50}));
        return taken ? kith::result<void>{} : kith::fail(taken.error());
    }
};
const listed<signals> signalfd_in_use{"signalfd",
                                      {{SYS_tgkill, any_error, errc::timed_out, "the signal was never sent", 0}}};

class sets : public scenario {
public:
    void prepare() override { fd_ = std::move(*open_eventfd(1)); }
    kith::result<void> act() override {
        FAULT_MAKE(events, open_event_set());
        FAULT_TRY(events->add(fd_->native(), EPOLLIN, 7));
        std::array<event_set::ready, 2> found;
        FAULT_TRY(events->wait(found, soon()));
        FAULT_TRY(events->change(fd_->native(), EPOLLIN, 8));
        FAULT_TRY(events->remove(fd_->native()));
        poll_set polled;
        FAULT_TRY(polled.add(fd_->native(), POLLIN));
        FAULT_TRY(polled.wait(soon()));
        return {};
    }

private:
    std::optional<event_fd> fd_;
};
const listed<sets> polling{"poll",
                           {{SYS_epoll_ctl, ELOOP, errc::io, "sets in a circle"},
                            {SYS_epoll_ctl, ENOSPC, errc::limit_reached, "max_user_watches"},
                            {SYS_epoll_ctl, EPERM, errc::wrong_kind, "a file that cannot be waited for"}}};

class other_process : public scenario {
public:
    void prepare() override {
        pid_ = ::fork();
        if (pid_ == 0)
            for (;;) ::pause();
    }
    ~other_process() override {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    kith::result<void> act() override {
        FAULT_TRY(identity_of(pid_));
        FAULT_MAKE(fd, open_pidfd(pid_));
        FAULT_TRY(fd->pid());
        FAULT_TRY(fd->copy_descriptor(2));
        FAULT_TRY(fd->send_signal(SIGKILL));
        FAULT_TRY(fd->wait_for_end(soon()));
        FAULT_TRY(fd->reap(soon()));
        return {};
    }

private:
    pid_t pid_ = -1;
};
const listed<other_process> pidfd_in_use{
    "pidfd",
    {{SYS_readlink, ENOENT, errc::unsupported, "no /proc"},
     {SYS_newfstatat, any_error, errc::unsupported, "no /proc of this pid namespace"},
     {SYS_openat, ENOENT, errc::not_found, "no such process", ESRCH},
     {SYS_openat, ENOENT, errc::unsupported, "no /proc"},
     {SYS_pidfd_open, ESRCH, errc::not_found, "no such process"},
     {SYS_pidfd_getfd, EBADF, errc::not_found, "no such descriptor there"},
     {SYS_read, EINTR, errc::stopped, "files in /proc do not wait"}}};

class states : public scenario {
public:
    void prepare() override { self_ = *identity_of_this_process(); }
    kith::result<void> act() override {
        FAULT_TRY(state_of(self_));
        return {};
    }

private:
    process_identity self_;
};
const listed<states> process_states{"process_state",
                                    {{SYS_readlink, ENOENT, errc::unsupported, "no /proc"},
                                     {SYS_newfstatat, any_error, errc::unsupported, "no /proc of this pid namespace"},
                                     {SYS_openat, ENOENT, {}, "no such process: it is gone"}}};

class program : public scenario {
public:
    kith::result<void> act() override {
        // Long enough to be waited for.
        constexpr std::string_view arguments[]{"0.02"};
        FAULT_MAKE(child, spawn("sleep", arguments));
        FAULT_TRY(child->wait(soon()));
        return {};
    }
};
const listed<program> spawned{"spawn",
                              {{SYS_mmap, EAGAIN, errc::limit_reached, "posix_spawn could not start a process"},
                               {SYS_clone3, EAGAIN, errc::limit_reached, "RLIMIT_NPROC"},
                               {SYS_clone3, ENOSYS, {}, "older kernel: clone"},
                               {SYS_clone, EAGAIN, errc::limit_reached, "RLIMIT_NPROC"},
                               {SYS_pidfd_open, any_error, {}, "without a handle the pid is waited for"}}};

// With a directory and a descriptor of its own, killed, and reaped by the destructor: whether a wait would find it dead
// already is chance.
class placed_program : public scenario {
public:
    void prepare() override { fd_ = std::move(*open_eventfd()); }
    kith::result<void> act() override {
        constexpr std::string_view arguments[]{"5"};
        const std::array descriptors{descriptor_for_child{fd_->native(), 3}};
        FAULT_MAKE(child, spawn("/bin/sleep", arguments,
                                {.search_path = false, .directory = "/", .descriptors = descriptors}));
        return child->kill(SIGKILL);
    }

private:
    std::optional<event_fd> fd_;
};
const listed<placed_program> placed_spawn{
    "spawn_placed",
    {{SYS_mmap, EAGAIN, errc::limit_reached, "posix_spawn could not start a process"},
     {SYS_clone3, EAGAIN, errc::limit_reached, "RLIMIT_NPROC"},
     {SYS_clone3, ENOSYS, {}, "older kernel: clone"},
     {SYS_clone, EAGAIN, errc::limit_reached, "RLIMIT_NPROC"},
     {SYS_pidfd_send_signal, any_error, {}, "destructors have nobody to tell"},
     {SYS_waitid, any_error, {}, "destructors have nobody to tell"},
     {SYS_waitid, any_error, errc::peer_gone, "no child of ours any more, as it seems: not killed", ESRCH},
     {SYS_pidfd_open, any_error, {}, "without a handle the pid is waited for"}}};

// A wait with a stop token.
class stoppable_poll : public scenario {
public:
    void prepare() override { fd_ = std::move(*open_eventfd(0)); }
    kith::result<void> act() override {
        const std::stop_source stop;
        const auto token = stop.get_token();
        poll_set polled;
        FAULT_TRY(polled.add(fd_->native(), POLLIN));
        FAULT_FAILS(polled.wait({deadline::in(std::chrono::milliseconds{1}), token}), errc::timed_out);
        return {};
    }

private:
    std::optional<event_fd> fd_;
};
const listed<stoppable_poll> poll_with_token{"poll_with_token"};

class word : public scenario {
public:
    kith::result<void> act() override {
        const std::atomic<std::uint32_t> value{1};
        FAULT_TRY(futex_wake(value));
        FAULT_TRY(futex_wait(value, 0, soon()));
        const auto late = futex_wait(value, 1, deadline::in(std::chrono::milliseconds{1}));
        if (!late && late.error().code() != errc::timed_out) return kith::fail(late.error());
        return {};
    }
};
const listed<word> futex_in_use{"futex"};

}  // namespace
