/*
 * Who is in a room: invitations, joins, leaves and kicks, of any room.
 *
 * What we did is written down as a membership from an action; the event that
 * the homeserver sends of it takes the row over. A refusal means that the
 * store was wrong about the room: it is looked at again before the next plan.
 */
#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/work.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

/* The room's id, which a step before this one may have made. */
static enum rc room_id_of(struct work *w, const char **ret, struct err *e)
{
	struct store_room row = { 0 };
	*ret = w->step->room_id;
	if (*ret)
		return RC_OK;
	enum rc rc = work_room(w, &row, e);
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
	const struct store_audit row = { .ms = clock_wall_ms(),
		.actor = "homeserver",
		.action = REFUSED_UNBAN,
		.subject = w->step->subject,
		.detail = arena_printf(
			&w->a, "%s: %s", w->step->where, why.text) };
	rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_removal_refused(s, room_id, w->step->subject, e);
	if (rc == RC_OK)
		rc = store_audit_add(s, &row, e);
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
