/*
 * What is wrong with a hand-off as it lies there, by owners and modes alone.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define STICKY 01000 /* S_ISVTX, which POSIX has for directories in XSI only */

const char *handoff_finding_words(enum handoff_finding finding)
{
	static const char *const words[] = {
#define X(name, text) [HANDOFF_##name] = text,
		HANDOFF_FINDING_TABLE(X)
#undef X
	};
	return (size_t)finding < ARRAY_LEN(words) ? words[finding] : "";
}

static uint32_t when(bool found, enum handoff_finding finding)
{
	return found ? UINT32_C(1) << finding : 0;
}

static bool writable_by_others(const struct stat *st)
{
	return (st->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* Others may make a department of theirs, but not put it in the place of
 * another. */
static bool open_to_all(const struct stat *root)
{
	return (root->st_mode & S_IWOTH) && !(root->st_mode & STICKY);
}

static bool owned_by(const struct stat *st, int64_t uid, int64_t gid)
{
	return (uid == -1 || st->st_uid == (uid_t)uid) &&
		(gid == -1 || st->st_gid == (gid_t)gid);
}

/* What stat() says of the root, the department's directory and the agent's. */
struct seen {
	struct stat root, department, dir;
};

static enum rc look(int root, int dirfd, struct seen *s, struct err *e)
{
	/* The directory is below a department that was no link just now. */
	if (fstat(root, &s->root) != 0 || fstat(dirfd, &s->dir) != 0 ||
		fstatat(dirfd, "..", &s->department, 0) != 0)
		return file_error(e, errno, "its directory");
	return RC_OK;
}

static uint32_t inspect_dir(const struct seen *s, int64_t uid, int64_t gid)
{
	return when(s->dir.st_dev != s->root.st_dev, HANDOFF_DIR_DEVICE) |
		when(writable_by_others(&s->dir) ||
				writable_by_others(&s->department) ||
				open_to_all(&s->root),
			HANDOFF_DIR_WRITABLE) |
		when(!owned_by(&s->dir, uid, gid), HANDOFF_DIR_OWNER);
}

static uint32_t inspect_file(const struct stat *st, int64_t uid, int64_t gid)
{
	if (!S_ISREG(st->st_mode))
		return when(true, HANDOFF_FILE_KIND);
	return when((st->st_mode & 077) != 0, HANDOFF_FILE_VISIBLE) |
		when((st->st_mode & S_IRUSR) == 0, HANDOFF_FILE_UNREADABLE) |
		when(!owned_by(st, uid, gid), HANDOFF_FILE_OWNER) |
		when(st->st_nlink > 1, HANDOFF_FILE_LINKED);
}

bool handoff_is_private(int dirfd)
{
	struct stat st;
	return fstatat(dirfd, HANDOFF_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		(inspect_file(&st, -1, -1) &
			when(true, HANDOFF_FILE_VISIBLE)) == 0;
}

static enum rc inspect(int root, int dirfd, int64_t uid, int64_t gid,
	uint32_t *ret, struct err *e)
{
	struct seen s;
	struct stat file;
	enum rc rc = look(root, dirfd, &s, e);
	if (rc != RC_OK)
		return rc;
	uint32_t found = inspect_dir(&s, uid, gid);
	if (uid == -1)
		uid = (int64_t)s.dir.st_uid;
	if (fstatat(dirfd, HANDOFF_FILE, &file, AT_SYMLINK_NOFOLLOW) == 0)
		found |= inspect_file(&file, uid, gid);
	else if (errno == ENOENT)
		found |= when(true, HANDOFF_FILE_MISSING);
	else
		return file_error(e, errno, HANDOFF_FILE);
	*ret = found;
	return RC_OK;
}

static enum rc inspect_once(const char *path, int64_t uid, int64_t gid,
	uint32_t *ret, struct err *e)
{
	int root = -1, dirfd = -1;
	enum rc rc = handoff_find(path, &root, &dirfd, e);
	if (rc != RC_OK)
		return rc;
	rc = inspect(root, dirfd, uid, gid, ret, e);
	close(dirfd);
	close(root);
	return rc;
}

enum rc handoff_inspect(const char *path, int64_t uid, int64_t gid,
	uint32_t *ret, struct err *e)
{
	enum rc rc = inspect_once(path, uid, gid, ret, e);
	if (rc == RC_STALE)
		rc = inspect_once(path, uid, gid, ret, e);
	return rc;
}
