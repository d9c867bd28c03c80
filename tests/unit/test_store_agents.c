/*
 * tests/unit/test_store_agents.c: agents and their states; transactions,
 * quarantine, audit.
 */
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/poison.h"

#define ANNA "@anna:example.org"
#define BERT "@bert:example.org"
#define SHA_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define SHA_2 "2222222222222222222222222222222222222222222222222222222222222222"

static const struct store_agent anna = {
	.user_id = ANNA,
	.name = "Anna",
	.department = "Lab",
	.team = "Glass",
	.level = "IC",
};
static const struct store_agent sender = {
	.user_id = "@muster:example.org",
	.sender = true,
};

static void declare_both(struct store_fixture *f)
{
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_declare_begin(f->s, &f->e), f->e);
	assert_ok(store_agent_declare(f->s, &sender, 100, &f->e), f->e);
	assert_ok(store_agent_declare(f->s, &anna, 100, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
}

/* The agent of an id as the snapshot has it. */
static const struct store_agent *agent(
	struct store_fixture *f, const char *user_id)
{
	struct store_snapshot all;

	assert_ok(store_snapshot(f->s, &f->a, &all, &f->e), f->e);
	for (size_t i = 0; i < all.n_agents; i++)
		if (strcmp(all.agents[i].user_id, user_id) == 0)
			return &all.agents[i];
	fail_msg("no agent %s", user_id);
	return NULL;
}

static void test_declare(void **state)
{
	struct store_fixture *f = *state;
	struct store_snapshot all;

	declare_both(f);
	assert_ok(store_snapshot(f->s, &f->a, &all, &f->e), f->e);
	assert_int_equal(all.n_agents, 2);
	const struct store_agent *a = &all.agents[0], *m = &all.agents[1];
	assert_string_equal(a->user_id, ANNA);
	assert_string_equal(a->name, "Anna");
	assert_string_equal(a->department, "Lab");
	assert_string_equal(a->team, "Glass");
	assert_string_equal(a->level, "IC");
	assert_false(a->sender);
	assert_true(a->declared);
	assert_int_equal(a->state, AGENT_DECLARED);
	assert_int_equal(a->since_ms, 100);
	assert_null(a->device_id);
	assert_int_equal(a->generation, 0);
	assert_int_equal(a->acked_generation, 0);
	assert_null(a->shown_name);
	assert_null(a->token_sha256);
	assert_null(a->error);
	assert_false(a->token_in_hand);
	assert_string_equal(m->user_id, "@muster:example.org");
	assert_true(m->sender);
	assert_null(m->name);
	assert_null(m->department);
}

static void test_declare_again(void **state)
{
	struct store_fixture *f = *state;
	struct store_agent moved = anna;

	declare_both(f);
	WRITE(f, store_agent_state(f->s, ANNA, AGENT_REGISTERED, 200, &f->e));
	moved.department = "Field";
	moved.team = NULL;
	WRITE(f, store_agent_declare(f->s, &moved, 300, &f->e));
	const struct store_agent *a = agent(f, ANNA);
	assert_string_equal(a->department, "Field");
	assert_null(a->team);
	assert_int_equal(a->state, AGENT_REGISTERED);
	assert_int_equal(a->since_ms, 200);

	/* Who is not declared any more stays, undeclared. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_declare_begin(f->s, &f->e), f->e);
	assert_ok(store_agent_declare(f->s, &sender, 400, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_false(agent(f, ANNA)->declared);
	assert_true(agent(f, "@muster:example.org")->declared);
	assert_int_equal(agent(f, ANNA)->state, AGENT_REGISTERED);
}

/* Every state can be stored, and is read as it was written. */
static void test_states(void **state)
{
	static const char *const words[AGENT_STATES] = { "declared",
		"registered", "logged_in", "handed_off", "acknowledged",
		"retired", "blocked" };
	struct store_fixture *f = *state;

	declare_both(f);
	for (int i = AGENT_STATES - 1; i >= 0; i--) {
		enum agent_state st = (enum agent_state)i;
		assert_string_equal(agent_state_name(st), words[i]);
		WRITE(f, store_agent_error(f->s, ANNA, "broken", &f->e));
		assert_string_equal(agent(f, ANNA)->error, "broken");
		WRITE(f, store_agent_state(f->s, ANNA, st, 1000 + i, &f->e));
		const struct store_agent *a = agent(f, ANNA);
		assert_int_equal(a->state, st);
		assert_int_equal(a->since_ms, 1000 + i);
		assert_null(a->error);
	}
	/* The same state again: since when it is so does not change. */
	WRITE(f, store_agent_state(f->s, ANNA, AGENT_DECLARED, 9999, &f->e));
	assert_int_equal(agent(f, ANNA)->since_ms, 1000);
}

static void test_error_and_name(void **state)
{
	struct store_fixture *f = *state;

	declare_both(f);
	WRITE(f, store_agent_error(f->s, ANNA, "no such server", &f->e));
	WRITE(f, store_agent_shown_name(f->s, ANNA, "Anna A.", &f->e));
	assert_string_equal(agent(f, ANNA)->error, "no such server");
	assert_string_equal(agent(f, ANNA)->shown_name, "Anna A.");
	WRITE(f, store_agent_error(f->s, ANNA, NULL, &f->e));
	WRITE(f, store_agent_shown_name(f->s, ANNA, NULL, &f->e));
	assert_null(agent(f, ANNA)->error);
	assert_null(agent(f, ANNA)->shown_name);
}

static void test_login(void **state)
{
	struct store_fixture *f = *state;

	declare_both(f);
	WRITE(f, store_agent_login(f->s, ANNA, "MUSTER", 3, 200, &f->e));
	const struct store_agent *a = agent(f, ANNA);
	assert_int_equal(a->state, AGENT_LOGGED_IN);
	assert_string_equal(a->device_id, "MUSTER");
	assert_int_equal(a->generation, 3);
	assert_int_equal(a->since_ms, 200);
	WRITE_RC(f, store_agent_login(f->s, ANNA, "MUSTER", 3, 300, &f->e),
		RC_EXISTS);
	WRITE_RC(f, store_agent_login(f->s, ANNA, "MUSTER", 2, 300, &f->e),
		RC_EXISTS);
	assert_int_equal(agent(f, ANNA)->generation, 3);
	WRITE(f, store_agent_login(f->s, ANNA, "MUSTER", 4, 300, &f->e));
	assert_int_equal(agent(f, ANNA)->generation, 4);
}

static void test_hand_off(void **state)
{
	struct store_fixture *f = *state;

	declare_both(f);
	WRITE(f, store_agent_login(f->s, ANNA, "MUSTER", 1, 200, &f->e));
	WRITE(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 1, SHA_1, 210, &f->e));
	assert_int_equal(agent(f, ANNA)->state, AGENT_HANDED_OFF);
	assert_int_equal(agent(f, ANNA)->since_ms, 210);
	assert_string_equal(agent(f, ANNA)->token_sha256, SHA_1);
	WRITE(f, store_agent_acked(f->s, ANNA, 1, 220, "openclaw", 230, &f->e));
	assert_int_equal(agent(f, ANNA)->state, AGENT_ACKNOWLEDGED);
	assert_int_equal(agent(f, ANNA)->since_ms, 230);
	assert_int_equal(agent(f, ANNA)->acked_generation, 1);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT acked_ms FROM handoff WHERE "
				 "acked_by = 'openclaw' AND written_ms = 210"),
		220);

	/* The next generation; the old one's late answer changes no state. */
	WRITE(f, store_agent_login(f->s, ANNA, "MUSTER", 2, 300, &f->e));
	assert_string_equal(agent(f, ANNA)->token_sha256, SHA_1);
	WRITE(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 2, SHA_2, 310, &f->e));
	assert_string_equal(agent(f, ANNA)->token_sha256, SHA_2);
	WRITE(f, store_agent_acked(f->s, ANNA, 1, 320, "x", 320, &f->e));
	assert_int_equal(agent(f, ANNA)->state, AGENT_HANDED_OFF);
	assert_int_equal(agent(f, ANNA)->acked_generation, 1);
	WRITE(f, store_agent_acked(f->s, ANNA, 2, 330, NULL, 330, &f->e));
	assert_int_equal(agent(f, ANNA)->state, AGENT_ACKNOWLEDGED);
	assert_int_equal(agent(f, ANNA)->acked_generation, 2);

	/* A late answer takes nothing back. */
	WRITE(f, store_agent_acked(f->s, ANNA, 1, 340, "x", 340, &f->e));
	assert_int_equal(agent(f, ANNA)->acked_generation, 2);

	/* An older writer refuses; an answer to nothing is none. */
	WRITE_RC(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 1, SHA_1, 400, &f->e),
		RC_EXISTS);
	WRITE_RC(f, store_agent_acked(f->s, ANNA, 7, 400, "x", 400, &f->e),
		RC_NOT_FOUND);
	/* A digest it must be, not a token. */
	WRITE_RC(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 3, "syt_abcdef", 400, &f->e),
		RC_INVALID);
	assert_int_equal(agent(f, ANNA)->generation, 2);
}

/* After a lost store a file that is right is taken over with its number. */
static void test_take_over(void **state)
{
	struct store_fixture *f = *state;

	declare_both(f);
	WRITE(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 7, SHA_1, 210, &f->e));
	const struct store_agent *a = agent(f, ANNA);
	assert_int_equal(a->generation, 7);
	assert_string_equal(a->device_id, "MUSTER");
	assert_int_equal(a->state, AGENT_HANDED_OFF);
	/* The same again, as after an interrupted step, is fine. */
	WRITE(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 7, SHA_2, 220, &f->e));
	assert_string_equal(agent(f, ANNA)->token_sha256, SHA_2);
}

static void test_late_answer_unblocks_nobody(void **state)
{
	struct store_fixture *f = *state;

	declare_both(f);
	WRITE(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 1, SHA_1, 210, &f->e));
	WRITE(f, store_agent_state(f->s, ANNA, AGENT_BLOCKED, 220, &f->e));
	WRITE(f, store_agent_error(f->s, ANNA, "revoked", &f->e));
	WRITE(f, store_agent_acked(f->s, ANNA, 1, 230, "x", 230, &f->e));
	assert_int_equal(agent(f, ANNA)->state, AGENT_BLOCKED);
	assert_string_equal(agent(f, ANNA)->error, "revoked");
	assert_int_equal(agent(f, ANNA)->acked_generation, 1);
}

static void test_unknown_agent(void **state)
{
	struct store_fixture *f = *state;

	declare_both(f);
	WRITE_RC(f, store_agent_state(f->s, BERT, AGENT_RETIRED, 1, &f->e),
		RC_NOT_FOUND);
	assert_non_null(strstr(f->e.text, BERT));
	WRITE_RC(f, store_agent_error(f->s, BERT, "x", &f->e), RC_NOT_FOUND);
	WRITE_RC(f, store_agent_shown_name(f->s, BERT, "x", &f->e),
		RC_NOT_FOUND);
	WRITE_RC(f, store_agent_login(f->s, BERT, "MUSTER", 1, 1, &f->e),
		RC_NOT_FOUND);
	WRITE_RC(f,
		store_agent_handed_off(
			f->s, BERT, "MUSTER", 1, SHA_1, 1, &f->e),
		RC_NOT_FOUND);
	WRITE_RC(f, store_agent_acked(f->s, BERT, 1, 1, "x", 1, &f->e),
		RC_NOT_FOUND);
}

static void test_old_hand_offs_leave(void **state)
{
	struct store_fixture *f = *state;

	declare_both(f);
	assert_ok(store_begin(f->s, &f->e), f->e);
	for (int g = 1; g <= 40; g++)
		assert_ok(store_agent_handed_off(
				  f->s, ANNA, "MUSTER", g, SHA_1, g, &f->e),
			f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_int_equal(
		store_fixture_sql(f, "SELECT count(*) FROM handoff"), 16);
	assert_int_equal(
		store_fixture_sql(f, "SELECT min(generation) FROM handoff"),
		25);
}

static void test_one_agent(void **state)
{
	struct store_fixture *f = *state;
	struct store_agent a = { .user_id = "untouched" };
	struct store_agent *rows = NULL;
	size_t n = 9;

	declare_both(f);
	assert_ok(store_agent_get(f->s, ANNA, &f->a, &a, &f->e), f->e);
	assert_string_equal(a.user_id, ANNA);
	assert_string_equal(a.department, "Lab");
	a.user_id = "untouched";
	assert_rc(store_agent_get(f->s, BERT, &f->a, &a, &f->e), RC_NOT_FOUND);
	assert_non_null(strstr(f->e.text, BERT));
	assert_string_equal(a.user_id, "untouched");

	assert_ok(store_agents_unanswered(f->s, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 0);
	WRITE(f,
		store_agent_handed_off(
			f->s, ANNA, "MUSTER", 1, SHA_1, 210, &f->e));
	assert_ok(store_agents_unanswered(f->s, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].user_id, ANNA);
	assert_string_equal(rows[0].token_sha256, SHA_1);
	WRITE(f, store_agent_acked(f->s, ANNA, 1, 220, "x", 230, &f->e));
	assert_ok(store_agents_unanswered(f->s, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 0);
}

/* --- transactions --------------------------------------------------------- */

static bool seen(struct store_fixture *f, const char *id, unsigned char fill)
{
	unsigned char digest[SHA256_LEN];

	memset(digest, fill, sizeof(digest));
	return store_txn_seen(f->s, id, digest);
}

static void add_txn(struct store_fixture *f, const char *id, unsigned char fill)
{
	unsigned char digest[SHA256_LEN];

	memset(digest, fill, sizeof(digest));
	assert_ok(store_txn_add(f->s, id, digest, 1, &f->e), f->e);
}

static void test_txn(void **state)
{
	struct store_fixture *f = *state;

	assert_false(seen(f, "1", 0));
	assert_ok(store_begin(f->s, &f->e), f->e);
	add_txn(f, "1", 0);
	assert_true(seen(f, "1", 0));
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_true(seen(f, "1", 0));
	/* The id comes again with other events: it is new. */
	assert_false(seen(f, "1", 7));
	assert_ok(store_begin(f->s, &f->e), f->e);
	add_txn(f, "1", 7);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_true(seen(f, "1", 7));
	assert_true(seen(f, "1", 0));
	store_fixture_reopen(f);
	assert_true(seen(f, "1", 7));
	assert_true(seen(f, "1", 0));
}

static void test_txn_undone(void **state)
{
	struct store_fixture *f = *state;

	assert_ok(store_begin(f->s, &f->e), f->e);
	add_txn(f, "1", 0);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_ok(store_begin(f->s, &f->e), f->e);
	add_txn(f, "2", 0);
	assert_true(seen(f, "2", 0));
	store_rollback(f->s);
	assert_false(seen(f, "2", 0));
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_false(seen(f, "2", 0));
	assert_true(seen(f, "1", 0));
	add_txn(f, "2", 0);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_true(seen(f, "2", 0));
	assert_int_equal(
		store_fixture_sql(f, "SELECT max(seq) FROM transaction_seen"),
		2);
}

static void test_txn_window(void **state)
{
	struct store_fixture *f = *state;
	char id[24];

	assert_ok(store_begin(f->s, &f->e), f->e);
	for (int i = 1; i <= 10000; i++) {
		snprintf(id, sizeof(id), "t%d", i);
		add_txn(f, id, 1);
	}
	assert_true(seen(f, "t1", 1));
	add_txn(f, "t10001", 1);
	assert_false(seen(f, "t1", 1));
	assert_true(seen(f, "t2", 1));
	/* One that comes again with other events is another. */
	add_txn(f, "t2", 2);
	assert_true(seen(f, "t2", 2));
	assert_false(seen(f, "t2", 1));
	assert_true(seen(f, "t3", 1));
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_int_equal(
		store_fixture_sql(f, "SELECT count(*) FROM transaction_seen"),
		10000);
	store_fixture_reopen(f);
	assert_true(seen(f, "t2", 2));
	assert_false(seen(f, "t2", 1));
	assert_true(seen(f, "t3", 1));
	assert_true(seen(f, "t10001", 1));
}

static void test_txn_counts(void **state)
{
	struct store_fixture *f = *state;
	struct store_txn_counts c;

	assert_ok(store_txn_counts(f->s, &c, &f->e), f->e);
	assert_int_equal(c.seen, 0);
	const struct store_txn_counts all = { .seen = 1,
		.events = 30,
		.applied = 7,
		.quarantined = 2,
		.ephemeral = 3,
		.to_device = 4,
		.device_lists = 5,
		.key_counts = 6,
		.last_ms = 1000 };
	const struct store_txn_counts again = {
		.seen = 1, .repeated = 1, .last_ms = 3000
	};
	const struct store_txn_counts later = { .events = 5, .ephemeral = 10 };
	WRITE(f, store_txn_count(f->s, &all, &f->e));
	WRITE(f, store_txn_count(f->s, &again, &f->e));
	WRITE(f, store_txn_count(f->s, &later, &f->e));
	store_fixture_reopen(f);
	assert_ok(store_txn_counts(f->s, &c, &f->e), f->e);
	assert_int_equal(c.seen, 2);
	assert_int_equal(c.repeated, 1);
	assert_int_equal(c.events, 35);
	assert_int_equal(c.applied, 7);
	assert_int_equal(c.quarantined, 2);
	assert_int_equal(c.ephemeral, 13);
	assert_int_equal(c.to_device, 4);
	assert_int_equal(c.device_lists, 5);
	assert_int_equal(c.key_counts, 6);
	assert_int_equal(c.last_ms, 3000);
}

static void test_quarantine(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined row = { .txn_id = "7",
		.index = 2,
		.bytes = "{\"type\": nu\xff}",
		.reason = "not an object",
		.received_ms = 1000 };
	struct store_quarantined *rows = NULL;
	size_t n = 9;

	assert_ok(store_quarantine_list(f->s, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 0);
	WRITE(f, store_quarantine_add(f->s, &row, &f->e));
	row.index = -1;
	WRITE(f, store_quarantine_add(f->s, &row, &f->e));
	assert_ok(store_quarantine_list(f->s, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 2);
	assert_string_equal(rows[0].txn_id, "7");
	assert_int_equal(rows[0].index, 2);
	assert_string_equal(rows[0].bytes, "{\"type\": nu\xff}");
	assert_string_equal(rows[0].reason, "not an object");
	assert_int_equal(rows[0].received_ms, 1000);
	assert_int_equal(rows[1].index, -1);
	assert_true(rows[1].id > rows[0].id);
	row.index = -2;
	WRITE_RC(f, store_quarantine_add(f->s, &row, &f->e), RC_INVALID);
}

static void test_quarantine_is_bounded(void **state)
{
	struct store_fixture *f = *state;
	struct store_quarantined row = {
		.txn_id = "t", .bytes = "{}", .reason = "r"
	};
	struct store_quarantined *rows = NULL;
	size_t n = 0;

	assert_ok(store_begin(f->s, &f->e), f->e);
	for (row.index = 0; row.index < 1005; row.index++)
		assert_ok(store_quarantine_add(f->s, &row, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_ok(store_quarantine_list(f->s, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 1000);
	assert_int_equal(rows[0].index, 5);
	assert_int_equal(rows[999].index, 1004);

	struct store_quarantine_total t = { 0 };
	assert_ok(store_quarantine_total(f->s, &t, &f->e), f->e);
	assert_int_equal(t.kept, 1000);
	assert_int_equal(t.bytes, 2000);
	assert_int_equal(t.dropped, 5);

	/* Nor is a single one without bounds: 64 KiB. */
	static char large[65538];
	memset(large, 'x', 65537);
	row.bytes = large;
	WRITE_RC(f, store_quarantine_add(f->s, &row, &f->e), RC_TOO_LARGE);
	large[65536] = '\0';
	WRITE(f, store_quarantine_add(f->s, &row, &f->e));
	/* Nor all of them together: 16 MiB are 256 of these. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	for (row.index = 0; row.index < 300; row.index++)
		assert_ok(store_quarantine_add(f->s, &row, &f->e), f->e);
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_ok(store_quarantine_total(f->s, &t, &f->e), f->e);
	assert_int_equal(t.kept, 256);
	assert_int_equal(t.bytes, 16777216);
	assert_int_equal(t.dropped, 1005 + 1 + 300 - 256);
	assert_int_equal(
		store_fixture_sql(f, "SELECT min(event_index) FROM quarantine"),
		44);
	/* What somebody removes is no longer counted, and was not dropped. */
	store_fixture_sql(f, "DELETE FROM quarantine WHERE event_index > 44");
	assert_ok(store_quarantine_total(f->s, &t, &f->e), f->e);
	assert_int_equal(t.kept, 1);
	assert_int_equal(t.bytes, 65536);
	assert_int_equal(t.dropped, 1050);
}

static void test_quarantine_row(void **state)
{
	struct store_fixture *f = *state;
	const struct store_quarantined row = { .txn_id = "7",
		.index = 2,
		.bytes = "{}",
		.reason = "r",
		.partial = true };
	struct store_quarantined got = { 0 };

	WRITE(f, store_quarantine_add(f->s, &row, &f->e));
	assert_rc(store_quarantine_get(f->s, 2, &f->a, &got, &f->e),
		RC_NOT_FOUND);
	assert_ok(store_quarantine_get(f->s, 1, &f->a, &got, &f->e), f->e);
	assert_int_equal(got.id, 1);
	assert_string_equal(got.txn_id, "7");
	assert_int_equal(got.index, 2);
	assert_string_equal(got.bytes, "{}");
	assert_true(got.partial);
	WRITE(f, store_quarantine_reason(f->s, 1, "other", &f->e));
	WRITE_RC(f, store_quarantine_reason(f->s, 2, "other", &f->e),
		RC_NOT_FOUND);
	assert_ok(store_quarantine_get(f->s, 1, &f->a, &got, &f->e), f->e);
	assert_string_equal(got.reason, "other");
	WRITE(f, store_quarantine_remove(f->s, 1, &f->e));
	WRITE_RC(f, store_quarantine_remove(f->s, 1, &f->e), RC_NOT_FOUND);
}

/* --- audit ---------------------------------------------------------------- */

static void test_audit(void **state)
{
	struct store_fixture *f = *state;
	struct store_audit row = { .actor = "serve", .action = "rotate" };
	struct store_audit *rows = NULL;
	size_t n = 0;

	for (row.ms = 1; row.ms <= 5; row.ms++) {
		row.subject = row.ms == 5 ? ANNA : NULL;
		row.detail = row.ms == 5 ? "why \"not\"" : NULL;
		WRITE(f, store_audit_add(f->s, &row, &f->e));
	}
	assert_ok(store_audit_list(f->s, 2, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].ms, 5);
	assert_string_equal(rows[0].actor, "serve");
	assert_string_equal(rows[0].action, "rotate");
	assert_string_equal(rows[0].subject, ANNA);
	assert_string_equal(rows[0].detail, "why \"not\"");
	assert_int_equal(rows[1].ms, 4);
	assert_null(rows[1].subject);
	assert_null(rows[1].detail);
	assert_ok(store_audit_list(f->s, SIZE_MAX, &f->a, &rows, &n, &f->e),
		f->e);
	assert_int_equal(n, 5);
	assert_ok(store_audit_list(f->s, 0, &f->a, &rows, &n, &f->e), f->e);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_declare),
		STORE_TEST(test_declare_again),
		STORE_TEST(test_states),
		STORE_TEST(test_error_and_name),
		STORE_TEST(test_login),
		STORE_TEST(test_hand_off),
		STORE_TEST(test_take_over),
		STORE_TEST(test_late_answer_unblocks_nobody),
		STORE_TEST(test_unknown_agent),
		STORE_TEST(test_old_hand_offs_leave),
		STORE_TEST(test_one_agent),
		STORE_TEST(test_txn),
		STORE_TEST(test_txn_undone),
		STORE_TEST(test_txn_window),
		STORE_TEST(test_txn_counts),
		STORE_TEST(test_quarantine),
		STORE_TEST(test_quarantine_is_bounded),
		STORE_TEST(test_quarantine_row),
		STORE_TEST(test_audit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
