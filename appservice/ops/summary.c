/*
 * What a plan changes, in short: who joins the fleet and who leaves it, who
 * changes rooms, which rooms come and go. The steps say the same, one by one.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/ops/views.h"
#include "base/str.h"

#include "base/poison.h"

/* An agent of the fleet goes out of a room, or into one. */
struct move {
	const char *user_id, *room;
	bool out;
};

struct summary {
	const struct fleet *f;
	const struct store_snapshot *now;
	const struct plan *plan;
	struct jb *b;
	struct arena *a;
	bool *joins; /* by the place among the fleet's agents */
	struct move *moves;
	size_t n_moves, cap;
};

/* It has no account yet, or comes back. */
static bool is_join(const struct summary *s, const struct step *st)
{
	if (!st->person)
		return false;
	const struct store_agent *row = snapshot_agent(s->now, st->subject);
	return st->kind == STEP_REGISTER ||
		(st->kind == STEP_LOGIN && row && row->state == AGENT_RETIRED);
}

static void find_moves(struct summary *s)
{
	for (size_t i = 0; i < s->plan->n; i++) {
		const struct step *st = &s->plan->steps[i];
		const bool out = st->kind == STEP_LEAVE;
		if (!st->person || s->joins[st->person->agent_no] ||
			!st->where || *st->where != '#' ||
			(!out && st->kind != STEP_JOIN))
			continue;
		struct move *m = arena_push(
			s->a, &s->moves, &s->n_moves, &s->cap, sizeof(*m));
		if (m)
			*m = (struct move){ st->subject, st->where, out };
	}
}

static int by_user(const void *a, const void *b)
{
	const struct move *x = a, *y = b;
	int c = strcmp(x->user_id, y->user_id);
	return c ? c : strcmp(x->room, y->room);
}

static void write_rooms_of(const struct summary *s, const char *key,
	size_t from, size_t to, bool out)
{
	jb_arr(s->b, key);
	for (size_t i = from; i < to; i++)
		if (s->moves[i].out == out)
			jb_str(s->b, NULL, s->moves[i].room);
	jb_end_arr(s->b);
}

static void write_moves(const struct summary *s)
{
	if (s->n_moves > 0)
		qsort(s->moves, s->n_moves, sizeof(*s->moves), by_user);
	jb_arr(s->b, "moves");
	for (size_t i = 0, end; i < s->n_moves; i = end) {
		for (end = i + 1; end < s->n_moves; end++)
			if (!text_eq(
				    s->moves[i].user_id, s->moves[end].user_id))
				break;
		jb_obj(s->b, NULL);
		jb_str(s->b, "user_id", s->moves[i].user_id);
		write_rooms_of(s, "out_of", i, end, true);
		write_rooms_of(s, "into", i, end, false);
		jb_end_obj(s->b);
	}
	jb_end_arr(s->b);
}

static void write_joins(const struct summary *s)
{
	for (size_t i = 0; i < s->plan->n; i++) {
		const struct step *st = &s->plan->steps[i];
		if (is_join(s, st))
			s->joins[st->person->agent_no] = true;
	}
	jb_arr(s->b, "agents_join");
	for (size_t i = 0; i < s->f->n_agents; i++)
		if (s->joins[i])
			jb_str(s->b, NULL, s->f->agents[i]->user_id);
	jb_end_arr(s->b);
}

/* Those as well who would wait for somebody to let them go. */
static void write_leavers(const struct summary *s)
{
	jb_arr(s->b, "agents_leave");
	for (size_t i = 0; i < s->now->n_agents; i++)
		if (agent_is_leaving(s->f, &s->now->agents[i]))
			jb_str(s->b, NULL, s->now->agents[i].user_id);
	jb_end_arr(s->b);
	jb_bool(s->b, "approve", s->plan->removals > 0);
}

static bool is_renamed(const struct summary *s, const char *key)
{
	for (size_t i = 0; i < s->plan->n; i++)
		if (text_eq(s->plan->steps[i].from, key))
			return true;
	return false;
}

/* A room of the policy is made: no direct one, and none that is followed. */
static bool is_made(const struct step *st)
{
	return st->kind == STEP_CREATE_ROOM && !st->room->direct &&
		!st->room_id;
}

static void write_made(const struct summary *s)
{
	jb_arr(s->b, "rooms_made");
	for (size_t i = 0; i < s->plan->n; i++)
		if (is_made(&s->plan->steps[i]))
			jb_str(s->b, NULL, s->plan->steps[i].where);
	jb_end_arr(s->b);
}

static void write_renamed(const struct summary *s)
{
	jb_arr(s->b, "rooms_renamed");
	for (size_t i = 0; i < s->plan->n; i++) {
		const struct step *st = &s->plan->steps[i];
		if (!st->from)
			continue;
		jb_obj(s->b, NULL);
		jb_str(s->b, "from", st->from);
		jb_str(s->b, "to", st->where);
		jb_end_obj(s->b);
	}
	jb_end_arr(s->b);
}

static void write_dissolved(const struct summary *s)
{
	jb_arr(s->b, "rooms_dissolved");
	for (size_t i = 0; i < s->now->n_rooms; i++) {
		const struct store_room *row = &s->now->rooms[i];
		if (!row->direct && row->declared && row->room_id &&
			!fleet_room(s->f, row->key) && !is_renamed(s, row->key))
			jb_str(s->b, NULL, row->key);
	}
	jb_end_arr(s->b);
}

static void write_changed(const struct summary *s)
{
	jb_arr(s->b, "rooms_changed");
	for (size_t i = 0; i < s->plan->n; i++) {
		const struct step *st = &s->plan->steps[i];
		if (st->kind != STEP_SET_STATE || st->from)
			continue;
		jb_obj(s->b, NULL);
		jb_str(s->b, "room", st->where);
		jb_str(s->b, "type", st->subject);
		jb_end_obj(s->b);
	}
	jb_end_arr(s->b);
}

static void write_names(const struct summary *s)
{
	jb_arr(s->b, "names");
	for (size_t i = 0; i < s->plan->n; i++) {
		const struct step *st = &s->plan->steps[i];
		const struct store_agent *row =
			snapshot_agent(s->now, st->subject);
		if (st->kind != STEP_PROFILE || !st->person || !row ||
			!row->shown_name)
			continue;
		jb_obj(s->b, NULL);
		jb_str(s->b, "user_id", st->subject);
		jb_str(s->b, "from", row->shown_name);
		jb_str(s->b, "to", st->person->name);
		jb_end_obj(s->b);
	}
	jb_end_arr(s->b);
}

static void write_counts(const struct summary *s)
{
	int64_t direct = 0, humans = 0, kicked = 0;
	for (size_t i = 0; i < s->plan->n; i++) {
		const struct step *st = &s->plan->steps[i];
		direct += st->kind == STEP_CREATE_ROOM && st->room->direct;
		humans += st->kind == STEP_INVITE && !st->person;
		kicked += st->kind == STEP_KICK;
	}
	jb_int(s->b, "direct_rooms", direct);
	jb_int(s->b, "humans_invited", humans);
	jb_int(s->b, "kicked", kicked);
}

enum rc plan_write_summary(struct jb *b, const struct fleet *f,
	const struct store_snapshot *now, const struct plan *plan,
	struct arena *a, struct err *e)
{
	struct summary s = { .f = f, .now = now, .plan = plan, .b = b, .a = a };
	s.joins = arena_array(a, f->n_agents + 1, sizeof(*s.joins));
	if (!s.joins)
		return err_nomem(e);
	jb_obj(b, "summary");
	write_joins(&s);
	write_leavers(&s);
	find_moves(&s);
	write_moves(&s);
	write_made(&s);
	write_renamed(&s);
	write_dissolved(&s);
	write_changed(&s);
	write_names(&s);
	write_counts(&s);
	jb_end_obj(b);
	return arena_ok(a) ? RC_OK : err_nomem(e);
}
