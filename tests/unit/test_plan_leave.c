/*
 * The part of the plan for what is declared no longer: agents who leave, and
 * when somebody is asked first; rooms that are dissolved or replaced.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/plan_world.h"

#include "base/poison.h"

#define D "@dora:example.org"
#define OLD "#old-team:example.org"

/* --- who leaves ------------------------------------------------------------- */

static void one_leaves(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_declare(&w, HANNA "agents:\n" ADA BOB, true);
	world_assert(&w, "revoke " C "\nleave " C " in " EVERYONE "\n");
	assert_int_equal(w.plan.removals, 0);
	const struct step *st = world_step(&w, STEP_REVOKE, C, NULL);
	assert_string_equal(
		st->reason, "is not declared any more: it is retired");
	assert_null(st->person);
	assert_null(st->actor);
	st = world_step(&w, STEP_LEAVE, C, EVERYONE);
	assert_string_equal(st->actor, C);
	assert_string_equal(st->room_id, world_room(&w, EVERYONE)->room_id);
	assert_null(st->room);
	assert_string_equal(st->reason, "is not declared any more");
	/* It waits for nothing, and goes before any work for others. */
	world_room(&w, LEADERS)->room_id = NULL;
	world_assert_order(&w);
	assert_int_equal(w.plan.steps[0].kind, STEP_REVOKE);
	assert_int_equal(w.plan.steps[1].kind, STEP_LEAVE);
	world_close(&w);
}

/* Out of every room: of the policy, dissolved with it, and direct ones, where
 * the other stays. */
static void out_of_every_room(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, EVERYONE, B, "invite");
	world_declare(&w, HANNA "agents:\n" ADA CLEO, true);
	world_assert(&w,
		"revoke " B "\nleave " B " in " EVERYONE "\nleave " B
		" in " OPTICS "\nleave " B " in " A " " B "\n");
	/* Where it is not it need not leave. */
	world_member(&w, EVERYONE, B, "ban");
	world_member(&w, OPTICS, B, "leave");
	world_member(&w, A " " B, B, "knock");
	world_assert(&w, "revoke " B "\n");
	/* It did not come to a token, but to an account. */
	world_agent(&w, B)->state = AGENT_REGISTERED;
	world_assert(&w, "revoke " B "\n");
	world_close(&w);
}

static void a_retired_one_that_is_still_there(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_add_agent(&w, D, AGENT_RETIRED);
	world_assert(&w, "");
	world_member(&w, EVERYONE, D, "join");
	world_assert(&w, "leave " D " in " EVERYONE "\n");
	world_member(&w, EVERYONE, D, "invite");
	world_assert(&w, "leave " D " in " EVERYONE "\n");
	world_member(&w, EVERYONE, D, "leave");
	world_assert(&w, "");
	/* It is no part of the fleet that others are a third of. */
	world_add_agent(&w, "@emil:example.org", AGENT_RETIRED);
	world_add_agent(&w, "@fred:example.org", AGENT_RETIRED);
	world_add_agent(&w, "@gina:example.org", AGENT_HANDED_OFF);
	world_assert(&w, "revoke @gina:example.org\n");
	world_add_agent(&w, "@hugo:example.org", AGENT_HANDED_OFF);
	world_assert(&w, "");
	assert_int_equal(w.plan.removals, 2);
	world_close(&w);
}

/* An account that was there before us is somebody else's. */
static void who_is_not_ours(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_add_agent(&w, D, AGENT_BLOCKED)->generation = 0;
	world_member(&w, EVERYONE, D, "join");
	world_assert(&w, "");
	/* One that we had given a token. */
	world_agent(&w, D)->generation = 1;
	world_assert(&w, "revoke " D "\nleave " D " in " EVERYONE "\n");
	/* One that was never registered. */
	world_agent(&w, D)->generation = 0;
	world_agent(&w, D)->state = AGENT_DECLARED;
	world_assert(&w, "");
	assert_int_equal(w.plan.removals, 0);
	/* The service's own user stays, whoever is declared. */
	world_agent(&w, S)->declared = false;
	world_assert(&w, "");
	world_close(&w);
}

/* Whoever has the name of an agent that is not registered yet, and may be
 * somebody else, is made to leave nothing. */
static void who_may_not_be_ours(void **state)
{
	(void)state;
	static const enum agent_state unsure[] = { AGENT_DECLARED,
		AGENT_BLOCKED };
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, LEADERS, B, "join");
	struct store_room *gone =
		world_add_room(&w, OLD, "{team}-team", "!gone:example.org");
	room_set_member(&w, gone, B, "join");
	struct store_room *old = world_add_old(&w, OLD, "!old:example.org");
	room_set_member(&w, old, B, "join");
	const char *const rooms[] = { LEADERS, OLD, "!old:example.org" };
	static const char *const leaves[] = { "leave " B " in " LEADERS "\n",
		"leave " B " in " OLD "\n",
		"leave " B " in !old:example.org\n" };
	for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
		world_assert_of(&w, rooms[i], leaves[i]);
	for (size_t k = 0; k < ARRAY_LEN(unsure); k++) {
		world_agent(&w, B)->state = unsure[k];
		for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
			world_assert_of(&w, rooms[i], "");
	}
	world_close(&w);
}

/* --- how many --------------------------------------------------------------- */

/* Agents a00, a01 … from `first` to `end`. */
static void declare_some(struct world *w, size_t first, size_t end)
{
	struct buf text;

	buf_init(&text, 64 * KIB);
	buf_addf(&text, "agents:\n- {id: z, name: Z}\n");
	for (size_t i = first; i < end; i++)
		buf_addf(&text, "- {id: a%02zu, name: A}\n", i);
	if (w->n_cases == 0)
		world_open_as(w, buf_str(&text), false);
	else
		world_declare(w, buf_str(&text), false);
	buf_free(&text);
}

static size_t count(const struct world *w, enum step_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < w->plan.n; i++)
		n += w->plan.steps[i].kind == kind;
	return n;
}

static void more_than_a_third_is_asked_about(void **state)
{
	(void)state;
	static const struct {
		size_t fleet, leave;
		bool held;
	} cases[] = {
		{ 2, 1, true },
		{ 3, 1, false },
		{ 4, 1, false },
		{ 4, 2, true },
		{ 6, 2, false },
		{ 6, 3, true },
		{ 60, 20, false },
		{ 60, 21, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w = { .n_cases = 0 };
		size_t leave = cases[i].leave;
		/* One of them is z, who stays. */
		declare_some(&w, 0, cases[i].fleet - 1);
		world_whole(&w);
		declare_some(&w, leave, cases[i].fleet - 1);
		world_plan(&w);
		size_t gone = cases[i].held ? 0 : leave;
		if (count(&w, STEP_REVOKE) != gone ||
			count(&w, STEP_LEAVE) != gone || w.plan.n != 2 * gone ||
			w.plan.removals != leave - gone)
			fail_msg("%zu of %zu: %zu steps, %zu removals", leave,
				cases[i].fleet, w.plan.n, w.plan.removals);
		world_close(&w);
	}
}

/* Another company: whoever comes does not make up for those who go. */
static void all_are_asked_about(void **state)
{
	(void)state;
	struct world w;

	world_open_as(&w, "agents:\n" CLEO, false);
	world_whole(&w);
	world_declare(&w, "agents:\n- {id: dora, name: Dora}\n", false);
	world_add_agent(&w, D, AGENT_DECLARED);
	world_plan(&w);
	assert_int_equal(count(&w, STEP_REVOKE), 0);
	assert_int_equal(count(&w, STEP_LEAVE), 0);
	assert_int_equal(w.plan.removals, 1);
	world_agent(&w, C)->may_leave = true;
	world_plan(&w);
	assert_int_equal(count(&w, STEP_REVOKE), 1);
	assert_int_equal(count(&w, STEP_LEAVE), 1);
	assert_int_equal(w.plan.removals, 0);
	world_close(&w);
}

static void an_operator_lets_them_go(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_add_agent(&w, D, AGENT_ACKNOWLEDGED);
	world_add_agent(&w, "@emil:example.org", AGENT_ACKNOWLEDGED);
	world_add_agent(&w, "@fred:example.org", AGENT_ACKNOWLEDGED);
	world_member(&w, EVERYONE, D, "join");
	world_member(&w, EVERYONE, "@emil:example.org", "join");
	world_assert(&w, "");
	assert_int_equal(w.plan.removals, 3);
	world_agent(&w, D)->may_leave = true;
	world_agent(&w, "@emil:example.org")->may_leave = true;
	world_agent(&w, "@fred:example.org")->may_leave = true;
	world_assert(&w,
		"revoke " D
		"\nrevoke @emil:example.org\nrevoke @fred:example.org\n"
		"leave " D " in " EVERYONE
		"\nleave @emil:example.org in " EVERYONE "\n");
	assert_int_equal(w.plan.removals, 0);
	/* Of four of seven one may. */
	world_agent(&w, "@emil:example.org")->may_leave = false;
	world_agent(&w, "@fred:example.org")->may_leave = false;
	world_add_agent(&w, "@gina:example.org", AGENT_ACKNOWLEDGED);
	world_assert(&w, "revoke " D "\nleave " D " in " EVERYONE "\n");
	assert_int_equal(w.plan.removals, 3);
	world_close(&w);
}

/* Five of twelve were let go, and four have left: a sixth is one of six. */
static void one_more_while_others_are_on_their_way(void **state)
{
	(void)state;
	static const char *const five[] = { "@a00:example.org",
		"@a01:example.org", "@a02:example.org", "@a03:example.org",
		"@a04:example.org" };
	struct world w = { .n_cases = 0 };

	declare_some(&w, 0, 11);
	world_whole(&w);
	declare_some(&w, 5, 11);
	world_plan(&w);
	assert_int_equal(count(&w, STEP_REVOKE), 0);
	assert_int_equal(w.plan.removals, 5);
	for (size_t i = 0; i < ARRAY_LEN(five); i++) {
		world_agent(&w, five[i])->may_leave = true;
		world_member(&w, EVERYONE, five[i], "leave");
	}
	for (size_t i = 0; i < 4; i++)
		world_agent(&w, five[i])->state = AGENT_RETIRED;
	declare_some(&w, 6, 11);
	world_assert(&w, "revoke @a04:example.org\n");
	assert_int_equal(w.plan.removals, 1);
	assert_int_equal(w.plan.removals_of, 12);
	/* Once they all have left it is one of seven. */
	world_agent(&w, five[4])->state = AGENT_RETIRED;
	world_assert(&w,
		"revoke @a05:example.org\nleave @a05:example.org in " EVERYONE
		"\n");
	assert_int_equal(w.plan.removals, 0);
	/* Nor do those count who left before: nobody is on the way of them. */
	world_agent(&w, "@a05:example.org")->may_leave = true;
	for (size_t i = 0; i < ARRAY_LEN(five); i++)
		world_agent(&w, five[i])->may_leave = false;
	world_assert(&w,
		"revoke @a05:example.org\nleave @a05:example.org in " EVERYONE
		"\n");
	world_close(&w);
}

/* --- humans ----------------------------------------------------------------- */

#define TWO_HUMANS                                                             \
	"humans: [{id: '" H "', name: Hanna}, {id: '" B "', name: Bob}]\n"

/* Its token ends, once, and nothing else. */
static void an_agent_becomes_human(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_agent(&w, B)->generation = 1;
	world_declare(&w, TWO_HUMANS "agents:\n" ADA CLEO, true);
	world_plan(&w);
	const struct step *st = world_step(&w, STEP_REVOKE, B, NULL);
	assert_string_equal(st->reason, "is a human now: its token ends");
	assert_null(st->person);
	assert_int_equal(count(&w, STEP_REVOKE), 1);
	for (size_t i = 0; i < w.plan.n; i++)
		assert_false(w.plan.steps[i].kind != STEP_REVOKE &&
			(text_eq(w.plan.steps[i].subject, B) ||
				text_eq(w.plan.steps[i].actor, B)));
	world_agent(&w, B)->state = AGENT_RETIRED;
	world_plan(&w);
	assert_int_equal(count(&w, STEP_REVOKE), 0);
	assert_int_equal(w.plan.removals, 0);
	/* One that never had a token has nothing to lose. */
	world_agent(&w, B)->state = AGENT_REGISTERED;
	world_agent(&w, B)->generation = 0;
	world_plan(&w);
	assert_int_equal(count(&w, STEP_REVOKE), 0);
	/* Too many at once are asked about. */
	world_agent(&w, B)->generation = 1;
	world_add_agent(&w, D, AGENT_ACKNOWLEDGED);
	world_plan(&w);
	assert_int_equal(count(&w, STEP_REVOKE), 0);
	assert_int_equal(w.plan.removals, 2);
	world_close(&w);
}

/* An old room does not wait for a human to leave it. */
static void a_human_in_a_room_that_was_replaced(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_agent(&w, B)->generation = 1;
	struct store_room *r = world_add_old(&w, LEADERS, "!old:example.org");
	room_set_member(&w, r, B, "join");
	world_declare(&w, TWO_HUMANS "agents:\n" ADA CLEO, true);
	world_assert_of(
		&w, "!old:example.org", "leave " S " in !old:example.org\n");
	world_close(&w);
}

/* --- rooms ------------------------------------------------------------------ */

/* The agents leave; the service's own user, humans and strangers stay. */
static void a_room_is_dissolved(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	struct store_room *r =
		world_add_room(&w, OLD, "{team}-team", "!old:example.org");
	room_set_member(&w, r, A, "join");
	room_set_member(&w, r, B, "leave");
	room_set_member(&w, r, C, "invite");
	room_set_member(&w, r, H, "join");
	room_set_member(&w, r, X, "join");
	world_assert(&w, "leave " A " in " OLD "\nleave " C " in " OLD "\n");
	const struct step *st = world_step(&w, STEP_LEAVE, A, OLD);
	assert_string_equal(st->room_id, "!old:example.org");
	assert_string_equal(st->actor, A);
	assert_string_equal(st->person->user_id, A);
	assert_string_equal(st->reason, "the room is not declared any more");
	/* One that was never made. */
	world_room(&w, OLD)->room_id = NULL;
	world_assert(&w, "");
	world_close(&w);
}

/* Two who are a pair no longer keep their room, and it is not looked at. */
static void a_direct_room_is_left_alone(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_declare(&w, BY_HAND, false);
	world_member(&w, A " " B, B, "leave");
	world_mark(&w, A " " B, A, false);
	world_assert(&w, "");
	assert_int_equal(w.plan.direct, 0);
	/* But who leaves the fleet leaves it. */
	world_declare(&w,
		HANNA "agents:\n" CLEO "- {id: bob, name: Bob, department: Lab,"
		      " team: Optics}\n",
		false);
	world_assert_of(&w, A " " B, "leave " A " in " A " " B "\n");
	world_close(&w);
}

static void a_room_was_replaced(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	struct store_room *r = world_add_old(&w, LEADERS, "!old:example.org");
	room_set_member(&w, r, A, "join");
	room_set_member(&w, r, B, "invite");
	room_set_member(&w, r, C, "leave");
	room_set_member(&w, r, H, "join");
	room_set_member(&w, r, X, "join");
	world_assert(&w,
		"leave " A " in !old:example.org\nleave " B
		" in !old:example.org\n");
	const struct step *st = world_step(&w, STEP_LEAVE, A, NULL);
	assert_string_equal(st->room_id, "!old:example.org");
	assert_string_equal(st->actor, A);
	assert_string_equal(
		st->reason, "another room has the place of this one, " LEADERS);
	/* The service's own user when all of ours are out. */
	room_set_member(&w, r, A, "leave");
	world_assert(&w, "leave " B " in !old:example.org\n");
	room_set_member(&w, r, B, "ban");
	world_assert(&w, "leave " S " in !old:example.org\n");
	st = world_step(&w, STEP_LEAVE, S, NULL);
	assert_null(st->actor);
	assert_null(st->person);
	/* An agent that leaves the fleet leaves it as well. */
	world_add_agent(&w, D, AGENT_ACKNOWLEDGED);
	room_set_member(&w, r, D, "join");
	world_assert(&w, "revoke " D "\nleave " D " in !old:example.org\n");
	/* And when it may not leave yet, it is waited for. */
	world_add_agent(&w, "@emil:example.org", AGENT_ACKNOWLEDGED);
	world_add_agent(&w, "@fred:example.org", AGENT_ACKNOWLEDGED);
	world_assert(&w, "");
	assert_int_equal(w.plan.removals, 3);
	world_agent(&w, D)->may_leave = true;
	world_agent(&w, "@emil:example.org")->state = AGENT_RETIRED;
	/* Who was let go counts among those who leave. */
	world_assert(&w, "revoke " D "\nleave " D " in !old:example.org\n");
	assert_int_equal(w.plan.removals, 1);
	/* Rooms are made before anybody leaves an old one; nobody leaves it
	 * before there is the one that takes its place. */
	world_room(&w, OPTICS)->room_id = NULL;
	world_assert_order(&w);
	assert_string_equal(
		w.plan.steps[w.plan.n - 1].where, "!old:example.org");
	world_room(&w, LEADERS)->room_id = NULL;
	world_assert_of(&w, "!old:example.org", "");
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_leaves),
		cmocka_unit_test(out_of_every_room),
		cmocka_unit_test(a_retired_one_that_is_still_there),
		cmocka_unit_test(who_is_not_ours),
		cmocka_unit_test(who_may_not_be_ours),
		cmocka_unit_test(more_than_a_third_is_asked_about),
		cmocka_unit_test(all_are_asked_about),
		cmocka_unit_test(an_operator_lets_them_go),
		cmocka_unit_test(one_more_while_others_are_on_their_way),
		cmocka_unit_test(an_agent_becomes_human),
		cmocka_unit_test(a_human_in_a_room_that_was_replaced),
		cmocka_unit_test(a_room_is_dissolved),
		cmocka_unit_test(a_direct_room_is_left_alone),
		cmocka_unit_test(a_room_was_replaced),
	};

	return cmocka_run_group_tests_name(
		"plan: who leaves", tests, NULL, NULL);
}
