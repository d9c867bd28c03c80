/*
 * Loaded before libc: dup2() fails for as long as the file that REFUSE_WHILE
 * names is there, and the monotonic clock is an hour later from when the file
 * that LATER_WHEN names is there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_there(const char *variable)
{
	const char *path = getenv(variable);

	return path && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

int dup2(int from, int to)
{
	if (is_there("REFUSE_WHILE")) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_dup3, from, to, 0);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int saved = errno;
	int rc = (int)syscall(SYS_clock_gettime, clock, ret);

	if (rc == 0 && clock == CLOCK_MONOTONIC && is_there("LATER_WHEN"))
		ret->tv_sec += 3600;
	if (rc == 0)
		errno = saved;
	return rc;
}
