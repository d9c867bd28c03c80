/*
 * The names in an agent's directory: how ours are made, and known again among
 * whatever else lies there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "handoff/handoff_priv.h"

#include "base/poison.h"

static const char *const kinds[] = { HANDOFF_ACK, HANDOFF_ROTATE,
	HANDOFF_PAUSED };

void handoff_name(
	const char *kind, int64_t generation, char out[HANDOFF_NAME_MAX])
{
	snprintf(
		out, HANDOFF_NAME_MAX, "%s.%" PRId64 ".json", kind, generation);
}

int64_t handoff_name_generation(struct str name, struct str *kind)
{
	*kind = str_cut(&name, '.', NULL);
	struct str number = str_cut(&name, '.', NULL);
	int64_t generation;
	if (!str_eq(name, "json") ||
		!str_i64(number, 1, JSON_INT_MAX, &generation))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(*kind, kinds[i]))
			return generation;
	return 0;
}

static enum rc read_names(
	DIR *dir, handoff_visit *visit, void *arg, struct err *e)
{
	for (size_t n = 0; n < LIMIT_HANDOFF_NAMES; n++) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return errno ? file_error(e, errno, "its names")
				     : RC_OK;
		visit(dirfd(dir), entry->d_name, arg);
	}
	return err_set(e, RC_TOO_LARGE,
		"there are more than %d names in it: remove those that are "
		"not ours",
		LIMIT_HANDOFF_NAMES);
}

enum rc handoff_each_name(
	int dirfd, handoff_visit *visit, void *arg, struct err *e)
{
	/* A descriptor of its own: reading moves its place, closedir() ends
	 * it. */
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int why = errno;
		if (fd >= 0)
			close(fd);
		return file_error(e, why, "its names");
	}
	enum rc rc = read_names(dir, visit, arg, e);
	closedir(dir);
	return rc;
}

struct newest {
	int64_t known, generation;
};

static void note_newest(int dirfd, const char *name, void *arg)
{
	(void)dirfd;
	struct newest *n = arg;
	struct str kind;
	int64_t of = handoff_name_generation(str_of(name), &kind);
	if (of > n->generation && !handoff_is_far(of, n->known))
		n->generation = of;
}

enum rc handoff_newest(int dirfd, int64_t known, int64_t *ret, struct err *e)
{
	struct newest n = { .known = known };
	enum rc rc = handoff_each_name(dirfd, note_newest, &n, e);
	if (rc == RC_OK)
		*ret = n.generation;
	return rc;
}
