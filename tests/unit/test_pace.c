/*
 * So many within any minute, and how fast it goes.
 */
#include "appservice/reconcile/pace.h"
#include "tests/unit/test.h"

#include "base/poison.h"

#define START ((int64_t)7000 * 1000)

static void count(struct pace *p, int n, int64_t at_ms)
{
	for (int i = 0; i < n; i++)
		pace_count(p, START + at_ms);
}

static void nothing_was_done(void **state)
{
	(void)state;
	const struct pace p = { 0 };

	assert_int_equal(pace_left(&p, 5, START), 5);
	assert_int_equal(pace_left(&p, 5, 0), 5);
	assert_int_equal(pace_rate(&p, START), 0);
}

static void so_many_in_any_minute(void **state)
{
	(void)state;
	struct pace p = { 0 };

	count(&p, 2, 0);
	count(&p, 3, 30000);
	assert_int_equal(pace_left(&p, 10, START + 30000), 5);
	assert_int_equal(pace_left(&p, 5, START + 59999), 0);
	assert_int_equal(pace_left(&p, 4, START + 59999), 0);
	assert_int_equal(pace_wait_ms(&p, START + 40000), 21000);
	/* The first two are older than a minute. */
	assert_int_equal(pace_left(&p, 5, START + 61000), 2);
	count(&p, 2, 60000);
	assert_int_equal(pace_left(&p, 5, START + 60000), 0);
	assert_int_equal(pace_left(&p, 5, START + 91000), 3);
	assert_int_equal(pace_left(&p, 5, START + 200000), 5);
}

static void how_fast_it_goes(void **state)
{
	(void)state;
	struct pace p = { 0 };

	for (int i = 0; i < 4; i++)
		count(&p, 2, i * 1000);
	assert_int_equal(pace_rate(&p, START + 3999), 0);
	count(&p, 2, 4000);
	assert_int_equal(pace_rate(&p, START + 4000), 120);
	/* And slower, by and by. */
	assert_int_equal(pace_rate(&p, START + 19000), 30);
	assert_int_equal(pace_rate(&p, START + 70000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_was_done),
		cmocka_unit_test(so_many_in_any_minute),
		cmocka_unit_test(how_fast_it_goes),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
