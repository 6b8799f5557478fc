// command - the kith command as a user types it: run to its end, started, or waited for until it waits.
#pragma once
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/background.hpp"
#include "support/child.hpp"
#include "support/paths.hpp"

namespace kith_test {

/// The command line of kith with these words.
inline std::vector<std::string> kith_line(std::vector<std::string> words) {
    words.insert(words.begin(), kith_command());
    return words;
}
/// Runs kith to its end.
inline outcome kith_run(std::vector<std::string> words, const std::string& input = {}) {
    return run(kith_line(std::move(words)), input);
}
/// Starts kith, with the test's own standard output.
inline child kith_start(std::vector<std::string> words) { return child::exec(kith_line(std::move(words))); }
/// Starts kith and returns when it waits for a descriptor: for its first client, or for something to receive.
inline background kith_waiting(std::vector<std::string> words, const std::string& input = {}) {
    background started{kith_line(std::move(words)), input};
    wait_until_in_syscall(started.pid(), SYS_ppoll);
    return started;
}

/// The standard output of a kith that succeeds.
inline std::string out_of(std::vector<std::string> words, const std::string& input = {}) {
    const auto ended = kith_run(std::move(words), input);
    EXPECT_EQ(ended.status, 0) << ended.err;
    return ended.out;
}
/// Expects that it ended with this status, without output, and with `part` in what it said.
inline void expect_failure(const outcome& ended, int status, const std::string& part) {
    EXPECT_EQ(ended.status, status) << ended.err;
    EXPECT_EQ(ended.out, "");
    EXPECT_NE(ended.err.find(part), std::string::npos) << ended.err;
}
/// The failure as JSON, behind what else was said; an empty object if there is none.
inline nlohmann::json failure_in(const std::string& text) {
    const auto at = text.find('{');
    const auto object = nlohmann::json::parse(at == std::string::npos ? "" : text.substr(at), nullptr, false);
    return object.is_object() ? object : nlohmann::json::object();
}

}  // namespace kith_test
