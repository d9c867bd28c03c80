/*
 * Who waits for an account. Few may, since each holds up a thread of the
 * listener, which has to take transactions, too.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/reconcile/reconcile.h"
#include "appservice/reconcile/wanted.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

/* Of the listener's four threads two stay free. */
#define MAX_WAITING 2
/* The homeserver's client waits meanwhile (AS-91d). */
#define ANSWER_MS 5000

struct waiting {
	const char *user_id; /* NULL: the place is free */
	bool told;
	enum rc rc;
	struct err why;
};

struct wanted {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct waiting places[MAX_WAITING];
};

struct wanted *wanted_new(void)
{
	struct wanted *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;
	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	return w;
}

void wanted_free(struct wanted *w)
{
	if (!w)
		return;
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static bool is_for(const struct waiting *p, const char *user_id)
{
	return p->user_id && (!user_id || text_eq(p->user_id, user_id));
}

bool wanted_is(struct wanted *w, const char *user_id)
{
	bool is = false;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < MAX_WAITING; i++)
		is |= is_for(&w->places[i], user_id) && !w->places[i].told;
	pthread_mutex_unlock(&w->lock);
	return is;
}

void wanted_tell(
	struct wanted *w, const char *user_id, enum rc rc, const char *why)
{
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < MAX_WAITING; i++) {
		struct waiting *p = &w->places[i];
		if (!is_for(p, user_id) || p->told)
			continue;
		p->told = true;
		p->rc = rc;
		err_set(&p->why, rc, "%s", why);
	}
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static struct waiting *take_place(struct wanted *w, const char *user_id)
{
	struct waiting *place = NULL;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < MAX_WAITING && !place; i++)
		if (!w->places[i].user_id)
			place = &w->places[i];
	if (place)
		*place = (struct waiting){ .user_id = user_id };
	pthread_mutex_unlock(&w->lock);
	return place;
}

static void leave_place(struct wanted *w, struct waiting *place)
{
	pthread_mutex_lock(&w->lock);
	place->user_id = NULL;
	pthread_mutex_unlock(&w->lock);
}

static enum rc wait_told(struct wanted *w, struct waiting *place, struct err *e)
{
	struct timespec until = clock_after(ANSWER_MS);
	enum rc rc = RC_OK;
	pthread_mutex_lock(&w->lock);
	while (!place->told)
		if (pthread_cond_timedwait(&w->changed, &w->lock, &until) != 0)
			break;
	if (!place->told)
		rc = err_set(
			e, RC_TIMEOUT, "it is not there yet; the work goes on");
	else if (place->rc != RC_OK)
		rc = err_set(e, place->rc, "%s", place->why.text);
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* RC_PENDING: it is still to be registered. */
static enum rc how_far(struct app *app, const char *user_id, struct err *e)
{
	struct arena a = { 0 };
	struct store_agent row = { 0 };
	enum rc rc = store_agent_get(app->store, user_id, &a, &row, e);
	bool ours = row.declared && row.state != AGENT_BLOCKED &&
		row.state != AGENT_RETIRED;
	if (rc == RC_OK && !ours)
		rc = err_set(e, RC_NOT_FOUND, "no such agent");
	else if (rc == RC_OK && row.state == AGENT_DECLARED)
		rc = err_set(e, RC_PENDING, "it is not registered yet");
	arena_free(&a);
	return rc;
}

/* The place is taken before the store is asked: what is done from then on is
 * told. */
static enum rc wait_for(struct app *app, struct waiting *place, struct err *e)
{
	struct reconcile_state st;
	enum rc rc = how_far(app, place->user_id, e);
	if (rc != RC_PENDING)
		return rc;
	if (app_stopping())
		return err_set(e, RC_STOPPING, "the service is stopping");
	reconcile_state(app->reconcile, &st);
	if (!st.connected)
		return err_set(e, RC_PENDING,
			"the homeserver cannot be used yet: %s",
			st.why[0] ? st.why : "it has not answered");
	reconcile_wake(app->reconcile);
	return wait_told(app->wanted, place, e);
}

enum rc wanted_account(struct app *app, const char *user_id, struct err *e)
{
	enum rc rc = how_far(app, user_id, e);
	if (rc != RC_PENDING)
		return rc;
	struct waiting *place = take_place(app->wanted, user_id);
	if (!place)
		return err_set(
			e, RC_BUSY, "too many accounts are asked for at once");
	rc = wait_for(app, place, e);
	leave_place(app->wanted, place);
	return rc;
}
