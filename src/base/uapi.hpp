// uapi - kernel constants newer than Debian 12's headers (Linux 6.1), all in this file.
// Whether the running kernel knows them is found out by using them, never by its version.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef RWF_NOSIGNAL  // Linux 6.18, linux/fs.h
#define RWF_NOSIGNAL 0x00000100
#endif
#ifndef SO_PASSPIDFD  // Linux 6.5, asm-generic/socket.h
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD  // Linux 6.5, asm-generic/socket.h
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS  // Linux 6.16, asm-generic/socket.h
#define SO_PASSRIGHTS 83
#endif
#ifndef SCM_PIDFD  // Linux 6.5, linux/socket.h
#define SCM_PIDFD 0x04
#endif
#ifndef MFD_NOEXEC_SEAL  // Linux 6.3, linux/memfd.h
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_EXEC  // Linux 6.3, linux/memfd.h
#define MFD_EXEC 0x0010U
#endif
#ifndef F_SEAL_EXEC  // Linux 6.3, linux/fcntl.h
#define F_SEAL_EXEC 0x0020
#endif
