// paths - where the tests find the source tree and what was built.
#pragma once
#include <string>

namespace kith_test {
std::string source_dir();
std::string binary_dir();
/// The kith command that was built with the tests.
inline std::string kith_command() { return binary_dir() + "/kith"; }
}  // namespace kith_test
