/*
 * Direct rooms that nobody has listed: a room of a declared pair alone, without
 * a name or an alias, in which nobody else ever was. The old manager may have
 * been ended before it listed it.
 */
#include <string.h>

#include "appservice/adopt/adopt_priv.h"
#include "appservice/reconcile/observe.h"
#include "base/str.h"

#include "base/poison.h"

static const char *const watched[] = { "m.room.name", "m.room.canonical_alias",
	"m.room.member", NULL };

/* The one who is in the room beside `who`, or asked in; NULL: it is a room of
 * another kind. */
static const char *only_other(
	struct adopt *ad, const struct hs_state_events *events, const char *who)
{
	const char *other = NULL;
	for (size_t i = 0; i < events->n; i++) {
		const struct hs_state_event *ev = &events->items[i];
		if (text_eq(ev->state_key, who))
			continue;
		const char *is = adopt_text_in(ev, "membership", &ad->a);
		if (other || (!text_eq(is, "join") && !text_eq(is, "invite")))
			return NULL; /* a name has no membership */
		other = ev->state_key;
	}
	return other;
}

/* The declared room of the two that has no room yet; NULL. */
static const struct room *room_wanted(
	struct adopt *ad, const char *one, const char *two)
{
	const bool order = strcmp(one, two) < 0;
	const char *key = arena_printf(
		&ad->a, "%s %s", order ? one : two, order ? two : one);
	const struct room *room = key ? fleet_room(&ad->app->fleet, key) : NULL;
	struct store_room row = { 0 };
	if (!room ||
		(store_room_get(ad->app->store, key, &ad->a, &row, NULL) ==
				RC_OK &&
			row.room_id))
		return NULL;
	return room;
}

static enum rc take_if_direct(
	struct adopt *ad, const char *who, const char *room_id, struct err *e)
{
	struct hs_state_events events = { 0 };
	enum rc rc = hs_room_state(
		ad->hs, who, room_id, watched, &ad->a, &events, e);
	if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	const char *other = only_other(ad, &events, who);
	const struct room *room = other ? room_wanted(ad, who, other) : NULL;
	return room
		? observe_room(ad->app, ad->hs, who, room_id, room->key, who, e)
		: RC_OK;
}

enum rc adopt_find_direct(
	struct adopt *ad, const struct adopt_agent *agent, struct err *e)
{
	enum rc rc = RC_OK;
	for (size_t i = 0; i < agent->rooms.n && rc == RC_OK; i++) {
		bool known = false;
		rc = store_room_has_key(
			ad->app->store, agent->rooms.ids[i], &known, e);
		if (rc == RC_OK && !known)
			rc = take_if_direct(ad, agent->person->user_id,
				agent->rooms.ids[i], e);
	}
	return rc;
}
