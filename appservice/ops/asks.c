/*
 * What the admin API is asked to do. Nothing of it is done here: it is written
 * down, and the plan follows from it.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/asks_priv.h"
#include "appservice/reconcile/plan.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "matrix/id.h"

#include "base/poison.h"

static enum rc read_body(
	struct http_call *c, struct ask *q, struct json **doc, struct err *e)
{
	enum rc rc = c->body_n == 0
		? RC_OK
		: json_parse(c->body, c->body_n, "the body", doc, e);
	q->body = json_root(*doc);
	return rc;
}

/* Opens the store's transaction, does it, and writes down that it was asked
 * for; then the loop is woken. */
enum rc ask_commit(struct ask *q, enum rc rc, struct err *e)
{
	struct store *s = q->app->store;
	q->audit.ms = q->at_ms;
	q->audit.actor = "operator";
	if (rc == RC_OK && !arena_ok(&q->a))
		rc = err_nomem(e);
	if (rc == RC_OK)
		rc = store_audit_add(s, &q->audit, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	if (rc != RC_OK)
		return rc;
	log_info("asked for", LS("action", q->audit.action),
		LS("subject", q->audit.subject ? q->audit.subject : ""),
		LS("detail", q->audit.detail ? q->audit.detail : ""));
	if (q->app->reconcile)
		reconcile_wake(q->app->reconcile);
	return RC_OK;
}

void ask_answer(
	struct http_call *c, enum rc (*fn)(struct ask *q, struct err *e))
{
	struct ask q = { .app = c->server_arg, .at_ms = clock_wall_ms() };
	struct json *doc = NULL;
	struct err e = { 0 };
	buf_clear(&c->answer);
	jb_init(&q.out, &c->answer);
	jb_obj(&q.out, NULL);
	jb_int(&q.out, "asked_ms", q.at_ms);
	enum rc rc = read_body(c, &q, &doc, &e);
	app_hold(q.app);
	if (rc == RC_OK)
		rc = app_snapshot(q.app, &q.a, &q.now, &e);
	if (rc == RC_OK)
		rc = fn(&q, &e);
	app_let_go(q.app);
	jb_end_obj(&q.out);
	if (rc == RC_OK)
		rc = buf_rc(&c->answer);
	if (rc != RC_OK)
		http_call_error(c, rc, e.text);
	json_free(doc);
	arena_free(&q.a);
}

/* --- who is meant ---------------------------------------------------------- */

enum rc ask_full_id(
	struct ask *q, const char *text, const char **ret, struct err *e)
{
	const char *why = "it is empty";
	if (!text)
		return err_set(e, RC_INVALID, "expected a user");
	*ret = *text == '@' ? text
			    : id_user(&q->a, text, q->app->fleet.server_name);
	if (!arena_ok(&q->a))
		return err_nomem(e);
	return *text && *ret && id_user_ok(*ret, &why)
		? RC_OK
		: err_set(e, RC_INVALID, "\"%s\" is no user: %s", text, why);
}

enum rc ask_no_such_agent(const char *id, struct err *e)
{
	return err_set(e, RC_NOT_FOUND,
		"there is no %s in the fleet: `muster agents` lists everybody",
		id);
}

/* --- retire, approve -------------------------------------------------------- */

static enum rc may_be_retired(struct ask *q, const char *id, struct err *e)
{
	const struct person *p = fleet_person(&q->app->fleet, id);
	const struct store_agent *row = snapshot_agent(&q->now, id);
	if (p && p->human)
		return err_set(e, RC_INVALID,
			"%s is a human: only agents are retired", id);
	if (text_eq(id, q->app->sender_id))
		return err_set(e, RC_INVALID,
			"%s is the service's own user, and no agent", id);
	if (p && p->deployed)
		return err_set(e, RC_INVALID,
			"%s is declared: take it out of the files first", id);
	if (!row ||
		(!agent_is_leaving(&q->app->fleet, row) &&
			!agent_has_left(&q->app->fleet, row)))
		return ask_no_such_agent(id, e);
	return RC_OK;
}

static enum rc retire(struct ask *q, struct err *e)
{
	const char *id = NULL;
	enum rc rc = ask_full_id(q, js_get_str(q->body, "user"), &id, e);
	if (rc == RC_OK)
		rc = may_be_retired(q, id, e);
	if (rc != RC_OK)
		return rc;
	const bool left = snapshot_agent(&q->now, id)->state == AGENT_RETIRED;
	jb_str(&q->out, "user_id", id);
	jb_bool(&q->out, "retired", left);
	if (left)
		return RC_OK;
	q->audit = (struct store_audit){
		.action = "retire", .subject = id, .detail = "it may leave"
	};
	rc = store_begin(q->app->store, e);
	if (rc == RC_OK)
		rc = store_agent_may_leave(q->app->store, id, e);
	return ask_commit(q, rc, e);
}

/* Those who wait for it; n_of: of how many. */
static enum rc find_waiting(struct ask *q, const struct store_agent ***ret,
	size_t *n, size_t *of, struct err *e)
{
	struct plan plan = { 0 };
	enum rc rc = reconcile_plan_from(q->app, &q->now, &q->a, &plan, e);
	const struct store_agent **list = arena_array(
		&q->a, q->now.n_agents + 1, sizeof(struct store_agent *));
	if (!list)
		return err_nomem(e);
	for (size_t i = 0; rc == RC_OK && i < q->now.n_agents; i++) {
		const struct store_agent *row = &q->now.agents[i];
		if (plan.removals > 0 && !row->may_leave &&
			agent_is_leaving(&q->app->fleet, row))
			list[(*n)++] = row;
	}
	*ret = list;
	*of = plan.removals_of;
	return rc;
}

static enum rc approve(struct ask *q, struct err *e)
{
	const struct store_agent **who = NULL;
	size_t n = 0, of = 0;
	enum rc rc = find_waiting(q, &who, &n, &of, e);
	if (rc != RC_OK)
		return rc;
	jb_arr(&q->out, "agents");
	for (size_t i = 0; i < n; i++)
		jb_str(&q->out, NULL, who[i]->user_id);
	jb_end_arr(&q->out);
	if (n == 0)
		return RC_OK;
	q->audit = (struct store_audit){ .action = "approve",
		.detail = arena_printf(
			&q->a, "%zu of %zu agents may leave", n, of) };
	rc = store_begin(q->app->store, e);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = store_agent_may_leave(q->app->store, who[i]->user_id, e);
	return ask_commit(q, rc, e);
}

/* --- retry ------------------------------------------------------------------ */

/* Failed rows are due now; is there anything else to be done? */
static enum rc hurry(struct ask *q, int64_t id, const char *user,
	const char *room, size_t *n, struct err *e)
{
	tokens_ask_again(q->app->tokens);
	return store_journal_hurry(
		q->app->store, id, user, room, q->at_ms, n, e);
}

static enum rc retry_step(struct ask *q, int64_t id, struct err *e)
{
	struct store_step row = { 0 };
	size_t n = 0;
	enum rc rc = store_journal_get(q->app->store, id, &q->a, &row, e);
	if (rc != RC_OK)
		return rc;
	jb_int(&q->out, "step", id);
	jb_str(&q->out, "state", journal_state_name(row.state));
	if (row.state != JOURNAL_FAILED) {
		jb_int(&q->out, "steps", 0);
		return RC_OK;
	}
	q->audit = (struct store_audit){ .action = "retry",
		.subject = arena_printf(&q->a, "%lld", (long long)id),
		.detail = arena_printf(&q->a, "%s %s%s%s: %s", row.kind,
			row.subject, row.room ? " in " : "",
			row.room ? row.room : "", row.error) };
	rc = store_begin(q->app->store, e);
	if (rc == RC_OK)
		rc = hurry(q, id, NULL, NULL, &n, e);
	rc = ask_commit(q, rc, e);
	jb_int(&q->out, "steps", (int64_t)n);
	return rc;
}

static enum rc retry_all(struct ask *q, struct err *e)
{
	size_t n = 0;
	enum rc rc = store_begin(q->app->store, e);
	if (rc == RC_OK)
		rc = hurry(q, 0, NULL, NULL, &n, e);
	q->audit = (struct store_audit){ .action = "retry",
		.detail = arena_printf(&q->a, "%zu failed steps", n) };
	rc = ask_commit(q, rc, e);
	jb_int(&q->out, "steps", (int64_t)n);
	return rc;
}

static enum rc retry_room(struct ask *q, const char *alias, struct err *e)
{
	struct store *s = q->app->store;
	const char *key = strchr(alias, ':')
		? alias
		: arena_printf(
			  &q->a, "%s:%s", alias, q->app->fleet.server_name);
	const struct room *room = key ? fleet_room(&q->app->fleet, key) : NULL;
	const struct store_room *row = snapshot_room(&q->now, key);
	size_t n = 0;
	if (!key)
		return err_nomem(e);
	if (!room)
		return err_set(e, RC_NOT_FOUND,
			"no room %s is declared: `muster rooms` lists them",
			key);
	const char *held = row ? row->held : NULL;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK && held)
		rc = store_room_hold(s, key, NULL, q->at_ms, e);
	if (rc == RC_OK)
		rc = hurry(q, 0, NULL, key, &n, e);
	q->audit = (struct store_audit){ .action = "retry",
		.subject = key,
		.detail = arena_printf(&q->a, "%zu failed steps%s%s", n,
			held ? "; it was held: " : "", held ? held : "") };
	rc = ask_commit(q, rc, e);
	jb_str(&q->out, "room", key);
	jb_int(&q->out, "steps", (int64_t)n);
	jb_str(&q->out, "was_held", held);
	return rc;
}

/* The rooms that somebody keeps it out of. */
static size_t write_kept_out(struct ask *q, const char *id)
{
	const struct plan_how how = reconcile_how(q->app, 0);
	size_t n = 0;
	jb_arr(&q->out, "held");
	for (size_t i = 0; i < q->app->fleet.n_rooms; i++) {
		const struct room *room = &q->app->fleet.rooms[i];
		const struct store_room *row =
			snapshot_room(&q->now, room->key);
		if (!room_has_member(room, id) ||
			!member_is_held(&how, &q->now, row, id, NULL))
			continue;
		jb_str(&q->out, NULL, room->key);
		n++;
	}
	jb_end_arr(&q->out);
	return n;
}

/* What is written down: of one whose tokens were taken away that it may have one
 * again, of the others what had failed. */
static const char *retry_detail(struct ask *q,
	const struct store_agent *blocked, size_t steps, size_t held)
{
	const bool revoked = blocked && blocked->generation > 0;
	const char *counted = revoked && steps + held == 0
		? ""
		: arena_printf(&q->a,
			  "%zu failed steps, kept out of %zu rooms%s", steps,
			  held, blocked ? "; " : "");
	const char *why = blocked && blocked->error ? blocked->error : "";
	return arena_printf(&q->a, "%s%s%s%s", counted ? counted : "",
		revoked ? "it may have a token again; " : "",
		blocked ? "it was blocked: " : "", why);
}

static enum rc retry_user(struct ask *q, const char *text, struct err *e)
{
	struct store *s = q->app->store;
	const char *id = NULL;
	size_t steps = 0, forgiven = 0;
	enum rc rc = ask_full_id(q, text, &id, e);
	if (rc != RC_OK)
		return rc;
	const struct person *p = fleet_person(&q->app->fleet, id);
	const struct store_agent *row = snapshot_agent(&q->now, id);
	if (!row && !(p && p->deployed))
		return ask_no_such_agent(id, e);
	const bool blocked = row && row->state == AGENT_BLOCKED;
	jb_str(&q->out, "user_id", id);
	const size_t held = write_kept_out(q, id);
	rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_removals_forgive(s, id, q->at_ms, &forgiven, e);
	if (rc == RC_OK && blocked)
		rc = store_agent_state(s, id, AGENT_DECLARED, q->at_ms, e);
	if (rc == RC_OK)
		rc = hurry(q, 0, id, NULL, &steps, e);
	q->audit = (struct store_audit){ .action = "retry",
		.subject = id,
		.detail = retry_detail(q, blocked ? row : NULL, steps, held) };
	rc = ask_commit(q, rc, e);
	jb_int(&q->out, "steps", (int64_t)steps);
	jb_bool(&q->out, "was_blocked", blocked);
	return rc;
}

static enum rc retry(struct ask *q, struct err *e)
{
	int64_t id = 0;
	if (js_has(q->body, "step"))
		return js_i64(js_get(q->body, "step"), 1, JSON_INT_MAX, &id)
			? retry_step(q, id, e)
			: err_set(e, RC_INVALID,
				  "expected the id of a step: `muster "
				  "journal` lists them");
	if (js_has(q->body, "room"))
		return js_get_str(q->body, "room")
			? retry_room(q, js_get_str(q->body, "room"), e)
			: err_set(e, RC_INVALID, "expected a room's alias");
	if (js_has(q->body, "user"))
		return retry_user(q, js_get_str(q->body, "user"), e);
	return retry_all(q, e);
}

/* --- direct ------------------------------------------------------------------ */

static enum rc person_of(
	struct ask *q, struct js user, const struct person **ret, struct err *e)
{
	const char *id = NULL;
	enum rc rc = ask_full_id(q, js_str(user), &id, e);
	if (rc != RC_OK)
		return rc;
	const struct person *p = fleet_person(&q->app->fleet, id);
	if (!p)
		return ask_no_such_agent(id, e);
	if (!p->deployed)
		return err_set(e, RC_INVALID,
			"%s is not of the fleet now: fleet.config deploys "
			"others of the organisation",
			id);
	*ret = p;
	return RC_OK;
}

static bool same_department(const struct person *a, const struct person *b)
{
	return a->department ? text_eq(a->department, b->department)
			     : !b->department;
}

/* The setting that would declare the two a pair; NULL: none. */
static const char *pairing(const struct person *a, const struct person *b)
{
	if (a->bot || b->bot || (a->human && b->human))
		return NULL;
	if (text_eq(a->manager, b->user_id) || text_eq(b->manager, a->user_id))
		return "direct.manager_report";
	if (a->human || b->human)
		return NULL;
	if (a->manager && text_eq(a->manager, b->manager))
		return "direct.manager_peers";
	if (a->team && text_eq(a->team, b->team) && same_department(a, b))
		return "direct.team_peers";
	return NULL;
}

static enum rc no_pair(
	const struct person *a, const struct person *b, struct err *e)
{
	const char *setting = pairing(a, b);
	if (a == b)
		return err_set(e, RC_INVALID,
			"a direct room is between two: %s is named twice",
			a->user_id);
	if (setting)
		return err_set(e, RC_INVALID,
			"%s and %s are no declared pair: with %s: true they "
			"would be",
			a->user_id, b->user_id, setting);
	return err_set(e, RC_INVALID,
		"%s and %s are no declared pair: they are neither manager and "
		"report (direct.manager_report), nor agents of one manager "
		"(direct.manager_peers) or of one team (direct.team_peers)",
		a->user_id, b->user_id);
}

static enum rc find_pair(struct ask *q, const struct room **ret, struct err *e)
{
	const struct person *one = NULL, *two = NULL;
	struct js users = js_get(q->body, "users");
	if (js_len(users) != 2)
		return err_set(e, RC_INVALID, "expected two users");
	enum rc rc = person_of(q, js_at(users, 0), &one, e);
	if (rc == RC_OK)
		rc = person_of(q, js_at(users, 1), &two, e);
	if (rc != RC_OK || !one || !two)
		return rc;
	const bool sorted = strcmp(one->user_id, two->user_id) < 0;
	const char *key = arena_printf(&q->a, "%s %s",
		sorted ? one->user_id : two->user_id,
		sorted ? two->user_id : one->user_id);
	if (!key)
		return err_nomem(e);
	*ret = fleet_room(&q->app->fleet, key);
	return *ret ? RC_OK : no_pair(one, two, e);
}

static enum rc direct(struct ask *q, struct err *e)
{
	const struct room *room = NULL;
	bool new = false;
	enum rc rc = find_pair(q, &room, e);
	if (rc != RC_OK || !room)
		return rc;
	const struct store_room *row = snapshot_room(&q->now, room->key);
	jb_str(&q->out, "room", room->key);
	jb_str(&q->out, "room_id", row ? row->room_id : NULL);
	if (row && row->room_id)
		return RC_OK;
	if (reconcile_direct_mode(q->app) == DIRECT_OFF)
		return err_set(e, RC_INVALID,
			"direct.create is off: no direct rooms are made");
	q->audit = (struct store_audit){ .action = "direct",
		.subject = room->key,
		.detail = "a direct room is wanted" };
	rc = store_begin(q->app->store, e);
	if (rc == RC_OK)
		rc = store_room_want(q->app->store, room->key, &new, e);
	return ask_commit(q, rc, e);
}

void ask_retire(struct http_call *c)
{
	ask_answer(c, retire);
}

void ask_approve(struct http_call *c)
{
	ask_answer(c, approve);
}

void ask_retry(struct http_call *c)
{
	ask_answer(c, retry);
}

void ask_direct(struct http_call *c)
{
	ask_answer(c, direct);
}
