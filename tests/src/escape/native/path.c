#include "attempt.h"

#include <linux/fs.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

/* Exchanges two names until there is a file `raced`: who looks twice sees two things. */
static int exchange_long(const char *one, const char *other)
{
	int times = 0;
	while (access("raced", F_OK))
		if (renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0)
			times++;
	return !times;
}

/* Opens by a descriptor that may only name it. */
static int reopen(const char *path)
{
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", open(path, O_PATH));
	return through(open(name, O_RDONLY));
}

static int by_handle(const char *path)
{
	struct { struct file_handle handle; char bytes[128]; } as = {.handle.handle_bytes = 128};
	int mount;
	if (name_to_handle_at(AT_FDCWD, path, &as.handle, &mount, 0))
		return 1;
	return through(open_by_handle_at(AT_FDCWD, &as.handle, O_RDONLY));
}

static int flags_of(const char *path)
{
	long flags = 0;
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	return ioctl(fd, FS_IOC_GETFLAGS, &flags) || through(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

int with_path(const char *name, const char *path, const char *other)
{
	struct stat stat_of;
	if (IS("truncate"))
		return through(truncate(path, 1));
	if (IS("open-truncate"))
		return through(open(path, O_RDONLY | O_TRUNC));
	if (IS("attribute"))
		return through(setxattr(path, "user.evonic", "x", 1, 0));
	if (IS("remove-attribute"))
		return !(removexattr(path, "user.evonic") == 0 || errno == ENODATA);
	if (IS("list-attributes"))
		return through(listxattr(path, NULL, 0));
	if (IS("mode"))
		return through(syscall(452 /* fchmodat2 */, AT_FDCWD, path, 0644, 0)) && through(chmod(path, 0644));
	if (IS("times"))
		return through(utimensat(AT_FDCWD, path, (struct timespec[2]){{1, 0}, {1, 0}}, 0));
	if (IS("flags"))
		return flags_of(path);
	if (IS("handle"))
		return by_handle(path);
	if (IS("metadata"))
		return through(stat(path, &stat_of));
	if (IS("watch"))
		return through(inotify_add_watch(inotify_init1(0), path, IN_ALL_EVENTS));
	if (IS("temporary-file"))
		return through(open(path, O_TMPFILE | O_WRONLY, 0600));
	if (IS("reopen"))
		return reopen(path);
	if (IS("link-descriptor"))
		return through(linkat(open(path, O_PATH), "", AT_FDCWD, other, AT_EMPTY_PATH));
	if (IS("exchange"))
		return through(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE));
	if (IS("exchange-long"))
		return exchange_long(path, other);
	if (IS("lock"))
		return through(fcntl(open(path, O_RDWR), F_SETLK, &(struct flock){.l_type = F_WRLCK}));
	if (IS("type-into"))
		return through(ioctl(open(path, O_RDWR | O_NOCTTY), 0x5412 /* TIOCSTI */, "x"));
	if (IS("type-into-console"))
		return through(ioctl(open(path, O_RDWR | O_NOCTTY), 0x541c /* TIOCLINUX */, "\x03"));
	return 2;
}
