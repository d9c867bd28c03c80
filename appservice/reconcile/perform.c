/*
 * A small scheduler. Each step counts what it still waits for: the step before
 * it in its lane, and the steps it needs. When a step ends, those that waited
 * for it are told; one whose need failed is dropped (the next plan has it
 * again), one that only came after it goes on. Ready steps are kept in a heap
 * by their place in the plan, which is their priority; those that were tried
 * before come after all others, so that what fails again holds up nobody. An
 * account that somebody waits for comes first, and is not put off.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/reconcile/again.h"
#include "appservice/reconcile/heap.h"
#include "appservice/reconcile/perform.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/reconcile/wanted.h"
#include "appservice/reconcile/work.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

#define RETRY_BASE_MS 1000
#define RETRY_MAX_MS 300000
/* Longer is not waited, whatever the homeserver asks for; a later time in the
 * journal is that of a clock that was wrong. */
#define PUT_OFF_MAX_MS 3600000
#define TIMEOUTS_MAX 3
#define MEANWHILE_MS 1000
#define NONE (-1)

/* What waits for a step: the next edge, and whether it has to succeed. */
struct edge {
	int step;
	int next; /* in the same list; NONE */
	bool must;
};

struct task {
	int waits;    /* edges into it that have not ended */
	int edges;    /* head of the list of those that wait for it */
	bool dropped; /* something it needed did not happen */
	bool put_off;
};

struct run {
	struct app *app;
	const struct plan *plan;
	struct store_step *rows; /* the journal's, by step */
	struct task *tasks;
	struct edge *edges;
	int n_edges;
	struct heap ready; /* of ranks: a step, plus the plan's length when it
			      was tried before, less it when somebody waits */
	int *ending;       /* steps whose end is still to be told */
	int n_ending;
	size_t open;            /* steps that have not ended */
	size_t open_soon;       /* those of them that are not `last` */
	int timeouts;           /* in a row */
	int working;            /* workers that have not ended */
	enum pressing pressing; /* what else there is to do */
	enum rc broken;         /* RC_OK, or what the store's failure was */
	struct err why;         /* its words */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct perform_result *result;
};

/* --- the heap of ready steps ------------------------------------------------- */

static void push(struct run *r, int step)
{
	heap_push(&r->ready,
		r->rows[step].attempt > 0 ? step + (int)r->plan->n : step);
}

static int step_of_rank(const struct run *r, int rank)
{
	int n = (int)r->plan->n;
	return (rank + n) % n;
}

static bool is_wanted(const struct run *r, int step)
{
	const struct step *st = &r->plan->steps[step];
	return st->kind == STEP_REGISTER &&
		wanted_is(r->app->wanted, st->subject);
}

/* Ranks below 0 come before all others. */
static void hurry(struct run *r)
{
	if (!wanted_is(r->app->wanted, NULL))
		return;
	for (int i = 0; i < r->ready.n; i++) {
		int step = step_of_rank(r, r->ready.ranks[i]);
		if (r->ready.ranks[i] >= 0 && is_wanted(r, step))
			heap_raise(&r->ready, i, step - (int)r->plan->n);
	}
}

static int pop(struct run *r)
{
	return step_of_rank(r, heap_pop(&r->ready));
}

/* --- who waits for whom -------------------------------------------------------- */

static void wait_for(struct run *r, int step, int before, bool must)
{
	struct edge *edge = &r->edges[r->n_edges];
	*edge = (struct edge){ step, r->tasks[before].edges, must };
	r->tasks[before].edges = r->n_edges++;
	r->tasks[step].waits++;
}

static enum rc link_steps(struct run *r, struct err *e)
{
	const struct plan *p = r->plan;
	int *last_of_lane = calloc((size_t)p->lanes + 1, sizeof(int));
	if (!last_of_lane)
		return err_nomem(e);
	for (size_t i = 0; i < p->n; i++)
		r->tasks[i].edges = NONE;
	for (size_t i = 0; i < p->n; i++) {
		const struct step *st = &p->steps[i];
		int before = last_of_lane[st->lane] - 1;
		last_of_lane[st->lane] = (int)i + 1;
		if (before >= 0)
			wait_for(r, (int)i, before, false);
		for (size_t k = 0; k < STEP_NEEDS; k++)
			if (st->need[k] != NONE)
				wait_for(r, (int)i, st->need[k], true);
		for (size_t k = 0; k < STEP_AFTER; k++)
			if (st->after[k] != NONE)
				wait_for(r, (int)i, st->after[k], false);
		if (st->last)
			r->tasks[i].waits++; /* for the end of all others */
		else
			r->open_soon++;
	}
	free(last_of_lane);
	return RC_OK;
}

/* A step that waits for nothing more is ready, or ends without being done. */
static void one_less(struct run *r, int step)
{
	if (--r->tasks[step].waits > 0)
		return;
	if (r->tasks[step].dropped || r->tasks[step].put_off)
		r->ending[r->n_ending++] = step;
	else
		push(r, step);
}

static void tell_end(struct run *r, int step, bool success)
{
	r->open--;
	for (int i = r->tasks[step].edges; i != NONE; i = r->edges[i].next) {
		if (r->edges[i].must && !success)
			r->tasks[r->edges[i].step].dropped = true;
		one_less(r, r->edges[i].step);
	}
	if (!r->plan->steps[step].last && --r->open_soon == 0)
		for (size_t i = 0; i < r->plan->n; i++)
			if (r->plan->steps[i].last)
				one_less(r, (int)i);
}

/* Whoever waits for an account. */
static void tell_waiting(
	const struct run *r, int step, enum rc rc, const char *why)
{
	const struct step *st = &r->plan->steps[step];
	if (st->kind == STEP_REGISTER)
		wanted_tell(r->app->wanted, st->subject, rc, why);
}

/* The ends of those that will not be done, and of those that needed them. */
static void tell_undone(struct run *r)
{
	while (r->n_ending > 0) {
		int step = r->ending[--r->n_ending];
		if (r->tasks[step].dropped)
			tell_waiting(r, step, RC_REMOTE,
				"the service's own user cannot be registered");
		tell_end(r, step, false);
	}
}

/* The lock is held. */
static void end_step(struct run *r, int step, bool success)
{
	tell_end(r, step, success);
	tell_undone(r);
	pthread_cond_broadcast(&r->changed);
}

/* --- one step --------------------------------------------------------------------- */

/* After these the other steps would not fare better. */
static bool is_offline(enum rc rc)
{
	return rc == RC_NETWORK || rc == RC_UNAUTHORIZED || rc == RC_STOPPING;
}

/* A time-out may be one slow room; several in a row, with no answer between
 * them, are a homeserver that hangs. */
static bool hangs(struct run *r, enum rc rc)
{
	pthread_mutex_lock(&r->lock);
	r->timeouts = rc == RC_TIMEOUT ? r->timeouts + 1 : 0;
	bool yes = r->timeouts >= TIMEOUTS_MAX;
	pthread_mutex_unlock(&r->lock);
	return yes;
}

/*
 * What is done twice when it is forgotten that it was begun, and seen by others
 * then. Of all else the row that was there before says enough after a power cut:
 * asked again, it changes nothing.
 */
static bool must_be_remembered(enum step_kind kind)
{
	return kind == STEP_REGISTER || kind == STEP_CREATE_ROOM ||
		kind == STEP_REVOKE;
}

static enum rc journal_start(struct run *r, int step, struct err *e)
{
	struct store *s = r->app->store;
	enum rc rc = must_be_remembered(r->plan->steps[step].kind)
		? store_begin(s, e)
		: store_begin_light(s, e);
	if (rc == RC_OK)
		rc = store_journal_start(
			s, r->rows[step].id, clock_wall_ms(), e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

static int64_t next_attempt(struct run *r, int step, const struct hs *hs)
{
	const struct hs_failure *f = hs_failure(hs);
	int64_t pause = backoff_ms(
		r->rows[step].attempt + 1, RETRY_BASE_MS, RETRY_MAX_MS);
	if (f->retry_after_ms > pause)
		pause = f->retry_after_ms;
	if (pause > PUT_OFF_MAX_MS)
		pause = PUT_OFF_MAX_MS;
	return clock_wall_ms() + pause;
}

static void earliest(struct perform_result *res, int64_t at)
{
	if (res->next_attempt_ms == 0 || at < res->next_attempt_ms)
		res->next_attempt_ms = at;
}

/* It is tried again at `at`; unsure: it may have been done all the same. */
static void journal_failed(
	struct run *r, size_t step, const char *why, bool unsure, int64_t at)
{
	struct store *s = r->app->store;
	const struct step *st = &r->plan->steps[step];
	log_warn("a step failed", LS("kind", step_kind_name(st->kind)),
		LS("subject", st->subject),
		LS("room", st->where ? st->where : ""), LS("error", why),
		LI("again_in_ms", at - clock_wall_ms()));
	struct err e = { 0 };
	enum rc rc = store_begin(s, &e);
	if (rc == RC_OK)
		rc = store_journal_failed(s, r->rows[step].id, why, unsure, at,
			clock_wall_ms(), &e);
	if (rc == RC_OK)
		rc = store_commit(s, &e);
	store_rollback(s);
	if (rc != RC_OK)
		log_error("the journal could not be written",
			LS("error", e.text));
	pthread_mutex_lock(&r->lock);
	earliest(r->result, at);
	pthread_mutex_unlock(&r->lock);
}

static void log_done(const struct step *st, int64_t us)
{
	log_info("step done", LS("kind", step_kind_name(st->kind)),
		LS("subject", st->subject),
		LS("room", st->where ? st->where : ""), LI("us", us));
}

static void offline(struct run *r, enum rc rc, const struct err *why)
{
	pthread_mutex_lock(&r->lock);
	if (r->result->offline == RC_OK) {
		r->result->offline = rc;
		memcpy(r->result->why, why->text, sizeof(why->text));
	}
	pthread_mutex_unlock(&r->lock);
}

/* The store fails: no other step would fare better. */
static void broken(struct run *r, enum rc rc, const struct err *why)
{
	pthread_mutex_lock(&r->lock);
	if (r->broken == RC_OK) {
		r->broken = rc;
		r->why = *why;
	}
	pthread_mutex_unlock(&r->lock);
}

/* Only a blocked agent is one that does not exist, whatever the homeserver
 * says. */
static void tell_result(const struct run *r, int step, const struct work *w,
	enum rc rc, const struct err *why)
{
	if (w->blocked)
		tell_waiting(r, step, RC_NOT_FOUND, why->text);
	else
		tell_waiting(r, step, rc == RC_NOT_FOUND ? RC_REMOTE : rc,
			why->text);
}

enum outcome { DONE, IDLE, FAILED, BLOCKED, OFFLINE, BROKEN };

static enum outcome do_step(struct run *r, int step, struct hs *hs)
{
	const struct step *st = &r->plan->steps[step];
	struct err e = { 0 };
	struct work w = { .app = r->app,
		.hs = hs,
		.step = st,
		.journal_id = r->rows[step].id,
		.since_ms = clock_wall_ms(),
		.tried_ms = r->rows[step].updated_ms,
		.interrupted = r->rows[step].unsure };
	const int64_t start = clock_mono_us();
	enum rc rc = journal_start(r, step, &e);
	if (rc != RC_OK) {
		tell_waiting(r, step, rc, e.text);
		broken(r, rc, &e);
		return BROKEN;
	}
	rc = work_do(&w, &e);
	arena_free(&w.a);
	bool hung = hangs(r, rc);
	tell_result(r, step, &w, rc, &e);
	if (rc == RC_OK) {
		if (!w.idle)
			log_done(st, clock_mono_us() - start);
		return w.idle ? IDLE : DONE;
	}
	if (w.held)
		return BLOCKED;
	if (w.blocked) {
		log_warn("an agent is blocked", LS("agent", st->subject),
			LS("why", e.text));
		return BLOCKED;
	}
	/* Put off also when nothing else can be done now: a step that always
	 * breaks would be the first one again, and the only one. */
	/* What is refused for its rate is not done. */
	if (rc != RC_STOPPING)
		journal_failed(r, (size_t)step, e.text,
			w.asked && rc != RC_LIMITED, next_attempt(r, step, hs));
	if (!is_offline(rc) && !hung)
		return FAILED;
	offline(r, rc, &e);
	return OFFLINE;
}

/* --- the workers ------------------------------------------------------------------- */

struct worker {
	struct run *run;
	struct hs *hs;
	pthread_t thread;
};

static void count(struct run *r, const struct step *st, enum outcome o)
{
	struct perform_result *res = r->result;
	if (o == DONE && st->kind == STEP_CREATE_ROOM && st->room->direct) {
		res->direct_made++;
		reconcile_made_direct(r->app->reconcile);
	}
	res->done += o == DONE;
	res->failed += o == FAILED;
	res->blocked += o == BLOCKED;
}

/* Something else goes before what is left. The lock is held. */
static bool is_cut_short(const struct run *r)
{
	if (r->pressing == PRESSING_NOT || r->ready.n == 0)
		return r->pressing == PRESSING_ALL;
	return r->pressing == PRESSING_ALL ||
		r->plan->steps[step_of_rank(r, r->ready.ranks[0])].background;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct run *r = w->run;
	pthread_mutex_lock(&r->lock);
	while (r->open > 0 && r->result->offline == RC_OK &&
		r->broken == RC_OK && !app_stopping() && !is_cut_short(r)) {
		if (r->ready.n == 0) {
			pthread_cond_wait(&r->changed, &r->lock);
			continue;
		}
		hurry(r);
		int step = pop(r);
		pthread_mutex_unlock(&r->lock);
		enum outcome o = do_step(r, step, w->hs);
		pthread_mutex_lock(&r->lock);
		count(r, &r->plan->steps[step], o);
		end_step(r, step, o == DONE || o == IDLE);
	}
	r->working--;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Until the workers have ended; a long plan takes hours. */
static void wait_for_workers(
	struct run *r, enum pressing (*meanwhile)(struct app *app))
{
	struct timespec next = clock_after(MEANWHILE_MS);
	pthread_mutex_lock(&r->lock);
	while (r->working > 0) {
		if (pthread_cond_timedwait(&r->changed, &r->lock, &next) == 0)
			continue;
		pthread_mutex_unlock(&r->lock);
		enum pressing pressing = meanwhile(r->app);
		next = clock_after(MEANWHILE_MS);
		pthread_mutex_lock(&r->lock);
		if (pressing > r->pressing) {
			r->pressing = r->result->cut_short = pressing;
			pthread_cond_broadcast(&r->changed);
		}
	}
	pthread_mutex_unlock(&r->lock);
}

static enum rc run_workers(struct run *r, struct hs *const *clients,
	size_t n_clients, enum pressing (*meanwhile)(struct app *app),
	struct err *e)
{
	struct worker *workers = calloc(n_clients, sizeof(*workers));
	if (!workers)
		return err_nomem(e);
	size_t n = n_clients < r->plan->n ? n_clients : r->plan->n;
	size_t started = 0;
	for (; started < n; started++) {
		workers[started].run = r;
		workers[started].hs = clients[started];
		pthread_mutex_lock(&r->lock);
		r->working++;
		pthread_mutex_unlock(&r->lock);
		if (pthread_create(&workers[started].thread, NULL, worker_main,
			    &workers[started]) != 0)
			break;
	}
	pthread_mutex_lock(&r->lock);
	r->working -= started < n;
	pthread_mutex_unlock(&r->lock);
	wait_for_workers(r, meanwhile);
	for (size_t i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
	if (r->broken != RC_OK)
		return err_set(e, r->broken, "%s", r->why.text);
	return started > 0
		? RC_OK
		: err_set(e, RC_NOMEM, "no worker thread could be started");
}

/* --- the journal first --------------------------------------------------------------- */

static enum rc write_journal(struct run *r, struct arena *a, struct err *e)
{
	const struct plan *p = r->plan;
	for (size_t i = 0; i < p->n; i++) {
		const struct step *st = &p->steps[i];
		r->rows[i].kind = step_kind_name(st->kind);
		r->rows[i].subject = st->subject;
		r->rows[i].room = st->where;
		r->rows[i].reason = st->reason;
	}
	struct store *s = r->app->store;
	enum rc rc = store_begin(s, e);
	if (rc == RC_OK)
		rc = store_journal_sync(
			s, r->rows, p->n, clock_wall_ms(), a, e);
	if (rc == RC_OK)
		rc = store_commit(s, e);
	store_rollback(s);
	return rc;
}

/* When a failed step's time comes. A homeserver that gives no logins is not
 * asked for any, however soon that would be. */
static int64_t due_ms(const struct run *r, size_t step, int64_t now)
{
	const int64_t due = r->rows[step].next_attempt_ms;
	if (r->plan->steps[step].kind != STEP_LOGIN)
		return due;
	const int64_t pause = tokens_no_logins_ms(r->app->tokens);
	return due < now + pause ? now + pause : due;
}

static void put_off(struct run *r, size_t step, int64_t due)
{
	r->tasks[step].put_off = true;
	r->result->put_off++;
	earliest(r->result, due);
}

/* Steps whose time has not come are not started, nor what needs them. */
static void put_off_early(struct run *r, const struct again *again)
{
	const int64_t now = clock_wall_ms();
	for (size_t i = 0; i < r->plan->n; i++) {
		const int64_t due = due_ms(r, i, now);
		const int64_t next = again_due_ms(again, &r->plan->steps[i]);
		if (next > now && r->rows[i].state != JOURNAL_FAILED)
			journal_failed(r, i, AGAIN_WORDS, false, next);
		if (next > now)
			put_off(r, i, next);
		else if (r->rows[i].state == JOURNAL_FAILED && due > now &&
			due <= now + PUT_OFF_MAX_MS && !is_wanted(r, (int)i))
			put_off(r, i, due);
	}
}

static void start_ready(struct run *r)
{
	bool nothing_before = r->open_soon == 0;
	for (size_t i = 0; i < r->plan->n; i++)
		if (!nothing_before || !r->plan->steps[i].last)
			r->tasks[i].waits++; /* none may end meanwhile */
	for (size_t i = 0; i < r->plan->n; i++)
		one_less(r, (int)i);
	tell_undone(r);
}

enum rc perform(struct app *app, const struct plan *plan,
	struct hs *const *clients, size_t n_clients,
	enum pressing (*meanwhile)(struct app *app), struct perform_result *ret,
	struct err *e)
{
	struct arena a = { 0 };
	struct run r = { .app = app, .plan = plan, .result = ret };
	*ret = (struct perform_result){ 0 };
	r.open = plan->n;
	r.rows = arena_array(&a, plan->n + 1, sizeof(*r.rows));
	r.tasks = arena_array(&a, plan->n + 1, sizeof(*r.tasks));
	r.edges = arena_array(&a, plan->n + 1,
		(STEP_NEEDS + STEP_AFTER + 1) * sizeof(*r.edges));
	r.ready.ranks = arena_array(&a, plan->n + 1, sizeof(*r.ready.ranks));
	r.ending = arena_array(&a, plan->n + 1, sizeof(*r.ending));
	struct again again = { 0 };
	enum rc rc = arena_ok(&a) ? write_journal(&r, &a, e) : err_nomem(e);
	if (rc == RC_OK)
		rc = again_find(app->store, plan, &a, &again, e);
	if (rc == RC_OK && plan->n > 0)
		rc = link_steps(&r, e);
	if (rc == RC_OK && plan->n > 0) {
		pthread_mutex_init(&r.lock, NULL);
		pthread_condattr_t attr;
		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		pthread_cond_init(&r.changed, &attr);
		pthread_condattr_destroy(&attr);
		put_off_early(&r, &again);
		start_ready(&r);
		rc = run_workers(&r, clients, n_clients, meanwhile, e);
		pthread_cond_destroy(&r.changed);
		pthread_mutex_destroy(&r.lock);
	}
	arena_free(&a);
	return rc;
}
