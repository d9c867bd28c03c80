/*
 * Tombstones: what lies in the place of a hand-off file whose token was ended.
 * Where none can be put it is tried again at each look, until there is one.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

/* The agent may have written a later generation into its directory itself. */
static enum rc bury_newer(const struct app *app, const char *path,
	struct handoff_grave *g, struct err *e)
{
	const struct setting_value *owner = &app->config.v[SET_HANDOFF_OWNER];
	struct handoff there = { 0 };
	int fd = -1;
	enum rc rc = handoff_dir_find(path, &fd, e);
	if (rc == RC_OK)
		rc = handoff_look(fd, &there, e);
	if (fd >= 0)
		close(fd);
	if (rc != RC_OK)
		return rc;
	g->generation = there.generation;
	handoff_fini(&there);
	return handoff_revoke(path, g, owner->uid, owner->gid, e);
}

enum rc tokens_bury(
	const struct app *app, const struct store_agent *row, struct err *e)
{
	const struct setting_value *owner = &app->config.v[SET_HANDOFF_OWNER];
	char *path = NULL;
	struct handoff_grave g = { .generation = row->generation,
		.user_id = row->user_id,
		.device_id = row->device_id,
		.homeserver = config_text(&app->config, SET_HS_PUBLIC_URL),
		.revoked_ms = clock_wall_ms() };
	if (row->generation == 0 || !row->device_id)
		return RC_OK; /* nothing was ever handed over */
	enum rc rc = tokens_root_check(app, e);
	if (rc == RC_OK)
		rc = tokens_path(app, row, &path, e);
	if (rc == RC_OK)
		rc = handoff_revoke(path, &g, owner->uid, owner->gid, e);
	if (rc == RC_EXISTS)
		rc = bury_newer(app, path, &g, e);
	free(path);
	return rc;
}

/* What it said besides is so no more. */
static enum rc forget_left(
	struct app *app, const struct store_agent *row, struct err *e)
{
	const char *left = strstr(row->error, TOKENS_ENDED_BUT);
	const size_t n = (size_t)(left - row->error);
	const size_t besides = strlen(TOKENS_BESIDES);
	struct arena a = { 0 };
	const char *rest =
		n > besides ? arena_strndup(&a, row->error, n - besides) : NULL;
	enum rc rc = n > besides && !rest ? err_nomem(e) : RC_OK;
	if (rc == RC_OK)
		rc = store_begin(app->store, e);
	if (rc == RC_OK)
		rc = store_agent_error(app->store, row->user_id, rest, e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	arena_free(&a);
	return rc;
}

bool tokens_has_no_tombstone(const struct store_agent *row)
{
	return (row->state == AGENT_BLOCKED || row->state == AGENT_RETIRED) &&
		row->error &&
		strstr(row->error, TOKENS_ENDED_BUT TOKENS_NO_TOMBSTONE);
}

enum rc tokens_bury_again(
	struct app *app, const struct store_agent *row, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = store_may_act(app->store, e);
	if (rc != RC_OK)
		return rc;
	if (tokens_bury(app, row, &why) != RC_OK) {
		log_warn("there is still no tombstone in the place of a "
			 "hand-off file",
			LS("agent", row->user_id), LS("error", why.text));
		return RC_OK;
	}
	log_info("a tombstone is in the place of a hand-off file now",
		LS("agent", row->user_id));
	return forget_left(app, row, e);
}
