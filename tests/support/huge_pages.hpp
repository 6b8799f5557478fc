// huge_pages - turns at the machine's pool of huge pages, which no namespace divides.
#pragma once
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <fstream>
#include <string>

namespace kith_test {

/// Tests that need the pool as it is, or change it, hold one of these: one at a time, machine-wide.
class huge_page_pool {
public:
    huge_page_pool() : lock_{::open("/sys/kernel/mm/hugepages", O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
        if (lock_ >= 0) ::flock(lock_, LOCK_EX);
        std::ifstream{pool} >> before_;
    }
    ~huge_page_pool() {
        if (changed_) std::ofstream{pool} << before_;
        if (lock_ >= 0) ::close(lock_);
    }
    huge_page_pool(const huge_page_pool&) = delete;
    huge_page_pool& operator=(const huge_page_pool&) = delete;

    /// Whether there is a pool of 2 MiB pages and none of them is free.
    [[nodiscard]] static bool is_empty() {
        int free = -1;
        std::ifstream{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"} >> free;
        return free == 0;
    }
    /// Adds pages of 2 MiB until this object goes; false if they cannot be had.
    [[nodiscard]] bool add(int pages) {
        if (before_ < 0) return false;
        changed_ = true;
        std::ofstream{pool} << before_ + pages << std::flush;
        int now = 0;
        std::ifstream{pool} >> now;
        return now >= before_ + pages;
    }

private:
    static constexpr const char* pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    int lock_;
    int before_ = -1;
    bool changed_ = false;
};

}  // namespace kith_test
