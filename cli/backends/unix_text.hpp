// unix_text - names of UNIX sockets for the command: from addresses, what can be seen of them, and why they fail.
#pragma once
#include <kith/sys/unix_name.hpp>

#include "backends/backend.hpp"

namespace kith_cli {

/// The name to bind or connect to.
[[nodiscard]] outcome<kith::sys::unix_name> unix_name_of(const kith::address& where);

[[nodiscard]] std::unexpected<failure> bind_failure(const kith::address& where, const kith::error& error);
[[nodiscard]] std::unexpected<failure> connect_failure(const kith::address& where, const kith::error& error);

/// kith show: the file and what /proc/net/unix tells; connects to nothing.
[[nodiscard]] outcome<facts> show_unix(const kith::address& where);
/// kith rm: the path of a socket, and kith's lock file beside it if nobody holds it.
[[nodiscard]] outcome<void> remove_unix(const kith::address& where);

}  // namespace kith_cli
