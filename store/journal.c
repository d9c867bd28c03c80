/*
 * store/journal.c: the steps of the plan. Every step is a row before it is an
 * action, so that what was interrupted is known.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

static const char *const states[] = {
	[JOURNAL_WAITING] = "waiting",
	[JOURNAL_RUNNING] = "running",
	[JOURNAL_FAILED] = "failed",
	[JOURNAL_DONE] = "done",
};

const char *journal_state_name(enum journal_state st)
{
	return st < ARRAY_LEN(states) ? states[st] : "unknown";
}

static enum journal_state state_of(const char *word)
{
	enum journal_state st = JOURNAL_WAITING;

	while (st < JOURNAL_DONE && !text_eq(word, states[st]))
		st++;
	return st;
}

/* What the journal knows of a step; *found false when it is new. */
static enum rc find(struct store *s, struct store_step *step, struct arena *a,
	bool *found, bool *same_reason, struct err *e)
{
	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, SQL_STEP_FIND,
		ARGS(T(step->kind), T(step->subject), T(step->room)));
	enum rc rc = stmt_step(s, q, found, e);
	if (rc == RC_OK && *found) {
		step->id = sqlite3_column_int64(q, 0);
		step->state = state_of((const char *)sqlite3_column_text(q, 1));
		step->attempt = sqlite3_column_int(q, 2);
		step->created_ms = sqlite3_column_int64(q, 3);
		step->updated_ms = sqlite3_column_int64(q, 4);
		step->next_attempt_ms = sqlite3_column_int64(q, 5);
		step->error = column_text(q, 6, a);
		*same_reason = text_eq(
			(const char *)sqlite3_column_text(q, 7), step->reason);
		step->unsure = sqlite3_column_int(q, 8);
	}
	stmt_done(q);
	store_unlock(s);
	if (rc == RC_OK && !arena_ok(a))
		rc = err_nomem(e);
	return rc;
}

static enum rc add(
	struct store *s, struct store_step *step, int64_t now_ms, struct err *e)
{
	enum rc rc = store_write(s, SQL_STEP_ADD,
		ARGS(T(step->kind), T(step->subject), T(step->room),
			T(step->reason), N(now_ms)),
		e);
	if (rc != RC_OK)
		return rc;
	step->id = sqlite3_last_insert_rowid(s->db);
	step->state = JOURNAL_WAITING;
	step->attempt = 0;
	step->unsure = false;
	step->created_ms = step->updated_ms = now_ms;
	step->next_attempt_ms = 0;
	step->error = NULL;
	return RC_OK;
}

static int by_id(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void read_id(sqlite3_stmt *q, void *element, struct intern *t)
{
	int64_t *id = element;

	(void)t;
	*id = sqlite3_column_int64(q, 0);
}

/* Removes the unfinished rows that are not among ids, which are sorted. */
static enum rc remove_others(
	struct store *s, const int64_t *ids, size_t n, struct err *e)
{
	static const struct rows unfinished = {
		.list = SQL_STEPS_UNFINISHED,
		.count = SQL_STATEMENTS,
		.size = sizeof(int64_t),
		.read = read_id,
	};
	struct arena a = { 0 };
	int64_t *there = NULL;
	size_t n_there = 0;

	enum rc rc = store_list(s, &unfinished, &a, &there, &n_there, e);
	for (size_t i = 0; rc == RC_OK && i < n_there; i++)
		if (!bsearch(&there[i], ids, n, sizeof(*ids), by_id))
			rc = store_write(
				s, SQL_STEP_REMOVE, ARGS(N(there[i])), e);
	arena_free(&a);
	return rc;
}

/* Rows that stay as they are are only read. */
enum rc store_journal_sync(struct store *s, struct store_step *steps, size_t n,
	int64_t now_ms, struct arena *a, struct err *e)
{
	enum rc rc = RC_OK;
	int64_t *ids = calloc(n + 1, sizeof(*ids));

	if (!ids)
		return err_nomem(e);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		bool found = false, same_reason = true;
		rc = find(s, &steps[i], a, &found, &same_reason, e);
		if (rc == RC_OK && !found)
			rc = add(s, &steps[i], now_ms, e);
		if (rc == RC_OK && !same_reason)
			rc = store_write(s, SQL_STEP_REASON,
				ARGS(N(steps[i].id), T(steps[i].reason)), e);
		ids[i] = steps[i].id;
	}
	if (rc == RC_OK) {
		qsort(ids, n, sizeof(*ids), by_id);
		rc = remove_others(s, ids, n, e);
	}
	free(ids);
	return rc;
}

static enum rc change(struct store *s, enum sql id, const struct arg *args,
	size_t n, int64_t step, struct err *e)
{
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)step);
	return store_change(s, id, args, n, "unfinished step", number, e);
}

enum rc store_journal_start(
	struct store *s, int64_t id, int64_t now_ms, struct err *e)
{
	return change(s, SQL_STEP_START, ARGS(N(id), N(now_ms)), id, e);
}

enum rc store_journal_done(
	struct store *s, int64_t id, int64_t now_ms, struct err *e)
{
	enum rc rc = change(s, SQL_STEP_DONE, ARGS(N(id), N(now_ms)), id, e);

	if (rc == RC_OK)
		rc = store_write(s, SQL_STEPS_TRIM, NO_ARGS, e);
	return rc;
}

enum rc store_journal_failed(struct store *s, int64_t id, const char *error,
	bool unsure, int64_t next_attempt_ms, int64_t now_ms, struct err *e)
{
	return change(s, SQL_STEP_FAILED,
		ARGS(N(id), T(error), N(next_attempt_ms), N(now_ms), N(unsure)),
		id, e);
}

static void read_step(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_step *step = element;

	*step = (struct store_step){
		.id = sqlite3_column_int64(q, 0),
		.kind = column_intern(q, 1, t),
		.subject = column_intern(q, 2, t),
		.room = column_intern(q, 3, t),
		.reason = column_intern(q, 4, t),
		.state = state_of((const char *)sqlite3_column_text(q, 5)),
		.attempt = sqlite3_column_int(q, 6),
		.created_ms = sqlite3_column_int64(q, 7),
		.updated_ms = sqlite3_column_int64(q, 8),
		.next_attempt_ms = sqlite3_column_int64(q, 9),
		.error = column_intern(q, 10, t),
	};
}

/* The steps of a query. */
static struct rows steps_by(enum sql id, const struct arg *args, size_t n)
{
	return (struct rows){
		.list = id,
		.count = SQL_STATEMENTS,
		.args = args,
		.n_args = n,
		.size = sizeof(struct store_step),
		.read = read_step,
	};
}

enum rc store_journal_list(struct store *s, size_t limit, struct arena *a,
	struct store_step **ret, size_t *n, struct err *e)
{
	const struct arg args[] = { N(sql_limit(limit)) };
	const struct rows rows = steps_by(SQL_STEP_LIST, args, ARRAY_LEN(args));

	return store_list(s, &rows, a, ret, n, e);
}

enum rc store_journal_done_of(struct store *s, const char *kind,
	int64_t since_ms, int64_t until_ms, struct arena *a,
	struct store_step **ret, size_t *n, struct err *e)
{
	const struct arg args[] = { T(kind), N(since_ms), N(until_ms) };
	const struct rows rows =
		steps_by(SQL_STEPS_OF_KIND_DONE, args, ARRAY_LEN(args));

	return store_list(s, &rows, a, ret, n, e);
}

enum rc store_journal_get(struct store *s, int64_t id, struct arena *a,
	struct store_step *ret, struct err *e)
{
	const struct arg args[] = { N(id) };
	const struct rows rows = steps_by(SQL_STEP_GET, args, ARRAY_LEN(args));
	struct store_step *found = NULL;
	size_t n = 0;

	enum rc rc = store_list(s, &rows, a, &found, &n, e);
	if (rc == RC_OK && n == 0)
		return err_set(e, RC_NOT_FOUND, "no step %lld in the journal",
			(long long)id);
	if (rc == RC_OK)
		*ret = found[0];
	return rc;
}

enum rc store_journal_hurry(struct store *s, int64_t id, const char *subject,
	const char *room, int64_t now_ms, size_t *n, struct err *e)
{
	enum rc rc = store_write(s, SQL_STEPS_HURRY,
		ARGS(N(id), T(subject), T(room), N(now_ms)), e);

	if (rc == RC_OK)
		*n = (size_t)sqlite3_changes(s->db);
	return rc;
}

enum rc store_journal_hurried(struct store *s, int64_t since_ms,
	struct arena *a, struct store_step **ret, size_t *n, struct err *e)
{
	const struct arg args[] = { N(since_ms) };
	const struct rows rows =
		steps_by(SQL_STEPS_HURRIED, args, ARRAY_LEN(args));

	return store_list(s, &rows, a, ret, n, e);
}

enum rc store_journal_counts(
	struct store *s, int64_t *waiting, int64_t *failed, struct err *e)
{
	bool row = false;

	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, SQL_STEP_COUNTS, NO_ARGS);
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row) {
		*waiting = sqlite3_column_int64(q, 0);
		*failed = sqlite3_column_int64(q, 1);
	}
	stmt_done(q);
	store_unlock(s);
	return rc;
}
