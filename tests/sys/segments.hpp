// segments - System V memory segments that are gone when the test is over, however it ends.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>
#include <cstddef>
#include <cstdint>
#include <kith/sys/sysv_shm.hpp>
#include <utility>

#include "support/scope.hpp"

namespace kith_test {

/// A segment that goes with the test, however it ends. Marked for removal late: a key is needed meanwhile.
struct segment {
    explicit segment(kith::sys::sysv_shm made) : shm{made} {}
    segment(const segment&) = delete;
    segment& operator=(const segment&) = delete;
    ~segment() { static_cast<void>(shm.remove()); }
    kith::sys::sysv_shm* operator->() { return &shm; }
    kith::sys::sysv_shm shm;
};

inline kith::sys::sysv_shm made(kith::sys::sysv_key key, std::size_t size, kith::sys::sysv_shm_options options = {}) {
    options.create = kith::sys::creation::must_be_new;
    options.size = size;
    auto shm = kith::sys::sysv_shm::open(key, options);
    EXPECT_TRUE(ok(shm));
    return *shm;
}
inline kith::sys::sysv_shm made(std::size_t size) { return made(kith::sys::sysv_key::private_object(), size); }

/// A key that nobody else uses: derived from this process and never 0.
inline kith::sys::sysv_key fresh_key() {
    static int count = 0;
    return kith::sys::sysv_key{static_cast<std::int32_t>(0x6b000000 + (::getpid() & 0xfffff) * 16 + ++count)};
}

inline kith::sys::sysv_attachment attached(const kith::sys::sysv_shm& shm,
                                           const kith::sys::attach_options& options = {}) {
    auto memory = shm.attach(options);
    EXPECT_TRUE(ok(memory));
    return std::move(*memory);
}

inline std::uint64_t attachments(const kith::sys::sysv_shm& shm) {
    const auto status = shm.status();
    EXPECT_TRUE(ok(status));
    return status ? status->attachments : 999;
}

}  // namespace kith_test
