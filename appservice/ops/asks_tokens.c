/*
 * What the admin API is asked to do about tokens: new ones, or none.
 */
#include <string.h>

#include "appservice/ops/asks_priv.h"
#include "appservice/reconcile/plan.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

#define EVERY_MIN_MS 60000
#define EVERY_MAX_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)

/* Why somebody asks for it, in words that may stand in a log and on a disk that
 * others read. */
static enum rc read_why(struct ask *q, const char **ret, struct err *e)
{
	*ret = js_get_str(q->body, "why");
	if (!*ret || handoff_value_ok(*ret, HANDOFF_WHY_MAX))
		return RC_OK;
	return err_set(e, RC_INVALID,
		"expected a reason in words, of at most %d bytes and without "
		"control characters",
		HANDOFF_WHY_MAX);
}

/* --- rotate ------------------------------------------------------------------- */

struct rotate {
	struct store_rotation want;
	int64_t every_ms; /* -1: nothing is said of it */
	bool all;
};

static enum rc read_rotate(struct ask *q, struct rotate *r, struct err *e)
{
	r->every_ms = -1;
	r->want.run = q->at_ms;
	(void)!js_get_bool(q->body, "all", &r->all);
	(void)!js_get_bool(q->body, "now", &r->want.at_once);
	if (js_has(q->body, "every_ms") &&
		(!js_get_i64(q->body, "every_ms", &r->every_ms) ||
			(r->every_ms != 0 && r->every_ms < EVERY_MIN_MS) ||
			r->every_ms > EVERY_MAX_MS))
		return err_set(e, RC_INVALID,
			"expected every_ms of at least a minute and at most "
			"ten years, or 0 for never");
	if (r->all == js_has(q->body, "users"))
		return err_set(e, RC_INVALID, "expected users, or all");
	if (r->every_ms == 0 && r->want.at_once)
		return err_set(e, RC_INVALID,
			"every_ms of 0 makes no new token: ask for one at once "
			"by itself");
	return read_why(q, &r->want.why, e);
}

/* An agent that can have a new token. */
static bool is_able(struct ask *q, const struct store_agent *row)
{
	const struct person *p = fleet_person(&q->app->fleet, row->user_id);
	return p && p->deployed && !p->human && !row->sender && row->declared &&
		!row->revoke_ms && row->state != AGENT_BLOCKED &&
		row->state != AGENT_DECLARED;
}

static enum rc refuse(struct ask *q, const char *id,
	const struct store_agent *row, struct err *e)
{
	const struct person *p = fleet_person(&q->app->fleet, id);
	if (p && p->human)
		return err_set(e, RC_INVALID,
			"%s is a human: only agents have tokens of ours", id);
	if (!row || row->sender || !p)
		return ask_no_such_agent(id, e);
	if (row->revoke_ms)
		return err_set(e, RC_EXISTS,
			"the tokens of %s are to be ended, which comes first: "
			"`muster status` shows it until it is done",
			id);
	if (row->state == AGENT_BLOCKED)
		return err_set(e, RC_INVALID, "%s is blocked: %s", id,
			row->error ? row->error : "see `muster agents`");
	return err_set(e, RC_INVALID,
		"%s has no account yet, and gets its first token with it", id);
}

/* Its tokens were taken away: it may have one again. */
static bool is_revoked(const struct store_agent *row)
{
	return row->state == AGENT_BLOCKED && row->generation > 0 &&
		row->declared;
}

/* It is to have none by itself any more: nothing is made of that. */
static bool ends_schedule(const struct rotate *r)
{
	return r->every_ms == 0;
}

static enum rc end_schedule(
	struct ask *q, const struct store_agent *row, struct err *e)
{
	jb_str(&q->out, NULL, row->user_id);
	return store_rotate_every(q->app->store, row->user_id, -1, e);
}

static enum rc want(struct ask *q, const struct store_agent *row,
	const struct rotate *r, struct err *e)
{
	struct store *s = q->app->store;
	/* The login that gives it a token again is the one that is wanted. */
	enum rc rc = is_revoked(row) ? store_agent_state(s, row->user_id,
					       AGENT_DECLARED, q->at_ms, e)
				     : RC_OK;
	if (rc == RC_OK)
		rc = store_rotation_want(
			s, row->user_id, &r->want, q->at_ms, e);
	if (rc == RC_OK && r->every_ms > 0 && !r->all)
		rc = store_rotate_every(s, row->user_id, r->every_ms, e);
	jb_str(&q->out, NULL, row->user_id);
	return rc;
}

static enum rc want_all(
	struct ask *q, const struct rotate *r, size_t *n, struct err *e)
{
	enum rc rc = RC_OK;
	for (size_t i = 0; rc == RC_OK && i < q->now.n_agents; i++) {
		if (ends_schedule(r) || !is_able(q, &q->now.agents[i]))
			continue;
		rc = want(q, &q->now.agents[i], r, e);
		*n += 1;
	}
	if (rc == RC_OK && r->every_ms >= 0)
		rc = store_rotate_every(q->app->store, NULL, r->every_ms, e);
	return rc;
}

/* A schedule is ended whatever state the agent is in. */
static bool may_be_named(
	struct ask *q, const struct store_agent *row, const struct rotate *r)
{
	const struct person *p = fleet_person(&q->app->fleet, row->user_id);
	if (ends_schedule(r))
		return p && !p->human && !row->sender;
	return is_able(q, row) || is_revoked(row);
}

/* Who is named twice gets one token. */
static enum rc want_one(struct ask *q, const char *id, const struct rotate *r,
	bool *named, size_t *n, struct err *e)
{
	const struct store_agent *row = snapshot_agent(&q->now, id);
	if (!row || !may_be_named(q, row, r))
		return refuse(q, id, row, e);
	bool *before = &named[row - q->now.agents];
	if (*before)
		return RC_OK;
	*before = true;
	*n += 1;
	return ends_schedule(r) ? end_schedule(q, row, e) : want(q, row, r, e);
}

static enum rc want_named(
	struct ask *q, const struct rotate *r, size_t *n, struct err *e)
{
	struct js users = js_get(q->body, "users");
	bool *named = arena_array(&q->a, q->now.n_agents + 1, sizeof(bool));
	if (!named)
		return err_nomem(e);
	enum rc rc = js_len(users) > 0
		? RC_OK
		: err_set(e, RC_INVALID, "expected users");
	for (size_t i = 0; rc == RC_OK && i < js_len(users); i++) {
		const char *id = NULL;
		rc = ask_full_id(q, js_str(js_at(users, i)), &id, e);
		if (rc == RC_OK)
			rc = want_one(q, id, r, named, n, e);
	}
	return rc;
}

/* What was asked for, for the audit. */
static const char *rotate_words(struct ask *q, const struct rotate *r, size_t n)
{
	const char *why = r->want.why;
	if (ends_schedule(r) && r->all)
		return arena_printf(&q->a, "no more by itself, all agents%s%s",
			why ? ": " : "", why ? why : "");
	return arena_printf(&q->a, "%s%zu agent%s%s%s",
		ends_schedule(r)          ? "no more by itself, "
			: r->want.at_once ? "at once, "
					  : "",
		n, n == 1 ? "" : "s", why ? ": " : "", why ? why : "");
}

/* What comes of it; nothing does where a schedule was ended. */
static void add_prospects(struct ask *q, const struct rotate *r, size_t n)
{
	jb_int(&q->out, "may_take_ms",
		r->want.at_once || ends_schedule(r)
			? 0
			: ask_rotations_take_ms(q->app, (int64_t)n));
	jb_bool(&q->out, "old_token_lives",
		!r->want.at_once && !ends_schedule(r) &&
			!hs_login_ends_token(
				(enum hs_kind)atomic_load(&q->app->kind)));
}

static enum rc rotate(struct ask *q, struct err *e)
{
	struct rotate r = { 0 };
	size_t n = 0;
	enum rc rc = read_rotate(q, &r, e);
	if (rc != RC_OK)
		return rc;
	jb_int(&q->out, "run", r.want.run);
	jb_arr(&q->out, "agents");
	rc = store_begin(q->app->store, e);
	if (rc == RC_OK)
		rc = r.all ? want_all(q, &r, &n, e) : want_named(q, &r, &n, e);
	jb_end_arr(&q->out);
	add_prospects(q, &r, n);
	q->audit = (struct store_audit){ .action = "rotate",
		.detail = rotate_words(q, &r, n) };
	return ask_commit(q, rc, e);
}

/* --- revoke -------------------------------------------------------------------- */

static enum rc may_be_revoked(struct ask *q, const char *id,
	const struct store_agent *row, struct err *e)
{
	const struct person *p = fleet_person(&q->app->fleet, id);
	if (p && p->human)
		return err_set(e, RC_INVALID,
			"%s is a human: only agents have tokens of ours", id);
	if (!row || row->sender)
		return ask_no_such_agent(id, e);
	if (row->state == AGENT_DECLARED && row->generation == 0)
		return err_set(e, RC_INVALID, "%s has no token", id);
	if (row->state == AGENT_BLOCKED && row->generation == 0)
		return err_set(e, RC_INVALID, "%s is blocked: %s", id,
			row->error ? row->error : "see `muster agents`");
	return RC_OK;
}

static enum rc revoke(struct ask *q, struct err *e)
{
	const char *id = NULL, *why = NULL;
	enum rc rc = ask_full_id(q, js_get_str(q->body, "user"), &id, e);
	if (rc == RC_OK)
		rc = read_why(q, &why, e);
	if (rc != RC_OK)
		return rc;
	const struct store_agent *row = snapshot_agent(&q->now, id);
	rc = may_be_revoked(q, id, row, e);
	if (rc != RC_OK)
		return rc;
	const bool ended =
		row->state == AGENT_BLOCKED || row->state == AGENT_RETIRED;
	jb_str(&q->out, "user_id", id);
	jb_bool(&q->out, "revoked", ended);
	if (ended)
		return RC_OK;
	q->audit = (struct store_audit){
		.action = "revoke", .subject = id, .detail = why
	};
	rc = store_begin(q->app->store, e);
	if (rc == RC_OK)
		rc = store_agent_revoke(q->app->store, id, why, q->at_ms, e);
	return ask_commit(q, rc, e);
}

void ask_rotate(struct http_call *c)
{
	ask_answer(c, rotate);
}

void ask_revoke(struct http_call *c)
{
	ask_answer(c, revoke);
}
