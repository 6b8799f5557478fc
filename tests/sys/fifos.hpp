// fifos - a FIFO of its own for a test, and a look at its ends.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/types.h>
#include <kith/sys/fifo.hpp>
#include <string>

#include "support/scope.hpp"

namespace kith_test {

/// What poll(2) says now.
inline short state(kith::borrowed_fd fd, short events = POLLIN) {
    pollfd one{fd.get(), events, 0};
    ::poll(&one, 1, 0);
    return one.revents;
}

/// A new FIFO in a directory of its own.
class fifo_at {
public:
    explicit fifo_at(mode_t mode = 0600) { EXPECT_TRUE(ok(kith::sys::create_fifo(path(), mode))); }
    [[nodiscard]] std::string path() const { return dir_.path("fifo"); }
    [[nodiscard]] const temp_dir& dir() const { return dir_; }
    [[nodiscard]] kith::sys::fifo_reader reader_at_once() const {
        return std::move(*kith::sys::open_fifo_reader(path(), kith::deadline::immediate()));
    }
    [[nodiscard]] kith::sys::fifo_writer writer_at_once() const {
        return std::move(*kith::sys::open_fifo_writer(path(), kith::deadline::immediate()));
    }

private:
    temp_dir dir_;
};

}  // namespace kith_test
