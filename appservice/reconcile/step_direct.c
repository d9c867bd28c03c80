/*
 * Direct rooms: one for each pair, made by one of the two (never by or with
 * the service's user), and listed in each agent's m.direct. Rooms that exist
 * are found by that list, or by the mark that we put into their creation.
 */
#include <string.h>

#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/work.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

/* How long the making of a room goes on at most; Conduit takes 10 ms for it,
 * Synapse under load a second or two. */
#define CREATION_MS 5000
#define CREATION_MS_CONDUIT 500
#define CREATION_LOOK_MS 100

/* --- finding what exists ----------------------------------------------------- */

static bool contains(const struct hs_ids *ids, const char *id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (text_eq(ids->ids[i], id))
			return true;
	return false;
}

static bool is_known(struct work *w, const char *room_id)
{
	struct store_room row = { 0 };
	return store_room_by_id(w->app->store, room_id, &w->a, &row, NULL) ==
		RC_OK;
}

/* The mark in a room's creation; NULL when it has none or cannot be read. */
static enum rc mark_of(struct work *w, const char *as, const char *room_id,
	const char **ret, struct err *e)
{
	struct buf content;
	struct json *doc = NULL;
	buf_init(&content, LIMIT_ANSWER);
	enum rc rc =
		hs_state(w->hs, as, room_id, "m.room.create", "", &content, e);
	if (rc == RC_OK)
		rc = json_parse(content.p, content.n, "m.room.create", &doc, e);
	if (rc == RC_OK)
		*ret = arena_strdup(
			&w->a, js_get_str(json_root(doc), ROOM_MARK));
	else if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND || rc == RC_INVALID)
		rc = RC_OK;
	json_free(doc);
	buf_free(&content);
	return rc;
}

/* The last that a homeserver sets when it makes a room, before it invites: of
 * one that was cut off by the homeserver's own end it is missing. */
static const char *last_state(const struct room *room)
{
	return room->topic   ? "m.room.topic"
		: room->name ? "m.room.name"
			     : "m.room.guest_access";
}

static enum rc has_state(struct work *w, const char *as, const char *room_id,
	const char *type, const char *key, bool *has, struct err *e)
{
	struct buf content;
	buf_init(&content, LIMIT_ANSWER);
	enum rc rc = hs_state(w->hs, as, room_id, type, key, &content, e);
	buf_free(&content);
	*has = rc == RC_OK;
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc is_whole(struct work *w, const char *as, const struct room *room,
	const char *room_id, bool *whole, struct err *e)
{
	return has_state(w, as, room_id, last_state(room), "", whole, e);
}

/* Nobody could come into it, and another one is made. */
static enum rc leave_half_made(
	struct work *w, const char *as, const char *room_id, struct err *e)
{
	log_warn("a room that the homeserver has not finished is left",
		LS("room_id", room_id));
	return hs_leave(w->hs, as, room_id, e);
}

/* `last`: nothing more will come of one that is not whole. */
static enum rc room_with_mark(struct work *w, const char *as, const char *key,
	bool last, const char **ret, struct err *e)
{
	const struct room *room = fleet_room(&w->app->fleet, key);
	struct hs_ids joined = { 0 };
	enum rc rc = hs_joined_rooms(w->hs, as, &w->a, &joined, e);
	for (size_t i = 0; i < joined.n && rc == RC_OK && !*ret; i++) {
		const char *mark = NULL;
		if (is_known(w, joined.ids[i]))
			continue;
		bool whole = false;
		rc = mark_of(w, as, joined.ids[i], &mark, e);
		if (rc != RC_OK || !text_eq(mark, key))
			continue;
		rc = is_whole(w, as, room, joined.ids[i], &whole, e);
		if (rc == RC_OK && whole)
			*ret = joined.ids[i];
		else if (rc == RC_OK && last)
			rc = leave_half_made(w, as, joined.ids[i], e);
	}
	return rc;
}

enum rc room_left_behind(struct work *w, const char *as, const char *key,
	const char **ret, struct err *e)
{
	int64_t from = w->tried_ms < w->since_ms ? w->tried_ms : w->since_ms;
	int64_t most = atomic_load(&w->app->kind) == HS_CONDUIT
		? CREATION_MS_CONDUIT
		: CREATION_MS;
	for (;;) {
		bool last = clock_wall_ms() - from >= most;
		enum rc rc = room_with_mark(w, as, key, last, ret, e);
		if (rc != RC_OK || *ret || last)
			return rc;
		if (app_stopping())
			return err_set(e, RC_STOPPING, "the service stops");
		clock_sleep_ms(CREATION_LOOK_MS);
	}
}

/* m.direct of an agent; *ret NULL when it has none. Free with json_free(). */
static enum rc read_marks(
	struct work *w, const char *user_id, struct json **ret, struct err *e)
{
	struct buf text;
	buf_init(&text, LIMIT_ANSWER);
	enum rc rc = hs_account_data(w->hs, user_id, "m.direct", &text, e);
	if (rc == RC_OK)
		rc = json_parse(text.p, text.n, "m.direct", ret, e);
	/* None, or one that is no object: as good as empty. */
	if (rc == RC_NOT_FOUND || rc == RC_INVALID)
		rc = RC_OK;
	buf_free(&text);
	return rc;
}

/* Takes a room that exists as the pair's room. */
static enum rc found(struct work *w, const struct room *room, const char *as,
	const char *room_id, bool marked, struct err *e)
{
	enum rc rc = observe_room(w->app, w->hs, as, room_id, room->key, as, e);
	if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc != RC_OK || !marked)
		return rc;
	rc = store_begin(w->app->store, e);
	if (rc == RC_OK)
		rc = store_mark_add(w->app->store, room_id, as, e);
	if (rc == RC_OK)
		rc = store_commit(w->app->store, e);
	store_rollback(w->app->store);
	return rc;
}

/* The declared direct room of a pair; NULL when they have none. */
static const struct room *pair_room(
	struct work *w, const char *one, const char *two)
{
	bool order = strcmp(one, two) < 0;
	const char *key = arena_printf(
		&w->a, "%s %s", order ? one : two, order ? two : one);
	return key ? fleet_room(&w->app->fleet, key) : NULL;
}

struct finder {
	struct work *w;
	const char *agent;
	const struct hs_ids *joined;
	enum rc rc;
	struct err *e;
};

static bool has_room(struct finder *f, const struct room *room)
{
	struct store_room row = { 0 };
	return store_room_get(f->w->app->store, room->key, &f->w->a, &row,
		       NULL) == RC_OK &&
		row.room_id;
}

/* One entry of m.direct: somebody, and the rooms with them. */
static bool find_listed(const char *other, struct js rooms, void *arg)
{
	struct finder *f = arg;
	const struct room *room = pair_room(f->w, f->agent, other);
	for (size_t i = 0; room && i < js_len(rooms) && f->rc == RC_OK; i++) {
		const char *id = js_str(js_at(rooms, i));
		if (!id || !contains(f->joined, id))
			continue;
		/* The other side may have brought it in; then only the mark
		 * is new. */
		struct store_room row = { 0 };
		if (has_room(f, room) &&
			(store_room_by_id(f->w->app->store, id, &f->w->a, &row,
				 NULL) != RC_OK ||
				!text_eq(row.key, room->key)))
			continue;
		f->rc = found(f->w, room, f->agent, id, true, f->e);
		break;
	}
	return f->rc == RC_OK;
}

/* Rooms that carry our mark without being listed: their creation was cut off. */
static enum rc find_marked(struct finder *f)
{
	for (size_t i = 0; i < f->joined->n && f->rc == RC_OK; i++) {
		const char *mark = NULL, *id = f->joined->ids[i];
		if (is_known(f->w, id))
			continue;
		f->rc = mark_of(f->w, f->agent, id, &mark, f->e);
		const struct room *room = mark && *mark == '@'
			? fleet_room(&f->w->app->fleet, mark)
			: NULL;
		if (f->rc != RC_OK || !room || has_room(f, room) ||
			!room_has_member(room, f->agent))
			continue;
		bool whole = false;
		f->rc = is_whole(f->w, f->agent, room, id, &whole, f->e);
		if (f->rc == RC_OK && whole)
			f->rc = found(f->w, room, f->agent, id, false, f->e);
		else if (f->rc == RC_OK)
			f->rc = leave_half_made(f->w, f->agent, id, f->e);
	}
	return f->rc;
}

enum rc direct_find(struct work *w, const struct person *agent, struct err *e)
{
	struct hs_ids joined = { 0 };
	struct json *marks = NULL;
	struct finder f = { .w = w,
		.agent = agent->user_id,
		.joined = &joined,
		.rc = RC_OK,
		.e = e };
	enum rc rc = hs_joined_rooms(w->hs, agent->user_id, &w->a, &joined, e);
	if (rc != RC_OK || joined.n == 0)
		return rc;
	rc = read_marks(w, agent->user_id, &marks, e);
	if (rc == RC_OK && marks)
		js_each(json_root(marks), find_listed, &f);
	if (rc == RC_OK)
		rc = f.rc == RC_OK ? find_marked(&f) : f.rc;
	json_free(marks);
	return rc;
}

/* --- making one ----------------------------------------------------------------- */

static void creation_body(const struct room *room, struct buf *out)
{
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, "preset", "trusted_private_chat");
	jb_str(&b, "visibility", "private");
	jb_bool(&b, "is_direct", true);
	/* All that Conduit's invitation tells a human is the room's name. */
	if (room->name)
		jb_str(&b, "name", room->name);
	jb_arr(&b, "invite");
	jb_str(&b, NULL, room->other->user_id);
	jb_end_arr(&b);
	jb_obj(&b, "creation_content");
	jb_str(&b, ROOM_MARK, room->key);
	jb_end_obj(&b);
	jb_end_obj(&b);
}

/* Conduit makes the room also when it cannot invite. An agent's join finds that
 * out, a human's answer may never come. */
static enum rc was_invited(
	struct work *w, const char *room_id, bool *invited, struct err *e)
{
	const struct room *room = w->step->room;
	*invited = true;
	if (!room->other->human)
		return RC_OK;
	return has_state(w, room->maker->user_id, room_id, "m.room.member",
		room->other->user_id, invited, e);
}

static enum rc made(struct work *w, const char *room_id, struct err *e)
{
	const struct room *room = w->step->room;
	struct store *s = w->app->store;
	bool invited = false;
	struct store_membership m = { .room_id = room_id,
		.user_id = room->maker->user_id,
		.membership = "join",
		.origin_ts = w->since_ms,
		.source = "action" };
	enum rc rc = was_invited(w, room_id, &invited, e);
	if (rc == RC_OK)
		rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_room_found(
			s, room->key, room_id, room->maker->user_id, e);
	if (rc == RC_OK)
		rc = store_membership_set(s, &m, NULL, e);
	m.user_id = room->other->user_id;
	m.membership = "invite";
	if (rc == RC_OK && invited)
		rc = store_membership_set(s, &m, NULL, e);
	return work_end(w, rc, e);
}

/* One of the two is in it who can ask the other in. */
static enum rc is_alive(
	struct work *w, const char *room_id, bool *alive, struct err *e)
{
	const struct room *room = w->step->room;
	const char *maker = NULL, *other = NULL;
	enum rc rc = store_membership_get(
		w->app->store, room_id, room->maker->user_id, &w->a, &maker, e);
	if (rc == RC_OK && !room->other->human)
		rc = store_membership_get(w->app->store, room_id,
			room->other->user_id, &w->a, &other, e);
	*alive = text_eq(maker, "join") || text_eq(other, "join");
	return rc;
}

/* Found since the plan was made, or left by an interrupted creation. */
static enum rc exists_already(struct work *w, bool *exists, struct err *e)
{
	const struct room *room = w->step->room;
	struct store_room row = { 0 };
	enum rc rc = store_room_get(w->app->store, room->key, &w->a, &row, e);
	if (rc != RC_OK)
		return rc;
	if (row.room_id)
		rc = is_alive(w, row.room_id, exists, e);
	if (rc != RC_OK)
		return rc;
	if (*exists || !w->interrupted)
		return RC_OK;
	const char *room_id = NULL;
	rc = room_left_behind(w, room->maker->user_id, room->key, &room_id, e);
	if (rc == RC_OK && room_id) {
		rc = found(w, room, room->maker->user_id, room_id, false, e);
		*exists = rc == RC_OK;
	}
	return rc;
}

enum rc step_direct_create(struct work *w, struct err *e)
{
	const struct room *room = w->step->room;
	bool exists = false;
	enum rc rc = exists_already(w, &exists, e);
	if (rc != RC_OK)
		return rc;
	if (exists)
		return work_nothing(w, e);
	struct buf body;
	const char *room_id = NULL;
	buf_init(&body, LIMIT_SMALL_BODY);
	creation_body(room, &body);
	rc = buf_rc(&body);
	w->asked = rc == RC_OK;
	if (rc == RC_OK)
		rc = hs_create_room(w->hs, room->maker->user_id, body.p, &w->a,
			&room_id, e);
	buf_free(&body);
	return rc == RC_OK ? made(w, room_id, e) : rc;
}

/* --- m.direct ---------------------------------------------------------------------- */

struct mark {
	const char *other, *room_id;
	bool written;
};

struct marker {
	struct mark *marks;
	size_t n;
	struct jb b;
	bool changed;
};

static bool lists(struct js rooms, const char *room_id)
{
	for (size_t i = 0; i < js_len(rooms); i++)
		if (text_eq(js_str(js_at(rooms, i)), room_id))
			return true;
	return false;
}

/* One entry that is there: kept, ours put first when it lacks. */
static bool copy_entry(const char *other, struct js rooms, void *arg)
{
	struct marker *k = arg;
	jb_arr(&k->b, other);
	for (size_t i = 0; i < k->n; i++) {
		struct mark *m = &k->marks[i];
		if (!text_eq(m->other, other))
			continue;
		m->written = true;
		if (lists(rooms, m->room_id))
			continue;
		jb_str(&k->b, NULL, m->room_id);
		k->changed = true;
	}
	for (size_t i = 0; i < js_len(rooms); i++)
		jb_js(&k->b, NULL, js_at(rooms, i));
	jb_end_arr(&k->b);
	return true;
}

static void merge(struct marker *k, struct json *old, struct buf *out)
{
	jb_init(&k->b, out);
	jb_obj(&k->b, NULL);
	if (old)
		js_each(json_root(old), copy_entry, k);
	for (size_t i = 0; i < k->n; i++) {
		if (k->marks[i].written)
			continue;
		jb_arr(&k->b, k->marks[i].other);
		jb_str(&k->b, NULL, k->marks[i].room_id);
		jb_end_arr(&k->b);
		k->changed = true;
	}
	jb_end_obj(&k->b);
}

static enum rc collect(struct work *w, struct marker *k, struct err *e)
{
	const char *me = w->step->subject;
	struct store_room *rooms = NULL;
	size_t n = 0;
	enum rc rc =
		store_direct_rooms(w->app->store, me, &w->a, &rooms, &n, e);
	if (rc != RC_OK)
		return rc;
	k->marks = arena_array(&w->a, n + 1, sizeof(*k->marks));
	if (!k->marks)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		const struct room *room =
			fleet_room(&w->app->fleet, rooms[i].key);
		if (!room)
			continue;
		const struct person *other = text_eq(room->maker->user_id, me)
			? room->other
			: room->maker;
		k->marks[k->n++] = (struct mark){ .other = other->user_id,
			.room_id = rooms[i].room_id };
	}
	return RC_OK;
}

static enum rc remember(struct work *w, const struct marker *k, struct err *e)
{
	struct store *s = w->app->store;
	enum rc rc = store_begin(s, e);
	for (size_t i = 0; i < k->n && rc == RC_OK; i++)
		rc = store_mark_add(
			s, k->marks[i].room_id, w->step->subject, e);
	return work_end(w, rc, e);
}

enum rc step_direct_mark(struct work *w, struct err *e)
{
	const char *me = w->step->subject;
	struct marker k = { 0 };
	struct json *old = NULL;
	struct buf text;
	buf_init(&text, LIMIT_ANSWER);
	enum rc rc = collect(w, &k, e);
	if (rc == RC_OK)
		rc = read_marks(w, me, &old, e);
	if (rc == RC_OK) {
		merge(&k, old, &text);
		rc = buf_rc(&text);
	}
	w->idle = !k.changed;
	if (rc == RC_OK && k.changed)
		rc = hs_set_account_data(w->hs, me, "m.direct", text.p, e);
	if (rc == RC_OK)
		rc = remember(w, &k, e);
	json_free(old);
	buf_free(&text);
	return rc;
}
