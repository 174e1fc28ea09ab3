#include "attempt.h"

#include <sys/ptrace.h>
#include <sys/resource.h>

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

/* Stops it, and lets it go on. */
static int trace(int pid)
{
	if (ptrace(PTRACE_ATTACH, pid, 0, 0))
		return 1;
	waitpid(pid, NULL, __WALL);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	return through(kill(pid, SIGCONT));
}

int on_process(const char *name, int pid)
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
		return trace(pid);
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
	if (IS("pages-move"))
		return through(syscall(SYS_move_pages, pid, 0, NULL, NULL, NULL, 0));
	if (IS("enter"))
		return through(syscall(SYS_setns, syscall(SYS_pidfd_open, pid, 0), CLONE_NEWUSER | CLONE_NEWNS));
	if (IS("nice-of-group"))
		return through(syscall(SYS_setpriority, PRIO_PGRP, getpgid(pid), 0));
	if (IS("compare"))
		return through(syscall(SYS_kcmp, pid, getpid(), 2, 0, 0));
	return 2;
}
