/*
 * What is in quarantine, read again: as after an upgrade that reads more, the
 * rows hold what can be read by now.
 */
#include "tests/unit/intake_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#include "base/poison.h"

#define RECEIVED 5000

/* Puts a row into quarantine; its id. */
static int64_t keep(
	struct store_fixture *f, int64_t index, const char *bytes, bool partial)
{
	const struct store_quarantined row = { .txn_id = "old",
		.index = index,
		.bytes = bytes,
		.reason = "as it was",
		.received_ms = RECEIVED,
		.partial = partial };

	WRITE(f, store_quarantine_add(f->s, &row, &f->e));
	return store_fixture_sql(f, "SELECT max(id) FROM quarantine");
}

static struct intake_retry again(struct store_fixture *f, int64_t id)
{
	struct intake_retry r = { 0 };

	assert_ok(intake_retry(f->s, id, &f->a, &r, &f->e), f->e);
	return r;
}

static struct store_audit newest_audit(struct store_fixture *f)
{
	struct store_audit *rows = NULL;
	size_t n = 0;

	assert_ok(store_audit_list(f->s, 1, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 1);
	return rows[0];
}

static void test_event(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	int64_t other = keep(f, 4, "3", false);
	int64_t id = keep(f, 3, MEMBER("$1", A, "join", "10"), false);

	intake_own_room(f);
	struct intake_retry r = again(f, id);
	assert_true(r.left);
	assert_true(r.changed);
	assert_int_equal(r.events, 1);
	assert_int_equal(r.applied, 1);
	assert_null(r.reason);
	assert_string_equal(intake_membership(f, A), "join");
	assert_int_equal(intake_quarantined(f, &q), 1);
	assert_int_equal(q[0].id, other);
	/* It is no transaction, and its event was counted when it came. */
	struct store_txn_counts c = intake_counts(f);
	assert_int_equal(c.seen, 0);
	assert_int_equal(c.events, 0);
	assert_int_equal(c.applied, 1);
	assert_int_equal(c.last_ms, 0);
	struct store_audit row = newest_audit(f);
	assert_string_equal(row.actor, "operator");
	assert_string_equal(row.action, "quarantine_retry");
	assert_string_equal(row.subject, "2");
	assert_non_null(strstr(row.detail, "1 applied"));
	/* A second time there is nothing. */
	assert_rc(intake_retry(f->s, id, &f->a, &r, &f->e), RC_NOT_FOUND);
	assert_non_null(strstr(f->e.text, "no 2 in the quarantine"));
	assert_int_equal(store_fixture_sql(f, "SELECT count(*) FROM audit"), 1);
}

/* What came later has won already; and it came when it came, not now. */
static void test_time(void **state)
{
	struct store_fixture *f = *state;

	intake_own_room(f);
	intake_take(f, "t", TXN(MEMBER("$2", A, "leave", "20")));
	struct intake_retry r =
		again(f, keep(f, 0, MEMBER("$1", A, "join", "10"), false));
	assert_true(r.left);
	assert_false(r.changed);
	assert_int_equal(r.applied, 1);
	assert_string_equal(intake_membership(f, A), "leave");
	r = again(f,
		keep(f, 0, MEMBER("$3", A, "ban", "9007199254740991"), false));
	assert_true(r.changed);
	assert_int_equal(
		store_fixture_sql(f, "SELECT origin_ts FROM membership"),
		RECEIVED);
}

/* What nobody asks for can be read, too. */
static void test_ignored(void **state)
{
	struct store_fixture *f = *state;

	struct intake_retry r = again(f, keep(f, 0, MESSAGE("$1"), false));
	assert_true(r.left);
	assert_int_equal(r.events, 1);
	assert_int_equal(r.applied, 0);
	assert_int_equal(intake_counts(f).applied, 0);
}

static void test_stays(void **state)
{
	static const struct {
		int64_t index;
		const char *bytes, *reason;
	} cases[] = {
		{ 0, "3", "expected an object, found an integer" },
		{ 0, "nothing", "expected a value" },
		{ 0, MEMBER("$1", A, "joined", "1"), "membership: expected" },
		{ -1, "{\"events\":[", "the body is not JSON" },
		{ -1, "{}", "events: expected an array" },
	};
	struct store_fixture *f = *state;
	struct store_quarantined row = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t id = keep(f, cases[i].index, cases[i].bytes, false);
		struct intake_retry r = again(f, id);
		assert_false(r.left);
		assert_false(r.changed);
		if (!strstr(r.reason, cases[i].reason))
			fail_msg("%s: %s", cases[i].bytes, r.reason);
		assert_ok(store_quarantine_get(f->s, id, &f->a, &row, &f->e),
			f->e);
		assert_string_equal(row.reason, r.reason);
		assert_string_equal(row.bytes, cases[i].bytes);
		assert_non_null(strstr(newest_audit(f).detail, "stays: "));
		assert_non_null(
			strstr(newest_audit(f).detail, cases[i].reason));
	}
	assert_int_equal(store_fixture_sql(f, "SELECT count(*) FROM audit"),
		ARRAY_LEN(cases));
	assert_null(intake_membership(f, A));
	assert_int_equal(intake_counts(f).applied, 0);
}

/* What was cut off, or made text, is not what came. */
static void test_partial(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined row = { 0 };
	int64_t id = keep(f, 0, MEMBER("$1", A, "join", "10"), true);

	struct intake_retry r = again(f, id);
	assert_false(r.left);
	assert_non_null(strstr(r.reason, "not all that came"));
	assert_ok(store_quarantine_get(f->s, id, &f->a, &row, &f->e), f->e);
	assert_string_equal(row.reason, "as it was");
	assert_null(intake_membership(f, A));
}

/* A whole transaction: each of its events, and it is known from now on. */
static void test_whole(void **state)
{
	static const char body[] = "{\"events\":[" MEMBER("$1", A, "join",
		"10") ",5," MESSAGE("$2") "],\"ephemeral\":[{},{}]}";
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;

	intake_own_room(f);
	struct intake_retry r = again(f, keep(f, -1, body, false));
	assert_true(r.left);
	assert_true(r.changed);
	assert_int_equal(r.events, 3);
	assert_int_equal(r.applied, 1);
	assert_int_equal(r.quarantined, 1);
	assert_string_equal(intake_membership(f, A), "join");
	assert_int_equal(intake_quarantined(f, &q), 1);
	assert_string_equal(q[0].txn_id, "old");
	assert_int_equal(q[0].index, 1);
	assert_string_equal(q[0].bytes, "5");
	assert_int_equal(q[0].received_ms, RECEIVED);
	struct store_txn_counts c = intake_counts(f);
	assert_int_equal(c.seen, 0);
	assert_int_equal(c.events, 3);
	assert_int_equal(c.applied, 1);
	assert_int_equal(c.quarantined, 1);
	assert_int_equal(c.ephemeral, 2);
	/* The homeserver sends it once more. */
	assert_true(intake_take(f, "old", body).repeated);
	/* It had come already in the meantime. */
	r = again(f, keep(f, -1, body, false));
	assert_true(r.left);
	assert_int_equal(intake_counts(f).events, 3);
	assert_int_equal(intake_quarantined(f, &q), 1);
}

/* All of it or nothing: here the audit log cannot be written. */
static void test_one_commit(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined *q = NULL;
	struct intake_retry r = { .events = 99 };
	int64_t id = keep(f, 0, MEMBER("$1", A, "join", "10"), false);

	store_fixture_sql(f,
		"CREATE TRIGGER full BEFORE INSERT ON audit BEGIN "
		"SELECT raise(ABORT, 'full'); END");
	assert_int_not_equal(intake_retry(f->s, id, &f->a, &r, &f->e), RC_OK);
	assert_int_equal(r.events, 99);
	assert_null(intake_membership(f, A));
	assert_int_equal(intake_quarantined(f, &q), 1);
	assert_int_equal(intake_counts(f).applied, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_event),
		STORE_TEST(test_time),
		STORE_TEST(test_ignored),
		STORE_TEST(test_stays),
		STORE_TEST(test_partial),
		STORE_TEST(test_whole),
		STORE_TEST(test_one_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
