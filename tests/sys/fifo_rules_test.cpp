// FIFOs: SEMANTICS F8, the general rules that concern them, and the classic traps that FIFOs are part of.
#include <kith/sys/fifo.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <csignal>
#include <thread>

#include "support/child.hpp"
#include "support/scope.hpp"
#include "sys/fifos.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::sys::open_fifo_both;
using kith::sys::open_fifo_reader;
using kith::sys::open_fifo_writer;

TEST(sys_fifo, fifo_F8_writing_without_a_reader_is_peer_gone_and_no_signal) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    reader.close();
    EXPECT_EQ(state(writer.native(), POLLOUT) & POLLERR, POLLERR);
    EXPECT_TRUE(fails_with(writer.write_some(kith::bytes_of("x")), errc::peer_gone, EPIPE));
    auto next = fifo.reader_at_once();  // and a new reader makes it whole again
    EXPECT_TRUE(ok(writer.write_some(kith::bytes_of("x"))));
}

TEST(sys_fifo, fifo_trap09_the_program_survives_a_broken_fifo_with_sigpipe_at_its_default) {
    const fifo_at fifo;
    child writing{[&] {
        std::signal(SIGPIPE, SIG_DFL);
        auto reader = open_fifo_reader(fifo.path(), deadline::immediate());
        auto writer = open_fifo_writer(fifo.path(), deadline::immediate());
        CHILD_CHECK(reader && writer);
        reader->close();
        CHILD_CHECK(!writer->write_some(kith::bytes_of("x")));
        struct sigaction now{};
        ::sigaction(SIGPIPE, nullptr, &now);
        CHILD_CHECK(now.sa_handler == SIG_DFL);  // nothing a child could inherit
        return 0;
    }};
    EXPECT_EQ(writing.wait(), 0);
}

TEST(sys_fifo, fifo_G1_errors_name_the_fifo_and_keep_the_errno) {
    const auto failed = open_fifo_writer("/nowhere/fifo", deadline::immediate());
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().object().text(), "/nowhere/fifo");
    EXPECT_EQ(failed.error().os_error(), ENOENT);
    const fifo_at fifo;
    const auto late = open_fifo_reader(fifo.path(), deadline::in(1ms));
    ASSERT_FALSE(late);
    EXPECT_TRUE(fifo.path().ends_with(late.error().object().text().substr(3)));
}

TEST(sys_fifo, fifo_G2_signals_do_not_shorten_or_break_a_wait) {
    for (const bool restart : {false, true}) {
        const fifo_at fifo;
        const signal_storm storm{2ms, restart};
        const auto before = deadline::clock::now();
        EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), deadline::in(40ms)), errc::timed_out));
        EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), deadline::in(40ms)), errc::timed_out));
        EXPECT_GE(deadline::clock::now() - before, 80ms);
    }
}

TEST(sys_fifo, fifo_G2_a_signal_is_reported_if_asked_for) {
    const fifo_at fifo;
    const signal_storm storm;
    const kith::wait_policy report{deadline::never(), kith::on_signal::report};
    EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), report), errc::stopped, EINTR));
    EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), report), errc::stopped, EINTR));
    auto both = open_fifo_both(fifo.path());
    std::byte one;
    EXPECT_TRUE(fails_with(both->read_some({&one, 1}, report), errc::stopped, EINTR));
}

TEST(sys_fifo, fifo_trap07_signals_do_not_break_the_plain_open) {
    const fifo_at fifo;
    for (const bool for_reading : {true, false}) {
        child opening{[&] {
            const signal_storm storm{500us};
            const bool opened =
                for_reading ? open_fifo_reader(fifo.path()).has_value() : open_fifo_writer(fifo.path()).has_value();
            CHILD_CHECK(opened && signal_storm::count() > 0);
            return 0;
        }};
        wait_until_in_syscall(opening.pid(), SYS_openat);
        std::this_thread::sleep_for(5ms);  // at least a few signals
        if (for_reading) {
            EXPECT_TRUE(ok(open_fifo_writer(fifo.path())));
        } else {
            EXPECT_TRUE(ok(open_fifo_reader(fifo.path())));
        }
        EXPECT_EQ(opening.wait(), 0);
    }
}

TEST(sys_fifo, fifo_G3_a_deadline_in_the_past_still_opens_what_can_be_opened) {
    const fifo_at fifo;
    const auto past = deadline::at(deadline::clock::now() - 1s);
    EXPECT_TRUE(fails_with(open_fifo_writer(fifo.path(), past), errc::timed_out, ENXIO));
    EXPECT_TRUE(fails_with(open_fifo_reader(fifo.path(), past), errc::timed_out));
    const auto both = open_fifo_both(fifo.path());
    EXPECT_TRUE(ok(open_fifo_writer(fifo.path(), past)));
    EXPECT_TRUE(ok(open_fifo_reader(fifo.path(), past)));
}

TEST(sys_fifo, fifo_G4_descriptors_are_closed_on_exec) {
    const fifo_at fifo;
    const auto both = open_fifo_both(fifo.path());
    const auto plain = open_fifo_reader(fifo.path());
    const auto writer = fifo.writer_at_once();
    for (const int fd : {both->native().get(), plain->native().get(), writer.native().get()})
        EXPECT_TRUE(::fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(sys_fifo, fifo_G5_a_transfer_larger_than_the_fifo_arrives_whole) {
    const fifo_at fifo;
    const auto sent = block(1 << 20, 'q');
    child writing{[&] {
        auto writer = open_fifo_writer(fifo.path());
        std::size_t done = 0;
        CHILD_CHECK(writer && writer->write_full(sent, done));
        return 0;
    }};
    auto reader = open_fifo_reader(fifo.path());
    auto got = block(sent.size(), 0);
    std::size_t done = 0;
    ASSERT_TRUE(ok(reader->read_full(got, done, deadline::in(30s))));
    EXPECT_TRUE(got == sent);
    EXPECT_TRUE(fails_with(reader->read_some(got), errc::end_of_stream));
    EXPECT_EQ(writing.wait(), 0);
}

TEST(sys_fifo, fifo_G6_a_signal_that_was_pending_before_stays) {
    const fifo_at fifo;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    ::raise(SIGPIPE);
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    reader.close();
    EXPECT_TRUE(fails_with(writer.write_some(kith::bytes_of("x")), errc::peer_gone));
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 1);
}

TEST(sys_fifo, fifo_G8_a_fifo_belongs_to_the_mount_namespace_and_works_across_the_other_ones) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    const int status = in_namespaces(CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS, [&] {
        auto writer = open_fifo_writer(fifo.path(), deadline::immediate());
        CHILD_CHECK(writer && writer->write_some(kith::bytes_of("x")));
        // Another file system over the directory, in this mount namespace only: the name is gone here.
        CHILD_CHECK(::mount("none", fifo.dir().dir().c_str(), "tmpfs", 0, nullptr) == 0);
        const auto hidden = open_fifo_writer(fifo.path(), deadline::immediate());
        CHILD_CHECK(!hidden && hidden.error().code() == errc::not_found);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
    EXPECT_EQ(*reader.queued(), 1u);
}

TEST(sys_fifo, fifo_G13_a_forked_childs_copy_is_a_writer_of_its_own) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    child kin{[&] {
        CHILD_CHECK(writer.write_some(kith::bytes_of("kin")));
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_EQ(*reader.queued(), 3u);
    EXPECT_TRUE(ok(writer.write_some(kith::bytes_of("x"))));  // the child's exit closed only its copy
}

TEST(sys_fifo, fifo_trap11_the_end_comes_when_a_forgotten_copy_is_closed_too) {
    const fifo_at fifo;
    auto reader = fifo.reader_at_once();
    auto writer = fifo.writer_at_once();
    child holder{[&] {
        for (;;) ::pause();
        return 0;
    }};
    writer.close();
    std::byte one;
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}, deadline::in(20ms)), errc::timed_out));
    holder.kill_and_reap();
    EXPECT_TRUE(fails_with(reader.read_some({&one, 1}), errc::end_of_stream));
}

TEST(sys_fifo, fifo_out_of_descriptors_is_limit_reached) {
    const fifo_at fifo;
    child limited{[&] {
        auto reader = open_fifo_reader(fifo.path(), deadline::immediate());
        CHILD_CHECK(reader);
        const rlimit none{static_cast<rlim_t>(reader->native().get()) + 1, 64};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto asked = reader->has_writer();
        CHILD_CHECK(!asked && asked.error().code() == errc::limit_reached && asked.error().os_error() == EMFILE);
        const auto waited = reader->wait_for_writer(deadline::in(1ms));
        CHILD_CHECK(!waited && waited.error().code() == errc::limit_reached);
        const auto again = reader->start_over();
        CHILD_CHECK(!again && again.error().code() == errc::limit_reached);
        const auto refused = open_fifo_reader(fifo.path(), deadline::immediate());
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

}  // namespace
