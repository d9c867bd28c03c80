/*
 * The private directory of a token that is in no file of the program's own: one
 * that only we can enter, locked for as long as we live. Whoever was killed has
 * left one that is not, with a token in it; the next one removes that. The lock
 * is one of flock(2), which goes with the process; where a file system has none
 * for directories, nothing is taken for left over.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/ways_priv.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define NAME "muster-agent."
#define RANDOM 6 /* of mkdtemp(3) */
#define TRIES 16 /* one that is swept before it is locked */

static const char *base_dir(size_t i)
{
	/* Memory before disk. */
	const char *const in[SCRATCH_BASES] = { getenv("TMPDIR"), "/dev/shm",
		"/tmp" };
	return in[i] && *in[i] ? in[i] : NULL;
}

static int open_dir(int at, const char *name, int flags)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
}

/* --- one of our own --------------------------------------------------- */

static bool is_there(const char *path, int fd)
{
	struct stat ours, there;
	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
		ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Holds the directory; -1: a sweeper has it, or had. */
static int hold(const char *dir)
{
	int fd = open_dir(AT_FDCWD, dir, O_NOFOLLOW);
	if (fd < 0)
		return -1;
	const bool swept =
		flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	if (!swept && is_there(dir, fd))
		return fd;
	close(fd);
	return -1;
}

static char *make_in(const char *base, int *ret_fd)
{
	for (int i = 0; i < TRIES; i++) {
		char *dir = path_join(base, NAME "XXXXXX");
		if (!dir || !mkdtemp(dir)) {
			free(dir);
			return NULL;
		}
		*ret_fd = hold(dir);
		if (*ret_fd >= 0)
			return dir;
		rmdir(dir); /* where it could not be opened */
		free(dir);
	}
	return NULL;
}

char *scratch_new(int *ret_fd)
{
	char *dir = NULL;
	for (size_t i = 0; !dir && i < SCRATCH_BASES; i++)
		if (base_dir(i))
			dir = make_in(base_dir(i), ret_fd);
	return dir;
}

/* --- those of others that are gone ------------------------------------ */

static bool has_our_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	return text_starts(name, NAME) &&
		strlen(name + strlen(NAME)) == RANDOM &&
		strspn(name + strlen(NAME), letters) == RANDOM;
}

/* The token, or what was to become it. */
static bool is_token(int dirfd, const char *name)
{
	struct stat st;
	struct str of;
	return (text_eq(name, SCRATCH_FILE) ||
		       (file_is_temporary(name, &of) &&
			       str_eq(of, SCRATCH_FILE))) &&
		fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

/* Everything in it is ours; and then it goes, where that is wanted. */
static bool each_token(DIR *dir, bool remove)
{
	bool ok = true;
	rewinddir(dir);
	for (size_t n = 0; ok && n < LIMIT_CLEANED_NAMES; n++) {
		const struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		const char *name = entry->d_name;
		if (text_eq(name, ".") || text_eq(name, ".."))
			continue;
		ok = is_token(dirfd(dir), name) &&
			(!remove || unlinkat(dirfd(dir), name, 0) == 0);
	}
	return ok;
}

/* A directory as we make them, and nobody has it. */
static bool is_left_over(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
		(st.st_mode & 07777) == 0700 &&
		flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* True when it is gone. */
static bool sweep_one(int base, const char *name)
{
	int fd = open_dir(base, name, O_NOFOLLOW);
	if (fd < 0)
		return false;
	DIR *dir = is_left_over(fd) ? fdopendir(fd) : NULL;
	if (!dir) {
		close(fd);
		return false;
	}
	const bool gone = each_token(dir, false) && each_token(dir, true) &&
		unlinkat(base, name, AT_REMOVEDIR) == 0;
	closedir(dir);
	return gone;
}

static void sweep_in(const char *base)
{
	int fd = open_dir(AT_FDCWD, base, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (size_t n = 0; n < LIMIT_CLEANED_NAMES; n++) {
		const struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		if (has_our_name(entry->d_name) &&
			sweep_one(dirfd(dir), entry->d_name))
			say("removed %s/%s, which a muster-agent that was "
			    "killed has left",
				base, entry->d_name);
	}
	closedir(dir);
}

void scratch_sweep(void)
{
	for (size_t i = 0; i < SCRATCH_BASES; i++)
		if (base_dir(i))
			sweep_in(base_dir(i));
}
