/*
 * store/snapshot.c: agents and rooms as rows: everything that is, read in one
 * transaction, or one of them.
 */
#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

static enum agent_state agent_state_of(const char *word)
{
	enum agent_state st = AGENT_DECLARED;

	while (st < AGENT_BLOCKED && !text_eq(word, agent_state_name(st)))
		st++;
	return st;
}

static void read_agent(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_agent *a = element;

	*a = (struct store_agent){
		/* Interned, so that other rows share it. */
		.user_id = column_intern(q, 0, t),
		.sender = sqlite3_column_int(q, 1) != 0,
		.declared = sqlite3_column_int(q, 2) != 0,
		.name = column_text(q, 3, t->a),
		.department = column_intern(q, 4, t),
		.team = column_intern(q, 5, t),
		.level = column_intern(q, 6, t),
		.state =
			agent_state_of((const char *)sqlite3_column_text(q, 7)),
		.device_id = column_intern(q, 8, t),
		.generation = sqlite3_column_int64(q, 9),
		.acked_generation = sqlite3_column_int64(q, 10),
		.since_ms = sqlite3_column_int64(q, 11),
		.shown_name = column_text(q, 12, t->a),
		.token_sha256 = column_text(q, 13, t->a),
		.error = column_text(q, 14, t->a),
	};
}

static void read_room(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_room *r = element;

	*r = (struct store_room){
		.key = column_text(q, 0, t->a),
		.direct = sqlite3_column_int(q, 1) != 0,
		.declared = sqlite3_column_int(q, 2) != 0,
		.alias = column_text(q, 3, t->a),
		.room_id = column_intern(q, 4, t),
		.maker = column_intern(q, 5, t),
		.name = column_intern(q, 6, t),
		.power = column_intern(q, 7, t),
		.version = column_intern(q, 8, t),
	};
}

static void read_membership(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_membership *m = element;

	*m = (struct store_membership){
		.room_id = column_intern(q, 0, t),
		.user_id = column_intern(q, 1, t),
		.membership = column_intern(q, 2, t),
		.origin_ts = sqlite3_column_int64(q, 3),
		.source = column_intern(q, 4, t),
	};
}

static void read_mark(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_mark *m = element;

	m->room_id = column_intern(q, 0, t);
	m->user_id = column_intern(q, 1, t);
}

static void read_declared(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_declared_member *m = element;

	m->key = column_intern(q, 0, t);
	m->user_id = column_intern(q, 1, t);
}

static const struct rows agents = {
	.list = SQL_AGENT_LIST,
	.count = SQL_AGENT_COUNT,
	.size = sizeof(struct store_agent),
	.read = read_agent,
};

static const struct rows rooms = {
	.list = SQL_ROOM_LIST,
	.count = SQL_ROOM_COUNT,
	.size = sizeof(struct store_room),
	.read = read_room,
};

static const struct rows memberships = {
	.list = SQL_MEMBERSHIP_LIST,
	.count = SQL_MEMBERSHIP_COUNT,
	.size = sizeof(struct store_membership),
	.read = read_membership,
};

static const struct rows marks = {
	.list = SQL_MARK_LIST,
	.count = SQL_MARK_COUNT,
	.size = sizeof(struct store_mark),
	.read = read_mark,
};

static const struct rows declared = {
	.list = SQL_MEMBER_LIST,
	.count = SQL_MEMBER_COUNT,
	.size = sizeof(struct store_declared_member),
	.read = read_declared,
};

static enum rc read_all(struct store *s, struct intern *t,
	struct store_snapshot *ret, struct err *e)
{
	enum rc rc = rows_read(s, &agents, t, &ret->agents, &ret->n_agents, e);

	if (rc == RC_OK)
		rc = rows_read(s, &rooms, t, &ret->rooms, &ret->n_rooms, e);
	if (rc == RC_OK)
		rc = rows_read(s, &memberships, t, &ret->memberships,
			&ret->n_memberships, e);
	if (rc == RC_OK)
		rc = rows_read(s, &marks, t, &ret->marks, &ret->n_marks, e);
	return rc;
}

enum rc store_snapshot(struct store *s, struct arena *a,
	struct store_snapshot *ret, struct err *e)
{
	struct store_snapshot all = { 0 };
	struct intern t = { .a = a };

	store_lock(s);
	/* Who writes reads in its own transaction. */
	bool own = !s->writing;
	enum rc rc = own ? stmt_run(s, SQL_READ, NO_ARGS, e) : RC_OK;
	if (rc == RC_OK) {
		rc = read_all(s, &t, &all, e);
		if (own)
			(void)!stmt_run(s, SQL_ROLLBACK, NO_ARGS, NULL);
	}
	store_unlock(s);
	intern_fini(&t);
	if (rc == RC_OK)
		*ret = all;
	return rc;
}

enum rc store_declared_members(struct store *s, struct arena *a,
	struct store_declared_member **ret, size_t *n, struct err *e)
{
	return store_list(s, &declared, a, ret, n, e);
}

/* --- one of them ---------------------------------------------------------- */

/* The rows of a query with one argument, read like those of `like`. */
static enum rc list_by(struct store *s, enum sql id, const struct rows *like,
	const char *arg, struct arena *a, void *ret, size_t *n, struct err *e)
{
	const struct arg args[] = { T(arg) };
	const struct rows rows = {
		.list = id,
		.count = SQL_STATEMENTS,
		.args = args,
		.n_args = arg ? 1 : 0,
		.size = like->size,
		.read = like->read,
	};

	return store_list(s, &rows, a, ret, n, e);
}

enum rc store_agent_get(struct store *s, const char *user_id, struct arena *a,
	struct store_agent *ret, struct err *e)
{
	struct store_agent *rows = NULL;
	size_t n = 0;
	enum rc rc =
		list_by(s, SQL_AGENT_GET, &agents, user_id, a, &rows, &n, e);

	if (rc == RC_OK && n == 0)
		rc = err_set(e, RC_NOT_FOUND, "agent %s is not known", user_id);
	if (rc == RC_OK)
		*ret = rows[0];
	return rc;
}

enum rc store_agents_unanswered(struct store *s, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e)
{
	return list_by(s, SQL_AGENTS_UNANSWERED, &agents, NULL, a, ret, n, e);
}

static enum rc one_room(struct store *s, enum sql id, const char *arg,
	struct arena *a, struct store_room *ret, struct err *e)
{
	struct store_room *rows = NULL;
	size_t n = 0;
	enum rc rc = list_by(s, id, &rooms, arg, a, &rows, &n, e);

	if (rc == RC_OK && n == 0)
		rc = err_set(e, RC_NOT_FOUND, "room %s is not known", arg);
	if (rc == RC_OK)
		*ret = rows[0];
	return rc;
}

enum rc store_room_get(struct store *s, const char *key, struct arena *a,
	struct store_room *ret, struct err *e)
{
	return one_room(s, SQL_ROOM_GET, key, a, ret, e);
}

enum rc store_room_by_id(struct store *s, const char *room_id, struct arena *a,
	struct store_room *ret, struct err *e)
{
	return one_room(s, SQL_ROOM_BY_ID, room_id, a, ret, e);
}

enum rc store_direct_rooms(struct store *s, const char *user_id,
	struct arena *a, struct store_room **ret, size_t *n, struct err *e)
{
	return list_by(s, SQL_DIRECT_ROOMS_OF, &rooms, user_id, a, ret, n, e);
}

enum rc store_membership_get(struct store *s, const char *room_id,
	const char *user_id, struct arena *a, const char **ret, struct err *e)
{
	const char *membership = NULL;
	bool row = false;

	store_lock(s);
	sqlite3_stmt *q =
		stmt_get(s, SQL_MEMBERSHIP_OF, ARGS(T(room_id), T(user_id)));
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row)
		membership = column_text(q, 0, a);
	stmt_done(q);
	store_unlock(s);

	if (rc == RC_OK && row && !membership)
		return err_nomem(e);
	if (rc == RC_OK)
		*ret = membership;
	return rc;
}
