/*
 * The plan: nothing when everything is as declared; from nothing, everything;
 * and for every single difference exactly its steps.
 */
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "tests/unit/plan_world.h"

#include "base/poison.h"

/* --- tests ------------------------------------------------------------------ */

static void nothing_is_known(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_assert(&w,
		"register " S "\nprofile " S "\n"
		"register " A "\nprofile " A "\nlogin " A "\nhand_off " A "\n"
		"register " B "\nprofile " B "\nlogin " B "\nhand_off " B "\n"
		"register " C "\nprofile " C "\nlogin " C "\nhand_off " C "\n"
		"create_room in " EVERYONE "\n"
		"create_room in " LEADERS "\n"
		"invite " A " in " EVERYONE "\njoin " A " in " EVERYONE "\n"
		"invite " A " in " LEADERS "\njoin " A " in " LEADERS "\n"
		"create_room in " OPTICS "\n"
		"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE "\n"
		"invite " B " in " OPTICS "\njoin " B " in " OPTICS "\n"
		"invite " C " in " EVERYONE "\njoin " C " in " EVERYONE "\n"
		"invite " H " in " EVERYONE "\n"
		"create_room in " A " " B " by " A "\n"
		"join " B " in " A " " B "\n"
		"create_room in " A " " H " by " A "\n"
		"direct_mark " A "\ndirect_mark " B "\n");
	world_close(&w);
}

static void needs_come_first(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_plan(&w);
	for (size_t i = 0; i < w.plan.n; i++) {
		const struct step *st = &w.plan.steps[i];
		bool needs = false;
		for (size_t k = 0; k < STEP_NEEDS; k++) {
			needs |= st->need[k] >= 0;
			assert_true(st->need[k] < (int)i);
		}
		/* Who was not let in does not knock. */
		if (st->kind == STEP_JOIN && st[-1].kind == STEP_INVITE)
			assert_int_equal(st->need[2], (int)i - 1);
		/* Only the very first step needs nothing. */
		assert_int_equal(needs, i > 0);
		/* Nobody is invited before it has its name. */
		if (st->kind == STEP_INVITE && st->person)
			assert_int_equal(
				w.plan.steps[st->need[1]].kind, STEP_PROFILE);
	}
	world_close(&w);
}

/* The order in which steps bring `who` into rooms, each after the one before:
 * room keys, a space after each; "unordered" where two may cross. */
static void assert_brought(struct world *w, const char *who, const char *want)
{
	int before = -1;
	struct buf text;

	buf_init(&text, KIB);
	for (size_t i = 0; i < w->plan.n; i++) {
		const struct step *st = &w->plan.steps[i];
		bool maker = st->kind == STEP_CREATE_ROOM &&
			text_eq(st->actor ? st->actor : S, who);
		bool other = st->kind == STEP_CREATE_ROOM && st->room->direct &&
			text_eq(st->room->other->user_id, who);
		bool asked =
			st->kind == STEP_INVITE && text_eq(st->subject, who);
		if (!maker && !other && !asked)
			continue;
		if (before >= 0 && st->after[0] != before &&
			st->after[1] != before)
			buf_addf(&text, "unordered ");
		buf_addf(&text, "%s ", st->room->key);
		before = (int)i;
	}
	assert_string_equal(buf_str(&text), want);
	buf_free(&text);
}

static void newcomers_come_into_one_room_after_the_other(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_plan(&w);
	assert_brought(&w, S, EVERYONE " " LEADERS " " OPTICS " ");
	assert_brought(&w, A, EVERYONE " " LEADERS " " A " " B " " A " " H " ");
	assert_brought(&w, B, EVERYONE " " OPTICS " " A " " B " ");
	assert_brought(&w, C, EVERYONE " ");
	assert_brought(&w, H, EVERYONE " " A " " H " ");

	/* Who is in one of them waits for nobody. */
	world_whole(&w);
	world_member(&w, EVERYONE, A, NULL);
	world_member(&w, LEADERS, A, NULL);
	world_plan(&w);
	assert_brought(&w, A, EVERYONE " unordered " LEADERS " ");
	for (size_t i = 0; i < w.plan.n; i++)
		for (size_t k = 0; k < STEP_AFTER; k++)
			assert_int_equal(w.plan.steps[i].after[k], -1);
	world_close(&w);
}

static void everything_is_there(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_assert(&w, "");
	assert_int_equal(w.plan.held + w.plan.blocked + w.plan.unanswered, 0);
	world_close(&w);
}

static void an_agent_differs(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);

	world_agent(&w, B)->state = AGENT_DECLARED;
	world_assert(&w, "register " B "\nlogin " B "\nhand_off " B "\n");
	world_agent(&w, B)->state = AGENT_REGISTERED;
	world_assert(&w, "login " B "\nhand_off " B "\n");
	world_agent(&w, B)->state = AGENT_LOGGED_IN;
	world_assert(&w, "login " B "\nhand_off " B "\n");
	world_agent(&w, B)->token_in_hand = true;
	world_assert(&w, "hand_off " B "\n");
	world_agent(&w, B)->state = AGENT_HANDED_OFF;
	world_assert(&w, "");
	world_agent(&w, B)->department = "Elsewhere";
	world_assert(&w, "login " B "\nhand_off " B "\n");
	world_agent(&w, B)->department = NULL;
	world_assert(&w, "login " B "\nhand_off " B "\n");
	world_agent(&w, B)->department = world_agent(&w, A)->department;
	world_assert(&w, "");
	world_agent(&w, B)->shown_name = "B";
	world_assert(&w, "profile " B "\n");
	world_agent(&w, B)->shown_name = NULL;
	world_assert(&w, "profile " B "\n");
	world_agent(&w, B)->shown_name = "Bob";
	world_agent(&w, S)->shown_name = "muster";
	world_assert(&w, "profile " S "\n");
	world_close(&w);
}

static void a_blocked_agent_is_left_alone(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_agent(&w, B)->state = AGENT_BLOCKED;
	world_member(&w, EVERYONE, B, NULL);
	world_room(&w, A " " B)->room_id = NULL;
	world_assert(&w, "");
	assert_int_equal(w.plan.blocked, 1);
	world_close(&w);
}

static void a_member_differs(void **state)
{
	(void)state;
	static const struct {
		const char *is, *steps;
		size_t held;
	} cases[] = {
		{ "invite", "join " B " in " EVERYONE "\n", 0 },
		{ "leave",
			"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE
			"\n",
			0 },
		{ "knock",
			"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE
			"\n",
			0 },
		{ "ban", "", 1 },
		{ NULL,
			"invite " B " in " EVERYONE "\njoin " B " in " EVERYONE
			"\n",
			0 },
	};
	struct world w;

	world_open(&w);
	world_whole(&w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		world_member(&w, EVERYONE, B, cases[i].is);
		world_assert(&w, cases[i].steps);
		assert_int_equal(w.plan.held, cases[i].held);
	}
	world_close(&w);
}

static void a_human_is_asked_once(void **state)
{
	(void)state;
	static const struct {
		const char *is, *steps;
		size_t unanswered;
	} cases[] = {
		{ "invite", "", 1 },
		{ "leave", "", 1 },
		{ "ban", "", 1 },
		{ "knock", "invite " H " in " EVERYONE "\n", 0 },
		{ NULL, "invite " H " in " EVERYONE "\n", 0 },
	};
	struct world w;

	world_open(&w);
	world_whole(&w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		world_member(&w, EVERYONE, H, cases[i].is);
		world_assert(&w, cases[i].steps);
		assert_int_equal(w.plan.unanswered, cases[i].unanswered);
	}
	world_close(&w);
}

static void somebody_else_is_in_the_room(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, LEADERS, "@stranger:elsewhere.org", "join");
	world_member(&w, LEADERS, H, "join");
	world_assert(&w, "");
	world_member(&w, LEADERS, C, "join");
	world_assert(&w, "leave " C " in " LEADERS "\n");
	world_member(&w, LEADERS, C, "leave");
	world_assert(&w, "");
	world_close(&w);
}

static void a_room_is_gone(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_room(&w, LEADERS)->room_id = NULL;
	world_assert(&w,
		"create_room in " LEADERS "\ninvite " A " in " LEADERS
		"\njoin " A " in " LEADERS "\n");
	world_close(&w);
}

static void room_state_differs(void **state)
{
	static const char named[] = "set_state m.room.name in " LEADERS "\n";
	static const char power[] =
		"set_state m.room.power_levels in " LEADERS "\n";
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	const char *is =
		world_room(&w, LEADERS)->state[ROOM_STATE_NAME].content;
	world_state(&w, LEADERS, ROOM_STATE_NAME, "{\"name\":\"Another\"}");
	world_assert(&w, named);
	world_state(&w, LEADERS, ROOM_STATE_NAME, NULL);
	world_assert(&w, named);
	/* Before its creation is known nothing is done blindly. */
	world_state(&w, LEADERS, ROOM_STATE_CREATE, NULL);
	world_assert(&w, "");
	world_state(&w, LEADERS, ROOM_STATE_NAME, is);
	world_state(&w, LEADERS, ROOM_STATE_POWER,
		"{\"users\":{\"" S "\":100,\"" H "\":50}}");
	world_assert(&w, "");
	world_state(
		&w, LEADERS, ROOM_STATE_CREATE, "{\"room_version\":\"11\"}");
	world_assert(&w, power);
	world_state(&w, LEADERS, ROOM_STATE_POWER, NULL);
	world_assert(&w, power);
	/* Who made it may stand above all without being named. */
	world_state(
		&w, LEADERS, ROOM_STATE_CREATE, "{\"room_version\":\"12\"}");
	world_assert(&w, power);
	world_room(&w, LEADERS)->maker = NULL;
	world_assert(&w, "");
	world_close(&w);
}

static void a_direct_room_differs(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, A " " B, B, "invite");
	world_assert(&w, "join " B " in " A " " B "\n");
	world_member(&w, A " " B, B, "leave");
	world_assert(&w,
		"invite " B " in " A " " B " by " A "\njoin " B " in " A " " B
		"\n");
	world_member(&w, A " " B, B, "join");
	world_member(&w, A " " B, A, "leave");
	world_assert(&w,
		"invite " A " in " A " " B " by " B "\njoin " A " in " A " " B
		"\n");
	/* Nobody of ours is left in it: another one. */
	world_member(&w, A " " B, B, "leave");
	world_assert(&w,
		"create_room in " A " " B " by " A "\njoin " B " in " A " " B
		"\ndirect_mark " A "\ndirect_mark " B "\n");
	world_close(&w);
}

static void a_direct_room_with_a_human(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, A " " H, H, NULL);
	world_assert(&w, "invite " H " in " A " " H " by " A "\n");
	world_member(&w, A " " H, H, "leave");
	world_assert(&w, "");
	/* Nor by way of another room, when the agent leaves as well. */
	world_member(&w, A " " H, A, "leave");
	world_assert(&w, "");
	assert_int_equal(w.plan.unanswered, 1);
	world_member(&w, A " " H, H, "ban");
	world_assert(&w, "");
	world_member(&w, A " " H, H, "invite");
	world_assert(
		&w, "create_room in " A " " H " by " A "\ndirect_mark " A "\n");
	world_member(&w, A " " H, A, "ban");
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 1);
	world_close(&w);
}

static void a_mark_is_missing(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_mark(&w, A " " B, B, false);
	world_assert(&w, "direct_mark " B "\n");
	assert_true(w.plan.steps[0].last);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known),
		cmocka_unit_test(needs_come_first),
		cmocka_unit_test(newcomers_come_into_one_room_after_the_other),
		cmocka_unit_test(everything_is_there),
		cmocka_unit_test(an_agent_differs),
		cmocka_unit_test(a_blocked_agent_is_left_alone),
		cmocka_unit_test(a_member_differs),
		cmocka_unit_test(a_human_is_asked_once),
		cmocka_unit_test(somebody_else_is_in_the_room),
		cmocka_unit_test(a_room_is_gone),
		cmocka_unit_test(room_state_differs),
		cmocka_unit_test(a_direct_room_differs),
		cmocka_unit_test(a_direct_room_with_a_human),
		cmocka_unit_test(a_mark_is_missing),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
