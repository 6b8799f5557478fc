// Transcripts: tests/cli/transcripts/*.txt say what the command prints and how it ends, word by word.
//
//     $ printf abc | kith recv fd:0       a line for sh, in an empty directory, with kith in PATH
//     > abc\                              a line of its standard output; a backslash: without a newline
//     ! kith: cannot ...                  a line of its standard error
//     !~ *(1)                             >~ and !~ : a pattern of fnmatch(3) instead of the line itself
//     ? 0                                 its exit status; 0 if there is no such line
#include <fnmatch.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/child.hpp"
#include "support/paths.hpp"
#include "support/scope.hpp"

namespace {

using namespace kith_test;

struct line {
    std::string text;
    bool pattern = false;
    bool newline = true;
};

struct step {
    int number = 0;  // of its line in the file
    std::string command;
    std::vector<line> out;
    std::vector<line> err;
    int status = 0;
};

std::vector<step> steps_in(const std::string& path) {
    std::ifstream file{path};
    std::vector<step> steps;
    int number = 0;
    for (std::string text; std::getline(file, text);) {
        ++number;
        if (text.empty() || text.starts_with('#')) continue;
        if (text.starts_with("$ ")) {
            steps.push_back({.number = number, .command = text.substr(2), .out = {}, .err = {}});
            continue;
        }
        if (steps.empty()) throw std::runtime_error{path + ": output before the first command"};
        if (text.starts_with("? ")) {
            steps.back().status = std::stoi(text.substr(2));
            continue;
        }
        line expected;
        expected.pattern = text.size() > 1 && text[1] == '~';
        expected.text = text.size() > (expected.pattern ? 3U : 2U) ? text.substr(expected.pattern ? 3 : 2) : "";
        if (expected.text.ends_with('\\')) {
            expected.text.pop_back();
            expected.newline = false;
        }
        (text[0] == '>' ? steps.back().out : steps.back().err).push_back(expected);
    }
    return steps;
}

std::vector<line> lines_of(const std::string& text) {
    std::vector<line> lines;
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = text.find('\n', begin);
        lines.push_back({.text = text.substr(begin, end - begin), .newline = end != std::string::npos});
        begin = end == std::string::npos ? text.size() : end + 1;
    }
    return lines;
}

void compare(const std::vector<line>& expected, const std::string& text, const std::string& what) {
    const auto lines = lines_of(text);
    EXPECT_EQ(lines.size(), expected.size()) << what << " was:\n" << text;
    for (std::size_t i = 0; i < std::min(lines.size(), expected.size()); ++i) {
        const auto& wanted = expected[i];
        if (wanted.pattern)
            EXPECT_EQ(::fnmatch(wanted.text.c_str(), lines[i].text.c_str(), 0), 0)
                << what << " was:\n"
                << lines[i].text << "\ninstead of the pattern\n"
                << wanted.text;
        else
            EXPECT_EQ(lines[i].text, wanted.text) << what;
        EXPECT_EQ(lines[i].newline, wanted.newline) << what << ": newline behind " << lines[i].text;
    }
}

std::string folder() { return source_dir() + "/tests/cli/transcripts"; }

std::vector<std::string> transcripts() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder())) names.push_back(entry.path().stem());
    return names;
}

class cli_transcript : public testing::TestWithParam<std::string> {};

TEST_P(cli_transcript, reads_as_written) {
    const temp_dir dir;
    std::filesystem::create_directory(dir.path("bin"));
    std::filesystem::create_directory(dir.path("work"));
    ASSERT_EQ(::symlink(kith_command().c_str(), dir.path("bin/kith").c_str()), 0);
    // $UNIQUE is for names that live outside of the directory.
    const auto preamble = "cd " + dir.path("work") + "; PATH=" + dir.path("bin") +
                          ":$PATH LC_ALL=C UNIQUE=" + unique_name("cli") + "; export PATH LC_ALL UNIQUE; ";
    const auto steps = steps_in(folder() + "/" + GetParam() + ".txt");
    EXPECT_FALSE(steps.empty());
    for (const auto& step : steps) {
        SCOPED_TRACE(GetParam() + ".txt:" + std::to_string(step.number) + ": " + step.command);
        const auto ran = run({"sh", "-c", preamble + step.command});
        EXPECT_EQ(ran.status, step.status);
        compare(step.out, ran.out, "standard output");
        compare(step.err, ran.err, "standard error");
    }
}

INSTANTIATE_TEST_SUITE_P(all, cli_transcript, testing::ValuesIn(transcripts()),
                         [](const auto& which) { return which.param; });

}  // namespace
