/*
 * One writer at a time. Between the look at what is there and the rename
 * another writer may have gone ahead, and its newer generation would be replaced
 * by ours. The lock is on a file of its own: one on the file itself would keep
 * it open, and NFS then replaces it in two steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define WAIT_MS 2000 /* a write takes some ten, also over a network */
#define PAUSE_MS 2
#define ATTEMPTS 5

static enum rc in_the_way(struct err *e)
{
	return err_set(e, RC_IO,
		HANDOFF_LOCK ": is no regular file, but in the place of our "
			     "lock: remove it");
}

/* Nothing is ever written to it: it may be another name of anything. */
static enum rc open_lock(int dirfd, int *ret_fd, struct err *e)
{
	struct stat st;
	/* What is no file is not even opened. */
	if (fstatat(dirfd, HANDOFF_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		!S_ISREG(st.st_mode))
		return in_the_way(e);
	int fd = openat(dirfd, HANDOFF_LOCK,
		O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
			O_CLOEXEC,
		0600);
	if (fd < 0)
		return file_error(e, errno,
			"cannot write " HANDOFF_FILE ": " HANDOFF_LOCK);
	enum rc rc = RC_OK;
	if (fstat(fd, &st) != 0)
		rc = file_error(e, errno, HANDOFF_LOCK);
	else if (!S_ISREG(st.st_mode))
		rc = in_the_way(e);
	if (rc == RC_OK)
		*ret_fd = fd;
	else
		close(fd);
	return rc;
}

/* Waiting by looking again: who holds it may never let go. */
static int take(int fd)
{
	const int64_t end = clock_mono_ms() + WAIT_MS;
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return errno;
		if (clock_mono_ms() >= end)
			return EWOULDBLOCK;
		clock_sleep_ms(PAUSE_MS);
	}
	return 0;
}

/* The lock of a file that was removed since it was opened excludes nobody. */
static bool is_the_one(int dirfd, int fd)
{
	struct stat named, held;
	return fstatat(dirfd, HANDOFF_LOCK, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		fstat(fd, &held) == 0 && named.st_ino == held.st_ino &&
		named.st_dev == held.st_dev;
}

/* RC_PENDING: it was the wrong one, try again. */
static enum rc lock_once(int dirfd, int *ret_fd, struct err *e)
{
	int fd = -1;
	enum rc rc = open_lock(dirfd, &fd, e);
	if (rc != RC_OK)
		return rc;
	int error = take(fd);
	if (error == 0 && is_the_one(dirfd, fd)) {
		*ret_fd = fd;
		return RC_OK;
	}
	close(fd);
	if (error == 0)
		return RC_PENDING;
	if (error == EWOULDBLOCK)
		return err_set(e, RC_BUSY,
			HANDOFF_FILE ": somebody else has kept " HANDOFF_LOCK
				     " locked: is there a second service with "
				     "this handoff.root?");
	/* A file system without locks has them for nobody. */
	*ret_fd = -1;
	return RC_OK;
}

enum rc handoff_lock(int dirfd, int *ret_fd, struct err *e)
{
	enum rc rc = RC_PENDING;
	for (int i = 0; i < ATTEMPTS && rc == RC_PENDING; i++)
		rc = lock_once(dirfd, ret_fd, e);
	if (rc == RC_PENDING)
		rc = err_set(e, RC_BUSY,
			HANDOFF_LOCK ": is removed and made again all the "
				     "time");
	return rc;
}
