/*
 * Moving a fleet over from passwords: the look, and the order in which what it
 * has found is done.
 */
#include <stdio.h>
#include <string.h>

#include "appservice/adopt/adopt_priv.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

#include "base/poison.h"

/* --- what the parts share --------------------------------------------------- */

bool adopt_is_fatal(enum rc rc)
{
	return rc == RC_NETWORK || rc == RC_TIMEOUT || rc == RC_UNAUTHORIZED ||
		rc == RC_STOPPING || rc == RC_NOMEM || rc == RC_IO ||
		rc == RC_CORRUPT;
}

void adopt_say(const struct adopt *ad, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	if (!ad->say)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	ad->say(ad->arg, line);
}

bool adopt_contains(const struct hs_ids *ids, const char *id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (text_eq(ids->ids[i], id))
			return true;
	return false;
}

const char *adopt_text_in(
	const struct hs_state_event *ev, const char *key, struct arena *a)
{
	struct json *doc = NULL;
	const char *ret = NULL;
	if (ev &&
		json_parse(ev->content, strlen(ev->content), NULL, &doc,
			NULL) == RC_OK)
		ret = arena_strdup(a, js_get_str(json_root(doc), key));
	json_free(doc);
	return ret;
}

bool adopt_is_called(const struct person *p, const char *word)
{
	return text_eq(word, p->user_id) || text_eq(word, p->localpart);
}

enum rc adopt_audit(struct adopt *ad, const char *subject, const char *detail,
	struct err *e)
{
	const struct store_audit row = { .ms = clock_wall_ms(),
		.actor = "muster adopt",
		.action = "adopt",
		.subject = subject,
		.detail = detail };
	return detail ? store_audit_add(ad->app->store, &row, e) : err_nomem(e);
}

enum rc adopt_stopped(struct err *e)
{
	return app_stopping()
		? err_set(e, RC_STOPPING,
			  "ended by a signal: nothing is lost, and `muster "
			  "adopt` goes on where it was")
		: RC_OK;
}

/* --- looking ---------------------------------------------------------------- */

/* The same words as whoever else finds it out. */
static enum rc is_registered(struct adopt *ad, struct err *e)
{
	struct hs_whoami me = { 0 };
	enum rc rc = hs_whoami(ad->hs, NULL, &me, e);
	if (rc == RC_UNAUTHORIZED)
		return err_set(e, rc,
			"the homeserver does not know our token: run `muster "
			"register` first");
	if (rc == RC_FORBIDDEN)
		return err_set(e, RC_UNAUTHORIZED,
			"%s is not there yet: run `muster register` first",
			ad->app->sender_id);
	if (rc == RC_OK && !text_eq(me.user_id, ad->app->sender_id))
		return err_set(e, RC_UNAUTHORIZED,
			"the homeserver knows our token as %s, the "
			"configuration says %s: run `muster registration`, "
			"then `muster register`",
			me.user_id, ad->app->sender_id);
	return rc;
}

/* An agent that is in there would be an administrator with a token on a shared
 * disk. */
static enum rc find_admin_room(struct adopt *ad, struct err *e)
{
	return atomic_load(&ad->app->kind) == HS_CONDUIT
		? hs_admin_room(ad->hs, ad->app->fleet.server_name, &ad->a,
			  &ad->admin_room, e)
		: RC_OK;
}

static enum rc check_names(const struct adopt *ad, struct err *e)
{
	const struct fleet *f = &ad->app->fleet;
	for (size_t i = 0; i < ad->n_names; i++) {
		bool found = false;
		for (size_t k = 0; k < f->n_agents && !found; k++)
			found = adopt_is_called(f->agents[k], ad->names[i]);
		if (!found)
			return err_set(e, RC_NOT_FOUND,
				"%s is no agent of the fleet", ad->names[i]);
	}
	return RC_OK;
}

static enum rc connect_to(struct adopt *ad, struct err *e)
{
	enum rc rc = app_client(ad->app, NULL, &ad->hs, e);
	if (rc == RC_OK)
		rc = app_reach(ad->app, ad->hs, NULL, e);
	if (rc == RC_OK)
		rc = app_detect(ad->app, ad->hs, e);
	if (rc == RC_OK)
		rc = is_registered(ad, e);
	return rc == RC_OK ? find_admin_room(ad, e) : rc;
}

/* Whose power there is, once it is known for which agents we may act. */
static enum rc judge_all(struct adopt *ad, struct err *e)
{
	enum rc rc = RC_OK;
	adopt_judge_agents(ad);
	for (size_t i = 0; i < ad->n_rooms && rc == RC_OK; i++)
		rc = adopt_look_at_room(ad, &ad->rooms[i], e);
	return rc;
}

static void count_direct(struct adopt *ad, const struct store_snapshot *now)
{
	ad->direct = 0;
	for (size_t i = 0; i < now->n_rooms; i++)
		ad->direct += now->rooms[i].direct && now->rooms[i].declared &&
			now->rooms[i].room_id;
}

enum rc adopt_look(struct adopt *ad, struct err *e)
{
	enum rc rc = check_names(ad, e);
	if (rc == RC_OK)
		rc = connect_to(ad, e);
	if (rc == RC_OK)
		rc = app_snapshot(ad->app, &ad->a, &ad->now, e);
	if (rc == RC_OK) {
		count_direct(ad, &ad->now);
		rc = adopt_find_rooms(ad, e);
	}
	if (rc == RC_OK)
		rc = adopt_look_at_agents(ad, e);
	if (rc == RC_OK)
		rc = judge_all(ad, e);
	return rc == RC_OK && !arena_ok(&ad->a) ? err_nomem(e) : rc;
}

void adopt_free(struct adopt *ad)
{
	adopt_owner_leave(ad);
	hs_free(ad->hs);
	arena_free(&ad->a);
}

/* --- counting --------------------------------------------------------------- */

size_t adopt_open(const struct adopt *ad)
{
	size_t n = 0;
	for (size_t i = 0; i < ad->n_agents; i++)
		n += ad->agents[i].take && !ad->agents[i].handed_off;
	for (size_t i = 0; i < ad->n_rooms; i++)
		n += adopt_room_is_open(&ad->rooms[i]) && !ad->rooms[i].done;
	return n;
}

size_t adopt_left(const struct adopt *ad)
{
	size_t n = adopt_powerless(ad);
	for (size_t i = 0; i < ad->n_agents; i++) {
		const struct adopt_agent *agent = &ad->agents[i];
		n += !agent->take && agent->is != ADOPT_AGENT_OURS &&
			agent->is != ADOPT_AGENT_ABSENT;
	}
	return n;
}

size_t adopt_powerless(const struct adopt *ad)
{
	size_t n = 0;
	for (size_t i = 0; i < ad->n_rooms; i++)
		n += ad->rooms[i].is == ADOPT_ROOM_MISSING;
	return n;
}

/* --- doing it --------------------------------------------------------------- */

/* One that cannot be done is told, and is in nobody's way. */
static enum rc take_note(struct adopt *ad, enum rc rc, const struct err *one,
	const char **why, struct err *e)
{
	if (adopt_is_fatal(rc))
		return err_set(e, rc, "%s", one->text);
	if (rc == RC_OK)
		return RC_OK;
	*why = arena_strdup(&ad->a, one->text);
	return *why ? RC_OK : err_nomem(e);
}

static enum rc take_rooms(struct adopt *ad, struct err *e)
{
	enum rc rc = RC_OK;
	for (size_t i = 0; i < ad->n_rooms && rc == RC_OK; i++) {
		struct err one = { 0 };
		struct adopt_room *r = &ad->rooms[i];
		if (!adopt_room_is_open(r))
			continue;
		rc = adopt_stopped(e);
		if (rc == RC_OK)
			rc = take_note(ad, adopt_take_room(ad, r, &one), &one,
				&r->why, e);
	}
	return rc;
}

static enum rc take_agents(struct adopt *ad, struct err *e)
{
	enum rc rc = RC_OK;
	for (size_t i = 0; i < ad->n_agents && rc == RC_OK; i++) {
		struct err one = { 0 };
		struct adopt_agent *agent = &ad->agents[i];
		if (!agent->take)
			continue;
		rc = adopt_stopped(e);
		if (rc == RC_OK)
			rc = take_note(ad, adopt_take_agent(ad, agent, &one),
				&one, &agent->why, e);
	}
	return rc;
}

/* One that the policy declares is told of by itself, whatever came of it. */
static bool is_declared(const struct adopt *ad, const char *room_id)
{
	for (size_t i = 0; i < ad->n_rooms; i++)
		if (text_eq(ad->rooms[i].room_id, room_id))
			return true;
	return false;
}

/* Rooms that an agent is in and that nothing declares stay as they are. */
static enum rc find_others(
	struct adopt *ad, struct adopt_agent *agent, struct err *e)
{
	const char **ids =
		arena_array(&ad->a, agent->rooms.n + 1, sizeof(*ids));
	enum rc rc = RC_OK;
	if (!ids)
		return err_nomem(e);
	agent->others = (struct hs_ids){ .ids = ids };
	for (size_t i = 0; i < agent->rooms.n && rc == RC_OK; i++) {
		bool known = is_declared(ad, agent->rooms.ids[i]);
		if (!known)
			rc = store_room_has_key(
				ad->app->store, agent->rooms.ids[i], &known, e);
		if (rc == RC_OK && !known)
			ids[agent->others.n++] = agent->rooms.ids[i];
	}
	return rc;
}

/* What else there is in the accounts that were taken. */
static enum rc look_around(struct adopt *ad, struct err *e)
{
	struct arena a = { 0 };
	struct store_snapshot now = { 0 };
	enum rc rc = app_snapshot(ad->app, &a, &now, e);
	if (rc == RC_OK)
		count_direct(ad, &now);
	arena_free(&a);
	for (size_t i = 0; i < ad->n_agents && rc == RC_OK; i++)
		if (ad->agents[i].taken)
			rc = find_others(ad, &ad->agents[i], e);
	return rc;
}

enum rc adopt_do(struct adopt *ad, struct err *e)
{
	enum rc rc = take_rooms(ad, e);
	if (rc == RC_OK)
		rc = take_agents(ad, e);
	if (rc == RC_OK)
		rc = look_around(ad, e);
	return rc == RC_OK ? adopt_finish(ad, e) : rc;
}
