/*
 * store/txns.c: the transactions of the homeserver: which were seen, what of
 * them was put aside, how many there were.
 */
#include <string.h>

#include "base/limits.h"
#include "store/store_priv.h"

#include "base/poison.h"

bool store_txn_seen(struct store *s, const char *txn_id,
	const unsigned char digest[SHA256_LEN])
{
	store_lock(s);
	bool seen = window_has(&s->window, txn_id, digest);
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

enum rc store_quarantine_add(
	struct store *s, const struct store_quarantined *q, struct err *e)
{
	if (strlen(q->bytes) > LIMIT_EVENT)
		return err_set(e, RC_TOO_LARGE,
			"%zu bytes for the quarantine, which takes %zu",
			strlen(q->bytes), LIMIT_EVENT);
	enum rc rc = store_write(s, SQL_QUARANTINE_ADD,
		ARGS(T(q->txn_id), N(q->index), T(q->reason), N(q->received_ms),
			T(q->bytes)),
		e);
	if (rc == RC_OK)
		rc = store_write(
			s, SQL_QUARANTINE_TRIM, ARGS(N(LIMIT_QUARANTINE)), e);
	return rc;
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

enum rc store_txn_count(
	struct store *s, const struct store_txn_counts *more, struct err *e)
{
	return store_write(s, SQL_TXN_COUNT,
		ARGS(N(more->seen), N(more->repeated), N(more->events),
			N(more->quarantined), N(more->last_ms)),
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
			.quarantined = sqlite3_column_int64(q, 3),
			.last_ms = sqlite3_column_int64(q, 4),
		};
	stmt_done(q);
	store_unlock(s);
	return rc;
}
