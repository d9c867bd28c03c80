/*
 * A shared file system that does not answer: loaded before libc, it lets
 * openat() and mkdir() of what HANG_AT names (the end of a path) hang for as
 * long as the file that HANG_WHILE names is there. The file that HANG_SEEN
 * names is made when one does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int ends_with(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n >= m && strcmp(path + n - m, end) == 0;
}

static void hang(const char *path)
{
	const char *at = getenv("HANG_AT"), *flag = getenv("HANG_WHILE"),
		   *seen = getenv("HANG_SEEN");
	const struct timespec nap = { 0, 20 * 1000 * 1000 };

	while (at && flag && seen && ends_with(path, at) &&
		syscall(SYS_faccessat, AT_FDCWD, flag, F_OK) == 0) {
		long fd = syscall(
			SYS_openat, AT_FDCWD, seen, O_CREAT | O_WRONLY, 0600);
		syscall(SYS_close, fd);
		nanosleep(&nap, NULL);
	}
}

int mkdir(const char *path, mode_t mode)
{
	hang(path);
	return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

#define HOOK(name)                                                             \
	int name(int dir, const char *path, int flags, ...)                    \
	{                                                                      \
		va_list ap;                                                    \
		va_start(ap, flags);                                           \
		mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;        \
		va_end(ap);                                                    \
		hang(path);                                                    \
		return (int)syscall(SYS_openat, dir, path, flags, mode);       \
	}
HOOK(openat)
HOOK(openat64)
