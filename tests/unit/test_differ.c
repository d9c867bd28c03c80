/*
 * What differs between two fleets, counted.
 */
#include "tests/unit/fleet_case.h"
#include "tests/unit/fleet_texts.h"
#include "tests/unit/test.h"

#include "base/poison.h"

#define MIA P("Mia", "Manager", "Lab", "\"Core\"", "@mia", B("@zoe"))
#define IDA(team) P("Ida", "IC", "Lab", team, "@ida", B("@mia"))
#define OLA P("Ola", "IC", "Lab", "\"Core\"", "@ola", B("@mia"))
#define WAS ORG(CEO ",\n" MIA ",\n" IDA("\"Core\""))

static void assert_counts(const char *what, struct fleet_counts is, size_t came,
	size_t gone, size_t changed)
{
	if (is.came != came || is.gone != gone || is.changed != changed)
		fail_msg("%s: %zu came, %zu gone, %zu changed", what, is.came,
			is.gone, is.changed);
}

static struct fleet_diff between(const char *org, const char *self_was,
	const char *next, const char *self_is)
{
	struct fleet_case was, is;
	case_run(&was, org, NULL, self_was);
	case_run(&is, next, NULL, self_is);
	assert_loaded(&was, 0);
	assert_loaded(&is, 0);
	const struct fleet_diff d = fleet_compare(&was.fleet, &is.fleet);
	case_free(&was);
	case_free(&is);
	return d;
}

static void test_the_same(void **state)
{
	(void)state;
	const struct fleet_diff d = between(WAS, NULL, WAS, NULL);
	assert_counts("agents", d.agents, 0, 0, 0);
	assert_counts("rooms", d.rooms, 0, 0, 0);
}

/* Ola comes into all-employees and core-team, and has a direct room with Mia
 * and one with Ida. */
static void test_somebody_comes_or_goes(void **state)
{
	(void)state;
	const char *with = ORG(CEO ",\n" MIA ",\n" IDA("\"Core\"") ",\n" OLA);
	struct fleet_diff d = between(WAS, NULL, with, NULL);
	assert_counts("agents", d.agents, 1, 0, 0);
	assert_counts("rooms", d.rooms, 2, 0, 2);
	d = between(with, NULL, WAS, NULL);
	assert_counts("agents", d.agents, 0, 1, 0);
	assert_counts("rooms", d.rooms, 0, 2, 2);
}

/* Another team: a room comes, and of core-team a member goes. */
static void test_somebody_moves(void **state)
{
	(void)state;
	const struct fleet_diff d = between(
		WAS, NULL, ORG(CEO ",\n" MIA ",\n" IDA("\"Edge\"")), NULL);
	assert_counts("agents", d.agents, 0, 0, 1);
	assert_counts("rooms", d.rooms, 1, 0, 1);
}

/* Only what the policy says of a room. */
static void test_a_topic(void **state)
{
	static const char *const policies[] = {
		"rooms: [{alias: hall, members: {everyone: true}}]",
		"rooms: [{alias: hall, members: {everyone: true}, topic: Hi}]",
	};
	(void)state;
	const struct fleet_diff d = between(WAS, policies[0], WAS, policies[1]);
	assert_counts("agents", d.agents, 0, 0, 0);
	assert_counts("rooms", d.rooms, 0, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same),
		cmocka_unit_test(test_somebody_comes_or_goes),
		cmocka_unit_test(test_somebody_moves),
		cmocka_unit_test(test_a_topic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
