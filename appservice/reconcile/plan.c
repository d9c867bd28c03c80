/*
 * The plan: accounts (the sender before all), the rooms of the policy, direct
 * rooms, the marks that make them direct; and those who leave.
 *
 * Each part looks at one declared thing and what is known of it, and adds the
 * steps that are missing, with the rank that they have among all. In the end
 * they are sorted by it: the order of a plan is its priority, and every step
 * comes after those that it waits for.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/reconcile/plan_priv.h"
#include "base/str.h"

#include "base/poison.h"

const char *step_kind_name(enum step_kind k)
{
	static const char *const names[] = {
#define X(name, word) word,
		STEP_KIND_TABLE(X)
#undef X
	};
	return names[k];
}

/* --- steps ------------------------------------------------------------------- */

struct step *plan_add(struct planner *p, enum step_kind kind,
	const char *subject, const char *reason)
{
	struct step *st = arena_push(
		p->a, &p->plan->steps, &p->plan->n, &p->plan->cap, sizeof(*st));
	if (!st)
		return NULL;
	*st = (struct step){ .kind = (unsigned char)kind,
		.subject = subject,
		.reason = reason,
		.lane = p->lane,
		.rank = p->rank,
		.background = p->rank >= RANK_DIRECT,
		.need = { NONE, NONE, NONE },
		.after = { NONE, NONE } };
	return st;
}

int plan_index(const struct planner *p, const struct step *st)
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

void plan_need(struct step *st, int which)
{
	if (st)
		put(st->need, STEP_NEEDS, which);
}

struct step *plan_room_step(struct planner *p, enum step_kind kind,
	const struct room_now *r, const char *subject, const char *actor,
	const char *reason)
{
	struct step *st = plan_add(p, kind, subject, reason);
	if (!st)
		return NULL;
	st->room = r->room;
	st->where = r->room->key;
	st->actor = actor;
	plan_need(st, r->created);
	return st;
}

int plan_lane(struct planner *p, const struct store_room *row)
{
	const size_t at = row ? (size_t)(row - p->now->rooms) : p->now->n_rooms;
	if (at >= p->now->n_rooms)
		return p->plan->lanes++;
	if (p->lanes[at] == 0)
		p->lanes[at] = ++p->plan->lanes;
	return p->lanes[at] - 1;
}

void plan_trouble(struct planner *p, const char *where, const char *why)
{
	struct trouble *t = arena_push(p->a, &p->plan->troubles,
		&p->plan->n_troubles, &p->plan->troubles_cap, sizeof(*t));
	if (t)
		*t = (struct trouble){ where, why };
}

const struct person *plan_agent(const struct fleet *f, const char *user_id)
{
	size_t lo = 0, hi = f->n_agents;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(f->agents[mid]->user_id, user_id);
		if (c == 0)
			return f->agents[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool plan_usable(const struct planner *p, const struct person *who)
{
	return !who->human && p->usable[who->agent_no];
}

/* --- accounts ---------------------------------------------------------------- */

static bool has_account(const struct store_agent *row)
{
	return row && row->state != AGENT_DECLARED &&
		row->state != AGENT_BLOCKED;
}

bool plan_may_act_for(const struct planner *p, const char *user_id)
{
	return plan_agent(p->f, user_id) &&
		has_account(snapshot_agent(p->now, user_id));
}

/*
 * Registration and display name of one user. Returns the step that everything
 * else about this user waits for (NONE: nothing to wait for). A name that
 * changes later may be late.
 */
static int plan_account(struct planner *p, const struct store_agent *row,
	const char *user_id, const char *name, const struct person *person)
{
	const int rank = p->rank;
	struct step *reg = NULL;
	int reg_i = NONE;
	if (!has_account(row)) {
		reg = plan_add(p, STEP_REGISTER, user_id,
			"has no account known to be ours");
		plan_need(reg, p->sender_ready);
		reg_i = plan_index(p, reg);
	}
	if (reg)
		reg->person = person;
	if (row && text_eq(row->shown_name, name))
		return reg_i;
	/* One that has never worked has another by the homeserver's own idea. */
	const bool renamed =
		!reg && row && row->shown_name && row->generation > 0;
	if (renamed)
		p->rank = RANK_LATER;
	struct step *profile = plan_add(p, STEP_PROFILE, user_id,
		arena_printf(p->a, "display name \"%s\" is not known to be set",
			name));
	p->rank = rank;
	if (!profile)
		return reg_i;
	profile->person = person;
	plan_need(profile, reg_i == NONE ? p->sender_ready : reg_i);
	return renamed ? NONE : plan_index(p, profile);
}

static bool is_handed_off(const struct store_agent *row)
{
	return row &&
		(row->state == AGENT_HANDED_OFF ||
			row->state == AGENT_ACKNOWLEDGED);
}

/* What is in the store is as it was declared last: it differs where another
 * configuration is asked about. */
static bool is_moved(const struct store_agent *row, const struct person *person)
{
	return row && is_handed_off(row) &&
		!text_eq(row->department, person->department);
}

/* A new one is wanted, and nobody has to be asked for it any more. */
static bool is_rotated(const struct store_agent *row)
{
	return row && row->rotation.state == ROTATION_CLEAR;
}

static const char *why_login(
	const struct store_agent *row, const struct person *person)
{
	if (is_rotated(row))
		return row->rotation.why ? row->rotation.why
					 : "a new token is wanted";
	if (is_moved(row, person))
		return "its department is another: its file is elsewhere";
	return row && row->generation > 0 ? "its token is not known to be good"
					  : "has no token yet";
}

static void plan_token(struct planner *p, const struct store_agent *row,
	const struct person *person, int account)
{
	if (is_handed_off(row) && !is_moved(row, person) && !is_rotated(row))
		return;
	int before = account;
	if (!row || row->state != AGENT_LOGGED_IN || !row->token_in_hand) {
		struct step *login = plan_add(
			p, STEP_LOGIN, person->user_id, why_login(row, person));
		plan_need(login, account == NONE ? p->sender_ready : account);
		if (login)
			login->person = person;
		before = plan_index(p, login);
	}
	struct step *hand = plan_add(p, STEP_HAND_OFF, person->user_id,
		"its token is not in the runtime directory");
	plan_need(hand, before);
	if (hand)
		hand->person = person;
}

/* An operator takes its tokens away; then it waits for one. */
static void plan_revoke(struct planner *p, const struct store_agent *row)
{
	p->lane = p->plan->lanes++;
	p->rank = RANK_LEAVERS;
	plan_add(p, STEP_REVOKE, row->user_id,
		row->revoke_why ? row->revoke_why
				: "its tokens are to be ended");
}

static void plan_agents(struct planner *p)
{
	const struct store_agent *row =
		snapshot_agent(p->now, p->how->sender_id);
	p->lane = p->plan->lanes++;
	p->rank = RANK_SENDER;
	p->sender_ready = NONE;
	p->sender_ready = plan_account(
		p, row, p->how->sender_id, p->how->sender_name, NULL);
	for (size_t i = 0; i < p->f->n_agents; i++) {
		const struct person *person = p->f->agents[i];
		row = snapshot_agent(p->now, person->user_id);
		p->ready[i] = NONE;
		p->usable[i] = !row ||
			(row->state != AGENT_BLOCKED && !row->revoke_ms);
		if (!p->usable[i]) {
			p->plan->blocked++;
			if (row->revoke_ms)
				plan_revoke(p, row);
			continue;
		}
		p->lane = p->plan->lanes++;
		p->rank = RANK_AGENT(i);
		p->ready[i] = plan_account(
			p, row, person->user_id, person->name, person);
		plan_token(p, row, person, p->ready[i]);
	}
}

/* --- newcomers --------------------------------------------------------------- */

/* Everybody who can be brought into a room: the agents, then the humans, then
 * the sender; NONE for anybody else. */
static int place_of(const struct planner *p, const char *user_id)
{
	const struct person *agent = plan_agent(p->f, user_id);
	if (agent)
		return (int)agent->agent_no;
	for (size_t h = 0; h < p->f->n_humans; h++)
		if (text_eq(p->f->humans[h]->user_id, user_id))
			return (int)(p->f->n_agents + h);
	return text_eq(p->how->sender_id, user_id)
		? (int)(p->f->n_agents + p->f->n_humans)
		: NONE;
}

void plan_brings(struct planner *p, const struct step *st, const char *user_id)
{
	int place = st ? place_of(p, user_id) : NONE;
	struct bringing *b = place == NONE
		? NULL
		: arena_push(p->a, &p->brings, &p->n_brings, &p->brings_cap,
			  sizeof(*b));
	if (b)
		*b = (struct bringing){ plan_index(p, st), place };
}

/* By place: who is in some room, or has been. */
static bool *known_members(const struct planner *p, size_t n)
{
	bool *known = arena_array(p->a, n, sizeof(*known));
	size_t unknown = n;
	for (size_t i = 0; known && i < p->now->n_rooms && unknown > 0; i++) {
		const struct store_room *row = &p->now->rooms[i];
		for (size_t m = 0; m < row->n_members; m++) {
			int at = place_of(p, row->members[m].user_id);
			if (at == NONE || known[at])
				continue;
			known[at] = true;
			unknown--;
		}
	}
	return known;
}

static int by_step(const void *a, const void *b)
{
	const struct bringing *x = a, *y = b;
	return (x->step > y->step) - (x->step < y->step);
}

/*
 * Steps that bring a newcomer into a room run one after the other. Conduit
 * numbers a member the first time it sees one, without a lock: two rooms that
 * see a newcomer at the same moment give two numbers, and one of the two does
 * not find its member from then on: it refuses whom it has invited.
 */
static void line_up_newcomers(struct planner *p)
{
	const size_t n = p->f->n_agents + p->f->n_humans + 1;
	if (p->n_brings == 0)
		return;
	const bool *known = known_members(p, n);
	int *last = arena_array(p->a, n, sizeof(*last));
	if (!known || !last)
		return;
	qsort(p->brings, p->n_brings, sizeof(*p->brings), by_step);
	for (size_t i = 0; i < p->n_brings; i++) {
		const struct bringing *b = &p->brings[i];
		if (known[b->place])
			continue;
		put(p->plan->steps[b->step].after, STEP_AFTER,
			last[b->place] - 1);
		last[b->place] = b->step + 1;
	}
}

/* --- the order --------------------------------------------------------------- */

/* Which step comes at which place. */
struct order {
	int rank, step;
};

static int by_rank(const void *a, const void *b)
{
	const struct order *x = a, *y = b;
	int c = (x->rank > y->rank) - (x->rank < y->rank);
	return c ? c : (x->step > y->step) - (x->step < y->step);
}

static void renumber(int *list, size_t n, const int *place)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] != NONE)
			list[i] = place[list[i]];
}

/* Moves each step to its place. There may be a million of them, which are not
 * wanted twice in memory. */
static void move_steps(struct step *steps, size_t n, int *place)
{
	for (size_t i = 0; i < n; i++)
		while (place[i] != (int)i) {
			const int to = place[i];
			const struct step moved = steps[i];
			steps[i] = steps[to];
			steps[to] = moved;
			place[i] = place[to];
			place[to] = to;
		}
}

static void sort_steps(struct planner *p)
{
	const size_t n = p->plan->n;
	struct step *steps = p->plan->steps;
	struct arena scratch = { 0 };
	struct order *order = arena_array(&scratch, n + 1, sizeof(*order));
	int *place = arena_array(&scratch, n + 1, sizeof(*place));
	if (!order || !place) {
		p->a->failed = true;
		arena_free(&scratch);
		return;
	}
	for (size_t i = 0; i < n; i++)
		order[i] = (struct order){ steps[i].rank, (int)i };
	qsort(order, n, sizeof(*order), by_rank);
	for (size_t i = 0; i < n; i++)
		place[order[i].step] = (int)i;
	for (size_t i = 0; i < n; i++)
		renumber(steps[i].need, STEP_NEEDS, place);
	for (size_t i = 0; i < p->n_brings; i++)
		p->brings[i].step = place[p->brings[i].step];
	move_steps(steps, n, place);
	arena_free(&scratch);
}

/* Where nothing is there yet, the steps of all direct rooms at once: an array
 * that grows leaves its smaller copies behind. */
static void reserve_steps(struct planner *p)
{
	size_t there = 0, most = p->how->direct_most;
	for (size_t i = 0; i < p->now->n_rooms; i++)
		there += p->now->rooms[i].direct && p->now->rooms[i].room_id;
	if (there >= p->f->n_direct || p->how->direct == DIRECT_OFF)
		return;
	if (most > p->f->n_direct - there)
		most = p->f->n_direct - there;
	size_t n = 2 * most + 8 * p->f->n_agents;
	for (size_t i = 0; i < p->f->n_rooms - p->f->n_direct; i++)
		n += 2 * p->f->rooms[i].n_members;
	p->plan->steps = arena_array(p->a, n, sizeof(*p->plan->steps));
	p->plan->cap = p->plan->steps ? n : 0;
	p->brings = arena_array(p->a, n, sizeof(*p->brings));
	p->brings_cap = p->brings ? n : 0;
}

enum rc plan_make(const struct fleet *f, const struct plan_how *how,
	const struct store_snapshot *now, struct arena *a, struct plan *ret,
	struct err *e)
{
	struct plan plan = { 0 };
	struct planner p = { .f = f, .how = how, .now = now, .a = a };
	p.plan = &plan;
	p.ready = arena_array(a, f->n_agents + 1, sizeof(*p.ready));
	p.usable = arena_array(a, f->n_agents + 1, sizeof(*p.usable));
	p.taken = arena_array(a, now->n_rooms + 1, sizeof(*p.taken));
	p.lanes = arena_array(a, now->n_rooms + 1, sizeof(*p.lanes));
	if (!p.ready || !p.usable || !p.taken || !p.lanes)
		return err_nomem(e);
	reserve_steps(&p);
	plan_agents(&p);
	plan_policy_rooms(&p);
	plan_direct_rooms(&p);
	plan_leavers(&p);
	if (arena_ok(a))
		sort_steps(&p);
	if (arena_ok(a))
		line_up_newcomers(&p);
	if (!arena_ok(a))
		return err_nomem(e);
	*ret = plan;
	return RC_OK;
}
