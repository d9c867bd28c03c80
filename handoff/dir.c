/*
 * The agent's directory: made for the service, opened for a look by both. Below
 * the root each component is opened on its own and never through a symbolic
 * link, which somebody may put there at any moment.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define LOOK (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

enum rc handoff_name_ok(const char *what, const char *name, struct err *e)
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
	if (fchmod(fd, 0755) != 0 || (fsync(parent) != 0 && errno != EINVAL))
		return file_error(e, errno, "%s: cannot be made", name);
	return RC_OK;
}

static enum rc not_entered(const char *name, int error, struct err *e)
{
	if (error == ENOTDIR || error == ELOOP)
		return err_set(e, RC_IO,
			"%s: is a symbolic link or no directory: remove it",
			name);
	return file_error(e, error, "%s", name);
}

/* Opens the directory `name` in parent, making it when it is missing. */
static enum rc enter(int parent, const char *name, int *ret_fd, struct err *e)
{
	bool made = false;
	int fd = openat(parent, name, LOOK | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		made = mkdirat(parent, name, 0755) == 0;
		if (!made && errno != EEXIST)
			return file_error(e, errno, "%s: cannot be made", name);
		fd = openat(parent, name, LOOK | O_NOFOLLOW);
	}
	if (fd < 0)
		return not_entered(name, errno, e);
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
		return file_error(e, errno, "cannot be looked at");
	if (owned_by(&st, uid, gid))
		return RC_OK;
	int error = fchown(fd, (uid_t)uid, (gid_t)gid) == 0 ? 0 : errno;
	/* Some file systems do as if. */
	if (error == 0 && fstat(fd, &st) == 0 && owned_by(&st, uid, gid))
		return RC_OK;
	if (error != 0 && error != EPERM)
		return file_error(e, error, "cannot be given to %lld:%lld",
			(long long)uid, (long long)gid);
	return err_set(e, RC_IO,
		"cannot be given to %lld:%lld: %s (" HANDOFF_OWNER_NEEDS ")",
		(long long)uid, (long long)gid,
		error ? strerror(error) : "its file system does not do it");
}

enum rc handoff_root_open(const char *root, int *ret_fd, struct err *e)
{
	int fd = open(root, LOOK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, RC_IO,
			"%s: %s: make the hand-off root, or mount the shared "
			"file system there",
			root, strerror(errno));
	if (fd < 0)
		return file_error(e, errno, "%s", root);
	*ret_fd = fd;
	return RC_OK;
}

static enum rc make_below(int top, const char *department,
	const char *localpart, const int64_t owner[2], int *ret_fd,
	struct err *e)
{
	int middle = -1, fd = -1;
	enum rc rc = enter(top, department, &middle, e);
	if (rc == RC_OK)
		rc = enter(middle, localpart, &fd, e);
	if (rc == RC_OK)
		rc = own(fd, owner[0], owner[1], e);
	if (rc == RC_OK)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	if (middle >= 0)
		close(middle);
	return rc;
}

static enum rc make_once(const char *root, const char *department,
	const char *localpart, const int64_t owner[2], int *ret_fd,
	struct err *e)
{
	int top = -1;
	enum rc rc = handoff_root_open(root, &top, e);
	if (rc != RC_OK)
		return rc;
	rc = make_below(top, department, localpart, owner, ret_fd, e);
	close(top);
	return rc == RC_OK
		? rc
		: err_wrap(e, rc, "%s/%s/%s", root, department, localpart);
}

enum rc handoff_dir_make(const char *root, const char *department,
	const char *localpart, int64_t uid, int64_t gid, int *ret_fd,
	struct err *e)
{
	const int64_t owner[2] = { uid, gid };
	if (!department || !*department)
		department = "_";
	enum rc rc = handoff_name_ok("the department", department, e);
	if (rc == RC_OK)
		rc = handoff_name_ok("the agent", localpart, e);
	if (rc == RC_OK)
		rc = make_once(root, department, localpart, owner, ret_fd, e);
	/* Once more from the root: what was opened there is gone. */
	if (rc == RC_STALE)
		rc = make_once(root, department, localpart, owner, ret_fd, e);
	return rc;
}

/* --- a look ---------------------------------------------------------------- */

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

static enum rc not_there(const char *path, struct err *e)
{
	return err_set(e, RC_NOT_FOUND, "%s: the directory is not there", path);
}

/* The agent's: it may have been told where a file is, with a token in it, which
 * nobody is to remove. */
static enum rc not_opened(const char *path, int error, struct err *e)
{
	if (error == ENOENT)
		return not_there(path, e);
	if (error == ENOTDIR || error == ELOOP)
		return err_set(e, RC_IO,
			"%s: is a symbolic link or no directory: name the "
			"agent's directory itself",
			path);
	return file_error(e, error, "%s", path);
}

enum rc handoff_dir_open(const char *path, int *ret_fd, struct err *e)
{
	int fd = open(path, LOOK | O_NOFOLLOW);
	if (fd < 0 && (errno == ENOENT || errno == ESTALE)) {
		open_parents(path);
		fd = open(path, LOOK | O_NOFOLLOW);
	}
	if (fd < 0)
		return not_opened(path, errno, e);
	*ret_fd = fd;
	return RC_OK;
}

/* A path of handoff_path(), in its parts: what *copy holds. */
struct parts {
	char *copy;
	const char *root, *department, *localpart;
};

/* Ends the copy at its last two slashes; false: there are none. */
static bool split(struct parts *p)
{
	char *last = strrchr(p->copy, '/');
	if (!last)
		return false;
	*last = '\0';
	char *middle = strrchr(p->copy, '/');
	if (!middle)
		return false;
	*middle = '\0';
	p->root = middle == p->copy ? "/" : p->copy;
	p->department = middle + 1;
	p->localpart = last + 1;
	return true;
}

static enum rc not_found(const char *name, int error, struct err *e)
{
	return error == ENOENT ? not_there(name, e)
			       : not_entered(name, error, e);
}

static enum rc find_below(
	int top, const struct parts *p, int *ret_fd, struct err *e)
{
	int middle = openat(top, p->department, LOOK | O_NOFOLLOW);
	if (middle < 0)
		return not_found(p->department, errno, e);
	int fd = openat(middle, p->localpart, LOOK | O_NOFOLLOW);
	int error = errno;
	close(middle);
	if (fd < 0)
		return not_found(p->localpart, error, e);
	*ret_fd = fd;
	return RC_OK;
}

static enum rc find_once(
	const struct parts *p, int *ret_root, int *ret_fd, struct err *e)
{
	int top = -1;
	enum rc rc = handoff_root_open(p->root, &top, e);
	if (rc != RC_OK)
		return rc;
	rc = find_below(top, p, ret_fd, e);
	if (rc != RC_OK)
		rc = err_wrap(e, rc, "%s", p->root);
	if (rc == RC_OK && ret_root)
		*ret_root = top;
	else
		close(top);
	return rc;
}

static enum rc find(
	const struct parts *p, int *ret_root, int *ret_fd, struct err *e)
{
	enum rc rc = handoff_name_ok("the department", p->department, e);
	if (rc == RC_OK)
		rc = handoff_name_ok("the agent", p->localpart, e);
	if (rc == RC_OK)
		rc = find_once(p, ret_root, ret_fd, e);
	if (rc == RC_STALE)
		rc = find_once(p, ret_root, ret_fd, e);
	return rc;
}

enum rc handoff_find(
	const char *path, int *ret_root, int *ret_fd, struct err *e)
{
	struct parts p = { .copy = strdup(path) };
	if (!p.copy)
		return err_nomem(e);
	enum rc rc = split(&p)
		? find(&p, ret_root, ret_fd, e)
		: err_set(e, RC_INVALID, "\"%s\" is no ROOT/DEPARTMENT/AGENT",
			  path);
	free(p.copy);
	return rc;
}

enum rc handoff_dir_find(const char *path, int *ret_fd, struct err *e)
{
	return handoff_find(path, NULL, ret_fd, e);
}
