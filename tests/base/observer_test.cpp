// The observer: typed events, only while one is set, and errno untouched.
#include <gtest/gtest.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

#include "base/observer.hpp"
#include "support/child.hpp"

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

TEST(base_observer, one_is_never_called_with_the_context_of_another) {
    struct own {
        int id;
        std::atomic<int> wrong{0};
    };
    static own first{1};
    static own second{2};
    std::atomic<bool> over{false};
    std::jthread setter{[&] {
        while (!over) {
            kith::set_observer(
                [](const kith::event&, void* context) noexcept { first.wrong += static_cast<own*>(context)->id != 1; },
                &first);
            kith::set_observer(
                [](const kith::event&, void* context) noexcept { second.wrong += static_cast<own*>(context)->id != 2; },
                &second);
        }
    }};
    for (const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{300};
         std::chrono::steady_clock::now() < until;)
        for (int n = 0; n < 1000; ++n) kith::detail::notify(kith::event_kind::retried, "read");
    over = true;
    setter.join();
    kith::set_observer(nullptr);
    EXPECT_EQ(first.wrong, 0);
    EXPECT_EQ(second.wrong, 0);
}

TEST(base_observer, observer_G13_a_child_forked_while_a_thread_sets_one_sets_its_own) {
    std::atomic<bool> over{false};
    std::jthread setter{[&] {
        while (!over) kith::set_observer([](const kith::event&, void*) noexcept {}, nullptr);
    }};
    int failures = 0;
    for (int n = 0; n < 100 && failures == 0; ++n) {
        kith_test::child forked{[] {
            static bool told;
            told = false;
            ::alarm(20);  // ends a child that spins
            kith::set_observer([](const kith::event&, void*) noexcept { told = true; }, nullptr);
            kith::detail::notify(kith::event_kind::retried, "read");
            return told ? 0 : 1;
        }};
        failures += forked.wait() != 0;
    }
    over = true;
    setter.join();
    kith::set_observer(nullptr);
    EXPECT_EQ(failures, 0);
}

}  // namespace
