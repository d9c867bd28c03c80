/*
 * A rotation as the agent sees it: somebody asks, the program is paused, the
 * answer is written, and a newer hand-off comes or does not. Whoever asked may
 * be dead by then: whatever happens, the program goes on in the end.
 */
#include <inttypes.h>
#include <stdio.h>

#include "agent/agent.h"
#include "base/clock.h"

#include "base/poison.h"

/* Whoever asked takes no answer in its last seconds. */
#define MARGIN_MS 5000
/* How long we wait, with a token that is dead, for the one that it died for: as
 * long as any rotation may take. */
#define LATE_MS HANDOFF_WAIT_MAX_MS
#define ASK_MS 5000

/* The program, which has h, is paused. */
static enum rc answer(struct rotation *r, const struct agent *a,
	const struct handoff *h, int dirfd, struct err *e)
{
	struct handoff_ack paused = { .generation = r->generation,
		.at_ms = clock_wall_ms() };
	snprintf(paused.user_id, sizeof(paused.user_id), "%s", h->user_id);
	snprintf(
		paused.device_id, sizeof(paused.device_id), "%s", h->device_id);
	snprintf(paused.agent, sizeof(paused.agent), "%s", a->name);
	enum rc rc = handoff_paused_write(dirfd, &paused, e);
	r->answered = rc == RC_OK;
	return r->answered ? rc
			   : err_wrap(e, rc,
				     "answering the rotation to generation "
				     "%" PRId64,
				     r->generation);
}

/* The newest request after this generation; false: there is none. */
static bool find_request(
	int dirfd, int64_t generation, struct handoff_request *q)
{
	int64_t newest = 0;
	return handoff_request_newest(dirfd, generation, &newest, NULL) ==
		RC_OK &&
		newest > 0 &&
		handoff_request_read(dirfd, newest, q, NULL) == RC_OK;
}

enum rc rotation_before(struct rotation *r, const struct agent *a,
	const struct handoff *h, int dirfd, struct err *e)
{
	struct handoff_request q;
	struct err why = { 0 };
	if (!find_request(dirfd, h->generation, &q))
		return RC_OK;
	if (q.generation != r->generation)
		*r = (struct rotation){ .generation = q.generation,
			.until_ms = clock_mono_ms() +
				handoff_request_left_ms(dirfd, &q) };
	if (clock_mono_ms() >= r->until_ms)
		return RC_OK;
	if (!r->answered && answer(r, a, h, dirfd, &why) != RC_OK) {
		say("%s", why.text);
		return RC_OK; /* so nobody replaces it */
	}
	return err_set(e, RC_PENDING,
		"generation %" PRId64 " is to replace the token%s%s: the "
		"program is started with that one",
		q.generation, *q.why ? ": " : "", q.why);
}

/* Pauses the program for the request q, and is from then on waiting. */
static enum rc take(struct rotation *r, struct give *g,
	const struct handoff_request *q, struct err *e)
{
	const struct agent *a = g->a;
	int64_t until = clock_mono_ms() + q->wait_ms;
	if (!give_can(a))
		return err_set(e, RC_UNSUPPORTED,
			"generation %" PRId64
			" is to replace the token, but a program with it in "
			"its environment and --reload none takes no other "
			"one: not answered",
			q->generation);
	int64_t limit = q->wait_ms - MARGIN_MS;
	enum rc rc = give_pause(g, limit > 1000 ? limit : 1000, e);
	if (rc != RC_OK)
		return err_wrap(e, rc,
			"the rotation to generation %" PRId64
			" is not answered",
			q->generation);
	say("generation %" PRId64 " is to replace the token%s%s: paused for "
	    "at most %g s",
		q->generation, *q->why ? ": " : "", q->why,
		(double)q->wait_ms / 1000);
	*r = (struct rotation){ .asked = q->generation,
		.generation = q->generation,
		.until_ms = until,
		.looked = true };
	return RC_OK;
}

/* Looks for a request that we have not looked at. */
static enum rc notice(
	struct rotation *r, struct give *g, int dirfd, struct err *e)
{
	int64_t known = g->a->now.generation, newest = 0;
	bool first = !r->looked;
	if (r->asked > known)
		known = r->asked;
	enum rc rc = handoff_request_newest(dirfd, known, &newest, e);
	if (rc != RC_OK)
		return rc;
	r->looked = true;
	if (newest <= known)
		return RC_OK;
	struct handoff_request q;
	rc = handoff_request_read(dirfd, newest, &q, e);
	if (rc == RC_NOT_FOUND) /* taken back just now */
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	r->asked = newest;
	if (first && handoff_request_left_ms(dirfd, &q) == 0)
		return RC_OK;
	return take(r, g, &q, e);
}

static enum rc go_on(
	struct rotation *r, struct give *g, const char *why, struct err *e)
{
	say("the rotation to generation %" PRId64 " %s: going on with "
	    "generation %" PRId64,
		r->generation, why, g->a->now.generation);
	rotation_end(r);
	return give_on(g, e);
}

/* Nothing came, in time: is what we have still good? */
static enum rc judge(struct rotation *r, struct give *g, struct err *e)
{
	int64_t now = clock_mono_ms();
	if (now < r->ask_ms)
		return RC_PENDING;
	r->ask_ms = now + ASK_MS;
	if (r->late_ms == 0)
		r->late_ms = now + LATE_MS;
	struct err why = { 0 };
	enum rc rc = agent_verify(g->a, &g->a->now, 0, &why);
	if (rc == RC_STOPPING)
		return rc;
	if (rc == RC_OK)
		return go_on(r, g, "did not come about", e);
	if (now >= r->late_ms)
		return go_on(r, g, "was not finished", e);
	return err_set(e, RC_PENDING,
		"the rotation to generation %" PRId64
		" is late, and the program stays paused: %s",
		r->generation, why.text);
}

static enum rc wait_on(
	struct rotation *r, struct give *g, int dirfd, struct err *e)
{
	enum rc rc =
		r->answered ? RC_OK : answer(r, g->a, &g->a->now, dirfd, e);
	struct handoff_request q;
	if (clock_mono_ms() >= r->until_ms ||
		handoff_request_read(dirfd, r->generation, &q, NULL) ==
			RC_NOT_FOUND) {
		r->until_ms = 0; /* taken back, or too late: for good */
		return judge(r, g, e);
	}
	return rc;
}

enum rc rotation_look(
	struct rotation *r, struct give *g, int dirfd, struct err *e)
{
	enum rc rc = notice(r, g, dirfd, e);
	if (rc == RC_OK && r->generation)
		rc = wait_on(r, g, dirfd, e);
	return rc;
}

void rotation_end(struct rotation *r)
{
	r->generation = 0;
	r->until_ms = r->late_ms = r->ask_ms = 0;
	r->answered = false;
}
