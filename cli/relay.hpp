// relay - standard input and output against a connection, both ways at once, with half-close.
#pragma once
#include "backends/backend.hpp"
#include "session.hpp"

namespace kith_cli {

/// Copies standard input to the connection and what comes from there to standard output, until both have ended,
/// or the other side is gone. The end of standard input is passed on as a half-close. --timeout ends it when nothing
/// has moved for so long. Returns the exit status; `object` is the address for failures.
int relay(session& s, duplex& connection, const std::string& object);

}  // namespace kith_cli
