/*
 * A shared file system that does not answer: loaded before libc, it lets
 * openat() of matrix.json hang for as long as the file that HANG_WHILE names
 * is there. The file that HANG_SEEN names is made when it does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int open_late(int dir, const char *path, int flags, mode_t mode)
{
	const char *flag = getenv("HANG_WHILE"), *seen = getenv("HANG_SEEN");
	const struct timespec nap = { 0, 20 * 1000 * 1000 };

	while (flag && seen && strcmp(path, "matrix.json") == 0 &&
		syscall(SYS_faccessat, AT_FDCWD, flag, F_OK) == 0) {
		long fd = syscall(
			SYS_openat, AT_FDCWD, seen, O_CREAT | O_WRONLY, 0600);
		syscall(SYS_close, fd);
		nanosleep(&nap, NULL);
	}
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

#define HOOK(name)                                                             \
	int name(int dir, const char *path, int flags, ...)                    \
	{                                                                      \
		va_list ap;                                                    \
		va_start(ap, flags);                                           \
		mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;        \
		va_end(ap);                                                    \
		return open_late(dir, path, flags, mode);                      \
	}
HOOK(openat)
HOOK(openat64)
