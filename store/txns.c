/*
 * store/txns.c: the transactions of the homeserver: which were seen, what of
 * them was put aside, how many there were.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "store/store_priv.h"

#include "base/poison.h"

bool store_txn_seen(struct store *s, const char *txn_id,
	const unsigned char digest[SHA256_LEN])
{
	store_lock(s);
	/* Of a stale one some entries were undone: store_begin() loads it. */
	bool seen = !s->window.stale && window_has(&s->window, txn_id, digest);
	store_unlock(s);
	return seen;
}

enum rc store_txn_add(struct store *s, const char *txn_id,
	const unsigned char digest[SHA256_LEN], int64_t now_ms, struct err *e)
{
	store_lock(s);
	int64_t seq = window_add(&s->window, txn_id, digest);
	enum rc rc = store_write(s, SQL_TXN_ADD,
		ARGS(N(seq % STORE_TXN_WINDOW), N(seq), T(txn_id),
			B(digest, SHA256_LEN), N(now_ms)),
		e);
	store_unlock(s);
	return rc;
}

static enum rc total(
	struct store *s, struct store_quarantine_total *ret, struct err *e)
{
	bool row = false;

	sqlite3_stmt *q = stmt_get(s, SQL_QUARANTINE_TOTAL, NO_ARGS);
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row)
		*ret = (struct store_quarantine_total){
			.kept = sqlite3_column_int64(q, 0),
			.bytes = sqlite3_column_int64(q, 1),
			.dropped = sqlite3_column_int64(q, 2),
		};
	stmt_done(q);
	return rc;
}

enum rc store_quarantine_total(
	struct store *s, struct store_quarantine_total *ret, struct err *e)
{
	store_lock(s);
	enum rc rc = total(s, ret, e);
	store_unlock(s);
	return rc;
}

/* The oldest leave until there is room for what there is. */
static enum rc make_room(struct store *s, struct err *e)
{
	struct store_quarantine_total t = { 0 };
	int64_t dropped = 0;

	enum rc rc = store_quarantine_total(s, &t, e);
	while (rc == RC_OK && t.kept > 0 &&
		(t.kept > LIMIT_QUARANTINE ||
			t.bytes > (int64_t)LIMIT_QUARANTINE_BYTES)) {
		rc = store_write(s, SQL_QUARANTINE_DROP, NO_ARGS, e);
		dropped++;
		if (rc == RC_OK)
			rc = store_quarantine_total(s, &t, e);
	}
	if (rc == RC_OK && dropped > 0)
		rc = store_write(
			s, SQL_QUARANTINE_DROPPED, ARGS(N(dropped)), e);
	return rc;
}

enum rc store_quarantine_add(
	struct store *s, const struct store_quarantined *q, struct err *e)
{
	size_t size = strlen(q->bytes);

	if (size > LIMIT_EVENT)
		return err_set(e, RC_TOO_LARGE,
			"%zu bytes for the quarantine, which takes %zu", size,
			LIMIT_EVENT);
	enum rc rc = store_write(s, SQL_QUARANTINE_ADD,
		ARGS(T(q->txn_id), N(q->index), T(q->reason), N(q->received_ms),
			N(q->partial), N((int64_t)size), T(q->bytes)),
		e);
	return rc == RC_OK ? make_room(s, e) : rc;
}

enum rc store_quarantine_skip(struct store *s, int64_t n, struct err *e)
{
	return store_write(s, SQL_QUARANTINE_DROPPED, ARGS(N(n)), e);
}

static void read_quarantined(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_quarantined *row = element;

	*row = (struct store_quarantined){
		.id = sqlite3_column_int64(q, 0),
		.txn_id = column_intern(q, 1, t),
		.index = sqlite3_column_int64(q, 2),
		.bytes = column_text(q, 3, t->a),
		.reason = column_intern(q, 4, t),
		.received_ms = sqlite3_column_int64(q, 5),
		.partial = sqlite3_column_int(q, 6),
	};
}

enum rc store_quarantine_list(struct store *s, struct arena *a,
	struct store_quarantined **ret, size_t *n, struct err *e)
{
	static const struct rows rows = {
		.list = SQL_QUARANTINE_LIST,
		.count = SQL_STATEMENTS,
		.size = sizeof(**ret),
		.read = read_quarantined,
	};

	return store_list(s, &rows, a, ret, n, e);
}

enum rc store_quarantine_get(struct store *s, int64_t id, struct arena *a,
	struct store_quarantined *ret, struct err *e)
{
	const struct arg args[] = { N(id) };
	const struct rows rows = {
		.list = SQL_QUARANTINE_GET,
		.count = SQL_STATEMENTS,
		.args = args,
		.n_args = ARRAY_LEN(args),
		.size = sizeof(*ret),
		.read = read_quarantined,
	};
	struct store_quarantined *row = NULL;
	size_t n = 0;

	enum rc rc = store_list(s, &rows, a, &row, &n, e);
	if (rc == RC_OK && n == 0)
		rc = err_set(e, RC_NOT_FOUND,
			"there is no %lld in the quarantine: `muster "
			"quarantine` lists what there is",
			(long long)id);
	if (rc == RC_OK)
		*ret = *row;
	return rc;
}

static enum rc change(struct store *s, enum sql id, const struct arg *args,
	size_t n, int64_t row, struct err *e)
{
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)row);
	return store_change(s, id, args, n, "quarantined event", number, e);
}

enum rc store_quarantine_reason(
	struct store *s, int64_t id, const char *reason, struct err *e)
{
	return change(s, SQL_QUARANTINE_REASON, ARGS(N(id), T(reason)), id, e);
}

enum rc store_quarantine_remove(struct store *s, int64_t id, struct err *e)
{
	return change(s, SQL_QUARANTINE_REMOVE, ARGS(N(id)), id, e);
}

enum rc store_txn_count(
	struct store *s, const struct store_txn_counts *more, struct err *e)
{
	return store_write(s, SQL_TXN_COUNT,
		ARGS(N(more->seen), N(more->repeated), N(more->events),
			N(more->applied), N(more->quarantined),
			N(more->ephemeral), N(more->to_device),
			N(more->device_lists), N(more->key_counts),
			N(more->refused), N(more->last_ms)),
		e);
}

enum rc store_txn_counts(
	struct store *s, struct store_txn_counts *ret, struct err *e)
{
	bool row = false;

	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, SQL_TXN_COUNTS, NO_ARGS);
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row)
		*ret = (struct store_txn_counts){
			.seen = sqlite3_column_int64(q, 0),
			.repeated = sqlite3_column_int64(q, 1),
			.events = sqlite3_column_int64(q, 2),
			.applied = sqlite3_column_int64(q, 3),
			.quarantined = sqlite3_column_int64(q, 4),
			.ephemeral = sqlite3_column_int64(q, 5),
			.to_device = sqlite3_column_int64(q, 6),
			.device_lists = sqlite3_column_int64(q, 7),
			.key_counts = sqlite3_column_int64(q, 8),
			.refused = sqlite3_column_int64(q, 9),
			.last_ms = sqlite3_column_int64(q, 10),
		};
	stmt_done(q);
	store_unlock(s);
	return rc;
}
