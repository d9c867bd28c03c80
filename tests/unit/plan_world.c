/*
 * tests/unit/plan_world.c: see plan_world.h.
 */
#include "tests/unit/plan_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* --- the fleet -------------------------------------------------------------- */

void world_declare(struct world *w, const char *self, bool pairs)
{
	assert_true(w->n_cases < WORLD_FLEETS);
	struct fleet_case *c = &w->cases[w->n_cases++];

	case_init(c);
	c->src.manager_report = c->src.manager_peers = pairs;
	c->src.team_peers = pairs;
	case_files(c, NULL, NULL, self);
	case_load(c);
	assert_rc(c->rc, RC_OK);
	assert_int_equal(c->report.errors, 0);
	w->f = &c->fleet;
}

static void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->how = (struct plan_how){
		.sender_id = S,
		.sender_name = "Muster",
		.respect_ms = RESPECT_MS,
		.lost_ms = LOST_MS,
		.now_ms = LONG_AFTER_MS,
		.direct = DIRECT_EAGER,
		.direct_most = SIZE_MAX,
	};
}

void world_open_as(struct world *w, const char *self, bool pairs)
{
	begin(w);
	world_declare(w, self, pairs);
}

void world_open_reference(struct world *w, bool all)
{
	struct fleet_case *c = &w->cases[0];

	begin(w);
	w->n_cases = 1;
	case_init(c);
	c->src.server_name = "fleet.example";
	case_folder(c, examples_folder(), !all);
	assert_loaded(c, 0);
	w->f = &c->fleet;
}

void world_open(struct world *w)
{
	world_open_as(w, BY_HAND, true);
}

void world_close(struct world *w)
{
	arena_free(&w->a);
	for (size_t i = 0; i < w->n_cases; i++)
		case_free(&w->cases[i]);
}

/* --- rows ------------------------------------------------------------------- */

static int by_agent(const void *x, const void *y)
{
	return strcmp(((const struct store_agent *)x)->user_id,
		((const struct store_agent *)y)->user_id);
}

static int by_key(const void *x, const void *y)
{
	return strcmp(((const struct store_room *)x)->key,
		((const struct store_room *)y)->key);
}

static int by_id(const void *x, const void *y)
{
	return strcmp(((const struct store_room *)x)->room_id,
		((const struct store_room *)y)->room_id);
}

static int by_member(const void *x, const void *y)
{
	return strcmp(((const struct store_member *)x)->user_id,
		((const struct store_member *)y)->user_id);
}

static int by_removal(const void *x, const void *y)
{
	const struct store_removal *a = x, *b = y;
	int c = strcmp(a->room_id, b->room_id);

	if (c == 0)
		c = strcmp(a->user_id, b->user_id);
	return c ? c : (a->at_ms > b->at_ms) - (a->at_ms < b->at_ms);
}

/* Room for those that the fleet has, and for those that tests add. */
static void make_arrays(struct world *w)
{
	struct store_snapshot *n = &w->now;
	size_t agents = w->f->n_agents, rooms = w->f->n_rooms;

	if (n->agents)
		return;
	n->agents = arena_array(
		&w->a, agents + 1 + WORLD_SPARE, sizeof(*n->agents));
	n->rooms = arena_array(&w->a, rooms + WORLD_SPARE, sizeof(*n->rooms));
	n->old = arena_array(&w->a, WORLD_SPARE, sizeof(*n->old));
	n->removals = arena_array(&w->a, WORLD_SPARE, sizeof(*n->removals));
	assert_true(arena_ok(&w->a));
}

static void make_members(struct world *w, struct store_room *r, size_t n)
{
	r->members = arena_array(&w->a, n + WORLD_SPARE, sizeof(*r->members));
	assert_non_null(r->members);
}

static struct store_member *add_member(struct store_room *r, const char *user)
{
	struct store_member *m = &r->members[r->n_members++];

	*m = (struct store_member){
		.user_id = user, .membership = "join", .source = "event"
	};
	return m;
}

static const char *words(struct world *w, const char *key, const char *value)
{
	return value ? arena_printf(&w->a, "{\"%s\":\"%s\"}", key, value)
		     : NULL;
}

/* The rooms of a policy may name each other. */
static const char *join_rules(struct world *w, const struct room *room)
{
	static const char *const rules[] = { [JOIN_INVITE] = "invite",
		[JOIN_RESTRICTED] = "restricted",
		[JOIN_PUBLIC] = "public" };
	struct buf text;

	buf_init(&text, 64 * KIB);
	buf_addf(&text, "{\"join_rule\":\"%s\",\"allow\":[",
		rules[room->policy->join_rule]);
	for (size_t i = 0; i < room->policy->n_allow; i++)
		buf_addf(&text, "%s{\"room_id\":\"%s\"}", i ? "," : "",
			world_room(w, room->policy->allow[i])->room_id);
	buf_addf(&text, "]}");
	const char *ret = arena_strdup(&w->a, buf_str(&text));
	buf_free(&text);
	return ret;
}

static const char *power(struct world *w, const struct room *room)
{
	struct buf text;

	buf_init(&text, 64 * KIB);
	buf_addf(&text, "{\"users\":{\"" S "\":100");
	for (size_t i = 0; i < w->f->n_humans; i++)
		buf_addf(&text, ",\"%s\":100", w->f->humans[i]->user_id);
	for (size_t i = 0; i < room->policy->n_grants; i++)
		buf_addf(&text, ",\"%s\":%d", room->policy->grants[i].user_id,
			(int)room->policy->grants[i].level);
	buf_addf(&text, "}}");
	const char *ret = arena_strdup(&w->a, buf_str(&text));
	buf_free(&text);
	return ret;
}

static void make_state(struct world *w, const struct room *room)
{
	struct store_room *r = world_room(w, room->key);

	r->state = arena_array(&w->a, ROOM_STATES, sizeof(*r->state));
	assert_non_null(r->state);
	r->state[ROOM_STATE_NAME].content = words(w, "name", room->name);
	if (room->direct)
		return;
	r->state[ROOM_STATE_CREATE].content = "{\"room_version\":\"11\"}";
	r->state[ROOM_STATE_CREATE].sender = S;
	r->state[ROOM_STATE_TOPIC].content = words(w, "topic", room->topic);
	r->state[ROOM_STATE_POWER].content = power(w, room);
	r->state[ROOM_STATE_JOIN_RULES].content = join_rules(w, room);
	r->state[ROOM_STATE_HISTORY].content =
		words(w, "history_visibility", room->policy->history);
	if (room->policy->encryption)
		r->state[ROOM_STATE_ENCRYPTION].content =
			"{\"algorithm\":\"m.megolm.v1.aes-sha2\"}";
	r->state[ROOM_STATE_ALIAS].content = words(w, "alias", room->alias);
}

static void make_room(struct world *w, const struct room *room, size_t i)
{
	struct store_room *r = &w->now.rooms[w->now.n_rooms++];

	*r = (struct store_room){
		.key = room->key,
		.direct = room->direct,
		.declared = true,
		.rule = room->policy ? room->policy->rule : NULL,
		.room_id = arena_printf(&w->a, "!%zu:example.org", i),
		.maker = S,
	};
	make_members(w, r, room->n_members);
	if (!room->direct)
		add_member(r, S);
	for (size_t m = 0; m < room->n_members; m++)
		add_member(r, room->members[m]->user_id)->marked =
			room->direct && !room->members[m]->human;
	qsort(r->members, r->n_members, sizeof(*r->members), by_member);
}

void world_whole(struct world *w)
{
	const struct fleet *f = w->f;

	make_arrays(w);
	struct store_agent *s = world_add_agent(w, S, AGENT_REGISTERED);
	s->sender = s->declared = true;
	s->shown_name = "Muster";
	for (size_t i = 0; i < f->n_agents; i++) {
		struct store_agent *a = world_add_agent(
			w, f->agents[i]->user_id, AGENT_ACKNOWLEDGED);
		a->declared = true;
		a->shown_name = f->agents[i]->name;
		a->department = f->agents[i]->department;
	}
	for (size_t i = 0; i < f->n_rooms; i++)
		make_room(w, &f->rooms[i], i);
	qsort(w->now.rooms, w->now.n_rooms, sizeof(*w->now.rooms), by_key);
	for (size_t i = 0; i < f->n_rooms; i++)
		make_state(w, &f->rooms[i]);
	assert_true(arena_ok(&w->a));
}

struct store_agent *world_agent(struct world *w, const char *id)
{
	for (size_t i = 0; i < w->now.n_agents; i++)
		if (text_eq(w->now.agents[i].user_id, id))
			return &w->now.agents[i];
	fail_msg("no agent %s", id);
	return NULL;
}

struct store_agent *world_add_agent(
	struct world *w, const char *id, enum agent_state st)
{
	struct store_snapshot *n = &w->now;

	make_arrays(w);
	n->agents[n->n_agents++] = (struct store_agent){
		.user_id = id, .state = st, .shown_name = id, .generation = 3
	};
	qsort(n->agents, n->n_agents, sizeof(*n->agents), by_agent);
	return world_agent(w, id);
}

struct store_room *world_room(struct world *w, const char *key)
{
	for (size_t i = 0; i < w->now.n_rooms; i++)
		if (text_eq(w->now.rooms[i].key, key))
			return &w->now.rooms[i];
	fail_msg("no room %s", key);
	return NULL;
}

struct store_room *world_add_room(
	struct world *w, const char *key, const char *rule, const char *id)
{
	struct store_snapshot *n = &w->now;
	struct store_room *r = &n->rooms[n->n_rooms++];

	*r = (struct store_room){
		.key = key, .rule = rule, .room_id = id, .maker = S
	};
	make_members(w, r, 0);
	add_member(r, S);
	qsort(n->rooms, n->n_rooms, sizeof(*n->rooms), by_key);
	return world_room(w, key);
}

struct store_room *world_add_old(
	struct world *w, const char *key, const char *id)
{
	struct store_snapshot *n = &w->now;
	struct store_room *r = &n->old[n->n_old++];

	*r = (struct store_room){ .key = key, .room_id = id };
	make_members(w, r, 0);
	add_member(r, S);
	qsort(n->old, n->n_old, sizeof(*n->old), by_id);
	for (size_t i = 0; i < n->n_old; i++)
		if (text_eq(n->old[i].room_id, id))
			return &n->old[i];
	return NULL;
}

void room_set_member(
	struct world *w, struct store_room *r, const char *user, const char *is)
{
	struct store_member *m = NULL;

	(void)w;
	for (size_t i = 0; i < r->n_members && !m; i++)
		if (text_eq(r->members[i].user_id, user))
			m = &r->members[i];
	if (!is) {
		assert_non_null(m);
		*m = r->members[--r->n_members];
	} else {
		m = m ? m : add_member(r, user);
		m->membership = is;
	}
	qsort(r->members, r->n_members, sizeof(*r->members), by_member);
}

void world_member(
	struct world *w, const char *key, const char *user, const char *is)
{
	room_set_member(w, world_room(w, key), user, is);
}

void world_mark(struct world *w, const char *key, const char *user, bool marked)
{
	struct store_room *r = world_room(w, key);

	for (size_t i = 0; i < r->n_members; i++)
		if (text_eq(r->members[i].user_id, user)) {
			r->members[i].marked = marked;
			return;
		}
	fail_msg("%s is not in %s", user, key);
}

void world_state(struct world *w, const char *key, enum room_state st,
	const char *content)
{
	world_room(w, key)->state[st].content = content;
}

struct store_removal *world_removal(struct world *w, const char *key,
	const char *user, const char *by, int64_t at_ms)
{
	struct store_snapshot *n = &w->now;
	const char *id = world_room(w, key)->room_id;

	n->removals[n->n_removals++] = (struct store_removal){
		.room_id = id, .user_id = user, .by = by, .at_ms = at_ms
	};
	qsort(n->removals, n->n_removals, sizeof(*n->removals), by_removal);
	for (size_t i = 0; i < n->n_removals; i++) {
		struct store_removal *r = &n->removals[i];
		if (text_eq(r->room_id, id) && text_eq(r->user_id, user) &&
			r->at_ms == at_ms)
			return r;
	}
	return NULL;
}

/* --- the plan --------------------------------------------------------------- */

void world_plan(struct world *w)
{
	struct err e = { 0 };

	assert_ok(plan_make(w->f, &w->how, &w->now, &w->a, &w->plan, &e), e);
}

static void write_step(const struct step *st, struct buf *out)
{
	const char *actor = text_eq(st->actor, st->subject) ? NULL : st->actor;
	bool of_room = text_eq(st->subject, st->where);

	buf_addf(out, "%s%s%s%s%s%s%s\n", step_kind_name(st->kind),
		of_room ? "" : " ", of_room ? "" : st->subject,
		st->where ? " in " : "", st->where ? st->where : "",
		actor ? " by " : "", actor ? actor : "");
}

/* cmocka prints no more than a line or two at once. */
static void print_lines(const char *what, const char *text)
{
	print_error("%s:\n", what);
	while (*text) {
		int n = (int)strcspn(text, "\n");
		print_error("  %.*s\n", n, text);
		text += n + (text[n] == '\n');
	}
}

static void assert_text(struct world *w, const char *where, const char *want)
{
	struct buf text;

	buf_init(&text, LIMIT_DOCUMENT);
	world_plan(w);
	for (size_t i = 0; i < w->plan.n; i++)
		if (!where || text_eq(w->plan.steps[i].where, where))
			write_step(&w->plan.steps[i], &text);
	bool same = text_eq(buf_str(&text), want);
	if (!same) {
		print_error("case %zu\n", w->no);
		print_lines("expected", want);
		print_lines("found", buf_str(&text));
	}
	buf_free(&text);
	assert_true(same);
}

void world_assert(struct world *w, const char *want)
{
	assert_text(w, NULL, want);
}

void world_assert_of(struct world *w, const char *where, const char *want)
{
	assert_text(w, where, want);
}

const struct step *world_step(struct world *w, enum step_kind kind,
	const char *subject, const char *where)
{
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		if (st->kind == kind && text_eq(st->subject, subject) &&
			(!where || text_eq(st->where, where)))
			return st;
	}
	fail_msg("no step %s %s in %s", step_kind_name(kind), subject,
		where ? where : "any");
	return NULL;
}

const char *world_trouble(const struct world *w, const char *where)
{
	for (size_t i = 0; i < w->plan.n_troubles; i++)
		if (text_eq(w->plan.troubles[i].where, where))
			return w->plan.troubles[i].why;
	return NULL;
}

static bool waits_in_order(const int *list, size_t n, int at)
{
	for (size_t k = 0; k < n; k++)
		if (list[k] < -1 || list[k] >= at)
			return false;
	return true;
}

static void print_step(const struct world *w, int i)
{
	struct buf text;

	if (i < 0)
		return;
	buf_init(&text, 64 * KIB);
	write_step(&w->plan.steps[i], &text);
	print_error(
		"%d (rank %d): %s", i, w->plan.steps[i].rank, buf_str(&text));
	buf_free(&text);
}

static bool is_known(const struct world *w, const char *user)
{
	for (size_t i = 0; i < w->now.n_rooms; i++)
		if (room_member(&w->now.rooms[i], user))
			return true;
	return false;
}

static bool brings(const struct step *st, const char *user)
{
	if (st->kind == STEP_INVITE)
		return text_eq(st->subject, user);
	/* A room that is followed brings nobody. */
	return st->kind == STEP_CREATE_ROOM && !st->room_id &&
		(text_eq(st->actor ? st->actor : S, user) ||
			(st->room->direct &&
				text_eq(st->room->other->user_id, user)));
}

static void assert_newcomer_waits(struct world *w, const char *user)
{
	int before = -1;

	if (is_known(w, user))
		return;
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		if (!brings(st, user))
			continue;
		if (before >= 0 && st->after[0] != before &&
			st->after[1] != before) {
			print_step(w, before);
			print_step(w, (int)i);
			fail_msg("case %zu: %s may cross", w->no, user);
		}
		before = (int)i;
	}
}

/* Of a large fleet some are enough. */
static void assert_newcomers_wait(struct world *w)
{
	const struct fleet *f = w->f;

	assert_newcomer_waits(w, S);
	for (size_t i = 0; i < f->n_agents; i += 1 + f->n_agents / 50)
		assert_newcomer_waits(w, f->agents[i]->user_id);
	for (size_t i = 0; i < f->n_humans; i++)
		assert_newcomer_waits(w, f->humans[i]->user_id);
}

static void assert_no_step_twice(struct world *w)
{
	const struct step *s = w->plan.steps;
	size_t n = w->plan.n, size = 64;
	while (size < 2 * n)
		size *= 2;
	const struct step **seen = arena_array(&w->a, size, sizeof(*seen));

	assert_non_null(seen);
	for (size_t i = 0; i < n; i++) {
		/* What a step is known by in the journal. */
		const char *name =
			arena_printf(&w->a, "%d %s %s", (int)s[i].kind,
				s[i].subject, s[i].where ? s[i].where : "");
		size_t at = (size_t)text_hash(name) & (size - 1);
		for (; seen[at]; at = (at + 1) & (size - 1))
			if (seen[at]->kind == s[i].kind &&
				text_eq(seen[at]->subject, s[i].subject) &&
				text_eq(seen[at]->where, s[i].where)) {
				print_step(w, (int)i);
				fail_msg("case %zu: a step twice", w->no);
			}
		seen[at] = &s[i];
	}
}

void world_assert_order(struct world *w)
{
	world_plan(w);
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		bool right = waits_in_order(st->need, STEP_NEEDS, (int)i) &&
			waits_in_order(st->after, STEP_AFTER, (int)i) &&
			(i == 0 || st[-1].rank <= st->rank);
		if (right)
			continue;
		print_step(w, (int)i);
		for (size_t k = 0; k < STEP_NEEDS; k++)
			print_step(w, st->need[k]);
		fail_msg("case %zu: step %zu does not come after those it "
			 "waits for",
			w->no, i);
	}
	assert_no_step_twice(w);
	assert_newcomers_wait(w);
}
