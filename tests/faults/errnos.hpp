// errnos - which errors the manual page of each system call names.
#pragma once
#include <vector>

namespace kith_faults {

/// The errors that section 2 names for a call (by its SYS_ number), or nullptr for a call that is not in the table:
/// then the table must get a row. The second argument is the command of fcntl(2) and
/// the operation of futex(2); whether there is a fourth tells whether futex(2) waits for a time only.
const std::vector<int>* errnos_of(long call, long second_argument, bool fourth_argument);

/// Whether the kernel does what it was asked although the call reports that errno: then the harness lets the call
/// happen and only changes what it returns. `family` is that of the address, for connect(2).
bool happens_all_the_same(long call, int os_error, unsigned family);

/// The name of a call, for messages.
const char* name_of_call(long call);

}  // namespace kith_faults
