/*
 * While the program runs: acknowledge what it was given, look for a newer file
 * and for requests every second, and ask the homeserver now and then whether
 * the token still works. A thread of its own, because a look at a shared file
 * system may hang and signals must not.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define STOP_MS 3000 /* how long a look may take when all is well */
/* A directory that looks the same for so long is the same: time stamps are no
 * coarser than 2 s anywhere. */
#define SAME_MS 3000
/* A dead token is asked for twice as often each time, up to so many times as
 * often. */
#define DEAD_TIMES 12
#define AGAIN_MS 1000 /* after the program could not be told of its token */
#define AGAIN_MAX_MS 30000
#define TAKE_MS 1000 /* after a newer token could not be taken */
#define TAKE_MAX_MS 60000

/* What is told once, until it changes. */
enum topic { TOPIC_GIVE, TOPIC_FILE, TOPIC_ROTATION, TOPIC_CHECK, TOPICS };

struct follow {
	struct agent *a;
	struct give g;
	struct rotation r;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool done;         /* under the lock */
	bool acknowledged; /* a->now */

	int failures; /* to tell the program */
	int64_t again_ms;

	char tried[SHA256_HEX]; /* the newer hand-off that was last tried */
	int refusals;           /* of it */
	int64_t take_ms;        /* when to try again */

	struct stat seen; /* the directory */
	int64_t seen_ms;  /* since when it is so */
	bool settled;     /* and there was nothing to do in it */
	bool revoked;     /* what it has */

	int64_t check_ms; /* how long to the next whoami */
	int64_t check_at;

	char told[TOPICS][512];
};

static void tell_once(
	struct follow *f, enum topic topic, enum rc rc, const struct err *e)
{
	char *told = f->told[topic];
	const char *what = rc == RC_OK ? "" : *e->text ? e->text : rc_words(rc);
	if (rc == RC_STOPPING || (rc == RC_PENDING && !*e->text) ||
		text_eq(told, what))
		return;
	snprintf(told, sizeof(f->told[topic]), "%s", what);
	if (*what)
		say("%s%s", what,
			rc == RC_REVOKED ? ": waiting for a new one" : "");
}

/* --- a newer hand-off ------------------------------------------------------ */

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

static enum rc is_ours(
	const struct agent *a, const struct handoff *h, struct err *e)
{
	if (text_eq(h->user_id, a->now.user_id) &&
		text_eq(h->device_id, a->now.device_id))
		return RC_OK;
	return err_set(e, RC_CORRUPT,
		"generation %" PRId64 " is for %s, device %s, and the "
		"program runs as %s, device %s: not taken",
		h->generation, h->user_id, h->device_id, a->now.user_id,
		a->now.device_id);
}

/* h is newer than what the program has: whether it is for it. */
static enum rc suits(
	const struct agent *a, const struct handoff *h, struct err *e)
{
	enum rc rc = is_ours(a, h, e);
	if (rc != RC_OK)
		return rc;
	if (!give_can(a))
		return err_set(e, RC_EXISTS,
			"generation %" PRId64 " is there, but with --reload "
			"none a program cannot be given a new token in its "
			"environment: start it again, or run it with --reload "
			"restart or --for file",
			h->generation);
	return agent_verify(a, h, 0, e);
}

static void have(struct follow *f, struct handoff *h)
{
	struct agent *a = f->a;
	rotation_end(&f->r);
	if (h->generation <= a->now.generation) {
		say("generation %" PRId64
		    " was issued after generation %" PRId64
		    ": the service counts anew",
			h->generation, a->now.generation);
		f->r.asked = 0;
	}
	handoff_fini(&a->now);
	a->now = *h;
	*h = (struct handoff){ 0 };
	f->acknowledged = false;
	f->g.stale = true;
	f->again_ms = 0;
	f->failures = 0;
	f->check_ms = a->o.check_ms;
	f->check_at = clock_mono_ms() + f->check_ms;
	say("generation %" PRId64 " delivered%s%s", a->now.generation,
		a->token_file ? " to " : "",
		a->token_file ? a->token_file : "");
}

/* Each newer one at once, and the same less and less often. */
static bool is_time_for(struct follow *f, const struct handoff *h)
{
	char digest[SHA256_HEX];
	handoff_digest(h, digest);
	if (!text_eq(f->tried, digest)) {
		memcpy(f->tried, digest, sizeof(digest));
		f->refusals = 0;
		f->take_ms = 0;
	}
	return clock_mono_ms() >= f->take_ms;
}

static enum rc try_newer(struct follow *f, struct handoff *h, struct err *e)
{
	if (!is_time_for(f, h))
		return RC_PENDING;
	enum rc rc = suits(f->a, h, e);
	if (rc == RC_OK)
		rc = deliver_file(f->a, h, e);
	if (rc == RC_OK) {
		have(f, h);
		return rc;
	}
	f->refusals++;
	f->take_ms =
		clock_mono_ms() + backoff_ms(f->refusals, TAKE_MS, TAKE_MAX_MS);
	return rc;
}

static enum rc take(struct follow *f, struct handoff *h, struct err *e)
{
	const struct agent *a = f->a;
	if (!is_newer(h, &a->now)) {
		enum rc rc = is_ours(a, h, e);
		if (rc != RC_OK || h->generation >= a->now.generation)
			return rc;
		return err_set(e, RC_EXISTS,
			HANDOFF_FILE ": generation %" PRId64
				     " is older than generation %" PRId64
				     ", which the program has: not taken",
			h->generation, a->now.generation);
	}
	return try_newer(f, h, e);
}

/* --- the program, and the answer ------------------------------------------- */

static bool is_behind(const struct follow *f)
{
	return f->g.stale ||
		(f->r.generation == 0 && (f->g.paused || f->g.down));
}

/* The program is told of what it is to have, and goes on. */
static enum rc tell_program(struct follow *f, struct err *e)
{
	int64_t now = clock_mono_ms();
	if (now < f->again_ms)
		return RC_PENDING;
	enum rc rc = give_on(&f->g, e);
	f->failures = rc == RC_OK ? 0 : f->failures + 1;
	f->again_ms = rc == RC_OK
		? 0
		: now + backoff_ms(f->failures, AGAIN_MS, AGAIN_MAX_MS);
	return rc;
}

/* The program has what it is to have, and that is acknowledged. */
static void bring(struct follow *f)
{
	struct err e = { 0 };
	enum rc rc = is_behind(f) ? tell_program(f, &e) : RC_OK;
	if (rc == RC_OK && !f->acknowledged) {
		rc = agent_acknowledge(f->a, &e);
		f->acknowledged = rc == RC_OK;
	}
	tell_once(f, TOPIC_GIVE, rc, &e);
}

/* --- the directory --------------------------------------------------------- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whether there is nothing in it that we have not seen. */
static bool is_known(struct follow *f, const struct stat *st)
{
	int64_t now = clock_mono_ms();
	if (st->st_dev == f->seen.st_dev && st->st_ino == f->seen.st_ino &&
		same_time(&st->st_mtim, &f->seen.st_mtim) &&
		same_time(&st->st_ctim, &f->seen.st_ctim))
		return f->settled && now - f->seen_ms > SAME_MS;
	f->seen = *st;
	f->seen_ms = now;
	return false;
}

static void look_inside(struct follow *f, int dirfd)
{
	struct handoff h = { 0 };
	struct err e = { 0 };
	enum rc rc = handoff_read(dirfd, &h, &e);
	f->revoked = rc == RC_REVOKED;
	if (rc == RC_OK)
		rc = take(f, &h, &e);
	tell_once(f, TOPIC_FILE, rc, &e);
	handoff_fini(&h);
	f->settled = rc == RC_OK || f->revoked;
	bring(f);

	e = (struct err){ 0 };
	rc = rotation_look(&f->r, &f->g, dirfd, &e);
	tell_once(f, TOPIC_ROTATION, rc, &e);
	f->settled = f->settled && rc == RC_OK && f->r.generation == 0 &&
		f->acknowledged && !is_behind(f);
}

static void look(struct follow *f)
{
	const char *path = f->a->o.runtime;
	int fd = -1;
	struct stat st;
	struct err e = { 0 };
	enum rc rc = handoff_dir_open(path, &fd, &e);
	if (rc == RC_OK && fstat(fd, &st) != 0)
		rc = err_set(&e, RC_IO, "%s: %s", path, strerror(errno));
	if (rc != RC_OK) {
		f->settled = false;
		tell_once(f, TOPIC_FILE, rc, &e);
	} else {
		watch_on(f->a->watch, path, st.st_dev, st.st_ino);
		if (!is_known(f, &st))
			look_inside(f, fd);
	}
	if (fd >= 0)
		close(fd);
}

/* --- does the token still work? -------------------------------------------- */

/* Sooner each time, unless nothing can come of it. */
static void dead(struct follow *f)
{
	int64_t floor = f->a->o.check_ms / DEAD_TIMES;
	f->check_ms /= 2;
	if (f->check_ms < floor)
		f->check_ms = floor;
	if (f->revoked)
		f->check_ms = f->a->o.check_ms;
}

/* True when the file is to be looked at now. */
static bool check(struct follow *f)
{
	/* In a rotation it may be dead, and is asked for there. */
	if (f->r.generation || clock_mono_ms() < f->check_at)
		return false;
	struct err e = { 0 };
	enum rc rc = agent_verify(f->a, &f->a->now, 0, &e);
	if (rc == RC_UNAUTHORIZED)
		dead(f);
	else
		f->check_ms = f->a->o.check_ms;
	/* Between 90 and 110 in a hundred. */
	f->check_at = clock_mono_ms() + f->check_ms * 9 / 10 +
		(int64_t)random_below((uint64_t)f->check_ms / 5);
	tell_once(f, TOPIC_CHECK, f->revoked ? RC_OK : rc, &e);
	if (rc != RC_UNAUTHORIZED)
		return false;
	f->settled = false;
	return true;
}

/* --- the thread ------------------------------------------------------------ */

static void *follow_main(void *arg)
{
	struct follow *f = arg;
	bring(f);
	while (!atomic_load(&agent_stop)) {
		look(f);
		if (!check(f))
			watch_nap(
				f->a->watch, 800 + (int64_t)random_below(400));
		bring(f);
	}
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

enum rc follow_start(struct agent *a, struct supervise *s, struct follow **ret,
	struct err *e)
{
	struct follow *f = calloc(1, sizeof(*f));
	if (!f)
		return err_nomem(e);
	f->a = a;
	f->g = (struct give){ .a = a, .s = s };
	f->check_ms = a->o.check_ms;
	f->check_at = clock_mono_ms() + f->check_ms;
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
	watch_wake(f->a->watch);
	const struct timespec until = clock_after(STOP_MS);
	pthread_mutex_lock(&f->lock);
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
