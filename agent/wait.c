/*
 * Waiting for the hand-off: a look a second, each with the directory opened
 * anew, until there is a file that is whole and a homeserver that says its
 * token is whom it names.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/str.h"

#include "base/poison.h"

#define TELL_EVERY_MS 10000
#define WHOAMI_MS 5000 /* a homeserver that is up answers in a few ms */

/* How far back an acknowledgement is looked for: older ones are removed. */
#define ACKS 3

struct wait {
	const struct agent *a;
	struct rotation r;
	bool good;     /* what is there, but it is about to be replaced */
	int64_t acked; /* newer than what is there; 0: none */
	int64_t start_ms, told_ms;
	char told[512]; /* the last words, so that a change is told at once */
};

const char *agent_homeserver(const struct agent *a, const struct handoff *h)
{
	return a->o.homeserver ? a->o.homeserver : h->homeserver;
}

static enum rc judge(
	const struct handoff *h, const struct hs_whoami *who, struct err *e)
{
	if (text_eq(who->user_id, h->user_id) &&
		text_eq(who->device_id, h->device_id))
		return RC_OK;
	return err_set(e, RC_CORRUPT,
		"generation %" PRId64 " is for %s, device %s, but the "
		"homeserver says that its token is %s, device %s",
		h->generation, h->user_id, h->device_id,
		hs_user_words(who->user_id, &h->access_token),
		hs_device_words(who->device_id, &h->access_token));
}

enum rc agent_verify(const struct agent *a, const struct handoff *h,
	int timeout_ms, struct err *e)
{
	struct hs *hs = NULL;
	struct hs_whoami who;
	enum rc rc = hs_new(
		&(struct hs_options){
			.url = agent_homeserver(a, h),
			.ca_file = a->o.ca_file,
			.token = &h->access_token,
			.gate = a->gate,
			.stop = &agent_stop,
			.timeout_ms = timeout_ms ? timeout_ms : WHOAMI_MS,
			.patience_ms = timeout_ms ? timeout_ms : WHOAMI_MS,
		},
		&hs, e);
	if (rc == RC_OK)
		rc = hs_whoami(hs, NULL, &who, e);
	hs_free(hs);
	malloc_trim(0); /* TLS and its authorities leave a megabyte behind */
	if (rc == RC_OK)
		return judge(h, &who, e);
	if (rc == RC_UNAUTHORIZED)
		return err_set(e, rc,
			"the homeserver does not know the token of generation "
			"%" PRId64 " (yet): looking for a newer one",
			h->generation);
	if (rc == RC_CORRUPT) /* that is judge()'s word alone */
		rc = RC_REMOTE;
	return err_wrap(e, rc, "homeserver %s", agent_homeserver(a, h));
}

enum rc agent_acknowledge(const struct agent *a, struct err *e)
{
	struct handoff_ack ack = { .generation = a->now.generation,
		.at_ms = clock_wall_ms() };
	snprintf(ack.user_id, sizeof(ack.user_id), "%s", a->now.user_id);
	snprintf(ack.device_id, sizeof(ack.device_id), "%s", a->now.device_id);
	snprintf(ack.agent, sizeof(ack.agent), "%s", a->name);
	int fd = -1;
	enum rc rc = handoff_dir_open(a->o.runtime, &fd, e);
	if (rc == RC_OK)
		rc = handoff_ack_write(fd, &ack, e);
	if (fd >= 0)
		close(fd);
	if (rc != RC_OK)
		rc = err_wrap(e, rc, "acknowledging generation %" PRId64,
			ack.generation);
	return rc;
}

static double seconds(int64_t ms)
{
	return (double)ms / 1000;
}

/* Tells what we wait for: a change at once, the same every 10 s. */
static void tell(struct wait *w, enum rc rc, const char *what)
{
	int64_t now = clock_mono_ms();
	if (text_eq(w->told, what) && now - w->told_ms < TELL_EVERY_MS)
		return;
	snprintf(w->told, sizeof(w->told), "%s", what);
	w->told_ms = now;
	say("waiting (%" PRId64 " of %g s): %s%s", (now - w->start_ms) / 1000,
		seconds(w->a->o.deadline_ms), what,
		rc == RC_REVOKED ? ": waiting for a new one" : "");
}

/* The newest generation after h that was acknowledged here as h would be; 0:
 * none. */
static int64_t newest_ack(int dirfd, const struct handoff *h)
{
	int64_t newest = 0;
	struct handoff_ack ack;
	if (handoff_newest(dirfd, h->generation, &newest, NULL) != RC_OK)
		return 0;
	for (int64_t g = newest; g > h->generation && newest - g < ACKS; g--)
		if (handoff_ack_read(dirfd, g, &ack, NULL) == RC_OK &&
			text_eq(ack.user_id, h->user_id))
			return g;
	return 0;
}

static enum rc read_dir(
	struct wait *w, int fd, struct handoff *h, struct err *e)
{
	const struct options *o = &w->a->o;
	struct stat st;
	if (fstat(fd, &st) == 0)
		watch_on(w->a->watch, o->runtime, st.st_dev, st.st_ino);
	enum rc rc = handoff_read(fd, h, e);
	if (rc == RC_CORRUPT) /* damaged: somebody may still replace it */
		return RC_PENDING;
	if (rc != RC_OK)
		return rc;
	if (o->user && !text_eq(h->user_id, o->user))
		return err_set(e, RC_PENDING,
			HANDOFF_FILE ": is for %s, and AGENT_MATRIX_ID says "
				     "that we are %s: is %s the right "
				     "directory?",
			h->user_id, o->user, o->runtime);
	w->acked = newest_ack(fd, h);
	return RC_OK;
}

/* What the homeserver says of a file that is older than another one was. */
static enum rc older(const struct wait *w, const struct handoff *h, enum rc rc,
	struct err *e)
{
	if (w->acked == 0 || (rc != RC_OK && rc != RC_UNAUTHORIZED))
		return rc;
	if (rc != RC_OK)
		return err_set(e, rc,
			HANDOFF_FILE ": generation %" PRId64
				     " is older than generation %" PRId64
				     ", which was acknowledged here, and the "
				     "homeserver does not know its token: an "
				     "old copy?",
			h->generation, w->acked);
	say("generation %" PRId64 " is older than generation %" PRId64
	    ", which was acknowledged here, but the homeserver knows its "
	    "token: taken",
		h->generation, w->acked);
	return RC_OK;
}

static enum rc look_inside(struct wait *w, int fd, int64_t left_ms,
	struct handoff *h, struct err *e)
{
	int64_t ms = left_ms < 1000 ? 1000 : left_ms;
	enum rc rc = read_dir(w, fd, h, e);
	if (rc != RC_OK)
		return rc;
	rc = agent_verify(w->a, h, ms < WHOAMI_MS ? (int)ms : WHOAMI_MS, e);
	rc = older(w, h, rc, e);
	if (rc != RC_OK || left_ms <= 0)
		return rc;
	rc = rotation_before(&w->r, w->a, h, fd, e);
	w->good = rc == RC_PENDING;
	return rc;
}

/* One look: RC_OK when *h is good. */
static enum rc look(
	struct wait *w, int64_t left_ms, struct handoff *h, struct err *e)
{
	int fd = -1;
	w->good = false;
	enum rc rc = handoff_dir_open(w->a->o.runtime, &fd, e);
	if (rc == RC_OK)
		rc = look_inside(w, fd, left_ms, h, e);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int too_late(const struct agent *a, const char *why)
{
	say("nothing usable was handed over within %g s: %s",
		seconds(a->o.deadline_ms), why);
	return EXIT_NOTHING;
}

int agent_wait(struct agent *a)
{
	struct wait w = { .a = a, .start_ms = clock_mono_ms() };
	say("waiting for the hand-off in %s, at most %g s", a->o.runtime,
		seconds(a->o.deadline_ms));
	for (;;) {
		struct handoff h = { 0 };
		struct err e = { 0 };
		int64_t left = w.start_ms + a->o.deadline_ms - clock_mono_ms();
		enum rc rc = look(&w, left, &h, &e);
		if (rc == RC_OK) {
			a->now = h;
			return 0;
		}
		handoff_fini(&h);
		if (atomic_load(&agent_stop))
			return EXIT_SIGNAL + signals_caught();
		const char *why = *e.text ? e.text : rc_words(rc);
		if (rc == RC_CORRUPT) {
			say("%s: not started with somebody else's token", why);
			return EXIT_OURS;
		}
		left = w.start_ms + a->o.deadline_ms - clock_mono_ms();
		if (left <= 0 && !w.good)
			return too_late(a, why);
		tell(&w, rc, why);
		int64_t nap = 800 + (int64_t)random_below(400);
		watch_nap(a->watch, nap < left ? nap : left);
	}
}
