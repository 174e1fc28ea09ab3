/* Attempts that need a system call of their own: `native NAME [ARGUMENTS]` exits with 0 when it got
 * through. Linked statically: it runs on machines without a compiler or an interpreter. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define IS(text) (!strcmp(name, text))

static int through(long result) { return result < 0; }

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

/* What a command cannot look into, it should not be able to read: its memory, by where `main` is. */
static int memory_of(int pid)
{
	char path[64], line[256];
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	if (open(path, O_RDWR) >= 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	return !(maps && fgets(line, sizeof line, maps));
}

static int on_process(const char *name, int pid)
{
	if (IS("signal"))
		return through(kill(pid, SIGCONT));
	if (IS("signal-thread"))
		return through(syscall(SYS_tgkill, pid, pid, SIGCONT));
	if (IS("signal-queue")) {
		siginfo_t info = {.si_signo = SIGCONT, .si_code = SI_QUEUE};
		return through(syscall(SYS_rt_sigqueueinfo, pid, SIGCONT, &info));
	}
	if (IS("signal-by-descriptor")) {
		int fd = syscall(SYS_pidfd_open, pid, 0);
		return through(syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0));
	}
	if (IS("descriptor-of")) {
		int fd = syscall(SYS_pidfd_open, pid, 0);
		for (int other = 0; other < 64; other++)
			if (syscall(SYS_pidfd_getfd, fd, other, 0) >= 0)
				return 0;
		return 1;
	}
	if (IS("limit")) {
		struct rlimit limit;
		if (syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, NULL, &limit))
			return 1;
		return through(syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, &limit, NULL));
	}
	if (IS("nice"))
		return through(syscall(SYS_setpriority, PRIO_PROCESS, pid, 0));
	if (IS("io-priority"))
		return through(syscall(SYS_ioprio_set, 1, pid, (2 << 13) | 4));
	if (IS("affinity")) {
		unsigned long cpus[16];
		long length = syscall(SYS_sched_getaffinity, pid, sizeof cpus, cpus);
		return length < 0 || through(syscall(SYS_sched_setaffinity, pid, length, cpus));
	}
	if (IS("scheduler")) {
		struct sched_param none = {0};
		return through(syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &none));
	}
	if (IS("scheduler-parameters")) {
		struct sched_param none = {0};
		return through(syscall(SYS_sched_setparam, pid, &none));
	}
	if (IS("scheduler-attributes")) {
		struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t rest[3]; } as = {.size = 48};
		return through(syscall(SYS_sched_setattr, pid, &as, 0));
	}
	if (IS("trace"))
		return through(ptrace(PTRACE_ATTACH, pid, 0, 0));
	if (IS("seize"))
		return through(ptrace(PTRACE_SEIZE, pid, 0, 0));
	if (IS("memory"))
		return memory_of(pid);
	if (IS("memory-read") || IS("memory-write")) {
		/* The system call looks at the right before it looks at the address. */
		char byte;
		struct iovec here = {&byte, 1}, there = {(void *)4096, 1};
		long number = IS("memory-read") ? SYS_process_vm_readv : SYS_process_vm_writev;
		long moved = syscall(number, pid, &here, 1, &there, 1, 0);
		return !(moved > 0 || errno == EFAULT);
	}
	if (IS("memory-advice")) {
		int fd = syscall(SYS_pidfd_open, pid, 0);
		struct iovec there = {(void *)4096, 4096};
		long advised = syscall(SYS_process_madvise, fd, &there, 1, 20 /* MADV_COLD */, 0);
		return !(advised >= 0 || errno == ENOMEM);
	}
	if (IS("memory-move")) {
		unsigned long nodes = 1;
		return through(syscall(SYS_migrate_pages, pid, 8, &nodes, &nodes));
	}
	if (IS("compare"))
		return through(syscall(SYS_kcmp, pid, getpid(), 2, 0, 0));
	return 2;
}

static int spawn_in(unsigned long flags)
{
	long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (child == 0)
		_exit(0);
	return through(child);
}

static int with_clone3(unsigned long flags)
{
	struct { uint64_t flags, pidfd, child, parent, signal, rest[6]; } as = {.flags = flags, .signal = SIGCHLD};
	long child = syscall(SYS_clone3, &as, 88);
	if (child == 0)
		_exit(0);
	return through(child);
}

/* In a child: a call that is not there at all may end it. */
static int in_child(long (*call)(void))
{
	int status = 0;
	pid_t child = fork();
	if (child == 0)
		_exit(call() < 0);
	waitpid(child, &status, 0);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#ifdef __x86_64__
static long by_int80(long number, long first)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	return result;
}
static long int80_keyctl(void) { return by_int80(288, 0); }
static long int80_unshare(void) { return by_int80(310, CLONE_NEWUSER); }
static long int80_getpid(void) { return by_int80(20, 0); }
static long x32_keyctl(void) { return syscall(0x40000000 + SYS_keyctl, 0, -3, 0); }
static long x32_unshare(void) { return syscall(0x40000000 + SYS_unshare, CLONE_NEWUSER); }
#endif

static int in_kernel(const char *name)
{
	static const struct { const char *name; unsigned long flag; } kinds[] = {
		{"user", CLONE_NEWUSER}, {"mount", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET},
		{"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80},
	};
	char buffer[4096] = {0};
	for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
		if (!strncmp(name, "unshare-", 8) && !strcmp(name + 8, kinds[kind].name))
			return through(syscall(SYS_unshare, kinds[kind].flag));
		if (!strncmp(name, "clone-", 6) && !strcmp(name + 6, kinds[kind].name))
			return spawn_in(CLONE_NEWUSER | kinds[kind].flag);
		if (!strncmp(name, "setns-", 6) && !strcmp(name + 6, kinds[kind].name)) {
			snprintf(buffer, sizeof buffer, "/proc/self/ns/%s", strcmp(name + 6, "mount") ? name + 6 : "mnt");
			return through(syscall(SYS_setns, open(buffer, O_RDONLY), 0));
		}
	}
	if (IS("clone3"))
		return with_clone3(CLONE_NEWUSER);
	if (IS("mount"))
		return through(mount("none", "/tmp", "tmpfs", 0, NULL));
	if (IS("bind-mount"))
		return through(mount("/", "/tmp", NULL, MS_BIND, NULL));
	if (IS("remount"))
		return through(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
	if (IS("unmount"))
		return through(umount2("/proc", MNT_DETACH));
	if (IS("open-tree"))
		return through(syscall(428, AT_FDCWD, "/", 1));
	if (IS("new-filesystem"))
		return through(syscall(430, "tmpfs", 0));
	if (IS("mount-attributes")) {
		uint64_t attributes[4] = {1};
		return through(syscall(442, AT_FDCWD, "/proc", 0, attributes, sizeof attributes));
	}
	if (IS("pivot-root"))
		return through(syscall(SYS_pivot_root, ".", "."));
	if (IS("chroot"))
		return through(chroot("."));
	if (IS("bpf"))
		return through(syscall(SYS_bpf, 0, (uint32_t[16]){2, 4, 4, 1}, 64));
	if (IS("perf"))
		return through(syscall(SYS_perf_event_open, (uint32_t[32]){1, 128}, 0, -1, -1, 0));
	if (IS("keyctl"))
		return through(syscall(SYS_keyctl, 0, -3, 0));
	if (IS("add-key"))
		return through(syscall(SYS_add_key, "user", "x", "x", 1, -3));
	if (IS("request-key"))
		return !(syscall(SYS_request_key, "user", "x", NULL, 0) >= 0 || errno == ENOKEY);
	if (IS("io-uring"))
		return through(syscall(SYS_io_uring_setup, 4, buffer));
	if (IS("page-faults"))
		return through(syscall(SYS_userfaultfd, 1 /* of this program alone */));
	if (IS("watch-files"))
		return through(syscall(SYS_fanotify_init, 0, O_RDONLY));
	if (IS("kernel-log"))
		return through(syscall(SYS_syslog, 5, NULL, 0));
	if (IS("load-module"))
		return through(syscall(SYS_init_module, buffer, 1, ""));
	if (IS("new-kernel"))
		return through(syscall(SYS_kexec_load, 0, 0, NULL, 0));
	if (IS("reboot"))
		return through(syscall(SYS_reboot, 0xfee1dead, 672274793, 0 /* whether keys do it */, NULL));
	if (IS("clock"))
		return through(syscall(SYS_settimeofday, (long[2]){1, 0}, NULL));
	if (IS("host-name"))
		return through(sethostname("x", 1));
	if (IS("swap"))
		return through(syscall(SYS_swapoff, "/"));
	if (IS("accounting"))
		return through(syscall(SYS_acct, NULL));
	if (IS("quota"))
		return through(syscall(SYS_quotactl, 0x800008 << 8, NULL, 0, NULL));
	if (IS("become-root"))
		return through(setuid(0));
	if (IS("become-group"))
		return through(setgid(0));
	if (IS("groups"))
		return through(syscall(SYS_setgroups, 1, (gid_t[]){0}));
	if (IS("raise-limit")) {
		struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
		return through(setrlimit(RLIMIT_CORE, &most)) && through(setrlimit(RLIMIT_NPROC, &most));
	}
	if (IS("packets"))
		return through(socket(AF_PACKET, SOCK_RAW, 0));
	if (IS("raw-socket"))
		return through(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	if (IS("descriptors")) {
		struct stat stat;
		for (int fd = 3; fd < 4096; fd++)
			if (!fstat(fd, &stat))
				return 0;
		return 1;
	}
#ifdef __x86_64__
	if (IS("ports"))
		return through(syscall(SYS_iopl, 3)) && through(syscall(SYS_ioperm, 0x80, 1, 1));
	if (IS("int80"))
		return in_child(int80_getpid);
	if (IS("int80-keyctl"))
		return in_child(int80_keyctl);
	if (IS("int80-unshare"))
		return in_child(int80_unshare);
	if (IS("x32-keyctl"))
		return in_child(x32_keyctl);
	if (IS("x32-unshare"))
		return in_child(x32_unshare);
#endif
	return 2;
}

/* Connects; with a line, sends it and is through when the answer has the expected word in it. */
static int talk(int fd, const char *line, const char *wanted)
{
	char answer[4096] = {0};
	size_t length = 0;
	if (!line)
		return 0;
	struct timeval patience = {2, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (write(fd, line, strlen(line)) < 0)
		return 1;
	for (ssize_t more; length < sizeof answer - 1; length += more)
		if ((more = read(fd, answer + length, sizeof answer - 1 - length)) <= 0 || strstr(answer, wanted))
			break;
	return !strstr(answer, wanted);
}

static int with_path(const char *name, int count, char **argument)
{
	const char *path = argument[0];
	if (IS("truncate"))
		return through(truncate(path, 1));
	if (IS("attribute"))
		return through(setxattr(path, "user.evonic", "x", 1, 0));
	if (IS("flags")) {
		long flags = 0;
		int fd = open(path, O_RDONLY | O_NONBLOCK);
		return ioctl(fd, FS_IOC_GETFLAGS, &flags) || through(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	}
	if (IS("handle")) {
		struct { struct file_handle handle; char bytes[128]; } as = {.handle.handle_bytes = 128};
		int mount;
		if (name_to_handle_at(AT_FDCWD, path, &as.handle, &mount, 0))
			return 1;
		return through(open_by_handle_at(AT_FDCWD, &as.handle, O_RDONLY));
	}
	if (IS("type-into")) {
		int fd = open(path, O_RDWR | O_NOCTTY);
		return through(ioctl(fd, TIOCSTI, "x"));
	}
	if (IS("type-into-console"))
		return through(ioctl(open(path, O_RDWR | O_NOCTTY), 0x541c, "\x03"));
	if (IS("connect") || IS("connect-packets") || IS("bind")) {
		struct sockaddr_un to;
		int length = address(&to, path);
		int fd = socket(AF_UNIX, IS("connect-packets") ? SOCK_SEQPACKET : SOCK_STREAM, 0);
		if (IS("bind"))
			return through(bind(fd, (void *)&to, length));
		return connect(fd, (void *)&to, length) ||
		       talk(fd, count > 1 ? argument[1] : NULL, count > 2 ? argument[2] : "");
	}
	if (IS("share-port") || IS("tcp")) {
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(path)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
		if (IS("tcp"))
			return connect(fd, (void *)&to, sizeof to) ||
			       talk(fd, count > 1 ? argument[1] : NULL, count > 2 ? argument[2] : "");
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
		return bind(fd, (void *)&to, sizeof to) || through(listen(fd, 1));
	}
	return 2;
}

/* Holds what attempts are made on: sockets, and a terminal. Says the terminal's name, and waits. */
static int victim(int count, char **paths)
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

int main(int count, char **arguments)
{
	if (count < 2)
		return 2;
	const char *name = arguments[1];
	if (IS("landlock"))
		return !(printf("%ld\n", syscall(444, NULL, 0, 1)) > 0);
	if (IS("victim"))
		return victim(count - 2, arguments + 2);
	/* What it tries would work as root, and is not taken back. */
	if (geteuid() == 0)
		return 2;
	if (IS("process") && count > 3)
		return on_process(arguments[2], atoi(arguments[3]));
	if (IS("kernel") && count > 2)
		return in_kernel(arguments[2]);
	if (count > 2)
		return with_path(name, count - 2, arguments + 2);
	return 2;
}
