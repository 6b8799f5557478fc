// scope - private names, directories and namespaces, other users, and signals, for one test.
#pragma once
#include <gtest/gtest.h>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <kith/result.hpp>
#include <string>
#include <utility>
#include <vector>

namespace kith_test {

using namespace std::chrono_literals;

/// A name that no other test or run uses: "kith-test-<pid>-<counter>-<hint>".
std::string unique_name(const std::string& hint);

/// A directory under $TMPDIR or /tmp, removed with everything in it.
class temp_dir {
public:
    temp_dir();
    ~temp_dir();
    temp_dir(const temp_dir&) = delete;
    temp_dir& operator=(const temp_dir&) = delete;
    [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }
    [[nodiscard]] const std::string& dir() const { return dir_; }

private:
    std::string dir_;
};

/// Whether the test runs with all rights.
bool is_root();
/// Skips the test, visibly, unless it runs as root.
#define NEEDS_ROOT() \
    if (!kith_test::is_root()) GTEST_SKIP() << "needs root"

#if defined(__SANITIZE_THREAD__)
#define KITH_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KITH_UNDER_TSAN 1
#endif
#endif
#if !defined(KITH_UNDER_TSAN)
#define KITH_UNDER_TSAN 0
#endif
/// Skips the test, visibly, under ThreadSanitizer, which cannot stand what it does.
#define NOT_UNDER_TSAN(why) \
    if (KITH_UNDER_TSAN) GTEST_SKIP() << "ThreadSanitizer: " why

/// Runs `body` in a child that gave up all rights (uid and gid 65534). Needs root. Returns its exit status.
int as_nobody(const std::function<int()>& body);
/// Runs `body` in a child in new namespaces (CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWNET ...), in a new user
/// namespace as well where the caller is not root. What it mounts is seen by nobody else. Returns its exit status; 77
/// where the kernel refuses.
int in_namespaces(int flags, const std::function<int()>& body);

/// While it lives, SIGALRM arrives every `period`, handled without SA_RESTART (or with): every blocking call is
/// interrupted.
class signal_storm {
public:
    explicit signal_storm(std::chrono::microseconds period = 2ms, bool restart = false);
    ~signal_storm();
    signal_storm(const signal_storm&) = delete;
    signal_storm& operator=(const signal_storm&) = delete;
    /// How many signals were handled so far.
    [[nodiscard]] static int count();

private:
    struct sigaction before_{};
};

/// The number of open descriptors of this process.
int open_descriptors();

/// For EXPECT_TRUE(ok(result)): the failure's description is what a failed expectation prints.
template <class T>
testing::AssertionResult ok(const kith::result<T>& outcome) {
    if (outcome) return testing::AssertionSuccess();
    return testing::AssertionFailure() << kith::describe(outcome.error());
}
/// For EXPECT_TRUE(fails_with(result, errc::would_block)), optionally with the errno.
template <class T>
testing::AssertionResult fails_with(const kith::result<T>& outcome, kith::errc code, int os_error = -1) {
    if (outcome) return testing::AssertionFailure() << "it succeeded";
    if (outcome.error().code() != code || (os_error >= 0 && outcome.error().os_error() != os_error))
        return testing::AssertionFailure() << kith::describe(outcome.error());
    return testing::AssertionSuccess();
}

/// The value; a failure fails the test and ends it there.
template <class T>
T must(kith::result<T> outcome) {
    EXPECT_TRUE(ok(outcome));
    if (!outcome) std::abort();
    return std::move(*outcome);
}

/// `size` bytes to send, or room for as many.
inline std::vector<std::byte> block(std::size_t size, char fill = 'x') {
    return std::vector<std::byte>(size, static_cast<std::byte>(fill));
}

}  // namespace kith_test
