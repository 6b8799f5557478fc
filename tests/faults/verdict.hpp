// verdict - whether a scenario ended as the faults that were injected say.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "faults/traced_run.hpp"

namespace kith_faults {

/// In words, for messages.
std::string in_words(std::span<const fault> planned);
std::string in_words(const report& told);

/// What is wrong with a run's end; of two faults either may be what comes back.
std::vector<std::string> judge(const entry& one, std::span<const fault> planned, report told, int status);

}  // namespace kith_faults
