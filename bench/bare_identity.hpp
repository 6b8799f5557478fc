// bare_identity - who this process is, read out of /proc by bare calls; for overhead_process and overhead_pidfd.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "pair.hpp"

namespace kith_bench {

// The number of the pid namespace, after a look whether /proc is ours, and the start time: field 22 of the stat file.
inline void bare_identity() {
    std::array<char, 1024> text{};
    const auto length = ::readlink("/proc/self", text.data(), text.size() - 1);
    must_be(length > 0 && std::atoi(text.data()) == ::getpid());
    struct stat space{};
    must_be(::stat("/proc/self/ns/pid", &space) == 0);
    std::snprintf(text.data(), text.size(), "/proc/%d/stat", ::getpid());
    const int fd = ::open(text.data(), O_RDONLY | O_CLOEXEC);
    const auto count = ::read(fd, text.data(), text.size() - 1);
    ::close(fd);
    must_be(count > 0);
    text.at(static_cast<std::size_t>(count)) = '\0';
    const char* at = std::strrchr(text.data(), ')');
    for (int field = 2; field < 22; ++field) at = std::strchr(at + 1, ' ');
    unsigned long long started = std::strtoull(at, nullptr, 10);
    benchmark::DoNotOptimize(started);
}

}  // namespace kith_bench
