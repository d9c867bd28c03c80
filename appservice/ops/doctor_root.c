/*
 * What is wrong with the runtime root: whether the service can hand over there
 * what is an agent's alone, and whether the agent can get at it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appservice/ops/doctor_priv.h"
#include "base/file.h"
#include "base/str.h"

#include "base/poison.h"

#define STICKY 01000 /* S_ISVTX */
#define PROBE ".doctor"

const char *doctor_nearest(struct doctor *d, const char *path)
{
	struct stat st;
	const char *at = path;
	while (at && stat(at, &st) != 0 && !text_eq(at, "/") &&
		!text_eq(at, ".")) {
		char *up = path_dir(at);
		at = arena_strdup(d->a, up);
		free(up);
	}
	return at;
}

/* `muster serve` makes it. */
static void check_absent(struct doctor *d, const char *root)
{
	const char *at = doctor_nearest(d, root);
	if (at && access(at, W_OK | X_OK) == 0)
		return;
	doctor_find(d, root,
		arena_printf(d->a, "it does not exist, and cannot be made: %s",
			strerror(errno)),
		"no agent can be given its token",
		arena_printf(d->a, "`mkdir -p %s && chown %ld:%ld %s`, as root",
			doctor_quote(d->a, root), (long)geteuid(),
			(long)getegid(), doctor_quote(d->a, root)));
}

static const char *fix_unwritable(
	struct doctor *d, const char *root, int64_t uid)
{
	const char *quoted = doctor_quote(d->a, root);
	if (uid != -1 && uid != (int64_t)geteuid() && geteuid() != 0)
		return arena_printf(d->a,
			"give the service CAP_CHOWN, or run it and the agents "
			"as one user and set `handoff.owner: null`");
	return arena_printf(d->a,
		"`chown %ld:%ld %s && chmod u+rwx %s`, as root; where it is a "
		"mount, mount it writable",
		(long)geteuid(), (long)getegid(), quoted, quoted);
}

/* All that a hand-off takes but its name. */
static void check_writing(
	struct doctor *d, const char *root, int64_t uid, int64_t gid)
{
	struct err e = { 0 };
	enum rc rc = RC_IO;
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		file_error(&e, errno, "it cannot be opened");
	else
		rc = file_try_at(fd, PROBE, 0600, uid, gid, &e);
	if (fd >= 0)
		close(fd);
	if (rc != RC_OK)
		doctor_find(d, root,
			arena_printf(
				d->a, "a file cannot be put there: %s", e.text),
			"no agent can be given its token",
			fix_unwritable(d, root, uid));
}

static bool may_enter(const struct stat *st, int64_t uid, int64_t gid)
{
	if (uid == 0)
		return true;
	if ((int64_t)st->st_uid == uid)
		return (st->st_mode & S_IXUSR) != 0;
	if ((int64_t)st->st_gid == gid)
		return (st->st_mode & S_IXGRP) != 0;
	return (st->st_mode & S_IXOTH) != 0;
}

static void check_modes(struct doctor *d, const char *root,
	const struct stat *st, int64_t uid, int64_t gid)
{
	const char *quoted = doctor_quote(d->a, root);
	if ((st->st_mode & S_IWOTH) && !(st->st_mode & STICKY))
		doctor_find(d, root, "everybody can write there",
			"others can put a department of theirs in the place of "
			"another, and read what is handed over",
			arena_printf(d->a, "`chmod go-w %s`", quoted));
	if (uid != -1 && !may_enter(st, uid, gid))
		doctor_find(d, root,
			arena_printf(d->a,
				"it belongs to %ld:%ld with mode %04o: the "
				"agents' user (%lld:%lld) cannot enter it",
				(long)st->st_uid, (long)st->st_gid,
				(unsigned)(st->st_mode & 07777), (long long)uid,
				(long long)gid),
			"no agent finds its token",
			arena_printf(d->a, "`chmod o+x %s`", quoted));
}

void check_root(struct doctor *d)
{
	const struct setting_value *owner =
		&d->app->config.v[SET_HANDOFF_OWNER];
	const char *root = config_text(&d->app->config, SET_HANDOFF_ROOT);
	struct stat st;
	d->checked++;
	if (!root)
		return; /* what stands there is a finding */
	if (stat(root, &st) != 0 && errno == ENOENT) {
		check_absent(d, root);
		return;
	}
	check_writing(d, root, owner->uid, owner->gid);
	if (stat(root, &st) == 0 && S_ISDIR(st.st_mode))
		check_modes(d, root, &st, owner->uid, owner->gid);
}
