/*
 * tests/unit/store_fixture.c: a store in a fresh directory, for one test.
 */
#include "tests/unit/store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/folder.h"

#include "base/poison.h"

int store_fixture_open(void **state)
{
	struct store_fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "%s/muster-store-XXXXXX",
		tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/muster.db", f->dir);
	assert_ok(store_open(f->path, &f->s, &f->e), f->e);
	*state = f;
	return 0;
}

int store_fixture_close(void **state)
{
	struct store_fixture *f = *state;

	if (f->s)
		store_rollback(f->s);
	store_close(f->s);
	arena_free(&f->a);
	folder_remove_all(f->dir);
	free(f);
	return 0;
}

void store_fixture_reopen(struct store_fixture *f)
{
	store_close(f->s);
	f->s = NULL;
	assert_ok(store_open(f->path, &f->s, &f->e), f->e);
}

int64_t store_fixture_sql(struct store_fixture *f, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	int64_t ret = 0;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	int code = sqlite3_step(q);
	if (code == SQLITE_ROW)
		ret = sqlite3_column_int64(q, 0);
	else if (code != SQLITE_DONE)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(q);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return ret;
}

/* --- a writer that is killed -------------------------------------------------- */

static _Noreturn void commit_until_killed(
	const char *path, enum store_place place, int tell)
{
	const struct store_options o = { .place = place };
	const struct store_txn_counts one = { .seen = 1, .events = 1 };
	struct store *s = NULL;
	char text[24];

	if (store_open_with(path, &o, &s, NULL) != RC_OK)
		_exit(1);
	for (int64_t i = 1;; i++) {
		snprintf(text, sizeof(text), "%lld", (long long)i);
		if (store_begin(s, NULL) != RC_OK ||
			store_note_set(s, "first", text, NULL) != RC_OK ||
			store_txn_count(s, &one, NULL) != RC_OK ||
			store_note_set(s, "last", text, NULL) != RC_OK ||
			store_commit(s, NULL) != RC_OK ||
			write(tell, &i, sizeof(i)) != sizeof(i))
			_exit(2);
	}
}

int64_t store_kill_in_the_middle(
	const char *path, enum store_place place, int64_t after)
{
	int fds[2], status = 0;
	int64_t told = 0, last = 0;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		commit_until_killed(path, place, fds[1]);
	}
	close(fds[1]);
	while (last < after && read(fds[0], &told, sizeof(told)) > 0)
		last = told;
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(fds[0], &told, sizeof(told)) == sizeof(told))
		last = told;
	close(fds[0]);
	return last;
}
