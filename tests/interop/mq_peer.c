/* mq_peer - both kinds of message queues as a plain C program uses them.
 *   mq_peer sysv-send KEY TYPE TEXT     mq_peer sysv-recv KEY TYPE     prints "TYPE:TEXT"
 *   mq_peer posix-send NAME PRIO TEXT   mq_peer posix-recv NAME        prints "PRIO:TEXT"
 * Waits like any such program; ends with 1 and a reason where a call fails. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

struct message {
    long type;
    char body[8192];
};

static int failed(const char* call) {
    perror(call);
    return 1;
}

static int sysv(int sends, char** arg) {
    static struct message message;
    const int id = msgget((key_t)strtoul(arg[0], NULL, 0), 0);
    if (id < 0) return failed("msgget");
    if (sends) {
        message.type = strtol(arg[1], NULL, 0);
        memcpy(message.body, arg[2], strlen(arg[2]));
        return msgsnd(id, &message, strlen(arg[2]), 0) == 0 ? 0 : failed("msgsnd");
    }
    const ssize_t size = msgrcv(id, &message, sizeof message.body, strtol(arg[1], NULL, 0), 0);
    if (size < 0) return failed("msgrcv");
    printf("%ld:%.*s", message.type, (int)size, message.body);
    return 0;
}

static int posix(int sends, char** arg) {
    static char body[8192];
    unsigned priority = 0;
    const mqd_t queue = mq_open(arg[0], sends ? O_WRONLY : O_RDONLY);
    if (queue < 0) return failed("mq_open");
    if (sends) {
        priority = (unsigned)strtoul(arg[1], NULL, 0);
        return mq_send(queue, arg[2], strlen(arg[2]), priority) == 0 ? 0 : failed("mq_send");
    }
    const ssize_t size = mq_receive(queue, body, sizeof body, &priority);
    if (size < 0) return failed("mq_receive");
    printf("%u:%.*s", priority, (int)size, body);
    return 0;
}

int main(int argc, char** argv) {
    if (argc == 5 && strcmp(argv[1], "sysv-send") == 0) return sysv(1, argv + 2);
    if (argc == 4 && strcmp(argv[1], "sysv-recv") == 0) return sysv(0, argv + 2);
    if (argc == 5 && strcmp(argv[1], "posix-send") == 0) return posix(1, argv + 2);
    if (argc == 3 && strcmp(argv[1], "posix-recv") == 0) return posix(0, argv + 2);
    return 2;
}
