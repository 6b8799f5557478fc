// harness - runs a scenario once for each of its system calls and each errno that the call's page names.
//
// A child is traced (ptrace(2)) through act(): in the first run all of its system calls are noted, in each later run
// one of them is not made and returns an errno instead. A call that is only made because of such a fault is made to
// fail in the same way, in runs of its own: two faults, one behind the other. The child says what act() returned and
// what it holds before and after. Everything happens in namespaces of its own: IPC objects, /dev/shm and /tmp begin
// empty, so that whatever is found in them afterwards is a leftover.
//
// With KITH_FAULT_SITES in the environment, a line for each place in this program where a fault was injected goes to
// the file of that name: tools/check_fault_sites compares them with the sources.
#pragma once
#include <string>
#include <vector>

#include "faults/scenario.hpp"

namespace kith_faults {

/// What went wrong, one line each, and how much was tried.
struct findings {
    std::vector<std::string> complaints;
    int sites = 0;
    int runs = 0;
};

/// Whether this machine and build can do it; else why not.
std::string why_not();

/// Enters the namespaces; once, before the first scenario. False where the kernel refuses.
bool isolate();

findings explore(const entry& one);

}  // namespace kith_faults
