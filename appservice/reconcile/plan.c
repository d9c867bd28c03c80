/*
 * The plan: accounts first (the sender before all), then the rooms of the
 * policy, then direct rooms, then the marks that make them direct.
 *
 * Each part looks at one declared thing and what is known of it, and adds the
 * steps that are missing.
 */
#include <string.h>

#include "appservice/reconcile/plan.h"
#include "base/str.h"

#include "base/poison.h"

#define NONE (-1)

struct planner {
	const struct fleet *f;
	const struct plan_sender *sender;
	const struct store_snapshot *now;
	struct arena *a;
	struct plan *plan;
	int sender_ready; /* the sender's step that others wait for */
	int *ready;       /* by agent: its account's step others wait for */
	bool *usable;     /* by agent: has an account or gets one */
	int *made;        /* by room: the step that makes it */
	int lane;
	struct newcomer *newcomers; /* by place_of(); NULL until one is met */
};

/* Somebody who is in no room yet, as far as is known. */
struct newcomer {
	bool known;  /* is none */
	int brought; /* the last step that brings them into a room, or NONE */
};

const char *step_kind_name(enum step_kind k)
{
	static const char *const names[] = {
#define X(name, word) word,
		STEP_KIND_TABLE(X)
#undef X
	};
	return names[k];
}

static struct step *add(struct planner *p, enum step_kind kind,
	const char *subject, const char *reason)
{
	struct step *st = arena_push(
		p->a, &p->plan->steps, &p->plan->n, &p->plan->cap, sizeof(*st));
	if (!st)
		return NULL;
	*st = (struct step){ .kind = kind,
		.subject = subject,
		.reason = reason,
		.lane = p->lane,
		.need = { NONE, NONE, NONE },
		.after = { NONE, NONE } };
	return st;
}

static int index_of(const struct planner *p, const struct step *st)
{
	return st ? (int)(st - p->plan->steps) : NONE;
}

static void put(int *list, size_t n, int which)
{
	if (which == NONE)
		return;
	for (size_t i = 0; i < n; i++)
		if (list[i] == NONE) {
			list[i] = which;
			return;
		}
}

static void need(struct step *st, int which)
{
	if (st)
		put(st->need, STEP_NEEDS, which);
}

/* --- accounts ------------------------------------------------------------- */

static bool has_account(const struct store_agent *row)
{
	return row && row->state != AGENT_DECLARED &&
		row->state != AGENT_BLOCKED;
}

/*
 * Registration and display name of one user. Returns the step that everything
 * else about this user waits for (NONE: nothing to wait for).
 */
static int plan_account(struct planner *p, const char *user_id,
	const char *name, const struct person *person)
{
	const struct store_agent *row = snapshot_agent(p->now, user_id);
	struct step *reg = NULL;
	int reg_i = NONE;
	if (!has_account(row)) {
		reg = add(p, STEP_REGISTER, user_id,
			"has no account known to be ours");
		need(reg, p->sender_ready);
		reg_i = index_of(p, reg);
	}
	if (reg)
		reg->person = person;
	if (row && text_eq(row->shown_name, name))
		return reg_i;
	struct step *profile = add(p, STEP_PROFILE, user_id,
		arena_printf(p->a, "display name \"%s\" is not known to be set",
			name));
	if (!profile)
		return reg_i;
	profile->person = person;
	need(profile, reg_i == NONE ? p->sender_ready : reg_i);
	return index_of(p, profile);
}

static void plan_token(
	struct planner *p, const struct person *person, int account)
{
	const struct store_agent *row = snapshot_agent(p->now, person->user_id);
	if (row &&
		(row->state == AGENT_HANDED_OFF ||
			row->state == AGENT_ACKNOWLEDGED))
		return;
	int before = account;
	if (!row || row->state != AGENT_LOGGED_IN || !row->token_in_hand) {
		struct step *login = add(p, STEP_LOGIN, person->user_id,
			row && row->generation > 0
				? "its token is not known to be good"
				: "has no token yet");
		need(login, account == NONE ? p->sender_ready : account);
		if (login)
			login->person = person;
		before = index_of(p, login);
	}
	struct step *hand = add(p, STEP_HAND_OFF, person->user_id,
		"its token is not in the runtime directory");
	need(hand, before);
	if (hand)
		hand->person = person;
}

static void plan_agents(struct planner *p)
{
	p->lane = p->plan->lanes++;
	p->sender_ready = NONE;
	p->sender_ready =
		plan_account(p, p->sender->user_id, p->sender->name, NULL);
	for (size_t i = 0; i < p->f->n_agents; i++) {
		const struct person *person = p->f->agents[i];
		const struct store_agent *row =
			snapshot_agent(p->now, person->user_id);
		p->ready[i] = NONE;
		p->usable[i] = !row || row->state != AGENT_BLOCKED;
		if (!p->usable[i]) {
			p->plan->blocked++;
			continue;
		}
		p->lane = p->plan->lanes++;
		p->ready[i] =
			plan_account(p, person->user_id, person->name, person);
		plan_token(p, person, p->ready[i]);
	}
}

/* Place of an agent in the fleet; -1 when it is none. */
static int agent_index(const struct fleet *f, const char *user_id)
{
	size_t lo = 0, hi = f->n_agents;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(f->agents[mid]->user_id, user_id);
		if (c == 0)
			return (int)mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

/* --- newcomers --------------------------------------------------------------- */

/* Everybody who can be brought into a room: the agents, then the humans, then
 * the sender; -1 for anybody else. */
static int place_of(const struct planner *p, const char *user_id)
{
	int i = agent_index(p->f, user_id);
	if (i >= 0)
		return i;
	for (size_t h = 0; h < p->f->n_humans; h++)
		if (text_eq(p->f->humans[h]->user_id, user_id))
			return (int)(p->f->n_agents + h);
	return text_eq(p->sender->user_id, user_id)
		? (int)(p->f->n_agents + p->f->n_humans)
		: -1;
}

/* Who is in some room, or has been. */
static struct newcomer *meet_newcomers(const struct planner *p)
{
	size_t n = p->f->n_agents + p->f->n_humans + 1, unknown = n;
	struct newcomer *all = arena_array(p->a, n, sizeof(*all));
	if (!all)
		return NULL;
	for (size_t i = 0; i < n; i++)
		all[i].brought = NONE;
	for (size_t i = 0; i < p->now->n_memberships && unknown > 0; i++) {
		int at = place_of(p, p->now->memberships[i].user_id);
		if (at < 0 || all[at].known)
			continue;
		all[at].known = true;
		unknown--;
	}
	return all;
}

/*
 * Steps that bring a newcomer into a room run one after the other. Conduit
 * numbers a member the first time it sees one, without a lock: two rooms that
 * see a newcomer at the same moment give two numbers, and one of the two does
 * not find its member from then on: it refuses whom it has invited.
 */
static void brings(struct planner *p, struct step *st, const char *user_id)
{
	if (!p->newcomers)
		p->newcomers = meet_newcomers(p);
	int at = place_of(p, user_id);
	if (!st || !p->newcomers || at < 0 || p->newcomers[at].known)
		return;
	put(st->after, STEP_AFTER, p->newcomers[at].brought);
	p->newcomers[at].brought = index_of(p, st);
}

/* --- rooms ------------------------------------------------------------------ */

struct room_now {
	const struct room *room;
	const char *room_id; /* NULL: does not exist */
	int created;         /* the step that makes it */
};

static struct step *room_step(struct planner *p, enum step_kind kind,
	const struct room_now *r, const char *subject, const char *actor,
	const char *reason)
{
	struct step *st = add(p, kind, subject, reason);
	if (!st)
		return NULL;
	st->room = r->room;
	st->actor = actor;
	need(st, r->created);
	return st;
}

/*
 * One agent that should be in the room: `inviter` asks it in (NULL: it has
 * been asked already), then it joins as itself.
 */
static void plan_agent_in(struct planner *p, const struct room_now *r,
	const struct person *who, const char *is, const char *inviter)
{
	int i = agent_index(p->f, who->user_id);
	if (i < 0 || !p->usable[i] || text_eq(is, "join"))
		return;
	if (text_eq(is, "ban")) {
		p->plan->held++;
		return;
	}
	int invited = NONE;
	if (!text_eq(is, "invite")) {
		struct step *st = room_step(p, STEP_INVITE, r, who->user_id,
			inviter, is ? "has left" : "is not in the room");
		need(st, p->ready[i]);
		if (!st)
			return;
		st->person = who;
		brings(p, st, who->user_id);
		invited = index_of(p, st);
	}
	struct step *join = room_step(p, STEP_JOIN, r, who->user_id,
		who->user_id, "is not in the room");
	need(join, p->ready[i]);
	need(join, invited);
	if (join)
		join->person = who;
}

/* A human is asked once, and then it is theirs to answer. */
static void plan_human_in(struct planner *p, const struct room_now *r,
	const struct person *who, const char *is, const char *inviter)
{
	if (text_eq(is, "join"))
		return;
	if (is && !text_eq(is, "knock")) {
		p->plan->unanswered++;
		return;
	}
	struct step *st = room_step(
		p, STEP_INVITE, r, who->user_id, inviter, "is not in the room");
	brings(p, st, who->user_id);
}

static const char *member_now(
	const struct planner *p, const struct room_now *r, const char *user_id)
{
	return r->room_id ? snapshot_membership(p->now, r->room_id, user_id)
			  : NULL;
}

static void plan_create(struct planner *p, struct room_now *r,
	const char *actor, const char *reason)
{
	struct step *st =
		room_step(p, STEP_CREATE_ROOM, r, r->room->key, actor, reason);
	need(st, p->sender_ready);
	brings(p, st, actor ? actor : p->sender->user_id);
	if (r->room->direct)
		brings(p, st, r->room->other->user_id);
	r->created = index_of(p, st);
}

/* Agents of the fleet that are in a room of the policy without being meant. */
static void plan_extra_out(struct planner *p, const struct room_now *r)
{
	size_t n = 0;
	const struct store_membership *rows =
		snapshot_members(p->now, r->room_id, &n);
	for (size_t i = 0; i < n; i++) {
		int who = agent_index(p->f, rows[i].user_id);
		if (who < 0 || room_has_member(r->room, rows[i].user_id))
			continue;
		if (!text_eq(rows[i].membership, "join") &&
			!text_eq(rows[i].membership, "invite"))
			continue;
		struct step *st = room_step(p, STEP_LEAVE, r, rows[i].user_id,
			rows[i].user_id, "is not declared in this room");
		if (st)
			st->person = p->f->agents[who];
	}
}

/*
 * Whoever made a room that has creators stands above all in it, without being
 * named; in a room that is not ours this may be the human.
 */
static bool may_give_power(
	const struct planner *p, const struct store_room *row)
{
	return text_eq(row->maker, p->sender->user_id) ||
		(row->version && !room_version_has_creators(row->version));
}

static void plan_state(struct planner *p, const struct room_now *r,
	const struct store_room *row)
{
	if (row->name && r->room->name && !text_eq(row->name, r->room->name)) {
		room_step(p, STEP_SET_STATE, r, "m.room.name", NULL,
			"its name is another");
	}
	if (row->power && may_give_power(p, row) &&
		!room_power_right(p->f, row->power)) {
		room_step(p, STEP_SET_STATE, r, "m.room.power_levels", NULL,
			"a human of the fleet has no power in it");
	}
}

static void plan_policy_room(struct planner *p, const struct room *room)
{
	const struct store_room *row = snapshot_room(p->now, room->key);
	struct room_now r = { .room = room,
		.room_id = row ? row->room_id : NULL,
		.created = NONE };
	p->lane = p->plan->lanes++;
	if (!r.room_id)
		plan_create(p, &r, NULL, "does not exist yet");
	else
		plan_state(p, &r, row);
	/* Agents first: they work while humans make up their minds. */
	for (size_t i = 0; i < room->n_members; i++)
		if (!room->members[i]->human)
			plan_agent_in(p, &r, room->members[i],
				member_now(p, &r, room->members[i]->user_id),
				NULL);
	for (size_t i = 0; i < room->n_members; i++)
		if (room->members[i]->human)
			plan_human_in(p, &r, room->members[i],
				member_now(p, &r, room->members[i]->user_id),
				NULL);
	if (r.room_id)
		plan_extra_out(p, &r);
}

/* --- direct rooms ------------------------------------------------------------- */

static bool usable_agent(const struct planner *p, const struct person *who)
{
	int i = agent_index(p->f, who->user_id);
	return i >= 0 && p->usable[i];
}

/* Neither of the two waits for a person. */
static bool usable_pair(const struct planner *p, const struct room *room)
{
	return usable_agent(p, room->maker) &&
		(room->other->human || usable_agent(p, room->other));
}

static void plan_direct_new(struct planner *p, struct room_now *r)
{
	const struct room *room = r->room;
	plan_create(p, r, room->maker->user_id, "does not exist yet");
	struct step *made =
		r->created == NONE ? NULL : &p->plan->steps[r->created];
	need(made, p->ready[agent_index(p->f, room->maker->user_id)]);
	if (room->other->human || !made)
		return;
	int other = agent_index(p->f, room->other->user_id);
	need(made, p->ready[other]);
	struct step *join = room_step(p, STEP_JOIN, r, room->other->user_id,
		room->other->user_id, "is not in the room");
	if (join)
		join->person = room->other;
}

/* The agent who would make the room is kept out of the one that was, or the
 * human has said no and the agent is gone as well: that stands. */
static bool is_over(struct planner *p, const struct room *room,
	const char *maker, const char *other)
{
	if (text_eq(maker, "ban")) {
		p->plan->held++;
		return true;
	}
	bool said_no = text_eq(other, "leave") || text_eq(other, "ban");
	if (!room->other->human || text_eq(maker, "join") || !said_no)
		return false;
	p->plan->unanswered++;
	return true;
}

static void plan_direct_room(struct planner *p, const struct room *room)
{
	const struct store_room *row = snapshot_room(p->now, room->key);
	struct room_now r = { .room = room,
		.room_id = row ? row->room_id : NULL,
		.created = NONE };
	if (!usable_pair(p, room))
		return;
	p->lane = p->plan->lanes++;
	const char *maker = member_now(p, &r, room->maker->user_id);
	const char *other = member_now(p, &r, room->other->user_id);
	bool maker_in = text_eq(maker, "join"),
	     other_in = text_eq(other, "join");
	if (is_over(p, room, maker, other))
		return;
	if (!r.room_id || (!maker_in && (!other_in || room->other->human))) {
		plan_direct_new(p, &r);
		p->made[room - p->f->rooms] = r.created;
		return;
	}
	if (!maker_in)
		plan_agent_in(p, &r, room->maker, maker, room->other->user_id);
	if (room->other->human)
		plan_human_in(p, &r, room->other, other, room->maker->user_id);
	else
		plan_agent_in(p, &r, room->other, other, room->maker->user_id);
}

/* What an agent's list of direct rooms lacks: rooms that are there, or only
 * one that this plan makes (the first such step). */
struct lack {
	bool now;
	int made;
};

static void find_lacks(
	const struct planner *p, const struct room *room, struct lack *lacks)
{
	const struct store_room *row = snapshot_room(p->now, room->key);
	int made = p->made[room - p->f->rooms];
	for (size_t m = 0; m < room->n_members; m++) {
		const char *id = room->members[m]->user_id;
		int who = agent_index(p->f, id);
		if (who < 0 || !p->usable[who])
			continue;
		if (made != NONE && lacks[who].made == NONE)
			lacks[who].made = made;
		if (made == NONE && row && row->room_id &&
			!snapshot_marked(p->now, row->room_id, id))
			lacks[who].now = true;
	}
}

/* Each agent keeps a list of its direct rooms: one step writes all of it. */
static void plan_marks(struct planner *p)
{
	struct lack *lacks =
		arena_array(p->a, p->f->n_agents + 1, sizeof(*lacks));
	if (!lacks)
		return;
	for (size_t i = 0; i < p->f->n_agents; i++)
		lacks[i].made = NONE;
	for (size_t i = 0; i < p->f->n_rooms; i++)
		if (p->f->rooms[i].direct)
			find_lacks(p, &p->f->rooms[i], lacks);
	for (size_t i = 0; i < p->f->n_agents; i++) {
		if (!lacks[i].now && lacks[i].made == NONE)
			continue;
		p->lane = p->plan->lanes++;
		struct step *st =
			add(p, STEP_DIRECT_MARK, p->f->agents[i]->user_id,
				"its list of direct rooms lacks some");
		need(st, p->ready[i]);
		if (!lacks[i].now)
			need(st, lacks[i].made);
		if (st) {
			st->person = p->f->agents[i];
			st->actor = st->subject;
			st->last = true;
		}
	}
}

enum rc plan_make(const struct fleet *f, const struct plan_sender *sender,
	const struct store_snapshot *now, struct arena *a, struct plan *ret,
	struct err *e)
{
	struct plan plan = { 0 };
	struct planner p = { .f = f, .sender = sender, .now = now, .a = a };
	p.plan = &plan;
	p.ready = arena_array(a, f->n_agents + 1, sizeof(*p.ready));
	p.usable = arena_array(a, f->n_agents + 1, sizeof(*p.usable));
	p.made = arena_array(a, f->n_rooms + 1, sizeof(*p.made));
	if (!p.ready || !p.usable || !p.made)
		return err_nomem(e);
	for (size_t i = 0; i < f->n_rooms; i++)
		p.made[i] = NONE;
	plan_agents(&p);
	for (size_t i = 0; i < f->n_rooms; i++)
		if (!f->rooms[i].direct)
			plan_policy_room(&p, &f->rooms[i]);
	for (size_t i = 0; i < f->n_rooms; i++)
		if (f->rooms[i].direct)
			plan_direct_room(&p, &f->rooms[i]);
	plan_marks(&p);
	if (!arena_ok(a))
		return err_nomem(e);
	*ret = plan;
	return RC_OK;
}
