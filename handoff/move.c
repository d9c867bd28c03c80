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

static void remove_file(int dirfd, struct mover *m)
{
	struct handoff h = { 0 };
	bool ours = handoff_look(dirfd, &h, NULL) == RC_OK &&
		text_eq(h.user_id, m->user_id);
	handoff_fini(&h);
	if (!ours)
		return;
	if ((unlinkat(dirfd, HANDOFF_FILE, 0) != 0 ||
		    (fsync(dirfd) != 0 && errno != EINVAL)) &&
		m->rc == RC_OK)
		m->rc = file_error(
			m->e, errno, HANDOFF_FILE ": cannot be removed");
}

/* One name in the root: a department, perhaps. */
static void look_into(int root, const char *name, void *arg)
{
	struct mover *m = arg;
	if (name[0] == '.' || text_eq(name, m->department))
		return;
	int middle = openat(root, name, LOOK);
	int fd = middle < 0 ? -1 : openat(middle, m->localpart, LOOK);
	if (fd >= 0)
		remove_file(fd, m);
	if (fd >= 0)
		close(fd);
	if (middle >= 0)
		close(middle);
}

enum rc handoff_remove_elsewhere(const char *root, const char *department,
	const char *localpart, const char *user_id, struct err *e)
{
	struct mover m = { .department =
				   department && *department ? department : "_",
		.localpart = localpart,
		.user_id = user_id,
		.rc = RC_OK,
		.e = e };
	int fd = -1;
	enum rc rc = handoff_name_ok("the agent", localpart, e);
	if (rc == RC_OK)
		rc = handoff_root_open(root, &fd, e);
	if (rc != RC_OK)
		return rc;
	rc = handoff_each_name(fd, look_into, &m, e);
	close(fd);
	return rc == RC_OK ? m.rc : rc;
}
