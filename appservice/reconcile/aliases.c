/*
 * Aliases that the homeserver has asked us for, though rooms of ours have them:
 * it asks only for those that it does not know. The regular look does not look
 * at them, since that would be one more request for each room.
 */
#include <string.h>

#include "appservice/reconcile/reconcile_priv.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

static struct asked_alias *find(struct reconcile *r, const char *alias)
{
	for (size_t i = 0; i < r->n_asked; i++)
		if (text_eq(r->asked[i].alias, alias))
			return &r->asked[i];
	return NULL;
}

bool reconcile_alias_asked(struct reconcile *r, const char *alias)
{
	pthread_mutex_lock(&r->lock);
	struct asked_alias *a = find(r, alias);
	if (!a && r->n_asked < ASKED_ALIASES && strlen(alias) <= LIMIT_ID) {
		a = &r->asked[r->n_asked++];
		*a = (struct asked_alias){ .times = 0 };
		reconcile_say(a->alias, sizeof(a->alias), alias);
		r->dirty = true;
		pthread_cond_signal(&r->wake);
	}
	if (a)
		a->times++;
	const bool gone = a && a->gone;
	pthread_mutex_unlock(&r->lock);
	return !gone;
}

static unsigned times_asked(struct reconcile *r, size_t i)
{
	pthread_mutex_lock(&r->lock);
	const unsigned times = r->asked[i].times;
	pthread_mutex_unlock(&r->lock);
	return times;
}

/* What the room says of its alias holds no more: so the plan sets it. From then
 * on nobody is told that it is there. */
static enum rc set_gone(struct reconcile *r, size_t i,
	const struct store_room *row, struct err *e)
{
	struct store *s = r->app->store;
	log_warn("the alias of a room leads nowhere: it is set again",
		LS("room", row->key), LS("room_id", row->room_id));
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_state_redact(s, row->room_id,
			room_state_type(ROOM_STATE_ALIAS), "{}", e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	pthread_mutex_lock(&r->lock);
	r->asked[i].gone = rc == RC_OK;
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* Conduit asks us again then, and fails since we say that it is there. */
static enum rc look_for(struct reconcile *r, size_t i, struct err *e)
{
	struct arena a = { 0 };
	struct store_room row = { 0 };
	const char *alias = r->asked[i].alias, *there = NULL;
	const unsigned before = times_asked(r, i);
	enum rc rc = hs_resolve_alias(r->clients[0], alias, &a, &there, e);
	const bool gone = rc == RC_NOT_FOUND ||
		(rc == RC_REMOTE && times_asked(r, i) != before);
	if (gone)
		rc = store_room_get(r->app->store, alias, &a, &row, e);
	if (gone && rc == RC_OK && row.declared && row.room_id && !row.held)
		rc = set_gone(r, i, &row, e);
	arena_free(&a);
	return rc;
}

size_t aliases_look(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	const size_t n = r->n_asked;
	pthread_mutex_unlock(&r->lock);
	for (size_t i = 0; i < n; i++) {
		struct err e = { 0 };
		if (look_for(r, i, &e) != RC_OK)
			log_debug("an alias was not looked for",
				LS("alias", r->asked[i].alias),
				LS("error", e.text));
	}
	return n;
}

void aliases_done(struct reconcile *r, size_t n)
{
	pthread_mutex_lock(&r->lock);
	r->n_asked -= n;
	memmove(r->asked, r->asked + n, r->n_asked * sizeof(r->asked[0]));
	pthread_mutex_unlock(&r->lock);
}
