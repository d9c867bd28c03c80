/*
 * tests/unit/test_store.c: the open store: whose file it is, who holds it,
 * transactions, threads, and what a killed process leaves.
 */
#include "tests/unit/store_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "store/store_priv.h"

#include "base/poison.h"

static const char *note(struct store_fixture *f, const char *name)
{
	const char *value = "unset";

	assert_ok(store_note_get(f->s, name, &f->a, &value, &f->e), f->e);
	return value;
}

static void assert_note(
	struct store_fixture *f, const char *name, const char *want)
{
	const char *value = note(f, name);

	if (!want) {
		assert_null(value);
		return;
	}
	assert_non_null(value);
	assert_string_equal(value, want);
}

static void assert_words(const struct store_fixture *f, const char *words)
{
	if (!strstr(f->e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", f->e.text, words);
}

static void test_notes(void **state)
{
	struct store_fixture *f = *state;

	assert_note(f, "sync", NULL);
	WRITE(f, store_note_set(f->s, "sync", "s1", &f->e));
	assert_note(f, "sync", "s1");
	WRITE(f,
		store_note_set(
			f->s, "sync", "s2 'quoted' \"so\" \xc3\xa4", &f->e));
	assert_note(f, "sync", "s2 'quoted' \"so\" \xc3\xa4");
	WRITE(f, store_note_set(f->s, "empty", "", &f->e));
	assert_note(f, "empty", "");
	WRITE(f, store_note_set(f->s, "sync", NULL, &f->e));
	assert_note(f, "sync", NULL);
}

static void test_rollback(void **state)
{
	struct store_fixture *f = *state;

	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_note_set(f->s, "a", "2", &f->e), f->e);
	assert_ok(store_note_set(f->s, "b", "2", &f->e), f->e);
	assert_note(f, "a", "2"); /* who writes sees what was written */
	store_rollback(f->s);
	assert_note(f, "a", "1");
	assert_note(f, "b", NULL);
	store_rollback(f->s); /* nothing is open: nothing happens */
	WRITE(f, store_note_set(f->s, "a", "3", &f->e));
	assert_note(f, "a", "3");
}

static void test_reopening_keeps(void **state)
{
	struct store_fixture *f = *state;

	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_note_set(f->s, "b", "1", &f->e), f->e);
	store_rollback(f->s);
	store_fixture_reopen(f);
	assert_note(f, "a", "1");
	assert_note(f, "b", NULL);
	/* All was written back: the log is gone. */
	store_close(f->s);
	f->s = NULL;
	char wal[300];
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_int_not_equal(access(wal, F_OK), 0);
}

static void test_settings(void **state)
{
	struct store_fixture *f = *state;
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(
		store_fixture_sql(f, "PRAGMA application_id"), 0x6d737472);
	assert_int_equal(store_fixture_sql(f, "PRAGMA user_version"),
		migrations[n_migrations - 1].version);
	/* 1 when it is as expected; asked of the store's own connection. */
	static const struct {
		const char *sql;
		const char *want;
	} settings[] = {
		{ "PRAGMA journal_mode", "wal" },
		{ "PRAGMA synchronous", "2" },
		{ "PRAGMA foreign_keys", "1" },
		{ "PRAGMA trusted_schema", "0" },
		{ "PRAGMA busy_timeout", "5000" },
		{ "PRAGMA mmap_size", "0" },
		{ "PRAGMA page_size", "1024" },
	};
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		sqlite3_stmt *q = NULL;
		assert_int_equal(sqlite3_prepare_v2(f->s->db, settings[i].sql,
					 -1, &q, NULL),
			SQLITE_OK);
		assert_int_equal(sqlite3_step(q), SQLITE_ROW);
		assert_string_equal(
			sqlite3_column_text(q, 0), settings[i].want);
		sqlite3_finalize(q);
	}
	/* A name in double quotes is no string. */
	sqlite3_stmt *q = NULL;
	assert_int_not_equal(
		sqlite3_prepare_v2(f->s->db, "SELECT \"nosuch\"", -1, &q, NULL),
		SQLITE_OK);
	assert_null(q);
}

/* Bytes of the log: it only grows, as long as it is short. */
static int64_t log_size(const struct store_fixture *f)
{
	return f->s->keeper.used;
}

/* It writes, but not each time: only when nothing else has shown for half a
 * minute that it can be done. */
static void test_check_writes(void **state)
{
	struct store_fixture *f = *state;

	int64_t before = log_size(f);
	assert_ok(store_check(f->s, &f->e), f->e);
	int64_t after = log_size(f);
	assert_true(after > before);
	clock_sleep_ms(2);
	assert_ok(store_check(f->s, &f->e), f->e);
	assert_ok(store_check(f->s, &f->e), f->e);
	assert_int_equal(log_size(f), after);
	f->s->written_ms -= 15000;
	assert_ok(store_check(f->s, &f->e), f->e);
	assert_int_equal(log_size(f), after);
	f->s->written_ms -= 15000;
	assert_ok(store_check(f->s, &f->e), f->e);
	before = after;
	after = log_size(f);
	assert_true(after > before);
	/* What the service writes shows it as well; what changes nothing,
	 * not. */
	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	after = log_size(f);
	f->s->written_ms -= 30000;
	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	assert_int_equal(log_size(f), after);
	clock_sleep_ms(2);
	assert_ok(store_check(f->s, &f->e), f->e);
	assert_true(log_size(f) > after);
	/* Nor is anything left open. */
	WRITE(f, store_note_set(f->s, "a", "2", &f->e));
}

/* After something failed it is tried at once. */
static void test_check_after_a_failure(void **state)
{
	struct store_fixture *f = *state;
	struct rlimit before, none;

	assert_ok(store_check(f->s, &f->e), f->e);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	none = before;
	none.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	enum rc unknown = store_check(f->s, &f->e);
	enum rc begun = store_begin(f->s, &f->e);
	enum rc set = store_note_set(f->s, "a", "1", &f->e);
	enum rc committed = store_commit(f->s, &f->e);
	enum rc known = store_check(f->s, &f->e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);

	assert_rc(unknown, RC_OK);
	assert_rc(begun, RC_OK);
	assert_rc(set, RC_OK);
	assert_rc(committed, RC_IO);
	assert_rc(known, RC_IO);
	assert_ok(store_check(f->s, &f->e), f->e);
	/* A file that is gone is noticed by every look. */
	assert_int_equal(unlink(f->path), 0);
	assert_rc(store_check(f->s, &f->e), RC_CORRUPT);
}

/* A file that may not grow is a full disk. */
static void test_check_fails_when_nothing_can_be_written(void **state)
{
	struct store_fixture *f = *state;
	struct rlimit before, none;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	none = before;
	none.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	enum rc rc = store_check(f->s, &f->e);
	enum rc begun = store_begin(f->s, &f->e);
	enum rc set = store_note_set(f->s, "a", "1", &f->e);
	enum rc committed = store_commit(f->s, &f->e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);

	assert_rc(rc, RC_IO);
	assert_rc(begun, RC_OK);
	assert_rc(set, RC_OK);
	assert_rc(committed, RC_IO);
	assert_words(f, f->path);
	assert_note(f, "a", NULL);
	/* And it goes on once there is room. */
	assert_ok(store_check(f->s, &f->e), f->e);
}

/* SQLite undoes a transaction by itself when it cannot go on with it: what
 * comes after must not be committed alone. */
static void test_undone_in_the_middle(void **state)
{
	struct store_fixture *f = *state;
	enum { SIZE = 8 * 1024 * 1024 }; /* more than it keeps in memory */
	char *large = malloc(SIZE + 1);
	struct rlimit before, little;

	assert_non_null(large);
	memset(large, 'x', SIZE);
	large[SIZE] = '\0';
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	little = before;
	little.rlim_cur = 1024 * 1024;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	enum rc rc = RC_OK;
	for (char name[2] = "a"; rc == RC_OK && name[0] <= 'c'; name[0]++)
		rc = store_note_set(f->s, name, large, &f->e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	free(large);

	assert_rc(rc, RC_IO);
	assert_rc(store_note_set(f->s, "after", "1", &f->e), RC_IO);
	assert_words(f, "undone");
	assert_rc(store_commit(f->s, &f->e), RC_IO);
	assert_note(f, "a", NULL);
	assert_note(f, "after", NULL);
	WRITE(f, store_note_set(f->s, "after", "2", &f->e));
	assert_note(f, "after", "2");
}

static void test_second_open_names_the_holder(void **state)
{
	struct store_fixture *f = *state;
	struct store *second = NULL;
	char pid[40];

	assert_rc(store_open(f->path, &second, &f->e), RC_BUSY);
	assert_null(second);
	snprintf(pid, sizeof(pid), "pid %ld on ", (long)getpid());
	assert_words(f, pid);
	assert_words(f, " since 20");
	assert_words(f, f->path);
	assert_words(f, "in use");
	/* The first one is none the worse for it. */
	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	store_fixture_reopen(f);
	assert_note(f, "a", "1");
}

/* The log is written back while nobody waits for it, and begins anew. */
static void test_log_is_kept_short(void **state)
{
	struct store_fixture *f = *state;
	struct stat st = { 0 };
	char text[900], wal[300];
	bool begun_anew = false;

	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	f->s->keeper.every = f->s->keeper.next = 8;
	/* The thread gets its turn while we wait for the disk. */
	for (int i = 0; i < 20000 && !begun_anew; i++) {
		char name[20];
		snprintf(name, sizeof(name), "n%d", i % 100);
		text[0] = (char)('a' + i % 26);
		assert_ok(store_begin(f->s, &f->e), f->e);
		assert_ok(store_note_set(f->s, name, text, &f->e), f->e);
		assert_ok(store_commit(f->s, &f->e), f->e);
		assert_int_equal(stat(wal, &st), 0);
		begun_anew = i > 100 && st.st_size / 1048 < i;
	}
	assert_true(begun_anew);
	assert_string_equal(note(f, "n1") + 1, text + 1);
}

static void wait_for_keeper(struct store_fixture *f)
{
	bool asked = true;

	for (int i = 0; i < 10000 && asked; i++) {
		store_lock(f->s);
		asked = f->s->keeper.asked;
		store_unlock(f->s);
		if (asked)
			clock_sleep_ms(1);
	}
	assert_false(asked);
}

/* Another program may write, too: where it does nobody makes room. */
static void test_room_in_the_log(void **state)
{
	struct store_fixture *f = *state;
	struct stat before, st;
	sqlite3 *other = NULL;
	char wal[300];

	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
	/* It begins after our commit and before the thread gets its turn. */
	store_lock(f->s);
	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	assert_true(f->s->keeper.asked);
	assert_int_equal(
		sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(stat(wal, &before), 0);
	store_unlock(f->s);
	wait_for_keeper(f);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_size, before.st_size);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);

	/* Room is made later, and nothing is left open. */
	for (int i = 0; i < 1000 && st.st_size < 1024 * 1024; i++) {
		char text[2000];
		snprintf(text, sizeof(text), "%01999d", i);
		WRITE(f, store_note_set(f->s, "a", text, &f->e));
		wait_for_keeper(f);
		assert_int_equal(stat(wal, &st), 0);
	}
	assert_true(st.st_size >= 1024 * 1024);
	assert_true(f->s->keeper.used < 512 * 1024);
}

/* Also while the thread that does it never gets its turn. */
static void test_log_is_kept_short_by_who_commits(void **state)
{
	struct store_fixture *f = *state;
	char text[24];
	int64_t longest = 0;

	store_lock(f->s);
	f->s->keeper.every = f->s->keeper.next = 8;
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "%d", i);
		assert_ok(store_begin(f->s, &f->e), f->e);
		assert_ok(store_note_set(f->s, "n", text, &f->e), f->e);
		assert_ok(store_commit(f->s, &f->e), f->e);
		if (f->s->keeper.used > longest)
			longest = f->s->keeper.used;
	}
	store_unlock(f->s);
	assert_in_range(longest, 16 * 1048, 48 * 1048);
}

static void test_newer_version(void **state)
{
	struct store_fixture *f = *state;
	struct store *s = NULL;
	char back[60];

	snprintf(back, sizeof(back), "PRAGMA user_version = %d",
		(int)store_fixture_sql(f, "PRAGMA user_version"));
	store_close(f->s);
	f->s = NULL;
	store_fixture_sql(f, "PRAGMA user_version = 9");
	assert_rc(store_open(f->path, &s, &f->e), RC_VERSION);
	assert_null(s);
	assert_words(f, "newer muster");
	assert_words(f, "9");
	assert_words(f, f->path);
	assert_rc(store_open_readonly(f->path, &s, &f->e), RC_VERSION);
	assert_words(f, "newer muster");
	/* Unharmed: it opens again where it is understood. */
	store_fixture_sql(f, back);
	assert_ok(store_open(f->path, &f->s, &f->e), f->e);
}

static void write_file(const char *path, const char *text)
{
	struct err e = { 0 };

	assert_ok(file_replace(path, text, strlen(text), 0600, &e), e);
}

static void test_not_ours(void **state)
{
	struct store_fixture *f = *state;
	struct store *s = NULL;

	snprintf(f->path, sizeof(f->path), "%s/text", f->dir);
	write_file(f->path,
		"This is a letter to my grandmother, not a "
		"database, and it is long enough to be read as "
		"the header of one, which it is not.\n");
	assert_rc(store_open(f->path, &s, &f->e), RC_CORRUPT);
	assert_words(f, "not a database");
	assert_words(f, f->path);
	assert_rc(store_open_readonly(f->path, &s, &f->e), RC_CORRUPT);

	snprintf(f->path, sizeof(f->path), "%s/other.db", f->dir);
	store_fixture_sql(f, "CREATE TABLE photo (name TEXT)");
	assert_rc(store_open(f->path, &s, &f->e), RC_CORRUPT);
	assert_words(f, "another program");
	/* It was not even turned to another journal mode. */
	assert_int_equal(
		store_fixture_sql(f, "SELECT count(*) FROM sqlite_schema"), 1);
	assert_int_equal(store_fixture_sql(f,
				 "SELECT journal_mode = 'delete' "
				 "FROM pragma_journal_mode"),
		1);
	assert_rc(store_open_readonly(f->path, &s, &f->e), RC_CORRUPT);
	/* Others count versions too. */
	store_fixture_sql(f, "PRAGMA user_version = 1");
	assert_rc(store_open(f->path, &s, &f->e), RC_CORRUPT);
	assert_words(f, "another program");
	assert_null(s);
}

static void test_damaged(void **state)
{
	struct store_fixture *f = *state;
	struct store *s = NULL;

	store_close(f->s);
	f->s = NULL;
	int fd = open(f->path, O_RDWR);
	assert_true(fd >= 0);
	char rubbish[4000];
	memset(rubbish, 0xa5, sizeof(rubbish));
	/* Behind the header, where the first page's schema is. */
	assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), 100), 4000);
	close(fd);
	assert_rc(store_open(f->path, &s, &f->e), RC_CORRUPT);
	assert_words(f, "backup");
	assert_null(s);
}

static void test_no_directory(void **state)
{
	struct store_fixture *f = *state;
	struct store *s = NULL;

	snprintf(f->path, sizeof(f->path), "%s/nosuch/muster.db", f->dir);
	assert_rc(store_open(f->path, &s, &f->e), RC_IO);
	char dir[300];
	snprintf(dir, sizeof(dir), "%s/nosuch cannot be written", f->dir);
	assert_words(f, dir);
	assert_rc(store_open_readonly(f->path, &s, &f->e), RC_NOT_FOUND);
	assert_null(s);
	/* A directory is no database. */
	assert_rc(store_open(f->dir, &s, &f->e), RC_IO);
	assert_null(s);
	char lock[300];
	snprintf(lock, sizeof(lock), "%s.lock", f->dir);
	unlink(lock);
}

/* Root may write anywhere, so a child becomes nobody. */
static void test_unwritable_directory(void **state)
{
	struct store_fixture *f = *state;
	int status = 0;

	if (geteuid() != 0)
		return;
	assert_int_equal(chmod(f->dir, 0755), 0);
	/* A child has no other threads, but the locks that they held. */
	store_close(f->s);
	f->s = NULL;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char path[300];
		struct store *s = NULL;
		struct err e = { 0 };
		snprintf(path, sizeof(path), "%s/new.db", f->dir);
		if (setuid(65534) != 0)
			_exit(1);
		enum rc rc = store_open(path, &s, &e);
		_exit(rc == RC_IO && strstr(e.text, f->dir) ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	store_fixture_reopen(f);
}

static void assert_read(struct store_fixture *f, const char *want)
{
	struct store *r = NULL;
	const char *value = NULL;

	assert_ok(store_open_readonly(f->path, &r, &f->e), f->e);
	assert_ok(store_note_get(r, "a", &f->a, &value, &f->e), f->e);
	assert_non_null(value);
	assert_string_equal(value, want);
	struct store_snapshot all;
	assert_ok(store_snapshot(r, &f->a, &all, &f->e), f->e);
	/* Writing is refused. */
	assert_rc(store_begin(r, &f->e), RC_FORBIDDEN);
	assert_rc(store_check(r, &f->e), RC_FORBIDDEN);
	store_rollback(r);
	store_close(r);
}

static void test_readonly_while_open(void **state)
{
	struct store_fixture *f = *state;

	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	assert_read(f, "1");
	/* Also in the middle of a write, of which nothing is seen. */
	assert_ok(store_begin(f->s, &f->e), f->e);
	assert_ok(store_note_set(f->s, "a", "2", &f->e), f->e);
	assert_read(f, "1");
	assert_ok(store_commit(f->s, &f->e), f->e);
	assert_read(f, "2");
}

static void test_readonly_when_closed(void **state)
{
	struct store_fixture *f = *state;

	WRITE(f, store_note_set(f->s, "a", "1", &f->e));
	store_close(f->s);
	f->s = NULL;
	assert_read(f, "1");
	/* The reader's traces do not keep the service from starting. */
	assert_ok(store_open(f->path, &f->s, &f->e), f->e);
	assert_note(f, "a", "1");
}

static void test_readonly_of_none(void **state)
{
	struct store_fixture *f = *state;
	struct store *r = NULL;

	snprintf(f->path, sizeof(f->path), "%s/none.db", f->dir);
	assert_rc(store_open_readonly(f->path, &r, &f->e), RC_NOT_FOUND);
	assert_int_not_equal(access(f->path, F_OK), 0);
	write_file(f->path, "");
	assert_rc(store_open_readonly(f->path, &r, &f->e), RC_NOT_FOUND);
	/* An empty file is a place for a new one. */
	struct store *s = NULL;
	assert_ok(store_open(f->path, &s, &f->e), f->e);
	store_close(s);
	/* One from before a migration is not read. */
	store_fixture_sql(f, "PRAGMA user_version = 0");
	assert_rc(store_open_readonly(f->path, &r, &f->e), RC_CORRUPT);
	assert_null(r);
}

/* A change without a transaction is a mistake in the program, and stops it. */
static void test_write_without_begin(void **state)
{
	struct store_fixture *f = *state;
	int status = 0;

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 2);
		enum rc rc = store_note_set(f->s, "a", "1", NULL);
		_exit((int)rc);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_note(f, "a", NULL);
}

enum { THREADS = 8, ROUNDS = 100 };

/* Reads and writes a counter; a lost update would show in the sum. */
static void *count_up(void *arg)
{
	struct store *s = arg;
	char text[24];
	enum rc rc = RC_OK;

	for (int i = 0; rc == RC_OK && i < ROUNDS; i++) {
		struct arena a = { 0 };
		const char *value = NULL;
		rc = store_begin(s, NULL);
		if (rc != RC_OK)
			break;
		rc = store_note_get(s, "sum", &a, &value, NULL);
		long sum = value ? strtol(value, NULL, 10) : 0;
		snprintf(text, sizeof(text), "%ld", sum + 1);
		if (rc == RC_OK)
			rc = store_note_set(s, "sum", text, NULL);
		if (rc == RC_OK && i % 10 != 9)
			rc = store_commit(s, NULL);
		else
			store_rollback(s);
		arena_free(&a);

		struct store_txn_counts counts;
		if (rc == RC_OK)
			rc = store_txn_counts(s, &counts, NULL);
	}
	return rc == RC_OK ? NULL : s;
}

static void test_threads(void **state)
{
	struct store_fixture *f = *state;
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, count_up, f->s), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *failed = NULL;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_note(f, "sum", "720"); /* 8 times 90 commits of 100 rounds */
}

static void test_killed(void **state)
{
	struct store_fixture *f = *state;
	int64_t all = 0;

	for (int64_t round = 1; round <= 8; round++) {
		store_close(f->s);
		f->s = NULL;
		int64_t told = store_kill_in_the_middle(
			f->path, STORE_AUTO, round * 7);
		assert_ok(store_open(f->path, &f->s, &f->e), f->e);

		/* What was told is there; the one after it may be. */
		int64_t first = strtoll(note(f, "first"), NULL, 10);
		int64_t last = strtoll(note(f, "last"), NULL, 10);
		assert_int_equal(first, last);
		assert_in_range(last, told, told + 1);
		struct store_txn_counts counts;
		assert_ok(store_txn_counts(f->s, &counts, &f->e), f->e);
		assert_int_equal(counts.seen, all + last);
		all += last;
	}
	assert_int_equal(store_fixture_sql(f,
				 "SELECT integrity_check = 'ok' "
				 "FROM pragma_integrity_check"),
		1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_notes),
		STORE_TEST(test_rollback),
		STORE_TEST(test_reopening_keeps),
		STORE_TEST(test_settings),
		STORE_TEST(test_check_writes),
		STORE_TEST(test_check_after_a_failure),
		STORE_TEST(test_check_fails_when_nothing_can_be_written),
		STORE_TEST(test_undone_in_the_middle),
		STORE_TEST(test_second_open_names_the_holder),
		STORE_TEST(test_log_is_kept_short),
		STORE_TEST(test_room_in_the_log),
		STORE_TEST(test_log_is_kept_short_by_who_commits),
		STORE_TEST(test_newer_version),
		STORE_TEST(test_not_ours),
		STORE_TEST(test_damaged),
		STORE_TEST(test_no_directory),
		STORE_TEST(test_unwritable_directory),
		STORE_TEST(test_readonly_while_open),
		STORE_TEST(test_readonly_when_closed),
		STORE_TEST(test_readonly_of_none),
		STORE_TEST(test_write_without_begin),
		STORE_TEST(test_threads),
		STORE_TEST(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
