/*
 * Sweeping the agent's directory: the answers of old generations, and what a
 * writer that died left behind. Whatever else lies there stays.
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

#define KEPT_BACK 2

/* Of one of our names. */
static bool is_temporary(const char *name)
{
	struct str made_of, kind;
	return file_is_temporary(name, &made_of) &&
		(str_eq(made_of, HANDOFF_FILE) ||
			handoff_name_generation(made_of, &kind) > 0);
}

struct sweep {
	int64_t generation;
	bool has_now;
	time_t now; /* of the file system, asked for by the first that needs it:
		       its server's clock is not ours */
	enum rc rc; /* of the first that could not be removed */
	struct err *e;
};

static void failed(struct sweep *s, enum rc rc, const struct err *why)
{
	if (s->rc == RC_OK)
		s->rc = err_set(s->e, rc, "%s", why->text);
}

static bool know_now(int dirfd, struct sweep *s)
{
	struct err why = { 0 };
	enum rc rc = RC_OK;
	if (!s->has_now)
		rc = file_clock_at(dirfd, HANDOFF_FILE, &s->now, &why);
	if (rc != RC_OK)
		failed(s, rc, &why);
	else
		s->has_now = true;
	return rc == RC_OK;
}

static bool has_had_its_day(int dirfd, const char *name, struct sweep *s)
{
	struct str kind;
	int64_t of = handoff_name_generation(str_of(name), &kind);
	if (of > 0)
		return of < s->generation - KEPT_BACK;
	return is_temporary(name) && know_now(dirfd, s) &&
		file_is_left_over(dirfd, name, s->now);
}

static void sweep(int dirfd, const char *name, void *arg)
{
	struct sweep *s = arg;
	struct err why = { 0 };
	if (!has_had_its_day(dirfd, name, s))
		return;
	/* A directory is nothing of ours. */
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT || errno == EISDIR)
		return;
	enum rc rc = file_error(&why, errno, "%s: cannot be removed", name);
	failed(s, rc, &why);
}

enum rc handoff_clean(int dirfd, int64_t generation, struct err *e)
{
	struct sweep s = { .generation = generation, .e = e };
	enum rc rc = handoff_each_name(dirfd, sweep, &s, e);
	return rc == RC_OK ? s.rc : rc;
}
