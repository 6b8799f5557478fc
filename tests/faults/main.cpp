// Makes a test of each scenario. See harness.hpp.
#include <gtest/gtest.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "faults/harness.hpp"

namespace {

class one_scenario : public testing::Test {
public:
    explicit one_scenario(const kith_faults::entry& entry) : entry_{entry} {}
    void TestBody() override {
        if (const auto reason = kith_faults::why_not(); !reason.empty()) GTEST_SKIP() << reason;
        if (!kith_faults::isolate()) GTEST_SKIP() << "needs new IPC and mount namespaces";
        const auto found = kith_faults::explore(entry_);
        for (const auto& complaint : found.complaints) ADD_FAILURE() << complaint;
        std::cout << found.sites << " system calls, " << found.runs << " faults\n";
        EXPECT_GT(found.sites, 0);
    }

private:
    const kith_faults::entry& entry_;
};

}  // namespace

int main(int argc, char** argv) {
    // Without the caches of malloc(3) the heap is as large as what is allocated; the C library looks at this before
    // main.
    constexpr const char* variable = "GLIBC_TUNABLES";
    constexpr const char* no_caches = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0";
    if (const char* set = std::getenv(variable); set == nullptr || std::string_view{set} != no_caches) {
        ::setenv(variable, no_caches, 1);
        ::execv("/proc/self/exe", argv);
    }
    std::signal(SIGPIPE, SIG_DFL);
    testing::InitGoogleTest(&argc, argv);
    for (const auto& entry : kith_faults::entries())
        testing::RegisterTest("faults", entry.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                              [&entry]() -> testing::Test* { return new one_scenario{entry}; });
    return RUN_ALL_TESTS();
}
