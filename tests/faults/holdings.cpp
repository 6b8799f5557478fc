#include "faults/holdings.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>
#include <array>
#include <cstring>
#include <filesystem>

namespace kith_faults {
namespace {

constexpr int most_descriptors = 256;

int open_descriptors() {
    int n = 0;
    for (int fd = 0; fd < most_descriptors; ++fd)
        if (::fcntl(fd, F_GETFD) >= 0) ++n;
    return n;
}

int shared_mappings() {
    static std::array<char, 1 << 17> text;
    const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    std::size_t size = 0;
    for (ssize_t n; (n = ::read(fd, text.data() + size, text.size() - 1 - size)) > 0;)
        size += static_cast<std::size_t>(n);
    ::close(fd);
    text.at(size) = '\0';
    int n = 0;
    for (const char* name : {"/dev/shm/", "/SYSV", "/memfd:"})
        for (const char* at = text.data(); (at = std::strstr(at, name)) != nullptr; ++at) ++n;
    return n;
}

int names_in(const char* folder) {
    DIR* dir = ::opendir(folder);
    if (dir == nullptr) return 0;
    int n = 0;
    while (::readdir(dir) != nullptr) ++n;
    ::closedir(dir);
    return n;
}

union semun {
    seminfo* info;
    semid_ds* state;
};

}  // namespace

holdings holdings::now() {
    holdings all;
    all.descriptors = open_descriptors();
    all.heap_bytes = ::mallinfo2().uordblks;
    all.shared_mappings = kith_faults::shared_mappings();
    msginfo queues{};
    ::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&queues));
    all.sysv_queues = queues.msgpool;  // in MSG_INFO: how many queues exist
    seminfo sets{};
    semun argument{};
    argument.info = &sets;
    ::semctl(0, 0, SEM_INFO, argument);
    all.sysv_semaphores = sets.semusz;  // in SEM_INFO: how many sets exist
    shm_info segments{};
    ::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&segments));
    all.sysv_segments = segments.used_ids;
    all.names = names_in("/dev/shm") + names_in(queue_folder) + names_in("/tmp");
    return all;
}

void sweep() {
    for (const char* folder : {"/dev/shm", queue_folder, "/tmp"}) {
        std::error_code ignored;
        for (const auto& one : std::filesystem::directory_iterator{folder, ignored})
            std::filesystem::remove_all(one.path(), ignored);
    }
    // The highest slot in use comes back from the calls that ask for the limits; -1 and 0 both mean few.
    msginfo queues{};
    for (int slot = ::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&queues)); slot >= 0; --slot) {
        msqid_ds state{};
        if (const int id = ::msgctl(slot, MSG_STAT, &state); id >= 0) ::msgctl(id, IPC_RMID, nullptr);
    }
    seminfo sets{};
    semun argument{};
    argument.info = &sets;
    for (int slot = ::semctl(0, 0, SEM_INFO, argument); slot >= 0; --slot) {
        semid_ds state{};
        argument.state = &state;
        if (const int id = ::semctl(slot, 0, SEM_STAT, argument); id >= 0) ::semctl(id, 0, IPC_RMID);
    }
    shm_info segments{};
    for (int slot = ::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&segments)); slot >= 0; --slot) {
        shmid_ds state{};
        if (const int id = ::shmctl(slot, SHM_STAT, &state); id >= 0) ::shmctl(id, IPC_RMID, nullptr);
    }
}

std::string surplus(const holdings& before, const holdings& after) {
    std::string text;
    const auto compare = [&](const char* what, auto was, auto is) {
        if (is > was) text += std::string{text.empty() ? "" : ", "} + std::to_string(is - was) + " more " + what;
    };
    compare("descriptors", before.descriptors, after.descriptors);
    compare("bytes of heap", before.heap_bytes, after.heap_bytes);
    compare("shared mappings", before.shared_mappings, after.shared_mappings);
    compare("System V queues", before.sysv_queues, after.sysv_queues);
    compare("System V semaphore sets", before.sysv_semaphores, after.sysv_semaphores);
    compare("System V segments", before.sysv_segments, after.sysv_segments);
    compare("names of POSIX objects and in /tmp", before.names, after.names);
    return text;
}

}  // namespace kith_faults
