#include "support/paths.hpp"

namespace kith_test {
std::string source_dir() { return KITH_SOURCE_DIR; }
std::string binary_dir() { return KITH_BINARY_DIR; }
}  // namespace kith_test
