/*
 * store/rotations.c: new tokens that somebody asked for, and how often they are
 * wanted without being asked for.
 */
#include <stdio.h>

#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

/* How often a new token is wanted of all agents, in milliseconds. */
#define NOTE_EVERY "rotate_every_ms"

enum rc store_rotation_want(struct store *s, const char *user_id,
	const struct store_rotation *r, int64_t now_ms, struct err *e)
{
	enum rc rc = store_write(s, SQL_ROTATION_JOIN,
		ARGS(T(user_id), N(r->run), N(r->at_once), T(r->why)), e);

	if (rc != RC_OK || sqlite3_changes(s->db) > 0)
		return rc;
	return store_write(s, SQL_ROTATION_WANT,
		ARGS(T(user_id), N(r->run), N(r->at_once), T(r->why),
			N(now_ms)),
		e);
}

/* What the state was when the row was read. */
#define STATE_OF(was) T(rotation_state_name((was)->rotation.state))

enum rc store_rotation_move(struct store *s, const struct store_agent *was,
	enum rotation_state st, const char *error, int64_t now_ms, bool *moved,
	struct err *e)
{
	enum rc rc = store_write(s, SQL_ROTATION_MOVE,
		ARGS(T(was->user_id), T(rotation_state_name(st)), T(error),
			N(now_ms), STATE_OF(was), N(was->rotation.run)),
		e);

	if (moved)
		*moved = rc == RC_OK && sqlite3_changes(s->db) > 0;
	return rc;
}

enum rc store_rotation_ask(struct store *s, const struct store_agent *was,
	int64_t generation, int64_t now_ms, bool *moved, struct err *e)
{
	enum rc rc = store_write(s, SQL_ROTATION_ASK,
		ARGS(T(was->user_id), N(generation), N(now_ms)), e);

	*moved = rc == RC_OK && sqlite3_changes(s->db) > 0;
	return rc;
}

enum rc store_rotation_again(struct store *s, const struct store_agent *was,
	int64_t now_ms, struct err *e)
{
	return store_write(s, SQL_ROTATION_AGAIN,
		ARGS(T(was->user_id), N(now_ms), STATE_OF(was),
			N(was->rotation.run)),
		e);
}

enum rc store_rotation_logged_in(struct store *s, const char *user_id,
	bool at_once, int64_t generation, int64_t now_ms, struct err *e)
{
	return store_write(s, SQL_ROTATION_LOGGED_IN,
		ARGS(T(user_id), N(generation), N(now_ms), N(at_once)), e);
}

enum rc store_rotation_in_trouble(
	struct store *s, int64_t run, bool *ret, struct err *e)
{
	size_t n = 0;
	bool row = true;
	enum rc rc = RC_OK;

	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, SQL_ROTATION_LAST, ARGS(N(run)));
	while (rc == RC_OK && row) {
		rc = stmt_step(s, q, &row, e);
		n += rc == RC_OK && row &&
			text_eq((const char *)sqlite3_column_text(q, 0),
				rotation_state_name(ROTATION_UNACKNOWLEDGED));
	}
	stmt_done(q);
	store_unlock(s);
	*ret = n == 2;
	return rc;
}

enum rc store_rotation_stop(struct store *s, int64_t run, const char *why,
	int64_t now_ms, struct err *e)
{
	return store_write(
		s, SQL_ROTATION_STOP, ARGS(N(run), T(why), N(now_ms)), e);
}

enum rc store_rotate_every(
	struct store *s, const char *user_id, int64_t every_ms, struct err *e)
{
	char text[32];

	if (user_id)
		return store_change(s, SQL_AGENT_EVERY,
			ARGS(T(user_id), N(every_ms)), "agent", user_id, e);
	snprintf(text, sizeof(text), "%lld", (long long)every_ms);
	enum rc rc = store_write(s, SQL_AGENTS_EVERY, NO_ARGS, e);
	if (rc == RC_OK)
		rc = store_note_set(
			s, NOTE_EVERY, every_ms > 0 ? text : NULL, e);
	return rc;
}

enum rc store_rotate_every_all(
	struct store *s, struct arena *a, int64_t *ret, struct err *e)
{
	const char *text = NULL;
	enum rc rc = store_note_get(s, NOTE_EVERY, a, &text, e);

	*ret = 0;
	if (rc == RC_OK && text)
		(void)!str_i64(str_of(text), 0, INT64_MAX, ret);
	return rc;
}
