#include "attempt.h"

#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/resource.h>

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
static long by_int80(long number, long first, long second)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	return result;
}
static long int80_keyctl(void) { return by_int80(288, 0, -3); }
static long int80_unshare(void) { return by_int80(310, CLONE_NEWUSER, 0); }
static long int80_getpid(void) { return by_int80(20, 0, 0); }
static long x32_keyctl(void) { return syscall(0x40000000 + SYS_keyctl, 0, -3, 0); }
static long x32_unshare(void) { return syscall(0x40000000 + SYS_unshare, CLONE_NEWUSER); }
#endif

int in_kernel(const char *name)
{
	static const struct { const char *name; unsigned long flag; } kinds[] = {
		{"user", CLONE_NEWUSER}, {"mount", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET},
		{"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80},
	};
	char buffer[4096] = {0};
	for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
		if (!strncmp(name, "unshare-", 8) && !strcmp(name + 8, kinds[kind].name))
			return through(syscall(SYS_unshare, CLONE_NEWUSER | kinds[kind].flag));
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
