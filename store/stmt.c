/*
 * store/stmt.c: how statements are run: arguments are bound, rows are copied
 * out, and what SQLite says becomes a result code and words. A statement is
 * reset on every path, since one left open holds back the checkpoint and the
 * closing of the store.
 */
#include <assert.h>
#include <string.h>

#include "store/store_priv.h"

#include "base/poison.h"

struct advice {
	int code; /* SQLite's, extended or primary */
	enum rc rc;
	const char *words; /* what to do; "" when its own words are enough */
};

static const struct advice advice[] = {
	{ SQLITE_CONSTRAINT_FOREIGNKEY, RC_NOT_FOUND, "" },
	{ SQLITE_NOMEM, RC_NOMEM, "" },
	{ SQLITE_BUSY, RC_BUSY,
		": another program writes to it; end that one's transaction" },
	{ SQLITE_LOCKED, RC_BUSY, "" },
	{ SQLITE_NOTADB, RC_CORRUPT,
		": move it away, or name another file in store.path" },
	{ SQLITE_CORRUPT, RC_CORRUPT,
		": the file is damaged; stop the service and bring back a "
		"backup, or move it away to begin with an empty one" },
	{ SQLITE_READONLY, RC_IO,
		": also who only looks must be able to write in its directory; "
		"do it as the service's user" },
	{ SQLITE_FULL, RC_IO, ": make room on the disk" },
	{ SQLITE_CONSTRAINT, RC_INVALID, "" },
	{ SQLITE_TOOBIG, RC_TOO_LARGE, "" },
};

enum rc db_fail(sqlite3 *db, const char *path, struct err *e)
{
	int code = sqlite3_extended_errcode(db);
	int why = sqlite3_system_errno(db);
	struct advice found = { code, RC_IO, "" };

	for (size_t i = 0; i < ARRAY_LEN(advice); i++)
		if (advice[i].code == code || advice[i].code == (code & 0xff)) {
			found = advice[i];
			break;
		}
	/* SQLite's words for a failed open() or write() do not say why. */
	bool by_system = (code & 0xff) == SQLITE_CANTOPEN ||
		(code & 0xff) == SQLITE_IOERR;
	return err_set(e, found.rc, "store %s: %s%s%s%s", path,
		sqlite3_errmsg(db), by_system && why ? ": " : "",
		by_system && why ? strerror(why) : "", found.words);
}

static void bind_arg(sqlite3_stmt *q, int at, const struct arg *arg)
{
	int code = SQLITE_OK;

	if (arg->type == ARG_NUMBER)
		code = sqlite3_bind_int64(q, at, arg->n);
	else if (arg->type == ARG_TEXT)
		code = sqlite3_bind_text(q, at, arg->p, -1, SQLITE_STATIC);
	else
		code = sqlite3_bind_blob64(
			q, at, arg->p, (sqlite3_uint64)arg->n, SQLITE_STATIC);
	/* Nothing is copied, so only a wrong number of arguments can fail. */
	assert(code == SQLITE_OK);
}

sqlite3_stmt *stmt_get(
	struct store *s, enum sql id, const struct arg *args, size_t n)
{
	sqlite3_stmt *q = s->statements[id];

	assert(!sqlite3_stmt_busy(q));
	assert((size_t)sqlite3_bind_parameter_count(q) == n);
	for (size_t i = 0; i < n; i++)
		bind_arg(q, (int)i + 1, &args[i]);
	return q;
}

enum rc stmt_step(struct store *s, sqlite3_stmt *q, bool *row, struct err *e)
{
	int code = sqlite3_step(q);

	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return db_fail(s->db, s->path, e);
	*row = code == SQLITE_ROW;
	return RC_OK;
}

void stmt_done(sqlite3_stmt *q)
{
	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
}

enum rc stmt_run(struct store *s, enum sql id, const struct arg *args, size_t n,
	struct err *e)
{
	bool row = false;
	sqlite3_stmt *q = stmt_get(s, id, args, n);
	enum rc rc = stmt_step(s, q, &row, e);

	assert(!row);
	stmt_done(q);
	return rc;
}

enum rc store_write(struct store *s, enum sql id, const struct arg *args,
	size_t n, struct err *e)
{
	enum rc rc = RC_OK;

	store_lock(s);
	assert(s->writing);
	/* After a full disk SQLite may have undone the transaction by itself;
	 * without it this change would be committed alone. */
	if (sqlite3_get_autocommit(s->db))
		rc = err_set(e, RC_IO,
			"store %s: the transaction was undone after an error",
			s->path);
	else
		rc = stmt_run(s, id, args, n, e);
	store_unlock(s);
	return rc;
}

enum rc store_change(struct store *s, enum sql id, const struct arg *args,
	size_t n, const char *what, const char *name, struct err *e)
{
	enum rc rc = store_write(s, id, args, n, e);

	if (rc == RC_OK && sqlite3_changes(s->db) == 0)
		rc = err_set(
			e, RC_NOT_FOUND, "no %s %s in the store", what, name);
	return rc;
}

const char *column_text(sqlite3_stmt *q, int column, struct arena *a)
{
	if (sqlite3_column_type(q, column) == SQLITE_NULL)
		return NULL;
	const char *text = (const char *)sqlite3_column_text(q, column);
	if (!text) {
		a->failed = true;
		return NULL;
	}
	return arena_strdup(a, text);
}

const char *column_intern(sqlite3_stmt *q, int column, struct intern *t)
{
	if (sqlite3_column_type(q, column) == SQLITE_NULL)
		return NULL;
	const char *text = (const char *)sqlite3_column_text(q, column);
	if (!text)
		t->a->failed = true;
	return intern(t, text);
}

enum rc store_ask(struct store *s, enum sql id, const struct arg *args,
	size_t n, bool *row, int64_t *number, struct err *e)
{
	*row = false;
	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, id, args, n);
	enum rc rc = stmt_step(s, q, row, e);
	if (rc == RC_OK && *row && number)
		*number = sqlite3_column_int64(q, 0);
	stmt_done(q);
	store_unlock(s);
	return rc;
}
