// background - a program that runs beside the test, with its output kept in files.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/scope.hpp"

namespace kith_test {

/// Starts at once; the destructor kills what is still running.
class background {
public:
    explicit background(const std::vector<std::string>& words, const std::string& input = {});
    [[nodiscard]] pid_t pid() const { return program_.pid(); }
    void kill(int signal) const { program_.kill(signal); }
    /// Waits for its end.
    outcome wait();
    /// What it has written so far.
    [[nodiscard]] std::string out() const;
    [[nodiscard]] std::string err() const;
    /// Waits until its standard error contains `text`, and returns all of it. Fails the test after 20 seconds.
    [[nodiscard]] std::string err_with(const std::string& text) const;

private:
    std::unique_ptr<temp_dir> files_ = std::make_unique<temp_dir>();
    child program_;
};

}  // namespace kith_test
