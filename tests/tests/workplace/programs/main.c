/* What a C program takes for granted. Each line that it prints is one thing that works. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(const char *what, int works) {
	printf("%s: %s\n", what, works ? "ok" : strerror(errno));
	fflush(stdout);
}

static void *add(void *sum) {
	__atomic_add_fetch((int *)sum, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static int threads(void) {
	pthread_t all[16];
	int sum = 0;
	for (int i = 0; i < 16; i++)
		if ((errno = pthread_create(&all[i], NULL, add, &sum)) != 0)
			return 0;
	for (int i = 0; i < 16; i++)
		pthread_join(all[i], NULL);
	return sum == 16;
}

static int exited(pid_t child, int with) {
	int status;
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == with;
}

static int spawned(void) {
	extern char **environ;
	char *argv[] = {"sh", "-c", "exit 4", NULL};
	pid_t child;
	errno = posix_spawnp(&child, "sh", NULL, NULL, argv, environ);
	return errno == 0 && exited(child, 4);
}

static int piped(void) {
	char line[16] = "";
	FILE *pipe = popen("echo piped", "r");
	return pipe && fgets(line, sizeof line, pipe) && pclose(pipe) == 0 && !strcmp(line, "piped\n");
}

static volatile sig_atomic_t heard;

static void hear(int signal) { heard = signal; }

static int temporary(void) {
	const char *folder = getenv("TMPDIR");
	char path[4096];
	snprintf(path, sizeof path, "%s/XXXXXX", folder ? folder : "/tmp");
	int file = mkstemp(path);
	return file >= 0 && write(file, "x", 1) == 1 && unlink(path) == 0;
}

static int shared(void) {
	char name[32];
	snprintf(name, sizeof name, "/evonic-%ld", (long)random() ^ getpid());
	int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
	int works = fd >= 0 && ftruncate(fd, 4096) == 0 && semaphore != SEM_FAILED &&
		    mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED && sem_wait(semaphore) == 0;
	shm_unlink(name);
	sem_unlink(name);
	return works;
}

static int resolved(void) {
	struct addrinfo *found = NULL;
	return getaddrinfo("localhost", "80", NULL, &found) == 0 && found != NULL;
}

static int listens(void) {
	int server = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN};
	return server >= 0 && listen(server, 1) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event) == 0;
}

int main(void) {
	srandom((unsigned)getpid());
	check("threads", threads());
	pid_t child = fork();
	if (child == 0)
		_exit(3);
	check("fork", exited(child, 3));
	check("posix_spawn", spawned());
	check("popen", piped());
	signal(SIGUSR1, hear);
	check("signals", raise(SIGUSR1) == 0 && kill(getpid(), 0) == 0 && heard == SIGUSR1);
	check("temporary file", temporary());
	check("shared memory", shared());
	check("resolver", resolved());
	check("sockets", listens());
	check("inotify", inotify_add_watch(inotify_init1(0), ".", IN_CREATE) >= 0);
	check("huge reservation",
	      mmap(NULL, 1UL << 38, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) !=
		      MAP_FAILED);
	struct rlimit limit;
	check("limits", getrlimit(RLIMIT_NOFILE, &limit) == 0 && (limit.rlim_cur = 64, 1) &&
				setrlimit(RLIMIT_NOFILE, &limit) == 0);
	cpu_set_t processors;
	check("affinity", sched_getaffinity(0, sizeof processors, &processors) == 0 &&
				  sched_setaffinity(0, sizeof processors, &processors) == 0);
	check("priority", setpriority(PRIO_PROCESS, 0, 5) == 0 && getpriority(PRIO_PROCESS, 0) == 5);
	return 0;
}
