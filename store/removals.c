/*
 * store/removals.c: agents that somebody took out of a room where they are
 * declared: the last two of each, from which the plan tells an accident from
 * somebody's will.
 */
#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

static enum rc is_banned(struct store *s, const struct store_removal *r,
	bool *ret, struct err *e)
{
	bool row = false;

	store_lock(s);
	sqlite3_stmt *q = stmt_get(
		s, SQL_MEMBERSHIP_OF, ARGS(T(r->room_id), T(r->user_id)));
	enum rc rc = stmt_step(s, q, &row, e);
	*ret = rc == RC_OK && row &&
		text_eq((const char *)sqlite3_column_text(q, 0), "ban");
	stmt_done(q);
	store_unlock(s);
	return rc;
}

/* Of each the last two are kept. */
static enum rc trim(
	struct store *s, const struct store_removal *r, struct err *e)
{
	return store_write(
		s, SQL_REMOVAL_TRIM, ARGS(T(r->room_id), T(r->user_id)), e);
}

/* It may be known from a look, which cannot say who it was. */
static enum rc add(
	struct store *s, const struct store_removal *r, struct err *e)
{
	const struct arg args[] = { T(r->room_id), T(r->user_id), T(r->by),
		N(r->ban), N(r->at_ms), T(r->event_id) };
	const size_t n = ARRAY_LEN(args);
	enum rc rc = r->event_id ? store_write(s, SQL_REMOVAL_TAKE, args, n, e)
				 : RC_OK;

	if (rc == RC_OK && (!r->event_id || sqlite3_changes(s->db) == 0))
		rc = store_write(s, SQL_REMOVAL_ADD, args, n, e);
	return rc == RC_OK ? trim(s, r, e) : rc;
}

enum rc store_removal_add(
	struct store *s, const struct store_removal *r, struct err *e)
{
	bool matters = false, known = false, banned = false;
	enum rc rc = store_ask(s, SQL_REMOVAL_MATTERS,
		ARGS(T(r->room_id), T(r->user_id), T(r->by), N(r->at_ms)),
		&matters, NULL, e);

	if (rc == RC_OK && matters && r->event_id)
		rc = store_ask(s, SQL_REMOVAL_KNOWN,
			ARGS(T(r->room_id), T(r->user_id), T(r->event_id)),
			&known, NULL, e);
	if (rc != RC_OK || !matters || known)
		return rc;
	if (!r->ban)
		rc = is_banned(s, r, &banned, e);
	if (rc == RC_OK && banned)
		return store_write(s, SQL_REMOVAL_UNBAN,
			ARGS(T(r->room_id), T(r->user_id)), e);
	return rc == RC_OK ? add(s, r, e) : rc;
}

enum rc store_removal_lost(
	struct store *s, const struct store_removal *r, struct err *e)
{
	bool is = false;
	enum rc rc = store_ask(s, SQL_REMOVAL_IS_LOST,
		ARGS(T(r->room_id), T(r->user_id), T(r->event_id), N(r->at_ms)),
		&is, NULL, e);

	if (rc != RC_OK || !is)
		return rc;
	/* With the event, by which it is known that there was one. */
	rc = store_write(s, SQL_REMOVAL_ADD,
		ARGS(T(r->room_id), T(r->user_id), T(NULL), N(0), N(r->at_ms),
			T(r->event_id)),
		e);
	return rc == RC_OK ? trim(s, r, e) : rc;
}

enum rc store_removals_forgive(struct store *s, const char *user_id,
	int64_t now_ms, size_t *n, struct err *e)
{
	*n = 0;
	enum rc rc = store_write(s, SQL_REMOVALS_FORGIVE, ARGS(T(user_id)), e);

	if (rc != RC_OK)
		return rc;
	*n = (size_t)sqlite3_changes(s->db);
	return store_write(s, SQL_REMOVALS_ASK, ARGS(T(user_id), N(now_ms)), e);
}

enum rc store_removal_refused(struct store *s, const char *room_id,
	const char *user_id, struct err *e)
{
	return store_write(
		s, SQL_REMOVAL_REFUSED, ARGS(T(room_id), T(user_id)), e);
}
