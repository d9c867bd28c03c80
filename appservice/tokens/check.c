/*
 * Is a token that was handed over still good? One agent at a time, each in its
 * turn, so that a fleet of a thousand is asked about in a day. Nobody else would
 * tell us: the homeserver ends tokens in silence.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

#define WHOAMI_MS 5000

bool tokens_is_dead(enum rc rc, const struct hs *hs)
{
	return rc == RC_INVALID ||
		(rc == RC_UNAUTHORIZED &&
			text_eq(hs_failure(hs)->errcode, "M_UNKNOWN_TOKEN"));
}

static bool has_open_rotation(const struct store_agent *row)
{
	return row->rotation.state >= ROTATION_WAITING &&
		row->rotation.state <= ROTATION_ISSUED;
}

/* The file as it was handed over; what else may lie there is looked for
 * elsewhere. */
static bool read_file(
	struct app *app, const struct store_agent *row, struct handoff *h)
{
	char digest[SHA256_HEX];
	int fd = -1;
	bool ok = tokens_open_dir(app, row->user_id, &fd, NULL) == RC_OK &&
		handoff_read(fd, h, NULL) == RC_OK &&
		h->generation == row->generation;
	if (fd >= 0)
		close(fd);
	if (!ok)
		return false;
	sha256_hex(secret_bytes(&h->access_token), h->access_token.n, digest);
	return text_eq(digest, row->token_sha256);
}

enum rc tokens_whoami(struct app *app, const struct handoff *h,
	struct hs_whoami *ret, struct err *e)
{
	struct hs *hs = NULL;
	enum rc rc = hs_new(
		&(struct hs_options){
			.url = config_text(&app->config, SET_HS_URL),
			.ca_file = config_text(&app->config, SET_CA_FILE),
			.token = &h->access_token,
			.gate = app->gate,
			.stop = &app_stop,
			.timeout_ms = WHOAMI_MS,
			.patience_ms = 1,
		},
		&hs, e);
	if (rc == RC_OK)
		rc = hs_whoami(hs, NULL, ret, e);
	if (rc != RC_OK && tokens_is_dead(rc, hs))
		rc = RC_REVOKED;
	hs_free(hs);
	return rc;
}

/* Somebody may have logged in meanwhile: then it is another token's end. */
static bool is_the_same(struct app *app, const struct store_agent *was)
{
	struct arena a = { 0 };
	struct store_agent row = { 0 };
	bool same = store_agent_get(app->store, was->user_id, &a, &row, NULL) ==
			RC_OK &&
		row.state == was->state && row.generation == was->generation &&
		!has_open_rotation(&row);
	arena_free(&a);
	return same;
}

static enum rc record_seen(
	struct app *app, const struct store_agent *row, struct err *e)
{
	struct store *s = app->store;
	enum rc rc = store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_agent_token_seen(
			s, row->user_id, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

static enum rc check(struct app *app, const struct store_agent *row, bool *lost,
	struct err *e)
{
	struct handoff h = { 0 };
	struct hs_whoami me;
	enum rc rc = read_file(app, row, &h) ? tokens_whoami(app, &h, &me, NULL)
					     : RC_NOT_FOUND;
	handoff_fini(&h);
	if (rc == RC_OK)
		return record_seen(app, row, e);
	*lost = rc == RC_REVOKED && is_the_same(app, row);
	return *lost ? tokens_needs_login(app, row->user_id,
			       "the homeserver does not know its token any "
			       "more",
			       e)
		     : RC_OK;
}

enum rc tokens_check_one(struct app *app, bool *lost, struct err *e)
{
	struct arena a = { 0 };
	struct store_agent row = { 0 };
	*lost = false;
	if (!tokens_check_due(
		    app->tokens, config_int(&app->config, SET_HANDOFF_CHECK)))
		return RC_OK;
	char *after = tokens_checked_last(app->tokens);
	enum rc rc = store_agent_next(app->store, after, &a, &row, e);
	if (rc == RC_NOT_FOUND)
		after[0] = '\0'; /* from the beginning, next time */
	if (rc == RC_OK) {
		snprintf(after, TOKENS_USER_MAX, "%s", row.user_id);
		if (!has_open_rotation(&row))
			rc = check(app, &row, lost, e);
	}
	arena_free(&a);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}
