/*
 * The regular look: what transactions have missed. Little when nothing is
 * wrong: one request for each declared room of the policy.
 */
#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/plan.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

/* An action of ours that no event has confirmed by then is looked after. */
#define CONFIRMED_MS 30000
/* So many direct rooms at each look, of those not looked at for so long. */
#define DIRECT_LOOKS 32
#define DIRECT_LOOK_MS ((int64_t)24 * 3600 * 1000)

/* --- one look at one room --------------------------------------------------------- */

struct looking {
	struct app *app;
	struct hs *hs;
	struct arena a;
	struct store_snapshot now;
	struct hs_ids rooms; /* the sender's */
	bool forgotten;
	bool soon; /* something is to be looked at again before long */
};

static enum rc in_store(struct app *app,
	enum rc (*change)(struct store *s, const struct store_room *room,
		const char *text, struct err *e),
	const struct store_room *room, const char *text, struct err *e)
{
	enum rc rc = store_begin(app->store, e);
	if (rc == RC_OK)
		rc = change(app->store, room, text, e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

static enum rc set_missing(struct store *s, const struct store_room *room,
	const char *text, struct err *e)
{
	(void)text;
	const int64_t now = clock_wall_ms();
	/* Direct rooms come in the order in which they were looked at. */
	return store_room_looked(s, room->key, room->direct ? 0 : now, now, e);
}

static enum rc set_found(struct store *s, const struct store_room *room,
	const char *text, struct err *e)
{
	(void)text;
	return store_room_looked(s, room->key, clock_wall_ms(), 0, e);
}

static enum rc set_tried(struct store *s, const struct store_room *room,
	const char *text, struct err *e)
{
	(void)text;
	return store_room_looked(
		s, room->key, clock_wall_ms(), room->missing_ms, e);
}

static enum rc set_lost(struct store *s, const struct store_room *room,
	const char *text, struct err *e)
{
	(void)text;
	return store_room_lost(s, room->key, e);
}

static enum rc set_given_up(struct store *s, const struct store_room *room,
	const char *text, struct err *e)
{
	(void)text;
	return store_room_given_up(s, room->key, e);
}

static enum rc set_held(struct store *s, const struct store_room *room,
	const char *text, struct err *e)
{
	return store_room_hold(s, room->key, text, clock_wall_ms(), e);
}

/* One look may be wrong; what two say is so. `led_to`: its alias still leads to
 * it. */
static enum rc not_found(struct looking *l, const struct store_room *room,
	bool led_to, struct err *e)
{
	if (room->missing_ms) {
		log_warn("a room of ours is gone", LS("room", room->key),
			LS("room_id", room->room_id));
		return in_store(l->app, led_to ? set_given_up : set_lost, room,
			NULL, e);
	}
	log_warn("a room of ours was not found: it is looked for once more",
		LS("room", room->key), LS("room_id", room->room_id));
	l->soon = true;
	return in_store(l->app, set_missing, room, NULL, e);
}

/* Nobody has the power to put us out of it: so nobody did, there is nobody whom
 * another room would be against, and nobody who would ask us in again. */
static bool we_left(const struct looking *l, const struct store_room *room)
{
	const struct store_state *create =
		room->state ? &room->state[ROOM_STATE_CREATE] : NULL;
	struct power power;
	power_open(&power, l->app->sender_id, room->maker,
		room_state_content(room, ROOM_STATE_CREATE),
		create ? create->sender : NULL,
		room_state_content(room, ROOM_STATE_POWER));
	/* Of a room of others it is not known who has made it. */
	bool we = power.known && power_keeps_room(&power) &&
		(power.above_all || text_eq(room->maker, l->app->sender_id));
	for (size_t i = 0; i < room->n_members && !power.above_all; i++)
		we = we &&
			power_of(&power, room->members[i].user_id) <=
				power.mine;
	power_close(&power);
	return we;
}

static enum rc out_of_reach(struct looking *l, const struct store_room *room,
	const char *why, struct err *e)
{
	if (we_left(l, room))
		return not_found(l, room, true, e);
	log_error("nothing can be done about a room", LS("room", room->key),
		LS("why", why));
	return in_store(l->app, set_held, room, why, e);
}

/*
 * We are not in the room any more: does its alias lead elsewhere? Of one that
 * it does not know Conduit asks us, and fails when we vouch for it; which we do
 * no more once a look has not found the room.
 */
static enum rc room_missing(
	struct looking *l, const struct store_room *room, struct err *e)
{
	const char *leads_to = NULL, *why = NULL;
	enum rc rc = hs_resolve_alias(l->hs, room->key, &l->a, &leads_to, e);
	if (rc == RC_NOT_FOUND || (rc == RC_REMOTE && !room->missing_ms) ||
		(rc == RC_OK && !text_eq(leads_to, room->room_id)))
		return not_found(l, room, false, e);
	if (rc == RC_OK)
		rc = room_may_be_kept(l->app, l->hs, room->room_id, NULL,
			room->key, &l->a, &why, e);
	if (rc == RC_OK && why)
		return out_of_reach(l, room, why, e);
	if (rc == RC_OK && room->missing_ms)
		rc = in_store(l->app, set_found, room, NULL, e);
	return rc;
}

/* By now something else is what keeps us from doing anything. */
static enum rc held_otherwise(struct looking *l, const struct store_room *room,
	const char *why, struct err *e)
{
	if (text_eq(why, room->held))
		return RC_OK;
	log_error("nothing can be done about a room", LS("room", room->key),
		LS("why", why));
	return in_store(l->app, set_held, room, why, e);
}

/* Is what kept us from doing anything about the room still so? Of one that was
 * upgraded that is the other one, wherever the alias leads. */
static enum rc look_at_held(
	struct looking *l, const struct store_room *room, struct err *e)
{
	const char *id = room_successor(room, &l->a), *why = NULL;
	const char *before = id ? room->room_id : NULL;
	bool vain = false;
	enum rc rc =
		id ? RC_OK : hs_resolve_alias(l->hs, room->key, &l->a, &id, e);
	if (rc == RC_OK)
		rc = room_was_in_vain(l->app, room->key, id, &l->a, &vain, e);
	if (rc == RC_OK && vain)
		return RC_OK;
	if (rc == RC_OK)
		rc = room_may_be_kept(
			l->app, l->hs, id, before, room->key, &l->a, &why, e);
	if (rc == RC_OK && why)
		return held_otherwise(l, room, why, e);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	log_info("something can be done about a room again",
		LS("room", room->key));
	return in_store(l->app, set_held, room, NULL, e);
}

static bool still_held(struct looking *l, const struct store_room *room)
{
	struct store_room row = { 0 };
	return store_room_get(l->app->store, room->key, &l->a, &row, NULL) ==
		RC_OK &&
		row.held;
}

static enum rc commit_joined(struct looking *l, const struct store_room *room,
	const struct hs_ids *joined, int64_t at_ms, bool *changed,
	struct err *e)
{
	struct store *s = l->app->store;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_membership_poll(s, room->room_id, joined->ids,
			joined->n, at_ms, changed, e);
	if (rc == RC_OK && (room->missing_ms || room->direct))
		rc = set_found(s, room, NULL, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* Something that only we have said is not known to have come true; who took
 * somebody out is not known; or nothing is known of the room itself. */
static enum rc needs_whole_look(const struct looking *l,
	const struct store_room *room, bool changed, bool *ret, struct err *e)
{
	*ret = changed || !room_state_content(room, ROOM_STATE_CREATE);
	return *ret ? RC_OK
		    : store_room_unconfirmed(l->app->store, room->room_id,
			      clock_wall_ms() - CONFIRMED_MS, ret, e);
}

/* RC_FORBIDDEN, RC_NOT_FOUND: whoever asks cannot look into it. */
static enum rc poll_as(struct looking *l, const struct store_room *room,
	const char *as, struct err *e)
{
	struct hs_ids joined = { 0 };
	bool changed = false, whole = false;
	const int64_t at_ms = clock_wall_ms();
	enum rc rc =
		hs_joined_members(l->hs, as, room->room_id, &l->a, &joined, e);
	if (rc == RC_OK)
		rc = commit_joined(l, room, &joined, at_ms, &changed, e);
	if (rc != RC_OK)
		return rc;
	if (changed)
		log_info("a look found what no transaction had said",
			LS("room", room->key));
	if (room->direct)
		whole = changed;
	else
		rc = needs_whole_look(l, room, changed, &whole, e);
	if (rc == RC_OK && whole)
		rc = observe_room(
			l->app, l->hs, as, room->room_id, NULL, NULL, e);
	return rc;
}

static enum rc poll_room(
	struct looking *l, const struct store_room *room, struct err *e)
{
	enum rc rc = poll_as(l, room, NULL, e);
	return rc == RC_FORBIDDEN || rc == RC_NOT_FOUND
		? room_missing(l, room, e)
		: rc;
}

/* After these nothing else would work either. */
static bool is_fatal(enum rc rc)
{
	return rc == RC_NETWORK || rc == RC_TIMEOUT || rc == RC_UNAUTHORIZED ||
		rc == RC_STOPPING || rc == RC_NOMEM;
}

static bool are_in(const struct hs_ids *rooms, const char *room_id)
{
	for (size_t i = 0; i < rooms->n; i++)
		if (text_eq(rooms->ids[i], room_id))
			return true;
	return false;
}

/* A room of the policy that exists, as far as the store knows. */
static bool is_looked_at(const struct store_room *room)
{
	return !room->direct && room->declared && room->room_id && !room->held;
}

/* --- a homeserver with a new database --------------------------------------- */

/* The rooms that are looked at, and those of them that we are in. */
static void count_rooms(const struct store_snapshot *now,
	const struct hs_ids *rooms, size_t *known, size_t *in)
{
	for (size_t i = 0; i < now->n_rooms; i++) {
		if (!is_looked_at(&now->rooms[i]))
			continue;
		*known += 1;
		*in += are_in(rooms, now->rooms[i].room_id);
	}
}

/* Some agent whose account the store knows; NULL when there is none. */
static const char *some_agent(const struct store_snapshot *now)
{
	for (size_t i = 0; i < now->n_agents; i++) {
		const struct store_agent *row = &now->agents[i];
		if (row->declared && !row->sender &&
			row->state != AGENT_DECLARED &&
			row->state != AGENT_BLOCKED)
			return row->user_id;
	}
	return NULL;
}

static enum rc forget(struct app *app, struct err *e)
{
	const struct store_audit row = { .ms = clock_wall_ms(),
		.actor = "muster",
		.action = "forget",
		.subject = config_text(&app->config, SET_HS_NAME),
		.detail =
			"the homeserver knows none of our accounts and rooms" };
	log_error("the homeserver has forgotten our accounts and rooms (a new "
		  "database?): all is made again",
		LS("homeserver", config_text(&app->config, SET_HS_URL)));
	enum rc rc = store_begin(app->store, e);
	if (rc == RC_OK)
		rc = store_forget(app->store, e);
	if (rc == RC_OK)
		rc = store_audit_add(app->store, &row, e);
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

/*
 * The rooms that we are in. When our own user is not known, or is in none of
 * the rooms that the store knows and an agent is not known either, the store
 * tells of another database: everything begins anew.
 */
static enum rc look_at_rooms(struct app *app, struct hs *hs,
	const struct store_snapshot *now, struct arena *a, struct hs_ids *rooms,
	bool *forgotten, struct err *e)
{
	struct hs_whoami who;
	size_t known = 0, in = 0;
	const char *agent = some_agent(now);
	enum rc rc = hs_joined_rooms(hs, NULL, a, rooms, e);
	if (rc == RC_OK) {
		count_rooms(now, rooms, &known, &in);
		if (known == 0 || in > 0 || !agent)
			return RC_OK;
		rc = hs_whoami(hs, agent, &who, e);
	}
	if (rc != RC_FORBIDDEN)
		return rc == RC_EXCLUSIVE ? RC_OK : rc;
	*forgotten = true;
	return forget(app, e);
}

static enum rc look_at_room(
	struct looking *l, const struct store_room *room, struct err *e)
{
	if (!is_looked_at(room))
		return RC_OK;
	return are_in(&l->rooms, room->room_id) ? poll_room(l, room, e)
						: room_missing(l, room, e);
}

/* Trouble with one room is not that of the others. */
static enum rc take_note(enum rc rc, const struct store_room *room,
	const struct err *one, struct err *e)
{
	if (is_fatal(rc))
		return err_set(e, rc, "%s", one->text);
	if (rc != RC_OK)
		log_warn("a room could not be looked at", LS("room", room->key),
			LS("error", one->text));
	return RC_OK;
}

/* An agent that is in the room, as far as is known. */
static bool is_agent_in(const struct looking *l, const struct store_member *m)
{
	const struct store_agent *row = snapshot_agent(&l->now, m->user_id);
	return text_eq(m->membership, "join") && row && row->declared;
}

/*
 * As one of the two; who was put out of it meanwhile cannot look, but the other
 * one can, and on Synapse who was put out is told at least that. What nobody can
 * look into may be gone.
 */
static enum rc poll_direct(
	struct looking *l, const struct store_room *room, struct err *e)
{
	enum rc rc = RC_OK;
	bool asked = false;
	const size_t both = room->n_members;
	for (size_t i = 0; both > 0 && i < 2 * both; i++) {
		const struct store_member *m = &room->members[i % both];
		if (!is_agent_in(l, m))
			continue;
		asked = true;
		rc = i < both ? poll_as(l, room, m->user_id, e)
			      : observe_room(l->app, l->hs, m->user_id,
					room->room_id, NULL, NULL, e);
		if (rc != RC_FORBIDDEN && rc != RC_NOT_FOUND)
			break;
	}
	if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND)
		return not_found(l, room, false, e);
	return rc == RC_OK && !asked
		? in_store(l->app, set_found, room, NULL, e)
		: rc;
}

/* Direct rooms are many, and their events come as others do: a few are looked
 * at each time, those first that were not for longest. */
static enum rc look_at_direct_rooms(struct looking *l, struct err *e)
{
	struct store_room *rooms = NULL;
	size_t n = 0;
	enum rc rc = store_rooms_unlooked(l->app->store,
		clock_wall_ms() - DIRECT_LOOK_MS, DIRECT_LOOKS, &l->a, &rooms,
		&n, e);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		struct err one = { 0 };
		const struct store_room *room =
			snapshot_room(&l->now, rooms[i].key);
		const enum rc got =
			poll_direct(l, room ? room : &rooms[i], &one);
		rc = take_note(got, &rooms[i], &one, e);
		/* It waits for its next turn like the others. */
		if (rc == RC_OK && got != RC_OK)
			rc = in_store(l->app, set_tried, &rooms[i], NULL, e);
	}
	return rc;
}

enum rc observe_held(struct app *app, struct hs *hs, size_t *n, struct err *e)
{
	struct looking l = { .app = app, .hs = hs };
	enum rc rc = app_snapshot(app, &l.a, &l.now, e);
	*n = 0;
	for (size_t i = 0; i < l.now.n_rooms && rc == RC_OK; i++) {
		const struct store_room *room = &l.now.rooms[i];
		struct err one = { 0 };
		if (!room->held || !room->declared)
			continue;
		rc = take_note(look_at_held(&l, room, &one), room, &one, e);
		*n += rc == RC_OK && still_held(&l, room);
	}
	arena_free(&l.a);
	return rc;
}

enum rc observe_all(
	struct app *app, struct hs *hs, bool first, bool *soon, struct err *e)
{
	struct looking l = { .app = app, .hs = hs };
	enum rc rc = app_snapshot(app, &l.a, &l.now, e);
	const struct store_agent *sender =
		snapshot_agent(&l.now, app->sender_id);
	if (rc == RC_OK && sender && sender->state != AGENT_DECLARED)
		rc = look_at_rooms(
			app, hs, &l.now, &l.a, &l.rooms, &l.forgotten, e);
	for (size_t i = 0; i < l.now.n_rooms && rc == RC_OK && !l.forgotten;
		i++) {
		struct err one = { 0 };
		rc = take_note(look_at_room(&l, &l.now.rooms[i], &one),
			&l.now.rooms[i], &one, e);
	}
	if (rc == RC_OK && !first && !l.forgotten)
		rc = look_at_direct_rooms(&l, e);
	*soon = l.soon;
	arena_free(&l.a);
	return rc;
}
