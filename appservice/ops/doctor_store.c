/*
 * What is wrong with the store: whether it is whole, whether there is room for
 * it, and whether two services would be kept apart where it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/ops/doctor_priv.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define LEAST_FREE (INT64_C(64) * (int64_t)MIB)

static const char *fix_store(struct doctor *d, enum rc rc, const char *path)
{
	switch (rc) {
	case RC_CORRUPT:
		return arena_printf(d->a,
			"stop the service; `mv %s %s.damaged`; `muster serve` "
			"finds accounts, rooms and tokens again",
			path, path);
	case RC_VERSION:
		return "run the newest `muster serve` that it was used with";
	case RC_BUSY:
		return "`muster doctor` where that service runs";
	default:
		return arena_printf(d->a,
			"let the service's user read and write %s, or put "
			"`store.path` elsewhere",
			path);
	}
}

static const char *directory_of(struct doctor *d, const char *path)
{
	char *dir = path_dir(path);
	const char *ret = arena_strdup(d->a, dir);
	free(dir);
	return ret;
}

/* `muster serve` makes it, and files beside the store. */
static void check_directory(struct doctor *d, const char *path)
{
	const char *dir = directory_of(d, path);
	const char *at = dir ? doctor_nearest(d, dir) : NULL;
	if (!at || access(at, W_OK | X_OK) == 0)
		return;
	const char *quoted = doctor_quote(d->a, dir);
	doctor_find(d, path,
		arena_printf(d->a, "its directory %s cannot be %s: %s", dir,
			text_eq(at, dir) ? "written" : "made", strerror(errno)),
		"the service does not start without it",
		arena_printf(d->a,
			"`mkdir -p %s && chown %ld:%ld %s && chmod u+rwx %s`, "
			"as root; where it is a mount, mount it writable",
			quoted, (long)geteuid(), (long)getegid(), quoted,
			quoted));
}

/* Left open where it is well: the agents stand in it. */
void check_store(struct doctor *d)
{
	const char *path = config_text(&d->app->config, SET_STORE_PATH);
	struct err e = { 0 };
	d->checked++;
	if (!path)
		return; /* what stands there is a finding */
	enum rc rc = store_open_readonly(path, &d->app->store, &e);
	if (rc == RC_OK)
		rc = store_whole(d->app->store, &e);
	if (rc == RC_OK || rc == RC_NOT_FOUND) { /* or never started */
		d->has |= HAS_STORE;
		check_directory(d, path);
		return;
	}
	store_close(d->app->store);
	d->app->store = NULL;
	/* On a network it is the service's alone. */
	if (rc == RC_BUSY && d->serving)
		return;
	doctor_find(d, path, arena_strdup(d->a, e.text),
		"what agents and rooms there are stands in it",
		fix_store(d, rc, doctor_quote(d->a, path)));
}

/* Its directory is made when it is not there: the parent's file system. */
void check_space(struct doctor *d)
{
	const char *path = config_text(&d->app->config, SET_STORE_PATH);
	struct store_spot spot = { 0 };
	const char *dir = path ? directory_of(d, path) : NULL;
	const char *at = dir ? doctor_nearest(d, dir) : NULL;
	d->checked++;
	at = at ? arena_printf(d->a, "%s/store", at) : NULL;
	if (!at || store_look_at_place(at, &spot, NULL) != RC_OK)
		return; /* there is nothing yet, or the store says it */
	if (spot.free_bytes < LEAST_FREE)
		doctor_find(d, path,
			arena_printf(d->a, "only %lld MiB are free there",
				(long long)(spot.free_bytes / (int64_t)MIB)),
			"when the disk is full no transaction of the "
			"homeserver can be taken",
			arena_printf(d->a, "make room: `df -h %s` says where",
				doctor_quote(d->a, path)));
	if (spot.network &&
		text_eq(config_text(&d->app->config, SET_STORE_NETWORK),
			"false"))
		doctor_find(d, doctor_at(d, SET_STORE_NETWORK),
			"it is on a network file system, and is said not to be",
			"locks do not keep two services apart there: both "
			"would act, and write over each other",
			"set `store.network: auto`, and start the service "
			"again");
}
