/*
 * An agent whose name a human has now: what was handed to the agent is to be of
 * no use to anybody, and what is the human's own is not touched.
 */
#include <stdlib.h>
#include <unistd.h>

#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/str.h"
#include "handoff/handoff.h"
#include "matrix/id.h"

#include "base/poison.h"

enum rc tokens_path(const struct app *app, const struct store_agent *row,
	char **ret, struct err *e)
{
	struct arena a = { 0 };
	struct str localpart, server;
	if (!id_split(row->user_id, '@', &localpart, &server))
		return err_set(e, RC_INVALID, "%s is no user id", row->user_id);
	const char *name = arena_strndup(&a, localpart.p, localpart.n);
	char *path = name
		? handoff_path(config_text(&app->config, SET_HANDOFF_ROOT),
			  row->department, name)
		: NULL;
	arena_free(&a);
	if (!path)
		return err_nomem(e);
	*ret = path;
	return RC_OK;
}

bool tokens_is_human(const struct work *w)
{
	const struct person *p = fleet_person(&w->app->fleet, w->step->subject);
	return p && p->human;
}

/* What a token says of itself that is none any more. */
static bool is_ended(enum rc rc, const struct hs *hs)
{
	return rc == RC_UNAUTHORIZED &&
		text_eq(hs_failure(hs)->errcode, "M_UNKNOWN_TOKEN");
}

/* And so it is, or it is no end. */
static enum rc end_token(
	struct work *w, const struct secret *token, struct err *e)
{
	struct hs *own = NULL;
	struct hs_whoami me;
	enum rc rc = app_client(w->app, token, &own, e);
	if (rc != RC_OK)
		return rc;
	rc = hs_logout(own, e);
	if (rc == RC_OK)
		rc = hs_whoami(own, NULL, &me, e);
	if (is_ended(rc, own))
		rc = RC_OK;
	else if (rc == RC_OK)
		rc = err_set(e, RC_REMOTE,
			"the token of %s is still good after its logout",
			w->step->subject);
	hs_free(own);
	/* It is not the service's own token that was refused. */
	return rc == RC_UNAUTHORIZED ? RC_REMOTE : rc;
}

static bool is_as_given(const struct handoff *h, const struct store_agent *row)
{
	char digest[SHA256_HEX];
	sha256_hex(secret_bytes(&h->access_token), h->access_token.n, digest);
	return text_eq(h->user_id, row->user_id) &&
		text_eq(digest, row->token_sha256);
}

static enum rc read_given(const struct app *app, const struct store_agent *row,
	struct handoff *ret, struct err *e)
{
	char *path = NULL;
	int fd = -1;
	enum rc rc = tokens_path(app, row, &path, e);
	if (rc == RC_OK)
		rc = handoff_dir_open(path, &fd, e);
	if (rc == RC_OK)
		rc = handoff_read(fd, ret, e);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

/* One that is not in its file yet. */
static enum rc end_in_hand(struct work *w, struct err *e)
{
	struct secret token = { 0 };
	int64_t generation = 0;
	if (!tokens_take(w->app->tokens, w->step->subject, &generation, &token))
		return RC_OK;
	enum rc rc = end_token(w, &token, e);
	if (rc != RC_OK &&
		tokens_keep(w->app->tokens, w->step->subject, generation,
			&token) != RC_OK)
		rc = err_nomem(e);
	secret_fini(&token);
	return rc;
}

enum rc tokens_end_given(struct work *w, const struct store_agent *row,
	const char **left, struct err *e)
{
	struct handoff h = { 0 };
	struct err why = { 0 };
	enum rc rc = end_in_hand(w, e);
	if (rc != RC_OK)
		return rc;
	rc = read_given(w->app, row, &h, &why);
	if (rc == RC_REVOKED)
		return RC_OK;
	if (rc == RC_OK && is_as_given(&h, row)) {
		rc = end_token(w, &h.access_token, e);
	} else if (rc == RC_OK || handoff_is_none(rc)) {
		*left = arena_printf(&w->a,
			"a human has its name now, and its token could not be "
			"ended (%s): end the session of its device %s by hand",
			rc == RC_OK ? "its file has another one" : why.text,
			row->device_id ? row->device_id : "");
		rc = *left ? RC_OK : err_nomem(e);
	} else {
		rc = err_set(e, rc, "%s", why.text);
	}
	handoff_fini(&h);
	return rc;
}
