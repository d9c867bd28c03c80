/*
 * How far it is what somebody has asked for: of the plan that holds now, the
 * steps that belong to it, and what has failed since.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/asks_priv.h"
#include "appservice/ops/rotation_words.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/reconcile/work.h"
#include "base/clock.h"
#include "base/json.h"

#include "base/poison.h"

#define NONE (-1)
#define AUDIT_ROWS 200
#define JOURNAL_ROWS 1000 /* among which the one is that is waited for */

struct progress {
	struct app *app;
	struct arena a;
	int64_t since_ms;
	const char *user, *room; /* NULL: not of one */
	bool leaving;            /* of those who were let go */
	int64_t run;             /* of these rotations; 0: not of any */
	struct store_snapshot now;
	struct plan plan;
	struct store_step *rows; /* tried again, or failed, since then */
	size_t n_rows;
	int64_t pending;
	bool *told; /* by row: it is the reason for something */
};

static const char *why_not(const struct reconcile_state *st)
{
	if (st->connected)
		return NULL;
	return st->why[0] ? st->why : "the homeserver has not answered yet";
}

static enum rc look(struct progress *p, struct err *e)
{
	enum rc rc = app_snapshot(p->app, &p->a, &p->now, e);
	if (rc == RC_OK)
		rc = reconcile_plan_from(p->app, &p->now, &p->a, &p->plan, e);
	if (rc == RC_OK)
		rc = store_journal_hurried(p->app->store, p->since_ms, &p->a,
			&p->rows, &p->n_rows, e);
	if (rc == RC_OK)
		p->told = arena_array(&p->a, p->n_rows + 1, sizeof(bool));
	return rc == RC_OK && !p->told ? err_nomem(e) : rc;
}

static bool has_failed(const struct progress *p, const struct store_step *row)
{
	return row->state == JOURNAL_FAILED && row->updated_ms >= p->since_ms;
}

static int row_cmp(const void *key, const void *item)
{
	const struct step *st = key;
	const struct store_step *row = item;
	int c = strcmp(st->subject, row->subject);
	if (c == 0)
		c = strcmp(step_kind_name(st->kind), row->kind);
	if (c == 0)
		c = strcmp(
			st->where ? st->where : "", row->room ? row->room : "");
	return c;
}

/* The step's row, when it has failed since. */
static int failed_row(const struct progress *p, const struct step *st)
{
	const struct store_step *row = p->n_rows == 0
		? NULL
		: bsearch(st, p->rows, p->n_rows, sizeof(*row), row_cmp);
	return row && has_failed(p, row) ? (int)(row - p->rows) : NONE;
}

/* Direct rooms that are still to be made are another matter, which may take
 * hours, and so is the list of them. */
static bool is_of_user(const struct progress *p, const struct step *st)
{
	const struct store_room *row =
		st->where ? snapshot_room(&p->now, st->where) : NULL;
	if (!text_eq(st->subject, p->user) || st->kind == STEP_DIRECT_MARK)
		return false;
	return !st->room || !st->room->direct || (row && row->room_id);
}

static bool is_of_leaver(const struct progress *p, const struct step *st)
{
	const struct store_agent *row = snapshot_agent(&p->now, st->subject);
	return row &&
		(agent_is_leaving(&p->app->fleet, row) ||
			agent_has_left(&p->app->fleet, row));
}

static bool is_meant(const struct progress *p, const struct step *st)
{
	if (p->user)
		return is_of_user(p, st);
	return p->room ? text_eq(st->where, p->room) : is_of_leaver(p, st);
}

/* Steps come after those that they need. */
static enum rc look_at_steps(struct progress *p, struct err *e)
{
	int *why = arena_array(&p->a, p->plan.n + 1, sizeof(*why));
	if (!why)
		return err_nomem(e);
	for (size_t i = 0; i < p->plan.n; i++) {
		const struct step *st = &p->plan.steps[i];
		why[i] = failed_row(p, st);
		for (size_t k = 0; k < STEP_NEEDS && why[i] == NONE; k++)
			if (st->need[k] != NONE)
				why[i] = why[st->need[k]];
		if (!is_meant(p, st))
			continue;
		if (why[i] == NONE)
			p->pending++;
		else
			p->told[why[i]] = true;
	}
	return RC_OK;
}

/* What was tried again, whatever it is of. */
static void look_at_rows(struct progress *p)
{
	for (size_t i = 0; i < p->n_rows; i++) {
		p->told[i] = has_failed(p, &p->rows[i]);
		p->pending += !p->told[i];
	}
}

static void write_failed(struct jb *b, const struct progress *p)
{
	jb_arr(b, "failed");
	for (size_t i = 0; i < p->n_rows; i++) {
		const struct store_step *row = &p->rows[i];
		if (!p->told[i])
			continue;
		jb_obj(b, NULL);
		jb_int(b, "id", row->id);
		jb_str(b, "kind", row->kind);
		jb_str(b, "subject", row->subject);
		jb_str(b, "room", row->room);
		jb_str(b, "error", row->error);
		jb_end_obj(b);
	}
	jb_end_arr(b);
}

/* Where somebody keeps the user out, and what was said of it since. */
static enum rc write_held(struct jb *b, struct progress *p, struct err *e)
{
	const struct plan_how how = reconcile_how(p->app, 0);
	struct store_audit *rows = NULL;
	size_t n = 0;
	jb_arr(b, "held");
	for (size_t i = 0; p->user && i < p->app->fleet.n_rooms; i++) {
		const struct room *room = &p->app->fleet.rooms[i];
		if (room_has_member(room, p->user) &&
			member_is_held(&how, &p->now,
				snapshot_room(&p->now, room->key), p->user,
				NULL))
			jb_str(b, NULL, room->key);
	}
	jb_end_arr(b);
	enum rc rc = store_audit_list(
		p->app->store, AUDIT_ROWS, &p->a, &rows, &n, e);
	jb_arr(b, "refused");
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (rows[i].ms >= p->since_ms && p->user &&
			text_eq(rows[i].action, REFUSED_UNBAN) &&
			text_eq(rows[i].subject, p->user))
			jb_str(b, NULL, rows[i].detail);
	jb_end_arr(b);
	return rc;
}

/* --- what is in the way --------------------------------------------------------- */

static bool is_mine(const struct progress *p, const struct store_step *row)
{
	if (p->run)
		return text_eq(row->kind, step_kind_name(STEP_LOGIN));
	return (p->user && text_eq(row->subject, p->user)) ||
		(p->room && text_eq(row->room, p->room));
}

/* What is at work for the longest time: of what is asked about, else of all,
 * as others may have to be done before. NULL: nothing is. */
static const struct store_step *at_work(
	const struct progress *p, const struct store_step *rows, size_t n)
{
	const struct store_step *best = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct store_step *row = &rows[i];
		if (row->state != JOURNAL_RUNNING)
			continue;
		const bool mine = is_mine(p, row);
		if (!best || mine > is_mine(p, best) ||
			(mine == is_mine(p, best) &&
				row->updated_ms < best->updated_ms))
			best = row;
	}
	return best;
}

static const char *work_words(struct progress *p, const struct store_step *row)
{
	const int64_t ms = clock_wall_ms() - row->updated_ms;
	const bool where = row->room && !text_eq(row->room, row->subject);
	return arena_printf(&p->a,
		"the step %s of %s%s%s is at work for %lld s: it has no answer "
		"yet",
		row->kind, row->subject, where ? " in " : "",
		where ? row->room : "", (long long)(ms > 0 ? ms / 1000 : 0));
}

/* Of those that have failed since. */
static const char *failed_words(struct progress *p)
{
	const struct store_step *newest = NULL;
	for (size_t i = 0; i < p->n_rows; i++)
		if (has_failed(p, &p->rows[i]) &&
			(!newest || p->rows[i].updated_ms > newest->updated_ms))
			newest = &p->rows[i];
	return newest ? arena_printf(&p->a,
				"the step %s of %s failed, and is tried again: "
				"%s",
				newest->kind, newest->subject, newest->error)
		      : NULL;
}

/* Nothing is planned before it ends. */
static const char *look_words(
	struct progress *p, const struct reconcile_state *st)
{
	const int64_t ms = st->looks_ms ? clock_mono_ms() - st->looks_ms : 0;
	return ms < 1000
		? NULL
		: arena_printf(&p->a,
			  "the homeserver is asked what there is, for %lld s "
			  "already: nothing is begun before that is known",
			  (long long)(ms / 1000));
}

/* Why it is not done yet, where that is known; what cannot be read is not. */
static const char *find_in_way(
	struct progress *p, const struct reconcile_state *st)
{
	struct store_step *rows = NULL;
	size_t n = 0;
	if (store_journal_list(p->app->store, JOURNAL_ROWS, &p->a, &rows, &n,
		    NULL) != RC_OK)
		return NULL;
	const struct store_step *row = at_work(p, rows, n);
	if (row)
		return work_words(p, row);
	const char *look = look_words(p, st);
	return look ? look : failed_words(p);
}

/* --- of the rotations of one run ------------------------------------------------ */

static bool is_open(enum rotation_state st)
{
	return st >= ROTATION_WAITING && st <= ROTATION_ISSUED;
}

int64_t ask_rotations_take_ms(const struct app *app, int64_t n)
{
	const int64_t wait = config_int(&app->config, SET_HANDOFF_WAIT);
	return (n + 3) / 4 * 2 * wait;
}

static void write_rotation(struct jb *b, const struct store_agent *row)
{
	jb_obj(b, NULL);
	jb_str(b, "user_id", row->user_id);
	jb_str(b, "state", rotation_state_name(row->rotation.state));
	jb_int(b, "generation", row->rotation.generation);
	jb_int(b, "since_ms", row->rotation.state_ms);
	jb_str(b, "error",
		row->rotation.error                    ? row->rotation.error
			: is_open(row->rotation.state) ? row->error
						       : NULL);
	jb_end_obj(b);
}

/* The first that has not ended. */
static const char *open_words(
	struct progress *p, const struct store_agent *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_open(rows[i].rotation.state))
			return arena_printf(&p->a, "%s: %s%s%s",
				rows[i].user_id,
				rotation_words(rows[i].rotation.state),
				rows[i].error ? ": " : "",
				rows[i].error ? rows[i].error : "");
	return NULL;
}

/* A login that has no answer, or whose turn it is. */
static const char *run_in_way(struct progress *p,
	const struct reconcile_state *st, const struct store_agent *rows,
	size_t n)
{
	const char *open = open_words(p, rows, n);
	const char *why = open ? find_in_way(p, st) : NULL;
	return why ? why : open;
}

static void write_run(struct jb *b, struct progress *p,
	const struct store_agent *rows, size_t n)
{
	struct reconcile_state st = { 0 };
	int64_t open = 0;
	if (p->app->reconcile)
		reconcile_state(p->app->reconcile, &st);
	jb_obj(b, NULL);
	jb_arr(b, "rotations");
	for (size_t i = 0; i < n; i++) {
		open += is_open(rows[i].rotation.state);
		write_rotation(b, &rows[i]);
	}
	jb_end_arr(b);
	jb_int(b, "pending", open);
	jb_int(b, "may_take_ms", ask_rotations_take_ms(p->app, open));
	jb_str(b, "why_not", why_not(&st));
	jb_str(b, "in_way", run_in_way(p, &st, rows, n));
	jb_end_obj(b);
}

/* --- of steps -------------------------------------------------------------------- */

static const char *held_why(const struct progress *p)
{
	for (size_t i = 0; p->room && i < p->plan.n_troubles; i++)
		if (text_eq(p->plan.troubles[i].where, p->room))
			return p->plan.troubles[i].why;
	return NULL;
}

static enum rc write(struct jb *b, struct progress *p, struct err *e)
{
	const struct store_agent *agent =
		p->user ? snapshot_agent(&p->now, p->user) : NULL;
	const struct store_room *room =
		p->room ? snapshot_room(&p->now, p->room) : NULL;
	struct reconcile_state st = { 0 };
	if (p->app->reconcile)
		reconcile_state(p->app->reconcile, &st);
	jb_obj(b, NULL);
	jb_int(b, "pending", p->pending);
	write_failed(b, p);
	jb_str(b, "why_not", why_not(&st));
	jb_str(b, "in_way", p->pending > 0 ? find_in_way(p, &st) : NULL);
	jb_str(b, "state", agent ? agent_state_name(agent->state) : NULL);
	jb_str(b, "error", agent ? agent->error : NULL);
	jb_bool(b, "revoking", agent && agent->revoke_ms > 0);
	jb_str(b, "room_id", room ? room->room_id : NULL);
	jb_str(b, "held_why", held_why(p));
	enum rc rc = write_held(b, p, e);
	jb_end_obj(b);
	return rc;
}

static enum rc write_steps(struct jb *b, struct progress *p, struct err *e)
{
	enum rc rc = look(p, e);
	if (rc == RC_OK && (p->user || p->room || p->leaving))
		rc = look_at_steps(p, e);
	else if (rc == RC_OK)
		look_at_rows(p);
	return rc == RC_OK ? write(b, p, e) : rc;
}

static enum rc answer_run(struct jb *b, struct progress *p, struct err *e)
{
	struct store_agent *rows = NULL;
	size_t n = 0;
	enum rc rc = store_rotations_of_run(
		p->app->store, p->run, &p->a, &rows, &n, e);
	if (rc == RC_OK)
		write_run(b, p, rows, n);
	return rc;
}

static bool read_number(struct http_call *c, const char *name, int64_t *ret)
{
	const char *text = http_call_query(c, name);
	return text && str_i64(str_of(text), 0, JSON_INT_MAX, ret);
}

void get_progress(struct http_call *c)
{
	struct progress p = { .app = c->server_arg,
		.user = http_call_query(c, "user"),
		.room = http_call_query(c, "room"),
		.leaving = http_call_query(c, "leaving") != NULL };
	struct err e = { 0 };
	struct jb b;
	if (!read_number(c, "since_ms", &p.since_ms)) {
		http_call_error(c, RC_INVALID, "expected since_ms=TIME");
		return;
	}
	(void)!read_number(c, "run", &p.run);
	buf_clear(&c->answer);
	jb_init(&b, &c->answer);
	app_hold(p.app);
	enum rc rc = p.run ? answer_run(&b, &p, &e) : write_steps(&b, &p, &e);
	app_let_go(p.app);
	if (rc == RC_OK)
		rc = buf_rc(&c->answer);
	if (rc != RC_OK)
		http_call_error(c, rc, e.text);
	arena_free(&p.a);
}
