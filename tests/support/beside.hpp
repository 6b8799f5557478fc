// beside - a program that runs while the test does something else, with its output kept.
#pragma once
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"

namespace kith_test {

/// A program running beside the test; the destructor waits for its end (at most as long as run() does).
class beside {
public:
    explicit beside(const std::vector<std::string>& words, const std::string& input = {})
        : thread_{[this, words, input] { outcome_ = run(words, input); }} {}
    /// Waits for its end.
    outcome wait() {
        thread_.join();
        return outcome_;
    }

private:
    outcome outcome_;
    std::jthread thread_;
};

}  // namespace kith_test
