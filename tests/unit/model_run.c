/*
 * tests/unit/model_run.c: runs a case: rounds of looking, planning and
 * performing, in the first of which people interfere and things go wrong; then
 * nobody does any more, and it has to come to an end.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/model.h"
#include "tests/unit/test.h"

#include "base/str.h"

#include "base/poison.h"

#define ROUNDS_MOST 40
#define MINUTE_MS ((int64_t)60 * 1000)
#define A_DAY_MS ((int64_t)25 * 3600 * 1000)

void wrong(struct world *w, const char *fmt, ...)
{
	va_list ap;
	if (w->wrong[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w->wrong, sizeof(w->wrong), fmt, ap);
	va_end(ap);
	trace(w, "WRONG: %s", w->wrong);
}

void trace(const struct world *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	if (!w->trace)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_message("%s\n", text);
}

/* --- what happens --------------------------------------------------------------- */

static void membership(struct world *w, const struct happening *h, int room)
{
	const enum is is = w->rooms[room].m[h->user].is;
	const bool in = is == JOIN || is == INVITE;
	const bool direct = w->rooms[room].direct;
	if (h->user == SENDER && direct)
		return;
	if (h->what == GET_IN && is != JOIN && is != BAN)
		server_put(w, room, h->user, JOIN, h->user);
	if (h->what == GET_INVITED && !in && is != BAN)
		server_put(w, room, h->user, INVITE, h->by);
	if (h->what == GET_OUT && in)
		server_put(w, room, h->user, LEAVE, h->by);
	if (h->what == GET_BANNED && is != BAN && h->by != h->user)
		server_put(w, room, h->user, BAN, h->by);
	if (h->what == GET_UNBANNED && is == BAN && h->by != h->user)
		server_put(w, room, h->user, LEAVE, h->by);
	if (h->what == KNOCK_AT && (is == NOT || is == LEAVE))
		server_put(w, room, h->user, KNOCK, h->user);
}

static void move_aliases(struct world *w, int from, int to)
{
	for (int k = 0; k < KEYS; k++)
		if (w->alias[k] == from)
			w->alias[k] = to;
}

static void upgrade(struct world *w, const struct happening *h, int room)
{
	struct model_room *old = &w->rooms[room];
	if (old->direct || old->successor != NOBODY)
		return;
	const int to = server_room(w, NOBODY, ZOE, false);
	struct model_room *new = &w->rooms[to];
	new->invite_level = old->invite_level;
	for (int u = 0; u < USERS; u++)
		if (u != ZOE)
			new->m[u].level = old->m[u].level;
	if (h->more & 2)
		new->m[SENDER].level = 0;
	if (h->more & 4)
		new->join = JOIN_PUBLIC;
	if (h->more & 1)
		server_put(w, to, SENDER, INVITE, ZOE);
	server_levels(w, to, ZOE);
	old->successor = to;
	move_aliases(w, room, to);
	server_state(w, room, ROOM_STATE_TOMBSTONE, ZOE,
		arena_printf(&w->texts, "{\"replacement_room\":\"%s\"}",
			room_ids[to]));
}

static void take_alias(struct world *w, const struct happening *h, int key)
{
	if (w->company->keys[key][0] == '@')
		return;
	const int room = server_room(w, NOBODY, ZOE, false);
	struct model_room *r = &w->rooms[room];
	r->m[SENDER].level = h->more & 1 ? 100 : 0;
	if (h->more & 2)
		server_put(w, room, SENDER, INVITE, ZOE);
	server_levels(w, room, ZOE);
	/* One that was made without an answer is not found any more. */
	w->half_made[key] |= w->rows[key].room == NOBODY;
	w->alias[key] = room;
}

/* Pairs are looked for in the agents' lists once in a store's life. */
static void change(struct world *w, int version)
{
	for (size_t k = 0; k < w->company->n_keys; k++)
		w->half_made[k] |= w->forgot && !w->declared[k].room &&
			w->rows[k].room == NOBODY;
	known_declare(w, version);
}

static void to_room(struct world *w, const struct happening *h)
{
	const int key = company_key(w->company, h->key);
	const int room = key == NOBODY        ? NOBODY
		: w->rows[key].room != NOBODY ? w->rows[key].room
					      : w->alias[key];
	const int events = w->n_events;
	if (h->what == TAKE_ALIAS && key != NOBODY)
		take_alias(w, h, key);
	if (room == NOBODY || w->rooms[room].dead)
		return;
	if (h->what <= KNOCK_AT)
		membership(w, h, room);
	if (h->what == LOSE_ROOM) {
		w->rooms[room].dead = true;
		move_aliases(w, room, NOBODY);
	}
	if (h->what == UPGRADE)
		upgrade(w, h, room);
	if ((h->what == LOSE_POWER || h->what == GAIN_POWER) &&
		!w->rooms[room].direct) {
		w->rooms[room].m[SENDER].level =
			h->what == GAIN_POWER ? 100 : h->more % 2 * 40;
		server_levels(w, room, ZED);
	}
	if (!h->told)
		w->n_events = events;
}

static bool is_declared(const struct world *w, int room, int user)
{
	for (size_t k = 0; k < w->company->n_keys; k++)
		if (w->rows[k].declared && w->rows[k].room == room)
			return w->declared[k].members & 1u << user;
	return false;
}

static void retry(struct world *w, int user)
{
	for (int r = 0; r < w->n_rooms; r++) {
		struct removals *all = &w->rooms[r].removals[user];
		all->n = 0;
		if (w->rooms[r].known[user].is == BAN &&
			is_declared(w, r, user))
			all->r[all->n++] = (struct removal){ .by = NOBODY,
				.ban = true,
				.asked = true,
				.at = w->now };
	}
}

static bool is_leaving(const struct model_agent *a)
{
	return a->row && !a->declared && a->state != AGENT_RETIRED &&
		a->state != AGENT_DECLARED;
}

void happen(struct world *w, const struct happening *h)
{
	struct model_row *row = NULL;
	const int key = company_key(w->company, h->key);
	if (key != NOBODY)
		row = &w->rows[key];
	if (h->what <= TAKE_ALIAS)
		to_room(w, h);
	if (h->what == BE_FOREIGN && h->user < PEOPLE &&
		!w->accounts[h->user].exists)
		w->accounts[h->user] = (struct model_account){ .exists = true,
			.foreign = true };
	if (h->what == LOSE_STORE)
		known_lose(w);
	if (h->what == CHANGE)
		change(w, h->more % (int)w->company->n);
	for (int u = 0; u < PEOPLE; u++) {
		if (h->what == RESTART)
			w->agents[u].in_hand = false;
		if (h->what == APPROVE && is_leaving(&w->agents[u]))
			known_let_go(w, u);
	}
	if (h->what == RETRY)
		retry(w, h->user);
	if (h->what == WANT && row && row->declared)
		row->wanted = true;
	if (h->what == A_DAY)
		w->now += A_DAY_MS;
	if (h->what == LOOK)
		look(w);
}

/* --- before the beginning -------------------------------------------------------------- */

static void whole_account(struct world *w, int user, const char *name)
{
	w->accounts[user] = (struct model_account){ .exists = true,
		.device = user != SENDER,
		.token = user != SENDER,
		.name = name };
	w->agents[user].state =
		user == SENDER ? AGENT_REGISTERED : AGENT_ACKNOWLEDGED;
	w->agents[user].generation = user != SENDER;
	w->agents[user].shown = name;
}

static void whole_room(struct world *w, int key)
{
	const struct room *room = w->declared[key].room;
	const int maker = room->direct ? user_of(room->maker->user_id) : SENDER;
	int at = NOBODY;
	if (room->direct && w->c->direct != DIRECT_EAGER &&
		mix(w->c->seed, (uint64_t)key) % 2)
		return;
	if (server_create(w, key, maker, &at) != RC_OK)
		return;
	for (int u = 0; u < PEOPLE; u++) {
		if (!(w->declared[key].members & 1u << u))
			continue;
		if (u != maker)
			server_put(w, at, u, JOIN, u);
		if (room->direct && !w->company->human[u])
			w->rooms[at].m[u].marked = true;
	}
	known_place(w, key, at, maker);
	w->n_events = 0;
	(void)look_at_room(w, maker, at);
	for (int u = 0; u < PEOPLE; u++)
		w->rooms[at].known[u].marked = w->rooms[at].m[u].marked;
}

static void make_whole(struct world *w)
{
	whole_account(w, SENDER, "Muster");
	for (size_t i = 0; i < w->fleet->n_agents; i++)
		whole_account(w, user_of(w->fleet->agents[i]->user_id),
			w->fleet->agents[i]->name);
	for (int k = 0; k < (int)w->company->n_keys; k++)
		if (w->declared[k].room)
			whole_room(w, k);
}

static void begin(struct world *w, const struct model_case *c)
{
	memset(w->accounts, 0, sizeof(w->accounts));
	memset(w->agents, 0, sizeof(w->agents));
	memset(w->rows, 0, sizeof(w->rows));
	memset(w->half_made, 0, sizeof(w->half_made));
	memset(w->half_known, 0, sizeof(w->half_known));
	w->c = c;
	w->company = c->company;
	w->n_rooms = w->n_events = w->event_id = w->lies = 0;
	w->n_tried = 0;
	w->forgot = w->waits = false;
	w->fault = DONE;
	w->wrong[0] = '\0';
	w->round = -1;
	w->now = 1000000000000;
	for (int k = 0; k < KEYS; k++)
		w->alias[k] = NOBODY;
	known_declare(w, 0);
	if (c->whole)
		make_whole(w);
	for (size_t i = 0; i < c->n; i++)
		if (c->happenings[i].round < 0)
			happen(w, &c->happenings[i]);
}

/* --- rounds --------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || text_eq(a, b);
}

static bool same_step(const struct step *a, const struct step *b)
{
	return a->kind == b->kind && same_text(a->subject, b->subject) &&
		a->person == b->person && a->room == b->room &&
		same_text(a->where, b->where) &&
		same_text(a->room_id, b->room_id) &&
		same_text(a->from, b->from) && same_text(a->actor, b->actor) &&
		same_text(a->reason, b->reason) &&
		memcmp(a->need, b->need, sizeof(a->need)) == 0 &&
		memcmp(a->after, b->after, sizeof(a->after)) == 0 &&
		a->lane == b->lane && a->rank == b->rank &&
		a->last == b->last && a->background == b->background;
}

static void plan_now(struct world *w, struct arena *a, struct plan *ret)
{
	static struct shot shot;
	struct err e = { 0 };
	const struct plan_how how = { .sender_id = user_ids[SENDER],
		.sender_name = "Muster",
		.respect_ms = WORLD_RESPECT_MS,
		.lost_ms = WORLD_LOST_MS,
		.direct = w->c->direct,
		.direct_most = w->c->direct_most };
	known_shot(w, &shot);
	if (plan_make(w->fleet, &how, &shot.now, a, ret, &e) != RC_OK) {
		wrong(w, "no plan was made: %s", e.text);
		return;
	}
	check_plan(w, ret);
	if (mix(w->c->seed, (uint64_t)w->now) % 8)
		return;
	struct plan again = { 0 };
	if (plan_make(w->fleet, &how, &shot.now, a, &again, &e) != RC_OK ||
		again.n != ret->n || again.lanes != ret->lanes ||
		again.held != ret->held ||
		again.unanswered != ret->unanswered ||
		again.n_troubles != ret->n_troubles)
		wrong(w, "the same inputs give another plan");
	for (size_t i = 0; i < ret->n && i < again.n; i++)
		if (!same_step(&ret->steps[i], &again.steps[i]))
			wrong(w, "the same inputs give another plan");
}

/* A renamed room's new alias leads to a room that is not known to be ours: what
 * is left is in the journal, with the reason, for an operator. */
static bool waits_for_alias(const struct world *w, const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct step *st = &p->steps[i];
		if (!st->from)
			continue;
		const int to = w->alias[company_key(w->company, st->room->key)];
		if (to != NOBODY && !known_has_key(w, to))
			return true;
	}
	return false;
}

/* Number of steps. */
static size_t round_trip(struct world *w)
{
	struct arena a = { 0 };
	struct plan plan = { 0 };
	plan_now(w, &a, &plan);
	w->progress = false;
	trace(w, "round %d: %zu steps, %zu held, %zu unanswered, %zu to leave",
		w->round, plan.n, plan.held, plan.unanswered, plan.removals);
	for (size_t i = 0; i < plan.n_troubles; i++)
		trace(w, "  %s: %s", plan.troubles[i].where,
			plan.troubles[i].why);
	if (plan.n > 0 && !w->wrong[0])
		model_perform(w, &plan);
	const size_t n = plan.n;
	const bool last = w->round == w->c->rounds + ROUNDS_MOST;
	w->waits = n > 0 && last && waits_for_alias(w, &plan);
	if (n > 0 && last && !w->waits)
		wrong(w, "it does not come to an end: %s %s in %s",
			step_kind_name(plan.steps[0].kind),
			plan.steps[0].subject,
			plan.steps[0].where ? plan.steps[0].where : "-");
	arena_free(&a);
	return n;
}

static void all_that_happens(struct world *w)
{
	for (size_t i = 0; i < w->c->n; i++) {
		if (w->c->happenings[i].round != w->round)
			continue;
		trace(w, "  (happening %zu)", i);
		happen(w, &w->c->happenings[i]);
	}
}

static void rounds(struct world *w)
{
	/* Rounds without a step; and without one that succeeds. */
	int quiet = 0;
	int stuck = 0;
	for (int i = 0; i <= w->c->rounds + ROUNDS_MOST && !w->wrong[0]; i++) {
		const bool over = i >= w->c->rounds;
		if (i == w->c->rounds)
			quiet = 0;
		w->round = i;
		w->now +=
			mix(w->c->seed, (uint64_t)i) % 3 ? 5000 : 6 * MINUTE_MS;
		all_that_happens(w);
		if (over && (quiet == 1 || quiet == 2 || stuck > 4))
			w->now += A_DAY_MS;
		known_deliver(w, over && quiet > 0);
		if (quiet > 0 || stuck > 0 ||
			mix(w->c->seed, 77 + (uint64_t)i) % 4 == 0)
			look(w);
		const size_t n = round_trip(w);
		stuck = n > 0 && !w->progress ? stuck + 1 : 0;
		quiet = n > 0 ? 0 : quiet + 1;
		if (over && quiet > 3)
			return;
	}
}

const char *model_run(const struct model_case *c, bool with_trace)
{
	static struct world w;
	w.trace = with_trace;
	begin(&w, c);
	rounds(&w);
	if (!w.wrong[0] && !w.waits)
		check_end(&w);
	arena_free(&w.texts);
	return w.wrong;
}
