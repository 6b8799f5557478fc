// Starting programs: SEMANTICS P7 and G6 where they concern children, G4, G13, and the classic traps 9 and 11.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <fstream>
#include <kith/observer.hpp>
#include <kith/sys/pipe.hpp>
#include <kith/sys/poll.hpp>
#include <kith/sys/signalfd.hpp>
#include <kith/sys/spawn.hpp>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "support/seccomp.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using namespace kith::sys;
using words = std::vector<std::string_view>;

// Starts a program and returns what it writes to its standard output.
std::string output_of(std::string_view program, const words& arguments, spawn_options options = {}) {
    auto pipe = open_pipe();
    std::vector<descriptor_for_child> all{options.descriptors.begin(), options.descriptors.end()};
    all.push_back({pipe->writer.native(), 1});
    options.descriptors = all;
    auto child = spawn(program, arguments, options);
    EXPECT_TRUE(ok(child));
    pipe->writer.close();
    std::string text;
    std::array<std::byte, 4096> buffer;
    for (;;) {
        const auto count = pipe->reader.read_some(buffer, deadline::in(30s));
        if (!count) {
            EXPECT_TRUE(fails_with(count, errc::end_of_stream));
            break;
        }
        text += kith::text_of(std::span{buffer}.first(*count));
    }
    return text;
}

TEST(sys_spawn, pipe_P7_a_spawned_filter_reads_and_writes_the_chosen_ends) {
    auto in = open_pipe();
    auto out = open_pipe();
    const std::array ends{descriptor_for_child{in->reader.native(), 0}, descriptor_for_child{out->writer.native(), 1}};
    auto filter = spawn("tr", words{"a-z", "A-Z"}, {.descriptors = ends});
    ASSERT_TRUE(ok(filter));
    in->reader.close();
    out->writer.close();
    ASSERT_TRUE(ok(in->writer.write_some(kith::bytes_of("kin"))));
    in->writer.close();  // the filter sees the end: it holds no copy of this end
    std::array<std::byte, 16> got;
    ASSERT_EQ(*out->reader.read_some(got, deadline::in(30s)), 3u);
    EXPECT_EQ(kith::text_of(std::span{got}.first(3)), "KIN");
    EXPECT_TRUE(fails_with(out->reader.read_some(got, deadline::in(30s)), errc::end_of_stream));
    EXPECT_EQ(*filter->wait(), (exit_status{}));
}

TEST(sys_spawn, pipe_P7_trap17_a_request_and_an_answer_larger_than_the_pipes_need_both_directions_watched) {
    auto in = open_pipe();
    auto out = open_pipe();
    const std::array ends{descriptor_for_child{in->reader.native(), 0}, descriptor_for_child{out->writer.native(), 1}};
    auto echo = spawn("cat", {}, {.descriptors = ends});
    ASSERT_TRUE(ok(echo));
    in->reader.close();
    out->writer.close();
    const std::vector<std::byte> request(1 << 20, std::byte{'r'});
    std::size_t sent = 0;
    // The trap: written whole before anything is read, it never ends.
    EXPECT_TRUE(fails_with(in->writer.write_full(request, sent, deadline::in(50ms)), errc::timed_out));

    std::vector<std::byte> answer(request.size());
    std::size_t received = 0;
    poll_set both;
    const auto readable = *both.add(out->reader.native(), POLLIN);
    const auto writable = *both.add(in->writer.native(), POLLOUT);
    while (received < answer.size()) {
        ASSERT_TRUE(ok(both.wait(deadline::in(30s))));
        if (both.events_of(readable) != 0) received += *out->reader.read_some(std::span{answer}.subspan(received));
        if (both.events_of(writable) != 0) {
            sent += *in->writer.write_some(std::span{request}.subspan(sent));
            if (sent == request.size()) both.ignore(writable);
        }
    }
    EXPECT_TRUE(answer == request);
}

TEST(sys_spawn, spawn_trap11_a_child_holds_no_end_that_it_was_not_given) {
    auto pipe = open_pipe();
    auto bystander = spawn("sleep", words{"60"});
    ASSERT_TRUE(ok(bystander));
    pipe->writer.close();
    std::byte one;
    EXPECT_TRUE(fails_with(pipe->reader.read_some({&one, 1}, deadline::in(30s)), errc::end_of_stream));
    EXPECT_FALSE(bystander->ended());
}

TEST(sys_spawn, spawn_trap09_a_child_dies_of_SIGPIPE_though_its_parent_ignores_it) {
    child parent{[] {
        std::signal(SIGPIPE, SIG_IGN);
        const kith::sys::blocked_signals blocked{{SIGPIPE}};
        auto pipe = open_pipe();
        const std::array ends{descriptor_for_child{pipe->writer.native(), 1}};
        auto yes = spawn("yes", {}, {.descriptors = ends});
        CHILD_CHECK(yes);
        pipe->writer.close();
        pipe->reader.close();
        const auto status = yes->wait(deadline::in(30s));
        CHILD_CHECK(status && status->signaled && status->value == SIGPIPE);
        CHILD_CHECK(std::signal(SIGPIPE, SIG_DFL) == SIG_IGN);  // the parent's choice is untouched
        return 0;
    }};
    EXPECT_EQ(parent.wait(), 0);
}

TEST(sys_spawn, spawn_G13_the_child_gets_blocking_descriptors_under_the_chosen_numbers) {
    auto a = open_pipe();
    auto b = open_pipe();
    // Crossed over: each number is the other's source.
    const int first = a->reader.native().get();
    const int second = b->reader.native().get();
    const std::array crossed{descriptor_for_child{a->reader.native(), second},
                             descriptor_for_child{b->reader.native(), first}};
    std::array<struct stat, 2> inode{};
    ::fstat(first, &inode[0]);
    ::fstat(second, &inode[1]);
    const auto name_first = "/proc/self/fd/" + std::to_string(first);
    const auto name_second = "/proc/self/fd/" + std::to_string(second);
    EXPECT_EQ(output_of("readlink", words{name_first, name_second}, {.descriptors = crossed}),
              "pipe:[" + std::to_string(inode[1].st_ino) + "]\npipe:[" + std::to_string(inode[0].st_ino) + "]\n");
    EXPECT_EQ(::fcntl(first, F_GETFL) & O_NONBLOCK, 0);
}

TEST(sys_spawn, spawn_G4_only_the_named_descriptors_are_left_when_asked) {
    const kith::owned_fd leak{::open("/dev/null", O_RDONLY)};  // somebody forgot close-on-exec
    const auto name = "/proc/self/fd/" + std::to_string(leak.get());
    EXPECT_EQ(output_of("readlink", words{name}), "/dev/null\n");
    EXPECT_EQ(output_of("readlink", words{name}, {.keep_others = false}), "");
    auto pipe = open_pipe();
    const std::array at9{descriptor_for_child{pipe->reader.native(), 9}};
    const auto listed = output_of("ls", words{"/proc/self/fd"}, {.keep_others = false, .descriptors = at9});
    EXPECT_EQ(listed, "0\n1\n2\n3\n9\n");  // 3 is ls's own
}

TEST(sys_spawn, spawn_G4_a_descriptor_arrives_under_its_number_only) {
    const auto before = output_of("ls", words{"/proc/self/fd"});
    auto pipe = open_pipe();
    const std::array at90{descriptor_for_child{pipe->reader.native(), 90}};
    EXPECT_EQ(output_of("ls", words{"/proc/self/fd"}, {.descriptors = at90}), before + "90\n");
}

TEST(sys_spawn, spawn_passes_arguments_environment_and_directory) {
    EXPECT_EQ(output_of("printf", words{"%s|", "a b", "", "c"}), "a b||c|");
    const words environment{"ONE=1", "TWO=b c"};
    EXPECT_EQ(output_of("/usr/bin/env", {}, {.environment = environment}), "ONE=1\nTWO=b c\n");
    EXPECT_EQ(output_of("pwd", {}, {.directory = "/proc"}), "/proc\n");
    EXPECT_EQ(
        output_of("sh", words{"-c", "test $$ -eq $(cut -d' ' -f5 /proc/$$/stat) && echo leader"}, {.own_group = true}),
        "leader\n");
}

TEST(sys_spawn, spawn_not_found_and_not_executable_are_told_apart) {
    const temp_dir dir;
    std::ofstream{dir.path("plain")} << "text";
    std::ofstream{dir.path("garbage")} << "no program";
    ::chmod(dir.path("garbage").c_str(), 0755);
    ::setenv("PATH", "/usr/bin:/bin", 1);  // a directory on it that cannot be searched would make it EACCES
    const auto missing = spawn("kith-no-such-program", {});
    EXPECT_TRUE(fails_with(missing, errc::not_found, ENOENT));
    EXPECT_EQ(shell_status_of(missing.error()), 127);
    const auto plain = spawn(dir.path("plain"), {});
    EXPECT_TRUE(fails_with(plain, errc::not_permitted, EACCES));
    EXPECT_EQ(shell_status_of(plain.error()), 126);
    const auto garbage = spawn(dir.path("garbage"), {});
    EXPECT_TRUE(fails_with(garbage, errc::wrong_kind, ENOEXEC));
    EXPECT_EQ(shell_status_of(garbage.error()), 126);
    const auto nowhere = spawn("true", {}, {.directory = "/no/such/directory"});
    EXPECT_TRUE(fails_with(nowhere, errc::not_found, ENOENT));
    EXPECT_STREQ(nowhere.error().operation(), "open(directory)");
    EXPECT_TRUE(fails_with(spawn("true", words{std::string_view{"a\0b", 3}}), errc::invalid, EINVAL));
    const std::array twice{descriptor_for_child{kith::borrowed_fd{0}, 5},
                           descriptor_for_child{kith::borrowed_fd{1}, 5}};
    EXPECT_TRUE(fails_with(spawn("true", {}, {.descriptors = twice}), errc::invalid, EINVAL));
    const std::array closed{descriptor_for_child{kith::borrowed_fd{-1}, 5}};
    EXPECT_TRUE(fails_with(spawn("true", {}, {.descriptors = closed}), errc::invalid, EBADF));
}

TEST(sys_spawn, spawn_a_failed_start_leaves_no_descriptor_and_no_child) {
    const int before = open_descriptors();
    EXPECT_TRUE(fails_with(spawn("/kith-no-such-program", {}), errc::not_found));
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

TEST(sys_spawn, spawn_wait_keeps_deadlines_and_remembers_the_status) {
    auto sleeping = spawn("sleep", words{"60"});
    ASSERT_TRUE(ok(sleeping));
    EXPECT_TRUE(fails_with(sleeping->wait(deadline::immediate()), errc::would_block));
    EXPECT_TRUE(fails_with(sleeping->wait(deadline::in(5ms)), errc::timed_out));
    ASSERT_TRUE(ok(sleeping->kill(SIGTERM)));
    for (int i = 0; i < 2; ++i) EXPECT_EQ(sleeping->wait()->as_shell(), 128 + SIGTERM);
    EXPECT_TRUE(fails_with(sleeping->kill(SIGTERM), errc::peer_gone, ESRCH));
    auto failing = spawn("sh", words{"-c", "exit 7"});
    EXPECT_EQ(failing->wait()->as_shell(), 7);
}

TEST(sys_spawn, spawn_a_dropped_child_is_killed_and_collected) {
    pid_t pid = 0;
    {
        auto sleeping = spawn("sleep", words{"60"});
        ASSERT_TRUE(ok(sleeping));
        pid = sleeping->pid();
        auto moved = std::move(*sleeping);
        EXPECT_EQ(moved.pid(), pid);
        EXPECT_EQ(::kill(pid, 0), 0);
    }
    EXPECT_EQ(::kill(pid, 0), -1);  // not even a zombie is left
    EXPECT_EQ(errno, ESRCH);
}

TEST(sys_spawn, spawn_a_released_child_lives_on) {
    pid_fd handle;
    {
        auto sleeping = spawn("sleep", words{"60"});
        ASSERT_TRUE(ok(sleeping));
        handle = sleeping->release();
    }
    EXPECT_TRUE(fails_with(handle.wait_for_end(deadline::immediate()), errc::would_block));
    ASSERT_TRUE(ok(handle.send_signal(SIGKILL)));
    EXPECT_EQ(handle.reap()->value, SIGKILL);
}

TEST(sys_spawn, spawn_G13_a_forked_copy_neither_waits_nor_kills) {
    auto sleeping = spawn("sleep", words{"60"});
    ASSERT_TRUE(ok(sleeping));
    EXPECT_EQ(0, child{[&] {
                     CHILD_CHECK(sleeping->wait().error().code() == errc::forked);
                     CHILD_CHECK(sleeping->kill(SIGKILL).error().code() == errc::forked);
                     {
                         const auto dropped = std::move(*sleeping);
                     }
                     return 0;
                 }}.wait());
    EXPECT_TRUE(fails_with(sleeping->wait(deadline::immediate()), errc::would_block));
}

TEST(sys_spawn, spawn_G7_where_SIGCHLD_is_ignored_nobody_else_is_hit) {
    child parent{[] {
        std::signal(SIGCHLD, SIG_IGN);
        auto quick = spawn("true", {});
        CHILD_CHECK(quick);
        const auto status = quick->wait(deadline::in(30s));
        CHILD_CHECK(!status && status.error().code() == errc::not_found && status.error().os_error() == ECHILD);
        CHILD_CHECK(quick->kill(SIGTERM).error().code() == errc::peer_gone);
        return 0;
    }};
    EXPECT_EQ(parent.wait(), 0);
}

TEST(sys_spawn, spawn_without_pidfds_looks_again_at_intervals) {
    child old_kernel{[] {
        static int fallbacks = 0;
        kith::set_observer([](const kith::event& what, void*) noexcept {
            fallbacks += what.kind == kith::event_kind::fallback_taken ? 1 : 0;
        });
        if (!deny({{SYS_pidfd_open, ENOSYS}})) return 77;
        auto sleeping = spawn("sleep", words{"60"});
        CHILD_CHECK(sleeping && !sleeping->handle().is_open() && fallbacks == 1);
        CHILD_CHECK(sleeping->wait(deadline::immediate()).error().code() == errc::would_block);
        CHILD_CHECK(sleeping->wait(deadline::in(5ms)).error().code() == errc::timed_out);
        std::stop_source stop;
        stop.request_stop();
        CHILD_CHECK(sleeping->wait({deadline::never(), stop.get_token()}).error().code() == errc::stopped);
        CHILD_CHECK(sleeping->kill(SIGTERM));
        CHILD_CHECK(sleeping->wait()->value == SIGTERM);
        CHILD_CHECK(sleeping->kill(SIGTERM).error().code() == errc::peer_gone);
        return 0;
    }};
    const int status = old_kernel.wait();
    if (status == 77) GTEST_SKIP() << "seccomp filters are not permitted here";
    EXPECT_EQ(status, 0);
}

TEST(sys_spawn, spawn_trap07_signals_do_not_end_the_wait) {
    auto sleeping = spawn("sleep", words{"60"});
    const signal_storm storm;
    EXPECT_TRUE(fails_with(sleeping->wait(deadline::in(20ms)), errc::timed_out));
    EXPECT_TRUE(fails_with(sleeping->wait({deadline::never(), kith::on_signal::report}), errc::stopped, EINTR));
}

TEST(sys_spawn, spawn_too_many_processes_is_limit_reached) {
    NEEDS_ROOT();
    EXPECT_EQ(0, as_nobody([] {
                  const rlimit none{0, 0};
                  CHILD_CHECK(::setrlimit(RLIMIT_NPROC, &none) == 0);
                  const auto refused = spawn("true", {});
                  CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached &&
                              refused.error().os_error() == EAGAIN);
                  return 0;
              }));
}

TEST(sys_spawn, spawn_G9_a_child_that_may_not_be_killed_does_not_hold_its_owner_up) {
    NEEDS_ROOT();
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const kith::owned_fd reads{ends[0]};
    kith::owned_fd writes{ends[1]};
    child owner{[&] {
        // Root's, and it ends when this test closes the pipe.
        const descriptor_for_child input[] = {{reads.borrow(), 0}};
        auto started = spawn("cat", {}, {.descriptors = input});
        CHILD_CHECK(started);
        CHILD_CHECK(::setresuid(65534, 65534, 65534) == 0);
        ::alarm(20);  // in place of a wait without end
        {
            const auto dropped = std::move(*started);
        }
        return 0;
    }};
    EXPECT_EQ(owner.wait(), 0);
    writes.reset();
}

}  // namespace
