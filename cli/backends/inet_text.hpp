// inet_text - endpoints for the command: from addresses and back, and why sockets at them fail.
#pragma once
#include <kith/sys/endpoint.hpp>

#include "backends/backend.hpp"

namespace kith_cli {

/// Everything that the address's host stands for. Asks name servers only if it is no number, and only until the time is
/// up.
[[nodiscard]] outcome<kith::sys::endpoint_list> endpoints_of(const kith::address& where, const kith::wait_policy& wait);
/// The same address at the port and host of `real`.
[[nodiscard]] kith::address address_of(kith::scheme mechanism, const kith::sys::endpoint& real,
                                       const kith::address& otherwise);
[[nodiscard]] std::unexpected<failure> inet_bind_failure(const kith::address& where, const kith::error& error);
[[nodiscard]] std::unexpected<failure> inet_connect_failure(const kith::address& where, const kith::error& error);

}  // namespace kith_cli
