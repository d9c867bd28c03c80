/*
 * While the program runs: acknowledge what it was given, and look for a newer
 * file every second. A thread of its own, because a look at a shared file
 * system may hang and signals must not.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define STOP_MS 3000 /* how long a look may take when all is well */

struct follow {
	struct agent *a;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool stop, done;   /* under the lock */
	bool acknowledged; /* a->now */
	char told[512];    /* the last trouble, so that it is told once */
};

static void tell_once(struct follow *f, enum rc rc, const struct err *e)
{
	const char *what = rc == RC_OK ? "" : *e->text ? e->text : rc_words(rc);
	if (rc == RC_STOPPING || text_eq(f->told, what))
		return;
	snprintf(f->told, sizeof(f->told), "%s", what);
	if (*what)
		say("%s%s", what,
			rc == RC_REVOKED ? ": waiting for a new one" : "");
}

/* Than what the program has. A service that has lost everything counts from 1
 * again; then the time of issue, which is its own, decides. */
static bool is_newer(const struct handoff *h, const struct handoff *now)
{
	if (h->generation > now->generation)
		return true;
	const struct secret *token = &now->access_token;
	return h->issued_ms > now->issued_ms &&
		!secret_equal(&h->access_token, secret_bytes(token), token->n);
}

/* h is newer than what the program has. */
static enum rc take(struct follow *f, struct handoff *h, struct err *e)
{
	struct agent *a = f->a;
	if (!text_eq(h->user_id, a->now.user_id) ||
		!text_eq(h->device_id, a->now.device_id))
		return err_set(e, RC_CORRUPT,
			"generation %" PRId64 " is for %s, device %s, and the "
			"program runs as %s, device %s: not taken",
			h->generation, h->user_id, h->device_id, a->now.user_id,
			a->now.device_id);
	if (a->o.how == FOR_ENV)
		return err_set(e, RC_EXISTS,
			"generation %" PRId64 " is there, but a program cannot "
			"be given a new token in its environment: start it "
			"again, or run it with --for file",
			h->generation);
	enum rc rc = agent_verify(a, h, 0, e);
	if (rc == RC_OK)
		rc = deliver_file(a, h, e);
	if (rc != RC_OK)
		return rc;
	if (h->generation <= a->now.generation)
		say("generation %" PRId64
		    " was issued after generation %" PRId64
		    ": the service counts anew",
			h->generation, a->now.generation);
	handoff_fini(&a->now);
	a->now = *h;
	*h = (struct handoff){ 0 };
	f->acknowledged = false;
	say("generation %" PRId64 " delivered to %s", a->now.generation,
		a->token_file);
	return RC_OK;
}

static enum rc acknowledge(struct follow *f, struct err *e)
{
	if (f->acknowledged)
		return RC_OK;
	enum rc rc = agent_acknowledge(f->a, e);
	f->acknowledged = rc == RC_OK;
	return rc;
}

static void look(struct follow *f)
{
	struct handoff h = { 0 };
	struct err e = { 0 };
	enum rc rc = acknowledge(f, &e);
	if (rc == RC_OK && !atomic_load(&agent_stop)) {
		rc = agent_read(f->a, &h, &e);
		if (rc == RC_OK && is_newer(&h, &f->a->now))
			rc = take(f, &h, &e);
		if (rc == RC_OK)
			rc = acknowledge(f, &e);
	}
	tell_once(f, rc, &e);
	handoff_fini(&h);
}

/* About a second, or until we are to stop; false then. */
static bool nap(struct follow *f)
{
	const struct timespec until =
		clock_after(800 + (int64_t)random_below(400));
	pthread_mutex_lock(&f->lock);
	while (!f->stop &&
		pthread_cond_timedwait(&f->change, &f->lock, &until) == 0)
		;
	bool stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return !stop;
}

static void *follow_main(void *arg)
{
	struct follow *f = arg;
	do
		look(f);
	while (nap(f));
	pthread_mutex_lock(&f->lock);
	f->done = true;
	pthread_cond_broadcast(&f->change);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static void follow_free(struct follow *f)
{
	pthread_cond_destroy(&f->change);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

enum rc follow_start(struct agent *a, struct follow **ret, struct err *e)
{
	struct follow *f = calloc(1, sizeof(*f));
	if (!f)
		return err_nomem(e);
	f->a = a;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&f->change, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int failed = pthread_create(&f->thread, NULL, follow_main, f);
	if (failed) {
		follow_free(f);
		return err_set(e, RC_IO, "no thread: %s", strerror(failed));
	}
	*ret = f;
	return RC_OK;
}

bool follow_stop(struct follow *f)
{
	if (!f)
		return true;
	atomic_store(&agent_stop, true);
	const struct timespec until = clock_after(STOP_MS);
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_broadcast(&f->change);
	while (!f->done &&
		pthread_cond_timedwait(&f->change, &f->lock, &until) == 0)
		;
	bool done = f->done;
	pthread_mutex_unlock(&f->lock);
	if (!done)
		return false;
	pthread_join(f->thread, NULL);
	follow_free(f);
	return true;
}
