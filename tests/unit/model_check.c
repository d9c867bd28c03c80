/*
 * tests/unit/model_check.c: what must hold of each plan, and in the end. All of
 * it is asked of the model, not of the plan's own helpers.
 */
#include <string.h>

#include "tests/unit/model.h"

#include "base/str.h"

#include "base/poison.h"

static bool is_in(enum is is)
{
	return is == JOIN || is == INVITE;
}

static bool is_agent(const struct world *w, int user)
{
	return user < PEOPLE && w->agents[user].row && w->agents[user].declared;
}

/* Nothing is done for an account that may be somebody else's. */
static bool is_blocked(const struct world *w, int user)
{
	return is_agent(w, user) && w->agents[user].state == AGENT_BLOCKED;
}

bool is_kept_out(const struct world *w, int room, int user)
{
	const struct model_room *r = &w->rooms[room];
	const struct removals *all = &r->removals[user];
	const struct removal *last = all->n > 0 ? &all->r[all->n - 1] : NULL;
	if (is_in(r->known[user].is) || (last && last->asked))
		return false;
	if (r->known[user].is == BAN)
		return true;
	if (!last)
		return false;
	if (last->ban || (r->direct && last->by != NOBODY && last->by != user))
		return true;
	/* A loss after a removal is the first of its kind. */
	if (all->n < 2 || (last->by == NOBODY && last[-1].by != NOBODY))
		return false;
	return last->at - last[-1].at <=
		(last->by == NOBODY ? WORLD_LOST_MS : WORLD_RESPECT_MS);
}

/* Nobody has changed the power levels without the store's hearing of it: a look
 * does not ask for them when nobody has come or gone. */
static bool is_power_known(const struct world *w, int room)
{
	const struct model_room *r = &w->rooms[room];
	return text_eq(r->seen[ROOM_STATE_POWER].content,
		r->state[ROOM_STATE_POWER].content);
}

/* --- who may leave --------------------------------------------------------------- */

static bool is_ours(const struct world *w, int user)
{
	const struct model_agent *a = &w->agents[user];
	return a->row && a->state != AGENT_DECLARED &&
		a->state != AGENT_RETIRED &&
		(a->state != AGENT_BLOCKED || a->generation > 0);
}

/* More than a third of the fleet waits for an operator: with those who have
 * left already of those who were let go and are on their way. */
static bool waits_for_approval(const struct world *w)
{
	int fleet = 0, leaving = 0, gone = 0;
	bool under_way = false;
	for (int u = 0; u < PEOPLE; u++) {
		const struct model_agent *a = &w->agents[u];
		const bool leaves = is_ours(w, u) && !a->declared;
		fleet += is_ours(w, u);
		leaving += leaves;
		under_way |= leaves && a->may_leave;
		gone += a->row && a->state == AGENT_RETIRED && a->may_leave;
	}
	if (!under_way)
		gone = 0;
	return (leaving + gone) * 3 > fleet + gone;
}

static bool may_stay(const struct world *w, int user)
{
	return !w->agents[user].may_leave && waits_for_approval(w);
}

/* --- each plan ----------------------------------------------------------------------- */

/* The room that a step is about: one that is, or a key. */
static int place_of(const struct world *w, const struct step *st)
{
	if (!st->room)
		return st->room_id ? room_of_id(st->room_id) : NOBODY;
	const int key =
		company_key(w->company, st->from ? st->from : st->room->key);
	const int room = w->rows[key].room;
	return room != NOBODY ? room : ROOMS + key;
}

static bool is_of_account(enum step_kind kind)
{
	return kind == STEP_REGISTER || kind == STEP_PROFILE ||
		kind == STEP_LOGIN || kind == STEP_HAND_OFF ||
		kind == STEP_REVOKE;
}

static void one_lane(
	struct world *w, const struct step *st, int *lane, const char *what)
{
	if (*lane == NOBODY)
		*lane = st->lane;
	if (*lane != st->lane)
		wrong(w, "steps of one %s overlap: %s %s in %s", what,
			step_kind_name(st->kind), st->subject,
			st->where ? st->where : "-");
}

static void check_order(struct world *w, const struct plan *p)
{
	int rooms[ROOMS + KEYS], accounts[USERS];
	for (int i = 0; i < ROOMS + KEYS; i++)
		rooms[i] = NOBODY;
	for (int u = 0; u < USERS; u++)
		accounts[u] = NOBODY;
	for (size_t i = 0; i < p->n; i++) {
		const struct step *st = &p->steps[i];
		for (size_t k = 0; k < STEP_NEEDS; k++)
			if (st->need[k] >= (int)i)
				wrong(w, "step %zu comes before what it needs",
					i);
		for (size_t k = 0; k < STEP_AFTER; k++)
			if (st->after[k] >= (int)i)
				wrong(w,
					"step %zu comes before what it is "
					"after",
					i);
		if (st->lane < 0 || st->lane >= p->lanes)
			wrong(w, "step %zu has no lane", i);
		const int place = place_of(w, st);
		if (place != NOBODY)
			one_lane(w, st, &rooms[place], "room");
		if (is_of_account(st->kind))
			one_lane(w, st, &accounts[user_of(st->subject)],
				"account");
	}
}

static void check_invitation(
	struct world *w, const struct step *st, int room, int user)
{
	const enum is known =
		room == NOBODY ? NOT : w->rooms[room].known[user].is;
	if (room == NOBODY)
		return;
	if (is_agent(w, user) && is_kept_out(w, room, user))
		wrong(w, "%s is asked into %s again, against somebody's will",
			st->subject, st->where);
	if (!is_agent(w, user) && known != NOT && known != KNOCK)
		wrong(w, "%s, who is no agent, is asked into %s again",
			st->subject, st->where);
}

static void check_leave(
	struct world *w, const struct step *st, int room, int user)
{
	const int key =
		st->room ? company_key(w->company, st->room->key) : NOBODY;
	if (key != NOBODY && w->declared[key].members & 1u << user)
		wrong(w, "%s leaves %s, where it is declared", st->subject,
			st->where);
	if (user < PEOPLE && !w->agents[user].declared &&
		w->agents[user].state != AGENT_RETIRED && may_stay(w, user))
		wrong(w, "%s leaves room %d unasked", st->subject, room);
}

static void check_kick(struct world *w, const struct step *st, int user)
{
	if (!st->room->strict || user == SENDER || is_ours(w, user) ||
		room_has_member(st->room, st->subject))
		wrong(w, "%s is kicked out of %s", st->subject, st->where);
}

static void check_step(struct world *w, const struct step *st)
{
	const int user = user_of(st->subject);
	const int place = place_of(w, st);
	const int room = place < ROOMS ? place : NOBODY;
	const int key =
		st->room ? company_key(w->company, st->room->key) : NOBODY;
	if (st->actor && is_blocked(w, user_of(st->actor)))
		wrong(w, "%s does something, and may be somebody else's",
			st->actor);
	switch (st->kind) {
	case STEP_INVITE:
		check_invitation(w, st, room, user);
		break;
	case STEP_LEAVE:
		check_leave(w, st, room, user);
		break;
	case STEP_KICK:
		check_kick(w, st, user);
		break;
	case STEP_REVOKE:
		if (w->agents[user].declared || may_stay(w, user))
			wrong(w, "%s is retired unasked", st->subject);
		break;
	case STEP_CREATE_ROOM:
		if (st->room->direct &&
			(w->c->direct == DIRECT_OFF ||
				(w->c->direct == DIRECT_ON_DEMAND &&
					!w->rows[key].wanted &&
					room == NOBODY)))
			wrong(w, "%s is made, and nobody wanted it", st->where);
		break;
	default:
		break;
	}
	if (key != NOBODY && !st->room->direct && w->rows[key].missing &&
		!(st->kind == STEP_CREATE_ROOM && st->room_id))
		wrong(w,
			"something is done about %s, which one look has not "
			"found",
			st->where);
}

/* Those of the fleet who are in a room, as far as is known: a bit for each. */
static unsigned people_in(const struct world *w, int room)
{
	unsigned in = 0;
	for (int u = 0; u < PEOPLE; u++)
		if (is_in(w->rooms[room].known[u].is) &&
			(w->agents[u].row ||
				fleet_person(w->fleet, user_ids[u])))
			in |= 1u << u;
	return in;
}

static bool is_taken(const struct plan *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (text_eq(p->steps[i].from, key))
			return true;
	return false;
}

/* An upgrade that is known of is followed, whether we are in the old room or
 * not: else nobody knew which one the agents are to leave. */
static void check_upgrade(struct world *w, const struct plan *p, int key)
{
	const struct model_row *row = &w->rows[key];
	if (!row->declared || row->room == NOBODY || row->held ||
		w->rooms[row->room].direct ||
		!w->rooms[row->room].seen[ROOM_STATE_TOMBSTONE].content)
		return;
	for (size_t i = 0; i < p->n; i++)
		if (p->steps[i].kind == STEP_CREATE_ROOM &&
			text_eq(p->steps[i].where, w->company->keys[key]) &&
			p->steps[i].room_id)
			return;
	wrong(w, "the upgrade of %s is not followed", w->company->keys[key]);
}

/* A room whose people are the same has only another name now. */
static void check_rename(
	struct world *w, const struct plan *p, const struct step *st, int key)
{
	for (size_t k = 0; k < w->company->n_keys; k++) {
		const struct model_row *row = &w->rows[k];
		if (!row->row || row->declared || row->room == NOBODY ||
			row->held || row->missing ||
			!text_eq(row->rule, st->room->policy->rule) ||
			!strchr(row->rule, '{') ||
			people_in(w, row->room) != w->declared[key].members ||
			w->rooms[row->room].known[SENDER].is != JOIN ||
			!is_power_known(w, row->room) ||
			w->rooms[row->room].m[SENDER].level < 50)
			continue;
		if (!is_taken(p, w->company->keys[k]))
			wrong(w, "%s is made, though %s has its people",
				st->where, w->company->keys[k]);
	}
}

void check_plan(struct world *w, const struct plan *p)
{
	size_t made = 0;
	check_order(w, p);
	for (size_t i = 0; i < p->n; i++) {
		const struct step *st = &p->steps[i];
		made += st->kind == STEP_CREATE_ROOM && st->room->direct;
		check_step(w, st);
		if (st->kind == STEP_CREATE_ROOM && !st->room->direct &&
			!st->room_id)
			check_rename(
				w, p, st, company_key(w->company, st->where));
	}
	for (int k = 0; k < (int)w->company->n_keys; k++)
		check_upgrade(w, p, k);
	if (made > w->c->direct_most)
		wrong(w, "%zu direct rooms are made at a time", made);
}

/* A room that is there, and used or to be used, for this key; when the store was
 * lost, one that its alias leads to. */
static bool is_room_of(const struct world *w, int room, int key)
{
	const struct model_room *r = &w->rooms[room];
	if (r->dead || r->successor != NOBODY)
		return false;
	for (size_t k = 0; k < w->company->n_keys; k++)
		if (w->rows[k].row && w->rows[k].room == room && (int)k != key)
			return false;
	if (!r->direct)
		return server_is_in(w, room, SENDER) &&
			(w->alias[key] == room ||
				(r->key == key && !w->forgot));
	/* That somebody has left, or joined, may not be known yet. */
	for (int u = 0; r->key == key && u < PEOPLE; u++)
		if (is_agent(w, u) && (w->declared[key].members & 1u << u) &&
			server_is_in(w, room, u) &&
			(r->known[u].is == JOIN || r->known[u].is == NOT))
			return true;
	return false;
}

void check_create(struct world *w, int key)
{
	for (int r = 0; r < w->n_rooms; r++)
		if (is_room_of(w, r, key) && !w->half_made[key])
			wrong(w, "a second room is made for %s, which has %s",
				w->company->keys[key], room_ids[r]);
}

/* --- the end: accounts ------------------------------------------------------------------ */

static void check_accounts(struct world *w)
{
	for (int u = 0; u < PEOPLE; u++) {
		const struct model_agent *a = &w->agents[u];
		const struct person *p = fleet_person(w->fleet, user_ids[u]);
		if (!a->row || (!a->declared && !is_ours(w, u)))
			continue;
		if (!a->declared) {
			if (!may_stay(w, u))
				wrong(w, "%s was not retired", user_ids[u]);
		} else if (a->state == AGENT_BLOCKED) {
			if (!w->accounts[u].foreign && !w->half_known[u])
				wrong(w, "%s is ours, and blocked",
					user_ids[u]);
		} else if ((a->state != AGENT_HANDED_OFF &&
				   a->state != AGENT_ACKNOWLEDGED) ||
			!w->accounts[u].token) {
			wrong(w, "%s has no token", user_ids[u]);
		} else if (!text_eq(w->accounts[u].name, p->name)) {
			wrong(w, "%s has another name", user_ids[u]);
		}
	}
	for (int u = 0; u < PEOPLE; u++)
		if (w->agents[u].state == AGENT_RETIRED && w->agents[u].row &&
			w->accounts[u].token)
			wrong(w, "%s is retired, and its token works",
				user_ids[u]);
}

/* --- the end: rooms ------------------------------------------------------------------------ */

static void check_missing(struct world *w, int key, int room, int user)
{
	const struct model_room *r = &w->rooms[room];
	const enum is is = r->m[user].is;
	if (is == JOIN || is_blocked(w, user) || is_kept_out(w, room, user) ||
		(is != INVITE &&
			(r->m[SENDER].level < r->invite_level ||
				!is_power_known(w, room))))
		return;
	if (is_agent(w, user) || is == NOT)
		wrong(w, "%s is not in %s (%s)", user_ids[user],
			w->company->keys[key], room_ids[room]);
}

static void check_extra(struct world *w, int key, int room, int user)
{
	const struct model_room *r = &w->rooms[room];
	const struct room *declared = w->declared[key].room;
	const enum is is = r->m[user].is;
	/* An invitation that nobody told us of is seen when it is used. */
	const bool known = is_in(r->known[user].is);
	if (!is_in(is) || (is == INVITE && !known) || user == SENDER)
		return;
	if (is_blocked(w, user))
		return;
	if (user < PEOPLE && w->agents[user].row) {
		if (w->agents[user].declared ||
			w->agents[user].state == AGENT_RETIRED ||
			(is_ours(w, user) && !may_stay(w, user)))
			wrong(w, "%s is still in %s", user_ids[user],
				w->company->keys[key]);
		return;
	}
	if (declared->strict && is_power_known(w, room) &&
		r->m[SENDER].level >= 50 &&
		r->m[user].level < r->m[SENDER].level)
		wrong(w, "%s is in %s, which is strict", user_ids[user],
			w->company->keys[key]);
}

static void has_text(struct world *w, int room, enum room_state st,
	const char *text, const char *what)
{
	const char *content = w->rooms[room].state[st].content;
	if (text && (!content || !strstr(content, text)))
		wrong(w, "%s of %s is not %s", what, room_ids[room], text);
}

/* The rooms whose members may join are there. */
static bool may_be_named(
	const struct world *w, const struct room_policy *policy)
{
	for (size_t i = 0; i < policy->n_allow; i++)
		if (w->rows[company_key(w->company, policy->allow[i])].room ==
			NOBODY)
			return false;
	return true;
}

static void check_state(struct world *w, int key, int room)
{
	static const char *const rules[] = { "\"invite\"", "\"restricted\"",
		"\"public\"" };
	const struct model_room *r = &w->rooms[room];
	const struct room *declared = w->declared[key].room;
	if (!r->state[ROOM_STATE_CREATE].content || r->m[SENDER].level < 50 ||
		!is_power_known(w, room))
		return;
	has_text(w, room, ROOM_STATE_NAME, declared->name, "the name");
	has_text(w, room, ROOM_STATE_TOPIC, declared->topic, "the topic");
	has_text(w, room, ROOM_STATE_ALIAS, declared->alias, "the alias");
	if (may_be_named(w, declared->policy))
		has_text(w, room, ROOM_STATE_JOIN_RULES,
			rules[declared->policy->join_rule], "the join rule");
	for (int u = 0; u < PEOPLE; u++)
		if (w->company->human[u] &&
			fleet_person(w->fleet, user_ids[u]) &&
			r->m[u].level < 100)
			wrong(w, "%s has no power in %s", user_ids[u],
				w->company->keys[key]);
}

static void check_policy_room(struct world *w, int key)
{
	const struct model_row *row = &w->rows[key];
	const int room = row->room;
	if (row->held)
		return;
	if (room == NOBODY || !server_is_in(w, room, SENDER)) {
		wrong(w, "%s does not exist", w->company->keys[key]);
		return;
	}
	if (w->rooms[room].seen[ROOM_STATE_TOMBSTONE].content)
		wrong(w, "%s was upgraded", w->company->keys[key]);
	const int there = w->alias[key];
	if (there != room && (there == NOBODY || w->rooms[there].key != NOBODY))
		wrong(w, "%s does not lead to its room", w->company->keys[key]);
	for (int u = 0; u < USERS; u++) {
		if (w->declared[key].members & 1u << u)
			check_missing(w, key, room, u);
		else
			check_extra(w, key, room, u);
	}
	check_state(w, key, room);
}

static void check_pair(struct world *w, int key)
{
	const struct model_row *row = &w->rows[key];
	const struct room *declared = w->declared[key].room;
	const int room = row->room;
	const int maker = user_of(declared->maker->user_id);
	const int other = user_of(declared->other->user_id);
	if (is_blocked(w, maker) || is_blocked(w, other) ||
		w->c->direct == DIRECT_OFF)
		return;
	if (room == NOBODY && w->c->direct == DIRECT_ON_DEMAND && !row->wanted)
		return;
	if (room == NOBODY) {
		wrong(w, "%s have no room", w->company->keys[key]);
		return;
	}
	const struct model_room *r = &w->rooms[room];
	const enum is is = r->dead ? r->known[other].is : r->m[other].is;
	if (is_kept_out(w, room, maker) || is_kept_out(w, room, other))
		return;
	/* The human said no, and the agent was not there to ask again. */
	if (!is_agent(w, other) && (is == LEAVE || is == BAN))
		return;
	if (r->dead || r->m[maker].is != JOIN ||
		(is_agent(w, other) ? is != JOIN : is == NOT))
		wrong(w, "%s are not both in their room",
			w->company->keys[key]);
	if (!r->m[maker].marked || (is_agent(w, other) && !r->m[other].marked))
		wrong(w, "%s do not know that their room is direct",
			w->company->keys[key]);
}

/* Rooms that are declared no longer, as far as anybody has told us: nobody looks
 * at them any more, and whether that was a lie. */
static void check_left(struct world *w, int room)
{
	const struct model_room *r = &w->rooms[room];
	for (int u = 0; u < PEOPLE; u++) {
		if (w->lies > 0 || r->m[u].is != JOIN ||
			r->m[u].ts > r->known[u].ts || !w->agents[u].row)
			continue;
		if (!is_blocked(w, u) &&
			(is_agent(w, u) || w->agents[u].state == AGENT_RETIRED))
			wrong(w, "%s is still in %s", user_ids[u],
				room_ids[room]);
	}
}

/* Who leaves it only when somebody says so. */
static bool somebody_stays(const struct world *w, int room)
{
	for (int u = 0; u < PEOPLE; u++)
		if (is_in(w->rooms[room].known[u].is) &&
			(is_blocked(w, u) ||
				(is_ours(w, u) && !w->agents[u].declared &&
					may_stay(w, u))))
			return true;
	return false;
}

static void check_retired(struct world *w, int room)
{
	for (int u = 0; u < PEOPLE && room != NOBODY; u++)
		if (w->agents[u].row && w->agents[u].state == AGENT_RETIRED &&
			is_in(w->rooms[room].known[u].is))
			wrong(w, "%s was retired, and is in %s", user_ids[u],
				room_ids[room]);
}

void check_end(struct world *w)
{
	check_accounts(w);
	for (int k = 0; k < (int)w->company->n_keys; k++) {
		const struct room *room = w->declared[k].room;
		const bool direct = w->company->keys[k][0] == '@';
		const int at = w->rows[k].room;
		if (room && direct)
			check_pair(w, k);
		else if (room)
			check_policy_room(w, k);
		else if (!direct && at != NOBODY && !w->rooms[at].dead)
			check_left(w, at);
	}
	for (int k = 0; k < (int)w->company->n_keys; k++)
		check_retired(w, w->rows[k].room);
	for (int r = 0; r < w->n_rooms; r++) {
		if (w->rooms[r].old_key != NOBODY && !somebody_stays(w, r))
			wrong(w, "%s is still to be left", room_ids[r]);
	}
}
