/*
 * A room as the homeserver has it, all of it in one request: looked at and
 * committed, or judged.
 */
#include <stdlib.h>
#include <string.h>

#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/plan.h"
#include "appservice/reconcile/work.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

/* What a look at a room keeps. */
static const char *const watched[] = {
#define X(name, type) type,
	ROOM_STATE_TABLE(X)
#undef X
		"m.room.member",
	NULL,
};

struct seen_room {
	struct hs_state_events events;
	int64_t at_ms;
};

static enum rc fetch_room(struct hs *hs, const char *as, const char *room_id,
	struct arena *a, struct seen_room *seen, struct err *e)
{
	seen->at_ms = clock_wall_ms();
	return hs_room_state(hs, as, room_id, watched, a, &seen->events, e);
}

/* Of a type, with an empty state key; NULL. */
static const struct hs_state_event *state_of(
	const struct hs_state_events *events, enum room_state st)
{
	for (size_t i = 0; i < events->n; i++)
		if (text_eq(events->items[i].type, room_state_type(st)) &&
			text_eq(events->items[i].state_key, ""))
			return &events->items[i];
	return NULL;
}

/* Only its maker can have put our mark into a room. */
static bool has_mark(const struct seen_room *seen, const char *key)
{
	struct json *doc = NULL;
	const struct hs_state_event *create =
		state_of(&seen->events, ROOM_STATE_CREATE);
	if (!create ||
		json_parse(create->content, strlen(create->content), NULL, &doc,
			NULL) != RC_OK)
		return false;
	bool ours = text_eq(js_get_str(json_root(doc), ROOM_MARK), key);
	json_free(doc);
	return ours;
}

/* "join" …; NULL when it is no membership. */
static const char *membership_in(const struct hs_state_event *ev)
{
	static const char *const words[] = { "join", "invite", "leave", "ban",
		"knock" };
	struct json *doc = NULL;
	const char *ret = NULL;
	if (json_parse(ev->content, strlen(ev->content), NULL, &doc, NULL) !=
		RC_OK)
		return NULL;
	const char *word = js_get_str(json_root(doc), "membership");
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (text_eq(words[i], word))
			ret = words[i];
	json_free(doc);
	return ret;
}

/* Out by an event that is known already: whoever we have asked in since has
 * not come in, whatever was said. */
static enum rc set_out(struct store *s, const struct store_removal *removal,
	int64_t at_ms, struct err *e)
{
	struct store_removal lost = *removal;
	lost.at_ms = at_ms;
	enum rc rc = store_removal_lost(s, &lost, e);
	return rc == RC_OK ? store_removal_add(s, removal, e) : rc;
}

static enum rc set_member(struct store *s, const char *room_id,
	const struct hs_state_event *ev, const char *membership, int64_t at_ms,
	struct err *e)
{
	const struct store_membership row = { .room_id = room_id,
		.user_id = ev->state_key,
		.membership = membership,
		.event_id = ev->event_id,
		.origin_ts = at_ms,
		.source = "poll" };
	const struct store_removal removal = { .room_id = room_id,
		.user_id = ev->state_key,
		.by = ev->sender,
		.ban = text_eq(membership, "ban"),
		.at_ms = ev->origin_ts,
		.event_id = ev->event_id };
	const bool out = removal.ban || text_eq(membership, "leave");
	enum rc rc =
		out && ev->event_id ? set_out(s, &removal, at_ms, e) : RC_OK;
	return rc == RC_OK ? store_membership_set(s, &row, NULL, e) : rc;
}

/* All members, and nobody else. */
static enum rc set_members(struct store *s, const char *room_id,
	const struct seen_room *seen, struct err *e)
{
	const char **ids = calloc(seen->events.n + 1, sizeof(*ids));
	size_t n = 0;
	enum rc rc = RC_OK;
	if (!ids)
		return err_nomem(e);
	for (size_t i = 0; i < seen->events.n && rc == RC_OK; i++) {
		const struct hs_state_event *ev = &seen->events.items[i];
		const char *membership = text_eq(ev->type, "m.room.member")
			? membership_in(ev)
			: NULL;
		if (!membership)
			continue;
		ids[n++] = ev->state_key;
		rc = set_member(s, room_id, ev, membership, seen->at_ms, e);
	}
	if (rc == RC_OK)
		rc = store_membership_only(s, room_id, ids, n, seen->at_ms, e);
	free(ids);
	return rc;
}

static enum rc set_states(struct store *s, const char *room_id,
	const struct seen_room *seen, struct err *e)
{
	enum rc rc = RC_OK;
	for (enum room_state st = 0; st < ROOM_STATES && rc == RC_OK; st++) {
		const struct hs_state_event *ev = state_of(&seen->events, st);
		if (ev)
			rc = store_state_set(s, room_id, ev->type, ev->content,
				ev->event_id, ev->sender, seen->at_ms, NULL, e);
	}
	return rc;
}

static enum rc commit_room(struct store *s, const char *room_id,
	const char *key, const char *maker, const struct seen_room *seen,
	struct err *e)
{
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK && key)
		rc = store_room_found(s, key, room_id, maker, e);
	if (rc == RC_OK)
		rc = set_members(s, room_id, seen, e);
	if (rc == RC_OK)
		rc = set_states(s, room_id, seen, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

enum rc observe_room(struct app *app, struct hs *hs, const char *as,
	const char *room_id, const char *key, const char *maker, struct err *e)
{
	struct arena a = { 0 };
	struct seen_room seen = { 0 };
	enum rc rc = fetch_room(hs, as, room_id, &a, &seen, e);
	if (rc == RC_OK && !arena_ok(&a))
		rc = err_nomem(e);
	if (rc == RC_OK && key && !maker && has_mark(&seen, key))
		maker = app->sender_id;
	if (rc == RC_OK)
		rc = commit_room(app->store, room_id, key, maker, &seen, e);
	arena_free(&a);
	return rc;
}

/* --- a room of somebody else's, or that was ours -------------------------------- */

/* Whoever has left may still see what was there then (Synapse), and anybody a
 * room that all the world may read. */
static bool are_in(const struct app *app, const struct seen_room *seen)
{
	for (size_t i = 0; i < seen->events.n; i++) {
		const struct hs_state_event *ev = &seen->events.items[i];
		if (text_eq(ev->type, "m.room.member") &&
			text_eq(ev->state_key, app->sender_id))
			return text_eq(membership_in(ev), "join");
	}
	return false;
}

/* What a judgement is made of. */
struct judging {
	struct app *app;
	struct hs *hs;
	const char *room_id, *before, *key;
	struct arena *a;
	struct seen_room seen;
	const char *why; /* NULL: the room may be kept */
};

/* What else may be done about it than letting us keep the room. */
static const char *other_way(const struct judging *j)
{
	return j->before ? arena_printf(j->a,
				   "take the upgrade back (an m.room.tombstone "
				   "in %s that names no room)",
				   j->before)
			 : "take the alias off that room";
}

/* It asks whoever has power there for it. */
static const char *third_way(const struct judging *j)
{
	return j->before ? "" : "; or stop the service and run `muster adopt`";
}

static const char *what_it_is(const struct judging *j)
{
	return j->before ? arena_printf(j->a, "the upgraded room %s is", j->key)
			 : arena_printf(j->a, "%s is", j->key);
}

static void judge_power(struct judging *j)
{
	const struct hs_state_event *create =
		state_of(&j->seen.events, ROOM_STATE_CREATE);
	const struct hs_state_event *levels =
		state_of(&j->seen.events, ROOM_STATE_POWER);
	struct power power;
	power_open(&power, j->app->sender_id, NULL,
		create ? create->content : NULL, create ? create->sender : NULL,
		levels ? levels->content : NULL);
	if (!power_keeps_room(&power))
		j->why = arena_printf(j->a,
			"%s %s, a room in which %s has power %lld: give it "
			"100 there and ask it in, or %s%s",
			what_it_is(j), j->room_id, j->app->sender_id,
			(long long)power.mine, other_way(j), third_way(j));
	power_close(&power);
}

/* The room says that it was replaced by the one whose place it is to take: we
 * would go back and forth. */
static bool leads_back(const struct judging *j)
{
	const struct hs_state_event *tombstone =
		state_of(&j->seen.events, ROOM_STATE_TOMBSTONE);
	return j->before && tombstone &&
		text_eq(tombstone_leads_to(tombstone->content, j->a),
			j->before);
}

static void judge(struct judging *j)
{
	if (leads_back(j))
		j->why = arena_printf(j->a,
			"%s %s, and there it says that %s has replaced it: "
			"upgrade one of the two to a new room",
			what_it_is(j), j->room_id, j->before);
	else
		judge_power(j);
}

static enum rc come_in(struct judging *j, bool *came, struct err *e)
{
	enum rc rc = fetch_room(j->hs, NULL, j->room_id, j->a, &j->seen, e);
	*came = false;
	if (rc != RC_FORBIDDEN && rc != RC_NOT_FOUND &&
		(rc != RC_OK || are_in(j->app, &j->seen)))
		return rc;
	rc = hs_join(j->hs, NULL, j->room_id, e);
	*came = rc == RC_OK;
	return rc == RC_OK
		? fetch_room(j->hs, NULL, j->room_id, j->a, &j->seen, e)
		: rc;
}

/* Whoever was asked in stays, as whoever asked them may still give them power;
 * whoever came in as anybody may has nothing to do there. */
static bool was_asked_in(const struct judging *j, const char *was)
{
	const struct hs_state_event *rules =
		state_of(&j->seen.events, ROOM_STATE_JOIN_RULES);
	struct json *doc = NULL;
	bool open = false;
	if (rules &&
		json_parse(rules->content, strlen(rules->content), NULL, &doc,
			NULL) == RC_OK) {
		const char *rule = js_get_str(json_root(doc), "join_rule");
		open = text_eq(rule, "public") || text_eq(rule, "restricted") ||
			text_eq(rule, "knock_restricted");
	}
	json_free(doc);
	return !open || text_eq(was, "invite");
}

/* Of a room that we came into in vain: each time is seen by all who are in
 * it. */
static const char *in_vain(struct arena *a, const char *key)
{
	return arena_printf(a, "in vain: %s", key);
}

static enum rc go_again(const struct judging *j, struct err *e)
{
	struct store *s = j->app->store;
	const char *name = in_vain(j->a, j->key);
	const struct store_membership m = { .room_id = j->room_id,
		.user_id = j->app->sender_id,
		.membership = "leave",
		.origin_ts = clock_wall_ms(),
		.source = "action" };
	if (!name)
		return err_nomem(e);
	enum rc rc = hs_leave(j->hs, NULL, j->room_id, e);
	if (rc != RC_OK && rc != RC_FORBIDDEN && rc != RC_NOT_FOUND)
		return rc;
	rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_note_set(s, name, j->room_id, e);
	if (rc == RC_OK)
		rc = store_membership_set(s, &m, NULL, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

enum rc room_may_be_kept(struct app *app, struct hs *hs, const char *room_id,
	const char *before, const char *key, struct arena *a, const char **why,
	struct err *e)
{
	struct judging j = { .app = app,
		.hs = hs,
		.room_id = room_id,
		.before = before,
		.key = key,
		.a = a };
	struct err look = { 0 };
	const char *was = NULL;
	bool came = false;
	enum rc rc = store_membership_get(
		app->store, room_id, app->sender_id, a, &was, e);
	if (rc != RC_OK)
		return rc;
	rc = come_in(&j, &came, &look);
	if (rc == RC_OK)
		judge(&j);
	if (rc == RC_OK && j.why && came && !was_asked_in(&j, was))
		rc = go_again(&j, &look);
	else if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND) {
		j.why = arena_printf(a,
			"%s %s, a room that %s is not in and may not join: "
			"%s, or invite %s with power 100%s",
			what_it_is(&j), room_id, app->sender_id, other_way(&j),
			app->sender_id, third_way(&j));
		rc = RC_OK;
	}
	if (rc != RC_OK)
		return err_set(e, rc, "%s", look.text);
	*why = j.why;
	return arena_ok(a) ? RC_OK : err_nomem(e);
}

enum rc room_was_in_vain(struct app *app, const char *key, const char *room_id,
	struct arena *a, bool *ret, struct err *e)
{
	const char *name = in_vain(a, key), *there = NULL, *is = NULL;
	if (!name)
		return err_nomem(e);
	enum rc rc = store_note_get(app->store, name, a, &there, e);
	if (rc == RC_OK)
		rc = store_membership_get(
			app->store, room_id, app->sender_id, a, &is, e);
	*ret = rc == RC_OK && text_eq(there, room_id) &&
		!text_eq(is, "invite") && !text_eq(is, "join");
	return rc;
}
