// kith tour: every row moves what it was given, says so, and leaves nothing behind, also when it is disturbed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/child.hpp"
#include "support/net.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;
namespace fs = std::filesystem;

const std::vector<std::string> all_rows{"pipe",        "duplex-pipe", "fifo",           "sysv-mq",   "posix-mq",
                                        "sysv-sem",    "posix-sem",   "sysv-shm",       "posix-shm", "memfd",
                                        "unix-stream", "unix-dgram",  "unix-seqpacket", "tcp",       "udp"};
const std::set<std::string> counting_rows{"sysv-sem", "posix-sem"};

// A small input that is no multiple of any message size.
std::string write_input(const temp_dir& dir) {
    auto path = dir.path("input");
    std::ofstream file{path, std::ios::binary};
    for (int i = 0; i < 100'003; ++i) file.put(static_cast<char>(i * 7 + i / 251));
    return path;
}

std::string sha256_of(const std::string& path) { return run({"sha256sum", path}).out.substr(0, 64); }

std::string text_of_file(const std::string& path) {
    std::ostringstream all;
    all << std::ifstream{path}.rdbuf();  // an iterator would throw where a process ends meanwhile (ESRCH)
    return std::move(all).str();
}

// Everything that a tour could leave: System V objects, and names in /dev/shm, the mqueue file system and $TMPDIR.
std::string objects_now(const std::string& tmpdir) {
    std::string text;
    for (const char* kind : {"msg", "sem", "shm"}) {
        std::ifstream file{std::string{"/proc/sysvipc/"}.append(kind)};
        std::string line;
        std::getline(file, line);  // the heading
        while (std::getline(file, line)) text += std::string{kind}.append(" ").append(line.substr(0, 21)).append("\n");
    }
    for (const auto& directory : {std::string{"/dev/shm"}, std::string{"/dev/mqueue"}, tmpdir}) {
        std::error_code missing;
        for (const auto& entry : fs::directory_iterator{directory, missing}) text += entry.path().string() + "\n";
    }
    return text;
}

// Runs `body` in a child, where all of that starts empty, and expects it to return 0. Skips the test, whose last step
// this is, where the kernel refuses.
void in_an_empty_place(const std::function<int(const std::string& tmpdir)>& body) {
    const temp_dir dir;
    const int status = in_namespaces(CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWNET, [&] {
        if (::mount("none", "/dev/shm", "tmpfs", 0, nullptr) != 0) return 77;
        ::mount("none", "/dev/mqueue", "mqueue", 0, nullptr);
        if (!bring_loopback_up()) return 77;
        ::setenv("TMPDIR", dir.dir().c_str(), 1);
        return body(dir.dir());
    });
    if (status == 77) GTEST_SKIP() << "namespaces are not permitted here";
    EXPECT_EQ(status, 0);
}

// The peers of a running tour.
std::vector<pid_t> peers_of(pid_t tour) {
    std::vector<pid_t> pids;
    std::ifstream file{"/proc/" + std::to_string(tour) + "/task/" + std::to_string(tour) + "/children"};
    for (pid_t pid = 0; file >> pid;)
        if (text_of_file("/proc/" + std::to_string(pid) + "/cmdline").find("__tour-peer") != std::string::npos)
            pids.push_back(pid);
    return pids;
}

bool is_running(pid_t pid) {
    const auto stat = text_of_file("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = stat.rfind(") ");
    return name_end != std::string::npos && stat[name_end + 2] != 'Z' && stat[name_end + 2] != 'X';
}

// Starts the tour of a row and stops its sender in the middle; tries again if the row was over before that.
template <class Then>
int with_the_sender_stopped(const std::string& row, const std::vector<std::string>& more, Then then) {
    for (int attempt = 0; attempt < 50; ++attempt) {
        std::vector<std::string> words{kith_command(), "tour", "--only", row};
        words.insert(words.end(), more.begin(), more.end());
        auto tour = child::exec(words);
        std::vector<pid_t> peers;
        while (!tour.poll() && peers.size() < 2) peers = peers_of(tour.pid());
        if (peers.size() < 2) continue;
        ::kill(peers[1], SIGSTOP);
        while (!tour.poll() &&
               text_of_file("/proc/" + std::to_string(peers[1]) + "/stat").find(") T ") == std::string::npos &&
               is_running(peers[1])) {
        }
        if (tour.poll() || !is_running(peers[1])) continue;
        return then(tour, peers);
    }
    return 98;
}

TEST(cli_tour, tour_every_row_moves_a_file_and_says_so_in_json) {
    const temp_dir dir;
    const auto input = write_input(dir);
    const auto done = run({kith_command(), "tour", "--once", "--json", input});
    ASSERT_EQ(done.status, 0) << done.out << done.err;
    EXPECT_EQ(done.err, "");
    const auto result = json::parse(done.out);
    EXPECT_EQ(result["ok"], true);
    EXPECT_EQ(result["input"]["source"], input);
    EXPECT_EQ(result["input"]["bytes"], 100'003);
    EXPECT_EQ(result["input"]["repeats"], 1);
    EXPECT_EQ(result["input"]["sha256"], sha256_of(input));
    std::vector<std::string> names;
    for (const auto& row : result["rows"]) {
        const auto name = row["mechanism"].get<std::string>();
        SCOPED_TRACE(name);
        names.push_back(name);
        EXPECT_EQ(row["ok"], true);
        EXPECT_FALSE(row.contains("why"));
        EXPECT_FALSE(row["purpose"].get<std::string>().empty());
        EXPECT_EQ(row["between"], name == "pipe" || name == "duplex-pipe" ? "kin" : "strangers");
        EXPECT_TRUE((std::set<std::string>{"no", "name", "yes"}.contains(row["outlives"])));
        EXPECT_GT(row["seconds"].get<double>(), 0);
        EXPECT_TRUE(row["resent"].is_number_unsigned());
        if (counting_rows.contains(name)) {
            EXPECT_EQ(row["data"], "count");
            EXPECT_EQ(row["messages"], 20'000);
            EXPECT_TRUE(row["sha256"].is_null());
            EXPECT_TRUE(row["megabytes_per_second"].is_null());
        } else {
            EXPECT_EQ(row["bytes"], 100'003);
            EXPECT_GE(row["messages"], 2);
            EXPECT_EQ(row["sha256"], result["input"]["sha256"]);
            EXPECT_GT(row["megabytes_per_second"].get<double>(), 0);
        }
    }
    EXPECT_EQ(names, all_rows);
}

TEST(cli_tour, tour_without_a_file_repeats_itself_and_a_listing_to_64_MiB) {
    const auto done = run({kith_command(), "tour", "--json", "--only", "unix-dgram,sysv-sem"});
    ASSERT_EQ(done.status, 0) << done.out << done.err;
    const auto result = json::parse(done.out);
    EXPECT_GE(result["input"]["bytes"], 64U << 20);
    EXPECT_GT(result["input"]["block_bytes"], fs::file_size(kith_command()));
    // With a sanitizer the program alone is that large.
    if (result["input"]["block_bytes"] < 64U << 20) {
        EXPECT_GT(result["input"]["repeats"], 1);
    }
    ASSERT_EQ(result["rows"].size(), 2u);  // in the order that was asked for
    EXPECT_EQ(result["rows"][0]["bytes"], result["input"]["bytes"]);
    EXPECT_EQ(result["rows"][1]["messages"], 1'000'000);
}

TEST(cli_tour, tour_prints_a_table) {
    const temp_dir dir;
    const auto done = run({kith_command(), "tour", "--once", "--only", "fifo,udp", write_input(dir)});
    ASSERT_EQ(done.status, 0) << done.err;
    EXPECT_NE(done.out.find("mechanism"), std::string::npos);
    EXPECT_NE(done.out.find("fifo           strangers"), std::string::npos) << done.out;
    EXPECT_NE(done.out.find("udp            strangers"), std::string::npos) << done.out;
    EXPECT_EQ(done.out.find("tcp"), std::string::npos);
    EXPECT_EQ(done.err, "");  // no progress where nobody watches
}

TEST(cli_tour, tour_an_empty_file_is_moved_too) {
    const temp_dir dir;
    std::ofstream{dir.path("empty")};
    const auto done = run({kith_command(), "tour", "--json", "--once", dir.path("empty")});
    ASSERT_EQ(done.status, 0) << done.out << done.err;
    const auto result = json::parse(done.out);
    for (const auto& row : result["rows"]) EXPECT_EQ(row["ok"], true) << row;
}

TEST(cli_tour, tour_a_wrong_command_line_is_misused_and_a_missing_file_fails) {
    const auto unknown = run({kith_command(), "tour", "--only", "pipe,smoke-signals"});
    EXPECT_EQ(unknown.status, 2);
    EXPECT_NE(unknown.err.find("'smoke-signals'"), std::string::npos) << unknown.err;
    EXPECT_NE(unknown.err.find("pipe,duplex-pipe,fifo"), std::string::npos) << unknown.err;
    EXPECT_EQ(run({kith_command(), "tour", "--timeout", "soon"}).status, 2);
    const auto missing = run({kith_command(), "tour", "--json", "/no/such/file"});
    EXPECT_EQ(missing.status, 1);
    EXPECT_EQ(json::parse(missing.err)["code"], "not_found");
    EXPECT_EQ(run({kith_command(), "tour", "/"}).status, 1);
    EXPECT_EQ(run({kith_command(), "tour", "--help"}).out.find("__tour-peer"), std::string::npos);
    EXPECT_EQ(run({kith_command(), "--help"}).out.find("__tour-peer"), std::string::npos);
}

TEST(cli_tour, tour_leaves_nothing_behind) {
    const temp_dir files;
    const auto input = write_input(files);
    in_an_empty_place([&](const std::string& tmpdir) {
        const auto before = objects_now(tmpdir);
        const auto done = run({kith_command(), "tour", "--once", "--json", input});
        if (done.status != 0) std::fputs(done.out.c_str(), stderr);
        CHILD_CHECK(done.status == 0);
        CHILD_CHECK(objects_now(tmpdir) == before);
        return 0;
    });
}

std::string row_name(const testing::TestParamInfo<std::string>& row) {
    auto name = row.param;
    std::ranges::replace(name, '-', '_');
    return name;
}

class tour_disturbed : public testing::TestWithParam<std::string> {};

// Disturbs the tour of a row while its sender is stopped: then nothing of it is left, neither objects nor processes.
void expect_nothing_left(const std::string& row, const std::vector<std::string>& more,
                         const std::function<void(child& tour, const std::vector<pid_t>& peers)>& disturb) {
    in_an_empty_place([&](const std::string& tmpdir) {
        const auto before = objects_now(tmpdir);
        return with_the_sender_stopped(row, more, [&](child& tour, const std::vector<pid_t>& peers) {
            disturb(tour, peers);
            CHILD_CHECK(objects_now(tmpdir) == before);
            for (const pid_t peer : peers) CHILD_CHECK(!is_running(peer));
            return 0;
        });
    });
}

TEST_P(tour_disturbed, tour_a_signal_in_the_middle_ends_it_and_leaves_nothing) {
    expect_nothing_left(GetParam(), {}, [](child& tour, const std::vector<pid_t>&) {
        const std::string tmpdir = std::getenv("TMPDIR");
        CHILD_CHECK(!fs::is_empty(tmpdir));  // it was in the middle: its directory at least is there
        tour.kill(SIGINT);
        CHILD_CHECK(tour.wait() == 128 + SIGINT);
    });
}

TEST_P(tour_disturbed, tour_a_row_whose_sender_is_killed_fails_and_leaves_nothing) {
    expect_nothing_left(GetParam(), {}, [](child& tour, const std::vector<pid_t>& peers) {
        ::kill(peers[1], SIGKILL);
        CHILD_CHECK(tour.wait() == 1);
    });
}

// Kills the tour, and waits until its peers, which the kernel kills at the same time, are gone.
void kill_all_of(child& tour, const std::vector<pid_t>& peers) {
    tour.kill_and_reap();
    ::kill(peers[1], SIGCONT);  // stopped before it could ask for the parent's death, it asks now
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    for (const pid_t peer : peers)
        while (is_running(peer)) CHILD_CHECK(std::chrono::steady_clock::now() < give_up);
}

TEST_P(tour_disturbed, tour_what_a_killed_one_leaves_is_removed_by_the_next) {
    const temp_dir files;
    const auto input = write_input(files);
    in_an_empty_place([&](const std::string& tmpdir) {
        const auto before = objects_now(tmpdir);
        return with_the_sender_stopped(GetParam(), {}, [&](child& tour, const std::vector<pid_t>& peers) {
            kill_all_of(tour, peers);
            CHILD_CHECK(objects_now(tmpdir) != before);
            const auto next = run({kith_command(), "tour", "--only", "pipe", "--once", input});
            CHILD_CHECK(next.status == 0);
            CHILD_CHECK(next.err.find("removed what a killed tour left: kith-tour-") != std::string::npos);
            CHILD_CHECK(objects_now(tmpdir) == before);
            return 0;
        });
    });
}

INSTANTIATE_TEST_SUITE_P(rows, tour_disturbed, testing::ValuesIn(all_rows), row_name);

TEST(cli_tour, tour_a_row_over_its_time_fails_and_leaves_nothing) {
    expect_nothing_left("sysv-shm", {"--timeout", "300ms"},
                        [](child& tour, const std::vector<pid_t>&) { CHILD_CHECK(tour.wait() == 1); });
}

TEST(cli_tour, tour_killed_itself_leaves_no_process) {
    in_an_empty_place([&](const std::string&) {
        return with_the_sender_stopped("sysv-mq", {}, [&](child& tour, const std::vector<pid_t>& peers) {
            kill_all_of(tour, peers);
            return 0;
        });
    });
}

TEST(cli_tour, tour_touches_nothing_of_a_run_that_is_alive) {
    const temp_dir files;
    const auto input = write_input(files);
    in_an_empty_place([&](const std::string& tmpdir) {
        return with_the_sender_stopped("sysv-shm", {}, [&](child& tour, const std::vector<pid_t>& peers) {
            const auto during = objects_now(tmpdir);
            const auto other = run({kith_command(), "tour", "--only", "sysv-shm", "--once", input});
            CHILD_CHECK(other.status == 0 && other.err.empty());
            CHILD_CHECK(objects_now(tmpdir) == during);
            ::kill(peers[1], SIGCONT);
            CHILD_CHECK(tour.wait() == 0);
            return 0;
        });
    });
}

TEST(cli_tour, tour_touches_nothing_that_only_looks_like_a_dead_run) {
    const temp_dir files;
    const auto input = write_input(files);
    in_an_empty_place([&](const std::string& tmpdir) {
        child short_lived{[] { return 0; }};
        const auto dead = std::to_string(short_lived.pid());
        short_lived.wait();
        const auto held = tmpdir + "/kith-tour-" + dead + "-beef";
        for (const auto& path : {held, tmpdir + "/kith-tour-" + dead, tmpdir + "/kith-tour-" + dead + "-notes",
                                 tmpdir + "/kith-tour-" + std::to_string(::getpid()) + "-beef"})
            CHILD_CHECK(::mkdir(path.c_str(), 0700) == 0);
        CHILD_CHECK(::mkdir((tmpdir + "/kith-tour-" + dead + "-cafe").c_str(), 0755) == 0);
        CHILD_CHECK(::symlink(files.dir().c_str(), (tmpdir + "/kith-tour-" + dead + "-1").c_str()) == 0);
        const int lock = ::open(held.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHILD_CHECK(::flock(lock, LOCK_EX) == 0);
        const auto before = objects_now(tmpdir);
        const auto tour = [&] { return run({kith_command(), "tour", "--only", "pipe", "--once", input}); };
        CHILD_CHECK(tour().err.empty());
        CHILD_CHECK(objects_now(tmpdir) == before);
        ::close(lock);
        CHILD_CHECK(tour().err.find("left: kith-tour-" + dead + "-beef") != std::string::npos);
        CHILD_CHECK(!fs::exists(held));
        CHILD_CHECK(fs::exists(input));
        return 0;
    });
}

TEST(cli_tour, tour_shows_its_progress_on_a_terminal) {
    const temp_dir dir;
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(master, 0);
    ASSERT_EQ(::grantpt(master), 0);
    ASSERT_EQ(::unlockpt(master), 0);
    const int terminal = ::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(terminal, 0);
    child tour{[&] {
        const int quiet = ::open("/dev/null", O_WRONLY);
        ::dup2(quiet, 1);
        ::dup2(terminal, 2);
        ::execl(kith_command().c_str(), "kith", "tour", "--only", "unix-stream", nullptr);
        return 127;
    }};
    ::close(terminal);
    std::string shown;
    std::array<char, 4096> buffer;
    for (ssize_t n = 0; (n = ::read(master, buffer.data(), buffer.size())) > 0;)
        shown.append(buffer.data(), static_cast<std::size_t>(n));
    ::close(master);
    EXPECT_EQ(tour.wait(), 0);
    EXPECT_NE(shown.find("unix-stream: starting"), std::string::npos);
    EXPECT_NE(shown.find(" MB of "), std::string::npos) << shown;
    EXPECT_TRUE(shown.ends_with('\r'));  // wiped at the end
}

// What strace must show of each row: calls, with what identifies them.
const std::map<std::string, std::vector<std::string>> calls_of{
    {"pipe", {"pipe2(", "pwritev2(5|write(5", "read(5"}},
    {"duplex-pipe", {"socketpair(AF_UNIX, SOCK_STREAM", "sendto(5", "recvfrom(5", "shutdown(5, SHUT_WR"}},
    {"fifo", {"mknod", "S_IFIFO", "/fifo\", O_RDONLY", "/fifo\", O_WRONLY"}},
    {"sysv-mq", {"msgget(0x", "msgsnd(", "msgrcv(", "msgctl("}},
    {"posix-mq", {"mq_open(", "mq_timedsend(", "mq_timedreceive(", "mq_unlink("}},
    {"sysv-sem", {"semget(0x", "semop(|semtimedop(", "SEM_UNDO", "shmat("}},
    {"posix-sem", {"/dev/shm/sem.kith-tour", "futex(", "unlink(\"/dev/shm/sem.kith-tour"}},
    {"sysv-shm", {"shmget(0x", "shmat(", "SHM_RDONLY", "semop(|semtimedop("}},
    {"posix-shm", {"/dev/shm/kith-tour", "MAP_SHARED", "/dev/shm/sem.kith-tour"}},
    {"memfd", {"memfd_create(\"kith-tour\"", "F_SEAL_SHRINK", "SCM_RIGHTS", "F_GET_SEALS", "MAP_SHARED"}},
    {"unix-stream", {"socket(AF_UNIX, SOCK_STREAM", "bind(", "listen(", "accept4(", "connect(", "sendto(|sendmsg("}},
    {"unix-dgram", {"socket(AF_UNIX, SOCK_DGRAM", "bind(", "connect(", "recvmsg(|recvfrom("}},
    {"unix-seqpacket", {"socket(AF_UNIX, SOCK_SEQPACKET", "listen(", "accept4(", "connect("}},
    {"tcp", {"socket(AF_INET, SOCK_STREAM", "listen(", "accept4(", "connect(", "inet_addr(\"127.0.0.1\")"}},
    {"udp", {"socket(AF_INET, SOCK_DGRAM", "bind(", "connect(", "recvmsg(|recvfrom("}},
};

class tour_traced : public testing::TestWithParam<std::string> {};

TEST_P(tour_traced, tour_uses_the_system_calls_of_the_mechanism) {
    if (run({"strace", "-V"}).status != 0) GTEST_SKIP() << "strace is not installed";
    if (const auto tried = run({"strace", "-qq", "-o", "/dev/null", "true"}); tried.status != 0)
        GTEST_SKIP() << "tracing is not permitted here: " << tried.err;
    // A sanitized kith cannot look for leaks under strace.
    const char* sanitizer = std::getenv("ASAN_OPTIONS");
    ::setenv("ASAN_OPTIONS", std::string{sanitizer != nullptr ? sanitizer : ""}.append(":detect_leaks=0").c_str(), 1);
    const temp_dir dir;
    const auto trace = dir.path("trace");
    const auto done = run({"strace", "-f", "-qq", "-s", "80", "-o", trace, kith_command(), "tour", "--once", "--only",
                           GetParam(), write_input(dir)});
    ASSERT_EQ(done.status, 0) << done.out << done.err;
    const auto calls = text_of_file(trace);
    for (const auto& wanted : calls_of.at(GetParam())) {
        bool seen = false;
        for (std::size_t at = 0; at <= wanted.size();) {
            const auto bar = std::min(wanted.find('|', at), wanted.size());
            seen = seen || calls.find(wanted.substr(at, bar - at)) != std::string::npos;
            at = bar + 1;
        }
        EXPECT_TRUE(seen) << GetParam() << " makes no " << wanted;
    }
    // Strangers share nothing but a name: two programs, each started by exec.
    std::size_t programs = 0;
    for (auto at = calls.find("__tour-peer"); at != std::string::npos; at = calls.find("__tour-peer", at + 1))
        ++programs;
    EXPECT_GE(programs, 2u);
}

INSTANTIATE_TEST_SUITE_P(rows, tour_traced, testing::ValuesIn(all_rows), row_name);

}  // namespace
