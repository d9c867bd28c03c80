/*
 * Rooms of the policy: made by the sender, or found by their alias; invitations
 * and joins of any room.
 *
 * What we did is written down as a membership from an action; the event that
 * the homeserver sends of it takes the row over. A refusal means that the
 * store was wrong about the room: it is looked at again before the next plan.
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

/* The room's row, by the key that it has until now. */
static enum rc row_of(struct work *w, struct store_room *row, struct err *e)
{
	const struct step *st = w->step;
	const char *key = st->from ? st->from : st->room->key;
	enum rc rc = store_room_get(w->app->store, key, &w->a, row, e);
	if (rc == RC_OK && !row->room_id)
		rc = err_set(e, RC_NOT_FOUND, "%s does not exist yet", key);
	return rc;
}

/* The room's id, which a step before this one may have made. */
static enum rc room_id_of(struct work *w, const char **ret, struct err *e)
{
	struct store_room row = { 0 };
	*ret = w->step->room_id;
	if (*ret)
		return RC_OK;
	enum rc rc = row_of(w, &row, e);
	*ret = row.room_id;
	return rc;
}

/* Who is in the room to ask the subject in, and can look into it: the sender
 * (NULL), or the other one of a direct room's two. */
static const char *host(const struct work *w)
{
	const struct room *room = w->step->room;
	if (!room || !room->direct)
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
		(w->step->person &&
			(text_eq(is, "leave") || text_eq(is, "ban")));
}

/* A ban that an operator wants taken back. Where that is refused it stands. */
static enum rc take_ban_back(
	struct work *w, const char *room_id, bool *refused, struct err *e)
{
	struct store *s = w->app->store;
	struct err why = { 0 };
	enum rc rc = hs_unban(
		w->hs, w->step->actor, room_id, w->step->subject, &why);
	*refused = rc == RC_FORBIDDEN;
	if (!*refused)
		return rc == RC_OK ? rc : err_set(e, rc, "%s", why.text);
	log_warn("a ban could not be taken back", LS("agent", w->step->subject),
		LS("room", w->step->where), LS("error", why.text));
	rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_removal_refused(s, room_id, w->step->subject, e);
	return work_end(w, rc, e);
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
	bool banned = false;
	if (text_eq(is, "ban"))
		rc = take_ban_back(w, room_id, &banned, e);
	if (rc != RC_OK || banned)
		return rc;
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

/* The end of a leave: when the service's own user is out of a room that another
 * has replaced, that is done with. */
static enum rc has_left(struct work *w, const char *room_id, struct err *e)
{
	struct store *s = w->app->store;
	const struct store_membership m = { .room_id = room_id,
		.user_id = w->step->subject,
		.membership = "leave",
		.origin_ts = w->since_ms,
		.source = "action" };
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_membership_set(s, &m, NULL, e);
	if (rc == RC_OK && !w->step->actor)
		rc = store_old_room_left(s, room_id, e);
	return work_end(w, rc, e);
}

enum rc step_leave(struct work *w, struct err *e)
{
	const char *room_id = NULL;
	enum rc rc = room_id_of(w, &room_id, e);
	if (rc != RC_OK)
		return rc;
	rc = hs_leave(w->hs, w->step->actor, room_id, e);
	if (rc == RC_FORBIDDEN && w->step->room)
		return refused(w, room_id, "leave", "ban", e);
	/* Of a room that nobody sees any more, whoever is not in it is out. */
	if (rc == RC_OK || rc == RC_NOT_FOUND || rc == RC_FORBIDDEN)
		return has_left(w, room_id, e);
	return rc;
}

enum rc step_kick(struct work *w, struct err *e)
{
	const char *room_id = NULL;
	enum rc rc = room_id_of(w, &room_id, e);
	if (rc == RC_OK)
		rc = hs_kick(w->hs, NULL, room_id, w->step->subject,
			"not declared in this room", e);
	if (rc == RC_FORBIDDEN)
		return refused(w, room_id, "leave", "ban", e);
	return rc == RC_OK || rc == RC_NOT_FOUND
		? member_is(w, room_id, "leave", e)
		: rc;
}

/* --- state ------------------------------------------------------------------ */

static const char *id_of(void *arg, const char *key)
{
	struct work *w = arg;
	struct store_room row = { 0 };
	return store_room_get(w->app->store, key, &w->a, &row, NULL) == RC_OK
		? row.room_id
		: NULL;
}

/* Content of a room's state as it is; *ret NULL when there is none. */
static enum rc content_of(struct work *w, const char *room_id, const char *type,
	const char **ret, struct err *e)
{
	struct buf now;
	*ret = NULL;
	buf_init(&now, LIMIT_ANSWER);
	enum rc rc =
		hs_state(w->hs, w->step->actor, room_id, type, "", &now, e);
	if (rc == RC_OK)
		*ret = arena_strdup(&w->a, buf_str(&now));
	if (rc == RC_OK && !*ret)
		rc = err_nomem(e);
	buf_free(&now);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* What the room should have; *right when it has that already: the store may not
 * know it yet, and a second time would be seen by all who are in it. */
static enum rc state_wanted(struct work *w, const struct store_room *row,
	bool *right, struct buf *out, struct err *e)
{
	const enum room_state st = room_state_of(w->step->subject);
	struct state_how how = { .fleet = &w->app->fleet,
		.sender_id = w->app->sender_id,
		.maker = row->maker,
		.id_of = id_of,
		.arg = w };
	struct json *doc = NULL;
	const char *now = NULL;
	enum rc rc = content_of(w, row->room_id, w->step->subject, &now, e);
	if (rc == RC_OK && st == ROOM_STATE_POWER)
		rc = content_of(w, row->room_id,
			room_state_type(ROOM_STATE_CREATE), &how.create, e);
	if (rc == RC_OK)
		rc = json_parse(now ? now : "{}", now ? strlen(now) : 2,
			w->step->subject, &doc, e);
	if (rc != RC_OK)
		return rc;
	*right = now && state_is_right(&how, w->step->room, st, now);
	if (*right)
		buf_add(out, now);
	else
		state_write(&how, w->step->room, st, json_root(doc), out);
	json_free(doc);
	return buf_rc(out);
}

static enum rc state_is(
	struct work *w, const char *room_id, const char *content, struct err *e)
{
	struct store *s = w->app->store;
	const struct step *st = w->step;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK && st->from)
		rc = store_room_rename(s, st->from, st->room->key, e);
	if (rc == RC_OK)
		rc = store_state_set(s, room_id, st->subject, content, NULL,
			NULL, w->since_ms, NULL, e);
	return work_end(w, rc, e);
}

/*
 * The alias leads to the room. One that leads to another room of ours is what
 * that one was called before: it is taken off it.
 */
static enum rc lead_alias_to(struct work *w, const char *room_id, struct err *e)
{
	const char *alias = w->step->room->key, *there = NULL;
	struct store_room other = { 0 };
	enum rc rc = hs_resolve_alias(w->hs, alias, &w->a, &there, e);
	if (rc == RC_OK && text_eq(there, room_id))
		return RC_OK;
	if (rc == RC_OK) {
		rc = store_room_by_id(
			w->app->store, there, &w->a, &other, NULL);
		if (rc != RC_OK && !w->step->room_id)
			return err_set(e, RC_EXISTS,
				"the alias %s leads to %s, which is not ours: "
				"take it off that room",
				alias, there);
		rc = hs_delete_alias(w->hs, alias, e);
	}
	if (rc == RC_OK || rc == RC_NOT_FOUND)
		rc = hs_set_alias(w->hs, alias, room_id, e);
	return rc == RC_EXCLUSIVE
		? err_set(e, rc, "the alias %s is " OUTSIDE_NAMESPACE, alias)
		: rc;
}

enum rc step_set_state(struct work *w, struct err *e)
{
	const struct step *st = w->step;
	struct store_room row = { 0 };
	bool right = false;
	struct buf content;
	buf_init(&content, LIMIT_ANSWER);
	enum rc rc = row_of(w, &row, e);
	if (rc == RC_OK &&
		text_eq(st->subject, room_state_type(ROOM_STATE_ALIAS)))
		rc = lead_alias_to(w, row.room_id, e);
	if (rc == RC_OK)
		rc = state_wanted(w, &row, &right, &content, e);
	if (rc == RC_OK && !right)
		rc = hs_set_state(w->hs, st->actor, row.room_id, st->subject,
			"", content.p, e);
	if (rc == RC_OK)
		rc = state_is(w, row.room_id, content.p, e);
	buf_free(&content);
	return rc;
}

/* --- making a room -------------------------------------------------------------- */

/* What there is no other place for in a creation, and is not as homeservers
 * make it anyway. */
static void initial_state(struct work *w, struct jb *b)
{
	const struct room *room = w->step->room;
	const struct state_how how = { .fleet = &w->app->fleet,
		.sender_id = w->app->sender_id,
		.id_of = id_of,
		.arg = w };
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
	enum rc rc = room_may_be_kept(
		w->app, w->hs, room_id, w->step->room->key, &w->a, &why, e);
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
	const char *why = NULL;
	enum rc rc = room_may_be_kept(w->app, w->hs, st->room_id,
		arena_printf(&w->a, "the upgraded room %s", st->where), &w->a,
		&why, e);
	if (rc == RC_OK && why)
		return hold(w, why, e);
	if (rc == RC_OK)
		rc = lead_alias_to(w, st->room_id, e);
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

/* The alias leads to a room of ours that has another one by now: it is what
 * that one was called before. *free: it leads nowhere any more. */
static enum rc take_alias_off(
	struct work *w, const char *room_id, bool *free, struct err *e)
{
	struct store_room other = { 0 };
	*free = false;
	if (store_room_by_id(w->app->store, room_id, &w->a, &other, NULL) !=
			RC_OK ||
		text_eq(other.key, w->step->room->key))
		return RC_OK;
	enum rc rc = hs_delete_alias(w->hs, w->step->room->key, e);
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
