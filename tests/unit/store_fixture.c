/*
 * tests/unit/store_fixture.c: a store in a fresh directory, for one test.
 */
#include "tests/unit/store_fixture.h"

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
	char path[600];

	if (f->s)
		store_rollback(f->s);
	store_close(f->s);
	arena_free(&f->a);
	DIR *dir = opendir(f->dir);
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, d->d_name);
		if (d->d_name[0] != '.')
			unlink(path);
	}
	closedir(dir);
	rmdir(f->dir);
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
