/*
 * The plan of tokens: new ones that were asked for, and those that are to end.
 */
#include <string.h>

#include "tests/unit/plan_world.h"

#include "base/poison.h"

static void open_whole(struct world *w)
{
	world_open(w);
	world_whole(w);
	world_assert(w, "");
}

static void one_that_is_clear_logs_in(void **state)
{
	(void)state;
	struct world w;

	open_whole(&w);
	for (int st = ROTATION_WAITING; st < ROTATION_STATES; st++) {
		world_agent(&w, B)->rotation.state = (enum rotation_state)st;
		world_assert(&w,
			st == ROTATION_CLEAR ? "login " B "\nhand_off " B "\n"
					     : "");
	}
	world_close(&w);
}

static void its_reason_is_the_operators(void **state)
{
	(void)state;
	struct world w;

	open_whole(&w);
	world_agent(&w, B)->rotation =
		(struct store_rotation){ .state = ROTATION_CLEAR,
			.why = "spring cleaning" };
	world_plan(&w);
	assert_string_equal(
		world_step(&w, STEP_LOGIN, B, NULL)->reason, "spring cleaning");
	world_close(&w);
}

/* It has logged in, and what is left is the file. */
static void with_the_token_in_hand(void **state)
{
	(void)state;
	struct world w;

	open_whole(&w);
	struct store_agent *b = world_agent(&w, B);
	b->rotation.state = ROTATION_CLEAR;
	b->state = AGENT_LOGGED_IN;
	b->token_in_hand = true;
	world_assert(&w, "hand_off " B "\n");
	b->token_in_hand = false;
	world_assert(&w, "login " B "\nhand_off " B "\n");
	world_close(&w);
}

/* And nothing else of it: it is in its rooms as before. */
static void whose_tokens_are_to_end(void **state)
{
	(void)state;
	struct world w;

	open_whole(&w);
	struct store_agent *b = world_agent(&w, B);
	b->revoke_ms = 1;
	b->revoke_why = "it talks too much";
	b->rotation.state = ROTATION_CLEAR;
	world_assert(&w, "revoke " B "\n");
	assert_string_equal(world_step(&w, STEP_REVOKE, B, NULL)->reason,
		"it talks too much");
	assert_int_equal(w.plan.blocked, 1);
	/* Also while the step is being done, and when it was cut off. */
	b->state = AGENT_REGISTERED;
	world_assert(&w, "revoke " B "\n");
	b->state = AGENT_BLOCKED;
	b->revoke_ms = 0;
	world_assert(&w, "");
	assert_int_equal(w.plan.blocked, 1);
	world_close(&w);
}

/* Before the accounts of those who come. */
static void that_comes_first(void **state)
{
	(void)state;
	struct world w;

	open_whole(&w);
	world_agent(&w, A)->state = AGENT_DECLARED;
	world_agent(&w, B)->revoke_ms = 1;
	world_plan(&w);
	assert_int_equal(w.plan.steps[0].kind, STEP_REVOKE);
	world_assert_order(&w);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_clear_logs_in),
		cmocka_unit_test(its_reason_is_the_operators),
		cmocka_unit_test(with_the_token_in_hand),
		cmocka_unit_test(whose_tokens_are_to_end),
		cmocka_unit_test(that_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
