/*
 * An agent that has moved to another department leaves a file behind.
 */
#include "handoff/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

#define LOOK (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

struct mover {
	const char *department, *localpart, *user_id;
	enum rc rc; /* of the first that could not be removed */
	struct err *e;
};

static void failed(struct mover *m, enum rc rc, const struct err *why)
{
	if (m->rc == RC_OK)
		m->rc = err_set(m->e, rc, "%s", why->text);
}

static void remove_file(int dirfd, struct mover *m)
{
	struct handoff h = { 0 };
	struct err why = { 0 };
	enum rc rc = handoff_look(dirfd, &h, &why);
	const bool ours = rc == RC_OK && text_eq(h.user_id, m->user_id);
	handoff_fini(&h);
	if (ours &&
		(unlinkat(dirfd, HANDOFF_FILE, 0) != 0 ||
			(fsync(dirfd) != 0 && errno != EINVAL)))
		rc = file_error(
			&why, errno, HANDOFF_FILE ": cannot be removed");
	/* What holds nothing of ours may be anything else. */
	if (rc == RC_IO || rc == RC_STALE)
		failed(m, rc, &why);
}

/* Opens a directory that may be something else, or not for us: -1. */
static int enter(int parent, const char *name, struct mover *m)
{
	struct err why = { 0 };
	int fd = openat(parent, name, LOOK);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP &&
		errno != EACCES) {
		enum rc rc = file_error(&why, errno, "%s", name);
		failed(m, rc, &why);
	}
	return fd;
}

/* One name in the root: a department, perhaps. */
static void look_into(int root, const char *name, void *arg)
{
	struct mover *m = arg;
	if (name[0] == '.' || text_eq(name, m->department))
		return;
	int middle = enter(root, name, m);
	int fd = middle < 0 ? -1 : enter(middle, m->localpart, m);
	if (fd >= 0)
		remove_file(fd, m);
	if (fd >= 0)
		close(fd);
	if (middle >= 0)
		close(middle);
}

static enum rc remove_once(const char *root, struct mover *m)
{
	int fd = -1;
	enum rc rc = handoff_root_open(root, &fd, m->e);
	if (rc != RC_OK)
		return rc;
	m->rc = RC_OK;
	rc = handoff_each_name(fd, look_into, m, m->e);
	close(fd);
	return rc == RC_OK ? m->rc : rc;
}

enum rc handoff_remove_elsewhere(const char *root, const char *department,
	const char *localpart, const char *user_id, struct err *e)
{
	struct mover m = { .department =
				   department && *department ? department : "_",
		.localpart = localpart,
		.user_id = user_id,
		.e = e };
	enum rc rc = handoff_name_ok("the agent", localpart, e);
	if (rc == RC_OK)
		rc = remove_once(root, &m);
	if (rc == RC_STALE)
		rc = remove_once(root, &m);
	return rc;
}
