/*
 * Looks at the homeserver and commits what is there.
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

/* The state we use; m.room.create's content names the version. */
static const char *const watched_state[] = {
	"m.room.create",
	"m.room.name",
	"m.room.power_levels",
};

struct seen_room {
	struct hs_members members;
	const char *state[ARRAY_LEN(watched_state)]; /* NULL: none */
	int64_t at_ms;
};

static enum rc fetch_room(struct hs *hs, const char *as, const char *room_id,
	struct arena *a, struct seen_room *seen, struct err *e)
{
	seen->at_ms = clock_wall_ms();
	enum rc rc = hs_members(hs, as, room_id, a, &seen->members, e);
	for (size_t i = 0; i < ARRAY_LEN(watched_state) && rc == RC_OK; i++) {
		struct buf content;
		buf_init(&content, LIMIT_ANSWER);
		rc = hs_state(
			hs, as, room_id, watched_state[i], "", &content, e);
		if (rc == RC_OK)
			seen->state[i] = arena_strdup(a, buf_str(&content));
		else if (rc == RC_NOT_FOUND)
			rc = RC_OK;
		buf_free(&content);
	}
	return rc;
}

/* Only its maker can have put our mark into a room. */
static bool has_mark(const struct seen_room *seen, const char *key)
{
	struct json *doc = NULL;
	const char *create = seen->state[0];
	if (!create ||
		json_parse(create, strlen(create), NULL, &doc, NULL) != RC_OK)
		return false;
	bool ours = text_eq(js_get_str(json_root(doc), ROOM_MARK), key);
	json_free(doc);
	return ours;
}

/* All members, and nobody else. */
static enum rc set_members(struct store *s, const char *room_id,
	const struct seen_room *seen, struct err *e)
{
	const size_t n = seen->members.n;
	const char **ids = calloc(n + 1, sizeof(*ids));
	enum rc rc = RC_OK;
	if (!ids)
		return err_nomem(e);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		const struct hs_member *m = &seen->members.items[i];
		const struct store_membership row = { .room_id = room_id,
			.user_id = m->user_id,
			.membership = m->membership,
			.event_id = m->event_id,
			.origin_ts = seen->at_ms,
			.source = "poll" };
		ids[i] = m->user_id;
		rc = store_membership_set(s, &row, NULL, e);
	}
	if (rc == RC_OK)
		rc = store_membership_only(s, room_id, ids, n, seen->at_ms, e);
	free(ids);
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
	for (size_t i = 0; i < ARRAY_LEN(watched_state) && rc == RC_OK; i++)
		if (seen->state[i])
			rc = store_state_set(s, room_id, watched_state[i],
				seen->state[i], NULL, seen->at_ms, NULL, e);
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

/* We are not in the room any more: does its alias lead elsewhere? */
static enum rc room_missing(struct app *app, struct hs *hs,
	const struct store_room *room, struct err *e)
{
	struct arena a = { 0 };
	const char *leads_to = NULL;
	enum rc rc = hs_resolve_alias(hs, room->key, &a, &leads_to, e);
	if (rc == RC_OK && text_eq(leads_to, room->room_id)) {
		log_warn("we are not in a room of ours any more",
			LS("room", room->key), LS("room_id", room->room_id));
		rc = hs_join(hs, NULL, room->room_id, e);
		rc = rc == RC_FORBIDDEN ? RC_OK : rc;
	} else if (rc == RC_OK || rc == RC_NOT_FOUND) {
		log_warn("a room of ours is gone", LS("room", room->key),
			LS("room_id", room->room_id));
		rc = store_begin(app->store, e);
		if (rc == RC_OK)
			rc = store_room_lost(app->store, room->key, e);
		if (rc == RC_OK)
			rc = store_commit(app->store, e);
		store_rollback(app->store);
	}
	arena_free(&a);
	return rc;
}

static enum rc poll_room(struct app *app, struct hs *hs,
	const struct store_room *room, struct err *e)
{
	struct arena a = { 0 };
	struct hs_ids joined = { 0 };
	bool changed = false;
	const int64_t at_ms = clock_wall_ms();
	enum rc rc = hs_joined_members(hs, NULL, room->room_id, &a, &joined, e);
	if (rc == RC_OK)
		rc = store_begin(app->store, e);
	else if (rc == RC_FORBIDDEN || rc == RC_NOT_FOUND)
		rc = room_missing(app, hs, room, e);
	if (rc == RC_OK && joined.ids)
		rc = store_membership_poll(app->store, room->room_id,
			joined.ids, joined.n, at_ms, &changed, e);
	if (rc == RC_OK && joined.ids)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	if (changed)
		log_info("a look found what no transaction had said",
			LS("room", room->key));
	arena_free(&a);
	return rc;
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
	return !room->direct && room->declared && room->room_id;
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

enum rc observe_all(struct app *app, struct hs *hs, struct err *e)
{
	struct arena a = { 0 };
	struct store_snapshot now = { 0 };
	struct hs_ids rooms = { 0 };
	bool forgotten = false;
	enum rc rc = app_snapshot(app, &a, &now, e);
	const struct store_agent *sender = snapshot_agent(&now, app->sender_id);
	if (rc == RC_OK && sender && sender->state != AGENT_DECLARED)
		rc = look_at_rooms(app, hs, &now, &a, &rooms, &forgotten, e);
	for (size_t i = 0; i < now.n_rooms && rc == RC_OK && !forgotten; i++) {
		const struct store_room *room = &now.rooms[i];
		if (!is_looked_at(room))
			continue;
		struct err one = { 0 };
		enum rc r = are_in(&rooms, room->room_id)
			? poll_room(app, hs, room, &one)
			: room_missing(app, hs, room, &one);
		if (is_fatal(r))
			rc = err_set(e, r, "%s", one.text);
		else if (r != RC_OK)
			log_warn("a room could not be looked at",
				LS("room", room->key), LS("error", one.text));
	}
	arena_free(&a);
	return rc;
}
