/*
 * tests/unit/test_store_migrate.c: schemas: what is applied, when a backup is
 * made, and that it does not matter in how many steps one came to the newest.
 */
#include "tests/unit/store_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_priv.h"

#include "base/poison.h"

#define LINES(...)                                                             \
	(const char *const[])                                                  \
	{                                                                      \
		__VA_ARGS__, NULL                                              \
	}

static const struct migration made_up[] = {
	{ 1, "0001_one.sql",
		LINES("-- a comment\n", "CREATE TABLE one (\n", "a TEXT);\n",
			"INSERT INTO one VALUES ('kept');\n") },
	{ 2, "0002_two.sql", LINES("ALTER TABLE one ADD COLUMN b TEXT;\n") },
	{ 3, "0003_three.sql", LINES("CREATE TABLE three (c TEXT);\n") },
	{ 4, "0004_wrong.sql",
		LINES("CREATE TABLE four (d TEXT);\n",
			"DROP TABLE nosuch;\n") },
};

/* A database beside the fixture's. */
static sqlite3 *open_other(struct store_fixture *f, const char *name)
{
	sqlite3 *db = NULL;

	snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	return db;
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	int64_t ret = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return ret;
}

static void bring_to(struct store_fixture *f, sqlite3 *db,
	const struct migration *list, size_t n)
{
	int version = -1;

	assert_ok(migrate_identify(db, f->path, 99, &version, &f->e), f->e);
	assert_ok(migrate(db, f->path, version, list, n, &f->e), f->e);
	assert_int_equal(
		number(db, "PRAGMA user_version"), list[n - 1].version);
	assert_int_equal(number(db, "PRAGMA application_id"), 0x6d737472);
}

static bool backup_exists(const struct store_fixture *f, int version)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s.v%d.bak", f->path, version);
	if (stat(path, &st) != 0)
		return false;
	assert_int_equal(st.st_mode & 0777, 0600);
	return true;
}

static void test_steps(void **state)
{
	struct store_fixture *f = *state;
	sqlite3 *db = open_other(f, "steps.db");

	bring_to(f, db, made_up, 1);
	assert_false(backup_exists(f, 0)); /* there was nothing to lose */
	bring_to(f, db, made_up, 1);
	assert_false(backup_exists(f, 1)); /* nor anything to do */
	bring_to(f, db, made_up, 3);
	assert_true(backup_exists(f, 1));
	assert_false(backup_exists(f, 2)); /* one for all steps of a start */
	assert_int_equal(
		number(db, "SELECT count(*) FROM one WHERE a = 'kept'"), 1);
	assert_int_equal(number(db, "SELECT count(c) FROM three"), 0);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);

	/* The backup is a database of the version before. */
	db = open_other(f, "steps.db.v1.bak");
	int version = -1;
	assert_ok(migrate_identify(db, f->path, 3, &version, &f->e), f->e);
	assert_int_equal(version, 1);
	assert_int_equal(
		number(db, "SELECT count(*) FROM one WHERE a = 'kept'"), 1);
	assert_int_equal(
		number(db, "SELECT count(*) FROM pragma_table_info('one')"), 1);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_failure_changes_nothing(void **state)
{
	struct store_fixture *f = *state;
	sqlite3 *db = open_other(f, "fails.db");

	bring_to(f, db, made_up, 3);
	/* Twice: the second attempt finds the first one's backup. */
	for (int i = 0; i < 2; i++) {
		assert_int_not_equal(
			migrate(db, f->path, 3, made_up, 4, &f->e), RC_OK);
		assert_non_null(strstr(f->e.text, "0004_wrong.sql"));
		assert_non_null(strstr(f->e.text, "nosuch"));
		assert_int_equal(number(db, "PRAGMA user_version"), 3);
		assert_int_equal(number(db,
					 "SELECT count(*) FROM sqlite_schema "
					 "WHERE name = 'four'"),
			0);
		assert_true(backup_exists(f, 3));
		/* No transaction is left open. */
		assert_int_equal(sqlite3_get_autocommit(db), 1);
	}
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_backup_cannot_be_made(void **state)
{
	struct store_fixture *f = *state;
	sqlite3 *db = open_other(f, "blocked.db");
	char path[300];

	bring_to(f, db, made_up, 1);
	snprintf(path, sizeof(path), "%s.v1.bak", f->path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_rc(migrate(db, f->path, 1, made_up, 3, &f->e), RC_IO);
	assert_non_null(strstr(f->e.text, path));
	assert_int_equal(number(db, "PRAGMA user_version"), 1);
	assert_int_equal(rmdir(path), 0);
	bring_to(f, db, made_up, 3);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The schema as text, in the fixture's arena. */
static const char *schema(struct store_fixture *f, sqlite3 *db)
{
	sqlite3_stmt *q = NULL;

	assert_int_equal(
		sqlite3_prepare_v2(db,
			"SELECT group_concat(sql, ';') FROM "
			"(SELECT sql FROM sqlite_schema ORDER BY type, name)",
			-1, &q, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	const char *text = column_text(q, 0, &f->a);
	sqlite3_finalize(q);
	assert_non_null(text);
	return text;
}

static void test_fresh_is_migrated(void **state)
{
	struct store_fixture *f = *state;

	const char *fresh = schema(f, f->s->db);
	sqlite3 *db = open_other(f, "stepwise.db");
	for (size_t i = 1; i <= n_migrations; i++)
		bring_to(f, db, migrations, i);
	assert_string_equal(schema(f, db), fresh);
	assert_non_null(strstr(fresh, "CREATE VIEW membership"));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* From version 1: what was counted and kept stays, and what of it may not be
 * as it came is known. */
static void test_counts(void **state)
{
	struct store_fixture *f = *state;
	sqlite3 *db = open_other(f, "counts.db");
	static const char rows[] =
		"UPDATE transaction_count SET seen = 7, repeated = 2, "
		"events = 5, quarantined = 4, last_ms = 9;"
		"INSERT INTO quarantine (id, txn_id, event_index, reason, "
		"received_ms, bytes) VALUES "
		"(3, 't', 0, 'r', 1, '{\"a\":\"\xc3\xa9\"}'), "
		"(4, 't', -1, 'r', 1, '{\"a\":?'), "
		"(6, 'u', 5, 's', 2, printf('%.*c', 65536, 'x'))";

	bring_to(f, db, migrations, 1);
	assert_int_equal(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
	bring_to(f, db, migrations, 2);
	assert_int_equal(number(db,
				 "SELECT seen = 7 AND repeated = 2 AND "
				 "events = 5 AND quarantined = 4 AND last_ms = "
				 "9 AND applied = 0 AND ephemeral = 0 "
				 "FROM transaction_count"),
		1);
	assert_int_equal(number(db,
				 "SELECT count(*) FROM quarantine WHERE "
				 "id = 3 AND txn_id = 't' AND event_index = 0 "
				 "AND reason = 'r' AND received_ms = 1 AND "
				 "partial = 0 AND size = 10"),
		1);
	assert_int_equal(
		number(db, "SELECT sum(id) FROM quarantine WHERE partial"), 10);
	assert_int_equal(number(db,
				 "SELECT kept = 3 AND bytes = 10 + 6 + 65536 "
				 "AND dropped = 0 FROM quarantine_total"),
		1);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What a store had before ids became numbers and transactions a ring. */
static void test_numbers(void **state)
{
	struct store_fixture *f = *state;
	char *error = NULL;
	sqlite3 *db = open_other(f, "old.db");

	bring_to(f, db, migrations, 1);
	assert_int_equal(
		sqlite3_exec(db,
			"INSERT INTO membership VALUES "
			"('!r', '@a:b', 'join', '$1', 10, 'event'),"
			"('!r', '@c:d', 'ban', NULL, 20, 'poll'),"
			"('!q', '@a:b', 'leave', NULL, 30, 'action');"
			"WITH RECURSIVE n(i) AS (SELECT 9990 UNION ALL "
			"SELECT i + 1 FROM n WHERE i < 10010) "
			"INSERT INTO transaction_seen "
			"SELECT 't' || i, zeroblob(32), 5, i FROM n",
			NULL, NULL, &error),
		SQLITE_OK);
	bring_to(f, db, migrations, n_migrations);
	assert_int_equal(number(db,
				 "SELECT count(*) FROM membership WHERE "
				 "(room_id, user_id, membership, "
				 "origin_ts, source) IN (VALUES "
				 "('!r', '@a:b', 'join', 10, 'event'),"
				 "('!r', '@c:d', 'ban', 20, 'poll'),"
				 "('!q', '@a:b', 'leave', 30, 'action'))"),
		3);
	assert_int_equal(number(db, "SELECT count(*) FROM membership"), 3);
	assert_int_equal(
		number(db, "SELECT count(*) FROM transaction_seen"), 21);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);

	/* The next number is known, and so is what was seen. */
	const unsigned char digest[SHA256_LEN] = { 0 };
	struct store *s = NULL;
	assert_ok(store_open(f->path, &s, &f->e), f->e);
	assert_ok(store_begin(s, &f->e), f->e);
	assert_true(store_txn_seen(s, "t9990", digest));
	assert_ok(store_txn_add(s, "new", digest, 1, &f->e), f->e);
	assert_ok(store_commit(s, &f->e), f->e);
	store_close(s);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT seq FROM transaction_seen WHERE "
				 "txn_id = 'new'"),
		10011);
}

/* What a store had before people could leave: all of it stays, and nothing is
 * said of what nobody knew. */
static void test_people(void **state)
{
	static const char rows[] =
		"INSERT INTO agent (user_id, sender, declared, name, state, "
		"device_id, generation, acked_generation, since_ms, shown_name,"
		" error) VALUES "
		"('@a:b', 0, 1, 'A', 'acknowledged', 'D', 3, 3, 7, 'A', NULL),"
		"('@c:d', 0, 0, 'C', 'blocked', NULL, 0, 0, 8, NULL, 'why'),"
		"('@m:b', 1, 1, NULL, 'registered', NULL, 0, 0, 9, 'M', NULL);"
		"INSERT INTO handoff VALUES "
		"('@a:b', 3, printf('%.64c', 'f'), 'D', 5, 6, 'pid');"
		"INSERT INTO room VALUES ('#r:b', 0, 1, '#r:b', '!r', '@m:b'),"
		"('@a:b @c:d', 1, 0, NULL, '!d', '@a:b'),"
		"('#s:b', 0, 1, '#s:b', NULL, NULL);"
		"INSERT INTO declared_member VALUES ('#r:b', '@a:b');"
		"INSERT INTO direct_mark VALUES ('!d', '@a:b');"
		"INSERT INTO identifier VALUES "
		"(1, '!r'), (2, '@a:b'), (3, '!d');"
		"INSERT INTO member VALUES (1, 2, 1, NULL, 10, 0),"
		"(3, 2, 1, NULL, 10, 2);"
		"INSERT INTO room_state (room_id, type, content, event_id, "
		"origin_ts) VALUES ('!r', 'm.room.name', '{}', '$1', 4);";
	struct store_fixture *f = *state;
	struct store_snapshot all = { .n_rooms = 99 };
	struct store *s = NULL;
	char *error = NULL;
	sqlite3 *db = open_other(f, "people.db");

	bring_to(f, db, migrations, 3);
	if (sqlite3_exec(db, rows, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s", error);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_ok(store_open(f->path, &s, &f->e), f->e);
	assert_true(backup_exists(f, 3));
	assert_ok(store_snapshot(s, &f->a, &all, &f->e), f->e);
	store_close(s);

	assert_int_equal(all.n_agents, 3);
	const struct store_agent *a = all.agents;
	assert_string_equal(a->user_id, "@a:b");
	assert_int_equal(a->state, AGENT_ACKNOWLEDGED);
	assert_int_equal(a->generation, 3);
	assert_non_null(a->token_sha256);
	for (size_t i = 0; i < 3; i++)
		assert_false(all.agents[i].may_leave);
	assert_string_equal(all.agents[1].error, "why");
	assert_int_equal(store_fixture_sql(f,
				 "SELECT acked_ms = 6 AND revoked_ms IS NULL "
				 "FROM handoff"),
		1);

	assert_int_equal(all.n_rooms, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct store_room *r = &all.rooms[i];
		assert_null(r->rule);
		assert_null(r->held);
		assert_int_equal(r->missing_ms + r->held_ms, 0);
		assert_false(r->wanted);
	}
	const struct store_room *r = &all.rooms[0], *d = &all.rooms[2];
	assert_string_equal(r->room_id, "!r");
	assert_string_equal(r->maker, "@m:b");
	assert_int_equal(r->n_members, 1);
	assert_string_equal(r->members[0].membership, "join");
	assert_string_equal(r->state[ROOM_STATE_NAME].content, "{}");
	assert_null(r->state[ROOM_STATE_NAME].sender);
	assert_null(all.rooms[1].room_id);
	assert_true(d->direct);
	assert_false(d->declared);
	assert_true(d->members[0].marked);
	assert_string_equal(d->members[0].source, "action");
	assert_int_equal(all.n_old, 0);
	assert_int_equal(all.n_removals, 0);
	/* Nothing has been looked at since. */
	assert_int_equal(
		store_fixture_sql(f, "SELECT max(looked_ms) FROM room"), 0);
}

/* Other programs read words, whatever the table has. */
static void test_words(void **state)
{
	static const char *const memberships[] = { "join", "invite", "leave",
		"ban", "knock" };
	static const char *const sources[] = { "event", "poll", "action" };
	struct store_fixture *f = *state;
	char room[20], sql[300];

	for (size_t i = 0; i < 15; i++) {
		snprintf(room, sizeof(room), "!r%zu", i);
		const struct store_membership m = { .room_id = room,
			.user_id = "@a:b",
			.membership = memberships[i % 5],
			.origin_ts = (int64_t)i,
			.source = sources[i % 3] };
		assert_ok(store_begin(f->s, &f->e), f->e);
		assert_ok(store_membership_set(f->s, &m, NULL, &f->e), f->e);
		assert_ok(store_commit(f->s, &f->e), f->e);
		snprintf(sql, sizeof(sql),
			"SELECT count(*) FROM membership WHERE room_id = '%s' "
			"AND user_id = '@a:b' AND membership = '%s' "
			"AND origin_ts = %zu AND source = '%s' AND "
			"typeof(room_id) || typeof(user_id) || "
			"typeof(membership) = 'texttexttext'",
			room, memberships[i % 5], i, sources[i % 3]);
		assert_int_equal(store_fixture_sql(f, sql), 1);
	}
	/* There are no others. */
	const struct store_membership odd[] = {
		{ "!r", "@a:b", "lurk", NULL, 1, "event" },
		{ "!r", "@a:b", "join", NULL, 1, "rumour" },
	};
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		assert_ok(store_begin(f->s, &f->e), f->e);
		assert_rc(store_membership_set(f->s, &odd[i], NULL, &f->e),
			RC_INVALID);
		store_rollback(f->s);
	}
}

static void test_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_migrations; i++) {
		assert_int_equal(migrations[i].version, (int)i + 1);
		int number = 0;
		for (const char *p = migrations[i].name; *p != '_'; p++)
			number = number * 10 + (*p - '0');
		assert_int_equal(number, migrations[i].version);
	}
}

/* Every table is strict, and keyed by text means without a rowid. */
static void test_tables(void **state)
{
	struct store_fixture *f = *state;

	assert_int_equal(store_fixture_sql(f,
				 "SELECT count(*) FROM pragma_table_list "
				 "WHERE schema = 'main' AND type = 'table' "
				 "AND name NOT LIKE 'sqlite%' AND NOT strict"),
		0);
	assert_int_equal(
		store_fixture_sql(f,
			"SELECT count(*) FROM pragma_table_list AS t, "
			"pragma_table_info(t.name) AS c "
			"WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite%' "
			"AND c.pk = 1 AND c.type = 'TEXT' AND NOT t.wr"),
		0);
}

/* Who asks for certain rows finds them by an index. */
static void test_no_statement_searches(void **state)
{
	struct store_fixture *f = *state;

	for (size_t i = 0; i < SQL_STATEMENTS; i++) {
		const char *sql = sqlite3_sql(f->s->statements[i]);
		bool all = !strchr(sql, '?') || strstr(sql, "LIMIT") ||
			strstr(sql, "transaction_count") ||
			strstr(sql,
				"iif(rotate_every_ms <> 0"); /* once a minute */
		char *explain = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql);
		sqlite3_stmt *q = NULL;
		assert_non_null(explain);
		assert_int_equal(
			sqlite3_prepare_v2(f->s->db, explain, -1, &q, NULL),
			SQLITE_OK);
		while (sqlite3_step(q) == SQLITE_ROW) {
			const char *how =
				(const char *)sqlite3_column_text(q, 3);
			/* What is still to be done is not much. */
			if (!all && strncmp(how, "SCAN", 4) == 0 &&
				!strstr(how, "journal_unfinished") &&
				!strstr(how, "CONSTANT ROW"))
				fail_msg("%s: %s", sql, how);
		}
		sqlite3_finalize(q);
		sqlite3_free(explain);
	}
}

/* A temporary table takes longer than the change that would fill it. */
static void test_no_change_needs_a_temporary_table(void **state)
{
	struct store_fixture *f = *state;

	for (size_t i = 0; i < SQL_STATEMENTS; i++) {
		const char *sql = sqlite3_sql(f->s->statements[i]);
		/* Once for each token that is handed over, once for each time that a
		 * fleet is declared, a homeserver has forgotten all or a rotation is
		 * stopped: they may. */
		bool rare = strncmp(sql, "DELETE FROM handoff", 19) == 0 ||
			strncmp(sql, "DELETE FROM rotation", 20) == 0 ||
			strncmp(sql, "UPDATE rotation SET state = 'stopped'",
				37) == 0 ||
			strncmp(sql,
				"DELETE FROM declared_member WHERE room_key "
				"IN",
				45) == 0;
		if (rare || strncmp(sql, "SELECT", 6) == 0)
			continue;
		char *explain = sqlite3_mprintf("EXPLAIN %s", sql);
		sqlite3_stmt *q = NULL;
		assert_non_null(explain);
		assert_int_equal(
			sqlite3_prepare_v2(f->s->db, explain, -1, &q, NULL),
			SQLITE_OK);
		while (sqlite3_step(q) == SQLITE_ROW)
			if (strcmp((const char *)sqlite3_column_text(q, 1),
				    "OpenEphemeral") == 0)
				fail_msg("a temporary table in: %s", sql);
		sqlite3_finalize(q);
		sqlite3_free(explain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_steps),
		STORE_TEST(test_failure_changes_nothing),
		STORE_TEST(test_backup_cannot_be_made),
		STORE_TEST(test_fresh_is_migrated),
		STORE_TEST(test_numbers),
		STORE_TEST(test_counts),
		STORE_TEST(test_people),
		STORE_TEST(test_order),
		STORE_TEST(test_words),
		STORE_TEST(test_tables),
		STORE_TEST(test_no_statement_searches),
		STORE_TEST(test_no_change_needs_a_temporary_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
