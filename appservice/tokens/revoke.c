/*
 * The step `revoke`: the tokens of an agent are ended on the homeserver, which is
 * asked whether any device is left, and a tombstone takes the place of its
 * hand-off file. Its account stays. An agent that is declared no longer is
 * retired by it; one whose tokens an operator takes away is blocked. Of one that
 * a human has now only what was handed over ends (human.c).
 */
#include <stdlib.h>
#include <unistd.h>

#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

/* Whatever becomes of this, the token is not known to be good from here on: an
 * agent that is declared again meanwhile gets a new one. And it is one of those
 * who are on their way. */
static enum rc doubt_token(
	struct work *w, const struct store_agent *row, struct err *e)
{
	struct store *s = w->app->store;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_state(s, w->step->subject, AGENT_REGISTERED,
			clock_wall_ms(), e);
	if (rc == RC_OK && !row->declared)
		rc = store_agent_may_leave(s, w->step->subject, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* Every token of the agent ends, and so it is, or it is no end. */
static enum rc end_tokens(struct work *w, struct err *e)
{
	const char *who = w->step->subject;
	struct secret token = { 0 };
	int64_t generation = 0;
	bool has = false;
	size_t devices = 0;
	if (tokens_take(w->app->tokens, who, &generation, &token))
		secret_fini(&token);
	enum rc rc = hs_logout_all(w->hs, who, e);
	if (rc == RC_OK)
		rc = hs_device(w->hs, who,
			config_text(&w->app->config, SET_HANDOFF_DEVICE), &has,
			&devices, e);
	if (rc == RC_OK && devices > 0)
		return err_set(e, RC_REMOTE,
			"%s still has %zu device%s after all its tokens were "
			"to end",
			who, devices, devices == 1 ? "" : "s");
	return rc;
}

/* The tombstone only says what has happened: where none can be put, the agent
 * has made a directory of its file perhaps, that is told, and is no reason to
 * go on ending tokens. */
static enum rc bury_or_tell(struct work *w, const struct store_agent *row,
	const char **left, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = tokens_bury(w->app, row, &why);
	if (rc == RC_OK)
		return RC_OK;
	log_warn("no tombstone could be put in the place of a hand-off file",
		LS("agent", row->user_id), LS("error", why.text));
	if (!*left)
		*left = arena_printf(&w->a,
			TOKENS_ENDED_BUT TOKENS_NO_TOMBSTONE ": %s", why.text);
	return *left ? RC_OK : err_nomem(e);
}

/* An operator wants it, and it is of the fleet still. */
static bool is_blocking(const struct store_agent *row)
{
	return row->revoke_ms > 0 && row->declared;
}

/* Why a blocked agent has no token; `left`: what could not be done besides. */
static const char *why_blocked(
	struct work *w, const struct store_agent *row, const char *left)
{
	return arena_printf(&w->a,
		"its tokens were taken away%s%s: " TOKENS_GIVE_NEW "%s%s",
		row->revoke_why ? " because: " : "",
		row->revoke_why ? row->revoke_why : "",
		left ? TOKENS_BESIDES : "", left ? left : "");
}

static const char *detail_of(
	const struct work *w, bool blocking, const char *left)
{
	if (left)
		return left;
	if (tokens_is_human(w))
		return "a human has its name now: its token was ended";
	return blocking ? "its tokens were ended, and no device is left"
			: "declared no longer: its tokens were ended";
}

static enum rc record(struct work *w, const struct store_agent *row,
	const char *left, struct err *e)
{
	struct store *s = w->app->store;
	const bool blocking = is_blocking(row);
	const int64_t now = clock_wall_ms();
	const struct store_audit audit = { .ms = now,
		.actor = "muster",
		.action = blocking ? "revoke" : "retire",
		.subject = row->user_id,
		.detail = detail_of(w, blocking, left) };
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_agent_revoked(s, row->user_id,
			blocking ? AGENT_BLOCKED : AGENT_RETIRED, now, e);
	if (rc == RC_OK && (blocking || left))
		rc = store_agent_error(s, row->user_id,
			blocking ? why_blocked(w, row, left) : left, e);
	if (rc == RC_OK)
		rc = store_audit_add(s, &audit, e);
	return work_end(w, rc, e);
}

static enum rc end_it(struct work *w, const struct store_agent *row,
	const char **left, struct err *e)
{
	const bool human = tokens_is_human(w);
	enum rc rc =
		human ? tokens_end_given(w, row, left, e) : end_tokens(w, e);
	if (rc == RC_OK)
		rc = store_may_act(w->app->store, e);
	if (rc == RC_OK)
		rc = bury_or_tell(w, row, left, e);
	if (rc == RC_OK && !human && !is_blocking(row))
		rc = work_leave_strays(w, e);
	return rc;
}

enum rc step_revoke(struct work *w, struct err *e)
{
	struct store_agent row = { 0 };
	const char *left = NULL;
	enum rc rc = store_agent_get(
		w->app->store, w->step->subject, &w->a, &row, e);
	if (rc == RC_OK && row.state == AGENT_HANDED_OFF)
		rc = tokens_look_for_ack(w->app, &row, NULL, e);
	if (rc == RC_OK)
		rc = doubt_token(w, &row, e);
	if (rc == RC_OK)
		rc = end_it(w, &row, &left, e);
	return rc == RC_OK ? record(w, &row, left, e) : rc;
}
