// semaphores - semaphores that the command makes, gone when the test is over, and how it is asked about them.
#pragma once
#include <gtest/gtest.h>
#include <semaphore.h>
#include <sys/sem.h>
#include <kith/sys/posix_sem.hpp>
#include <kith/sys/sysv_sem.hpp>
#include <string>
#include <vector>

#include "support/command.hpp"
#include "support/scope.hpp"

namespace kith_test {

/// kith sem WORDS
inline outcome sem(std::vector<std::string> words) {
    words.insert(words.begin(), "sem");
    return kith_run(std::move(words));
}
/// For EXPECT_TRUE: it ended with this status, and said `text` among other things.
inline testing::AssertionResult says(const outcome& end, int status, const std::string& text) {
    if (end.status == status && end.err.find(text) != std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "status " << end.status << ", stderr: " << end.err;
}

/// A set made by the command itself, removed at the end.
class made_set {
public:
    explicit made_set(const std::string& values = "1") {
        const auto made = kith_run({"create", "--values", values, "sysv-sem:private"});
        EXPECT_EQ(made.status, 0) << made.err;
        address = made.out.substr(0, made.out.find('\n'));
        set = kith::sys::sysv_sem::from_id(std::stoi(address.substr(address.find('=') + 1)));
    }
    ~made_set() { ::semctl(set.native_id(), 0, IPC_RMID); }
    made_set(const made_set&) = delete;
    made_set& operator=(const made_set&) = delete;
    std::string address;
    kith::sys::sysv_sem set = kith::sys::sysv_sem::from_id(-1);
};

/// The same for a POSIX semaphore.
class made_semaphore {
public:
    explicit made_semaphore(const std::string& value = "1") {
        EXPECT_TRUE(says(kith_run({"create", "--values", value, address}), 0, ""));
        auto opened = kith::sys::posix_sem::open(name);
        EXPECT_TRUE(ok(opened));
        semaphore = std::move(*opened);
    }
    ~made_semaphore() { ::sem_unlink(name.c_str()); }
    made_semaphore(const made_semaphore&) = delete;
    made_semaphore& operator=(const made_semaphore&) = delete;
    std::string name = std::string{"/"}.append(unique_name("cli"));
    std::string address = std::string{"posix-sem:"}.append(name);
    kith::sys::posix_sem semaphore;
};

}  // namespace kith_test
