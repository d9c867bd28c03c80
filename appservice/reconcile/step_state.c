/*
 * A room's state as the policy has it, and its alias.
 */
#include <string.h>

#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/work.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

enum rc work_room(struct work *w, struct store_room *row, struct err *e)
{
	const struct step *st = w->step;
	const char *key = st->from ? st->from : st->room->key;
	enum rc rc = store_room_get(w->app->store, key, &w->a, row, e);
	if (rc == RC_OK && !row->room_id)
		rc = err_set(e, RC_NOT_FOUND, "%s does not exist yet", key);
	return rc;
}

static const char *id_of(void *arg, const char *key)
{
	struct work *w = arg;
	struct store_room row = { 0 };
	return store_room_get(w->app->store, key, &w->a, &row, NULL) == RC_OK
		? row.room_id
		: NULL;
}

struct state_how work_state_how(struct work *w, const char *maker)
{
	return (struct state_how){ .fleet = &w->app->fleet,
		.sender_id = w->app->sender_id,
		.maker = maker,
		.id_of = id_of,
		.arg = w };
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

/* Where nobody has an answer it stands as it is. Of an alias of another server
 * Conduit says 500 M_UNKNOWN. */
static bool leads_to(void *arg, const char *alias, const char *room_id)
{
	struct work *w = arg;
	const char *there = NULL;
	struct err e = { 0 };
	enum rc rc = hs_resolve_alias(w->hs, alias, &w->a, &there, &e);
	if (rc == RC_OK)
		return text_eq(there, room_id);
	return rc != RC_NOT_FOUND && !hs_failure(w->hs)->errcode[0];
}

/* What the room should have; *right when it has that already: the store may not
 * know it yet, and a second time would be seen by all who are in it. */
static enum rc state_wanted(struct work *w, const struct store_room *row,
	bool *right, struct buf *out, struct err *e)
{
	const enum room_state st = room_state_of(w->step->subject);
	struct state_how how = work_state_how(w, row->maker);
	struct json *doc = NULL;
	const char *now = NULL;
	how.leads_to = leads_to;
	how.room_id = row->room_id;
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

enum rc work_lead_alias(struct work *w, const char *room_id, struct err *e)
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

/* Refused: the store was wrong about who has power in the room, or is in it. One
 * that is declared no longer, and that we do not see any more, gives its place
 * to nobody. */
static void look_again(struct work *w, const char *room_id)
{
	struct store *s = w->app->store;
	const struct step *st = w->step;
	struct err e = { 0 };
	enum rc rc = room_id ? observe_room(w->app, w->hs, st->actor, room_id,
				       NULL, NULL, &e)
			     : RC_OK;
	if (!st->from || (rc != RC_FORBIDDEN && rc != RC_NOT_FOUND))
		return;
	rc = store_begin(s, &e);
	if (rc == RC_OK)
		rc = store_room_lost(s, st->from, &e);
	if (rc == RC_OK)
		rc = store_commit(s, &e);
	store_rollback(s);
	if (rc != RC_OK)
		log_warn("a room could not be given up", LS("room", st->from),
			LS("error", e.text));
}

/* The new alias is that of a room that is there: then the old room is not this
 * one's, and that other is taken up, or held, like any. */
static enum rc keep_apart(struct work *w, struct err *e)
{
	struct store *s = w->app->store;
	struct err end = { 0 };
	enum rc rc = store_begin(s, &end);
	if (rc == RC_OK)
		rc = store_room_unrule(s, w->step->from, &end);
	rc = work_end(w, rc, &end);
	if (rc != RC_OK)
		return err_set(e, rc, "%s", end.text);
	w->held = true;
	return RC_EXISTS;
}

enum rc step_set_state(struct work *w, struct err *e)
{
	const struct step *st = w->step;
	struct store_room row = { 0 };
	bool right = false;
	struct buf content;
	buf_init(&content, LIMIT_ANSWER);
	enum rc rc = work_room(w, &row, e);
	if (rc == RC_OK &&
		text_eq(st->subject, room_state_type(ROOM_STATE_ALIAS)))
		rc = work_lead_alias(w, row.room_id, e);
	if (rc == RC_EXISTS && st->from)
		rc = keep_apart(w, e);
	if (rc == RC_OK)
		rc = state_wanted(w, &row, &right, &content, e);
	if (rc == RC_OK && !right)
		rc = hs_set_state(w->hs, st->actor, row.room_id, st->subject,
			"", content.p, e);
	if (rc == RC_OK)
		rc = state_is(w, row.room_id, content.p, e);
	else if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND)
		look_again(w, row.room_id);
	buf_free(&content);
	return rc;
}
