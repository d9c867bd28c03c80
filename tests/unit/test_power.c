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

#define S "@muster:example.org"
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

/* A room of which the policy says nothing but who is in it. */
static const struct room_policy plain_policy = { .rule = "r" };
static const struct room plain = { .policy = &plain_policy };

static bool right(const struct fleet_case *c, const char *content)
{
	struct json *doc = NULL;
	struct err e = { 0 };

	assert_ok(json_parse(content, strlen(content), NULL, &doc, &e), e);
	bool ret = power_levels_right(&c->fleet, &plain, json_root(doc));
	json_free(doc);
	return ret;
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
		const bool want = i < ARRAY_LEN(full);
		const char *level = want ? full[i] : less[i - ARRAY_LEN(full)];

		snprintf(content, sizeof(content), "{\"users\":{\"" H "\":%s}}",
			level);
		if (right(c, content) != want)
			fail_msg("%s: expected %d", level, want);
	}
	/* A list of them that is none. */
	assert_false(right(c, "{\"users\":[100]}"));
	assert_false(right(c, "{\"users\":\"100\"}"));
}

static void assert_raised(
	const struct fleet_case *c, const char *was, const char *raised)
{
	struct json *doc = NULL;
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, KIB);
	assert_ok(json_parse(was, strlen(was), NULL, &doc, &e), e);
	power_levels_write(&c->fleet, &plain, json_root(doc), &out);
	assert_string_equal(buf_str(&out), raised);
	assert_true(right(c, buf_str(&out)));
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

/* AS-148, AS-152. */
static void power_by_room_version(void **state)
{
	const struct fleet_case *c = *state;
	static const struct {
		const char *version, *users;
	} cases[] = {
		{ "6", "{\"" S "\":100,\"" H "\":100}" },
		{ "11", "{\"" S "\":100,\"" H "\":100}" },
		/* From 12 on the creator stands above and must not be listed. */
		{ "12", "{\"" H "\":100}" },
		{ "org.example.new", "{\"" H "\":100}" },
	};
	struct buf out;

	buf_init(&out, KIB);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&out);
		room_power_users(&c->fleet, &plain, S, cases[i].version, &out);
		assert_string_equal(buf_str(&out), cases[i].users);
	}
	buf_free(&out);
}

static void power_is_raised_and_nothing_else(void **state)
{
	const struct fleet_case *c = *state;

	assert_false(right(c, "{\"users\":{\"" H "\":0}}"));
	assert_raised(c,
		"{\"ban\":50,\"users\":{\"@x:y\":75,\"" H
		"\":0},\"events\":{\"m.room.name\":50}}",
		"{\"ban\":50,\"events\":{\"m.room.name\":50},\"users\":"
		"{\"@x:y\":75,\"" H "\":100}}");
	/* Nobody is lowered: who has more may have it from an equal. */
	assert_true(right(c, "{\"users\":{\"" H "\":150}}"));
	assert_raised(c, "{\"users\":{\"" H "\":150}}",
		"{\"users\":{\"" H "\":150}}");
}

/* What the policy gives is exactly what they have; a human has 100 anyway. */
static void power_that_is_granted(void **state)
{
	const struct fleet_case *c = *state;
	static const struct grant grants[] = { { "@cleo:example.org", 50 },
		{ H, 60 }, { "@zoe:far.org", 0 } };
	const struct room_policy policy = {
		.rule = "r", .grants = grants, .n_grants = ARRAY_LEN(grants)
	};
	const struct room room = { .policy = &policy };
	static const char as_declared[] =
		"{\"users\":{\"" H "\":100,\"@cleo:example.org\":50,"
		"\"@zoe:far.org\":0}}";
	static const char *const wrong[] = {
		"{\"users\":{\"" H "\":100,\"@cleo:example.org\":50}}",
		"{\"users\":{\"" H "\":100,\"@cleo:example.org\":51,"
		"\"@zoe:far.org\":0}}",
		"{\"users\":{\"" H "\":60,\"@cleo:example.org\":50,"
		"\"@zoe:far.org\":0}}",
		"{}",
	};
	struct json *doc = NULL;
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, KIB);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_ok(
			json_parse(wrong[i], strlen(wrong[i]), NULL, &doc, &e),
			e);
		assert_false(
			power_levels_right(&c->fleet, &room, json_root(doc)));
		buf_clear(&out);
		power_levels_write(&c->fleet, &room, json_root(doc), &out);
		assert_string_equal(buf_str(&out), as_declared);
		json_free(doc);
	}
	assert_ok(json_parse(as_declared, strlen(as_declared), NULL, &doc, &e),
		e);
	assert_true(power_levels_right(&c->fleet, &room, json_root(doc)));
	json_free(doc);
	buf_clear(&out);
	room_power_users(&c->fleet, &room, S, "11", &out);
	assert_string_equal(buf_str(&out),
		"{\"" S "\":100,\"" H "\":100,\"@cleo:example.org\":50,"
		"\"@zoe:far.org\":0}");
	buf_free(&out);
}

/* One user has that level; who else has which, and all else, stays. */
static void power_that_is_given(void **state)
{
	static const struct {
		const char *was, *is;
	} cases[] = {
		{ "{}", "{\"users\":{\"" S "\":100}}" },
		{ "{\"ban\":50,\"users\":{\"@x:y\":100,\"" S
		  "\":0},\"events\":{\"m.room.tombstone\":150},"
		  "\"users_default\":0}",
			"{\"ban\":50,\"events\":{\"m.room.tombstone\":150},"
			"\"users_default\":0,\"users\":{\"@x:y\":100,\"" S
			"\":100}}" },
		/* Synapse takes no strings from a client. */
		{ "{\"kick\":\"50\",\"users\":{\"@x:y\":\"75\"}}",
			"{\"kick\":50,\"users\":{\"@x:y\":75,\"" S "\":100}}" },
		{ "{\"users\":[]}", "{\"users\":{\"" S "\":100}}" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *doc = NULL;
		struct err e = { 0 };
		struct buf out;
		buf_init(&out, KIB);
		assert_ok(json_parse(cases[i].was, strlen(cases[i].was), NULL,
				  &doc, &e),
			e);
		power_levels_grant(json_root(doc), S, 100, &out);
		assert_string_equal(buf_str(&out), cases[i].is);
		json_free(doc);
		buf_free(&out);
	}
}

/* What the service's own user can do in a room. */
static void power_of_our_own(void **state)
{
	(void)state;
	static const struct {
		const char *create, *levels, *maker;
		bool known, keeps;
		int64_t mine;
	} cases[] = {
		/* Nothing is known: everything is tried. */
		{ NULL, NULL, NULL, false, true, 0 },
		{ "{\"room_version\":\"11\"}", NULL, S, false, true, 0 },
		{ "{}", "{\"users\":{\"" S "\":100}}", S, true, true, 100 },
		{ "{}", "{\"users\":{\"" S "\":50}}", S, true, true, 50 },
		{ "{}", "{\"users\":{\"" S "\":49}}", S, true, false, 49 },
		{ "{}", "{\"users\":{}}", S, true, false, 0 },
		{ "{}", "{\"users_default\":50}", NULL, true, true, 50 },
		{ "{}", "{\"users\":{\"" S "\":50},\"invite\":51}", S, true,
			false, 50 },
		{ "{}", "{\"users\":{\"" S "\":50},\"kick\":\"60\"}", S, true,
			false, 50 },
		{ "{}", "{\"users\":{\"" S "\":50},\"state_default\":60}", S,
			true, false, 50 },
		{ "{}",
			"{\"users\":{\"" S "\":50},\"state_default\":60,"
			"\"events\":{\"m.room.name\":50,"
			"\"m.room.topic\":50}}",
			S, true, true, 50 },
		/* Who made a room of version 12 stands above. */
		{ "{\"room_version\":\"12\"}", "{\"users\":{}}", S, true, true,
			0 },
		{ "{\"room_version\":\"12\"}", "{\"users\":{}}", NULL, true,
			false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct power p;
		power_open(&p, S, cases[i].maker, cases[i].create, NULL,
			cases[i].levels);
		if (p.known != cases[i].known || p.mine != cases[i].mine ||
			power_keeps_room(&p) != cases[i].keeps)
			fail_msg("case %zu: known %d, mine %d, keeps %d", i,
				p.known, (int)p.mine, power_keeps_room(&p));
		power_close(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_power_in_any_spelling),
		cmocka_unit_test(raising_writes_numbers),
		cmocka_unit_test(raising_keeps_large_numbers),
		cmocka_unit_test(power_by_room_version),
		cmocka_unit_test(power_is_raised_and_nothing_else),
		cmocka_unit_test(power_that_is_granted),
		cmocka_unit_test(power_that_is_given),
		cmocka_unit_test(power_of_our_own),
	};

	return cmocka_run_group_tests_name("power", tests, setup, teardown);
}
