// other_side - programs that know nothing of kith: a Perl or Python script, or tests/interop/semaphores.c.
#pragma once
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "support/child.hpp"
#include "support/paths.hpp"

namespace kith_test {

inline std::vector<std::string> perl(const std::string& script, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"perl", "-e", "use strict; use warnings; " + script});
    return arguments;
}

inline std::vector<std::string> python(const std::string& script, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"/usr/bin/python3", "-c", script});
    return arguments;
}

/// Compiles the C program into `directory` and returns the words that run it.
inline std::string compiled_c_program(const std::string& directory) {
    const auto program = directory + "/semaphores";
    const auto made = run({"cc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program,
                           source_dir() + "/tests/interop/semaphores.c", "-pthread"});
    EXPECT_EQ(made.status, 0) << made.err;
    return program;
}

}  // namespace kith_test
