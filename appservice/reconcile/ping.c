/*
 * Whether the homeserver reaches us: asked by a ping, which it answers when it
 * has called us. One that another service answered does not count.
 */
#include <stdio.h>

#include "appservice/reconcile/reconcile_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

#define PING_RETRY_MS 15000

/* Any ping with the token shows that we are reached. Ours shows where ours
 * went (AS-86); one without an id may be ours. */
void reconcile_pinged(struct reconcile *r, const char *txn)
{
	pthread_mutex_lock(&r->lock);
	if (r->ping_txn[0] && (!txn || text_eq(txn, r->ping_txn)))
		r->ping_came = true;
	pthread_mutex_unlock(&r->lock);
	reconcile_reached(r);
}

/* From here until end_ping() an arriving ping may be ours. */
static void begin_ping(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	snprintf(r->ping_txn, sizeof(r->ping_txn), "muster-%llx",
		(unsigned long long)random_below(UINT64_MAX));
	r->ping_came = false;
	pthread_mutex_unlock(&r->lock);
}

/* Did it arrive here? */
static bool end_ping(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	r->ping_txn[0] = '\0';
	bool came = r->ping_came;
	pthread_mutex_unlock(&r->lock);
	return came;
}

/* Only this thread writes ping_txn, so it may read it without the lock. */
static enum rc ping(struct reconcile *r, int64_t *ms, struct err *e)
{
	const char *url = config_text(&r->app->config, SET_AS_URL);
	struct err why = { 0 };
	begin_ping(r);
	enum rc rc = hs_ping(r->clients[0],
		config_text(&r->app->config, SET_AS_ID), r->ping_txn, ms, &why);
	bool came = end_ping(r);
	if (rc == RC_OK && !came)
		return err_set(e, RC_REMOTE,
			"the homeserver reaches somebody at %s, but not us: "
			"does another service listen there, or is "
			"appservice.url another's?",
			url);
	if (rc != RC_OK)
		return err_set(e, rc,
			"the homeserver does not get through to us at %s "
			"(appservice.url), or with another token (`muster "
			"register` gives it ours): %s",
			url, why.text);
	return RC_OK;
}

void ping_try(struct reconcile *r)
{
	struct err why = { 0 };
	int64_t ms = 0;
	struct reconcile_state st;
	reconcile_state(r, &st);
	if (st.reached || clock_mono_ms() < r->next_ping_ms)
		return;
	if (ping(r, &ms, &why) == RC_OK) {
		log_info("the homeserver reaches us", LI("ms", ms));
		return;
	}
	log_warn("the homeserver does not reach us", LS("error", why.text));
	pthread_mutex_lock(&r->lock);
	reconcile_say(r->state.ping, sizeof(r->state.ping), why.text);
	pthread_mutex_unlock(&r->lock);
	r->next_ping_ms = clock_mono_ms() + PING_RETRY_MS;
}
