/*
 * The part of the plan for the rooms of the policy: made, found under a new
 * name, followed where they were upgraded; their state; who comes in and who
 * goes.
 */
#include <string.h>

#include "appservice/reconcile/plan_priv.h"
#include "base/str.h"

#include "base/poison.h"

/* --- who should be in it ------------------------------------------------------ */

static const char *why_missing(const struct planner *p,
	const struct room_now *r, const char *user_id, const char *is)
{
	size_t n = 0;
	const struct store_removal *rows =
		snapshot_removals(p->now, r->row, user_id, &n);
	if (!is || n == 0)
		return is ? "has left" : "is not in the room";
	const char *by = rows[n - 1].by;
	if (!by)
		return "was not found in the room";
	if (text_eq(by, user_id))
		return "has left by itself";
	return arena_printf(p->a, "was removed by %s", by);
}

/* Whether the sender, who would ask them in, may. */
static bool may_invite(const struct room_now *r, const char *inviter)
{
	return inviter || power_is_enough(&r->power, r->power.invite);
}

void plan_agent_in(struct planner *p, const struct room_now *r,
	const struct person *who, const char *inviter)
{
	const char *is = room_membership(r->row, who->user_id);
	if (!plan_usable(p, who) || text_eq(is, "join"))
		return;
	if (member_is_held(p->how, p->now, r->row, who->user_id, NULL)) {
		p->plan->held++;
		return;
	}
	const int ready = p->ready[who->agent_no];
	int invited = NONE;
	if (!text_eq(is, "invite")) {
		if (!may_invite(r, inviter))
			return;
		struct step *st =
			plan_room_step(p, STEP_INVITE, r, who->user_id, inviter,
				why_missing(p, r, who->user_id, is));
		plan_need(st, ready);
		if (!st)
			return;
		st->person = who;
		plan_brings(p, st, who->user_id);
		invited = plan_index(p, st);
	}
	struct step *join = plan_room_step(p, STEP_JOIN, r, who->user_id,
		who->user_id, "is not in the room");
	plan_need(join, ready);
	plan_need(join, invited);
	if (join)
		join->person = who;
}

void plan_human_in(struct planner *p, const struct room_now *r,
	const struct person *who, const char *inviter)
{
	const char *is = room_membership(r->row, who->user_id);
	if (text_eq(is, "join"))
		return;
	if (is && !text_eq(is, "knock")) {
		p->plan->unanswered++;
		return;
	}
	if (member_is_held(p->how, p->now, r->row, who->user_id, NULL)) {
		p->plan->held++;
		return;
	}
	if (!may_invite(r, inviter))
		return;
	struct step *st = plan_room_step(
		p, STEP_INVITE, r, who->user_id, inviter, "is not in the room");
	plan_brings(p, st, who->user_id);
}

void plan_create(
	struct planner *p, struct room_now *r, const char *actor, int rank)
{
	p->rank = rank;
	struct step *st = plan_room_step(p, STEP_CREATE_ROOM, r, r->room->key,
		actor, "does not exist yet");
	plan_need(st, p->sender_ready);
	plan_brings(p, st, actor ? actor : p->how->sender_id);
	if (r->room->direct)
		plan_brings(p, st, r->room->other->user_id);
	r->created = plan_index(p, st);
}

/* Agents as they come, then humans: agents work while humans make up their
 * minds. */
static void plan_members(struct planner *p, const struct room_now *r)
{
	for (size_t i = 0; i < r->room->n_members; i++) {
		const struct person *who = r->room->members[i];
		p->rank =
			who->human ? RANK_HUMANS : RANK_ROOMS_OF(who->agent_no);
		if (who->human)
			plan_human_in(p, r, who, NULL);
		else
			plan_agent_in(p, r, who, NULL);
	}
}

/* --- who should not ------------------------------------------------------------ */

static void plan_stranger_out(struct planner *p, const struct room_now *r,
	const struct store_member *m)
{
	const struct power *power = &r->power;
	const int64_t theirs = power_of(power, m->user_id);
	if (power->known && !power->above_all &&
		(power->mine < power->kick || theirs >= power->mine)) {
		plan_trouble(p, r->room->key,
			arena_printf(p->a,
				"%s should not be in it (strict), and has the "
				"power to stay",
				m->user_id));
		return;
	}
	plan_room_step(p, STEP_KICK, r, m->user_id, NULL,
		"is not declared in this room, which is strict");
}

/* Who leaves a room that has a new name only now leaves it after that: steps of
 * one room are done in their order. */
static int rank_out(const struct planner *p, const struct room_now *r)
{
	return r->created == NONE ? RANK_LEAVERS
				  : p->plan->steps[r->created].rank;
}

/* Ours leave; others are asked out where the policy says so. Those who leave
 * the fleet are plan_leave.c's. */
static void plan_extra_out(struct planner *p, const struct room_now *r)
{
	for (size_t i = 0; i < r->row->n_members; i++) {
		const struct store_member *m = &r->row->members[i];
		if (!member_is_in(m) || room_has_member(r->room, m->user_id) ||
			text_eq(m->user_id, p->how->sender_id))
			continue;
		const struct person *agent = plan_agent(p->f, m->user_id);
		if (agent && !plan_may_act_for(p, m->user_id))
			continue;
		p->rank = agent ? rank_out(p, r) : RANK_HUMANS;
		if (!agent) {
			if (r->room->strict &&
				!snapshot_agent(p->now, m->user_id))
				plan_stranger_out(p, r, m);
			continue;
		}
		struct step *st = plan_room_step(p, STEP_LEAVE, r, m->user_id,
			m->user_id, "is not declared in this room");
		if (st)
			st->person = agent;
	}
}

/* --- its state ------------------------------------------------------------------ */

static const char *id_of(void *arg, const char *key)
{
	const struct planner *p = arg;
	const struct store_room *row = snapshot_room(p->now, key);
	return row ? row->room_id : NULL;
}

static const char *why_state(enum room_state st)
{
	switch (st) {
	case ROOM_STATE_NAME:
		return "its name is another";
	case ROOM_STATE_TOPIC:
		return "its topic is another";
	case ROOM_STATE_POWER:
		return "somebody's power in it is not as declared";
	case ROOM_STATE_JOIN_RULES:
		return "who may come in is not as declared";
	case ROOM_STATE_HISTORY:
		return "who may read what was is not as declared";
	case ROOM_STATE_ENCRYPTION:
		return "it is not encrypted";
	default:
		return "its alias is another";
	}
}

/* What a room was made with may come in two transactions, one soon after the
 * other. */
#define STILL_ARRIVING_MS 5000

/* We have just made it, by the homeserver's clock (where that is another, it was
 * not just now), and no event is of what came after that. */
static bool is_arriving(const struct planner *p, const struct room_now *r)
{
	const char *sender = p->how->sender_id;
	const struct store_member *me = room_member(r->row, sender);
	const int64_t age = me ? p->how->now_ms - me->origin_ts : INT64_MAX;
	if (!text_eq(r->row->maker, sender) || age <= -STILL_ARRIVING_MS ||
		age >= STILL_ARRIVING_MS)
		return false;
	for (size_t i = 0; i < r->row->n_members; i++) {
		const struct store_member *m = &r->row->members[i];
		if (m != me && !text_eq(m->source, "action"))
			return false;
	}
	return true;
}

/* Only what is known: a room whose creation has not arrived is not judged. */
static void plan_state(struct planner *p, const struct room_now *r)
{
	const struct state_how how = { .fleet = p->f,
		.sender_id = p->how->sender_id,
		.maker = r->row->maker,
		.create = room_state_content(r->row, ROOM_STATE_CREATE),
		.id_of = id_of,
		.arg = p };
	if (!how.create)
		return;
	const bool arriving = is_arriving(p, r);
	for (size_t i = 0; declared_state(i) != ROOM_STATES; i++) {
		const enum room_state st = declared_state(i);
		const char *is = room_state_content(r->row, st);
		if (!is && arriving)
			continue;
		const int64_t needs = st == ROOM_STATE_POWER ? r->power.levels
							     : r->power.state;
		if (state_is_right(&how, r->room, st, is) ||
			!power_is_enough(&r->power, needs))
			continue;
		p->rank = state_is_early(st) ? RANK_EARLY_STATE : RANK_LATER;
		plan_room_step(p, STEP_SET_STATE, r, room_state_type(st), NULL,
			why_state(st));
	}
}

/* --- a room that is not simply there --------------------------------------------- */

static size_t common_members(
	const struct room *room, const struct store_room *row)
{
	size_t n = 0;
	for (size_t i = 0; i < row->n_members; i++)
		n += member_is_in(&row->members[i]) &&
			room_has_member(room, row->members[i].user_id);
	return n;
}

/* Of those in the room, whoever is an agent or was one, and the humans of the
 * fleet; the sender and strangers are no matter of its name. */
static size_t fleet_members(
	const struct planner *p, const struct store_room *row)
{
	size_t n = 0;
	for (size_t i = 0; i < row->n_members; i++) {
		const char *id = row->members[i].user_id;
		n += member_is_in(&row->members[i]) &&
			!text_eq(id, p->how->sender_id) &&
			(fleet_person(p->f, id) || snapshot_agent(p->now, id));
	}
	return n;
}

/* The sender is in the room, and has the power to give it another name. */
static bool may_rename(const struct planner *p, const struct store_room *row)
{
	const struct store_state *state = row->state;
	struct power power;
	power_open(&power, p->how->sender_id, row->maker,
		room_state_content(row, ROOM_STATE_CREATE),
		state ? state[ROOM_STATE_CREATE].sender : NULL,
		room_state_content(row, ROOM_STATE_POWER));
	const bool may = power_keeps_room(&power) &&
		text_eq(room_membership(row, p->how->sender_id), "join");
	power_close(&power);
	return may;
}

/* A room whose team (or department) is there no longer, or under another name:
 * nobody else has a claim to it. */
static bool may_go_on(const struct planner *p, const struct room *as, size_t i)
{
	const struct store_room *row = &p->now->rooms[i];
	return row->room_id && !row->held && !row->missing_ms && !p->taken[i] &&
		text_eq(row->rule, as->policy->rule) &&
		strchr(as->policy->rule, '{') && !fleet_room(p->f, row->key);
}

/*
 * A room of the same rule that is declared no longer, and has most of this
 * room's people: the team (or department) has another name now, and keeps its
 * room. NULL when there is none. Of several the one with most in common.
 */
static const struct store_room *renamed_from(
	struct planner *p, const struct room *room)
{
	size_t best = 0, at = 0;
	for (size_t i = 0; i < p->now->n_rooms; i++) {
		const struct store_room *row = &p->now->rooms[i];
		if (row->direct)
			break; /* they are behind all others */
		if (!may_go_on(p, room, i))
			continue;
		size_t common = common_members(room, row);
		if (common * 2 <= room->n_members ||
			common * 2 <= fleet_members(p, row) || common <= best ||
			!may_rename(p, row))
			continue;
		best = common;
		at = i;
	}
	if (best == 0)
		return NULL;
	p->taken[at] = true;
	return &p->now->rooms[at];
}

static void plan_rename(struct planner *p, struct room_now *r)
{
	struct step *st = plan_room_step(p, STEP_SET_STATE, r,
		room_state_type(ROOM_STATE_ALIAS), NULL,
		arena_printf(p->a,
			"%s is declared no longer, and most of its people are "
			"of this room now: it keeps its room",
			r->row->key));
	if (st)
		st->from = r->row->key;
	r->created = plan_index(p, st);
}

/* The room of another key: nobody can say that it is this one as well. */
static bool is_another_room(const struct planner *p, const char *room_id)
{
	for (size_t i = 0; i < p->now->n_rooms; i++)
		if (text_eq(p->now->rooms[i].room_id, room_id))
			return true;
	return false;
}

/* Everything else waits until it is known who is in the new room. */
static void plan_follow(
	struct planner *p, const struct room_now *r, const char *new_id)
{
	if (is_another_room(p, new_id)) {
		plan_trouble(p, r->room->key,
			arena_printf(p->a,
				"its room was upgraded to %s, which is another "
				"room of the policy: upgrade it again, to a "
				"new "
				"room",
				new_id));
		return;
	}
	struct step *st = plan_room_step(p, STEP_CREATE_ROOM, r, r->room->key,
		NULL,
		arena_printf(p->a, "its room was upgraded: %s takes its place",
			new_id));
	if (st)
		st->room_id = new_id;
}

static void open_power(const struct planner *p, struct room_now *r)
{
	const struct store_state *state = r->row ? r->row->state : NULL;
	if (!is_room(r->row))
		return;
	power_open(&r->power, p->how->sender_id, r->row->maker,
		room_state_content(r->row, ROOM_STATE_CREATE),
		state ? state[ROOM_STATE_CREATE].sender : NULL,
		room_state_content(r->row, ROOM_STATE_POWER));
}

/* Said, and never fought. */
static void check_power(struct planner *p, const struct room_now *r)
{
	const struct store_state *state = r->row->state;
	const char *by = state ? state[ROOM_STATE_POWER].sender : NULL;
	if (power_keeps_room(&r->power))
		return;
	plan_trouble(p, r->room->key,
		arena_printf(p->a,
			"the service's own user has power %lld in it%s%s, "
			"which does not keep the room as declared: give %s "
			"100",
			(long long)r->power.mine, by ? " since " : "",
			by ? arena_printf(p->a, "%s changed the levels", by)
			   : "",
			p->how->sender_id));
}

/* Just before the first agent who needs it. */
static int rank_made(const struct room *room)
{
	for (size_t i = 0; i < room->n_members; i++)
		if (!room->members[i]->human)
			return RANK_ROOMS_OF(room->members[i]->agent_no) - 1;
	return RANK_HUMANS - 1;
}

/* True when its members can be planned. */
static bool plan_existence(struct planner *p, struct room_now *r)
{
	const int rank = rank_made(r->room);
	p->rank = rank;
	if (r->row && r->row->held) {
		plan_trouble(p, r->room->key, r->row->held);
		p->plan->held_rooms++;
		return false;
	}
	if (!is_room(r->row)) {
		const struct store_room *from = renamed_from(p, r->room);
		r->row = from;
		p->lane = from ? plan_lane(p, from) : p->lane;
		if (from)
			plan_rename(p, r);
		else
			plan_create(p, r, NULL, rank);
		return true;
	}
	/* Also when we are not in it any more: else nobody knew which room the
	 * agents are to leave. */
	const char *new_id = room_successor(r->row, p->a);
	if (new_id)
		plan_follow(p, r, new_id);
	/* One look did not find it; the next one decides. */
	return !new_id && !r->row->missing_ms;
}

static void plan_policy_room(struct planner *p, const struct room *room)
{
	struct room_now r = { .room = room,
		.row = snapshot_room(p->now, room->key),
		.created = NONE };
	p->lane = plan_lane(p, r.row);
	if (!plan_existence(p, &r))
		return;
	open_power(p, &r);
	plan_members(p, &r);
	if (is_room(r.row)) {
		check_power(p, &r);
		plan_extra_out(p, &r);
		if (r.created == NONE)
			plan_state(p, &r);
	}
	power_close(&r.power);
}

void plan_policy_rooms(struct planner *p)
{
	for (size_t i = 0; i < p->f->n_rooms; i++)
		if (!p->f->rooms[i].direct)
			plan_policy_room(p, &p->f->rooms[i]);
}
