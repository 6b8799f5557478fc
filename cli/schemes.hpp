// schemes - which verbs work on objects of which schemes: for refusals and for completion.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <kith/address.hpp>

namespace kith_cli {

/// What `verb` ("send", "sem op") works on; empty for a verb without an address.
[[nodiscard]] std::vector<kith::scheme> schemes_of(std::string_view verb);
/// The verbs that work on such objects: "send, recv and call".
[[nodiscard]] std::string verbs_for(kith::scheme mechanism);
/// "fifo:, unix: and tcp:".
[[nodiscard]] std::string names_of(const std::vector<kith::scheme>& schemes);

}  // namespace kith_cli
