// The observer: typed events, only while one is set, and errno untouched.
#include <gtest/gtest.h>
#include <cerrno>
#include <vector>

#include "base/observer.hpp"

namespace {

TEST(base_observer, tells_what_happened_while_it_is_set_and_nothing_after) {
    std::vector<kith::event> seen;
    kith::set_observer(
        [](const kith::event& what, void* context) noexcept {
            static_cast<std::vector<kith::event>*>(context)->push_back(what);
            errno = EBADF;
        },
        &seen);
    errno = EPIPE;
    kith::detail::notify(kith::event_kind::messages_drained, "msgrcv", kith::object_ref::sysv_id(7), 0, 3);
    EXPECT_EQ(errno, EPIPE);
    kith::set_observer(nullptr);
    kith::detail::notify(kith::event_kind::retried, "read");
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].kind, kith::event_kind::messages_drained);
    EXPECT_EQ(seen[0].object, kith::object_ref::sysv_id(7));
    EXPECT_EQ(seen[0].count, 3u);
}

TEST(base_observer, every_kind_has_a_name) {
    for (int n = 0; n <= static_cast<int>(kith::event_kind::surplus_closed); ++n)
        EXPECT_NE(kith::name_of(static_cast<kith::event_kind>(n)), "unknown");
}

}  // namespace
