// table - the tour's results, for people and as JSON.
#pragma once
#include <string>
#include <vector>

#include "tour/conductor.hpp"

namespace kith_cli::tour {

[[nodiscard]] std::string results_table(const input& in, const std::vector<row_result>& results);
/// One object on one line: "input", "rows", "ok".
[[nodiscard]] std::string results_json(const input& in, const std::vector<row_result>& results);

/// "12.3 MB" and the like, in powers of 1000.
[[nodiscard]] std::string megabytes(std::uint64_t bytes);

}  // namespace kith_cli::tour
