/*
 * store/members.c: what is: memberships and state of rooms. News come late,
 * twice and out of order; the newest wins.
 */
#include "base/clock.h"
#include "base/str.h"
#include "store/store_priv.h"

#include "base/poison.h"

/* What the numbers in the table stand for, as in the view `membership`. */
static const char *const memberships[] = { "leave", "join", "invite", "ban",
	"knock" };
static const char *const sources[] = { "event", "poll", "action" };

const char *membership_word(int64_t no)
{
	return memberships[no];
}

const char *source_word(int64_t no)
{
	return sources[no];
}

static int64_t number_of(const char *const *words, size_t n, const char *word)
{
	size_t i = 0;

	while (i < n && !text_eq(words[i], word))
		i++;
	return (int64_t)i;
}

/* The table refuses a word that is none. */
#define MEMBERSHIP(word)                                                       \
	N(number_of(memberships, ARRAY_LEN(memberships), (word)))
#define SOURCE(word) N(number_of(sources, ARRAY_LEN(sources), (word)))

/* A room and a user by their numbers. */
struct place {
	int64_t room, user;
};

static enum rc make_place(struct store *s, const struct store_membership *m,
	struct place *ret, struct err *e)
{
	enum rc rc = id_number_make(s, m->room_id, &ret->room, e);

	return rc ? rc : id_number_make(s, m->user_id, &ret->user, e);
}

/* The row says something else, or there is none. */
static enum rc is_another(struct store *s, struct place at,
	const char *membership, bool *ret, struct err *e)
{
	bool row = false;
	sqlite3_stmt *q =
		stmt_get(s, SQL_MEMBERSHIP_GET, ARGS(N(at.room), N(at.user)));
	enum rc rc = stmt_step(s, q, &row, e);

	*ret = rc == RC_OK &&
		!(row &&
			sqlite3_column_int64(q, 0) == MEMBERSHIP(membership).n);
	stmt_done(q);
	return rc;
}

/*
 * Which word counts is decided by the statement, which is run for each event.
 *
 * Events are timed by the homeserver's clock, and our own words (what a look
 * found, what we did) by ours. Of two events the newer counts, and none twice.
 * An event of the very millisecond in which we began to do something is of
 * what was before, such as the invitation that is joined.
 * An event may be older than our own word for the same thing: what the
 * homeserver says counts then; so it does where a look has only found that
 * somebody is not there, which may be a ban or an invitation. It may also come
 * before the answer to what we
 * did: then our word adds nothing to it. And where its time is ahead of our
 * clock it says nothing about which of the two is newer: then our word counts,
 * since we have just looked.
 */
static enum rc write_membership(struct store *s, struct place at,
	const struct store_membership *m, bool *applied, struct err *e)
{
	const struct arg event =
		m->event_id ? N((int64_t)text_hash(m->event_id)) : T(NULL);
	enum rc rc = store_write(s, SQL_MEMBERSHIP_SET,
		ARGS(N(at.room), N(at.user), MEMBERSHIP(m->membership), event,
			N(m->origin_ts), SOURCE(m->source), N(clock_wall_ms())),
		e);

	*applied = rc == RC_OK && sqlite3_changes(s->db) > 0;
	return rc;
}

/* `news` alone: what says the same as before is not written again. */
static enum rc set(struct store *s, const struct store_membership *m, bool news,
	bool *changed, struct err *e)
{
	bool ask = news, another = true, applied = false;
	struct place at = { 0 };

	store_lock(s);
	enum rc rc = make_place(s, m, &at, e);
	if (rc == RC_OK && changed && !news)
		rc = store_room_has_key(s, m->room_id, &ask, e);
	if (rc == RC_OK && ask)
		rc = is_another(s, at, m->membership, &another, e);
	if (rc == RC_OK && (another || !news))
		rc = write_membership(s, at, m, &applied, e);
	store_unlock(s);
	if (rc == RC_OK && changed)
		*changed = applied && ask && another;
	return rc;
}

enum rc store_membership_set(struct store *s, const struct store_membership *m,
	bool *changed, struct err *e)
{
	return set(s, m, false, changed, e);
}

/* Somebody whom nobody is known to have removed is not there. */
static enum rc missed(struct store *s, const char *room_id, const char *user_id,
	int64_t at_ms, struct err *e)
{
	const struct store_removal r = {
		.room_id = room_id, .user_id = user_id, .at_ms = at_ms
	};

	return store_removal_add(s, &r, e);
}

/* A look that finds what is known already writes nothing: it is made every
 * few minutes, for every member. */
static enum rc set_polled(struct store *s, const struct store_membership *m,
	bool *any, struct err *e)
{
	bool changed = false;
	enum rc rc = set(s, m, true, &changed, e);

	*any |= changed;
	if (rc == RC_OK && changed && text_eq(m->membership, "leave"))
		rc = missed(s, m->room_id, m->user_id, m->origin_ts, e);
	return rc;
}

static enum rc remove_member(struct store *s, const char *room_id,
	const char *user_id, struct err *e)
{
	struct place at = { 0 };

	store_lock(s);
	enum rc rc = id_number(s, room_id, &at.room, e);
	if (rc == RC_OK)
		rc = id_number(s, user_id, &at.user, e);
	if (rc == RC_OK)
		rc = store_write(s, SQL_MEMBERSHIP_REMOVE,
			ARGS(N(at.room), N(at.user)), e);
	store_unlock(s);
	return rc;
}

enum rc store_membership_poll(struct store *s, const char *room_id,
	const char *const *joined, size_t n, int64_t at_ms, bool *changed,
	struct err *e)
{
	struct names names = { 0 };
	struct arena a = { 0 };
	const char **known = NULL;
	size_t n_known = 0;
	bool any = false;
	struct store_membership m = {
		.room_id = room_id, .origin_ts = at_ms, .source = "poll"
	};

	enum rc rc = names_init(&names, joined, n, e);
	if (rc == RC_OK)
		rc = store_names(s, SQL_JOINED, ARGS(T(room_id)), &a, &known,
			&n_known, e);
	m.membership = "leave";
	for (size_t i = 0; rc == RC_OK && i < n_known; i++) {
		m.user_id = known[i];
		if (!names_has(&names, known[i]))
			rc = set_polled(s, &m, &any, e);
	}
	m.membership = "join";
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		m.user_id = names.v[i];
		rc = set_polled(s, &m, &any, e);
	}
	names_fini(&names);
	arena_free(&a);
	if (rc == RC_OK && changed)
		*changed = any;
	return rc;
}

enum rc store_membership_only(struct store *s, const char *room_id,
	const char *const *users, size_t n, int64_t at_ms, struct err *e)
{
	struct names names = { 0 };
	struct arena a = { 0 };
	const char **ours = NULL;
	size_t n_ours = 0;

	enum rc rc = names_init(&names, users, n, e);
	if (rc == RC_OK)
		rc = store_names(s, SQL_NOT_BY_EVENT,
			ARGS(T(room_id), N(at_ms)), &a, &ours, &n_ours, e);
	for (size_t i = 0; rc == RC_OK && i < n_ours; i++)
		if (!names_has(&names, ours[i])) {
			rc = missed(s, room_id, ours[i], at_ms, e);
			if (rc == RC_OK)
				rc = remove_member(s, room_id, ours[i], e);
		}
	names_fini(&names);
	arena_free(&a);
	return rc;
}

/* Whatever was held against a room that was replaced, or was not, has another
 * reason now, or none. */
static enum rc unhold(
	struct store *s, const char *room_id, const char *type, struct err *e)
{
	return text_eq(type, room_state_type(ROOM_STATE_TOMBSTONE))
		? store_write(s, SQL_ROOM_UNHOLD, ARGS(T(room_id)), e)
		: RC_OK;
}

/* Against the row that is there: what is said is something else, and counts
 * (a look, which knows no event, where it is the same, leaves the event be). */
struct heard {
	bool another, counts;
};

static enum rc compare(struct store *s, const struct arg *key,
	const char *content, const char *event_id, int64_t origin_ts,
	struct heard *ret, struct err *e)
{
	bool row = false;

	*ret = (struct heard){ .another = true, .counts = true };
	store_lock(s);
	sqlite3_stmt *q = stmt_get(s, SQL_STATE_GET, key, 2);
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row) {
		const char *is = (const char *)sqlite3_column_text(q, 0);
		const char *event = (const char *)sqlite3_column_text(q, 2);
		ret->another = !text_eq(is, content);
		ret->counts = origin_ts >= sqlite3_column_int64(q, 1) &&
			(event_id ? !text_eq(event, event_id) : ret->another);
	}
	stmt_done(q);
	store_unlock(s);
	return rc;
}

enum rc store_state_set(struct store *s, const char *room_id, const char *type,
	const char *content, const char *event_id, const char *sender,
	int64_t origin_ts, bool *changed, struct err *e)
{
	struct heard heard;
	enum rc rc = compare(s, (struct arg[]){ T(room_id), T(type) }, content,
		event_id, origin_ts, &heard, e);

	if (rc == RC_OK && heard.counts)
		rc = store_write(s, SQL_STATE_SET,
			ARGS(T(room_id), T(type), T(content), T(event_id),
				N(origin_ts), T(sender)),
			e);
	if (rc == RC_OK && heard.counts && heard.another)
		rc = unhold(s, room_id, type, e);
	if (rc == RC_OK && changed)
		*changed = heard.counts && heard.another;
	return rc;
}

enum rc store_state_of_event(struct store *s, const char *room_id,
	const char *event_id, struct arena *a, struct store_state *ret,
	struct err *e)
{
	bool row = false;

	store_lock(s);
	sqlite3_stmt *q =
		stmt_get(s, SQL_STATE_OF_EVENT, ARGS(T(room_id), T(event_id)));
	enum rc rc = stmt_step(s, q, &row, e);
	if (rc == RC_OK && row)
		*ret = (struct store_state){
			.type = column_text(q, 0, a),
			.content = column_text(q, 1, a),
			.sender = column_text(q, 2, a),
			.origin_ts = sqlite3_column_int64(q, 3),
		};
	stmt_done(q);
	store_unlock(s);

	if (rc == RC_OK && !row)
		return err_set(e, RC_NOT_FOUND, "no state of %s", event_id);
	return rc == RC_OK && !arena_ok(a) ? err_nomem(e) : rc;
}

enum rc store_state_redact(struct store *s, const char *room_id,
	const char *type, const char *content, struct err *e)
{
	enum rc rc = store_write(
		s, SQL_STATE_REDACT, ARGS(T(room_id), T(type), T(content)), e);

	return rc == RC_OK ? unhold(s, room_id, type, e) : rc;
}
