#include "attempt.h"

#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

/* How many keys are guessed: more than an address has in an hour. */
#define GUESSES 250

static int address(struct sockaddr_un *to, const char *path)
{
	memset(to, 0, sizeof *to);
	to->sun_family = AF_UNIX;
	/* An @ at the beginning stands for the zero of an abstract name. */
	strncpy(to->sun_path, path, sizeof to->sun_path - 1);
	int abstract = path[0] == '@';
	if (abstract)
		to->sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + strlen(path) + !abstract;
}

/* Sends a line, and is through when the answer has the expected word in it. */
static int talk(int fd, const char *line, const char *wanted)
{
	char answer[4096] = {0};
	size_t length = 0;
	if (!line)
		return 0;
	struct timeval patience = {2, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		return 1;
	for (ssize_t more; length < sizeof answer - 1; length += more)
		if ((more = read(fd, answer + length, sizeof answer - 1 - length)) <= 0 || strstr(answer, wanted))
			break;
	return !strstr(answer, wanted);
}

static int connect_unix(const char *path, int type)
{
	struct sockaddr_un to;
	int length = address(&to, path), fd = socket(AF_UNIX, type, 0);
	return connect(fd, (void *)&to, length) ? -1 : fd;
}

/* Connects by a child that is gone when the connection is looked at: its pid is nobody's. */
static int connect_and_go(const char *path)
{
	struct sockaddr_un to;
	int length = address(&to, path), fd = socket(AF_UNIX, SOCK_STREAM, 0), status = 1;
	pid_t child = fork();
	if (child == 0)
		_exit(connect(fd, (void *)&to, length) != 0);
	waitpid(child, &status, 0);
	return status ? -1 : fd;
}

static int connect_tcp(const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return connect(fd, (void *)&to, sizeof to) ? -1 : fd;
}

/* Guesses keys until it is told to wait. */
static int guess_keys(const char *port)
{
	char request[512];
	for (int guess = 0; guess < GUESSES; guess++) {
		int fd = connect_tcp(port);
		snprintf(request, sizeof request,
			 "GET /api/v1/agents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer evk_%032d%064d\r\n\r\n", guess, guess);
		int told = fd >= 0 && !talk(fd, request, " 429 ");
		close(fd);
		if (told)
			return 0;
	}
	return 1;
}

static int share_port(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
	return bind(fd, (void *)&at, sizeof at) || through(listen(fd, 1));
}

int with_socket(const char *name, int count, char **argument)
{
	const char *to = argument[0], *line = count > 1 ? argument[1] : NULL, *wanted = count > 2 ? argument[2] : "";
	int fd = -1;
	if (IS("share-port"))
		return share_port(to);
	if (IS("guess-keys"))
		return guess_keys(to);
	if (IS("bind")) {
		struct sockaddr_un at;
		int length = address(&at, to);
		return through(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&at, length));
	}
	if (IS("connect"))
		fd = connect_unix(to, SOCK_STREAM);
	else if (IS("connect-packets"))
		fd = connect_unix(to, SOCK_SEQPACKET);
	else if (IS("connect-and-go"))
		fd = connect_and_go(to);
	else if (IS("tcp"))
		fd = connect_tcp(to);
	else
		return 2;
	return fd < 0 || talk(fd, line, wanted);
}

int victim(int count, char **paths)
{
	for (int at = 0; at < count; at++) {
		struct sockaddr_un here;
		int length = address(&here, paths[at]), fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(fd, (void *)&here, length) || listen(fd, 64))
			return 1;
		if (paths[at][0] != '@')
			chmod(paths[at], 0666);
	}
	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	if (terminal < 0 || grantpt(terminal) || unlockpt(terminal))
		return 1;
	printf("%s\n", ptsname(terminal));
	fflush(stdout);
	for (;;)
		pause();
}
