// kith create, rm, show and shm on sysv-shm: and posix-shm:.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/command.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using nlohmann::json;

// An address that nobody else uses; what it names is gone with the test.
struct posix_object {
    std::string name = std::string{"/"}.append(unique_name("cli"));
    std::string address = std::string{"posix-shm:"}.append(name);
    posix_object() = default;
    posix_object(const posix_object&) = delete;
    posix_object& operator=(const posix_object&) = delete;
    ~posix_object() { ::shm_unlink(name.c_str()); }
};
struct sysv_object {
    key_t key = static_cast<key_t>(0x6d000000 + (::getpid() & 0xffffff));
    std::string address = std::string{"sysv-shm:"}.append(std::to_string(key));
    sysv_object() = default;
    sysv_object(const sysv_object&) = delete;
    sysv_object& operator=(const sysv_object&) = delete;
    ~sysv_object() { ::shmctl(::shmget(key, 0, 0), IPC_RMID, nullptr); }
};

template <class Object>
class cli_shm : public testing::Test {
public:
    Object object;
    [[nodiscard]] const std::string& address() const { return object.address; }
};
using objects = testing::Types<posix_object, sysv_object>;
TYPED_TEST_SUITE(cli_shm, objects);

std::string every_byte() {
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
    return bytes;
}

TYPED_TEST(cli_shm, shm_what_is_written_is_read_byte_by_byte) {
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "4K"}).status, 0);
    const auto bytes = every_byte();
    const auto written = kith_run({"shm", "write", this->address(), "--offset", "1000"}, bytes);
    EXPECT_EQ(written.status, 0) << written.err;
    EXPECT_EQ(written.out, "");
    const auto read = kith_run({"shm", "read", this->address(), "--offset", "1000", "--length", "256"});
    EXPECT_EQ(read.status, 0) << read.err;
    EXPECT_EQ(read.out, bytes);
    const auto whole = kith_run({"shm", "read", this->address()});
    EXPECT_EQ(whole.out, std::string(1000, '\0') + bytes + std::string(4096 - 1256, '\0'));
    EXPECT_EQ(kith_run({"shm", "read", this->address(), "--offset", "3K"}).out.size(), 1024u);
    EXPECT_EQ(kith_run({"shm", "read", this->address(), "--length", "0"}).out, "");
}

TYPED_TEST(cli_shm, shm_json_gives_the_body_in_text_or_base64) {
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "10"}).status, 0);
    const auto written = kith_run({"--json", "shm", "write", this->address(), "--offset", "2"}, "hi");
    EXPECT_EQ(json::parse(written.out), (json{{"offset", 2}, {"bytes", 2}}));
    const auto text = kith_run({"--json", "shm", "read", this->address(), "--offset", "2", "--length", "2"});
    EXPECT_EQ(json::parse(text.out)["body"], "hi");
    ASSERT_EQ(kith_run({"shm", "write", this->address()}, "\xff\xfe").status, 0);
    const auto binary = kith_run({"--json", "shm", "read", this->address(), "--length", "2"});
    EXPECT_EQ(json::parse(binary.out)["body_base64"], "//4=");
}

TYPED_TEST(cli_shm, shm_write_takes_a_file_and_what_is_shorter_than_the_room) {
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "10"}).status, 0);
    const temp_dir dir;
    std::ofstream{dir.path("in")} << "abc";
    EXPECT_EQ(kith_run({"shm", "write", this->address(), "--file", dir.path("in"), "--length", "5"}).status, 0);
    EXPECT_EQ(kith_run({"shm", "read", this->address()}).out, std::string("abc").append(7, '\0'));
    const auto missing = kith_run({"shm", "write", this->address(), "--file", dir.path("none")});
    EXPECT_EQ(missing.status, 1);
    EXPECT_NE(missing.err.find("none"), std::string::npos);
}

TYPED_TEST(cli_shm, shm_an_input_that_does_not_fit_changes_nothing) {
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "10"}).status, 0);
    const auto refused = kith_run({"shm", "write", this->address()}, std::string(11, 'x'));
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(refused.err, "kith: cannot write to '" + this->address() +
                               "': the input is longer than the 10 bytes to its end; nothing was written\n"
                               "  try    less at once\n"
                               "  more   too_long; kith-shm(1)\n");
    EXPECT_EQ(kith_run({"shm", "write", this->address(), "--length", "2"}, "abc").status, 1);
    EXPECT_EQ(kith_run({"shm", "read", this->address()}).out, std::string(10, '\0'));
}

TYPED_TEST(cli_shm, shm_beyond_the_end_is_refused) {
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "100"}).status, 0);
    const auto offset = kith_run({"shm", "read", this->address(), "--offset", "100"});
    EXPECT_EQ(offset.status, 1);
    EXPECT_EQ(offset.out, "");
    EXPECT_EQ(offset.err, "kith: cannot read '" + this->address() +
                              "': offset 100 is beyond its end: it has 100 bytes\n"
                              "  try    kith show '" +
                              this->address() +
                              "'   tells what is there\n"
                              "  more   wrong_size; kith-shm(1)\n");
    const auto length = kith_run({"shm", "write", this->address(), "--offset", "90", "--length", "11"}, "x");
    EXPECT_EQ(length.status, 1);
    EXPECT_NE(length.err.find("11 bytes from offset 90 reach beyond its end"), std::string::npos) << length.err;
    EXPECT_EQ(kith_run({"shm", "hold", this->address(), "--offset", "200"}).status, 1);
    EXPECT_EQ(kith_run({"shm", "read", this->address(), "--offset", "nonsense"}).status, 2);
}

TYPED_TEST(cli_shm, shm_what_exists_must_have_the_size_that_is_asked_for) {
    const auto made = kith_run({"create", this->address(), "--size", "100"});
    EXPECT_EQ(made.status, 0);
    EXPECT_EQ(kith_run({"create", this->address(), "--size", "100"}).status, 0);
    EXPECT_EQ(json::parse(kith_run({"--json", "create", this->address()}).out)["new"], false);
    const auto larger = kith_run({"create", this->address(), "--size", "200"});
    EXPECT_EQ(larger.status, 1);
    EXPECT_NE(larger.err.find("it exists with 100 bytes, not 200"), std::string::npos) << larger.err;
    const auto exclusive = kith_run({"--json", "create", this->address(), "--size", "100", "--exclusive"});
    EXPECT_EQ(exclusive.status, 1);
    const auto failure = json::parse(exclusive.err);
    EXPECT_EQ(failure["code"], "exists");
    EXPECT_EQ(failure["errno"], EEXIST);
}

TYPED_TEST(cli_shm, shm_misuse_is_exit_status_2) {
    EXPECT_EQ(kith_run({"create", this->address()}).status, 2);  // a new one needs a size
    EXPECT_EQ(kith_run({"create", this->address(), "--size", "10", "--values", "1"}).status, 2);
    EXPECT_EQ(kith_run({"create", this->address(), "--size", "10", "--max-messages", "1"}).status, 2);
    EXPECT_EQ(kith_run({"shm", "read", "fifo:/tmp/x"}).status, 2);
    EXPECT_EQ(kith_run({"shm", "read"}).status, 2);
    EXPECT_EQ(kith_run({"shm"}).status, 2);
    EXPECT_EQ(kith_run({"shm", "read", "sysv-shm:private"}).status, 2);
    EXPECT_EQ(kith_run({"create", "sysv-shm:id=77", "--size", "10"}).status, 2);
    EXPECT_EQ(kith_run({"show", this->address()}).status, 1);  // and nothing was made
}

TYPED_TEST(cli_shm, shm_what_was_removed_is_not_found) {
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "100"}).status, 0);
    ASSERT_EQ(kith_run({"rm", this->address()}).status, 0);
    for (const std::string verb : {"read", "write", "hold"}) {
        const auto gone = kith_run({"--json", "shm", verb, this->address()});
        EXPECT_EQ(gone.status, 1);
        EXPECT_EQ(json::parse(gone.err)["code"], "not_found");
    }
    EXPECT_EQ(kith_run({"rm", this->address()}).status, 1);
}

TYPED_TEST(cli_shm, shm_without_the_right_it_is_not_permitted) {
    NEEDS_ROOT();
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "100", "--mode", "0600"}).status, 0);
    const int status = as_nobody([&] {
        if (::access(kith_command().c_str(), X_OK) != 0) return 77;
        for (const auto& words : std::vector<std::vector<std::string>>{{"--json", "shm", "read", this->address()},
                                                                       {"--json", "shm", "write", this->address()},
                                                                       {"--json", "rm", this->address()}}) {
            const auto refused = kith_run(words, "x");
            CHILD_CHECK(refused.status == 1);
            CHILD_CHECK(json::parse(refused.err)["code"] == "not_permitted");
        }
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "the build is out of nobody's reach";
    EXPECT_EQ(status, 0);
}

// Starts `kith shm hold` with a pipe as standard input and waits for its line; returns the pipe's writing end.
struct holder {
    explicit holder(const std::string& address) : holder{address, pipe_of(), pipe_of()} {}
    ~holder() {
        ::close(in_[1]);
        ::close(out_[0]);
    }
    holder(const holder&) = delete;
    holder& operator=(const holder&) = delete;
    std::string line;
    void end_input() {
        ::close(in_[1]);
        in_[1] = -1;
    }
    child& process() { return process_; }

private:
    using ends = std::array<int, 2>;
    static ends pipe_of() {
        ends made{};
        if (::pipe2(made.data(), O_CLOEXEC) != 0) std::abort();
        return made;
    }
    holder(const std::string& address, ends in, ends out)
        : in_{in}, out_{out}, process_{[&] {
              ::dup2(in[0], 0);
              ::dup2(out[1], 1);
              ::execl(kith_command().c_str(), "kith", "shm", "hold", address.c_str(), nullptr);
              return 127;
          }} {
        ::close(in[0]);
        ::close(out[1]);
        for (char c = 0; ::read(out_[0], &c, 1) == 1 && c != '\n';) line.push_back(c);
    }
    ends in_;
    ends out_;
    child process_;
};

TYPED_TEST(cli_shm, shm_hold_says_so_and_lets_go_when_the_input_ends) {
    ASSERT_EQ(kith_run({"create", this->address(), "--size", "100"}).status, 0);
    holder held{this->address()};
    EXPECT_FALSE(held.line.empty());
    EXPECT_EQ(json::parse(kith_run({"--json", "show", held.line}).out)["size"], 100);
    wait_until_in_syscall(held.process().pid(), {SYS_ppoll, SYS_read});
    held.end_input();
    EXPECT_EQ(held.process().wait(), 0);
    EXPECT_EQ(kith_run({"shm", "hold", this->address()}).status, 0);
    EXPECT_EQ(kith_run({"shm", "hold", this->address(), "--read-only"}).status, 0);
}

TEST(cli_sysv_shm, shm_hold_keeps_a_removed_segment_alive_until_it_is_killed) {
    const sysv_object object;
    ASSERT_EQ(kith_run({"create", object.address, "--size", "100"}).status, 0);
    const auto id = json::parse(kith_run({"--json", "show", object.address}).out)["id"].get<int>();
    const auto by_id = std::string{"sysv-shm:id="}.append(std::to_string(id));
    holder held{object.address};
    ASSERT_EQ(kith_run({"shm", "write", object.address}, "kept").status, 0);
    ASSERT_EQ(kith_run({"rm", object.address}).status, 0);
    const auto seen = json::parse(kith_run({"--json", "show", by_id}).out);
    EXPECT_EQ(seen["marked_for_removal"], true);
    EXPECT_EQ(seen["attachments"], 1);
    EXPECT_EQ(kith_run({"shm", "read", by_id, "--length", "4"}).out, "kept");
    EXPECT_EQ(kith_run({"show", object.address}).status, 1);
    held.process().kill(SIGINT);
    EXPECT_EQ(held.process().wait(), 128 + SIGINT);
    EXPECT_EQ(kith_run({"show", by_id}).status, 1);
}

TEST(cli_sysv_shm, shm_show_tells_what_ipcs_tells) {
    const sysv_object object;
    ASSERT_EQ(kith_run({"create", object.address, "--size", "5000", "--mode", "0640"}).status, 0);
    const auto seen = json::parse(kith_run({"--json", "show", object.address}).out);
    EXPECT_EQ(seen["size"], 5000);
    EXPECT_EQ(seen["mode"], "0640");
    EXPECT_EQ(seen["uid"], ::geteuid());
    EXPECT_EQ(seen["attachments"], 0);
    EXPECT_EQ(seen["last_attach"], nullptr);
    EXPECT_EQ(seen["marked_for_removal"], false);
}

TEST(cli_sysv_shm, shm_private_prints_the_address_with_its_id) {
    const auto made = kith_run({"create", "sysv-shm:private", "--size", "100"});
    ASSERT_EQ(made.status, 0) << made.err;
    ASSERT_TRUE(made.out.starts_with("sysv-shm:id=")) << made.out;
    const auto address = made.out.substr(0, made.out.size() - 1);
    EXPECT_EQ(kith_run({"show", address}).status, 0);
    EXPECT_EQ(kith_run({"rm", address}).status, 0);
}

TEST(cli_sysv_shm, shm_limits_are_named) {
    const int status = in_namespaces(CLONE_NEWIPC, [] {
        std::ofstream{"/proc/sys/kernel/shmmni"} << "1" << std::flush;
        CHILD_CHECK(kith_run({"create", "sysv-shm:1", "--size", "10"}).status == 0);
        const auto refused = kith_run({"create", "sysv-shm:2", "--size", "10"});
        CHILD_CHECK(refused.status == 1);
        CHILD_CHECK(refused.err.find("kernel.shmmni is 1") != std::string::npos);
        CHILD_CHECK(refused.err.find("limit_reached (ENOSPC)") != std::string::npos);
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(cli_posix_shm, shm_a_full_dev_shm_is_an_error_that_says_how_full) {
    const int status = in_namespaces(CLONE_NEWNS, [] {
        if (::mount("shm", "/dev/shm", "tmpfs", 0, "size=64k") != 0) return 77;
        const auto refused = kith_run({"create", "posix-shm:/big", "--size", "1M"});
        CHILD_CHECK(refused.status == 1);
        CHILD_CHECK(refused.err.find("/dev/shm has 64 KiB free of 64 KiB") != std::string::npos);
        CHILD_CHECK(refused.err.find("no_space (ENOSPC)") != std::string::npos);
        CHILD_CHECK(kith_run({"show", "posix-shm:/big"}).status == 1);  // nothing is left behind
        // Another program made one that is larger than /dev/shm: neither reading nor writing ends by SIGBUS.
        const int fd = ::shm_open("/sparse", O_RDWR | O_CREAT | O_EXCL, 0600);
        CHILD_CHECK(::ftruncate(fd, 1 << 20) == 0);
        for (const std::string verb : {"read", "write"}) {
            const auto failed = kith_run({"--json", "shm", verb, "posix-shm:/sparse"}, "x");
            CHILD_CHECK(failed.status == 1);
            CHILD_CHECK(json::parse(failed.err)["code"] == "no_space");
        }
        return 0;
    });
    if (status == 77) GTEST_SKIP() << "no namespaces here";
    EXPECT_EQ(status, 0);
}

TEST(cli_posix_shm, shm_an_object_whose_creator_died_has_no_size) {
    const posix_object object;
    ::close(::shm_open(object.name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
    const auto seen = kith_run({"show", object.address});
    EXPECT_EQ(seen.status, 0);
    EXPECT_NE(seen.out.find("its creator has not finished, or died"), std::string::npos) << seen.out;
    const auto late = kith_run({"shm", "read", object.address, "--timeout", "10ms"});
    EXPECT_EQ(late.status, 124);
    EXPECT_NE(late.err.find("it has no size yet"), std::string::npos) << late.err;
    EXPECT_EQ(kith_run({"shm", "read", object.address, "--no-wait"}).status, 3);
}

TEST(cli_posix_shm, shm_another_kind_under_that_name_is_wrong_kind) {
    const posix_object object;
    ASSERT_EQ(::symlink("/etc/passwd", ("/dev/shm" + object.name).c_str()), 0);
    const auto refused = kith_run({"--json", "shm", "read", object.address});
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(json::parse(refused.err)["code"], "wrong_kind");
    const auto file = kith_run({"--json", "create", std::string{"posix-shm:/"}.append(300, 'x'), "--size", "1"});
    EXPECT_EQ(file.status, 1);
    EXPECT_EQ(json::parse(file.err)["code"], "too_long");
}

TEST(cli_posix_shm, shm_show_tells_size_and_what_is_reserved) {
    const posix_object object;
    ASSERT_EQ(kith_run({"create", object.address, "--size", "64K", "--mode", "0644"}).status, 0);
    const auto seen = json::parse(kith_run({"--json", "show", object.address}).out);
    EXPECT_EQ(seen["name"], object.name);
    EXPECT_EQ(seen["size"], 65536);
    EXPECT_EQ(seen["reserved"], 65536);
    EXPECT_EQ(seen["mode"], "0644");
}

TEST(cli_posix_shm, shm_a_closed_standard_input_is_an_error) {
    const posix_object object;
    ASSERT_EQ(kith_run({"create", object.address, "--size", "100"}).status, 0);
    for (const char* const verb : {"write", "hold"}) {
        const auto closed = run({"sh", "-c", "exec \"$@\" <&-", "sh", kith_command(), "shm", verb, object.address});
        EXPECT_EQ(closed.status, 1);
        EXPECT_NE(closed.err.find("standard input is closed"), std::string::npos) << closed.err;
    }
}

TEST(cli_posix_shm, shm_a_file_size_limit_is_an_error_and_no_signal) {
    const posix_object object;
    child limited{[&] {
        rlimit limit{};
        limit.rlim_cur = limit.rlim_max = 4096;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        const auto refused = kith_run({"create", object.address, "--size", "8K"});
        CHILD_CHECK(refused.status == 1);
        CHILD_CHECK(refused.err.find("limit_reached (EFBIG)") != std::string::npos);
        return 0;
    }};
    EXPECT_EQ(limited.wait(), 0);
}

}  // namespace
