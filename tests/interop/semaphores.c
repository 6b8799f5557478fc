/* A program in C that knows nothing of kith and keeps to docs/formats/scoped_lock.md.
 *
 *   sysv ID TIMES FILE     TIMES times: take semaphore 0 of the set with undo, count in FILE, give it back
 *   sysv-die ID            take semaphore 0 with undo and be killed
 *   posix NAME TIMES FILE  the same with a named POSIX semaphore
 *   make NAME VALUE        make a named POSIX semaphore
 *   post FILE              post the unnamed semaphore at the beginning of FILE */
#define _GNU_SOURCE
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <unistd.h>

static void check(int good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

static void step(int id, short delta) {
    struct sembuf one = {0, delta, SEM_UNDO};
    check(semop(id, &one, 1) == 0, "semop");
}

static void count_in(const char *path) {
    int fd = open(path, O_RDWR), n = 0;
    check(fd >= 0 && pread(fd, &n, sizeof n, 0) == sizeof n, path);
    ++n;
    check(pwrite(fd, &n, sizeof n, 0) == sizeof n && close(fd) == 0, path);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    if (strcmp(argv[1], "sysv") == 0) {
        for (int i = 0; i < atoi(argv[3]); ++i) {
            step(atoi(argv[2]), -1);
            count_in(argv[4]);
            step(atoi(argv[2]), 1);
        }
    } else if (strcmp(argv[1], "sysv-die") == 0) {
        step(atoi(argv[2]), -1);
        raise(SIGKILL);
    } else if (strcmp(argv[1], "posix") == 0) {
        sem_t *sem = sem_open(argv[2], 0);
        check(sem != SEM_FAILED, "sem_open");
        for (int i = 0; i < atoi(argv[3]); ++i) {
            check(sem_wait(sem) == 0, "sem_wait");
            count_in(argv[4]);
            check(sem_post(sem) == 0, "sem_post");
        }
    } else if (strcmp(argv[1], "make") == 0) {
        check(sem_open(argv[2], O_CREAT | O_EXCL, 0600, (unsigned)atoi(argv[3])) != SEM_FAILED, "sem_open");
    } else if (strcmp(argv[1], "post") == 0) {
        int fd = open(argv[2], O_RDWR);
        void *memory = mmap(NULL, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        check(fd >= 0 && memory != MAP_FAILED, argv[2]);
        check(sem_post(memory) == 0, "sem_post");
    } else {
        return 2;
    }
    return 0;
}
