/*
 * Rotations: agents get a new token while they run. Whose turn it is is asked to
 * pause; who has paused is clear to log in, and the plan does the rest; who does
 * not answer keeps what it has. Nobody else's time is known: both sides measure
 * for how long they have waited, and here the measure is lost with the process,
 * after which an agent is asked once more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "appservice/tokens/tokens.h"
#include "appservice/tokens/tokens_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "handoff/handoff.h"

#include "base/poison.h"

#define FLYING 4       /* that many are asked at a time */
#define MARGIN_MS 5000 /* no login in the last of the agent's patience */
#define DUE_EVERY_MS 60000

struct rotation_round {
	struct app *app;
	struct store_agent *rows;
	size_t n, flying;
	const struct store_agent **at_once; /* those of them whose turn it is */
	size_t n_at_once;
	int64_t wait_ms;
	bool clear; /* somebody is, who was not before */
};

/* --- one change ---------------------------------------------------------------- */

static enum rc end_change(struct app *app, enum rc rc, struct err *e)
{
	if (rc == RC_OK)
		rc = store_commit(app->store, e);
	store_rollback(app->store);
	return rc;
}

/* Unless somebody else has moved it since it was read. */
static enum rc move(struct rotation_round *r, const struct store_agent *row,
	enum rotation_state st, const char *why, struct err *e)
{
	struct store *s = r->app->store;
	bool moved = false;
	enum rc rc = store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_rotation_move(
			s, row, st, why, clock_wall_ms(), &moved, e);
	rc = end_change(r->app, rc, e);
	if (rc != RC_OK || !moved)
		return rc;
	if (why)
		log_warn("a rotation", LS("agent", row->user_id),
			LS("state", rotation_state_name(st)), LS("why", why));
	r->clear |= st == ROTATION_CLEAR;
	return RC_OK;
}

static bool is_handed_off(const struct store_agent *row)
{
	return row->state == AGENT_HANDED_OFF ||
		row->state == AGENT_ACKNOWLEDGED;
}

/* Where its file is, which may be in another department than it is declared in
 * by now. */
static enum rc open_dir(
	struct app *app, const struct store_agent *row, int *fd, struct err *e)
{
	char *path = NULL;
	enum rc rc = tokens_root_check(app, e);
	if (rc == RC_OK)
		rc = tokens_path(app, row, &path, e);
	if (rc == RC_OK)
		rc = handoff_dir_find(path, fd, e);
	free(path);
	return rc;
}

/* --- asking ----------------------------------------------------------------------- */

/* The number after all that were ever asked for, or seen in its directory. */
static enum rc number_for(
	int fd, const struct store_agent *row, int64_t *ret, struct err *e)
{
	struct handoff there = { 0 };
	int64_t named = 0;
	*ret = row->generation > row->rotation.asked ? row->generation
						     : row->rotation.asked;
	enum rc rc = handoff_look(fd, &there, e);
	if (rc == RC_OK && there.generation > *ret &&
		!handoff_is_far(there.generation, row->generation))
		*ret = there.generation;
	handoff_fini(&there);
	if (rc != RC_OK && !handoff_is_none(rc))
		return rc;
	rc = handoff_newest(fd, *ret, &named, e);
	if (named > *ret)
		*ret = named;
	*ret += 1;
	return rc;
}

/* The measure begins before the request can be seen: so our patience is never
 * longer than the agent's. */
static enum rc write_request(struct rotation_round *r,
	const struct store_agent *row, int fd, int64_t *generation,
	struct err *e)
{
	const struct setting_value *owner =
		&r->app->config.v[SET_HANDOFF_OWNER];
	struct handoff_request q = { .wait_ms = r->wait_ms };
	enum rc rc = number_for(fd, row, &q.generation, e);
	if (rc != RC_OK)
		return rc;
	snprintf(q.why, sizeof(q.why), "%s",
		row->rotation.why ? row->rotation.why : "");
	*generation = q.generation;
	rc = tokens_ask(r->app->tokens, row->user_id, QUESTION_PAUSE,
		q.generation, r->wait_ms);
	return rc == RC_OK
		? handoff_request_write(fd, &q, owner->uid, owner->gid, e)
		: err_nomem(e);
}

/* An agent that sees the request only now shall not pause for nothing. */
static void take_back(struct rotation_round *r, const struct store_agent *row,
	int64_t generation)
{
	struct err e = { 0 };
	int fd = -1;
	enum rc rc = open_dir(r->app, row, &fd, &e);
	if (rc == RC_OK)
		rc = handoff_request_remove(fd, generation, &e);
	if (fd >= 0)
		close(fd);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		log_warn("a request to an agent could not be taken back",
			LS("agent", row->user_id), LS("error", e.text));
}

static enum rc record_asked(struct rotation_round *r,
	const struct store_agent *row, int64_t generation, struct err *e)
{
	struct store *s = r->app->store;
	bool moved = false;
	enum rc rc = store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_rotation_ask(
			s, row, generation, clock_wall_ms(), &moved, e);
	rc = end_change(r->app, rc, e);
	if (rc != RC_OK || !moved) {
		take_back(r, row, generation);
		return rc;
	}
	r->flying++;
	log_info("an agent is asked to pause for a new token",
		LS("agent", row->user_id), LI("generation", generation));
	return RC_OK;
}

static enum rc ask(
	struct rotation_round *r, const struct store_agent *row, struct err *e)
{
	struct err why = { 0 };
	int64_t generation = 0;
	int fd = -1;
	enum rc rc = open_dir(r->app, row, &fd, &why);
	if (rc == RC_OK)
		rc = write_request(r, row, fd, &generation, &why);
	if (fd >= 0)
		close(fd);
	return rc == RC_OK ? record_asked(r, row, generation, e)
			   : move(r, row, ROTATION_FAILED, why.text, e);
}

/* --- its answer ------------------------------------------------------------------- */

static bool has_paused(struct rotation_round *r, const struct store_agent *row)
{
	struct handoff_ack paused = { 0 };
	int fd = -1;
	bool yes = open_dir(r->app, row, &fd, NULL) == RC_OK &&
		handoff_paused_read(fd, row->rotation.asked, &paused, NULL) ==
			RC_OK &&
		text_eq(paused.user_id, row->user_id) &&
		text_eq(paused.device_id, row->device_id);
	if (fd >= 0)
		close(fd);
	return yes;
}

#define UNANSWERED                                                             \
	"it did not pause in time: it keeps its old token; where its program " \
	"has ended, `muster rotate --now` gives it a new one"

#define TOO_LATE                                                               \
	"it paused, but the login came too late: it keeps its old token"

static enum rc give_up(struct rotation_round *r, const struct store_agent *row,
	const char *why, struct err *e)
{
	struct store *s = r->app->store;
	take_back(r, row, row->rotation.asked);
	enum rc rc = move(r, row, ROTATION_UNANSWERED, why, e);
	if (rc != RC_OK || !row->error)
		return rc;
	/* It says why there is no new token, and the old one is as good as
	 * before. */
	rc = store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_agent_error(s, row->user_id, NULL, e);
	return end_change(r->app, rc, e);
}

/* For how long it has waited nobody knows, or a login was begun of which nobody
 * knows what came of it: when it is known which token is good, it is asked
 * anew. */
static enum rc ask_again(
	struct rotation_round *r, const struct store_agent *row, struct err *e)
{
	struct store *s = r->app->store;
	take_back(r, row, row->rotation.asked);
	enum rc rc = store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_rotation_again(s, row, clock_wall_ms(), e);
	return end_change(r->app, rc, e);
}

/* What is left for a login; false: nobody knows. */
static bool left_ms(
	struct app *app, const struct store_agent *row, int64_t *ret)
{
	return tokens_login_left_ms(
		app, row->user_id, row->rotation.asked, ret);
}

static enum rc mind_asked(
	struct rotation_round *r, const struct store_agent *row, struct err *e)
{
	int64_t left = 0;
	if (!left_ms(r->app, row, &left))
		return ask_again(r, row, e);
	r->flying++;
	const bool paused = has_paused(r, row);
	if (left <= 0)
		return give_up(r, row, paused ? TOO_LATE : UNANSWERED, e);
	return paused ? move(r, row, ROTATION_CLEAR, NULL, e) : RC_OK;
}

/* --- the login, and what comes after ----------------------------------------------- */

static enum rc mind_clear(
	struct rotation_round *r, const struct store_agent *row, struct err *e)
{
	int64_t left = 0;
	if (!row->rotation.answering)
		return RC_OK;
	r->flying++;
	/* It is made: what is left is the file. */
	if (row->rotation.generation > 0)
		return RC_OK;
	const bool known = left_ms(r->app, row, &left);
	if (known && left > 0)
		return RC_OK;
	if (!known || !is_handed_off(row))
		return ask_again(r, row, e);
	return give_up(r, row, row->error ? row->error : TOO_LATE, e);
}

static enum rc stop_run(
	struct rotation_round *r, const struct store_agent *row, struct err *e)
{
	struct store *s = r->app->store;
	bool trouble = false;
	enum rc rc =
		store_rotation_in_trouble(s, row->rotation.run, &trouble, e);
	if (rc != RC_OK || !trouble)
		return rc;
	log_error("a rotation is stopped: two in a row were not acknowledged",
		LI("run", row->rotation.run));
	rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_rotation_stop(s, row->rotation.run,
			"not begun: two before it in a row were not "
			"acknowledged",
			clock_wall_ms(), e);
	return end_change(r->app, rc, e);
}

/* From when we see that it is there. */
static enum rc mind_issued(
	struct rotation_round *r, const struct store_agent *row, struct err *e)
{
	struct tokens *t = r->app->tokens;
	const int64_t generation = row->rotation.generation;
	int64_t left = 0;
	r->flying++;
	if (!tokens_left_ms(
		    t, row->user_id, QUESTION_ACK, generation, &left, NULL)) {
		left = r->wait_ms;
		if (tokens_ask(t, row->user_id, QUESTION_ACK, generation,
			    left) != RC_OK)
			return err_nomem(e);
	}
	if (left > 0)
		return RC_OK;
	enum rc rc = move(r, row, ROTATION_UNACKNOWLEDGED,
		"its new token is in its file, and it has not acknowledged it",
		e);
	return rc == RC_OK ? stop_run(r, row, e) : rc;
}

/* Nobody is to be asked, or nobody ever answered. */
static enum rc is_at_once(struct rotation_round *r,
	const struct store_agent *row, bool *ret, struct err *e)
{
	bool begun = false;
	enum rc rc = row->rotation.at_once
		? RC_OK
		: tokens_has_begun(r->app, row, &begun, e);
	*ret = !begun;
	return rc;
}

/* Of a token that is not known to be good it is found out first whether it is;
 * a new login is then as good as this one. */
static enum rc mind_waiting(
	struct rotation_round *r, const struct store_agent *row, struct err *e)
{
	bool at_once = false;
	enum rc rc = is_at_once(r, row, &at_once, e);
	if (rc != RC_OK)
		return rc;
	if (at_once)
		r->at_once[r->n_at_once++] = row;
	if (at_once || !is_handed_off(row))
		return RC_OK;
	return r->flying < FLYING ? ask(r, row, e) : RC_OK;
}

/* All of them together: of a thousand each would else be written for itself. */
static enum rc clear_at_once(struct rotation_round *r, struct err *e)
{
	struct store *s = r->app->store;
	const int64_t now = clock_wall_ms();
	bool any = false;
	if (r->n_at_once == 0)
		return RC_OK;
	enum rc rc = store_begin_light(s, e);
	for (size_t i = 0; i < r->n_at_once && rc == RC_OK; i++) {
		bool moved = false;
		rc = store_rotation_move(
			s, r->at_once[i], ROTATION_CLEAR, NULL, now, &moved, e);
		any |= moved;
	}
	rc = end_change(r->app, rc, e);
	r->clear |= rc == RC_OK && any;
	return rc;
}

static enum rc mind(struct rotation_round *r, const struct store_agent *row,
	bool waiting, struct err *e)
{
	const struct person *p = fleet_person(&r->app->fleet, row->user_id);
	if ((row->rotation.state == ROTATION_WAITING) != waiting)
		return RC_OK;
	const bool able = p && p->deployed && !p->human &&
		row->state != AGENT_BLOCKED && row->state != AGENT_RETIRED &&
		!row->revoke_ms;
	if (!able && row->rotation.state == ROTATION_ASKED)
		take_back(r, row, row->rotation.asked);
	if (!able)
		return move(r, row, ROTATION_FAILED,
			"it is no agent of the fleet that could have one", e);
	switch (row->rotation.state) {
	case ROTATION_WAITING:
		return mind_waiting(r, row, e);
	case ROTATION_ASKED:
		return mind_asked(r, row, e);
	case ROTATION_CLEAR:
		return mind_clear(r, row, e);
	case ROTATION_ISSUED:
		return mind_issued(r, row, e);
	default:
		return RC_OK;
	}
}

bool tokens_login_left_ms(
	struct app *app, const char *user_id, int64_t generation, int64_t *ret)
{
	int64_t left = 0, wait = 0;
	if (!tokens_left_ms(app->tokens, user_id, QUESTION_PAUSE, generation,
		    &left, &wait))
		return false;
	*ret = left - (wait / 2 < MARGIN_MS ? wait / 2 : MARGIN_MS);
	return true;
}

/* --- those that come by themselves --------------------------------------------------- */

static enum rc want_due(struct app *app, struct err *e)
{
	struct arena a = { 0 };
	struct store_agent *rows = NULL;
	size_t n = 0;
	const int64_t now = clock_wall_ms();
	const struct store_rotation due = { .run = now,
		.why = "its token is as old as it may be" };
	enum rc rc = store_rotations_due(app->store, now, &a, &rows, &n, e);
	if (rc == RC_OK && n > 0)
		rc = store_begin_light(app->store, e);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = store_rotation_want(
			app->store, rows[i].user_id, &due, now, e);
	if (n > 0)
		rc = end_change(app, rc, e);
	arena_free(&a);
	return rc;
}

enum rc tokens_rotate(struct app *app, bool *open, bool *clear, struct err *e)
{
	struct arena a = { 0 };
	struct rotation_round r = { .app = app,
		.wait_ms = config_int(&app->config, SET_HANDOFF_WAIT) };
	enum rc rc = store_may_act(app->store, e);
	if (rc == RC_OK && tokens_due(app->tokens, DUE_EVERY_MS))
		rc = want_due(app, e);
	if (rc == RC_OK)
		rc = store_rotations_open(app->store, &a, &r.rows, &r.n, e);
	r.at_once = arena_array(&a, r.n + 1, sizeof(struct store_agent *));
	if (rc == RC_OK && !r.at_once)
		rc = err_nomem(e);
	/* Those on their way first, then whose turn comes. */
	for (int waiting = 0; waiting < 2; waiting++)
		for (size_t i = 0; rc == RC_OK && i < r.n; i++)
			rc = mind(&r, &r.rows[i], waiting, e);
	if (rc == RC_OK)
		rc = clear_at_once(&r, e);
	*open = r.n > 0;
	*clear = r.clear;
	arena_free(&a);
	return rc;
}
