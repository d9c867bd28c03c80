/*
 * The part of the plan for the rooms of the policy: teams with another name,
 * rooms that were upgraded or are not found, power that was lost, and strict
 * rooms.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/plan_world.h"

#include "base/poison.h"

#define BACK(user, room)                                                       \
	"invite " user " in " room "\njoin " user " in " room "\n"

/* --- another name ------------------------------------------------------------ */

/* Agents by team: "a:one b:one c:two". */
static void declare_teams(struct world *w, const char *teams)
{
	struct buf text;

	buf_init(&text, 64 * KIB);
	buf_addf(&text, "agents:\n");
	for (const char *p = teams; *p; p += strspn(p, " ")) {
		int n = (int)strcspn(p, " ");
		buf_addf(&text,
			"- {id: %c, name: N, department: Lab, team: %.*s}\n",
			*p, n - 2, p + 2);
		p += n;
	}
	if (w->n_cases == 0)
		world_open_as(w, buf_str(&text), false);
	else
		world_declare(w, buf_str(&text), false);
	buf_free(&text);
}

/* What happens for a room that is not there: "from #one-team:example.org",
 * "made", or nothing. */
static const char *fate(struct world *w, const char *key)
{
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		if (!text_eq(st->where, key))
			continue;
		if (st->kind == STEP_CREATE_ROOM)
			return "made";
		if (st->kind == STEP_SET_STATE && st->from)
			return st->from;
	}
	return "nothing";
}

#define ONE "#one-team:example.org"
#define TWO "#two-team:example.org"
#define THREE "#three-team:example.org"
#define ZERO "#0-team:example.org"
#define NINE "#9-team:example.org"

static void a_team_has_another_name(void **state)
{
	(void)state;
	static const struct {
		const char *before, *after, *two, *three;
	} cases[] = {
		{ "a:one b:one c:one", "a:two b:two c:two", ONE, "nothing" },
		{ "a:one", "a:two", ONE, "nothing" },
		/* Two of three take it with them, and the third makes another;
		 * halves make two others. */
		{ "a:one b:one c:one", "a:two b:two c:three", ONE, "made" },
		{ "a:one b:one c:one d:one", "a:two b:two c:three d:three",
			"made", "made" },
		/* More than half of those who are in the new one were there. */
		{ "a:one b:one", "a:two b:two c:two", ONE, "nothing" },
		{ "a:one b:one", "a:two b:two c:two d:two", "made", "nothing" },
		/* There is a room of that name; or the old name is in use. */
		{ "a:one b:two", "a:two b:two", "nothing", "nothing" },
		{ "a:one b:one c:one", "a:two b:two c:one", "made", "nothing" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w = { .n_cases = 0 };
		declare_teams(&w, cases[i].before);
		world_whole(&w);
		declare_teams(&w, cases[i].after);
		world_plan(&w);
		const char *two = fate(&w, TWO), *three = fate(&w, THREE);
		if (!text_eq(two, cases[i].two) ||
			!text_eq(three, cases[i].three))
			fail_msg("case %zu: %s, %s", i, two, three);
		world_close(&w);
	}
}

static void a_renamed_room_keeps_its_people(void **state)
{
	(void)state;
	struct world w = { .n_cases = 0 };

	declare_teams(&w, "a:one b:one c:one");
	world_whole(&w);
	declare_teams(&w, "a:two b:two d:two c:three");
	world_member(&w, ONE, X, "join");
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), ONE);
	world_assert_of(&w, ONE, "");
	world_assert_of(&w, TWO,
		"set_state m.room.canonical_alias in " TWO
		"\nleave @c:example.org in " TWO
		"\n" BACK("@d:example.org", TWO));
	/* What is done in it waits for that. */
	world_assert_order(&w);
	const struct step *st =
		world_step(&w, STEP_SET_STATE, "m.room.canonical_alias", TWO);
	const int renamed = (int)(st - w.plan.steps);
	assert_int_equal(
		world_step(&w, STEP_LEAVE, "@c:example.org", TWO)->need[0],
		renamed);
	assert_int_equal(
		world_step(&w, STEP_INVITE, "@d:example.org", TWO)->need[0],
		renamed);
	assert_string_equal(st->reason,
		ONE " is declared no longer, and most of its people are of "
		    "this room now: it keeps its room");
	world_close(&w);
}

/* What else keeps a room from being taken over. */
static void rooms_that_are_not_taken(void **state)
{
	(void)state;
	struct world w = { .n_cases = 0 };

	declare_teams(&w, "a:one b:one");
	world_whole(&w);
	declare_teams(&w, "a:two b:two");
	struct store_room *r = world_room(&w, ONE);
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), ONE);

	r->held = "somebody else has the alias";
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), "made");
	r->held = NULL;
	r->missing_ms = 7;
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), "made");
	r->missing_ms = 0;
	r->rule = "{department}-team";
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), "made");
	r->rule = NULL;
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), "made");
	r->rule = "{team}-team";
	const char *id = r->room_id;
	r->room_id = NULL;
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), "made");
	r->room_id = id;
	/* Only who is in it counts: invited or there. */
	world_member(&w, ONE, "@a:example.org", "invite");
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), ONE);
	world_member(&w, ONE, "@a:example.org", "leave");
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), "made");
	world_member(&w, ONE, "@a:example.org", "join");
	/* People who are none of the fleet's do not count. */
	world_member(&w, ONE, X, "join");
	world_member(&w, ONE, "@y:elsewhere.org", "join");
	world_member(&w, ONE, "@z:elsewhere.org", "join");
	world_plan(&w);
	assert_string_equal(fate(&w, TWO), ONE);
	world_close(&w);
}

/* A rule without braces is for one room: it has no other name. */
static void a_room_that_has_one_name(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	struct store_room *r = world_add_room(
		&w, "#all-employees:old.org", "all-employees", "!old:old.org");
	room_set_member(&w, r, A, "join");
	room_set_member(&w, r, B, "join");
	room_set_member(&w, r, C, "join");
	room_set_member(&w, r, H, "join");
	world_room(&w, EVERYONE)->room_id = NULL;
	world_plan(&w);
	assert_string_equal(fate(&w, EVERYONE), "made");
	world_close(&w);
}

/* Of several the one with most of the people; and each only once. */
static void several_rooms_and_names(void **state)
{
	static const char both[] =
		"agents:\n- {id: a, name: A, department: L, team: One}\n"
		"- {id: b, name: B, department: L, team: Two}\n"
		"- {id: c, name: C}\n"
		"rooms: [{alias: '{team}-team', members: "
		"{members: [a, b, c]}}]\n";
	static const char *const ids[] = { "@a:example.org", "@b:example.org",
		"@c:example.org" };
	(void)state;
	struct world w;

	world_open_as(&w, both, false);
	world_whole(&w);
	world_room(&w, ONE)->room_id = world_room(&w, TWO)->room_id = NULL;
	world_room(&w, ONE)->n_members = world_room(&w, TWO)->n_members = 0;
	world_add_room(&w, ZERO, "{team}-team", "!0:e");
	world_add_room(&w, NINE, "{team}-team", "!9:e");
	world_add_room(&w, "#9a-team:example.org", "{team}-team", "!9a:e");
	world_member(&w, "#9a-team:example.org", ids[0], "join");
	for (size_t i = 0; i < 3; i++) {
		world_member(&w, ZERO, ids[i], "join");
		world_member(&w, NINE, ids[i], i < 2 ? "join" : "leave");
	}
	world_plan(&w);
	assert_string_equal(fate(&w, ONE), ZERO);
	assert_string_equal(fate(&w, TWO), NINE);
	world_member(&w, ZERO, ids[2], "leave");
	world_member(&w, NINE, ids[2], "join");
	world_plan(&w);
	assert_string_equal(fate(&w, ONE), NINE);
	assert_string_equal(fate(&w, TWO), ZERO);
	world_room(&w, ZERO)->room_id = NULL;
	world_plan(&w);
	assert_string_equal(fate(&w, ONE), NINE);
	assert_string_equal(fate(&w, TWO), "made");
	world_close(&w);
}

/* --- rooms that are not simply there ------------------------------------------ */

static void an_upgrade_is_followed(void **state)
{
	(void)state;
	static const char *const none[] = {
		"{\"replacement_room\":\"new\"}",
		"{\"replacement_room\":\"#new:example.org\"}",
		"{\"replacement_room\":\"\"}",
		"{\"replacement_room\":5}",
		"{\"body\":\"!new:example.org\"}",
		"{}",
		"{",
	};
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, LEADERS, A, "leave");
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		world_state(&w, LEADERS, ROOM_STATE_TOMBSTONE, none[i]);
		world_assert(&w, BACK(A, LEADERS));
	}
	/* Itself is none. */
	world_state(&w, LEADERS, ROOM_STATE_TOMBSTONE,
		arena_printf(&w.a, "{\"replacement_room\":\"%s\"}",
			world_room(&w, LEADERS)->room_id));
	world_assert(&w, BACK(A, LEADERS));
	/* Everything else waits until it is known who is there. */
	world_state(&w, LEADERS, ROOM_STATE_TOMBSTONE,
		"{\"body\":\"b\",\"replacement_room\":\"!new:example.org\"}");
	world_assert(&w, "create_room in " LEADERS "\n");
	const struct step *st = &w.plan.steps[0];
	assert_string_equal(st->room_id, "!new:example.org");
	assert_null(st->actor);
	assert_string_equal(st->reason,
		"its room was upgraded: !new:example.org takes its place");
	world_close(&w);
}

static void a_room_is_not_found(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, LEADERS, A, "leave");
	world_room(&w, LEADERS)->missing_ms = 7;
	world_assert(&w, "");
	assert_null(world_trouble(&w, LEADERS));
	/* The second look says so, and it has no room. */
	world_room(&w, LEADERS)->room_id = NULL;
	world_room(&w, LEADERS)->n_members = 0;
	world_assert(&w, "create_room in " LEADERS "\n" BACK(A, LEADERS));
	world_close(&w);
}

static void a_room_is_held(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, LEADERS, A, "leave");
	world_member(&w, LEADERS, C, "join");
	world_state(&w, LEADERS, ROOM_STATE_NAME, "{}");
	world_room(&w, LEADERS)->held = "the alias is taken";
	world_assert(&w, "");
	assert_string_equal(world_trouble(&w, LEADERS), "the alias is taken");
	assert_int_equal(w.plan.n_troubles, 1);
	world_room(&w, LEADERS)->room_id = NULL;
	world_assert(&w, "");
	assert_string_equal(world_trouble(&w, LEADERS), "the alias is taken");
	world_close(&w);
}

/* --- power -------------------------------------------------------------------- */

/* Much is not as declared: somebody is missing, one is too many, the name is
 * another, and so are the levels. */
static void disturb(struct world *w)
{
	world_open(w);
	world_whole(w);
	world_member(w, EVERYONE, A, "invite");
	world_member(w, EVERYONE, B, "leave");
	world_member(w, EVERYONE, H, NULL);
	world_state(w, EVERYONE, ROOM_STATE_NAME, "{}");
}

static void power_is_lost(void **state)
{
	(void)state;
	struct world w;

	disturb(&w);
	world_state(&w, EVERYONE, ROOM_STATE_POWER,
		"{\"users\":{\"" S "\":0,\"" X "\":100},\"invite\":50}");
	/* What needs no power is done: who was invited joins. */
	world_assert(&w, "join " A " in " EVERYONE "\n");
	assert_string_equal(world_trouble(&w, EVERYONE),
		"the service's own user has power 0 in it, which does not keep "
		"the room as declared: give " S " 100");
	world_room(&w, EVERYONE)->state[ROOM_STATE_POWER].sender = X;
	world_plan(&w);
	assert_string_equal(world_trouble(&w, EVERYONE),
		"the service's own user has power 0 in it since " X
		" changed the levels, which does not keep the room as "
		"declared: give " S " 100");
	assert_int_equal(w.plan.n_troubles, 1);

	/* Enough to invite, and for nothing else. */
	world_state(
		&w, EVERYONE, ROOM_STATE_POWER, "{\"users\":{\"" S "\":10}}");
	world_assert(&w,
		"join " A " in " EVERYONE
		"\n" BACK(B, EVERYONE) "invite " H " in " EVERYONE "\n");
	assert_int_equal(w.plan.n_troubles, 1);
	/* Enough for names, but not for the levels. */
	world_state(&w, EVERYONE, ROOM_STATE_POWER,
		"{\"users\":{\"" S
		"\":50},\"events\":{\"m.room.power_levels\":100}}");
	world_assert(&w,
		"join " A " in " EVERYONE "\n" BACK(B,
			EVERYONE) "invite " H " in " EVERYONE
				  "\nset_state m.room.name in " EVERYONE "\n");
	assert_int_equal(w.plan.n_troubles, 0);
	/* Not known: it is tried. */
	world_state(&w, EVERYONE, ROOM_STATE_POWER, NULL);
	world_assert(&w,
		"join " A " in " EVERYONE "\n" BACK(B,
			EVERYONE) "invite " H " in " EVERYONE
				  "\nset_state m.room.power_levels in " EVERYONE
				  "\nset_state m.room.name in " EVERYONE "\n");
	world_close(&w);
}

/* --- strict rooms --------------------------------------------------------------- */

#define CORE "#core:example.org"

#define CORE_ONLY                                                              \
	BY_HAND "rooms: [{alias: core, members: {members: [ada]}, strict: "

static void open_core(struct world *w, bool strict)
{
	world_open_as(w, strict ? CORE_ONLY "true}]\n" : CORE_ONLY "false}]\n",
		false);
	world_whole(w);
}

static void who_is_not_declared(void **state)
{
	(void)state;
	static const struct {
		const char *who, *is, *strict, *lax;
	} cases[] = {
		{ X, "join", "kick " X " in " CORE "\n", "" },
		{ X, "invite", "kick " X " in " CORE "\n", "" },
		{ X, "leave", "", "" },
		{ X, "ban", "", "" },
		{ X, "knock", "", "" },
		/* Ours leave by themselves. */
		{ B, "join", "leave " B " in " CORE "\n",
			"leave " B " in " CORE "\n" },
		{ B, "invite", "leave " B " in " CORE "\n",
			"leave " B " in " CORE "\n" },
		{ B, "ban", "", "" },
	};

	for (size_t strict = 0; strict < 2; strict++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct world w;
			open_core(&w, strict);
			world_member(&w, CORE, cases[i].who, cases[i].is);
			w.no = i;
			world_assert(
				&w, strict ? cases[i].strict : cases[i].lax);
			world_close(&w);
		}
}

static void who_can_be_kicked(void **state)
{
	(void)state;
	static const char stays[] =
		X " should not be in it (strict), and has the power to stay";
	static const struct {
		const char *levels;
		bool kick;
	} cases[] = {
		{ "{\"users\":{\"" S "\":100,\"" H "\":100,\"" X "\":99}}",
			true },
		{ "{\"users\":{\"" S "\":100,\"" H "\":100,\"" X "\":100}}",
			false },
		{ "{\"users\":{\"" S "\":100,\"" H "\":100},"
		  "\"users_default\":100}",
			false },
		{ "{\"users\":{\"" S "\":100,\"" H "\":100},\"kick\":101}",
			false },
		{ "{\"users\":{\"" S "\":50,\"" H "\":100}}", true },
		{ "{\"users\":{\"" S "\":49,\"" H "\":100}}", false },
		/* Not known: it is tried. */
		{ NULL, true },
	};
	struct world w;

	open_core(&w, true);
	world_member(&w, CORE, X, "join");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t kicks = 0, troubles = 0;
		world_state(&w, CORE, ROOM_STATE_POWER, cases[i].levels);
		world_plan(&w);
		for (size_t k = 0; k < w.plan.n; k++)
			kicks += w.plan.steps[k].kind == STEP_KICK;
		for (size_t k = 0; k < w.plan.n_troubles; k++)
			troubles += text_eq(w.plan.troubles[k].why, stays);
		if (kicks != cases[i].kick || troubles == cases[i].kick)
			fail_msg("case %zu: %zu kicks, %zu troubles", i, kicks,
				troubles);
	}
	/* Whoever made a room of version 12 stands above all. */
	world_state(&w, CORE, ROOM_STATE_CREATE, "{\"room_version\":\"12\"}");
	world_state(&w, CORE, ROOM_STATE_POWER,
		"{\"users\":{\"" H "\":100,\"" X "\":100}}");
	world_assert(&w, "kick " X " in " CORE "\n");
	assert_string_equal(w.plan.steps[0].reason,
		"is not declared in this room, which is strict");
	assert_null(w.plan.steps[0].actor);
	world_close(&w);
}

/* Humans as well, but neither the service's own user nor those who leave the
 * fleet, who go by themselves. */
static void who_is_not_kicked(void **state)
{
	(void)state;
	struct world w;

	open_core(&w, true);
	world_add_agent(&w, "@dora:example.org", AGENT_RETIRED);
	world_member(&w, CORE, "@dora:example.org", "join");
	world_member(&w, CORE, H, "join");
	world_member(&w, CORE, A, "join");
	world_assert(&w, "leave @dora:example.org in " CORE "\n");
	/* The fleet's humans have the power of the service. */
	assert_string_equal(world_trouble(&w, CORE),
		H " should not be in it (strict), and has the power to stay");
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_team_has_another_name),
		cmocka_unit_test(a_renamed_room_keeps_its_people),
		cmocka_unit_test(rooms_that_are_not_taken),
		cmocka_unit_test(a_room_that_has_one_name),
		cmocka_unit_test(several_rooms_and_names),
		cmocka_unit_test(an_upgrade_is_followed),
		cmocka_unit_test(a_room_is_not_found),
		cmocka_unit_test(a_room_is_held),
		cmocka_unit_test(power_is_lost),
		cmocka_unit_test(who_is_not_declared),
		cmocka_unit_test(who_can_be_kicked),
		cmocka_unit_test(who_is_not_kicked),
	};

	return cmocka_run_group_tests_name("plan: rooms", tests, NULL, NULL);
}
