/*
 * Transactions that are not as they should be: one bad event, many, a body
 * that is no transaction.
 */
#include "tests/unit/intake_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

/* --- bad events ----------------------------------------------------------- */

#define LONG_255                                                               \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* A member event from its parts as JSON. */
#define PARTS(id, room, key, ts, content)                                      \
	"{\"type\":\"m.room.member\",\"event_id\":" id ",\"room_id\":" room    \
	",\"sender\":\"@s:b\",\"state_key\":" key ",\"origin_server_ts\":" ts  \
	",\"content\":" content "}"
#define JOIN "{\"membership\":\"join\"}"

static const struct bad_case {
	const char *event;
	const char *reason; /* a part of it */
} bad_cases[] = {
	{ "null", "expected an object, found null" },
	{ "3", "expected an object, found an integer" },
	{ "1.5", "expected an object" },
	{ "\"x\"", "expected an object, found a string" },
	{ "[]", "expected an object, found an array" },
	{ "[{\"type\":\"m.room.member\"}]", "expected an object" },
	{ "{}", "type: expected a string, found nothing" },
	{ "{\"type\":5}", "type: expected a string, found an integer" },
	{ "{\"type\":null}", "type: expected a string, found null" },
	/* a member event that is no state, or nobody's */
	{ "{\"type\":\"m.room.member\",\"event_id\":\"$1\",\"room_id\":\"!r\","
	  "\"sender\":\"@s:b\",\"origin_server_ts\":1,\"content\":" JOIN "}",
		"state_key: expected a string, found nothing" },
	{ "{\"type\":\"m.room.member\",\"event_id\":\"$1\",\"room_id\":\"!r\","
	  "\"state_key\":\"@a:b\",\"origin_server_ts\":1,\"content\":" JOIN "}",
		"sender: expected a string, found nothing" },
	/* what parsers read in different ways */
	{ PARTS("\"$1\",\"event_id\":\"$2\"", "\"!r\"", "\"@a:b\"", "1", JOIN),
		"event_id: found a second time" },
	{ PARTS("\"$1\"", "\"!r\",\"room_id\":\"!q\"", "\"@a:b\"", "1", JOIN),
		"room_id: found a second time" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\",\"state_key\":\"@c:d\"", "1",
		  JOIN),
		"state_key: found a second time" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1,\"origin_server_ts\":2",
		  JOIN),
		"origin_server_ts: found a second time" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1", JOIN ",\"content\":{}"),
		"content: found a second time" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1",
		  "{\"membership\":\"join\",\"member\\u0073hip\":\"ban\"}"),
		"content.membership: found a second time" },
	{ "{\"type\":\"m.room.member\",\"type\":\"x\"}",
		"type: found a second time" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a\\ud800:b\"", "1", JOIN),
		"state_key: half of a surrogate pair" },
	{ STATE("m.room.name", "$1", "1", "{\"name\":\"a\",\"name\":\"b\"}"),
		"a second time" },
	{ "{\"type\":\"m.room.redaction\",\"event_id\":\"$1\",\"room_id\":"
	  "\"!r\",\"sender\":\"@s:b\",\"origin_server_ts\":1,\"content\":{}}",
		"redacts: expected a string, found nothing" },
	{ PARTS("null", "\"!r\"", "\"@a:b\"", "1", JOIN), "event_id" },
	{ PARTS("5", "\"!r\"", "\"@a:b\"", "1", JOIN), "event_id" },
	{ PARTS("\"1\"", "\"!r\"", "\"@a:b\"", "1", JOIN), "event_id" },
	{ PARTS("\"$" LONG_255 "\"", "\"!r\"", "\"@a:b\"", "1", JOIN),
		"event_id" },
	{ PARTS("\"$1\"", "\"r\"", "\"@a:b\"", "1", JOIN), "room_id" },
	{ PARTS("\"$1\"", "\"!\"", "\"@a:b\"", "1", JOIN), "room_id" },
	{ PARTS("\"$1\"", "{}", "\"@a:b\"", "1", JOIN), "room_id" },
	{ PARTS("\"$1\"", "\"!" LONG_255 "\"", "\"@a:b\"", "1", JOIN),
		"room_id" },
	{ PARTS("\"$1\"", "\"!r\"", "\"\"", "1", JOIN), "state_key" },
	{ PARTS("\"$1\"", "\"!r\"", "\"a\"", "1", JOIN), "state_key" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a\"", "1", JOIN), "state_key" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:\"", "1", JOIN), "state_key" },
	{ PARTS("\"$1\"", "\"!r\"", "null", "1", JOIN), "state_key" },
	{ PARTS("\"$1\"", "\"!r\"", "7", "1", JOIN), "state_key" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:" LONG_255 "\"", "1", JOIN),
		"state_key" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1.5", JOIN),
		"origin_server_ts: expected milliseconds since 1970, found a "
		"number with a fraction" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1e3", JOIN),
		"origin_server_ts" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "9007199254740992", JOIN),
		"origin_server_ts" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "99999999999999999999999999999",
		  JOIN),
		"origin_server_ts" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "\"1\"", JOIN),
		"origin_server_ts" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "null", JOIN),
		"origin_server_ts" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1", "null"),
		"content: expected an object, found null" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1", "[]"), "content" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1", "\"join\""), "content" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1", "{}"), "membership" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1", "{\"membership\":1}"),
		"membership" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1",
		  "{\"membership\":\"joined\"}"),
		"membership: expected invite, join, leave, ban or knock" },
	{ PARTS("\"$1\"", "\"!r\"", "\"@a:b\"", "1",
		  "{\"membership\":\"JOIN\"}"),
		"membership" },
	{ STATE("m.room.name", "$1", "1", "null"), "content" },
	{ STATE("m.room.name", "$1", "true", "{}"), "origin_server_ts" },
	{ "{\"type\":\"m.room.name\",\"state_key\":null}", "state_key" },
	/* what the JSON parser does not take */
	{ "{\"type\":\"m.room.message\",\"content\":{\"body\":\"\\u0000\"}}",
		"u0000" },
	{ "{\"type\":tru}", "expected a value" },
	{ "{\"type\":\"x\",}", "expected" },
	{ "nothing", "expected a value" },
	{ "{\"type\":\"x\",\"n\":01}", "starts with 0" },
	{ "{'type':'x'}", "expected" },
};

/* AS-35, AS-52: each is set aside with its text and the reason; its neighbours
 * count. */
static void test_bad_events(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	char body[3000], txn[20], user[20];

	for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
		const struct bad_case *c = &bad_cases[i];

		snprintf(txn, sizeof(txn), "t%zu", i);
		snprintf(user, sizeof(user), "@u%zu:hs", i);
		snprintf(body, sizeof(body),
			TXN(MESSAGE("$a") ", %s ," MEMBER(
				"$b", "%s", "join", "10")),
			c->event, user);
		struct intake_result r = intake_take(f, txn, body);
		if (r.events != 3 || r.applied != 1 || r.quarantined != 1)
			fail_msg("%s: events %zu, applied %zu, "
				 "quarantined %zu",
				c->event, r.events, r.applied, r.quarantined);
		assert_string_equal(intake_membership(f, user), "join");
		assert_true(intake_take(f, txn, body).repeated);
	}
	assert_int_equal(intake_quarantined(f, &q), ARRAY_LEN(bad_cases));
	for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
		const struct bad_case *c = &bad_cases[i];

		snprintf(txn, sizeof(txn), "t%zu", i);
		assert_string_equal(q[i].txn_id, txn);
		assert_int_equal(q[i].index, 1);
		assert_string_equal(q[i].bytes, c->event);
		assert_false(q[i].partial);
		if (!strstr(q[i].reason, c->reason))
			fail_msg("%s: expected '%s', found '%s'", c->event,
				c->reason, q[i].reason);
	}
	assert_int_equal(intake_counts(f).quarantined, ARRAY_LEN(bad_cases));
}

/* Nested so deep that no parser should follow. */
static void test_deep(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	const size_t depth = 200000;
	struct buf b;

	buf_init(&b, LIMIT_TRANSACTION);
	buf_add(&b, "{\"events\":[{\"type\":\"x\",\"content\":{\"a\":");
	for (size_t i = 0; i < depth; i++)
		buf_addc(&b, '[');
	for (size_t i = 0; i < depth; i++)
		buf_addc(&b, ']');
	buf_add(&b, "}}," MEMBER("$1", A, "join", "1") "]}");
	assert_int_equal(buf_rc(&b), RC_OK);
	struct intake_result r = intake_take(f, "deep", buf_str(&b));
	assert_int_equal(r.quarantined, 1);
	assert_string_equal(intake_membership(f, A), "join");
	assert_int_equal(intake_quarantined(f, &q), 1);
	/* kept as far as there is room */
	assert_int_equal(strlen(q[0].bytes), 65536);
	assert_true(q[0].partial);
	buf_free(&b);
}

/* AS-52: each is kept with a mark for what is no text; its neighbours count. */
static void test_bad_text(void **state)
{
	static const char *const texts[] = {
		"\xff",
		"\xc0\xaf",     /* a slash in two bytes */
		"\xed\xa0\x80", /* half of a surrogate pair */
		"\xf4\x90\x80\x80",
		"\xc3",
	};
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	char body[3000], txn[20];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		snprintf(txn, sizeof(txn), "t%zu", i);
		snprintf(body, sizeof(body),
			TXN(MEMBER("$a%zu", "@a:hs", "join", "1") "," MEMBER(
				"$b", "@%s:hs", "join",
				"10") "," MEMBER("$c%zu", "@c:hs", "join",
				"1")),
			i, texts[i], i);
		struct intake_result r = intake_take(f, txn, body);
		assert_int_equal(r.applied, 2);
		assert_int_equal(r.quarantined, 1);
	}
	assert_int_equal(intake_quarantined(f, &q), ARRAY_LEN(texts));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_non_null(strstr(q[i].reason, "not UTF-8"));
		assert_non_null(strstr(q[i].bytes, "\"@?"));
		assert_true(q[i].partial);
	}
}

static void add_name(struct buf *b, const char *id, size_t spaces, size_t bytes)
{
	buf_addf(b,
		"{\"type\":\"m.room.name\",\"state_key\":\"\",\"room_id\":"
		"\"!r\",\"event_id\":\"%s\",\"sender\":\"@s:b\","
		"\"origin_server_ts\":1,\"content\":{%*s\"name\":\"",
		id, (int)spaces, "");
	for (size_t i = 0; i < bytes; i++)
		buf_addc(b, 'n');
	buf_add(b, "\"}}");
}

/* Content that is larger than any event, in itself or as it is written. */
static void test_large_content(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	struct buf b;

	buf_init(&b, LIMIT_TRANSACTION);
	buf_add(&b, "{\"events\":[");
	add_name(&b, "$1", 0, 65536);
	buf_addc(&b, ',');
	add_name(&b, "$2", 262144, 1);
	buf_addc(&b, ',');
	add_name(&b, "$3", 190000, 65000);
	buf_add(&b, "]}");
	struct intake_result r = intake_take(f, "large", buf_str(&b));
	assert_int_equal(r.quarantined, 2);
	assert_int_equal(r.applied, 1);
	assert_int_equal(intake_quarantined(f, &q), 2);
	assert_string_equal(q[0].reason, "content: over 65536 bytes");
	assert_string_equal(q[1].reason, "content: over 262144 bytes");
	assert_int_equal(store_fixture_sql(f,
				 "SELECT length(content ->> '$.name') FROM "
				 "room_state WHERE event_id = '$3'"),
		65000);
	buf_free(&b);
}

/* AS-31, AS-71: a hundred events of 64 KiB. */
static void test_large_transaction(void **state)
{
	struct store_fixture *f = *state;
	struct buf b;

	buf_init(&b, LIMIT_TRANSACTION);
	buf_add(&b, "{\"events\":[" MEMBER("$m", A, "join", "1"));
	for (size_t i = 0; i < 100; i++) {
		buf_addf(&b,
			",{\"type\":\"m.room.message\",\"event_id\":"
			"\"$%zu\",\"content\":{\"body\":\"",
			i);
		for (size_t k = 0; k < 65000; k++)
			buf_addc(&b, 'x');
		buf_add(&b, "\"}}");
	}
	buf_add(&b, "]}");
	assert_int_equal(buf_rc(&b), RC_OK);
	struct intake_result r = intake_take(f, "large", buf_str(&b));
	assert_int_equal(r.events, 101);
	assert_int_equal(r.applied, 1);
	assert_int_equal(r.quarantined, 0);
	buf_free(&b);
}

/* Many bad ones: the first thousand are kept, all are counted. */
static void test_many_bad(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	struct buf b;

	buf_init(&b, LIMIT_TRANSACTION);
	buf_add(&b, "{\"events\":[1");
	for (size_t i = 1; i < 1500; i++)
		buf_add(&b, ",1");
	buf_add(&b, "]}");
	assert_int_equal(intake_take(f, "many", buf_str(&b)).quarantined, 1500);
	assert_int_equal(intake_quarantined(f, &q), 1000);
	assert_int_equal(q[0].index, 0);
	assert_int_equal(q[999].index, 999);
	struct store_quarantine_total t = { 0 };
	assert_ok(store_quarantine_total(f->s, &t, &f->e), f->e);
	assert_int_equal(t.dropped, 500);
	buf_free(&b);
}

/* --- bad bodies ----------------------------------------------------------- */

/* AS-51. */
static void test_bad_bodies(void **state)
{
	static const struct {
		const char *body;
		bool not_json;
	} cases[] = {
		{ "", true },
		{ " ", true },
		{ "{", true },
		{ "nope", true },
		{ "tru", true },
		{ "'x'", true },
		{ "-", true },
		{ "{\"events\"}", true },
		{ "{\"events\":}", true },
		{ "{\"events\":nope}", true },
		{ "{\"events\":[}", true },
		{ "{\"events\":[1 2]}", true },
		{ "{\"events\":[1,]}", true },
		{ "{\"events\":[,1]}", true },
		{ "{\"events\":[]", true },
		{ "{\"events\":[]]", true },
		{ "{\"events\":[],}", true },
		{ "{\"events\":[]}}", true },
		{ "{\"events\":[]}{}", true },
		{ "{\"events\":[]} x", true },
		{ "{\"events\":[{\"a\":\"]}", true },
		{ "{\"events\":[\"\\\"]}", true },
		{ "{events:[]}", true },
		{ "{1:2}", true },
		{ "{\"events\":[],\"x\":\"\xff\"}", true },
		{ "{\"x\":\"\xc0\xaf\",\"events\":[]}", true },
		{ "\xff", true },
		{ "\xef\xbb\xbf{\"events\":[]}", true },
		{ "[]", false },
		{ "[{\"events\":[]}]", false },
		{ "\"x\"", false },
		{ "null", false },
		{ "1", false },
		{ "{}", false },
		{ "{\"Events\":[]}", false },
		{ "{\"events\":{}}", false },
		{ "{\"events\":null}", false },
		{ "{\"events\":1}", false },
		{ "{\"events\":\"x\"}", false },
		{ "{\"events\":[],\"events\":{}}", false },
		{ "{\"events\":[],\"events\":[]}", false },
		{ "{\"events\":[],\"event\\u0073\":[]}", false },
		{ "{\"events\":1,\"events\":[]}", false },
		{ "{\"a\":{\"events\":[]}}", false },
	};
	struct store_fixture *f = *state;
	struct intake_result r;
	char txn[20];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *body = cases[i].body;

		snprintf(txn, sizeof(txn), "t%zu", i);
		enum rc rc = intake_try(f, txn, body, strlen(body), &r);
		if (rc != RC_INVALID || r.not_json != cases[i].not_json)
			fail_msg("'%s': %s, not_json %d", body, rc_words(rc),
				r.not_json);
		assert_true(f->e.text[0] != '\0');
		/* not remembered: a good one of the same id counts */
		assert_false(intake_take(f, txn, TXN("")).repeated);
	}
}

/* AS-50, AS-70. */
static void test_good_bodies(void **state)
{
	static const struct {
		const char *body;
		size_t events;
	} cases[] = {
		{ "{\"events\":[]}", 0 },
		{ " \t\r\n{ \"events\" : [ ] } \n", 0 },
		{ "{\"events\":[],\"ephemeral\":[]}", 0 },
		{ "{\"x\":{\"events\":1},\"events\":[{\"type\":\"a\"}],"
		  "\"y\":[1,\"]\",{}],\"z\":-1.5e3,\"w\":null}",
			1 },
		{ "{\"events\":[{\"type\":\"a\"},{\"type\":\"]}\\\\\"}]}", 2 },
		{ "{\"events\":[ {\"type\":\"\\\"\"} , {\"type\":\"b\"} ]}",
			2 },
	};
	struct store_fixture *f = *state;
	char txn[20];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(txn, sizeof(txn), "t%zu", i);
		struct intake_result r = intake_take(f, txn, cases[i].body);
		if (r.events != cases[i].events || r.quarantined)
			fail_msg("%s: %zu events, %zu bad", cases[i].body,
				r.events, r.quarantined);
	}
}

/* AS-51: cut off anywhere, it is refused; the last byte makes it whole. */
static void test_cut_off(void **state)
{
	static const char body[] =
		" {\"a\":[{\"b\":\"c\\\"\"}],\"events\":[" MEMBER("$1", A,
			"join", "10") "," MESSAGE("$2") "],\"x\":-1.5}";
	struct store_fixture *f = *state;
	struct intake_result r;
	char txn[20];

	for (size_t n = 0; n < sizeof(body) - 1; n++) {
		/* A copy, so that a read behind its end is seen. */
		char *part = malloc(n ? n : 1);

		assert_non_null(part);
		memcpy(part, body, n);
		snprintf(txn, sizeof(txn), "t%zu", n);
		if (intake_try(f, txn, part, n, &r) != RC_INVALID ||
			!r.not_json)
			fail_msg("%zu bytes were taken", n);
		free(part);
	}
	assert_null(intake_membership(f, A));
	assert_int_equal(intake_take(f, "t", body).events, 2);
}

/* AS-51: the third time it is set aside, so that the queue moves. */
static void test_third_time(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	struct intake_result r;
	static const char bad[] = "{\"events\":[\xff\0x";

	assert_rc(intake_try(f, "t", bad, sizeof(bad) - 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "t", bad, sizeof(bad) - 1, &r), RC_INVALID);
	assert_int_equal(intake_quarantined(f, &q), 0);
	store_fixture_reopen(f);
	assert_rc(intake_try(f, "t", bad, sizeof(bad) - 1, &r), RC_OK);
	assert_int_equal(r.quarantined, 1);
	assert_false(r.repeated);
	assert_int_equal(intake_quarantined(f, &q), 1);
	assert_int_equal(q[0].index, -1);
	assert_string_equal(q[0].txn_id, "t");
	assert_string_equal(q[0].bytes, "{\"events\":[??x");
	assert_true(q[0].partial);
	/* Once more: our answer was lost. */
	assert_rc(intake_try(f, "t", bad, sizeof(bad) - 1, &r), RC_OK);
	assert_true(r.repeated);
	assert_int_equal(intake_quarantined(f, &q), 1);
	/* Only attempts in a row count. */
	assert_rc(intake_try(f, "u", "{", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "u", "{", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "v", "{", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "u", "{", 1, &r), RC_INVALID);
	/* One that comes whole begins anew. */
	assert_rc(intake_try(f, "w", "{", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "w", "{", 1, &r), RC_INVALID);
	assert_false(intake_take(f, "w", TXN("")).repeated);
	assert_rc(intake_try(f, "w", "{", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "w", "[", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "w", "{", 1, &r), RC_OK);
	assert_int_equal(intake_quarantined(f, &q), 2);
	/* What comes of its id after that is another. */
	assert_rc(intake_try(f, "w", "{", 1, &r), RC_OK);
	assert_true(r.repeated);
	assert_rc(intake_try(f, "w", "nope", 4, &r), RC_INVALID);
	assert_int_equal(intake_counts(f).refused, 11);
	/* An id may have spaces in it. */
	assert_rc(intake_try(f, "a b", "{", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "a b", "{", 1, &r), RC_INVALID);
	assert_rc(intake_try(f, "a b", "{", 1, &r), RC_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_bad_events),
		STORE_TEST(test_deep),
		STORE_TEST(test_bad_text),
		STORE_TEST(test_large_content),
		STORE_TEST(test_large_transaction),
		STORE_TEST(test_many_bad),
		STORE_TEST(test_bad_bodies),
		STORE_TEST(test_good_bodies),
		STORE_TEST(test_cut_off),
		STORE_TEST(test_third_time),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
