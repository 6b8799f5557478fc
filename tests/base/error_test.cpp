// Errors: the closed list, the texts, and that an error is a small value.
#include <kith/error.hpp>

#include <gtest/gtest.h>
#include <cerrno>
#include <set>
#include <string>

#include "base/errors.hpp"

namespace {

using kith::errc;
using kith::error;
using kith::object_ref;

TEST(base_error, every_code_has_its_own_name_and_the_list_is_closed) {
    std::set<std::string> names;
    for (int n = 1; n <= static_cast<int>(errc::io); ++n) names.emplace(kith::name_of(static_cast<errc>(n)));
    EXPECT_EQ(names.size(), 28u);
    EXPECT_FALSE(names.contains("unknown"));
    EXPECT_EQ(kith::name_of(static_cast<errc>(29)), "unknown");
}

TEST(base_error, error_G1_what_callers_must_tell_apart_has_different_codes) {
    const std::set<errc> codes{kith::detail::code_for(EAGAIN), kith::detail::code_for(ETIMEDOUT),
                               kith::detail::code_for(EIDRM),  kith::detail::code_for(EPIPE),
                               kith::detail::code_for(EINTR),  errc::end_of_stream};
    EXPECT_EQ(codes.size(), 6u);
}

TEST(base_error, an_error_keeps_code_errno_operation_and_object) {
    constexpr error failure{errc::too_long, "msgsnd", EMSGSIZE, object_ref::sysv_id(42)};
    static_assert(failure.code() == errc::too_long && failure.os_error() == EMSGSIZE);
    static_assert(failure.object().value() == 42);
    static_assert(sizeof(error) == 48);
    EXPECT_STREQ(failure.operation(), "msgsnd");
    const auto moved = failure.about(object_ref::name("/jobs"));
    EXPECT_EQ(moved.object().text(), "/jobs");
    EXPECT_EQ(moved.os_error(), EMSGSIZE);
}

TEST(base_error, numbers_of_any_sign_survive_in_an_object) {
    EXPECT_EQ(object_ref::sysv_key(-5).value(), -5);
    EXPECT_EQ(object_ref::process(4194304).value(), 4194304);
    EXPECT_EQ(object_ref{}.value(), 0);
}

TEST(base_error, a_long_name_keeps_its_end) {
    const std::string path = "/var/lib/some/deep/directory/with/orders.fifo";
    const auto ref = object_ref::name(path);
    EXPECT_EQ(ref.text().size(), object_ref::name_capacity);
    EXPECT_TRUE(ref.text().starts_with("..."));
    EXPECT_TRUE(path.ends_with(ref.text().substr(3)));
    EXPECT_EQ(object_ref::name(path.substr(0, 30)).text(), path.substr(0, 30));
}

TEST(base_error, describe_says_what_on_what_why_and_what_next) {
    EXPECT_EQ(kith::describe(error{errc::not_found, "mq_open", ENOENT, object_ref::name("/jobs")}),
              "mq_open on '/jobs' failed: there is no such object (not_found, ENOENT); create it first; System V "
              "objects and queues of another IPC namespace (container) are not visible here");
    EXPECT_EQ(kith::describe(error{errc::end_of_stream, "read", 0, object_ref::descriptor(3)}),
              "read on descriptor 3 failed: the stream has ended (end_of_stream)");
    EXPECT_EQ(kith::describe(error{errc::removed, "msgrcv", EIDRM, object_ref::sysv_key(0x4b01)}),
              "msgrcv on System V key 0x00004b01 failed: the object was removed (removed, EIDRM); somebody removed "
              "the object: create it again");
}

TEST(base_error, errno_names) {
    EXPECT_EQ(kith::errno_name(EIDRM), "EIDRM");
    EXPECT_EQ(kith::errno_name(0), "");
    EXPECT_EQ(kith::errno_name(99999), "");
}

}  // namespace
