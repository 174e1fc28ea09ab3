/* Attempts that need a system call of their own, by name: 0 when one got through. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define IS(text) (!strcmp(name, text))

static inline int through(long result) { return result < 0; }

/* On a process. */
int on_process(const char *name, int pid);

/* Of the kernel: namespaces, mounts, privileges. */
int in_kernel(const char *name);

/* On a file, a terminal or a folder. */
int with_path(const char *name, const char *path, const char *other);

/* On a socket, which is also what a port is. */
int with_socket(const char *name, int count, char **argument);

/* Holds what attempts are made on: sockets, and a terminal. Says the terminal's name, and waits. */
int victim(int count, char **paths);
