/*
 * base/file.c: whole files: read, replaced and locked.
 */
#include "base/file.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/secret.h"

#include "base/poison.h"

/* What to do about it, where that can be said. */
static const struct {
	int error;
	const char *what;
} advice[] = {
	{ ENOSPC, "make room on that file system" },
	{ EDQUOT, "make room there, or raise the quota" },
	{ EACCES, "give our user the right to it" },
	{ EPERM, "give our user the right to it" },
	{ EROFS, "mount that file system writable" },
	{ ESTALE,
		"it was replaced on its server; where this stays, mount it "
		"again" },
	{ EIO, "the disk or its server fails: the system's log has more" },
	{ ENOMEM, "the system is out of memory" },
	{ EMFILE, "raise the limit of open files" },
	{ ENFILE, "raise the system's limit of open files" },
	{ EISDIR, "remove the directory in its place" },
	{ ENOTDIR, "remove what is in its place, or name another" },
};

enum rc file_error(struct err *e, int error, const char *what, ...)
{
	char text[400], why[128];
	const char *todo = "";
	va_list ap;

	va_start(ap, what);
	int n = vsnprintf(text, sizeof(text), what, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		snprintf(text, sizeof(text), "a file with a long name");
	if (strerror_r(error, why, sizeof(why)) != 0)
		snprintf(why, sizeof(why), "error %d", error);
	for (size_t i = 0; i < ARRAY_LEN(advice); i++)
		if (advice[i].error == error)
			todo = advice[i].what;
	return err_set(e, error == ESTALE ? RC_STALE : RC_IO, "%s: %s%s%s",
		text, why, *todo ? ": " : "", todo);
}

static enum rc fail_open(struct err *e, const char *name, int error)
{
	if (error == ENOENT || error == ENOTDIR)
		return err_set(e, RC_NOT_FOUND, "%s does not exist", name);
	return file_error(e, error, "cannot open %s", name);
}

/* To the end of the file; a file may grow while it is read. */
static enum rc read_all(
	int fd, const char *path, struct buf *out, struct err *e)
{
	char chunk[16 * 1024];
	enum rc rc = RC_OK;

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = file_error(e, errno, "cannot read %s", path);
		if (n <= 0)
			break;
		buf_addn(out, chunk, (size_t)n);
		if (buf_rc(out) != RC_OK)
			break;
	}
	/* What was read may have been a token. */
	wipe(chunk, sizeof(chunk));
	return rc;
}

/* The whole of what is open, which is closed. */
static enum rc read_open(
	int fd, const char *path, struct buf *out, struct err *e)
{
	struct stat st;
	enum rc rc = RC_OK;

	if (fstat(fd, &st) != 0) {
		rc = file_error(e, errno, "cannot read %s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		rc = err_set(e, RC_INVALID, "%s is a %s, not a file", path,
			S_ISDIR(st.st_mode) ? "directory" : "special file");
		goto out;
	}
	rc = read_all(fd, path, out, e);
	if (rc == RC_OK && buf_rc(out) == RC_NOMEM)
		rc = err_nomem(e);
	else if (rc == RC_OK && buf_rc(out) != RC_OK)
		rc = err_set(e, RC_TOO_LARGE,
			"%s is too large: more than %zu bytes", path, out->max);
out:
	close(fd);
	return rc;
}

/* Not waiting for the other end, should it be a named pipe. */
#define READ_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK)

enum rc file_read(const char *path, struct buf *out, struct err *e)
{
	buf_clear(out);
	int fd = open(path, READ_FLAGS);
	if (fd < 0)
		return fail_open(e, path, errno);
	return read_open(fd, path, out, e);
}

/* By what is open, so that nobody puts another file in its place. */
static enum rc check_private(
	int fd, const char *path, mode_t most, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return file_error(e, errno, "cannot read %s", path);
	const bool roots = st.st_uid == 0 && geteuid() != 0;
	const mode_t more = st.st_mode & (S_IRWXG | S_IRWXO) & ~most &
		~(mode_t)(roots ? S_IRGRP : 0);
	if (!S_ISREG(st.st_mode) || !more)
		return RC_OK;
	return err_set(e, RC_INVALID,
		"%s can be %s by others (mode %04o): `chmod 600` it", path,
		more & (S_IRGRP | S_IROTH)           ? "read"
			: more & (S_IWGRP | S_IWOTH) ? "changed"
						     : "used",
		(unsigned)(st.st_mode & 07777));
}

static enum rc read_with_most(
	const char *path, mode_t most, struct buf *out, struct err *e)
{
	buf_clear(out);
	int fd = open(path, READ_FLAGS);
	if (fd < 0)
		return fail_open(e, path, errno);
	enum rc rc = check_private(fd, path, most, e);
	if (rc == RC_OK)
		return read_open(fd, path, out, e);
	close(fd);
	return rc;
}

enum rc file_read_private(const char *path, struct buf *out, struct err *e)
{
	return read_with_most(path, S_IRUSR | S_IWUSR, out, e);
}

enum rc file_check_private(const char *path, struct err *e)
{
	int fd = open(path, READ_FLAGS);
	if (fd < 0)
		return fail_open(e, path, errno);
	enum rc rc = check_private(fd, path, S_IRUSR | S_IWUSR, e);
	close(fd);
	return rc;
}

enum rc file_read_for_group(const char *path, struct buf *out, struct err *e)
{
	return read_with_most(path, S_IRUSR | S_IWUSR | S_IRGRP, out, e);
}

enum rc file_read_at(
	int dirfd, const char *name, struct buf *out, struct err *e)
{
	buf_clear(out);
	int fd = openat(dirfd, name, READ_FLAGS | O_NOFOLLOW);
	if (fd < 0 && errno == ELOOP)
		return err_set(e, RC_INVALID, "%s is a symbolic link", name);
	if (fd < 0)
		return fail_open(e, name, errno);
	return read_open(fd, name, out, e);
}

static enum rc write_all(
	int fd, const char *name, const void *p, size_t n, struct err *e)
{
	const char *bytes = p;

	while (n > 0) {
		ssize_t done = write(fd, bytes, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return file_error(e, errno, "cannot write %s", name);
		if (done == 0) /* it would go on so for ever */
			return file_error(e, ENOSPC, "cannot write %s", name);
		bytes += done;
		n -= (size_t)done;
	}
	return RC_OK;
}

struct owner {
	unsigned mode;
	int64_t uid, gid;
};

/* The mode and the owner first: once the bytes are in it, nobody who may not
 * read them can have it open. */
static enum rc fill(int fd, const char *name, const void *p, size_t n,
	const struct owner *o, bool sync, struct err *e)
{
	if (fchmod(fd, (mode_t)o->mode) != 0)
		return file_error(e, errno, "cannot set the mode of %s", name);
	if ((o->uid != -1 || o->gid != -1) &&
		fchown(fd, (uid_t)o->uid, (gid_t)o->gid) != 0)
		return file_error(e, errno, "cannot set the owner of %s", name);
	enum rc rc = write_all(fd, name, p, n, e);
	if (rc != RC_OK)
		return rc;
	if (sync && fsync(fd) != 0)
		return file_error(e, errno, "cannot write %s", name);
	return RC_OK;
}

#define RANDOM_BYTES ((size_t)8)
#define LEFT_OVER_S 60
#define RANDOM_HEX (2 * RANDOM_BYTES)

/* ".NAME.RANDOM" for the temporary file; it must not be guessable, nor be
 * left over from another run. */
static enum rc temp_name(
	const char *name, char *out, size_t room, struct err *e)
{
	unsigned char raw[RANDOM_BYTES];
	char hex[RANDOM_HEX + 1];

	if (!*name || strchr(name, '/'))
		return err_set(e, RC_INVALID,
			"\"%s\" is not the name of a file", name);
	if (random_bytes(raw, sizeof(raw)) != RC_OK)
		return err_set(e, RC_IO, "the system gives no random numbers");
	hex_encode(raw, sizeof(raw), hex);
	int n = snprintf(out, room, ".%s.%s", name, hex);
	if (n < 0 || (size_t)n >= room)
		return err_set(
			e, RC_INVALID, "the file name %s is too long", name);
	return RC_OK;
}

/* The temporary file for `name`, whole and (sync) on the disk; none on
 * failure. */
static enum rc make_temp(int dirfd, const char *temp, const char *name,
	const void *p, size_t n, const struct owner *o, bool sync,
	struct err *e)
{
	int fd = openat(dirfd, temp,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_set(e, RC_EXISTS, "%s is there already", name);
	if (fd < 0)
		return file_error(e, errno, "cannot write %s", name);
	enum rc rc = fill(fd, name, p, n, o, sync, e);
	/* A network file system may tell only here that it is full. */
	if (close(fd) != 0 && rc == RC_OK)
		rc = file_error(e, errno, "cannot write %s", name);
	if (rc != RC_OK)
		unlinkat(dirfd, temp, 0);
	return rc;
}

/* What makes the names of a directory last. */
static enum rc sync_dir(int dirfd, const char *name, struct err *e)
{
	/* EINVAL: a file system without directories to sync. */
	if (fsync(dirfd) != 0 && errno != EINVAL)
		return file_error(e, errno,
			"cannot make sure of the directory of %s", name);
	return RC_OK;
}

enum rc file_replace_at(int dirfd, const char *name, const void *p, size_t n,
	unsigned mode, int64_t uid, int64_t gid, struct err *e)
{
	const struct owner owner = { mode, uid, gid };
	char temp[NAME_MAX + 1];

	enum rc rc = temp_name(name, temp, sizeof(temp), e);
	if (rc == RC_OK)
		rc = make_temp(dirfd, temp, name, p, n, &owner, true, e);
	if (rc != RC_OK)
		return rc;
	if (renameat(dirfd, temp, dirfd, name) != 0) {
		rc = file_error(e, errno, "cannot replace %s", name);
		unlinkat(dirfd, temp, 0);
		return rc;
	}
	return sync_dir(dirfd, name, e);
}

enum rc file_try_at(int dirfd, const char *name, unsigned mode, int64_t uid,
	int64_t gid, struct err *e)
{
	/* A full disk may still have room for a name. Room for a block is found
	 * when it is written, or, over a network, when the file is closed. */
	static const char block[4096];
	const struct owner owner = { mode, uid, gid };
	char temp[NAME_MAX + 1];

	enum rc rc = temp_name(name, temp, sizeof(temp), e);
	if (rc == RC_OK)
		rc = make_temp(dirfd, temp, name, block, sizeof(block), &owner,
			false, e);
	if (rc != RC_OK)
		return rc;
	/* Somebody else may have put a pipe there by now. */
	int fd = openat(
		dirfd, temp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		rc = file_error(e, errno, "cannot read back %s", name);
	else
		close(fd);
	if (unlinkat(dirfd, temp, 0) != 0 && rc == RC_OK)
		rc = file_error(e, errno, "cannot replace %s", name);
	return rc;
}

enum rc file_clock_at(int dirfd, const char *name, time_t *ret, struct err *e)
{
	char temp[NAME_MAX + 1];
	struct stat st;

	enum rc rc = temp_name(name, temp, sizeof(temp), e);
	if (rc != RC_OK)
		return rc;
	int fd = openat(dirfd, temp,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return file_error(e, errno, "cannot write %s", name);
	if (fstat(fd, &st) == 0)
		*ret = st.st_mtime;
	else
		rc = file_error(e, errno, "cannot look at %s", name);
	close(fd);
	unlinkat(dirfd, temp, 0);
	return rc;
}

bool file_is_temporary(const char *name, struct str *of)
{
	size_t n = strlen(name);
	if (name[0] != '.' || n < RANDOM_HEX + 3 ||
		name[n - RANDOM_HEX - 1] != '.' ||
		strspn(name + n - RANDOM_HEX, "0123456789abcdef") != RANDOM_HEX)
		return false;
	*of = (struct str){ name + 1, n - RANDOM_HEX - 2 };
	return true;
}

bool file_is_left_over(int dirfd, const char *name, time_t now)
{
	struct stat st;
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISREG(st.st_mode) && st.st_mtime < now - LEFT_OVER_S;
}

struct cleaning {
	const char *name;
	time_t now; /* asked for by the first that is to be judged by it */
	bool asked;
};

static enum rc clean_one(
	int dirfd, const char *found, struct cleaning *c, struct err *e)
{
	struct str of;
	enum rc rc = RC_OK;

	if (!file_is_temporary(found, &of) || !str_eq(of, c->name))
		return RC_OK;
	if (!c->asked)
		rc = file_clock_at(dirfd, c->name, &c->now, e);
	if (rc != RC_OK)
		return rc;
	c->asked = true;
	if (!file_is_left_over(dirfd, found, c->now) ||
		unlinkat(dirfd, found, 0) == 0 || errno == ENOENT)
		return RC_OK;
	return file_error(e, errno, "cannot remove %s", found);
}

/* A name that comes while we read may come for ever. */
static enum rc clean(int dirfd, DIR *dir, const char *name, struct err *e)
{
	struct cleaning c = { .name = name };
	enum rc rc = RC_OK;

	for (size_t n = 0; rc == RC_OK && n < LIMIT_CLEANED_NAMES; n++) {
		const struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		rc = clean_one(dirfd, entry->d_name, &c, e);
	}
	return rc;
}

enum rc file_clean_at(int dirfd, const char *name, struct err *e)
{
	/* A descriptor of its own: reading moves its place. */
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		int why = errno;
		if (fd >= 0)
			close(fd);
		return file_error(
			e, why, "cannot read the directory of %s", name);
	}
	enum rc rc = clean(dirfd, dir, name, e);
	closedir(dir);
	return rc;
}

static enum rc create_at(int dirfd, const char *name, const void *p, size_t n,
	const struct owner *o, struct err *e)
{
	enum rc rc = make_temp(dirfd, name, name, p, n, o, true, e);
	return rc == RC_OK ? sync_dir(dirfd, name, e) : rc;
}

static enum rc write_file(const char *path, bool anew, const void *p, size_t n,
	const struct owner *o, struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *dir = path_dir(path);

	if (!dir)
		return err_nomem(e);
	enum rc rc = RC_OK;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		rc = fail_open(e, dir, errno);
		goto out;
	}
	rc = anew ? create_at(fd, name, p, n, o, e)
		  : file_replace_at(fd, name, p, n, o->mode, o->uid, o->gid, e);
	if (rc != RC_OK)
		err_wrap(e, rc, "%s", dir);
	close(fd);
out:
	free(dir);
	return rc;
}

enum rc file_replace(
	const char *path, const void *p, size_t n, unsigned mode, struct err *e)
{
	const struct owner owner = { mode, -1, -1 };
	return write_file(path, false, p, n, &owner, e);
}

enum rc file_replace_for_group(
	const char *path, const void *p, size_t n, int64_t gid, struct err *e)
{
	const struct owner owner = { 0640, -1, gid };
	return write_file(path, false, p, n, &owner, e);
}

enum rc file_create(
	const char *path, const void *p, size_t n, unsigned mode, struct err *e)
{
	const struct owner owner = { mode, -1, -1 };
	return write_file(path, true, p, n, &owner, e);
}

/* Who holds the lock: the first line of the file, without anything that would
 * do harm on a terminal. */
static void read_holder(int fd, char *out, size_t room)
{
	ssize_t n = pread(fd, out, room - 1, 0);
	size_t len = 0;

	while (n > 0 && len < (size_t)n && out[len] != '\n') {
		unsigned char c = (unsigned char)out[len];
		if (c < ' ' || c == 0x7F)
			out[len] = '?';
		len++;
	}
	out[len] = '\0';
}

static enum rc write_holder(
	int fd, const char *path, const char *holder, struct err *e)
{
	char line[256];

	snprintf(line, sizeof(line), "%.250s\n", holder);
	size_t len = strlen(line);
	if (ftruncate(fd, 0) != 0 || pwrite(fd, line, len, 0) != (ssize_t)len)
		return file_error(e, errno, "cannot write %s", path);
	return RC_OK;
}

/*
 * flock(2) and not fcntl(2): its lock belongs to the open file, so a second
 * open in our own process is refused too, and closing another descriptor of
 * the same file does not drop it.
 */
enum rc file_lock(
	const char *path, const char *holder, int *ret_fd, struct err *e)
{
	char who[200];
	enum rc rc = RC_OK;
	int locked;

	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_open(e, path, errno);
	do
		locked = flock(fd, LOCK_EX | LOCK_NB);
	while (locked != 0 && errno == EINTR);
	if (locked == 0) {
		rc = write_holder(fd, path, holder, e);
	} else if (errno == EWOULDBLOCK) {
		read_holder(fd, who, sizeof(who));
		rc = err_set(e, RC_BUSY, "%s is held by %s", path,
			who[0] ? who : "another process");
	} else {
		rc = file_error(e, errno, "cannot lock %s", path);
	}
	if (rc == RC_OK)
		*ret_fd = fd;
	else
		close(fd);
	return rc;
}
