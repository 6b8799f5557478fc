// net - the loopback interface of a new network namespace.
#pragma once

namespace kith_test {
/// Sets `lo` up: in a namespace made with CLONE_NEWNET it is down. Returns whether that worked.
bool bring_loopback_up();
}  // namespace kith_test
