/*
 * base/file.h: whole files: read one, replace one so that a reader sees the
 * old or the new and nothing between, lock one. Any thread, different files.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <time.h>

#include "base/buf.h"
#include "base/str.h"

/*
 * What an errno of the file system is: "WHAT: why: what to do". RC_STALE for
 * ESTALE, which goes when the directory is opened anew; else RC_IO.
 */
enum rc file_error(struct err *e, int error, const char *what, ...)
	PRINTF_LIKE(3, 4);

/* The whole of a regular file into out (out->max is the limit); RC_NOT_FOUND
 * when it does not exist, RC_TOO_LARGE over the limit; the text names it. */
MUST_CHECK enum rc file_read(const char *path, struct buf *out, struct err *e);
/*
 * The same of a file with a secret in it: RC_INVALID when others can read or
 * change it. A file of root's may be for a group, of which we are one.
 */
MUST_CHECK enum rc file_read_private(
	const char *path, struct buf *out, struct err *e);
/* Whether it could be read so, as far as others are concerned. */
MUST_CHECK enum rc file_check_private(const char *path, struct err *e);
/* The same of one that a group may read in any case. */
MUST_CHECK enum rc file_read_for_group(
	const char *path, struct buf *out, struct err *e);
/* As file_read(), of `name` in an open directory, when it is no symbolic link
 * (RC_INVALID). */
MUST_CHECK enum rc file_read_at(
	int dirfd, const char *name, struct buf *out, struct err *e);

/*
 * Replaces `name` in the open directory dirfd: an O_EXCL temporary file in the
 * same directory, mode (and owner, unless uid is -1) set before the content,
 * written, fsynced, closed with the result checked, renamed, directory
 * fsynced. On failure the temporary file is gone and the old file stays.
 */
MUST_CHECK enum rc file_replace_at(int dirfd, const char *name, const void *p,
	size_t n, unsigned mode, int64_t uid, int64_t gid, struct err *e);
/* Whether that would succeed with any small content, and be read again: does
 * all of it but the rename, and leaves nothing. */
MUST_CHECK enum rc file_try_at(int dirfd, const char *name, unsigned mode,
	int64_t uid, int64_t gid, struct err *e);
/* The time of the file system that dirfd is on, which may be another host's: by
 * a temporary file of `name` that is made and removed. */
MUST_CHECK enum rc file_clock_at(
	int dirfd, const char *name, time_t *ret, struct err *e);
/* The name is one of a temporary file as they are called here: *of is what it
 * was to become. */
bool file_is_temporary(const char *name, struct str *of);
/* Older than a minute, by such a time: whoever wrote it is dead by now. */
bool file_is_left_over(int dirfd, const char *name, time_t now);
/* Removes what writers of `name` that were killed have left beside it. */
MUST_CHECK enum rc file_clean_at(int dirfd, const char *name, struct err *e);
/* As file_replace_at() by path, owner untouched. */
MUST_CHECK enum rc file_replace(const char *path, const void *p, size_t n,
	unsigned mode, struct err *e);
/* The same with mode 0640 and this group, of which we have to be one. */
MUST_CHECK enum rc file_replace_for_group(
	const char *path, const void *p, size_t n, int64_t gid, struct err *e);

/* Makes a file where there is none: RC_EXISTS when anything has that name, also
 * a symbolic link to nothing. On failure no file of ours is there. */
MUST_CHECK enum rc file_create(const char *path, const void *p, size_t n,
	unsigned mode, struct err *e);

/* Makes the directory and its parents (with this mode less umask, existing ones
 * untouched). */
MUST_CHECK enum rc file_mkdirs(const char *path, unsigned mode, struct err *e);
/* The directory that a file is to be made in, likewise. */
MUST_CHECK enum rc file_mkdirs_of(
	const char *path, unsigned mode, struct err *e);

/*
 * Takes the lock on path (made if missing) without waiting, for the life of
 * the returned descriptor; `holder` (one line: who we are) is written into
 * it. RC_BUSY with the other side's line in e when it is held.
 */
MUST_CHECK enum rc file_lock(
	const char *path, const char *holder, int *ret_fd, struct err *e);

/* base joined with a relative path; an absolute path is copied. Free it. */
MUST_CHECK char *path_join(const char *base, const char *path);
/* The directory of a path ("." when it has none). Free it. */
MUST_CHECK char *path_dir(const char *path);

#endif
