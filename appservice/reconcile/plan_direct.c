/*
 * The part of the plan for direct rooms: one for each pair that is declared,
 * made by one of the two; and the agents' lists of them. Pairs may be some
 * hundred thousand: both lists are sorted, and walked side by side.
 */
#include <string.h>

#include "appservice/reconcile/plan_priv.h"
#include "base/str.h"

#include "base/poison.h"

const char *direct_mode_name(enum direct_mode mode)
{
	static const char *const names[] = { "eager", "on_demand", "off" };
	return names[mode];
}

static bool usable_pair(const struct planner *p, const struct room *room)
{
	return plan_usable(p, room->maker) &&
		(room->other->human || plan_usable(p, room->other));
}

static void plan_direct_new(struct planner *p, struct room_now *r)
{
	const struct room *room = r->room;
	r->row = NULL;
	plan_create(p, r, room->maker->user_id, RANK_DIRECT);
	struct step *made =
		r->created == NONE ? NULL : &p->plan->steps[r->created];
	plan_need(made, p->ready[room->maker->agent_no]);
	if (room->other->human || !made)
		return;
	plan_need(made, p->ready[room->other->agent_no]);
	struct step *join =
		plan_room_step(p, STEP_JOIN, r, room->other->user_id,
			room->other->user_id, "is not in the room");
	if (join)
		join->person = room->other;
}

/*
 * The agent who would make the room was put out of the one that was; or the
 * human has said no and the agent is gone as well: that stands. For a second
 * room would be another one, a removal of the agent counts at once here.
 */
static bool is_over(struct planner *p, const struct room_now *r,
	const char *maker, const char *other)
{
	const struct room *room = r->room;
	if (!text_eq(maker, "join") &&
		member_is_held(
			p->how, p->now, r->row, room->maker->user_id, NULL)) {
		p->plan->held++;
		return true;
	}
	bool said_no = text_eq(other, "leave") || text_eq(other, "ban");
	if (!room->other->human || text_eq(maker, "join") || !said_no)
		return false;
	p->plan->unanswered++;
	return true;
}

/* The name of a direct room is all that a human sees of an invitation. */
static void plan_name(struct planner *p, const struct room_now *r)
{
	const char *now = room_state_content(r->row, ROOM_STATE_NAME);
	const struct state_how how = { .fleet = p->f };
	if (!now || state_is_right(&how, r->room, ROOM_STATE_NAME, now))
		return;
	p->rank = RANK_LATER;
	plan_room_step(p, STEP_SET_STATE, r, room_state_type(ROOM_STATE_NAME),
		r->room->maker->user_id, "its name is another");
}

/* What an agent's list of direct rooms lacks: rooms that are there, or only
 * one that this plan makes (the first such step). */
struct lack {
	bool now;
	int made;
};

static void find_lacks(
	const struct planner *p, const struct room_now *r, struct lack *lacks)
{
	for (size_t i = 0; i < r->room->n_members; i++) {
		const struct person *who = r->room->members[i];
		if (!plan_usable(p, who))
			continue;
		struct lack *lack = &lacks[who->agent_no];
		const struct store_member *m =
			r->row ? room_member(r->row, who->user_id) : NULL;
		if (r->created != NONE && lack->made == NONE)
			lack->made = r->created;
		if (r->row && !(m && m->marked))
			lack->now = true;
	}
}

/* Who is not in the room that there is. */
static void plan_both_in(struct planner *p, const struct room_now *r)
{
	const struct room *room = r->room;
	p->rank = RANK_DIRECT;
	if (!text_eq(room_membership(r->row, room->maker->user_id), "join"))
		plan_agent_in(p, r, room->maker, room->other->user_id);
	if (room->other->human)
		plan_human_in(p, r, room->other, room->maker->user_id);
	else
		plan_agent_in(p, r, room->other, room->maker->user_id);
	if (room->name)
		plan_name(p, r);
}

/* There is a room, and one of the two is in it who can ask the other in. */
static bool is_alive(
	const struct room *room, const char *maker, const char *other)
{
	return text_eq(maker, "join") ||
		(text_eq(other, "join") && !room->other->human);
}

/* Whether the pair is to have a room by now. */
static bool is_due(const struct planner *p, const struct store_room *row)
{
	return is_room(row) || p->how->direct == DIRECT_EAGER ||
		(p->how->direct == DIRECT_ON_DEMAND && row && row->wanted);
}

/* Pairs take turns, so that some that fail are in nobody's way. */
static bool is_turn(struct planner *p, const struct room *room, size_t made)
{
	const size_t at =
		(size_t)(room - p->f->rooms) - (p->f->n_rooms - p->f->n_direct);
	if (at < p->how->direct_from)
		return false;
	if (made < p->how->direct_most)
		return true;
	if (!p->plan->direct_next)
		p->plan->direct_next = at;
	return false;
}

static void plan_pair(
	struct planner *p, struct room_now *r, size_t *made, struct lack *lacks)
{
	const struct room *room = r->room;
	const char *maker = room_membership(r->row, room->maker->user_id);
	const char *other = room_membership(r->row, room->other->user_id);
	if (!is_due(p, r->row))
		return;
	p->plan->direct++;
	p->plan->direct_made += is_room(r->row);
	if (!usable_pair(p, room) || is_over(p, r, maker, other))
		return;
	p->lane = plan_lane(p, r->row);
	if (is_room(r->row) && is_alive(room, maker, other)) {
		plan_both_in(p, r);
	} else if (p->how->direct == DIRECT_OFF) {
		return;
	} else if (!is_turn(p, room, *made)) {
		p->plan->direct_later++;
		return;
	} else {
		*made += 1;
		plan_direct_new(p, r);
	}
	find_lacks(p, r, lacks);
}

/* Each agent keeps a list of its direct rooms: one step writes all of it. */
static void plan_marks(struct planner *p, const struct lack *lacks)
{
	p->rank = RANK_DIRECT + 1;
	for (size_t i = 0; i < p->f->n_agents; i++) {
		if (!lacks[i].now && lacks[i].made == NONE)
			continue;
		p->lane = p->plan->lanes++;
		struct step *st =
			plan_add(p, STEP_DIRECT_MARK, p->f->agents[i]->user_id,
				"its list of direct rooms lacks some");
		plan_need(st, p->ready[i]);
		if (!lacks[i].now)
			plan_need(st, lacks[i].made);
		if (st) {
			st->person = p->f->agents[i];
			st->actor = st->subject;
			st->last = true;
		}
	}
}

void plan_direct_rooms(struct planner *p)
{
	struct lack *lacks =
		arena_array(p->a, p->f->n_agents + 1, sizeof(*lacks));
	size_t at = 0, made = 0;
	if (!lacks)
		return;
	for (size_t i = 0; i < p->f->n_agents; i++)
		lacks[i].made = NONE;
	for (size_t i = 0; i < p->f->n_rooms; i++) {
		struct room_now r = { .room = &p->f->rooms[i],
			.created = NONE };
		if (!r.room->direct)
			continue;
		int c = 1;
		for (; at < p->now->n_rooms; at++) {
			c = strcmp(p->now->rooms[at].key, r.room->key);
			if (c >= 0)
				break;
		}
		r.row = at < p->now->n_rooms && c == 0 ? &p->now->rooms[at]
						       : NULL;
		plan_pair(p, &r, &made, lacks);
	}
	plan_marks(p, lacks);
}
