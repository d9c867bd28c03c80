/*
 * Rooms with declared aliases that somebody else has made: who can give our user
 * the power to keep each of them, and taking it up.
 */
#include <string.h>

#include "appservice/adopt/adopt_priv.h"
#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/plan.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/str.h"

#include "base/poison.h"

#define FULL_POWER 100

static const char *const watched[] = { "m.room.create", "m.room.power_levels",
	"m.room.join_rules", "m.room.member", NULL };

/* A room as somebody in it sees it. */
struct view {
	struct hs_state_events events;
	bool there; /* somebody is */
};

static const struct hs_state_event *event_of(
	const struct view *v, const char *type, const char *key)
{
	for (size_t i = 0; i < v->events.n; i++)
		if (text_eq(v->events.items[i].type, type) &&
			text_eq(v->events.items[i].state_key, key))
			return &v->events.items[i];
	return NULL;
}

static bool is_member(struct adopt *ad, const struct view *v,
	const char *user_id, const char *membership)
{
	return text_eq(adopt_text_in(event_of(v, "m.room.member", user_id),
			       "membership", &ad->a),
		membership);
}

/* --- seeing it -------------------------------------------------------------- */

/* Whoever has left may see what was there then, and is no witness. */
static enum rc see_as(struct adopt *ad, struct hs *hs, const char *as,
	const char *who, const char *room_id, struct view *v, struct err *e)
{
	enum rc rc =
		hs_room_state(hs, as, room_id, watched, &ad->a, &v->events, e);
	if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc == RC_OK)
		v->there = is_member(ad, v, who, "join");
	return rc;
}

/* We may act for it: it is ours, or about to be. */
static bool may_act_for(const struct adopt_agent *agent)
{
	return agent->is == ADOPT_AGENT_OURS || agent->take;
}

static enum rc see(
	struct adopt *ad, const char *room_id, struct view *v, struct err *e)
{
	enum rc rc =
		see_as(ad, ad->hs, NULL, ad->app->sender_id, room_id, v, e);
	for (size_t i = 0; i < ad->n_agents && rc == RC_OK && !v->there; i++) {
		const struct adopt_agent *agent = &ad->agents[i];
		if (may_act_for(agent) &&
			adopt_contains(&agent->rooms, room_id))
			rc = see_as(ad, ad->hs, agent->person->user_id,
				agent->person->user_id, room_id, v, e);
	}
	if (rc == RC_OK && !v->there && ad->owner)
		rc = see_as(ad, ad->owner, NULL, ad->owner_id, room_id, v, e);
	return rc;
}

/* --- power ------------------------------------------------------------------ */

static void power_in(const struct view *v, const char *who, struct power *p)
{
	const struct hs_state_event *create =
		event_of(v, room_state_type(ROOM_STATE_CREATE), "");
	const struct hs_state_event *levels =
		event_of(v, room_state_type(ROOM_STATE_POWER), "");
	power_open(p, who, NULL, create ? create->content : NULL,
		create ? create->sender : NULL,
		levels ? levels->content : NULL);
}

static bool keeps_room(const struct view *v, const char *who)
{
	struct power p;
	power_in(v, who, &p);
	const bool keeps = p.known && power_keeps_room(&p);
	power_close(&p);
	return keeps;
}

/* The level that somebody can give us; 0: none. */
static int64_t can_give(const struct view *v, const char *who)
{
	struct power p;
	int64_t level = 0;
	power_in(v, who, &p);
	if (p.known && p.above_all)
		level = FULL_POWER;
	else if (p.known && p.mine >= p.levels && power_keeps_room(&p))
		level = p.mine < FULL_POWER ? p.mine : FULL_POWER;
	power_close(&p);
	return level;
}

static const char *agent_with_power(
	const struct adopt *ad, const struct view *v, const char *room_id)
{
	for (size_t i = 0; i < ad->n_agents; i++) {
		const struct adopt_agent *agent = &ad->agents[i];
		if (may_act_for(agent) &&
			adopt_contains(&agent->rooms, room_id) &&
			can_give(v, agent->person->user_id) > 0)
			return agent->person->user_id;
	}
	return NULL;
}

/* Those in the room who could give it: whom to ask. */
static const char *who_has_power(struct adopt *ad, const struct view *v)
{
	const char *list = NULL;
	for (size_t i = 0; i < v->events.n; i++) {
		const struct hs_state_event *ev = &v->events.items[i];
		if (!text_eq(ev->type, "m.room.member") ||
			!is_member(ad, v, ev->state_key, "join") ||
			can_give(v, ev->state_key) == 0)
			continue;
		list = list
			? arena_printf(&ad->a, "%s, %s", list, ev->state_key)
			: ev->state_key;
	}
	return list;
}

static const char *what_is_missing(struct adopt *ad, const struct view *v)
{
	const char *sender = ad->app->sender_id;
	const char *owner = ad->owner ? ad->owner_id : NULL;
	if (!v->there)
		return arena_printf(&ad->a,
			"nobody whom we may act for is in it%s%s: run `muster "
			"adopt --owner USER` with somebody who has power in "
			"it, or have %s asked in with power 100",
			owner ? ", nor " : "", owner ? owner : "", sender);
	const char *who = who_has_power(ad, v);
	if (!who)
		return arena_printf(&ad->a,
			"nobody in it has power any more: take the alias off "
			"that room, and another one is made");
	return arena_printf(&ad->a,
		"power in it has %s: run `muster adopt --owner %s`, or have %s "
		"asked in with power 100",
		who, strchr(who, ',') ? "USER` with one of them" : who, sender);
}

/* Our user has the power already: may it come in by itself? */
static bool may_come_in(struct adopt *ad, const struct view *v)
{
	const char *sender = ad->app->sender_id;
	return is_member(ad, v, sender, "join") ||
		is_member(ad, v, sender, "invite") ||
		text_eq(adopt_text_in(
				event_of(v,
					room_state_type(ROOM_STATE_JOIN_RULES),
					""),
				"join_rule", &ad->a),
			"public");
}

static bool is_ready(struct adopt *ad, const struct view *v)
{
	return v->there && keeps_room(v, ad->app->sender_id) &&
		may_come_in(ad, v);
}

/* Somebody who is in the room as themselves, with the power to give. */
static bool owner_can_give(struct adopt *ad, const struct view *v)
{
	return v->there && ad->owner &&
		is_member(ad, v, ad->owner_id, "join") &&
		can_give(v, ad->owner_id) > 0;
}

static void judge(struct adopt *ad, struct adopt_room *r, const struct view *v)
{
	r->by = v->there ? agent_with_power(ad, v, r->room_id) : NULL;
	r->why = NULL;
	if (is_ready(ad, v)) {
		r->is = ADOPT_ROOM_READY;
		r->by = NULL;
	} else if (r->by) {
		r->is = ADOPT_ROOM_AGENT;
	} else if (owner_can_give(ad, v)) {
		r->is = ADOPT_ROOM_OWNER;
		r->by = ad->owner_id;
	} else if (ad->owner && ad->owner_is_admin) {
		r->is = ADOPT_ROOM_ADMIN;
		r->by = ad->owner_id;
	} else {
		r->is = ADOPT_ROOM_MISSING;
		r->why = what_is_missing(ad, v);
	}
}

/* --- looking ---------------------------------------------------------------- */

/* As far as the store knows. */
static bool has_power(const struct store_room *row, const char *sender)
{
	struct power p;
	power_open(&p, sender, row->maker,
		room_state_content(row, ROOM_STATE_CREATE),
		row->state ? row->state[ROOM_STATE_CREATE].sender : NULL,
		room_state_content(row, ROOM_STATE_POWER));
	const bool keeps = power_keeps_room(&p);
	power_close(&p);
	return keeps;
}

/* The store has it, and it is kept. */
static bool is_kept(const struct adopt *ad, const struct adopt_room *r)
{
	const struct store_room *row = snapshot_room(&ad->now, r->room->key);
	return row && text_eq(row->room_id, r->room_id) && !row->held &&
		text_eq(room_membership(row, ad->app->sender_id), "join") &&
		has_power(row, ad->app->sender_id);
}

static size_t count_absent(
	struct adopt *ad, const struct room *room, const struct view *v)
{
	size_t n = 0;
	for (size_t i = 0; v->there && i < room->n_members; i++)
		n += !is_member(ad, v, room->members[i]->user_id, "join");
	return n;
}

static enum rc look_again(
	struct adopt *ad, struct adopt_room *r, struct view *v, struct err *e)
{
	*v = (struct view){ .there = false };
	enum rc rc = see(ad, r->room_id, v, e);
	if (rc == RC_OK) {
		judge(ad, r, v);
		r->absent = count_absent(ad, r->room, v);
		r->unseen = !v->there;
	}
	return rc;
}

enum rc adopt_look_at_room(
	struct adopt *ad, struct adopt_room *r, struct err *e)
{
	struct view v;
	if (!r->room_id || r->is == ADOPT_ROOM_OURS)
		return RC_OK;
	return look_again(ad, r, &v, e);
}

/* The room of another key: this one's is another, which the service makes. */
static bool is_another_room(const struct adopt *ad, const struct adopt_room *r)
{
	for (const struct adopt_room *o = ad->rooms; o != r; o++)
		if (text_eq(o->room_id, r->room_id))
			return true;
	for (size_t i = 0; i < ad->now.n_rooms; i++)
		if (text_eq(ad->now.rooms[i].room_id, r->room_id) &&
			!text_eq(ad->now.rooms[i].key, r->room->key))
			return true;
	return false;
}

static enum rc find_room(struct adopt *ad, struct adopt_room *r, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = hs_resolve_alias(
		ad->hs, r->room->key, &ad->a, &r->room_id, &why);
	if (rc == RC_OK && is_another_room(ad, r))
		r->room_id = NULL;
	else if (rc == RC_OK && is_kept(ad, r))
		r->is = ADOPT_ROOM_OURS;
	if (rc == RC_OK || rc == RC_NOT_FOUND)
		return RC_OK;
	if (adopt_is_fatal(rc))
		return err_set(e, rc, "%s", why.text);
	r->is = ADOPT_ROOM_MISSING;
	r->why = arena_strdup(&ad->a, why.text);
	return r->why ? RC_OK : err_nomem(e);
}

enum rc adopt_find_rooms(struct adopt *ad, struct err *e)
{
	const struct fleet *f = &ad->app->fleet;
	enum rc rc = RC_OK;
	ad->rooms = arena_array(
		&ad->a, f->n_rooms - f->n_direct + 1, sizeof(*ad->rooms));
	if (!ad->rooms)
		return err_nomem(e);
	for (size_t i = 0; i < f->n_rooms && rc == RC_OK; i++) {
		if (f->rooms[i].direct)
			continue;
		struct adopt_room *r = &ad->rooms[ad->n_rooms++];
		r->room = &f->rooms[i];
		rc = find_room(ad, r, e);
		if (rc == RC_OK)
			rc = adopt_stopped(e);
	}
	return rc;
}

bool adopt_room_is_open(const struct adopt_room *r)
{
	return r->is == ADOPT_ROOM_READY || r->is == ADOPT_ROOM_AGENT ||
		r->is == ADOPT_ROOM_OWNER || r->is == ADOPT_ROOM_ADMIN;
}

/* --- taking it -------------------------------------------------------------- */

/* The levels as they are now, with ours in them. */
static enum rc raise_power(struct adopt *ad, struct hs *hs, const char *as,
	const struct adopt_room *r, const struct view *v, struct err *e)
{
	const char *type = room_state_type(ROOM_STATE_POWER);
	const struct hs_state_event *levels = event_of(v, type, "");
	const char *now = levels ? levels->content : "{}";
	struct json *doc = NULL;
	struct buf content;
	buf_init(&content, LIMIT_ANSWER);
	enum rc rc = json_parse(now, strlen(now), type, &doc, e);
	if (rc == RC_OK) {
		power_levels_grant(json_root(doc), ad->app->sender_id,
			can_give(v, r->by), &content);
		rc = buf_rc(&content);
	}
	if (rc == RC_OK)
		rc = hs_set_state(hs, as, r->room_id, type, "", content.p, e);
	json_free(doc);
	buf_free(&content);
	return rc;
}

/* Asked in first: so we may stay, whatever comes of the rest. */
static enum rc give_power(struct adopt *ad, const struct adopt_room *r,
	const struct view *v, struct err *e)
{
	const char *sender = ad->app->sender_id;
	const bool owner = r->is == ADOPT_ROOM_OWNER;
	struct hs *hs = owner ? ad->owner : ad->hs;
	const char *as = owner ? NULL : r->by;
	enum rc rc = RC_OK;
	if (!is_member(ad, v, sender, "join") &&
		!is_member(ad, v, sender, "invite"))
		rc = hs_invite(hs, as, r->room_id, sender, e);
	if (rc == RC_OK && !keeps_room(v, sender))
		rc = raise_power(ad, hs, as, r, v, e);
	return rc;
}

static enum rc come_in(struct adopt *ad, const struct adopt_room *r,
	const struct view *v, struct err *e)
{
	return is_member(ad, v, ad->app->sender_id, "join")
		? RC_OK
		: hs_join(ad->hs, NULL, r->room_id, e);
}

/* It is in the store already, by its alias; nothing keeps us from it. */
static enum rc record(
	struct adopt *ad, const struct adopt_room *r, struct err *e)
{
	struct store *s = ad->app->store;
	const char *detail = r->by
		? arena_printf(&ad->a, "%s: %s has given us power", r->room_id,
			  r->by)
		: r->room_id;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_room_hold(s, r->room->key, NULL, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = adopt_audit(ad, r->room->key, detail, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* Public rooms were listed; what the policy lets nobody into is not. Where that
 * is refused the room is ours all the same. */
static enum rc unlist(struct adopt *ad, struct adopt_room *r, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = r->room->policy->join_rule == JOIN_PUBLIC
		? RC_OK
		: hs_unlist_room(ad->hs, r->room_id, &r->unlisted, &why);
	if (adopt_is_fatal(rc))
		return err_set(e, rc, "%s", why.text);
	if (rc == RC_OK)
		return RC_OK;
	r->why = arena_printf(&ad->a,
		"it may still stand in the public list of rooms: %s", why.text);
	return r->why ? RC_OK : err_nomem(e);
}

/* Power, and our user in the room. */
static enum rc get_in(struct adopt *ad, struct adopt_room *r, struct err *e)
{
	struct view v;
	/* As it is by now. */
	enum rc rc = look_again(ad, r, &v, e);
	if (rc != RC_OK)
		return rc;
	if (!adopt_room_is_open(r))
		return err_set(e, RC_FORBIDDEN, "%s", r->why);
	if (r->is == ADOPT_ROOM_ADMIN)
		rc = hs_make_room_admin(
			ad->owner, r->room_id, ad->app->sender_id, e);
	else if (r->is != ADOPT_ROOM_READY)
		rc = give_power(ad, r, &v, e);
	return rc == RC_OK ? come_in(ad, r, &v, e) : rc;
}

enum rc adopt_take_room(struct adopt *ad, struct adopt_room *r, struct err *e)
{
	adopt_say(ad, "taking up %s", r->room->key);
	enum rc rc = get_in(ad, r, e);
	if (rc == RC_OK)
		rc = unlist(ad, r, e);
	if (rc == RC_OK)
		rc = observe_room(ad->app, ad->hs, NULL, r->room_id,
			r->room->key, NULL, e);
	if (rc == RC_OK)
		rc = record(ad, r, e);
	r->done = rc == RC_OK;
	return rc;
}
