/*
 * Rooms of the policy: made by the sender, found by their alias, or followed to
 * the room that has taken their place.
 */
#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/work.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

/* What there is no other place for in a creation, and is not as homeservers
 * make it anyway. */
static void initial_state(struct work *w, struct jb *b)
{
	const struct room *room = w->step->room;
	const struct state_how how = work_state_how(w, NULL);
	static const struct {
		enum room_state st;
		const char *anyway;
	} states[] = {
		{ ROOM_STATE_JOIN_RULES, "{\"join_rule\":\"invite\"}" },
		{ ROOM_STATE_HISTORY, "{\"history_visibility\":\"shared\"}" },
		{ ROOM_STATE_ENCRYPTION, NULL },
	};
	struct buf content;
	jb_arr(b, "initial_state");
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (state_is_right(&how, room, states[i].st, states[i].anyway))
			continue;
		buf_init(&content, LIMIT_SMALL_BODY);
		state_write(
			&how, room, states[i].st, (struct js){ 0 }, &content);
		jb_obj(b, NULL);
		jb_str(b, "type", room_state_type(states[i].st));
		jb_str(b, "state_key", "");
		jb_raw(b, "content", buf_str(&content));
		jb_end_obj(b);
		buf_free(&content);
	}
	jb_end_arr(b);
}

static void creation_body(struct work *w, const char *version, struct buf *out)
{
	const struct room *room = w->step->room;
	struct buf users;
	struct jb b;
	buf_init(&users, LIMIT_ANSWER);
	room_power_users(
		&w->app->fleet, room, w->app->sender_id, version, &users);
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, "preset", "private_chat");
	jb_str(&b, "visibility", "private");
	jb_str(&b, "room_alias_name", room->alias_localpart);
	jb_str(&b, "name", room->name);
	if (room->topic)
		jb_str(&b, "topic", room->topic);
	jb_obj(&b, "creation_content");
	jb_str(&b, ROOM_MARK, room->key);
	jb_end_obj(&b);
	initial_state(w, &b);
	if (!text_eq(buf_str(&users), "{}")) {
		jb_obj(&b, "power_level_content_override");
		jb_raw(&b, "users", buf_str(&users));
		jb_end_obj(&b);
	}
	jb_end_obj(&b);
	buf_free(&users);
}

/* Nothing can be done about the room until somebody does something. */
static enum rc hold(struct work *w, const char *why, struct err *e)
{
	struct store *s = w->app->store;
	log_error("nothing can be done about a room",
		LS("room", w->step->where), LS("why", why));
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_room_hold(
			s, w->step->room->key, why, clock_wall_ms(), e);
	w->held = true;
	rc = work_end(w, rc, e);
	return rc == RC_OK ? err_set(e, RC_FORBIDDEN, "%s", why) : rc;
}

/* The alias is taken: the room is ours when we are in it, or may come in, and
 * have power in it. */
static enum rc adopt(struct work *w, const char *room_id, struct err *e)
{
	const char *why = NULL;
	enum rc rc = room_may_be_kept(w->app, w->hs, room_id, NULL,
		w->step->room->key, &w->a, &why, e);
	if (rc == RC_OK && why)
		return hold(w, why, e);
	if (rc == RC_OK)
		rc = observe_room(w->app, w->hs, NULL, room_id,
			w->step->room->key, NULL, e);
	return rc == RC_OK ? work_nothing(w, e) : rc;
}

/* The room that has taken this one's place, by an upgrade. */
static enum rc follow(struct work *w, struct err *e)
{
	const struct step *st = w->step;
	struct store *s = w->app->store;
	struct store_room row = { 0 };
	const char *why = NULL;
	enum rc rc = work_room(w, &row, e);
	if (rc == RC_OK)
		rc = room_may_be_kept(w->app, w->hs, st->room_id, row.room_id,
			st->room->key, &w->a, &why, e);
	if (rc == RC_OK && why)
		return hold(w, why, e);
	if (rc == RC_OK)
		rc = work_lead_alias(w, st->room_id, e);
	if (rc == RC_OK)
		rc = observe_room(
			w->app, w->hs, NULL, st->room_id, NULL, NULL, e);
	if (rc == RC_OK)
		rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_room_replaced(s, st->room->key, st->room_id, e);
	return work_end(w, rc, e);
}

/* A room that carries our mark but whose creation was cut off before it got
 * its alias: finished instead of made again. */
static enum rc finish_half_made(struct work *w, bool *finished, struct err *e)
{
	const char *room_id = NULL;
	enum rc rc = room_left_behind(w, NULL, w->step->room->key, &room_id, e);
	if (rc != RC_OK || !room_id)
		return rc;
	rc = hs_set_alias(w->hs, w->step->room->key, room_id, e);
	if (rc == RC_OK || rc == RC_EXISTS) {
		*finished = true;
		rc = adopt(w, room_id, e);
	}
	return rc;
}

static enum rc make(struct work *w, struct err *e)
{
	char version[32] = "";
	struct buf body;
	buf_init(&body, LIMIT_ANSWER);
	const char *room_id = NULL;
	enum rc rc = hs_default_room_version(w->hs, NULL, version, e);
	if (rc == RC_OK) {
		creation_body(w, version, &body);
		rc = buf_rc(&body);
	}
	w->asked = rc == RC_OK;
	if (rc == RC_OK)
		rc = hs_create_room(w->hs, NULL, body.p, &w->a, &room_id, e);
	buf_free(&body);
	if (rc == RC_EXCLUSIVE)
		return err_set(e, rc, "the alias is " OUTSIDE_NAMESPACE);
	if (rc != RC_OK)
		return rc;
	struct store *s = w->app->store;
	const struct store_membership me = { .room_id = room_id,
		.user_id = w->app->sender_id,
		.membership = "join",
		.origin_ts = w->since_ms,
		.source = "action" };
	rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_room_found(
			s, w->step->room->key, room_id, w->app->sender_id, e);
	if (rc == RC_OK)
		rc = store_membership_set(s, &me, NULL, e);
	return work_end(w, rc, e);
}

/* The alias leads to a room of ours that has another one by now, since it is what
 * that one was called before, or to one that was given up. *free: it leads nowhere
 * any more. */
static enum rc take_alias_off(
	struct work *w, const char *room_id, bool *free, struct err *e)
{
	struct store_room other = { 0 };
	bool old = false;
	*free = false;
	enum rc rc = store_old_room_is(w->app->store, room_id, &old, e);
	if (rc != RC_OK)
		return rc;
	if (!old &&
		(store_room_by_id(w->app->store, room_id, &w->a, &other,
			 NULL) != RC_OK ||
			text_eq(other.key, w->step->room->key)))
		return RC_OK;
	rc = hs_delete_alias(w->hs, w->step->room->key, e);
	*free = rc == RC_OK || rc == RC_NOT_FOUND;
	return *free ? RC_OK : rc;
}

enum rc step_create_room(struct work *w, struct err *e)
{
	const char *room_id = NULL;
	bool free = false;
	if (w->step->room_id)
		return follow(w, e);
	enum rc rc =
		hs_resolve_alias(w->hs, w->step->room->key, &w->a, &room_id, e);
	if (rc == RC_OK) {
		rc = take_alias_off(w, room_id, &free, e);
		if (rc != RC_OK || !free)
			return rc == RC_OK ? adopt(w, room_id, e) : rc;
		rc = RC_NOT_FOUND;
	}
	if (rc != RC_NOT_FOUND)
		return rc;
	bool finished = false;
	rc = w->interrupted ? finish_half_made(w, &finished, e) : RC_OK;
	if (rc != RC_OK || finished)
		return rc;
	return make(w, e);
}
