#include "support/background.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

namespace kith_test {
namespace {

std::string content_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

child start(const temp_dir& files, const std::vector<std::string>& words, const std::string& input) {
    std::ofstream{files.path("in"), std::ios::binary} << input;
    return child{[&] {
        const auto open_as = [&](int fd, const char* name, int flags) {
            const int file = ::open(files.path(name).c_str(), flags | O_CLOEXEC, 0600);
            CHILD_CHECK(file >= 0 && ::dup2(file, fd) == fd);
        };
        open_as(0, "in", O_RDONLY);
        open_as(1, "out", O_WRONLY | O_CREAT);
        open_as(2, "err", O_WRONLY | O_CREAT | O_APPEND);
        std::vector<char*> argv;
        for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        ::execvp(argv[0], argv.data());
        return 127;
    }};
}

}  // namespace

background::background(const std::vector<std::string>& words, const std::string& input)
    : program_{start(*files_, words, input)} {}

outcome background::wait() {
    const int status = program_.wait();
    return {.status = status, .out = out(), .err = err()};
}
std::string background::out() const { return content_of(files_->path("out")); }
std::string background::err() const { return content_of(files_->path("err")); }

std::string background::err_with(const std::string& text) const {
    const auto give_up = std::chrono::steady_clock::now() + 20s;
    for (;;) {
        auto now = err();
        if (now.find(text) != std::string::npos) return now;
        if (std::chrono::steady_clock::now() > give_up) {
            ADD_FAILURE() << "'" << text << "' did not come; there is: " << now;
            return now;
        }
        std::this_thread::sleep_for(1ms);  // between looks; the condition decides, not the time
    }
}

}  // namespace kith_test
