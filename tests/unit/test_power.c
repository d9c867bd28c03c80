/*
 * Power levels as people's servers have written them since the first rooms.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

#include "appservice/reconcile/plan.h"
#include "base/buf.h"
#include "base/limits.h"
#include "tests/unit/fleet_case.h"

#include "base/poison.h"

#define H "@hanna:example.org"
#define ABOVE_INT64 "9223372036854775808"
#define HUGE_NUMBER "99999999999999999999999999999999"

static int setup(void **state)
{
	static struct fleet_case c;

	case_run(&c, NULL, NULL,
		"humans: [{id: '" H "', name: Hanna}]\n"
		"agents: [{id: cleo, name: Cleo}]\n");
	assert_loaded(&c, 0);
	*state = &c;
	return 0;
}

static int teardown(void **state)
{
	case_free(*state);
	return 0;
}

/* AS-155: which levels are 100 or more. */
static void full_power_in_any_spelling(void **state)
{
	const struct fleet_case *c = *state;
	static const char *const full[] = { "100", "101", "9007199254740991",
		"9007199254740992", "9223372036854775807", ABOVE_INT64,
		"18446744073709551616", HUGE_NUMBER, "\"100\"", "\" +100 \"",
		"\"+100\"", "\"000100\"", "\"\\t100\\n\"", "\" \\u000b100\"",
		"\"9007199254740992\"", "\"" HUGE_NUMBER "\"",
		"\"0000000000000000000000000000000100\"" };
	static const char *const less[] = { "99", "0", "-0", "-100",
		"-" ABOVE_INT64, "-" HUGE_NUMBER, "\"99\"", "\" +99 \"",
		"\"-100\"", "\"-" HUGE_NUMBER "\"", "\"000099\"",
		/* none at all */
		"null", "true", "[100]", "{\"a\":100}", "100.0", "1e3", "1e400",
		"\"\"", "\" \"", "\"+\"", "\"-\"", "\"one hundred\"",
		"\"100.0\"", "\"1e3\"", "\"0x100\"", "\"100%\"", "\"1 00\"",
		"\"+ 100\"", "\"++100\"", "\"--100\"", "\"+-100\"", "\"100+\"",
		"\"1_000\"", "\"1,000\"", "\"\\u00a0100\"",
		"\"\\uff11\\uff10\\uff10\"", "\"\\ufffd100\"" };
	char content[200];

	for (size_t i = 0; i < ARRAY_LEN(full) + ARRAY_LEN(less); i++) {
		const bool right = i < ARRAY_LEN(full);
		const char *level = right ? full[i] : less[i - ARRAY_LEN(full)];

		snprintf(content, sizeof(content), "{\"users\":{\"" H "\":%s}}",
			level);
		if (room_power_right(&c->fleet, content) != right)
			fail_msg("%s: expected %d", level, right);
	}
	/* A list of them that is none. */
	assert_false(room_power_right(&c->fleet, "{\"users\":[100]}"));
	assert_false(room_power_right(&c->fleet, "{\"users\":\"100\"}"));
}

static void assert_raised(
	const struct fleet_case *c, const char *was, const char *raised)
{
	struct json *doc = NULL;
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, KIB);
	assert_ok(json_parse(was, strlen(was), NULL, &doc, &e), e);
	room_power_raised(&c->fleet, json_root(doc), &out);
	assert_string_equal(buf_str(&out), raised);
	assert_true(room_power_right(&c->fleet, buf_str(&out)));
	json_free(doc);
	buf_free(&out);
}

/* AS-155: what is sent has numbers, since Synapse takes nothing else from a
 * client; nobody's level changes by that, and what is no level stays. */
static void raising_writes_numbers(void **state)
{
	const struct fleet_case *c = *state;

	assert_raised(c,
		"{\"ban\":\" 50 \",\"events\":{\"m.room.name\":\"+50\","
		"\"x\":75},\"notifications\":{\"room\":\"-5\"},"
		"\"users_default\":\"010\",\"org.example\":\"50\","
		"\"users\":{\"@x:y\":\"75\",\"" H "\":\"50\"}}",
		"{\"ban\":50,\"events\":{\"m.room.name\":50,\"x\":75},"
		"\"notifications\":{\"room\":-5},\"users_default\":10,"
		"\"org.example\":\"50\",\"users\":{\"@x:y\":75,\"" H
		"\":100}}");
	assert_raised(c,
		"{\"kick\":\"lots\",\"redact\":1e400,\"invite\":null,"
		"\"events\":[\"5\"],\"notifications\":\"5\","
		"\"users\":{\"@x:y\":\"much\",\"@z:y\":\"\"}}",
		"{\"kick\":\"lots\",\"redact\":1e400,\"invite\":null,"
		"\"events\":[\"5\"],\"notifications\":\"5\","
		"\"users\":{\"@x:y\":\"much\",\"@z:y\":\"\",\"" H "\":100}}");
}

/* AS-155: what Matrix's integers cannot hold stays as it was spelled. */
static void raising_keeps_large_numbers(void **state)
{
	const struct fleet_case *c = *state;

	assert_raised(c,
		"{\"ban\":9007199254740992,\"users\":{\"@x:y\":" ABOVE_INT64
		",\"@z:y\":\"9007199254740992\",\"" H "\":-" HUGE_NUMBER "}}",
		"{\"ban\":9007199254740992,\"users\":{\"@x:y\":" ABOVE_INT64
		",\"@z:y\":\"9007199254740992\",\"" H "\":100}}");
	/* Nobody is lowered. */
	assert_raised(c, "{\"users\":{\"" H "\":9007199254740992}}",
		"{\"users\":{\"" H "\":9007199254740992}}");
	assert_raised(c, "{\"users\":{\"" H "\":" HUGE_NUMBER "}}",
		"{\"users\":{\"" H "\":" HUGE_NUMBER "}}");
	assert_raised(c, "{\"users\":{\"" H "\":\" 150\"}}",
		"{\"users\":{\"" H "\":150}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_power_in_any_spelling),
		cmocka_unit_test(raising_writes_numbers),
		cmocka_unit_test(raising_keeps_large_numbers),
	};

	return cmocka_run_group_tests_name("power", tests, setup, teardown);
}
