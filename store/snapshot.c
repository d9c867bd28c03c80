/*
 * store/snapshot.c: agents and rooms as rows: everything that is, read in one
 * transaction, or one of them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

static const char *const state_types[] = {
#define X(name, type) type,
	ROOM_STATE_TABLE(X)
#undef X
};

const char *room_state_type(enum room_state st)
{
	return st < ROOM_STATES ? state_types[st] : NULL;
}

enum room_state room_state_of(const char *type)
{
	enum room_state st = 0;

	while (st < ROOM_STATES && !text_eq(state_types[st], type))
		st++;
	return st;
}

static enum agent_state agent_state_of(const char *word)
{
	enum agent_state st = AGENT_DECLARED;

	while (st < AGENT_BLOCKED && !text_eq(word, agent_state_name(st)))
		st++;
	return st;
}

static const char *const rotations[] = {
#define X(name, word) word,
	ROTATION_TABLE(X)
#undef X
};

const char *rotation_state_name(enum rotation_state st)
{
	return st < ROTATION_STATES ? rotations[st] : "unknown";
}

static enum rotation_state rotation_state_of(const char *word)
{
	enum rotation_state st = ROTATION_NONE;

	while (word && st < ROTATION_FAILED && !text_eq(word, rotations[st]))
		st++;
	return st;
}

static void read_rotation(
	sqlite3_stmt *q, struct store_rotation *r, struct intern *t)
{
	*r = (struct store_rotation){
		.state = rotation_state_of(
			(const char *)sqlite3_column_text(q, 24)),
		.run = sqlite3_column_int64(q, 25),
		.at_once = sqlite3_column_int(q, 26) != 0,
		.answering = sqlite3_column_int(q, 27) != 0,
		.asked = sqlite3_column_int64(q, 28),
		.generation = sqlite3_column_int64(q, 29),
		.why = column_intern(q, 30, t),
		.state_ms = sqlite3_column_int64(q, 31),
		.error = column_text(q, 32, t->a),
	};
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
		.may_leave = sqlite3_column_int(q, 15) != 0,
		.written_ms = sqlite3_column_int64(q, 16),
		.acked_ms = sqlite3_column_int64(q, 17),
		.acked_by = column_text(q, 18, t->a),
		.revoke_ms = sqlite3_column_int64(q, 19),
		.revoke_why = column_text(q, 20, t->a),
		.rotate_every_ms = sqlite3_column_int64(q, 21),
		.token_seen_ms = sqlite3_column_int64(q, 22),
		.exposed_ms = sqlite3_column_int64(q, 23),
		.written_generation = sqlite3_column_int64(q, 33),
	};
	read_rotation(q, &a->rotation, t);
}

static void read_room(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_room *r = element;

	*r = (struct store_room){
		.key = column_text(q, 0, t->a),
		.room_id = column_text(q, 1, t->a),
		.maker = column_intern(q, 2, t),
		.rule = column_intern(q, 3, t),
		.held = column_text(q, 4, t->a),
		.held_ms = sqlite3_column_int64(q, 5),
		.missing_ms = sqlite3_column_int64(q, 6),
		.direct = sqlite3_column_int(q, 7) != 0,
		.declared = sqlite3_column_int(q, 8) != 0,
		.wanted = sqlite3_column_int(q, 9) != 0,
	};
}

static void read_old_room(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_room *r = element;

	*r = (struct store_room){
		.room_id = column_text(q, 0, t->a),
		.key = column_text(q, 1, t->a),
	};
}

static void read_member(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_member *m = element;

	*m = (struct store_member){
		.user_id = column_intern(q, 1, t),
		.membership = membership_word(sqlite3_column_int64(q, 2)),
		.source = source_word(sqlite3_column_int64(q, 3)),
		.origin_ts = sqlite3_column_int64(q, 4),
	};
}

static void read_removal(sqlite3_stmt *q, void *element, struct intern *t)
{
	struct store_removal *r = element;

	*r = (struct store_removal){
		.room_id = column_intern(q, 0, t),
		.user_id = column_intern(q, 1, t),
		.by = column_intern(q, 2, t),
		.ban = sqlite3_column_int(q, 3) != 0,
		.asked = sqlite3_column_int(q, 4) != 0,
		.at_ms = sqlite3_column_int64(q, 5),
	};
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

static const struct rows old_rooms = {
	.list = SQL_OLD_ROOM_LIST,
	.count = SQL_STATEMENTS,
	.size = sizeof(struct store_room),
	.read = read_old_room,
};

static const struct rows removals = {
	.list = SQL_REMOVAL_LIST,
	.count = SQL_STATEMENTS,
	.size = sizeof(struct store_removal),
	.read = read_removal,
};

static const struct rows declared = {
	.list = SQL_MEMBER_LIST,
	.count = SQL_MEMBER_COUNT,
	.size = sizeof(struct store_declared_member),
	.read = read_declared,
};

/* --- what belongs to a room -------------------------------------------------- */

/* Rows of a query that come in the order of the rooms; the first column says
 * which room they are of. */
struct walk {
	struct store_room *rooms;
	size_t n, at;
	bool by_id; /* that column is the room's id, not its key */
};

static struct store_room *room_of(struct walk *w, sqlite3_stmt *q)
{
	const char *name = (const char *)sqlite3_column_text(q, 0);

	for (; w->at < w->n; w->at++) {
		struct store_room *r = &w->rooms[w->at];
		if (text_eq(w->by_id ? r->room_id : r->key, name))
			return r;
	}
	return NULL;
}

static int by_user(const void *a, const void *b)
{
	const struct store_member *x = a, *y = b;

	return strcmp(x->user_id, y->user_id);
}

/* Gives each room its part of an array that has stopped growing. */
static void share_out(
	struct store_room *list, size_t n, struct store_member *all)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].n_members == 0)
			continue;
		list[i].members = all;
		qsort(all, list[i].n_members, sizeof(*all), by_user);
		all += list[i].n_members;
	}
}

static enum rc read_members(struct store *s, enum sql list, enum sql count,
	struct walk w, struct intern *t, struct err *e)
{
	struct store_member *all = NULL;
	size_t n = 0, cap = 0;
	bool row = true;
	enum rc rc = rows_count(s, count, &cap, e);

	if (rc == RC_OK && cap > 0)
		all = arena_array(t->a, cap, sizeof(*all));
	sqlite3_stmt *q = stmt_get(s, list, NO_ARGS);
	while (rc == RC_OK && arena_ok(t->a)) {
		rc = stmt_step(s, q, &row, e);
		struct store_room *room =
			rc == RC_OK && row ? room_of(&w, q) : NULL;
		if (!room)
			break;
		struct store_member *m =
			arena_push(t->a, &all, &n, &cap, sizeof(*all));
		if (m)
			read_member(q, m, t);
		room->n_members += m != NULL;
	}
	stmt_done(q);
	if (rc == RC_OK && all && arena_ok(t->a))
		share_out(w.rooms, w.n, all);
	return rc;
}

static enum rc read_marks(struct store *s, struct walk w, struct err *e)
{
	bool row = true;
	enum rc rc = RC_OK;
	sqlite3_stmt *q = stmt_get(s, SQL_MARK_LIST, NO_ARGS);

	for (;;) {
		rc = stmt_step(s, q, &row, e);
		struct store_room *room =
			rc == RC_OK && row ? room_of(&w, q) : NULL;
		if (!room)
			break;
		const char *who = (const char *)sqlite3_column_text(q, 1);
		struct store_member *m = room->members;
		for (size_t i = 0; i < room->n_members; i++)
			m[i].marked |= text_eq(m[i].user_id, who);
	}
	stmt_done(q);
	return rc;
}

static enum rc read_states(
	struct store *s, struct walk w, struct arena *a, struct err *e)
{
	bool row = true;
	enum rc rc = RC_OK;
	sqlite3_stmt *q = stmt_get(s, SQL_STATE_LIST, NO_ARGS);

	while (arena_ok(a)) {
		rc = stmt_step(s, q, &row, e);
		struct store_room *room =
			rc == RC_OK && row ? room_of(&w, q) : NULL;
		if (!room)
			break;
		enum room_state st =
			room_state_of((const char *)sqlite3_column_text(q, 1));
		struct store_state *all = room->state;
		if (!all)
			all = arena_array(a, ROOM_STATES, sizeof(*all));
		room->state = all;
		if (st == ROOM_STATES || !all)
			continue;
		all[st] = (struct store_state){
			.content = column_text(q, 2, a),
			.sender = column_text(q, 3, a),
			.origin_ts = sqlite3_column_int64(q, 4),
		};
	}
	stmt_done(q);
	return rc;
}

static enum rc read_all(struct store *s, struct intern *t,
	struct store_snapshot *ret, struct err *e)
{
	enum rc rc = rows_read(s, &agents, t, &ret->agents, &ret->n_agents, e);

	if (rc == RC_OK)
		rc = rows_read(s, &rooms, t, &ret->rooms, &ret->n_rooms, e);
	if (rc == RC_OK)
		rc = rows_read(s, &old_rooms, t, &ret->old, &ret->n_old, e);
	if (rc == RC_OK)
		rc = rows_read(
			s, &removals, t, &ret->removals, &ret->n_removals, e);
	if (rc != RC_OK)
		return rc;
	const struct walk w = { .rooms = ret->rooms, .n = ret->n_rooms },
			  old = { .rooms = ret->old,
				  .n = ret->n_old,
				  .by_id = true };
	rc = read_members(
		s, SQL_MEMBERSHIP_LIST, SQL_MEMBERSHIP_COUNT, w, t, e);
	if (rc == RC_OK && ret->n_old > 0)
		rc = read_members(
			s, SQL_OLD_MEMBER_LIST, SQL_STATEMENTS, old, t, e);
	if (rc == RC_OK)
		rc = read_marks(s, w, e);
	if (rc == RC_OK)
		rc = read_states(s, w, t->a, e);
	return rc == RC_OK && !arena_ok(t->a) ? err_nomem(e) : rc;
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
		if (rc == RC_OK)
			rc = store_rotate_every_all(
				s, a, &all.rotate_every_ms, e);
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

static enum rc one_agent(struct store *s, enum sql id, const char *user_id,
	struct arena *a, struct store_agent *ret, struct err *e)
{
	struct store_agent *rows = NULL;
	size_t n = 0;
	enum rc rc = list_by(s, id, &agents, user_id, a, &rows, &n, e);

	if (rc == RC_OK && n == 0)
		rc = err_set(e, RC_NOT_FOUND, "agent %s is not known", user_id);
	if (rc == RC_OK)
		*ret = rows[0];
	return rc;
}

enum rc store_agent_get(struct store *s, const char *user_id, struct arena *a,
	struct store_agent *ret, struct err *e)
{
	return one_agent(s, SQL_AGENT_GET, user_id, a, ret, e);
}

enum rc store_agent_next(struct store *s, const char *user_id, struct arena *a,
	struct store_agent *ret, struct err *e)
{
	return one_agent(s, SQL_AGENT_NEXT, user_id, a, ret, e);
}

enum rc store_agents_unanswered(struct store *s, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e)
{
	return list_by(s, SQL_AGENTS_UNANSWERED, &agents, NULL, a, ret, n, e);
}

enum rc store_rotations_open(struct store *s, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e)
{
	return list_by(s, SQL_ROTATIONS_OPEN, &agents, NULL, a, ret, n, e);
}

static enum rc list_rotations(struct store *s, enum sql list,
	const struct arg *args, size_t n_args, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e)
{
	const struct rows rows = { .list = list,
		.count = SQL_STATEMENTS,
		.args = args,
		.n_args = n_args,
		.size = sizeof(struct store_agent),
		.read = read_agent };

	return store_list(s, &rows, a, ret, n, e);
}

enum rc store_rotations_of_run(struct store *s, int64_t run, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e)
{
	const struct arg args[] = { N(run) };

	return list_rotations(
		s, SQL_ROTATIONS_OF_RUN, args, ARRAY_LEN(args), a, ret, n, e);
}

enum rc store_rotations_due(struct store *s, int64_t now_ms, struct arena *a,
	struct store_agent **ret, size_t *n, struct err *e)
{
	int64_t every_ms = 0;
	enum rc rc = store_rotate_every_all(s, a, &every_ms, e);
	const struct arg args[] = { N(now_ms), N(every_ms) };

	return rc == RC_OK ? list_rotations(s, SQL_ROTATIONS_DUE, args,
				     ARRAY_LEN(args), a, ret, n, e)
			   : rc;
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

enum rc store_rooms_unlooked(struct store *s, int64_t since_ms, size_t limit,
	struct arena *a, struct store_room **ret, size_t *n, struct err *e)
{
	const struct arg args[] = { N(since_ms), N(sql_limit(limit)) };
	const struct rows unlooked = {
		.list = SQL_ROOMS_UNLOOKED,
		.count = SQL_STATEMENTS,
		.args = args,
		.n_args = ARRAY_LEN(args),
		.size = sizeof(struct store_room),
		.read = read_room,
	};

	return store_list(s, &unlooked, a, ret, n, e);
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
