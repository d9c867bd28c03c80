/*
 * What is left once accounts and rooms are ours are steps like any other, of
 * which the plan knows best. All of it goes into the journal, so that nothing
 * that is under way is forgotten, and those steps are done here without which
 * the fleet would stand still, or its rooms open: the others are the service's.
 */
#include "appservice/adopt/adopt_priv.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/reconcile/work.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

struct finish {
	struct adopt *ad;
	struct arena a;
	struct plan plan;
	struct store_step *rows; /* of each of its steps */
};

static struct adopt_agent *taken_agent(
	struct adopt *ad, const struct person *person)
{
	for (size_t i = 0; person && i < ad->n_agents; i++)
		if (ad->agents[i].person == person && ad->agents[i].taken)
			return &ad->agents[i];
	return NULL;
}

static struct adopt_room *done_room(struct adopt *ad, const struct room *room)
{
	for (size_t i = 0; room && i < ad->n_rooms; i++)
		if (ad->rooms[i].room == room && ad->rooms[i].done)
			return &ad->rooms[i];
	return NULL;
}

static bool is_ours_to_do(struct finish *f, const struct step *st)
{
	switch (st->kind) {
	case STEP_PROFILE:
	case STEP_LOGIN:
	case STEP_HAND_OFF:
		return taken_agent(f->ad, st->person);
	case STEP_SET_STATE:
		return done_room(f->ad, st->room);
	default:
		return false;
	}
}

static enum rc write_journal(struct finish *f, struct err *e)
{
	struct store *s = f->ad->app->store;
	f->rows = arena_array(&f->a, f->plan.n + 1, sizeof(*f->rows));
	if (!f->rows)
		return err_nomem(e);
	for (size_t i = 0; i < f->plan.n; i++) {
		const struct step *st = &f->plan.steps[i];
		f->rows[i].kind = step_kind_name(st->kind);
		f->rows[i].subject = st->subject;
		f->rows[i].room = st->where;
		f->rows[i].reason = st->reason;
	}
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_journal_sync(
			s, f->rows, f->plan.n, clock_wall_ms(), &f->a, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

static enum rc begin_step(
	struct finish *f, const struct store_step *row, struct err *e)
{
	struct store *s = f->ad->app->store;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_journal_start(s, row->id, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* The service tries it again, as soon as it is there. */
static enum rc step_failed(struct finish *f, const struct store_step *row,
	const char *why, bool unsure, struct err *e)
{
	struct store *s = f->ad->app->store;
	const int64_t now = clock_wall_ms();
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_journal_failed(s, row->id, why, unsure, now, now, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* What went wrong, for the report: the first of it. */
static enum rc note(struct finish *f, const struct step *st,
	const struct err *why, const char **ret, struct err *e)
{
	if (*ret)
		return RC_OK;
	*ret = arena_printf(&f->ad->a, "%s: %s (the service tries it again)",
		step_kind_name(st->kind), why->text);
	return *ret ? RC_OK : err_nomem(e);
}

static enum rc tell(struct finish *f, const struct step *st, enum rc rc,
	const struct err *why, struct err *e)
{
	struct adopt_agent *agent = taken_agent(f->ad, st->person);
	struct adopt_room *r = done_room(f->ad, st->room);
	if (rc != RC_OK)
		return note(f, st, why, agent ? &agent->why : &r->why, e);
	if (agent && st->kind == STEP_HAND_OFF)
		agent->handed_off = !agent->why;
	if (r && st->kind == STEP_SET_STATE &&
		text_eq(st->subject, room_state_type(ROOM_STATE_JOIN_RULES)))
		r->closed = r->room->policy->join_rule == JOIN_INVITE;
	return RC_OK;
}

static enum rc do_step(struct finish *f, size_t i, struct err *e)
{
	const struct step *st = &f->plan.steps[i];
	struct err why = { 0 };
	struct work w = { .app = f->ad->app,
		.hs = f->ad->hs,
		.step = st,
		.journal_id = f->rows[i].id,
		.since_ms = clock_wall_ms(),
		.tried_ms = f->rows[i].updated_ms,
		.interrupted = f->rows[i].unsure };
	enum rc rc = begin_step(f, &f->rows[i], e);
	if (rc != RC_OK)
		return rc;
	rc = work_do(&w, &why);
	arena_free(&w.a);
	if (rc != RC_OK && !w.blocked && !w.held) {
		const enum rc noted =
			step_failed(f, &f->rows[i], why.text, w.asked, e);
		if (noted != RC_OK)
			return noted;
	}
	if (adopt_is_fatal(rc))
		return err_set(e, rc, "%s", why.text);
	return tell(f, st, rc, &why, e);
}

enum rc adopt_finish(struct adopt *ad, struct err *e)
{
	struct finish f = { .ad = ad };
	enum rc rc = reconcile_plan(ad->app, &f.a, &f.plan, e);
	if (rc == RC_OK)
		rc = write_journal(&f, e);
	for (size_t i = 0; i < f.plan.n && rc == RC_OK; i++) {
		if (!is_ours_to_do(&f, &f.plan.steps[i]))
			continue;
		rc = adopt_stopped(e);
		if (rc == RC_OK)
			rc = do_step(&f, i, e);
	}
	arena_free(&f.a);
	return rc;
}
