/*
 * Whose files there are below a root: every directory that may be an agent's.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define LOOK (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

struct walk {
	handoff_visit_place *visit;
	void *arg;
	struct handoff_place at;
	size_t left; /* so many names are still looked at */
};

/* Of an agent, perhaps. */
static void in_department(int dirfd, const char *name, void *arg)
{
	struct walk *k = arg;
	if (name[0] == '.' || k->left == 0)
		return;
	k->left--;
	k->at.dirfd = dirfd;
	k->at.localpart = name;
	k->visit(&k->at, k->arg);
}

/* One name in the root: a department, perhaps. What cannot be looked into has
 * no agents that anybody could read. */
static void in_root(int root, const char *name, void *arg)
{
	struct walk *k = arg;
	if (name[0] == '.' || k->left == 0)
		return;
	k->left--;
	int fd = openat(root, name, LOOK | O_NOFOLLOW);
	if (fd < 0)
		return;
	k->at.department = text_eq(name, "_") ? NULL : name;
	(void)!handoff_each_name(fd, in_department, k, NULL);
	close(fd);
}

enum rc handoff_each_place(const char *root, size_t most,
	handoff_visit_place *visit, void *arg, struct err *e)
{
	struct walk k = { .visit = visit, .arg = arg, .left = most };
	int fd = open(root, LOOK);
	if (fd < 0)
		return err_set(e, RC_IO, "%s: %s", root, strerror(errno));
	enum rc rc = handoff_each_name(fd, in_root, &k, e);
	close(fd);
	return rc == RC_OK ? rc : err_wrap(e, rc, "%s", root);
}

enum rc handoff_place_look(
	const struct handoff_place *at, struct handoff *ret, struct err *e)
{
	int fd = openat(at->dirfd, at->localpart, LOOK | O_NOFOLLOW);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return err_set(
			e, RC_NOT_FOUND, "%s: is no directory", at->localpart);
	if (fd < 0)
		return err_set(
			e, RC_IO, "%s: %s", at->localpart, strerror(errno));
	enum rc rc = handoff_look(fd, ret, e);
	close(fd);
	return rc;
}

enum rc handoff_root_device(const char *root, uint64_t *ret, struct err *e)
{
	struct stat st;
	int fd = -1;
	enum rc rc = handoff_root_open(root, &fd, e);
	if (rc != RC_OK)
		return rc;
	if (fstat(fd, &st) == 0)
		*ret = (uint64_t)st.st_dev;
	else
		rc = file_error(e, errno, "%s", root);
	close(fd);
	return rc;
}
