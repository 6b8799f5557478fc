// Paths of UNIX sockets: SEMANTICS U1, docs/formats/socket_lock.md, and accept.
#include <kith/observer.hpp>
#include <kith/sys/unix_listener.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <fstream>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using kith::deadline;
using kith::errc;
using kith::owned_fd;
using namespace kith::sys;

constexpr unix_listen_options taking_over{.bind = {.on_stale = unix_bind_options::stale::take_over}};

bool exists(const std::string& path) {
    struct stat there{};
    return ::lstat(path.c_str(), &there) == 0;
}

// A process that listens, is killed, and leaves its path (and its lock file).
void leave_stale(const unix_name& name, const unix_listen_options& options) {
    child victim{[&] {
        auto listener = listen_unix_stream(name, options);
        CHILD_CHECK(listener);
        static_cast<void>(listener->accept());
        return 0;
    }};
    wait_until_in_syscall(victim.pid(), SYS_ppoll);
    victim.kill_and_reap();
}

// A socket bound by a program that knows nothing of kith; listening or not.
owned_fd foreign(const std::string& path, bool listening, int type = SOCK_STREAM) {
    owned_fd fd{::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    if (listening) {
        EXPECT_EQ(::listen(fd.get(), 5), 0);
    }
    return fd;
}

TEST(sys_unix, unix_U1_a_path_that_is_taken_is_exists_even_if_nobody_listens) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    leave_stale(name, {});
    const auto refused = listen_unix_stream(name);
    EXPECT_TRUE(fails_with(refused, errc::exists, EADDRINUSE));
    EXPECT_TRUE(exists(dir.path("s")));
}

TEST(sys_unix, unix_U1_a_stale_path_under_kiths_lock_is_taken_over) {
    static std::atomic<int> removed;
    removed = 0;
    kith::set_observer([](const kith::event& what, void*) noexcept {
        if (what.kind == kith::event_kind::stale_removed) ++removed;
    });
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    leave_stale(name, taking_over);
    ASSERT_TRUE(exists(dir.path("s")));
    ASSERT_TRUE(exists(dir.path("s.kith-lock")));
    EXPECT_TRUE(fails_with(connect_unix_stream(name), errc::peer_gone, ECONNREFUSED));
    auto listener = must(listen_unix_stream(name, taking_over));
    EXPECT_TRUE(ok(connect_unix_stream(name)));
    EXPECT_EQ(removed, 1);
    kith::set_observer(nullptr);
}

TEST(sys_unix, unix_U1_a_stale_path_without_a_lock_of_ours_is_refused) {
    const temp_dir dir;
    foreign(dir.path("s"), true).reset();
    const auto refused = listen_unix_stream(*unix_name::path(dir.path("s")), taking_over);
    ASSERT_TRUE(fails_with(refused, errc::exists, EADDRINUSE));
    EXPECT_STREQ(refused.error().operation(), "bind(no record in the socket lock)");
    EXPECT_FALSE(kith::remedy(refused.error()).empty());
    EXPECT_TRUE(exists(dir.path("s")));
}

TEST(sys_unix, unix_U1_a_socket_about_to_listen_is_not_taken_over) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    const auto born = foreign(dir.path("s"), false);
    EXPECT_TRUE(fails_with(connect_unix_stream(name), errc::peer_gone, ECONNREFUSED));  // it looks stale
    EXPECT_TRUE(fails_with(listen_unix_stream(name, taking_over), errc::exists, EADDRINUSE));
    ASSERT_EQ(::listen(born.get(), 1), 0);
    EXPECT_TRUE(ok(connect_unix_stream(name)));
}

TEST(sys_unix, unix_U1_a_foreign_socket_at_the_path_of_a_dead_kith_listener_is_not_taken_over) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    leave_stale(name, taking_over);
    ASSERT_EQ(::unlink(dir.path("s").c_str()), 0);
    const auto born = foreign(dir.path("s"), false);  // the lock is free, and connect is refused
    EXPECT_TRUE(fails_with(listen_unix_stream(name, taking_over), errc::exists, EADDRINUSE));
    EXPECT_TRUE(exists(dir.path("s")));
}

TEST(sys_unix, unix_U1_a_record_forged_for_a_living_socket_does_not_give_its_path_away) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    for (const bool listening : {true, false}) {
        const auto alive = foreign(dir.path("s"), listening);
        struct stat there{};
        ASSERT_EQ(::lstat(dir.path("s").c_str(), &there), 0);
        std::ofstream{dir.path("s.kith-lock")} << "kith-socket-lock 1 " << there.st_dev << ' ' << there.st_ino << ' '
                                               << there.st_ctim.tv_sec << '.' << there.st_ctim.tv_nsec << '\n';
        const auto refused = listen_unix_stream(name, taking_over);
        ASSERT_TRUE(fails_with(refused, errc::exists, EADDRINUSE));
        EXPECT_STREQ(refused.error().operation(), "bind");
        ::unlink(dir.path("s").c_str());
    }
}

TEST(sys_unix, unix_U1_a_living_kith_listener_keeps_its_path) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    auto first = must(listen_unix_stream(name, taking_over));
    const auto refused = listen_unix_stream(name, taking_over);
    ASSERT_TRUE(fails_with(refused, errc::exists, EADDRINUSE));
    EXPECT_STREQ(refused.error().operation(), "bind(socket lock held)");
    EXPECT_TRUE(ok(connect_unix_stream(name)));
}

TEST(sys_unix, unix_U1_of_many_that_take_over_at_once_exactly_one_gets_the_path) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    leave_stale(name, taking_over);
    auto gate = must(open_unix_stream_pair());
    auto verdicts = must(open_unix_datagram_pair());
    std::vector<child> rivals;
    for (int i = 0; i < 6; ++i)
        rivals.emplace_back([&] {
            gate.first.close();
            auto listener = listen_unix_stream(name, taking_over);
            CHILD_CHECK(verdicts.first.send(kith::bytes_of(listener ? "won" : "lost")));
            std::byte one;
            static_cast<void>(gate.second.read_some({&one, 1}));  // the winner stays until all have tried
            return 0;
        });
    int won = 0;
    for (int i = 0; i < 6; ++i) {
        std::array<std::byte, 8> buffer;
        const auto got = must(verdicts.second.receive(buffer, {}, deadline::in(20s)));
        won += kith::text_of(buffer).substr(0, got.size) == "won" ? 1 : 0;
    }
    EXPECT_EQ(won, 1);
    EXPECT_TRUE(ok(connect_unix_stream(name)));
    gate.first.close();
    for (auto& one : rivals) EXPECT_EQ(one.wait(), 0);
    EXPECT_FALSE(exists(dir.path("s")));
    EXPECT_FALSE(exists(dir.path("s.kith-lock")));
}

// Each round removes the lock file that the others may have opened and not locked yet.
TEST(sys_unix, unix_U1_the_lock_that_a_listener_holds_is_always_the_file_beside_its_path) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    std::vector<child> rivals;
    for (int i = 0; i < 3; ++i)
        rivals.emplace_back([&] {
            for (int round = 0; round < 150; ++round) {
                auto listener = listen_unix_stream(name, taking_over);
                if (!listener) {
                    CHILD_CHECK(listener.error().code() == errc::exists);
                    continue;
                }
                const owned_fd beside{::open(dir.path("s.kith-lock").c_str(), O_RDONLY | O_CLOEXEC)};
                CHILD_CHECK(beside.valid() && ::flock(beside.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK);
                CHILD_CHECK(connect_unix_stream(name));
            }
            return 0;
        });
    for (auto& one : rivals) EXPECT_EQ(one.wait(), 0);
}

TEST(sys_unix, unix_U1_an_orderly_close_removes_path_and_lock) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    {
        auto listener = must(listen_unix_stream(name, taking_over));
        EXPECT_TRUE(exists(dir.path("s.kith-lock")));
        auto moved = std::move(listener);
        EXPECT_TRUE(exists(dir.path("s")));
    }
    EXPECT_FALSE(exists(dir.path("s")));
    EXPECT_FALSE(exists(dir.path("s.kith-lock")));
    {
        auto datagrams = must(bind_unix_datagram(name));
    }
    EXPECT_FALSE(exists(dir.path("s")));
    auto first = must(listen_unix_stream(name));
    first = must(listen_unix_stream(*unix_name::path(dir.path("t"))));
    EXPECT_FALSE(exists(dir.path("s")));
    EXPECT_TRUE(exists(dir.path("t")));
}

TEST(sys_unix, unix_U1_a_path_that_somebody_replaced_stays) {
    const temp_dir dir;
    auto listener = must(listen_unix_stream(*unix_name::path(dir.path("s"))));
    ASSERT_EQ(::unlink(dir.path("s").c_str()), 0);
    const auto other = foreign(dir.path("s"), true);
    listener.close();
    EXPECT_TRUE(ok(connect_unix_stream(*unix_name::path(dir.path("s")))));
}

TEST(sys_unix, unix_U1_a_forked_child_and_one_who_leaves_remove_nothing) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    auto listener = must(listen_unix_stream(name, taking_over));
    child kin{[&] {
        listener.close();
        return 0;
    }};
    EXPECT_EQ(kin.wait(), 0);
    EXPECT_TRUE(ok(connect_unix_stream(name)));
    listener.close_and_leave_path();
    EXPECT_TRUE(exists(dir.path("s")));
}

TEST(sys_unix, unix_U1_something_else_at_the_path_is_wrong_kind_and_is_left_alone) {
    const temp_dir dir;
    std::ofstream{dir.path("file")} << "precious";
    const auto name = *unix_name::path(dir.path("file"));
    EXPECT_TRUE(fails_with(listen_unix_stream(name, taking_over), errc::wrong_kind));
    EXPECT_TRUE(fails_with(listen_unix_stream(name), errc::exists, EADDRINUSE));
    EXPECT_TRUE(fails_with(connect_unix_stream(name), errc::peer_gone, ECONNREFUSED));
    std::string content;
    std::ifstream{dir.path("file")} >> content;
    EXPECT_EQ(content, "precious");
}

TEST(sys_unix, unix_U1_a_symlink_planted_as_lock_file_is_not_followed) {
    const temp_dir dir;
    ASSERT_EQ(::symlink(dir.path("target").c_str(), dir.path("s.kith-lock").c_str()), 0);
    EXPECT_TRUE(fails_with(listen_unix_stream(*unix_name::path(dir.path("s")), taking_over), errc::wrong_kind, ELOOP));
    EXPECT_FALSE(exists(dir.path("target")));
    ASSERT_EQ(::unlink(dir.path("s.kith-lock").c_str()), 0);
    ASSERT_EQ(::mkfifo(dir.path("s.kith-lock").c_str(), 0600), 0);
    EXPECT_TRUE(fails_with(listen_unix_stream(*unix_name::path(dir.path("s")), taking_over), errc::wrong_kind));
}

TEST(sys_unix, unix_U1_absent_other_kind_and_no_permission_are_told_apart) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    EXPECT_TRUE(fails_with(connect_unix_stream(name), errc::not_found, ENOENT));
    auto listener = must(listen_unix_stream(name));
    EXPECT_TRUE(fails_with(connect_unix_seqpacket(name), errc::wrong_type, EPROTOTYPE));
    auto datagrams = must(open_unix_datagram());
    EXPECT_TRUE(fails_with(datagrams.connect(name), errc::wrong_type, EPROTOTYPE));
    EXPECT_TRUE(fails_with(datagrams.send_to(name, kith::bytes_of("x")), errc::wrong_type, EPROTOTYPE));
    EXPECT_TRUE(fails_with(listen_unix_stream(*unix_name::path(dir.path("no/s"))), errc::not_found, ENOENT));
    const auto inside = *unix_name::path(dir.path("s/t"));
    EXPECT_TRUE(fails_with(connect_unix_stream(inside), errc::wrong_kind, ENOTDIR));
}

TEST(sys_unix, unix_U1_connecting_needs_write_permission_on_the_file) {
    NEEDS_ROOT();
    const temp_dir dir;
    const auto closed_name = *unix_name::path(dir.path("closed"));
    const auto open_name = *unix_name::path(dir.path("open"));
    auto closed = must(listen_unix_stream(closed_name));
    const auto before = ::umask(0);
    auto open = must(listen_unix_stream(open_name, {.bind = {.mode = 0666}}));
    ::umask(before);
    EXPECT_EQ(0, as_nobody([&] {
                  const auto refused = connect_unix_stream(closed_name);
                  CHILD_CHECK(!refused && refused.error().code() == errc::not_permitted &&
                              refused.error().os_error() == EACCES);
                  CHILD_CHECK(connect_unix_stream(open_name));
                  return 0;
              }));
}

TEST(sys_unix, unix_G12_the_umask_applies_to_the_path) {
    const temp_dir dir;
    const auto mode_of = [&](const std::string& path) {
        struct stat there{};
        ::lstat(path.c_str(), &there);
        return there.st_mode & 07777;
    };
    const auto before = ::umask(027);
    auto plain = must(listen_unix_stream(*unix_name::path(dir.path("plain"))));
    auto narrow = must(listen_unix_stream(*unix_name::path(dir.path("narrow")), {.bind = {.mode = 0600}}));
    auto wide = must(bind_unix_datagram(*unix_name::path(dir.path("wide")), {.mode = 0666}));
    ::umask(before);
    EXPECT_EQ(mode_of(dir.path("plain")), 0750u);
    EXPECT_EQ(mode_of(dir.path("narrow")), 0600u);
    EXPECT_EQ(mode_of(dir.path("wide")), 0640u);
}

TEST(sys_unix, unix_U1_the_longest_path_can_be_taken_over_too) {
    const temp_dir dir;
    auto path = dir.path("");
    path += std::string(unix_name::capacity - path.size(), 'n');
    const auto name = *unix_name::path(path);
    leave_stale(name, taking_over);
    EXPECT_TRUE(ok(listen_unix_stream(name, taking_over)));
    EXPECT_FALSE(exists(path));
}

TEST(sys_unix, unix_U1_a_datagram_path_is_taken_over_as_well) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("d"));
    const unix_bind_options over{.on_stale = unix_bind_options::stale::take_over};
    child victim{[&] {
        auto socket = bind_unix_datagram(name, over);
        CHILD_CHECK(socket);
        static_cast<void>(socket->receive({}));
        return 0;
    }};
    wait_until_in_syscall(victim.pid(), SYS_ppoll);
    EXPECT_TRUE(fails_with(bind_unix_datagram(name, over), errc::exists, EADDRINUSE));
    victim.kill_and_reap();
    EXPECT_TRUE(ok(bind_unix_datagram(name, over)));
}

TEST(sys_unix, unix_accept_out_of_descriptors_backs_off_and_the_client_stays) {
    static std::atomic<int> retried;
    retried = 0;
    auto listener = must(listen_unix_stream(unix_name{}));
    const auto name = must(local_name(listener));
    auto client = must(connect_unix_stream(name));
    child server{[&] {
        kith::set_observer([](const kith::event& what, void*) noexcept {
            if (what.kind == kith::event_kind::retried && what.os_error == EMFILE) ++retried;
        });
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        const rlimit none{3, limit.rlim_max};
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto at_once = listener.accept(deadline::immediate());
        CHILD_CHECK(!at_once && at_once.error().code() == errc::limit_reached && retried == 0);
        const auto before = deadline::clock::now();
        const auto refused = listener.accept();
        CHILD_CHECK(!refused && refused.error().code() == errc::limit_reached && refused.error().os_error() == EMFILE);
        CHILD_CHECK(deadline::clock::now() - before >= 50ms && retried == 1);
        CHILD_CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHILD_CHECK(listener.accept(deadline::immediate()));
        return 0;
    }};
    EXPECT_EQ(server.wait(), 0);
}

TEST(sys_unix, unix_U1_a_lock_file_that_is_not_ours_alone_is_neither_used_nor_changed) {
    const temp_dir dir;
    const auto name = *unix_name::path(dir.path("s"));
    const auto lock = dir.path("s.kith-lock");
    const auto text_of = [](const std::string& path) {
        std::ifstream file{path};
        return std::string{std::istreambuf_iterator<char>{file}, {}};
    };
    // A second name of somebody's file, even of one that looks like a lock.
    for (const std::string text : {"kith-socket-lock 1 1 2 3.4\n", "precious\n"}) {
        std::ofstream{dir.path("precious")} << text;
        ASSERT_EQ(::link(dir.path("precious").c_str(), lock.c_str()), 0);
        EXPECT_TRUE(fails_with(listen_unix_stream(name, taking_over), errc::wrong_kind, 0));
        EXPECT_EQ(text_of(dir.path("precious")), text);
        EXPECT_FALSE(exists(dir.path("s")));
        ASSERT_EQ(::unlink(lock.c_str()), 0);
    }
    // The file itself, moved there.
    ASSERT_EQ(::rename(dir.path("precious").c_str(), lock.c_str()), 0);
    EXPECT_TRUE(fails_with(listen_unix_stream(name, taking_over), errc::wrong_kind, 0));
    EXPECT_EQ(text_of(lock), "precious\n");
    // What a killed holder left half written is a lock.
    std::ofstream{lock} << "kith-soc";
    EXPECT_TRUE(ok(listen_unix_stream(name, taking_over)));
}

TEST(sys_unix, unix_U1_a_lock_file_of_another_user_is_not_permitted) {
    NEEDS_ROOT();
    const temp_dir dir;
    const auto lock = dir.path("s.kith-lock");
    std::ofstream{lock} << "";
    ASSERT_EQ(::chown(lock.c_str(), 65534, 65534), 0);
    const auto refused = listen_unix_stream(*unix_name::path(dir.path("s")), taking_over);
    EXPECT_TRUE(fails_with(refused, errc::not_permitted, EPERM));
    EXPECT_FALSE(exists(dir.path("s")));
}

}  // namespace
