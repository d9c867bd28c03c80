/*
 * The order of a plan is its priority: what the first agent needs comes before
 * the last agent's account, people before direct rooms, and those before what
 * is only nice to have. And it can be done: no step waits for a later one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/reconcile/plan_priv.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/plan_world.h"

#include "base/poison.h"

/* n agents a000 …, in one room. */
static void open_many(struct world *w, size_t n)
{
	struct buf text;

	buf_init(&text, 256 * KIB);
	buf_addf(&text, HANNA "agents:\n");
	for (size_t i = 0; i < n; i++)
		buf_addf(&text, "- {id: a%03zu, name: A}\n", i);
	world_open_as(w, buf_str(&text), false);
	buf_free(&text);
}

/* How many tokens are handed over before this agent comes into a room. */
static size_t tokens_before(struct world *w, size_t no)
{
	size_t tokens = 0;

	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		tokens += st->kind == STEP_HAND_OFF;
		if (st->kind == STEP_JOIN && st->person == w->f->agents[no])
			return tokens;
	}
	fail_msg("%s does not join", w->f->agents[no]->user_id);
	return 0;
}

static void rooms_of_one_among_accounts(void **state)
{
	(void)state;
	static const size_t before[] = { 17, 33, 49, 60, 60 };
	struct world w;

	open_many(&w, 60);
	world_plan(&w);
	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		assert_int_equal(tokens_before(&w, i), before[i]);
	/* Whose account it is has its token long before. */
	for (size_t i = 1; i < 60; i++)
		assert_true(tokens_before(&w, i) > i);
	world_assert_order(&w);
	world_close(&w);
}

/* Which of the kinds of work a step is. */
static int class_of(const struct world *w, const struct step *st)
{
	bool human = st->subject && fleet_person(w->f, st->subject) &&
		fleet_person(w->f, st->subject)->human;

	if (st->kind == STEP_DIRECT_MARK || (st->room && st->room->direct))
		return 2;
	return st->kind == STEP_INVITE && human ? 1 : 0;
}

static void assert_classes(struct world *w)
{
	int before = 0;

	for (size_t i = 0; i < w->plan.n; i++) {
		int class = class_of(w, &w->plan.steps[i]);
		assert_true(class >= before);
		before = class;
	}
	world_assert_order(w);
}

static void agents_then_humans_then_direct_rooms(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_plan(&w);
	assert_classes(&w);
	assert_string_equal(w.plan.steps[0].subject, S);
	world_close(&w);
	for (size_t all = 0; all < 2; all++) {
		world_open_reference(&w, all);
		world_plan(&w);
		assert_classes(&w);
		assert_string_equal(w.plan.steps[0].subject, S);
		world_close(&w);
	}
}

/* Names that change, and topics, when all else is done. */
static void names_come_last(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_agent(&w, A)->shown_name = "A";
	world_state(&w, EVERYONE, ROOM_STATE_NAME, "{}");
	world_room(&w, A " " H)->room_id = NULL;
	world_room(&w, A " " H)->n_members = 0;
	world_member(&w, EVERYONE, H, NULL);
	world_agent(&w, C)->state = AGENT_REGISTERED;
	world_assert(&w,
		"login " C "\nhand_off " C "\ninvite " H " in " EVERYONE
		"\ncreate_room in " A " " H " by " A "\ndirect_mark " A
		"\nprofile " A "\nset_state m.room.name in " EVERYONE "\n");
	world_assert_order(&w);
	/* But the first name is part of having an account. */
	world_agent(&w, A)->shown_name = NULL;
	world_plan(&w);
	assert_int_equal(w.plan.steps[0].kind, STEP_PROFILE);
	world_close(&w);
}

/* --- whatever there is ------------------------------------------------------- */

#define CASES 600

static uint64_t seed;

static size_t below(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed % n);
}

#define PEOPLE 10

/* Somebody of an organisation: team 0 is none, head 0 the human. */
struct somebody {
	size_t deployed, name, level, team, head;
};

static struct somebody anybody(void)
{
	return (struct somebody){ below(3), below(2), below(2), below(4),
		below(2) };
}

static void declare_any(struct world *w, const struct somebody *all)
{
	static const char *const teams[] = { "one", "two", "three", "four",
		"five", "six" };
	static const char *const levels[] = { "IC", "VP" };
	struct buf text;

	buf_init(&text, 64 * KIB);
	buf_addf(&text, HANNA "agents:\n- {id: z, name: Z}\n");
	for (int i = 0; i < PEOPLE; i++) {
		const struct somebody *p = &all[i];
		if (!p->deployed)
			continue;
		buf_addf(&text,
			"- {id: %c, name: N%zu, department: Lab, level: %s, "
			"manager: %s",
			'a' + i, p->name, levels[p->level],
			p->head ? "z" : "'" H "'");
		if (p->team)
			buf_addf(&text, ", team: %s", teams[p->team - 1]);
		buf_addf(&text, "}\n");
	}
	buf_addf(&text,
		"rooms:\n- {alias: all, members: {everyone: true}}\n"
		"- {alias: '{department}-heads', members: {level: VP},"
		" strict: true}\n"
		"- {alias: '{team}-team', members: {team: '{team}'},"
		" topic: T, history: joined, join_rule: {restricted: all}}\n");
	if (w->n_cases == 0)
		world_open_as(w, buf_str(&text), true);
	else
		world_declare(w, buf_str(&text), below(2));
	buf_free(&text);
}

/* Teams get other names, and some people are somebody else. */
static void reorganise(struct somebody *all)
{
	const size_t renamed = below(8);

	for (size_t i = 0; i < PEOPLE; i++) {
		if (below(5) == 0)
			all[i] = anybody();
		if (all[i].team && renamed & (1u << (all[i].team - 1)))
			all[i].team += 3;
	}
}

static void disturb_agents(struct world *w)
{
	for (size_t i = 0; i < w->now.n_agents; i++) {
		struct store_agent *a = &w->now.agents[i];
		if (below(3) == 0 && !a->sender)
			a->state = (enum agent_state)below(AGENT_STATES);
		a->may_leave = below(4) == 0;
		a->token_in_hand = below(2);
		if (below(4) == 0)
			a->shown_name = below(2) ? "other" : NULL;
	}
}

static void disturb_members(struct world *w, struct store_room *r)
{
	static const char *const words[] = { "join", "invite", "leave", "ban",
		"knock" };
	size_t n = r->n_members;

	for (size_t i = 0; i < n; i++) {
		struct store_member *m = &r->members[i];
		if (below(3) == 0 && !text_eq(m->user_id, S))
			m->membership = words[below(ARRAY_LEN(words))];
		m->marked &= below(3) > 0;
		for (size_t k = below(4); k < 2 && w->now.n_removals < 60; k++)
			world_removal(w, r->key, m->user_id,
				below(2) ? X : NULL, (int64_t)below(1000000))
				->ban = below(5) == 0;
	}
	if (!r->direct && below(3) == 0)
		room_set_member(w, r, X, words[below(2)]);
	if (!r->direct && below(3) == 0)
		room_set_member(w, r, "@a:example.org", words[below(2)]);
}

static void disturb_room(struct world *w, struct store_room *r)
{
	if (below(6) == 0) {
		r->room_id = NULL;
		r->n_members = 0;
		return;
	}
	disturb_members(w, r);
	r->wanted = below(2);
	if (below(8) == 0)
		r->held = "held";
	if (below(8) == 0)
		r->missing_ms = 5;
	for (size_t k = below(3); k < 2 && !r->direct; k++)
		r->state[below(ROOM_STATES)].content =
			below(2) ? "{}" : "{\"replacement_room\":\"!n:e\"}";
}

static void any_case(size_t no)
{
	struct world w = { .n_cases = 0 };
	struct somebody all[PEOPLE];

	for (size_t i = 0; i < PEOPLE; i++)
		all[i] = anybody();
	declare_any(&w, all);
	world_whole(&w);
	reorganise(all);
	if (below(4))
		declare_any(&w, all);
	w.no = no;
	w.how.direct = (enum direct_mode)below(3);
	w.how.direct_most = below(2) ? SIZE_MAX : below(5);
	disturb_agents(&w);
	for (size_t i = 0; i < w.now.n_rooms; i++)
		disturb_room(&w, &w.now.rooms[i]);
	struct store_room *r = world_add_old(&w, "#all:example.org", "!o:e");
	if (below(2))
		room_set_member(&w, r, "@b:example.org", "join");
	world_assert_order(&w);
	world_close(&w);
}

static void whatever_there_is(void **state)
{
	(void)state;
	const char *chosen = getenv("TEST_SEED");
	seed = chosen ? strtoull(chosen, NULL, 10) : 1;
	if (seed == 0)
		seed = 1;
	print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
	for (size_t i = 0; i < CASES; i++)
		any_case(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rooms_of_one_among_accounts),
		cmocka_unit_test(agents_then_humans_then_direct_rooms),
		cmocka_unit_test(names_come_last),
		cmocka_unit_test(whatever_there_is),
	};

	return cmocka_run_group_tests_name(
		"plan: its order", tests, NULL, NULL);
}
