/*
 * Rooms of the policy: made by the sender, or found by their alias; invitations
 * and joins of any room.
 *
 * What we did is written down as a membership from an action; the event that
 * the homeserver sends of it takes the row over. A refusal means that the
 * store was wrong about the room: it is looked at again before the next plan.
 */
#include <stdlib.h>

#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/work.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

/* The room's id, which a step before this one may have made. */
static enum rc room_id_of(struct work *w, const char **ret, struct err *e)
{
	struct store_room row = { 0 };
	enum rc rc = store_room_get(
		w->app->store, w->step->room->key, &w->a, &row, e);
	if (rc == RC_OK && !row.room_id)
		rc = err_set(e, RC_NOT_FOUND, "%s does not exist yet",
			w->step->room->key);
	if (rc == RC_OK)
		*ret = row.room_id;
	return rc;
}

/* Who is in the room to ask the subject in, and can look into it: the sender
 * (NULL), or the other one of a direct room's two. */
static const char *host(const struct work *w)
{
	const struct room *room = w->step->room;
	if (!room->direct)
		return NULL;
	return text_eq(w->step->subject, room->maker->user_id)
		? room->other->user_id
		: room->maker->user_id;
}

static enum rc member_is(struct work *w, const char *room_id,
	const char *membership, struct err *e)
{
	const struct store_membership m = { .room_id = room_id,
		.user_id = w->step->subject,
		.membership = membership,
		.origin_ts = w->since_ms,
		.source = "action" };
	enum rc rc = store_begin(w->app->store, e);
	if (rc == RC_OK)
		rc = store_membership_set(w->app->store, &m, NULL, e);
	return work_end(w, rc, e);
}

/* What the subject is in the room, as the homeserver says now; NULL when it
 * cannot be seen, or is nothing. */
static const char *is_there(struct work *w, const char *room_id)
{
	struct err look = { 0 };
	const char *is = NULL;
	if (observe_room(w->app, w->hs, host(w), room_id, NULL, NULL, &look) !=
			RC_OK ||
		store_membership_get(w->app->store, room_id, w->step->subject,
			&w->a, &is, &look) != RC_OK)
		return NULL;
	return is;
}

/*
 * The homeserver refused: perhaps what we wanted is so already. Looks at the
 * whole room; RC_OK (the step is done) when the subject's membership is one of
 * the two, else the refusal stands.
 */
static enum rc refused(struct work *w, const char *room_id, const char *good,
	const char *also_good, struct err *e)
{
	const char *is = is_there(w, room_id);
	if (text_eq(is, good) || text_eq(is, also_good))
		return work_nothing(w, e);
	return RC_FORBIDDEN;
}

/*
 * The subject's membership as the step begins: another step (one that found
 * the whole room) or a transaction may have been faster than this one. What
 * became of a request without an answer only the homeserver knows.
 */
static enum rc is_now(
	struct work *w, const char *room_id, const char **is, struct err *e)
{
	enum rc rc = RC_OK;
	if (w->interrupted)
		rc = observe_room(
			w->app, w->hs, host(w), room_id, NULL, NULL, e);
	if (rc == RC_OK || rc == RC_FORBIDDEN)
		rc = store_membership_get(
			w->app->store, room_id, w->step->subject, &w->a, is, e);
	return rc;
}

/* Who has left is asked again only when it is one of ours. */
static bool wants_invitation(const struct work *w, const char *is)
{
	return !is || text_eq(is, "knock") ||
		(text_eq(is, "leave") && w->step->person);
}

enum rc step_invite(struct work *w, struct err *e)
{
	const char *room_id = NULL, *is = NULL;
	enum rc rc = room_id_of(w, &room_id, e);
	if (rc == RC_OK)
		rc = is_now(w, room_id, &is, e);
	if (rc != RC_OK)
		return rc;
	if (!wants_invitation(w, is))
		return work_nothing(w, e);
	w->asked = true;
	rc = hs_invite(w->hs, w->step->actor, room_id, w->step->subject, e);
	if (rc == RC_FORBIDDEN)
		return refused(w, room_id, "invite", "join", e);
	return rc == RC_OK ? member_is(w, room_id, "invite", e) : rc;
}

/*
 * Refused. Somebody who is invited, and yet not let in, is asked once more:
 * an invitation may have been lost in the homeserver (plan.c, newcomers).
 */
static enum rc join_refused(struct work *w, const char *room_id, struct err *e)
{
	const char *is = is_there(w, room_id);
	if (text_eq(is, "join"))
		return work_nothing(w, e);
	if (!text_eq(is, "invite"))
		return RC_FORBIDDEN;
	enum rc rc = hs_invite(w->hs, host(w), room_id, w->step->subject, e);
	if (rc == RC_OK)
		rc = hs_join(w->hs, w->step->actor, room_id, e);
	return rc == RC_OK ? member_is(w, room_id, "join", e) : rc;
}

enum rc step_join(struct work *w, struct err *e)
{
	const char *room_id = NULL, *is = NULL;
	enum rc rc = room_id_of(w, &room_id, e);
	if (rc == RC_OK)
		rc = is_now(w, room_id, &is, e);
	if (rc != RC_OK)
		return rc;
	if (text_eq(is, "join"))
		return work_nothing(w, e);
	w->asked = true;
	rc = hs_join(w->hs, w->step->actor, room_id, e);
	if (rc == RC_FORBIDDEN)
		return join_refused(w, room_id, e);
	return rc == RC_OK ? member_is(w, room_id, "join", e) : rc;
}

enum rc step_leave(struct work *w, struct err *e)
{
	const char *room_id = NULL;
	enum rc rc = room_id_of(w, &room_id, e);
	if (rc != RC_OK)
		return rc;
	rc = hs_leave(w->hs, w->step->actor, room_id, e);
	if (rc == RC_FORBIDDEN)
		return refused(w, room_id, "leave", "ban", e);
	return rc == RC_OK ? member_is(w, room_id, "leave", e) : rc;
}

/* --- state ------------------------------------------------------------------ */

static void name_wanted(
	const struct work *w, struct js now, bool *right, struct buf *out)
{
	const char *name = w->step->room->name;
	struct jb b;
	jb_init(&b, out);
	jb_obj(&b, NULL);
	jb_str(&b, "name", name);
	jb_end_obj(&b);
	*right = text_eq(js_get_str(now, "name"), name);
}

/* What the room should have; *right when it has that already: the store may not
 * know it yet, and a second time would be seen by all who are in it. */
static enum rc state_wanted(struct work *w, const char *room_id, bool *right,
	struct buf *out, struct err *e)
{
	const char *type = w->step->subject;
	const bool named = text_eq(type, "m.room.name");
	struct buf now;
	struct json *doc = NULL;
	buf_init(&now, LIMIT_ANSWER);
	enum rc rc = hs_state(w->hs, NULL, room_id, type, "", &now, e);
	if (rc == RC_OK)
		rc = json_parse(now.p, now.n, type, &doc, e);
	else if (rc == RC_NOT_FOUND && named)
		rc = RC_OK;
	if (rc == RC_OK && named) {
		name_wanted(w, json_root(doc), right, out);
	} else if (rc == RC_OK) {
		*right = room_power_right(&w->app->fleet, buf_str(&now));
		room_power_raised(&w->app->fleet, json_root(doc), out);
	}
	json_free(doc);
	buf_free(&now);
	return rc == RC_OK ? buf_rc(out) : rc;
}

static enum rc state_is(
	struct work *w, const char *room_id, const char *content, struct err *e)
{
	enum rc rc = store_begin(w->app->store, e);
	if (rc == RC_OK)
		rc = store_state_set(w->app->store, room_id, w->step->subject,
			content, NULL, w->since_ms, NULL, e);
	return work_end(w, rc, e);
}

enum rc step_set_state(struct work *w, struct err *e)
{
	const char *room_id = NULL;
	bool right = false;
	struct buf content;
	buf_init(&content, LIMIT_ANSWER);
	enum rc rc = room_id_of(w, &room_id, e);
	if (rc == RC_OK)
		rc = state_wanted(w, room_id, &right, &content, e);
	if (rc == RC_OK && !right)
		rc = hs_set_state(w->hs, NULL, room_id, w->step->subject, "",
			content.p, e);
	if (rc == RC_OK)
		rc = state_is(w, room_id, content.p, e);
	buf_free(&content);
	return rc;
}

/* --- making a room -------------------------------------------------------------- */

static void creation_body(
	const struct work *w, const char *version, struct buf *out)
{
	const struct room *room = w->step->room;
	struct buf users;
	struct jb b;
	buf_init(&users, LIMIT_ANSWER);
	room_power_users(&w->app->fleet, w->app->sender_id, version, &users);
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
	if (!text_eq(buf_str(&users), "{}")) {
		jb_obj(&b, "power_level_content_override");
		jb_raw(&b, "users", buf_str(&users));
		jb_end_obj(&b);
	}
	jb_end_obj(&b);
	buf_free(&users);
}

/* The alias is taken: the room is ours when we are in it or may come in. */
static enum rc adopt(struct work *w, const char *room_id, struct err *e)
{
	const char *key = w->step->room->key;
	struct err look = { 0 };
	enum rc rc =
		observe_room(w->app, w->hs, NULL, room_id, key, NULL, &look);
	if (rc == RC_FORBIDDEN) {
		rc = hs_join(w->hs, NULL, room_id, &look);
		if (rc == RC_OK)
			rc = observe_room(
				w->app, w->hs, NULL, room_id, key, NULL, &look);
	}
	if (rc == RC_FORBIDDEN)
		return err_set(e, rc,
			"the alias %s leads to %s, a room that %s is not in "
			"and may not join: take the alias off that room, or "
			"invite %s with power 100",
			w->step->room->key, room_id, w->app->sender_id,
			w->app->sender_id);
	if (rc != RC_OK)
		return err_set(e, rc, "%s", look.text);
	return work_nothing(w, e);
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

enum rc step_create_room(struct work *w, struct err *e)
{
	const char *room_id = NULL;
	enum rc rc =
		hs_resolve_alias(w->hs, w->step->room->key, &w->a, &room_id, e);
	if (rc == RC_OK)
		return adopt(w, room_id, e);
	if (rc != RC_NOT_FOUND)
		return rc;
	bool finished = false;
	rc = w->interrupted ? finish_half_made(w, &finished, e) : RC_OK;
	if (rc != RC_OK || finished)
		return rc;
	return make(w, e);
}
