// System V shared memory with other programs at the other end: Perl, Python, util-linux.
#include <kith/sys/sysv_shm.hpp>

#include <gtest/gtest.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;
using namespace kith::sys;
using nlohmann::json;

// A segment that both sides know by key; gone with the test.
struct segment {
    sysv_key key{static_cast<std::int32_t>(0x6e000000 + (::getpid() & 0xffffff))};
    segment() = default;
    segment(const segment&) = delete;
    segment& operator=(const segment&) = delete;
    ~segment() {
        if (const auto shm = sysv_shm::open(key)) static_cast<void>(shm->remove());
    }
    [[nodiscard]] std::string number() const { return std::to_string(key.value()); }
    [[nodiscard]] sysv_shm made(std::size_t size) const {
        const auto shm = sysv_shm::open(key, {.create = creation::must_be_new, .size = size});
        EXPECT_TRUE(ok(shm));
        return *shm;
    }
};

outcome perl(const std::string& script, std::vector<std::string> arguments) {
    std::vector<std::string> words{"perl", "-MIPC::SysV=:all", "-e", script, "--"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run(words);
}
outcome python(const std::string& script, std::vector<std::string> arguments) {
    std::vector<std::string> words{"/usr/bin/python3", "-c", script};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run(words);
}

// Every byte value, so that neither side may touch encodings or stop at a NUL.
std::string every_byte() {
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
    return bytes;
}

TEST(interop_sysv_shm, sysv_shm_perl_reads_what_kith_writes) {
    const segment where;
    const auto shm = where.made(4096);
    auto memory = shm.attach();
    std::memcpy(memory->bytes().data() + 100, every_byte().data(), 256);
    const auto read = perl(
        "my $id = shmget($ARGV[0], 0, 0) // die \"$!\"; shmread($id, my $got, 100, 256) or die \"$!\"; print $got;",
        {where.number()});
    EXPECT_EQ(read.status, 0) << read.err;
    EXPECT_EQ(read.out, every_byte());
}

TEST(interop_sysv_shm, sysv_shm_kith_reads_what_perl_made_and_wrote) {
    const segment where;
    const auto made = perl(
        "my $id = shmget($ARGV[0], 5000, IPC_CREAT | IPC_EXCL | 0600) // die \"$!\";"
        "shmwrite($id, join('', map { chr } 0 .. 255), 4000, 256) or die \"$!\";",
        {where.number()});
    ASSERT_EQ(made.status, 0) << made.err;
    EXPECT_TRUE(fails_with(sysv_shm::open(where.key, {.size = 4096}), kith::errc::wrong_size));
    const auto shm = sysv_shm::open(where.key, {.size = 5000});
    ASSERT_TRUE(ok(shm));
    EXPECT_EQ(kith::text_of(shm->attach()->view().subspan(4000, 256)), every_byte());
    const auto by_command =
        run({kith_command(), "shm", "read", "sysv-shm:" + where.number(), "--offset", "4000", "--length", "256"});
    EXPECT_EQ(by_command.out, every_byte());
}

TEST(interop_sysv_shm, sysv_shm_perl_sees_the_removal_and_kith_sees_perls) {
    const segment where;
    const auto shm = where.made(4096);
    EXPECT_EQ(perl("shmctl(shmget($ARGV[0], 0, 0), IPC_RMID, 0) or die \"$!\";", {where.number()}).status, 0);
    EXPECT_TRUE(fails_with(shm.attach(), kith::errc::removed, EINVAL));
    EXPECT_NE(perl("defined shmget($ARGV[0], 0, 0) or exit 3;", {where.number()}).status, 0);
}

TEST(interop_sysv_shm, sysv_shm_python_and_kith_share_bytes_both_ways) {
    const segment where;
    const auto shm = where.made(4096);
    auto memory = shm.attach();
    std::memcpy(memory->bytes().data(), every_byte().data(), 256);
    const auto both = python(
        "import sys, sysv_ipc\n"
        "m = sysv_ipc.SharedMemory(int(sys.argv[1]))\n"
        "assert m.size == 4096 and m.number_attached == 2\n"
        "sys.stdout.buffer.write(m.read(256))\n"
        "m.write(bytes(range(255, -1, -1)), offset=1000)\n"
        "m.detach()\n",
        {where.number()});
    EXPECT_EQ(both.status, 0) << both.err;
    EXPECT_EQ(both.out, every_byte());
    auto reversed = every_byte();
    std::ranges::reverse(reversed);
    EXPECT_EQ(kith::text_of(memory->view().subspan(1000, 256)), reversed);
    EXPECT_EQ(shm.status()->attachments, 1u);
}

TEST(interop_sysv_shm, sysv_shm_kith_opens_what_python_made) {
    const segment where;
    const auto made = python(
        "import sys, sysv_ipc\n"
        "m = sysv_ipc.SharedMemory(int(sys.argv[1]), sysv_ipc.IPC_CREX, size=12345, mode=0o640)\n"
        "m.write(b'from python', offset=12000)\n",
        {where.number()});
    ASSERT_EQ(made.status, 0) << made.err;
    const auto shm = sysv_shm::open(where.key, {.size = 12345});
    ASSERT_TRUE(ok(shm));
    EXPECT_EQ(shm->status()->mode, 0640u);
    EXPECT_EQ(kith::text_of(shm->attach()->view().subspan(12000, 11)), "from python");
    EXPECT_EQ(python("import sys, sysv_ipc\n"
                     "sysv_ipc.remove_shared_memory(sysv_ipc.SharedMemory(int(sys.argv[1])).id)\n",
                     {where.number()})
                  .status,
              0);
    EXPECT_TRUE(fails_with(shm->status(), kith::errc::removed));
}

TEST(interop_sysv_shm, sysv_shm_ipcs_and_lsipc_list_what_kith_made) {
    const segment where;
    const auto shm = where.made(5000);
    const auto memory = shm.attach();
    const auto id = std::to_string(shm.native_id());
    const auto detail = run({"ipcs", "-m", "-i", id});
    EXPECT_EQ(detail.status, 0);
    EXPECT_NE(detail.out.find("bytes=5000"), std::string::npos) << detail.out;
    EXPECT_NE(detail.out.find("nattch=1"), std::string::npos) << detail.out;
    const auto listed = run({"lsipc", "--json", "--bytes", "-m", "-i", id});
    ASSERT_EQ(listed.status, 0) << listed.err;
    EXPECT_NE(listed.out.find("5000"), std::string::npos) << listed.out;
    EXPECT_NE(listed.out.find(id), std::string::npos) << listed.out;
}

TEST(interop_sysv_shm, sysv_shm_kith_sees_what_ipcmk_made_and_ipcrm_removed) {
    const auto made = run({"ipcmk", "-M", "8192", "-p", "0644"});
    ASSERT_EQ(made.status, 0) << made.err;
    const auto colon = made.out.find(": ");
    ASSERT_NE(colon, std::string::npos) << made.out;
    const int id = std::stoi(made.out.substr(colon + 2));
    const auto shm = sysv_shm::open_id(id, 8192);
    ASSERT_TRUE(ok(shm));
    EXPECT_EQ(shm->status()->mode, 0644u);
    const auto address = "sysv-shm:id=" + std::to_string(id);
    EXPECT_EQ(json::parse(run({kith_command(), "--json", "show", address}).out)["size"], 8192);
    EXPECT_EQ(run({"ipcrm", "-m", std::to_string(id)}).status, 0);
    EXPECT_TRUE(fails_with(shm->attach(), kith::errc::removed));
    EXPECT_EQ(run({kith_command(), "show", address}).status, 1);
}

TEST(interop_sysv_shm, sysv_shm_ipcrm_removes_by_key_what_kith_made) {
    const segment where;
    const auto shm = where.made(4096);
    EXPECT_EQ(run({"ipcrm", "-M", where.number()}).status, 0);
    EXPECT_TRUE(fails_with(shm.status(), kith::errc::removed));
}

}  // namespace
