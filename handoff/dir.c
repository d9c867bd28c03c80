/*
 * The agent's directory: made for the service, opened for a look by both.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define LOOK (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static enum rc name_ok(const char *what, const char *name, struct err *e)
{
	if (*name && !strchr(name, '/') && !text_eq(name, ".") &&
		!text_eq(name, ".."))
		return RC_OK;
	return err_set(e, RC_INVALID,
		"%s \"%s\" cannot be the name of a directory", what, name);
}

static enum rc made_new(int parent, int fd, const char *name, struct err *e)
{
	/* fchmod: the umask is not asked; fsync: it survives a power cut. */
	if (fchmod(fd, 0755) == 0 && fsync(parent) == 0)
		return RC_OK;
	return err_set(e, RC_IO, "%s: %s", name, strerror(errno));
}

/* Opens the directory `name` in parent, making it when it is missing. */
static enum rc enter(int parent, const char *name, int *ret_fd, struct err *e)
{
	bool made = false;
	int fd = openat(parent, name, LOOK | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		made = mkdirat(parent, name, 0755) == 0;
		if (!made && errno != EEXIST)
			return err_set(e, RC_IO, "%s: cannot be made: %s", name,
				strerror(errno));
		fd = openat(parent, name, LOOK | O_NOFOLLOW);
	}
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return err_set(e, RC_IO,
			"%s: is a symbolic link or no directory: remove it",
			name);
	if (fd < 0)
		return err_set(e, RC_IO, "%s: %s", name, strerror(errno));
	enum rc rc = made ? made_new(parent, fd, name, e) : RC_OK;
	if (rc != RC_OK) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return RC_OK;
}

static bool owned_by(const struct stat *st, int64_t uid, int64_t gid)
{
	return (uid == -1 || st->st_uid == (uid_t)uid) &&
		(gid == -1 || st->st_gid == (gid_t)gid);
}

/* The agent writes its answers here, so the directory has to be its own. */
static enum rc own(int fd, int64_t uid, int64_t gid, struct err *e)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return err_set(e, RC_IO, "%s", strerror(errno));
	if (owned_by(&st, uid, gid))
		return RC_OK;
	/* Some file systems do as if. */
	if (fchown(fd, (uid_t)uid, (gid_t)gid) == 0 && fstat(fd, &st) == 0 &&
		owned_by(&st, uid, gid))
		return RC_OK;
	return err_set(e, RC_IO,
		"cannot be given to %lld:%lld: %s (" HANDOFF_OWNER_NEEDS ")",
		(long long)uid, (long long)gid, strerror(errno));
}

enum rc handoff_dir_make(const char *root, const char *department,
	const char *localpart, int64_t uid, int64_t gid, int *ret_fd,
	struct err *e)
{
	if (!department || !*department)
		department = "_";
	enum rc rc = name_ok("the department", department, e);
	if (rc == RC_OK)
		rc = name_ok("the agent", localpart, e);
	if (rc != RC_OK)
		return rc;

	int middle = -1, fd = -1;
	int top = open(root, LOOK);
	if (top < 0)
		return err_set(e, RC_IO,
			"%s: %s: make the hand-off root, or mount the shared "
			"file system there",
			root, strerror(errno));
	rc = enter(top, department, &middle, e);
	if (rc == RC_OK)
		rc = enter(middle, localpart, &fd, e);
	if (rc == RC_OK)
		rc = own(fd, uid, gid, e);
	if (rc == RC_OK) {
		*ret_fd = fd;
		fd = -1;
	} else {
		rc = err_wrap(e, rc, "%s/%s/%s", root, department, localpart);
	}
	if (fd >= 0)
		close(fd);
	if (middle >= 0)
		close(middle);
	close(top);
	return rc;
}

/*
 * NFS remembers that a name was not there, for up to a minute, until the
 * directory that should hold it is opened.
 */
static void open_parents(const char *path)
{
	char *part = strdup(path);
	if (!part)
		return;
	for (char *slash = part; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		int fd = open(part, LOOK);
		if (fd >= 0)
			close(fd);
		*slash = '/';
	}
	free(part);
}

enum rc handoff_dir_open(const char *path, int *ret_fd, struct err *e)
{
	int fd = open(path, LOOK | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		open_parents(path);
		fd = open(path, LOOK | O_NOFOLLOW);
	}
	if (fd >= 0) {
		*ret_fd = fd;
		return RC_OK;
	}
	if (errno == ENOENT)
		return err_set(e, RC_NOT_FOUND,
			"%s: the directory is not there", path);
	if (errno == ENOTDIR || errno == ELOOP)
		return err_set(e, RC_IO,
			"%s: is a symbolic link or no directory", path);
	return err_set(e, RC_IO, "%s: %s", path, strerror(errno));
}
