/*
 * store/place.c: which file the database is, and that nobody else has it: on a
 * local file system the one that is configured, under a lock beside it; on a
 * network that of the newest epoch, by the lease of its directory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/store_priv.h"

#include "base/poison.h"

static enum rc take_lock(struct store *s, struct err *e)
{
	char host[256] = "an unknown host", now[25], holder[320];
	struct err why = { 0 };
	size_t room = strlen(s->name) + sizeof(".lock");
	char *path = malloc(room);

	if (!path)
		return err_nomem(e);
	snprintf(path, room, "%s.lock", s->name);
	gethostname(host, sizeof(host) - 1);
	clock_format(clock_wall_ms(), now);
	snprintf(holder, sizeof(holder), "pid %ld on %s since %s",
		(long)getpid(), host, now);

	enum rc rc = file_lock(path, holder, &s->lock_fd, &why);
	free(path);
	if (rc == RC_BUSY)
		return err_set(
			e, rc, "store %s is in use: %s", s->name, why.text);
	if (rc != RC_OK)
		return err_set(e, rc == RC_NOMEM ? rc : RC_IO, "store %s: %s",
			s->name, why.text);
	return RC_OK;
}

void place_drop(struct store *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = -1;
}

static const char *name_of(const struct store *s)
{
	const char *slash = strrchr(s->name, '/');

	return slash ? slash + 1 : s->name;
}

/* Of this store, and not of another one of its directory. */
static enum rc find_epochs(const struct store *s, const char *dir,
	struct epochs *ret, struct err *e)
{
	bool foreign = false;

	enum rc rc = epochs_look(dir, ret, e);
	if (rc == RC_OK && ret->top)
		rc = lease_is_foreign(dir, name_of(s), &foreign, e);
	if (rc != RC_OK || foreign)
		*ret = (struct epochs){ 0 };
	return rc;
}

/* The database is the file of this epoch. */
static enum rc use_epoch(
	struct store *s, const char *dir, int64_t epoch, struct err *e)
{
	char *path = epoch_path(dir, epoch, EPOCH_DB);

	if (!path)
		return err_nomem(e);
	free(s->path);
	s->path = path;
	return RC_OK;
}

/* Before there is a file of the network it is the local one, which may be in
 * use. */
static enum rc begin_epoch(struct store *s, const char *dir, struct err *e)
{
	struct epochs files;

	enum rc rc = find_epochs(s, dir, &files, e);
	if (rc == RC_OK && !files.newest)
		rc = take_lock(s, e);
	if (rc == RC_OK)
		rc = epoch_begin(dir, s->name, s->lease, e);
	place_drop(s);
	return rc == RC_OK ? use_epoch(s, dir, lease_epoch(s->lease), e) : rc;
}

/* What a network has left here counts, and becomes the local file; who has it
 * there is waited for. */
static enum rc come_home(struct store *s, const char *dir,
	const struct store_options *o, struct err *e)
{
	struct epochs files;
	struct lease *lease = NULL;

	enum rc rc = find_epochs(s, dir, &files, e);
	if (files.top && !files.newest)
		epoch_tidy(dir);
	if (rc != RC_OK || !files.newest)
		return rc;
	rc = lease_take(dir, name_of(s), o, &lease, e);
	if (rc == RC_OK)
		rc = epoch_bring_home(dir, s->name, lease, e);
	lease_free(lease);
	return rc;
}

enum rc place_take(
	struct store *s, const struct store_options *o, struct err *e)
{
	bool network = false;
	char *dir = path_dir(s->name);

	if (!dir)
		return err_nomem(e);
	enum rc rc = network_wanted(dir, o->place, &network, e);
	if (rc == RC_OK && network)
		rc = lease_take(dir, name_of(s), o, &s->lease, e);
	if (rc == RC_OK && network)
		rc = begin_epoch(s, dir, e);
	if (rc == RC_OK && !network)
		rc = take_lock(s, e);
	if (rc == RC_OK && !network)
		rc = come_home(s, dir, o, e);
	free(dir);
	return rc;
}

/* On a network its file is not shared. Where nobody has it, nobody will write to
 * this file again: who begins makes another one. */
enum rc place_find(struct store *s, bool *alone, struct err *e)
{
	struct epochs files = { 0 };
	struct store_holder holder;
	bool held = false;
	char *dir = path_dir(s->name);

	enum rc rc = dir ? RC_OK : err_nomem(e);
	/* No directory, no store. */
	if (dir && access(dir, F_OK) == 0)
		rc = find_epochs(s, dir, &files, e);
	*alone = files.newest > 0;
	if (rc == RC_OK && *alone)
		rc = lease_is_held(dir, &held, &holder, e);
	if (rc == RC_OK && held)
		rc = err_set(e, RC_BUSY,
			"store %s is on a network file system and in use, by "
			"%s: ask that service, by its socket, on that host",
			s->name, holder.words);
	if (rc == RC_OK && *alone)
		rc = use_epoch(s, dir, files.newest, e);
	free(dir);
	return rc;
}
