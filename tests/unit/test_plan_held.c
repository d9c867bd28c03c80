/*
 * Who was removed from a room of the policy, or is not where it was: brought
 * back once, and held when it comes again.
 */
#include "base/str.h"
#include "tests/unit/plan_world.h"

#include "base/poison.h"

#define BACK(user, room)                                                       \
	"invite " user " in " room "\njoin " user " in " room "\n"

struct removed {
	const char *by; /* NULL: nobody is known to have done it */
	int64_t at_ms;  /* 0: none */
	bool ban, asked;
};

static void an_agent_was_removed(void **state)
{
	(void)state;
	static const struct {
		struct removed by[2];
		const char *is, *why; /* NULL: it is held */
	} cases[] = {
		{ { { NULL, 0, false, false } }, "leave", "has left" },
		{ { { NULL, 0, false, false } }, "knock", "has left" },
		{ { { NULL, 0, false, false } }, NULL, "is not in the room" },
		{ { { X, 7, false, false } }, "leave", "was removed by " X },
		{ { { B, 7, false, false } }, "leave", "has left by itself" },
		{ { { NULL, 7, false, false } }, "leave",
			"was not found in the room" },
		{ { { NULL, 7, false, false } }, NULL, "is not in the room" },
		/* Twice too soon, by whomever, itself among them. */
		{ { { X, 7, false, false },
			  { H, 7 + RESPECT_MS, false, false } },
			"leave", NULL },
		{ { { B, 7, false, false }, { B, 8, false, false } }, "leave",
			NULL },
		{ { { X, 7, false, false },
			  { H, 8 + RESPECT_MS, false, false } },
			"leave", "was removed by " H },
		/* A ban holds, known from whatever. */
		{ { { NULL, 0, false, false } }, "ban", NULL },
		{ { { X, 7, true, false } }, "ban", NULL },
		{ { { X, 7, true, false } }, "leave", NULL },
		{ { { X, 7, false, false },
			  { H, 8 + RESPECT_MS, true, false } },
			"ban", NULL },
		/* Until an operator wants it back. */
		{ { { NULL, 7, true, true } }, "ban",
			"was not found in the room" },
		{ { { X, 7, true, true } }, "ban", "was removed by " X },
		{ { { X, 7, false, false }, { X, 8, false, true } }, "leave",
			"was removed by " X },
		/* What comes after that counts again. */
		{ { { NULL, 7, true, true }, { X, 8, true, false } }, "ban",
			NULL },
		/* It is not where the homeserver says it was. */
		{ { { NULL, 7, false, false },
			  { NULL, 7 + LOST_MS, false, false } },
			"leave", NULL },
		{ { { NULL, 7, false, false },
			  { NULL, 7 + LOST_MS, false, false } },
			NULL, NULL },
		{ { { NULL, 7, false, false },
			  { NULL, 8 + LOST_MS, false, false } },
			"leave", "was not found in the room" },
		{ { { X, 7, false, false },
			  { NULL, 8 + LOST_MS, false, false } },
			"leave", "was not found in the room" },
		{ { { X, 7, false, false }, { NULL, 8, false, false } },
			"leave", "was not found in the room" },
		{ { { NULL, 7, false, false },
			  { X, 8 + LOST_MS, false, false } },
			"leave", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w;
		world_open(&w);
		world_whole(&w);
		world_member(&w, EVERYONE, B, cases[i].is);
		for (size_t k = 0; k < 2; k++) {
			const struct removed *r = &cases[i].by[k];
			if (!r->at_ms)
				continue;
			struct store_removal *row =
				world_removal(&w, EVERYONE, B, r->by, r->at_ms);
			row->ban = r->ban;
			row->asked = r->asked;
		}
		w.no = i;
		world_assert(&w, cases[i].why ? BACK(B, EVERYONE) : "");
		assert_int_equal(w.plan.held, cases[i].why ? 0 : 1);
		if (cases[i].why)
			assert_string_equal(
				w.plan.steps[0].reason, cases[i].why);
		world_close(&w);
	}
}

/* Of another room, and of another agent, is another matter. */
static void removals_of_others(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, EVERYONE, B, "leave");
	world_removal(&w, EVERYONE, B, X, 7);
	world_removal(&w, EVERYONE, A, X, 8);
	world_removal(&w, EVERYONE, C, X, 8);
	world_removal(&w, LEADERS, B, X, 8);
	world_removal(&w, OPTICS, B, X, 8);
	world_assert(&w, BACK(B, EVERYONE));
	/* Who is back is back; who was asked answers. */
	world_removal(&w, EVERYONE, B, X, 8);
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 1);
	world_member(&w, EVERYONE, B, "invite");
	world_assert(&w, "join " B " in " EVERYONE "\n");
	world_member(&w, EVERYONE, B, "join");
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 0);
	world_close(&w);
}

/* A human whom the homeserver loses is not asked for ever. */
static void a_human_is_lost(void **state)
{
	(void)state;
	struct world w;

	world_open(&w);
	world_whole(&w);
	world_member(&w, EVERYONE, H, NULL);
	world_removal(&w, EVERYONE, H, NULL, 7);
	world_assert(&w, "invite " H " in " EVERYONE "\n");
	world_removal(&w, EVERYONE, H, NULL, 8);
	world_assert(&w, "");
	assert_int_equal(w.plan.held, 1);
	assert_int_equal(w.plan.unanswered, 0);
	world_close(&w);
}

static void who_held_it_is_told(void **state)
{
	(void)state;
	struct world w;
	const struct store_removal *last = NULL;

	world_open(&w);
	world_whole(&w);
	const struct store_room *r = world_room(&w, EVERYONE);
	world_removal(&w, EVERYONE, B, H, 7);
	world_member(&w, EVERYONE, B, "leave");
	assert_false(member_is_held(&w.how, &w.now, r, B, &last));
	assert_string_equal(last->by, H);
	world_removal(&w, EVERYONE, B, X, 8);
	assert_true(member_is_held(&w.how, &w.now, r, B, &last));
	assert_string_equal(last->by, X);
	assert_false(member_is_held(&w.how, &w.now, r, C, &last));
	assert_null(last);
	assert_false(member_is_held(&w.how, &w.now, NULL, B, &last));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_agent_was_removed),
		cmocka_unit_test(removals_of_others),
		cmocka_unit_test(a_human_is_lost),
		cmocka_unit_test(who_held_it_is_told),
	};

	return cmocka_run_group_tests_name(
		"plan: who was removed", tests, NULL, NULL);
}
