// The semaphore example does what its first lines say.
#include <gtest/gtest.h>
#include <string>

#include "support/child.hpp"
#include "support/paths.hpp"

namespace {

using namespace kith_test;

TEST(examples, semaphore_workers_share_places_and_get_back_those_of_a_killed_one) {
    const auto end = run({binary_dir() + "/examples/semaphore_workers"});
    EXPECT_EQ(end.status, 0) << end.err;
    for (const std::string line :
         {"worker 1 has 1 of 3 places\n", "worker 2 has 2 of 3 places\n", "worker 3 has 3 of 3 places\n",
          "worker 4 has 2 of 3 places\n", "worker 5 has 1 of 3 places\n", "1 was killed, and 3 of 3 places are free\n"})
        EXPECT_NE(end.out.find(line), std::string::npos) << end.out;
}

}  // namespace
