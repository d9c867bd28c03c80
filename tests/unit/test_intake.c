/*
 * Transactions: what is kept of them, what a repetition does, and what is
 * answered.
 */
#include "tests/unit/intake_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

/* --- exactly once --------------------------------------------------------- */

/* AS-53, AS-57. */
static void test_once(void **state)
{
	struct store_fixture *f = *state;
	const char *body = TXN(MEMBER("$1", A, "join", "10"));

	intake_own_room(f);
	struct intake_result r = intake_take(f, "t1", body);
	assert_false(r.repeated);
	assert_true(r.changed);
	assert_int_equal(r.events, 1);
	assert_int_equal(r.applied, 1);
	assert_int_equal(r.quarantined, 0);
	assert_string_equal(intake_membership(f, A), "join");

	r = intake_take(f, "t1", body);
	assert_true(r.repeated);
	assert_false(r.changed);
	assert_int_equal(r.applied, 0);

	/* also after a restart */
	store_fixture_reopen(f);
	r = intake_take(f, "t1", body);
	assert_true(r.repeated);

	struct store_txn_counts c = intake_counts(f);
	assert_int_equal(c.seen, 3);
	assert_int_equal(c.repeated, 2);
	assert_int_equal(c.events, 1);
	assert_int_equal(c.applied, 1);
	assert_int_equal(c.quarantined, 0);
	assert_in_range(
		c.last_ms, clock_wall_ms() - 60000, clock_wall_ms() + 1);
}

/* AS-58, AS-59: what differs in a genuine retry is not in the digest; the ids
 * are. */
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

	assert_false(intake_take(f, "1", first).repeated);
	assert_true(intake_take(f, "1", aged).repeated);
	assert_false(intake_take(f, "1", other).repeated);
	assert_string_equal(intake_membership(f, A), "leave");
	assert_true(intake_take(f, "1", other).repeated);
	assert_false(intake_take(f, "1", two).repeated);
	assert_false(intake_take(f, "1", swapped).repeated);
	/* Events without any id, and none at all. */
	assert_false(intake_take(f, "2", TXN("")).repeated);
	assert_true(intake_take(f, "2", "{\"events\":[],\"ephemeral\":[{}]}")
			    .repeated);
	assert_false(intake_take(f, "2", TXN("{\"type\":\"x\"}")).repeated);
	assert_false(intake_take(f, "2", TXN("{\"type\":\"y\"}")).repeated);
	assert_true(intake_take(f, "2", TXN("{\"type\":\"x\"}")).repeated);
	/* Another id is another transaction. */
	assert_false(intake_take(f, "3", first).repeated);
}

/* SHA-256 of "$1\n?\n$3\n", by sha256sum. */
static void test_digest(void **state)
{
	static const unsigned char want[SHA256_LEN] = {
		0x80,
		0xd5,
		0xb0,
		0x69,
		0x45,
		0x71,
		0x4b,
		0x2a,
		0xf3,
		0x1d,
		0x9a,
		0xe5,
		0x28,
		0x50,
		0xb1,
		0x6e,
		0x34,
		0x21,
		0xff,
		0xf2,
		0x05,
		0xd7,
		0x70,
		0x3d,
		0x37,
		0xd5,
		0x98,
		0x9f,
		0x1e,
		0x05,
		0xbf,
		0x3d,
	};
	struct store_fixture *f = *state;

	intake_take(f, "d", TXN(MESSAGE("$1") ",null," MESSAGE("$3")));
	assert_true(store_txn_seen(f->s, "d", want));
}

/* AS-60: the same event in two transactions changes nothing the second time. */
static void test_same_event_twice(void **state)
{
	struct store_fixture *f = *state;

	intake_own_room(f);
	assert_true(intake_take(f, "1", TXN(MEMBER("$1", A, "join", "10")))
			    .changed);
	assert_true(intake_take(f, "2", TXN(MEMBER("$2", A, "leave", "20")))
			    .changed);
	assert_false(intake_take(f, "3", TXN(MEMBER("$1", A, "join", "10")))
			     .changed);
	assert_string_equal(intake_membership(f, A), "leave");
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

/* AS-54. */
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
	assert_int_equal(intake_counts(f).events, 1);
}

/* --- what events do ------------------------------------------------------- */

/* AS-63. */
static void test_order(void **state)
{
	struct store_fixture *f = *state;

	/* of equal times the later in the list wins */
	intake_take(f, "1",
		TXN(MEMBER("$1", A, "invite", "10") "," MEMBER(
			"$2", A, "join", "10") "," MEMBER("$3", "@b:hs", "join",
			"10") "," MEMBER("$4", "@b:hs", "ban", "10")));
	assert_string_equal(intake_membership(f, A), "join");
	assert_string_equal(intake_membership(f, "@b:hs"), "ban");
	/* an older one that comes late changes nothing */
	struct intake_result r =
		intake_take(f, "2", TXN(MEMBER("$0", A, "knock", "9")));
	assert_false(r.changed);
	assert_int_equal(r.applied, 1);
	assert_string_equal(intake_membership(f, A), "join");
	intake_take(f, "3", TXN(MEMBER("$5", A, "knock", "11")));
	assert_string_equal(intake_membership(f, A), "knock");
}

/* An event from the future must not win over what comes after it. */
static void test_future(void **state)
{
	struct store_fixture *f = *state;
	char body[1000];

	intake_take(f, "1", TXN(MEMBER("$1", A, "join", "9007199254740991")));
	assert_string_equal(intake_membership(f, A), "join");
	assert_in_range(
		store_fixture_sql(f, "SELECT origin_ts FROM membership"), 1,
		clock_wall_ms());
	clock_sleep_ms(2);
	snprintf(body, sizeof(body), TXN(MEMBER("$2", A, "leave", "%lld")),
		(long long)clock_wall_ms());
	intake_take(f, "2", body);
	assert_string_equal(intake_membership(f, A), "leave");
}

/* The homeserver's clock is ahead of ours, by less than an hour. */
static void test_clock_ahead(void **state)
{
	struct store_fixture *f = *state;
	const int64_t then = clock_wall_ms() + 600000;
	const struct store_membership look = { .room_id = R,
		.user_id = A,
		.membership = "leave",
		.origin_ts = clock_wall_ms(),
		.source = "poll" };
	char body[1000];
	bool changed = false;

	intake_own_room(f);
	snprintf(body, sizeof(body), TXN(MEMBER("$2", A, "join", "%lld")),
		(long long)then);
	intake_take(f, "2", body);
	snprintf(body, sizeof(body), TXN(MEMBER("$1", A, "invite", "%lld")),
		(long long)then - 1000);
	intake_take(f, "1", body); /* late */
	assert_string_equal(intake_membership(f, A), "join");
	/* A look says what is, whatever the clocks say. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_membership_set(f->s, &look, &changed, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_true(changed);
	assert_string_equal(intake_membership(f, A), "leave");
	snprintf(body, sizeof(body), TXN(MEMBER("$3", A, "join", "%lld")),
		(long long)then + 1000);
	intake_take(f, "3", body);
	assert_string_equal(intake_membership(f, A), "join");
}

/* An event that a look has found and that is delivered after all has its own
 * time from then on: the next one is by the same clock. */
static void test_look_before_the_event(void **state)
{
	struct store_fixture *f = *state;
	const int64_t now = clock_wall_ms();
	const struct store_membership look = { .room_id = R,
		.user_id = A,
		.membership = "join",
		.event_id = "$1",
		.origin_ts = now,
		.source = "poll" };
	char body[1000];

	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_membership_set(f->s, &look, NULL, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	snprintf(body, sizeof(body), TXN(MEMBER("$1", A, "join", "%lld")),
		(long long)now - 60000); /* their clock is behind */
	intake_take(f, "1", body);
	snprintf(body, sizeof(body), TXN(MEMBER("$2", A, "leave", "%lld")),
		(long long)now - 50000);
	intake_take(f, "2", body);
	assert_string_equal(intake_membership(f, A), "leave");
}

/* A look that does not find somebody does not know why: an event that comes
 * late does. */
static void test_look_before_a_ban(void **state)
{
	struct store_fixture *f = *state;
	const int64_t now = clock_wall_ms();
	char body[1000];

	snprintf(body, sizeof(body), TXN(MEMBER("$1", A, "join", "%lld")),
		(long long)now - 90000);
	intake_take(f, "1", body);
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_membership_poll(f->s, R, NULL, 0, now, NULL, &f->e),
		f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_string_equal(intake_membership(f, A), "leave");
	/* Of a join it knew better. */
	snprintf(body, sizeof(body), TXN(MEMBER("$2", A, "join", "%lld")),
		(long long)now - 80000);
	intake_take(f, "2", body);
	assert_string_equal(intake_membership(f, A), "leave");
	snprintf(body, sizeof(body), TXN(MEMBER("$3", A, "ban", "%lld")),
		(long long)now - 60000);
	intake_take(f, "3", body);
	assert_string_equal(intake_membership(f, A), "ban");
}

/* Two that have no event with an id are told apart by what is in them. */
static void test_events_without_ids(void **state)
{
	struct store_fixture *f = *state;

	intake_take(f, "t", TXN("{\"type\":\"m.room.member\"}"));
	assert_false(intake_take(f, "t", TXN("null")).repeated);
	assert_true(intake_take(f, "t", TXN("null")).repeated);
	assert_int_equal(intake_counts(f).quarantined, 2);
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

	intake_own_room(f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(body, sizeof(body),
			TXN(STATE("%s", "$%zu", "10", "%s")), cases[i].type, i,
			cases[i].content);
		struct intake_result r = intake_take(f, cases[i].type, body);
		assert_int_equal(r.applied, 1);
		assert_true(r.changed);
		snprintf(sql, sizeof(sql),
			"SELECT count(*) FROM room_state WHERE room_id = '" R
			"' AND type = '%s' AND content = '%s'",
			cases[i].type, cases[i].want);
		assert_int_equal(store_fixture_sql(f, sql), 1);
	}
	/* the same again, later */
	struct intake_result r = intake_take(
		f, "again", TXN(STATE("m.room.join_rules", "$9", "20", "{}")));
	assert_false(r.changed);
}

/* Of what is no room of ours the rows are kept, but the plan is not woken. */
static void test_others_rooms(void **state)
{
	struct store_fixture *f = *state;
	const char *body = TXN(MEMBER("$1", A, "join", "10"));

	assert_false(intake_take(f, "1", body).changed);
	assert_string_equal(intake_membership(f, A), "join");
	intake_own_room(f);
	body = TXN(MEMBER("$2", A, "leave", "20"));
	assert_true(intake_take(f, "2", body).changed);
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_room_lost(f->s, "#r:hs", &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	body = TXN(MEMBER("$3", A, "join", "30"));
	assert_false(intake_take(f, "3", body).changed);
}

#define REDACTION(id, redacts)                                                 \
	"{\"type\":\"m.room.redaction\",\"event_id\":\"" id                    \
	"\",\"room_id\":\"" R "\",\"sender\":\"@s:hs\","                       \
	"\"origin_server_ts\":99," redacts "}"

/* What a redacted event said is gone, but for what a redaction leaves. */
static void test_redaction(void **state)
{
	static const struct {
		const char *type, *content, *left;
	} cases[] = {
		{ "m.room.name", "{\"name\":\"Bar\"}", "{}" },
		{ "m.room.canonical_alias", "{\"alias\":\"#x:hs\"}", "{}" },
		{ "m.room.tombstone", "{\"replacement_room\":\"!n\"}", "{}" },
		{ "m.room.join_rules", "{\"join_rule\":\"invite\",\"x\":1}",
			"{\"join_rule\":\"invite\"}" },
		{ "m.room.power_levels",
			"{\"users\":{\"@a:hs\":100},\"notifications\":{}}",
			"{\"users\":{\"@a:hs\":100}}" },
	};
	struct store_fixture *f = *state;
	char body[1000], sql[1000], txn[20], id[24];
	struct store_state state_of;

	intake_own_room(f);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool now = i % 2 == 0; /* as in room versions from 11 on */

		snprintf(body, sizeof(body),
			TXN(STATE("%s", "$e%zu", "10", "%s")), cases[i].type, i,
			cases[i].content);
		snprintf(txn, sizeof(txn), "s%zu", i);
		intake_take(f, txn, body);
		snprintf(body, sizeof(body),
			TXN(REDACTION("$r%zu", "%s\"redacts\":\"$e%zu\"%s")), i,
			now ? "\"content\":{" : "\"content\":{},", i,
			now ? "}" : "");
		snprintf(txn, sizeof(txn), "r%zu", i);
		assert_true(intake_take(f, txn, body).changed);
		snprintf(sql, sizeof(sql),
			"SELECT count(*) FROM room_state WHERE room_id = '" R
			"' AND type = '%s' AND content = '%s'",
			cases[i].type, cases[i].left);
		if (store_fixture_sql(f, sql) != 1)
			fail_msg("%s is not redacted", cases[i].type);
		/* It is not looked at again, however often it is redacted. */
		snprintf(id, sizeof(id), "$e%zu", i);
		assert_rc(store_state_of_event(
				  f->s, R, id, &f->a, &state_of, NULL),
			RC_NOT_FOUND);
	}
	/* Of an event that is not ours to know, and one that is replaced. */
	assert_int_equal(
		intake_take(f, "u",
			TXN(REDACTION("$u",
				"\"content\":{\"redacts\":\"$unknown\"}")))
			.applied,
		1);
	intake_take(f, "n",
		TXN(STATE("m.room.name", "$n", "20", "{\"name\":\"New\"}")));
	assert_false(intake_take(f, "o",
		TXN(REDACTION("$o", "\"content\":{\"redacts\":\"$e0\"}")))
			     .changed);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT content ->> '$.name' = 'New' FROM "
				 "room_state WHERE type = 'm.room.name'"),
		1);
	/* A look that finds the same does not know of which event it is. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_state_set(f->s, R, "m.room.name", "{\"name\":\"New\"}",
			  NULL, NULL, 30, NULL, &f->e),
		f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	/* What is redacted does not come back. */
	assert_true(intake_take(f, "p",
		TXN(REDACTION("$p", "\"content\":{\"redacts\":\"$n\"}")))
			    .changed);
	assert_false(intake_take(f, "q",
		TXN(STATE("m.room.name", "$n", "20", "{\"name\":\"New\"}")))
			     .changed);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT content = '{}' FROM room_state "
				 "WHERE type = 'm.room.name'"),
		1);
}

/* AS-62, AS-66: no row for what nobody asks for, and no fault in it either. */
static void test_ignored(void **state)
{
	static const char *const events[] = {
		MESSAGE("$1"),
		"{\"type\":\"m.room.message\"}",
		"{\"type\":\"m.room.avatar\",\"state_key\":\"\"}",
		"{\"type\":\"x.y\",\"state_key\":5,\"content\":null}",
		"{\"type\":\"x\",\"event_id\":1e400,\"content\":1.5}",
		"{\"type\":\"\"}",
		/* not state: no state key */
		"{\"type\":\"m.room.name\",\"content\":{\"name\":\"x\"}}",
		/* state, but not the room's own */
		"{\"type\":\"m.room.name\",\"state_key\":\"x\"}",
	};
	struct store_fixture *f = *state;
	char body[1000], txn[20];

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		snprintf(body, sizeof(body), TXN("%s"), events[i]);
		snprintf(txn, sizeof(txn), "%zu", i);
		struct intake_result r = intake_take(f, txn, body);
		if (r.events != 1 || r.applied || r.quarantined || r.changed)
			fail_msg("not ignored: %s", events[i]);
	}
	assert_int_equal(store_fixture_sql(f,
				 "SELECT (SELECT count(*) FROM membership) + "
				 "(SELECT count(*) FROM room_state)"),
		0);
}

/* AS-142, AS-143, AS-145, AS-146, AS-151: ids as homeservers have made them
 * since 2014. */
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
		assert_int_equal(intake_take(f, users[i], body).applied, 1);
		assert_string_equal(intake_membership(f, users[i]), "join");
	}
	/* a room id without a server (room version 12) */
	intake_take(f, "v12",
		TXN("{\"type\":\"m.room.member\",\"event_id\":\"$x\","
		    "\"room_id\":\"!abc-_\",\"sender\":\"" A
		    "\",\"state_key\":\"" A "\",\"origin_server_ts\":0,"
		    "\"content\":{\"membership\":\"join\"}}"));
	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM membership WHERE "
				 "room_id = '!abc-_'"),
		1);
}

/* --- every order ---------------------------------------------------------- */

#define HISTORY 6
#define ORDERS 720

/* Two are of the same time: of these the later to arrive is what is. */
static const struct {
	const char *membership;
	int ts;
} histories[][HISTORY] = {
	{ { "invite", 10 }, { "join", 20 }, { "leave", 30 }, { "invite", 40 },
		{ "leave", 50 }, { "join", 50 } },
	{ { "invite", 10 }, { "join", 20 }, { "leave", 30 }, { "invite", 30 },
		{ "join", 40 }, { "ban", 50 } },
};

/* All numbers of six digits in base six, less those with a repeat. */
static size_t all_orders(int orders[ORDERS][HISTORY])
{
	size_t n = 0;

	for (int number = 0; number < 6 * 6 * 6 * 6 * 6 * 6; number++) {
		int order[HISTORY];
		unsigned used = 0;
		for (int i = 0, rest = number; i < HISTORY; i++, rest /= 6) {
			order[i] = rest % 6;
			used |= 1U << order[i];
		}
		if (used == 0x3f)
			memcpy(orders[n++], order, sizeof(order));
	}
	return n;
}

/* Of each order a user's; each time the next event of all of them. */
static void take_nth(struct store_fixture *f, size_t history,
	int orders[ORDERS][HISTORY], size_t nth)
{
	struct buf body;
	char txn[40];

	buf_init(&body, LIMIT_TRANSACTION);
	buf_addf(&body, "{\"events\":[");
	for (size_t i = 0; i < ORDERS; i++) {
		int k = orders[i][nth];
		buf_addf(&body,
			"%s" MEMBER("$%zu.%d", "@%zu.%zu:hs", "%s", "%d"),
			i ? "," : "", i, k, history, i,
			histories[history][k].ts,
			histories[history][k].membership);
	}
	buf_addf(&body, "]}");
	snprintf(txn, sizeof(txn), "%zu.%zu", history, nth);
	assert_int_equal(intake_take(f, txn, buf_str(&body)).applied, ORDERS);
	buf_free(&body);
}

static size_t place_of(const int order[HISTORY], int event)
{
	size_t i = 0;

	while (order[i] != event)
		i++;
	return i;
}

static void test_every_order(void **state)
{
	static int orders[ORDERS][HISTORY];
	struct store_fixture *f = *state;
	char user[40];
	size_t joined = 0;

	assert_int_equal(all_orders(orders), ORDERS);
	for (size_t history = 0; history < ARRAY_LEN(histories); history++)
		for (size_t nth = 0; nth < HISTORY; nth++)
			take_nth(f, history, orders, nth);
	for (size_t i = 0; i < ORDERS; i++) {
		/* the first: whichever of "leave" and "join" came later */
		bool join = place_of(orders[i], 5) > place_of(orders[i], 4);
		snprintf(user, sizeof(user), "@0.%zu:hs", i);
		assert_string_equal(
			intake_membership(f, user), join ? "join" : "leave");
		joined += join;
		/* the second: the last, whatever happened before it */
		snprintf(user, sizeof(user), "@1.%zu:hs", i);
		assert_string_equal(intake_membership(f, user), "ban");
	}
	assert_int_equal(joined, ORDERS / 2);
}

/* --- what else a transaction may have --------------------------------------- */

/* AS-72, AS-78, AS-79: counted, whatever it looks like, and never a reason to
 * refuse; AS-77: of two names for one thing the stable one counts. */
static void test_extras(void **state)
{
	static const struct {
		const char *members;
		int ephemeral, to_device, device_lists, key_counts;
	} cases[] = {
		{ "\"ephemeral\":[]", 0, 0, 0, 0 },
		{ "\"ephemeral\":[{\"type\":\"m.typing\"},null,5,\"]\",[1,2]]",
			5, 0, 0, 0 },
		{ "\"de.sorunome.msc2409.ephemeral\" : [ {} , {} ] ", 2, 0, 0,
			0 },
		{ "\"ephemeral\":[1],\"de.sorunome.msc2409.ephemeral\":[1,2,3]",
			1, 0, 0, 0 },
		{ "\"de.sorunome.msc2409.ephemeral\":[1,2,3],\"ephemeral\":[1]",
			1, 0, 0, 0 },
		{ "\"de.sorunome.msc2409.ephemeral\":[1,2],\"ephemeral\":[]", 0,
			0, 0, 0 },
		{ "\"ephemeral\":{},\"de.sorunome.msc2409.ephemeral\":[1,2]", 0,
			0, 0, 0 },
		{ "\"ephemeral\":[1],\"ephemeral\":[1,2]", 2, 0, 0, 0 },
		{ "\"ephemeral\":\"x\",\"to_device\":null", 0, 0, 0, 0 },
		{ "\"ephemeral\":1.5,\"to_device\":{\"a\":[1]}", 0, 0, 0, 0 },
		{ "\"to_device\":[{\"to_user_id\":\"@a:hs\"}]", 0, 1, 0, 0 },
		{ "\"de.sorunome.msc2409.to_device\":[{},{}]", 0, 2, 0, 0 },
		{ "\"de.sorunome.msc2409.to_device\":[{},{}],\"to_device\":[1]",
			0, 1, 0, 0 },
		{ "\"device_lists\":{\"changed\":[\"@a:hs\",\"@b:hs\"],"
		  "\"left\":[\"@c:hs\"],\"removed\":[1,2,3,4]}",
			0, 0, 3, 0 },
		{ "\"org.matrix.msc3202.device_lists\":{\"left\":[1]}", 0, 0, 1,
			0 },
		{ "\"device_lists\":[1,2]", 0, 0, 0, 0 },
		{ "\"device_lists\":{\"changed\":{\"a\":1},\"left\":5}", 0, 0,
			0, 0 },
		{ "\"device_one_time_keys_count\":{\"@a:hs\":{\"D\":"
		  "{\"curve25519\":5}},\"@b:hs\":{}}",
			0, 0, 0, 2 },
		/* Synapse sends both spellings. */
		{ "\"org.matrix.msc3202.device_one_time_keys_count\":"
		  "{\"@a:hs\":{},\"@b:hs\":{}},"
		  "\"org.matrix.msc3202.device_one_time_key_counts\":"
		  "{\"@a:hs\":{},\"@b:hs\":{}}",
			0, 0, 0, 2 },
		{ "\"org.matrix.msc3202.device_one_time_key_counts\":"
		  "{\"@a:hs\":{}}",
			0, 0, 0, 1 },
		{ "\"device_one_time_keys_count\":{\"@a:hs\":{}},"
		  "\"org.matrix.msc3202.device_unused_fallback_key_types\":"
		  "{\"@a:hs\":{},\"@b:hs\":{}}",
			0, 0, 0, 3 },
		{ "\"device_unused_fallback_key_types\":[\"x\"]", 0, 0, 0, 0 },
		/* AS-70: what nobody knows */
		{ "\"x.y\":{\"ephemeral\":[1]},\"ephemeral_\":[1],"
		  "\"Ephemeral\":[1],\"\":[1]",
			0, 0, 0, 0 },
	};
	struct store_fixture *f = *state;
	struct store_txn_counts before = { 0 };
	char body[1000], txn[20];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int end = 0; end < 2; end++) {
			snprintf(txn, sizeof(txn), "t%zu.%d", i, end);
			snprintf(body, sizeof(body),
				end ? "{\"events\":[" MESSAGE("$1") "],%s}"
				    : "{%s,\"events\":[" MESSAGE("$1") "]}",
				cases[i].members);
			assert_int_equal(intake_take(f, txn, body).events, 1);
			/* AS-53: once only */
			assert_true(intake_take(f, txn, body).repeated);
		}
		struct store_txn_counts c = intake_counts(f);
		if (c.ephemeral - before.ephemeral != 2 * cases[i].ephemeral ||
			c.to_device - before.to_device !=
				2 * cases[i].to_device ||
			c.device_lists - before.device_lists !=
				2 * cases[i].device_lists ||
			c.key_counts - before.key_counts !=
				2 * cases[i].key_counts)
			fail_msg("%s: %d %d %d %d", cases[i].members,
				(int)(c.ephemeral - before.ephemeral),
				(int)(c.to_device - before.to_device),
				(int)(c.device_lists - before.device_lists),
				(int)(c.key_counts - before.key_counts));
		assert_int_equal(c.quarantined, 0);
		before = c;
	}
	/* AS-58: with no event in either they are one and the same. */
	intake_take(f, "e", "{\"events\":[],\"ephemeral\":[1]}");
	assert_true(intake_take(f, "e", "{\"events\":[],\"ephemeral\":[2,3]}")
			    .repeated);
	assert_int_equal(intake_counts(f).ephemeral, before.ephemeral + 1);
}

/* --- what is answered ----------------------------------------------------- */

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

static enum rc need_user(void *arg, const char *user, struct err *e)
{
	if (strcmp(user, A) == 0)
		return RC_OK;
	return err_set(e, arg ? *(enum rc *)arg : RC_NOT_FOUND, "not there");
}

static enum rc has_alias(void *arg, const char *alias, struct err *e)
{
	if (strcmp(alias, "#a/b:hs") == 0)
		return RC_OK;
	return err_set(e, arg ? *(enum rc *)arg : RC_NOT_FOUND, "not there");
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
	assert_true(route->flags & ROUTE_HS_TOKEN);
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

/* AS-51, AS-56. */
static void test_put(void **state)
{
	static const char *const paths[] = {
		NOW "/transactions/{txn}",
		"/transactions/{txn}",
	};
	struct store_fixture *f = *state;
	struct intake in = { .store = f->s, .changed = on_change };
	const char *body = TXN(MEMBER("$1", A, "join", "10"));

	intake_own_room(f);
	changes = 0;
	/* The old path repeats what the new one has done. */
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		assert_int_equal(
			call(&in, "PUT", paths[i], "t", body, NULL), 200);
	assert_int_equal(changes, 1);
	assert_int_equal(intake_counts(f).repeated, 1);
	assert_int_equal(
		call(&in, "PUT", paths[0], "u", "{", "\"M_NOT_JSON\""), 400);
	assert_int_equal(
		call(&in, "PUT", paths[0], "u", "{}", "\"M_BAD_JSON\""), 400);
	in.store = NULL;
	assert_int_equal(
		call(&in, "PUT", paths[0], "v", body, "\"M_UNKNOWN\""), 503);
}

/* AS-83, AS-84. */
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

/* AS-91, AS-91a. */
static void test_queries(void **state)
{
	struct store_fixture *f = *state;
	struct intake in = {
		.store = f->s, .need_user = need_user, .has_alias = has_alias
	};
	struct intake empty = { 0 };
	const char *no = "\"M_NOT_FOUND\"", *later = "\"M_UNKNOWN\"";

	assert_int_equal(
		call(&in, "GET", NOW "/users/{user*}", A, "", NULL), 200);
	assert_int_equal(call(&in, "GET", "/users/{user*}", A, "", NULL), 200);
	assert_int_equal(
		call(&in, "GET", NOW "/users/{user*}", "@b:hs", "", no), 404);
	assert_int_equal(
		call(&empty, "GET", NOW "/users/{user*}", A, "", later), 503);
	assert_int_equal(
		call(&in, "GET", NOW "/rooms/{alias*}", "#a/b:hs", "", NULL),
		200);
	assert_int_equal(
		call(&in, "GET", "/rooms/{alias*}", "#b:hs", "", no), 404);
	assert_int_equal(
		call(&empty, "GET", "/rooms/{alias*}", "#b:hs", "", later),
		503);
	assert_int_equal(call(&in, "GET", NOW "/thirdparty/protocol/{protocol}",
				 "irc", "", no),
		404);
	assert_int_equal(call(&in, "GET", THEN "/thirdparty/user/{protocol}",
				 "irc", "", no),
		404);
}

/* AS-91c: never 200, and no 4xx either, whatever it was that failed. */
static void test_queries_that_cannot_be_answered(void **state)
{
	static const struct {
		enum rc rc;
		int status;
	} cases[] = {
		{ RC_NOT_FOUND, 404 },
		{ RC_NOMEM, 500 },
		{ RC_IO, 500 },
		{ RC_CORRUPT, 500 },
		{ RC_NETWORK, 502 },
		{ RC_REMOTE, 502 },
		{ RC_INVALID, 502 },
		{ RC_EXISTS, 502 },
		{ RC_TOO_LARGE, 502 },
		{ RC_UNAUTHORIZED, 502 },
		{ RC_FORBIDDEN, 502 },
		{ RC_EXCLUSIVE, 502 },
		{ RC_LIMITED, 502 },
		{ RC_BUSY, 503 },
		{ RC_PENDING, 503 },
		{ RC_STOPPING, 503 },
		{ RC_TIMEOUT, 504 },
	};
	struct store_fixture *f = *state;
	enum rc rc = RC_OK;
	struct intake in = { .store = f->s,
		.need_user = need_user,
		.has_alias = has_alias,
		.arg = &rc };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *code = cases[i].status == 404 ? "\"M_NOT_FOUND\""
							  : "\"M_UNKNOWN\"";
		rc = cases[i].rc;
		assert_int_equal(call(&in, "GET", NOW "/users/{user*}", "@b:hs",
					 "", code),
			cases[i].status);
		assert_int_equal(
			call(&in, "GET", "/rooms/{alias*}", "#b:hs", "", code),
			cases[i].status);
	}
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
		STORE_TEST(test_clock_ahead),
		STORE_TEST(test_look_before_the_event),
		STORE_TEST(test_look_before_a_ban),
		STORE_TEST(test_events_without_ids),
		STORE_TEST(test_every_order),
		STORE_TEST(test_state),
		STORE_TEST(test_others_rooms),
		STORE_TEST(test_redaction),
		STORE_TEST(test_ignored),
		STORE_TEST(test_odd_ids),
		STORE_TEST(test_extras),
		STORE_TEST(test_put),
		cmocka_unit_test(test_ping),
		STORE_TEST(test_queries),
		STORE_TEST(test_queries_that_cannot_be_answered),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
