/*
 * The part of the plan for what is declared no longer: agents who leave the
 * fleet, rooms of the policy that are none any more, and rooms that another one
 * has replaced.
 *
 * An organisation that is empty by mistake must not dissolve a company: when
 * all agents, or more than a third, would be retired, an operator is asked
 * first.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/reconcile/plan_priv.h"
#include "base/str.h"

#include "base/poison.h"

/* Those who have left, or are about to, by id; but for those that humans have
 * now, who stay where they are. */
struct leavers {
	const struct store_agent **who;
	size_t n;
	bool all; /* also who was not let go by somebody */
};

static bool is_human(const struct fleet *f, const struct store_agent *row)
{
	const struct person *who = fleet_person(f, row->user_id);
	return who && who->human;
}

/* It is an account of ours: one that was there before is not touched, nor one
 * whose name a human has now. */
static bool is_ours(const struct fleet *f, const struct store_agent *row)
{
	return !row->sender && row->state != AGENT_DECLARED &&
		(row->state != AGENT_BLOCKED || row->generation > 0) &&
		!is_human(f, row);
}

/* What we had given it a human must not find. */
static bool is_given_away(const struct fleet *f, const struct store_agent *row)
{
	return !row->sender && row->generation > 0 && is_human(f, row);
}

bool agent_is_leaving(const struct fleet *f, const struct store_agent *row)
{
	return row->state != AGENT_RETIRED && !plan_agent(f, row->user_id) &&
		(is_ours(f, row) || is_given_away(f, row));
}

bool agent_has_left(const struct fleet *f, const struct store_agent *row)
{
	return is_ours(f, row) && row->state == AGENT_RETIRED &&
		!plan_agent(f, row->user_id);
}

/*
 * Whether those who are to leave may, without being asked for. While some of
 * those who were let go together are on their way, the others of them count as
 * well: whoever comes to them is one more of so many.
 */
static bool may_all_leave(struct planner *p)
{
	size_t fleet = 0, leaving = 0, waiting = 0, gone = 0;
	bool under_way = false;
	for (size_t i = 0; i < p->now->n_agents; i++) {
		const struct store_agent *row = &p->now->agents[i];
		const bool leaves = agent_is_leaving(p->f, row);
		gone += row->may_leave && agent_has_left(p->f, row);
		under_way |= row->may_leave && leaves;
		fleet += leaves ||
			(is_ours(p->f, row) && row->state != AGENT_RETIRED);
		leaving += leaves;
		waiting += leaves && !row->may_leave;
	}
	if (under_way) {
		fleet += gone;
		leaving += gone;
	}
	if (leaving * 3 <= fleet)
		return true;
	p->plan->removals = waiting;
	p->plan->removals_of = fleet;
	return waiting == 0;
}

static bool goes(const struct planner *p, const struct leavers *l,
	const struct store_agent *row)
{
	return agent_is_leaving(p->f, row) && (l->all || row->may_leave);
}

static struct leavers find_leavers(struct planner *p)
{
	struct leavers l = { .all = may_all_leave(p) };
	l.who = arena_array(p->a, p->now->n_agents + 1, sizeof(*l.who));
	for (size_t i = 0; l.who && i < p->now->n_agents; i++) {
		const struct store_agent *row = &p->now->agents[i];
		if (agent_has_left(p->f, row) ||
			(goes(p, &l, row) && is_ours(p->f, row)))
			l.who[l.n++] = row;
	}
	return l;
}

static int by_id(const void *key, const void *item)
{
	const struct store_agent *row =
		*(const struct store_agent *const *)item;
	return strcmp(key, row->user_id);
}

static bool has_left(const struct leavers *l, const char *user_id)
{
	return l->n > 0 &&
		bsearch(user_id, l->who, l->n, sizeof(struct store_agent *),
			by_id);
}

/* Out of a room that is not declared, or of which the user is no member. */
static void plan_out(struct planner *p, const struct store_room *row,
	const char *where, const char *user_id, const char *actor,
	const char *reason)
{
	struct step *st = plan_add(p, STEP_LEAVE, user_id, reason);
	if (!st)
		return;
	st->where = where;
	st->room_id = row->room_id;
	st->actor = actor;
	st->person = plan_agent(p->f, user_id);
}

/* --- who leaves ------------------------------------------------------------------ */

static void plan_revokes(struct planner *p, const struct leavers *l)
{
	p->rank = RANK_LEAVERS;
	for (size_t i = 0; i < p->now->n_agents; i++) {
		const struct store_agent *row = &p->now->agents[i];
		if (!goes(p, l, row))
			continue;
		p->lane = p->plan->lanes++;
		plan_add(p, STEP_REVOKE, row->user_id,
			is_human(p->f, row)
				? "is a human now: its token ends"
				: "is not declared any more: it is retired");
	}
}

/* A room of the policy that is none any more is left by the agents. The
 * service's own user stays, so that it is this room again when it is declared
 * again; so do two whose direct room it is. */
static bool is_dissolved(const struct planner *p, const struct store_room *row)
{
	return !row->direct && !fleet_room(p->f, row->key) &&
		!p->taken[row - p->now->rooms];
}

static void plan_out_of(struct planner *p, const struct store_room *row,
	const struct leavers *l)
{
	const bool dissolved = is_dissolved(p, row);
	if (!row->room_id || (!dissolved && l->n == 0))
		return;
	p->lane = plan_lane(p, row);
	for (size_t i = 0; i < row->n_members; i++) {
		const struct store_member *m = &row->members[i];
		if (!member_is_in(m))
			continue;
		if (has_left(l, m->user_id))
			plan_out(p, row, row->key, m->user_id, m->user_id,
				"is not declared any more");
		else if (dissolved && plan_may_act_for(p, m->user_id))
			plan_out(p, row, row->key, m->user_id, m->user_id,
				"the room is not declared any more");
	}
}

/* Somebody of ours: it leaves now, or when an operator has let it go. */
static bool is_to_leave(const struct planner *p, const char *user_id)
{
	const struct store_agent *row = snapshot_agent(p->now, user_id);
	return plan_agent(p->f, user_id) ||
		(row && is_ours(p->f, row) && agent_is_leaving(p->f, row));
}

/* The room that takes its place is still to be made. */
static bool is_last_one(const struct planner *p, const struct store_room *old)
{
	return fleet_room(p->f, old->key) &&
		!is_room(snapshot_room(p->now, old->key));
}

/* The agents first; when they are out, the service's own user: then it is
 * forgotten that there was such a room. */
static void plan_out_of_old(struct planner *p, const struct store_room *row,
	const struct leavers *l)
{
	const char *why = arena_printf(
		p->a, "another room has the place of this one, %s", row->key);
	size_t left = 0;
	if (is_last_one(p, row))
		return;
	p->lane = p->plan->lanes++;
	for (size_t i = 0; i < row->n_members; i++) {
		const char *id = row->members[i].user_id;
		if (!member_is_in(&row->members[i]))
			continue;
		left += has_left(l, id) || is_to_leave(p, id);
		if (has_left(l, id) || plan_may_act_for(p, id))
			plan_out(p, row, row->room_id, id, id, why);
	}
	if (left == 0)
		plan_out(p, row, row->room_id, p->how->sender_id, NULL, why);
}

void plan_leavers(struct planner *p)
{
	const struct leavers l = find_leavers(p);
	plan_revokes(p, &l);
	for (size_t i = 0; i < p->now->n_rooms; i++)
		plan_out_of(p, &p->now->rooms[i], &l);
	p->rank = RANK_HUMANS - 1;
	for (size_t i = 0; i < p->now->n_old; i++)
		plan_out_of_old(p, &p->now->old[i], &l);
}
