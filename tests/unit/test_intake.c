/*
 * Transactions: what is kept of them, and what a repetition does.
 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/intake/intake.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "tests/unit/store_fixture.h"

#include "base/poison.h"

#define R "!r:hs"
#define A "@a:hs"

/* A member event; the time and the id are parts of the text. */
#define MEMBER(id, user, what, ts)                                             \
	"{\"type\":\"m.room.member\",\"event_id\":\"" id "\",\"room_id\":\"" R \
	"\",\"sender\":\"@s:hs\",\"state_key\":\"" user                        \
	"\",\"origin_server_ts\":" ts ",\"content\":{\"membership\":\"" what   \
	"\"}}"
#define STATE(type, id, ts, content)                                           \
	"{\"type\":\"" type "\",\"event_id\":\"" id "\",\"room_id\":\"" R      \
	"\",\"sender\":\"@s:hs\",\"state_key\":\"\",\"origin_server_ts\":" ts  \
	",\"content\":" content "}"
#define MESSAGE(id)                                                            \
	"{\"type\":\"m.room.message\",\"event_id\":\"" id                      \
	"\",\"room_id\":\"" R "\",\"sender\":\"@s:hs\","                       \
	"\"origin_server_ts\":1,\"content\":{\"body\":\"x\"}}"
#define TXN(events) "{\"events\":[" events "]}"

static struct intake_result take(
	struct store_fixture *f, const char *txn, const char *body)
{
	struct intake in = { .store = f->s };
	struct intake_result r = { 0 };

	assert_ok(intake_transaction(&in, txn, body, strlen(body), &r, &f->e),
		f->e);
	return r;
}

static enum rc try_n(struct store_fixture *f, const char *txn, const char *body,
	size_t n, struct intake_result *r)
{
	struct intake in = { .store = f->s };

	*r = (struct intake_result){ 0 };
	return intake_transaction(&in, txn, body, n, r, &f->e);
}

static const char *membership(struct store_fixture *f, const char *user)
{
	const char *was = NULL;

	assert_ok(
		store_membership_get(f->s, R, user, &f->a, &was, &f->e), f->e);
	return was;
}

static struct store_txn_counts counts(struct store_fixture *f)
{
	struct store_txn_counts c = { 0 };

	assert_ok(store_txn_counts(f->s, &c, &f->e), f->e);
	return c;
}

static size_t quarantined(
	struct store_fixture *f, struct store_quarantined **ret)
{
	size_t n = 0;

	assert_ok(store_quarantine_list(f->s, &f->a, ret, &n, &f->e), f->e);
	return n;
}

/* --- exactly once ----------------------------------------------------------- */

static void test_once(void **state)
{
	struct store_fixture *f = *state;
	const char *body = TXN(MEMBER("$1", A, "join", "10"));

	struct intake_result r = take(f, "t1", body);
	assert_false(r.repeated);
	assert_true(r.changed);
	assert_int_equal(r.events, 1);
	assert_int_equal(r.applied, 1);
	assert_int_equal(r.quarantined, 0);
	assert_string_equal(membership(f, A), "join");

	r = take(f, "t1", body);
	assert_true(r.repeated);
	assert_false(r.changed);
	assert_int_equal(r.applied, 0);

	/* also after a restart */
	store_fixture_reopen(f);
	r = take(f, "t1", body);
	assert_true(r.repeated);

	struct store_txn_counts c = counts(f);
	assert_int_equal(c.seen, 3);
	assert_int_equal(c.repeated, 2);
	assert_int_equal(c.events, 1);
	assert_int_equal(c.quarantined, 0);
	assert_in_range(
		c.last_ms, clock_wall_ms() - 60000, clock_wall_ms() + 1);
}

/* What differs in a genuine retry is not in the digest; the ids are. */
static void test_same_id(void **state)
{
	struct store_fixture *f = *state;
	const char *first = TXN(MEMBER("$1", A, "join", "10"));
	const char *aged =
		"{\"events\":[{\"type\":\"m.room.member\",\"event_id\":\"$1\","
		"\"unsigned\":{\"age\":-5}}],\"x.y\":1}";
	const char *other = TXN(MEMBER("$2", A, "leave", "20"));
	const char *two = TXN(MEMBER("$2", A, "leave", "20") "," MESSAGE("$3"));
	const char *swapped =
		TXN(MESSAGE("$3") "," MEMBER("$2", A, "leave", "20"));

	assert_false(take(f, "1", first).repeated);
	assert_true(take(f, "1", aged).repeated);
	assert_false(take(f, "1", other).repeated);
	assert_string_equal(membership(f, A), "leave");
	assert_true(take(f, "1", other).repeated);
	assert_false(take(f, "1", two).repeated);
	assert_false(take(f, "1", swapped).repeated);
	/* Events without any id, and none at all. */
	assert_false(take(f, "2", TXN("")).repeated);
	assert_true(
		take(f, "2", "{\"events\":[],\"ephemeral\":[{}]}").repeated);
	assert_false(take(f, "2", TXN("{\"type\":\"x\"}")).repeated);
	assert_true(take(f, "2", TXN("{\"type\":\"y\"}")).repeated);
	/* Another id is another transaction. */
	assert_false(take(f, "3", first).repeated);
}

/* SHA-256 of "$1\n?\n$3\n", by sha256sum. */
static void test_digest(void **state)
{
	static const unsigned char want[SHA256_LEN] = {
		0xb8,
		0x4b,
		0x43,
		0x7e,
		0xe0,
		0x31,
		0x19,
		0xf9,
		0xa0,
		0x98,
		0x08,
		0x5c,
		0x75,
		0x00,
		0xf9,
		0x81,
		0x82,
		0xd9,
		0xf5,
		0x74,
		0xfe,
		0x2b,
		0x91,
		0x39,
		0xbb,
		0x3b,
		0x04,
		0x0d,
		0x21,
		0xea,
		0x5e,
		0x25,
	};
	struct store_fixture *f = *state;
	bool seen = false;

	take(f, "d", TXN(MESSAGE("$1") ",null," MESSAGE("$3")));
	assert_ok(store_txn_seen(f->s, "d", want, &seen, &f->e), f->e);
	assert_true(seen);
}

/* The same event in two transactions changes nothing the second time. */
static void test_same_event_twice(void **state)
{
	struct store_fixture *f = *state;

	assert_true(take(f, "1", TXN(MEMBER("$1", A, "join", "10"))).changed);
	assert_true(take(f, "2", TXN(MEMBER("$2", A, "leave", "20"))).changed);
	assert_false(take(f, "3", TXN(MEMBER("$1", A, "join", "10"))).changed);
	assert_string_equal(membership(f, A), "leave");
}

struct racer {
	struct store *store;
	struct intake_result r;
	enum rc rc;
};

static void *race(void *arg)
{
	struct racer *racer = arg;
	struct intake in = { .store = racer->store };
	static const char body[] = TXN(MEMBER("$1", A, "join", "10"));

	racer->rc = intake_transaction(
		&in, "t", body, sizeof(body) - 1, &racer->r, NULL);
	return NULL;
}

static void test_concurrent(void **state)
{
	struct store_fixture *f = *state;
	struct racer racers[8] = { 0 };
	pthread_t threads[ARRAY_LEN(racers)];
	size_t first = 0;

	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		racers[i].store = f->s;
		assert_int_equal(
			pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		pthread_join(threads[i], NULL);
		assert_rc(racers[i].rc, RC_OK);
		first += !racers[i].r.repeated;
	}
	assert_int_equal(first, 1);
	assert_int_equal(counts(f).events, 1);
}

/* --- what events do ----------------------------------------------------------- */

static void test_order(void **state)
{
	struct store_fixture *f = *state;

	/* of equal times the later in the list wins */
	take(f, "1",
		TXN(MEMBER("$1", A, "invite", "10") "," MEMBER(
			"$2", A, "join", "10") "," MEMBER("$3", "@b:hs", "join",
			"10") "," MEMBER("$4", "@b:hs", "ban", "10")));
	assert_string_equal(membership(f, A), "join");
	assert_string_equal(membership(f, "@b:hs"), "ban");
	/* an older one that comes late changes nothing */
	struct intake_result r =
		take(f, "2", TXN(MEMBER("$0", A, "knock", "9")));
	assert_false(r.changed);
	assert_int_equal(r.applied, 1);
	assert_string_equal(membership(f, A), "join");
	take(f, "3", TXN(MEMBER("$5", A, "knock", "11")));
	assert_string_equal(membership(f, A), "knock");
}

/* An event from the future must not win over what comes after it. */
static void test_future(void **state)
{
	struct store_fixture *f = *state;
	char body[1000];

	take(f, "1", TXN(MEMBER("$1", A, "join", "9007199254740991")));
	assert_string_equal(membership(f, A), "join");
	assert_in_range(
		store_fixture_sql(f, "SELECT origin_ts FROM membership"), 1,
		clock_wall_ms());
	clock_sleep_ms(2);
	snprintf(body, sizeof(body), TXN(MEMBER("$2", A, "leave", "%lld")),
		(long long)clock_wall_ms());
	take(f, "2", body);
	assert_string_equal(membership(f, A), "leave");
}

static void test_state(void **state)
{
	static const struct {
		const char *type, *content, *want;
	} cases[] = {
		{ "m.room.name", "{ \"name\" : \"N/1\" }",
			"{\"name\":\"N/1\"}" },
		{ "m.room.power_levels", "{\"users\":{\"@a:hs\":100}}",
			"{\"users\":{\"@a:hs\":100}}" },
		{ "m.room.create", "{\"room_version\":\"12\"}",
			"{\"room_version\":\"12\"}" },
		{ "m.room.join_rules", "{}", "{}" },
		{ "m.room.canonical_alias", "{\"alias\":\"#x:hs\"}",
			"{\"alias\":\"#x:hs\"}" },
		{ "m.room.tombstone", "{\"replacement_room\":\"!n\"}",
			"{\"replacement_room\":\"!n\"}" },
	};
	struct store_fixture *f = *state;
	char body[1000], sql[1000];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(body, sizeof(body),
			TXN(STATE("%s", "$%zu", "10", "%s")), cases[i].type, i,
			cases[i].content);
		struct intake_result r = take(f, cases[i].type, body);
		assert_int_equal(r.applied, 1);
		assert_true(r.changed);
		snprintf(sql, sizeof(sql),
			"SELECT count(*) FROM room_state WHERE room_id = '" R
			"' AND type = '%s' AND content = '%s'",
			cases[i].type, cases[i].want);
		assert_int_equal(store_fixture_sql(f, sql), 1);
	}
	/* the same again, later */
	struct intake_result r = take(
		f, "again", TXN(STATE("m.room.join_rules", "$9", "20", "{}")));
	assert_false(r.changed);
}

/* No row for what nobody asks for, and no fault in it either. */
static void test_ignored(void **state)
{
	static const char *const events[] = {
		MESSAGE("$1"),
		"{\"type\":\"m.room.message\"}",
		"{\"type\":\"m.room.topic\",\"state_key\":\"\"}",
		"{\"type\":\"x.y\",\"state_key\":5,\"content\":null}",
		"{\"type\":\"x\",\"event_id\":1e400,\"content\":1.5}",
		"{\"type\":\"\"}",
		/* not state: no state key */
		"{\"type\":\"m.room.member\",\"content\":"
		"{\"membership\":\"join\"}}",
		"{\"type\":\"m.room.name\",\"content\":{\"name\":\"x\"}}",
		/* state, but not the room's own */
		"{\"type\":\"m.room.name\",\"state_key\":\"x\"}",
	};
	struct store_fixture *f = *state;
	char body[1000], txn[20];

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		snprintf(body, sizeof(body), TXN("%s"), events[i]);
		snprintf(txn, sizeof(txn), "%zu", i);
		struct intake_result r = take(f, txn, body);
		if (r.events != 1 || r.applied || r.quarantined || r.changed)
			fail_msg("not ignored: %s", events[i]);
	}
	assert_int_equal(store_fixture_sql(f,
				 "SELECT (SELECT count(*) FROM membership) + "
				 "(SELECT count(*) FROM room_state)"),
		0);
}

/* Ids as homeservers have made them since 2014. */
static void test_odd_ids(void **state)
{
	static const char *const users[] = {
		"@:hs",
		"@\xc3\x9cn\xc3\xaf C:hs",
		"@A/b+c=d:hs:8448",
		"@a:[::1]:8448",
	};
	struct store_fixture *f = *state;
	char body[1000];

	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		snprintf(body, sizeof(body),
			TXN(MEMBER("$%zu/+", "%s", "join", "10")), i, users[i]);
		assert_int_equal(take(f, users[i], body).applied, 1);
		assert_string_equal(membership(f, users[i]), "join");
	}
	/* a room id without a server (room version 12) */
	take(f, "v12",
		TXN("{\"type\":\"m.room.member\",\"event_id\":\"$x\","
		    "\"room_id\":\"!abc-_\",\"state_key\":\"" A
		    "\",\"origin_server_ts\":0,"
		    "\"content\":{\"membership\":\"join\"}}"));
	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM membership WHERE "
				 "room_id = '!abc-_'"),
		1);
}

/* --- bad events ------------------------------------------------------------------ */

#define LONG_255                                                               \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* A member event from its parts as JSON. */
#define PARTS(id, room, key, ts, content)                                      \
	"{\"type\":\"m.room.member\",\"event_id\":" id ",\"room_id\":" room    \
	",\"state_key\":" key ",\"origin_server_ts\":" ts                      \
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

/* Each is set aside with its text and the reason; its neighbours count. */
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
		struct intake_result r = take(f, txn, body);
		if (r.events != 3 || r.applied != 1 || r.quarantined != 1)
			fail_msg("%s: events %zu, applied %zu, "
				 "quarantined %zu",
				c->event, r.events, r.applied, r.quarantined);
		assert_string_equal(membership(f, user), "join");
		assert_true(take(f, txn, body).repeated);
	}
	assert_int_equal(quarantined(f, &q), ARRAY_LEN(bad_cases));
	for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
		const struct bad_case *c = &bad_cases[i];

		snprintf(txn, sizeof(txn), "t%zu", i);
		assert_string_equal(q[i].txn_id, txn);
		assert_int_equal(q[i].index, 1);
		assert_string_equal(q[i].bytes, c->event);
		if (!strstr(q[i].reason, c->reason))
			fail_msg("%s: expected '%s', found '%s'", c->event,
				c->reason, q[i].reason);
	}
	assert_int_equal(counts(f).quarantined, ARRAY_LEN(bad_cases));
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
	struct intake_result r = take(f, "deep", buf_str(&b));
	assert_int_equal(r.quarantined, 1);
	assert_string_equal(membership(f, A), "join");
	assert_int_equal(quarantined(f, &q), 1);
	/* kept as far as there is room */
	assert_int_equal(strlen(q[0].bytes), 65536);
	buf_free(&b);
}

/* Content that is larger than any event. */
static void test_large_content(void **state)
{
	struct store_fixture *f = *state;
	struct buf b;

	buf_init(&b, LIMIT_TRANSACTION);
	buf_add(&b, "{\"events\":[");
	buf_add(&b,
		"{\"type\":\"m.room.name\",\"state_key\":\"\",\"room_id\":"
		"\"!r\",\"event_id\":\"$1\",\"origin_server_ts\":1,"
		"\"content\":{\"name\":\"");
	for (size_t i = 0; i < 70000; i++)
		buf_addc(&b, 'n');
	buf_add(&b, "\"}}," STATE("m.room.name", "$2", "2", "{}") "]}");
	struct intake_result r = take(f, "large", buf_str(&b));
	assert_int_equal(r.quarantined, 1);
	assert_int_equal(r.applied, 1);
	buf_free(&b);
}

/* A hundred events of 64 KiB. */
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
	struct intake_result r = take(f, "large", buf_str(&b));
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
	assert_int_equal(take(f, "many", buf_str(&b)).quarantined, 1500);
	assert_int_equal(quarantined(f, &q), 1000);
	assert_int_equal(q[0].index, 0);
	assert_int_equal(q[999].index, 999);
	buf_free(&b);
}

/* --- bad bodies -------------------------------------------------------------------- */

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
		{ "{\"events\":[{\"type\":\"\xff\"}]}", true },
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
		{ "{\"a\":{\"events\":[]}}", false },
	};
	struct store_fixture *f = *state;
	struct intake_result r;
	char txn[20];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *body = cases[i].body;

		snprintf(txn, sizeof(txn), "t%zu", i);
		enum rc rc = try_n(f, txn, body, strlen(body), &r);
		if (rc != RC_INVALID || r.not_json != cases[i].not_json)
			fail_msg("'%s': %s, not_json %d", body, rc_words(rc),
				r.not_json);
		assert_true(f->e.text[0] != '\0');
		/* not remembered: a good one of the same id counts */
		assert_false(take(f, txn, TXN("")).repeated);
	}
}

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
		{ "{\"events\":1,\"events\":[{\"type\":\"a\"}]}", 1 },
		{ "{\"events\":[{\"type\":\"a\"},{\"type\":\"]}\\\\\"}]}", 2 },
		{ "{\"events\":[ {\"type\":\"\\\"\"} , {\"type\":\"b\"} ]}",
			2 },
	};
	struct store_fixture *f = *state;
	char txn[20];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(txn, sizeof(txn), "t%zu", i);
		struct intake_result r = take(f, txn, cases[i].body);
		if (r.events != cases[i].events || r.quarantined)
			fail_msg("%s: %zu events, %zu bad", cases[i].body,
				r.events, r.quarantined);
	}
}

/* Cut off anywhere, it is refused; the last byte makes it whole. */
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
		if (try_n(f, txn, part, n, &r) != RC_INVALID || !r.not_json)
			fail_msg("%zu bytes were taken", n);
		free(part);
	}
	assert_null(membership(f, A));
	assert_int_equal(take(f, "t", body).events, 2);
}

/* The third time it is set aside, so that the queue moves. */
static void test_third_time(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	struct intake_result r;
	static const char bad[] = "{\"events\":[\xff\0x";

	assert_rc(try_n(f, "t", bad, sizeof(bad) - 1, &r), RC_INVALID);
	assert_rc(try_n(f, "t", bad, sizeof(bad) - 1, &r), RC_INVALID);
	assert_int_equal(quarantined(f, &q), 0);
	store_fixture_reopen(f);
	assert_rc(try_n(f, "t", bad, sizeof(bad) - 1, &r), RC_OK);
	assert_int_equal(r.quarantined, 1);
	assert_false(r.repeated);
	assert_int_equal(quarantined(f, &q), 1);
	assert_int_equal(q[0].index, -1);
	assert_string_equal(q[0].txn_id, "t");
	assert_string_equal(q[0].bytes, "{\"events\":[??x");
	/* Once more: our answer was lost. */
	assert_rc(try_n(f, "t", bad, sizeof(bad) - 1, &r), RC_OK);
	assert_true(r.repeated);
	assert_int_equal(quarantined(f, &q), 1);
	/* Only attempts in a row count. */
	assert_rc(try_n(f, "u", "{", 1, &r), RC_INVALID);
	assert_rc(try_n(f, "u", "{", 1, &r), RC_INVALID);
	assert_rc(try_n(f, "v", "{", 1, &r), RC_INVALID);
	assert_rc(try_n(f, "u", "{", 1, &r), RC_INVALID);
	/* An id may have spaces in it. */
	assert_rc(try_n(f, "a b", "{", 1, &r), RC_INVALID);
	assert_rc(try_n(f, "a b", "{", 1, &r), RC_INVALID);
	assert_rc(try_n(f, "a b", "{", 1, &r), RC_OK);
}

/* --- what is answered ----------------------------------------------------------------- */

static int pings, changes;
static char ping_txn[50];

static void on_ping(void *arg, const char *txn)
{
	(void)arg;
	pings++;
	snprintf(ping_txn, sizeof(ping_txn), "%s", txn ? txn : "none");
}

static void on_change(void *arg)
{
	(void)arg;
	changes++;
}

static bool has_user(void *arg, const char *user)
{
	(void)arg;
	return strcmp(user, A) == 0;
}

static bool has_alias(void *arg, const char *alias)
{
	(void)arg;
	return strcmp(alias, "#a/b:hs") == 0;
}

/* Calls the handler of a route as the listener would. */
static int call(struct intake *in, const char *method, const char *pattern,
	const char *param, const char *body, const char *want)
{
	struct http_call c = {
		.method = method,
		.params = { param },
		.body = body,
		.body_n = strlen(body),
		.server_arg = in,
		.status = 200,
	};
	const struct route *route = NULL;

	for (size_t i = 0; i < intake_n_routes; i++)
		if (!strcmp(intake_routes[i].pattern, pattern))
			route = &intake_routes[i];
	assert_non_null(route);
	assert_string_equal(route->method, method);
	assert_int_equal(route->auth, ROUTE_HS_TOKEN);
	buf_init(&c.answer, LIMIT_DOCUMENT);
	route->handler(&c);
	if (want ? !strstr(buf_str(&c.answer), want) : c.answer.n > 0)
		fail_msg("%s %s: expected %s, found %s", pattern, body,
			want ? want : "nothing", buf_str(&c.answer));
	buf_free(&c.answer);
	return c.status;
}

#define NOW "/_matrix/app/v1"
#define THEN "/_matrix/app/unstable"

static void test_put(void **state)
{
	static const char *const paths[] = {
		NOW "/transactions/{txn}",
		"/transactions/{txn}",
	};
	struct store_fixture *f = *state;
	struct intake in = { .store = f->s, .changed = on_change };
	const char *body = TXN(MEMBER("$1", A, "join", "10"));

	changes = 0;
	/* The old path repeats what the new one has done. */
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_int_equal(
			call(&in, "PUT", paths[i], "t", body, NULL), 200);
	assert_int_equal(changes, 1);
	assert_int_equal(counts(f).repeated, 1);
	assert_int_equal(
		call(&in, "PUT", paths[0], "u", "{", "\"M_NOT_JSON\""), 400);
	assert_int_equal(
		call(&in, "PUT", paths[0], "u", "{}", "\"M_BAD_JSON\""), 400);
	in.store = NULL;
	assert_int_equal(
		call(&in, "PUT", paths[0], "v", body, "\"M_UNKNOWN\""), 503);
}

static void test_ping(void **state)
{
	static const struct {
		const char *body;
		int status;
		const char *txn, *answer;
	} cases[] = {
		{ "{\"transaction_id\":\"meow\"}", 200, "meow", NULL },
		{ "{\"transaction_id\":null}", 200, "none", NULL },
		{ "{\"transaction_id\":5}", 200, "none", NULL },
		{ "{}", 200, "none", NULL },
		{ "", 200, "none", NULL },
		{ "{", 400, NULL, "\"M_NOT_JSON\"" },
		{ "[]", 400, NULL, "\"M_BAD_JSON\"" },
		{ "\"x\"", 400, NULL, "\"M_BAD_JSON\"" },
	};
	struct intake in = { .pinged = on_ping };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pings = 0;
		assert_int_equal(call(&in, "POST", NOW "/ping", NULL,
					 cases[i].body, cases[i].answer),
			cases[i].status);
		assert_int_equal(pings, cases[i].txn ? 1 : 0);
		if (cases[i].txn)
			assert_string_equal(ping_txn, cases[i].txn);
	}
	assert_int_equal(call(&in, "POST", THEN "/fi.mau.msc2659/ping", NULL,
				 "{}", NULL),
		200);
}

static void test_queries(void **state)
{
	struct intake in = { .has_user = has_user, .has_alias = has_alias };
	struct intake empty = { 0 };
	const char *no = "\"M_NOT_FOUND\"";

	(void)state;
	assert_int_equal(
		call(&in, "GET", NOW "/users/{user*}", A, "", NULL), 200);
	assert_int_equal(call(&in, "GET", "/users/{user*}", A, "", NULL), 200);
	assert_int_equal(
		call(&in, "GET", NOW "/users/{user*}", "@b:hs", "", no), 404);
	assert_int_equal(
		call(&empty, "GET", NOW "/users/{user*}", A, "", no), 404);
	assert_int_equal(
		call(&in, "GET", NOW "/rooms/{alias*}", "#a/b:hs", "", NULL),
		200);
	assert_int_equal(
		call(&in, "GET", "/rooms/{alias*}", "#b:hs", "", no), 404);
	assert_int_equal(
		call(&empty, "GET", "/rooms/{alias*}", "#b:hs", "", no), 404);
	assert_int_equal(call(&in, "GET", NOW "/thirdparty/protocol/{protocol}",
				 "irc", "", no),
		404);
	assert_int_equal(call(&in, "GET", THEN "/thirdparty/user/{protocol}",
				 "irc", "", no),
		404);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_once),
		STORE_TEST(test_same_id),
		STORE_TEST(test_digest),
		STORE_TEST(test_same_event_twice),
		STORE_TEST(test_concurrent),
		STORE_TEST(test_order),
		STORE_TEST(test_future),
		STORE_TEST(test_state),
		STORE_TEST(test_ignored),
		STORE_TEST(test_odd_ids),
		STORE_TEST(test_bad_events),
		STORE_TEST(test_deep),
		STORE_TEST(test_large_content),
		STORE_TEST(test_large_transaction),
		STORE_TEST(test_many_bad),
		STORE_TEST(test_bad_bodies),
		STORE_TEST(test_good_bodies),
		STORE_TEST(test_cut_off),
		STORE_TEST(test_third_time),
		STORE_TEST(test_put),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_queries),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
