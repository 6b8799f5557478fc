// holdings - what a process and its namespaces hold: descriptors, memory, mappings, objects and names.
#pragma once
#include <cstddef>
#include <string>

namespace kith_faults {

/// Where the namespace's POSIX queues have files.
inline constexpr const char* queue_folder = "/tmp/queues";

/// Counts; two of them are compared. Taking one allocates nothing that lasts.
struct holdings {
    int descriptors = 0;
    std::size_t heap_bytes = 0;
    int shared_mappings = 0;  ///< of /dev/shm, System V segments and memfds
    int sysv_queues = 0;
    int sysv_semaphores = 0;
    int sysv_segments = 0;
    int names = 0;  ///< in /dev/shm, /tmp and the folder of POSIX queues

    static holdings now();
};

/// Removes every object and name of the namespaces, so that a leftover of one run is not found by the next.
void sweep();

/// What `after` has more than `before`, in words; empty if nothing.
std::string surplus(const holdings& before, const holdings& after);

}  // namespace kith_faults
