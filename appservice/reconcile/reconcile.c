/*
 * The loop. It is level-triggered: whatever woke it, it plans from what the
 * store says now, so a missed wake costs time and nothing else.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/newtokens.h"
#include "appservice/reconcile/connect.h"
#include "appservice/reconcile/observe.h"
#include "appservice/reconcile/perform.h"
#include "appservice/reconcile/reconcile_priv.h"
#include "appservice/reconcile/wanted.h"
#include "appservice/reload.h"
#include "appservice/tokens/tokens.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

#define TICK_MS 1000  /* acknowledgements are looked for so often */
#define FAST_MS 200   /* while an agent is asked for something */
#define SETTLE_MS 150 /* events come in crowds: wait for the crowd */
#define CONNECT_BASE_MS 1000
#define CONNECT_MAX_MS 60000
#define ROUNDS_MAX 20 /* two or three do; more get nowhere */
#define DOUBT_MS 5000 /* between looks that something in doubt asks for */
#define HELD_LOOK_MS 2000
#define SECOND_LOOK_MS 10000 /* what one look has not found is looked for */

enum rc reconcile_new(struct app *app, struct reconcile **ret, struct err *e)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(e);
	r->app = app;
	atomic_store(
		&app->mentions, reconcile_direct_mode(app) == DIRECT_ON_DEMAND);
	r->state.store_ok = true;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &attr);
	pthread_condattr_destroy(&attr);
	size_t n = (size_t)config_int(&app->config, SET_CONCURRENCY);
	r->clients = calloc(n, sizeof(struct hs *));
	if (!r->clients) {
		reconcile_free(r);
		return err_nomem(e);
	}
	enum rc rc = RC_OK;
	for (; r->n_clients < n; r->n_clients++) {
		rc = app_client(app, NULL, &r->clients[r->n_clients], e);
		if (rc != RC_OK)
			break;
	}
	if (rc == RC_OK)
		*ret = r;
	else
		reconcile_free(r);
	return rc;
}

void reconcile_free(struct reconcile *r)
{
	if (!r)
		return;
	for (size_t i = 0; r->clients && i < r->n_clients; i++)
		hs_free(r->clients[i]);
	free(r->clients);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* --- what others ask and say ------------------------------------------------- */

void reconcile_wake(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	r->dirty = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

void reconcile_doubt(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	r->doubt = r->dirty = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

void reconcile_reached(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	r->state.reached = true;
	r->state.ping[0] = '\0';
	pthread_mutex_unlock(&r->lock);
}

void reconcile_state(struct reconcile *r, struct reconcile_state *ret)
{
	pthread_mutex_lock(&r->lock);
	*ret = r->state;
	pthread_mutex_unlock(&r->lock);
}

void reconcile_say(char *to, size_t size, const char *text)
{
	size_t n = strlen(text);
	if (n >= size)
		n = size - 1;
	memcpy(to, text, n);
	to[n] = '\0';
}

static void set_connected(struct reconcile *r, bool connected, const char *why)
{
	pthread_mutex_lock(&r->lock);
	r->state.connected = connected;
	r->state.repaired = r->state.repaired && connected;
	reconcile_say(r->state.why, sizeof(r->state.why), why);
	pthread_mutex_unlock(&r->lock);
}

/* --- direct rooms, so many a minute ------------------------------------------- */

void reconcile_made_direct(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	pace_count(&r->direct, clock_mono_ms());
	pthread_mutex_unlock(&r->lock);
}

int64_t reconcile_direct_rate(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	const int64_t rate = pace_rate(&r->direct, clock_mono_ms());
	pthread_mutex_unlock(&r->lock);
	return rate;
}

/* How many may be made now: as many as the last minute leaves. */
static size_t direct_allowance(struct reconcile *r)
{
	const int64_t most = config_int(&r->app->config, SET_DIRECT_PER_MINUTE);
	pthread_mutex_lock(&r->lock);
	const size_t left = pace_left(&r->direct, most, clock_mono_ms());
	pthread_mutex_unlock(&r->lock);
	return left;
}

/* Wall time at which more may be made: some of the last minute's are older than
 * that then. */
static int64_t next_direct_ms(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	const int64_t wait = pace_wait_ms(&r->direct, clock_mono_ms());
	pthread_mutex_unlock(&r->lock);
	return clock_wall_ms() + wait;
}

/* --- connecting ------------------------------------------------------------------ */

static void connected(struct reconcile *r, const char *server)
{
	pthread_mutex_lock(&r->lock);
	reconcile_say(r->state.server, sizeof(r->state.server), server);
	pthread_mutex_unlock(&r->lock);
	set_connected(r, true, "");
	/* Who knows what it is by now. */
	r->next_ping_ms = r->next_look_ms = 0;
	log_info("connected",
		LS("homeserver", config_text(&r->app->config, SET_HS_URL)),
		LS("kind",
			hs_kind_name(
				(enum hs_kind)atomic_load(&r->app->kind))));
}

/* The tokens are new ones: the file says so, and the homeserver. */
static enum rc follow_tokens(struct reconcile *r, bool *taken, struct err *e)
{
	struct err why = { 0 };
	enum rc rc = newtokens_take(r->app, taken, &why);
	for (size_t i = 0; *taken && i < r->n_clients && rc == RC_OK; i++)
		rc = hs_use_token(r->clients[i], &r->app->reg.as_token);
	return rc == RC_OK ? rc
			   : err_set(e, rc, "the new tokens: %s", rc_words(rc));
}

static enum rc connect_anew(struct reconcile *r, char server[64], struct err *e)
{
	bool taken = false;
	enum rc rc = follow_tokens(r, &taken, e);
	if (rc != RC_OK)
		return rc;
	return taken ? connect_to(r->app, r->clients[0], server, e)
		     : RC_UNAUTHORIZED; /* e says so */
}

enum rc reconcile_connect(struct reconcile *r, struct err *e)
{
	char server[64] = "";
	enum rc rc = connect_to(r->app, r->clients[0], server, e);
	if (rc == RC_UNAUTHORIZED)
		rc = connect_anew(r, server, e);
	if (rc == RC_OK)
		connected(r, server);
	return rc;
}

/* --- waiting ------------------------------------------------------------------------ */

/* Until the time is over, or, when `wakes` says so, somebody wakes us. */
static void wait_for(struct reconcile *r, int64_t ms, bool wakes)
{
	struct timespec until = clock_after(ms);
	pthread_mutex_lock(&r->lock);
	while (!(wakes && r->dirty) && !app_stopping())
		if (pthread_cond_timedwait(&r->wake, &r->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&r->lock);
}

static void wait_ms(struct reconcile *r, int64_t ms)
{
	wait_for(r, ms, true);
}

/* A pause after trouble: what comes in meanwhile does not shorten it. */
static void pause_ms(struct reconcile *r, int64_t ms)
{
	wait_for(r, ms, false);
}

static bool take_dirty(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	bool dirty = r->dirty;
	r->dirty = false;
	pthread_mutex_unlock(&r->lock);
	return dirty;
}

/* --- one round -------------------------------------------------------------------------- */

static void went_offline(struct reconcile *r, enum rc rc, const char *why)
{
	if (rc == RC_STOPPING)
		return;
	set_connected(r, false, why);
	wanted_tell(r->app->wanted, NULL, RC_NETWORK, why);
	r->failures++;
	int64_t pause =
		backoff_ms(r->failures, CONNECT_BASE_MS, CONNECT_MAX_MS);
	log_warn("the homeserver cannot be used", LS("error", why),
		LI("again_in_ms", pause));
	/* Who tells us something is there again. */
	take_dirty(r);
	pause_ms(r, pause < CONNECT_BASE_MS ? pause : CONNECT_BASE_MS);
	if (pause > CONNECT_BASE_MS)
		wait_ms(r, pause - CONNECT_BASE_MS);
}

/* Said once; it is looked at again every second. */
static void store_trouble(struct reconcile *r, const char *why)
{
	pthread_mutex_lock(&r->lock);
	bool new = r->state.store_ok;
	r->state.store_ok = false;
	pthread_mutex_unlock(&r->lock);
	if (new)
		log_error("the store cannot be used", LS("error", why));
	wanted_tell(r->app->wanted, NULL, RC_IO, why);
	pause_ms(r, TICK_MS);
}

/* The store's trouble (or memory's), not the homeserver's. */
static bool is_ours(enum rc rc)
{
	return rc == RC_NOMEM || rc == RC_IO || rc == RC_BUSY ||
		rc == RC_CORRUPT;
}

/* Not again and again, however much is in doubt. */
static void look_if_in_doubt(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	bool doubt = r->doubt;
	r->doubt = false;
	pthread_mutex_unlock(&r->lock);
	const int64_t at = r->looked_ms + DOUBT_MS;
	if (doubt && at < r->next_look_ms)
		r->next_look_ms = at;
}

/* Jitter, so that many services do not look at the same time. */
static int64_t next_look(const struct reconcile *r, bool soon)
{
	int64_t every = config_int(&r->app->config, SET_INTERVAL);
	if (soon && every > SECOND_LOOK_MS)
		every = SECOND_LOOK_MS;
	return clock_mono_ms() + every - every / 10 +
		(int64_t)random_below((uint64_t)(every / 5 + 1));
}

static void set_looks(struct reconcile *r, int64_t since_ms)
{
	pthread_mutex_lock(&r->lock);
	r->state.looks_ms = since_ms;
	pthread_mutex_unlock(&r->lock);
}

static enum rc look_at_all(struct reconcile *r, bool *soon, struct err *e)
{
	set_looks(r, clock_mono_ms());
	enum rc rc = tokens_check_files(r->app, e);
	if (rc == RC_OK)
		rc = tokens_find_lost(r->app, r->clients[0], &r->lost, e);
	if (rc == RC_OK)
		rc = observe_all(r->app, r->clients[0], !r->looked, soon, e);
	set_looks(r, 0);
	return rc;
}

/* The regular look, when it is due; false when this round is over. */
static bool look(struct reconcile *r)
{
	struct err e = { 0 };
	bool soon = false;
	look_if_in_doubt(r);
	if (clock_mono_ms() < r->next_look_ms)
		return true;
	enum rc rc = look_at_all(r, &soon, &e);
	if (is_ours(rc)) {
		store_trouble(r, e.text);
		return false;
	}
	if (rc != RC_OK) {
		went_offline(r, rc, e.text);
		return false;
	}
	r->looked = true;
	r->looked_ms = clock_mono_ms();
	r->next_look_ms = next_look(r, soon);
	return true;
}

/* Rooms about which nothing could be done are looked at more often than others
 * at first: somebody may be just about it. */
static bool look_at_held(struct reconcile *r)
{
	struct err e = { 0 };
	size_t n = 0;
	if (!r->held_pause_ms || clock_mono_ms() < r->next_held_ms)
		return true;
	const int64_t most = config_int(&r->app->config, SET_INTERVAL);
	enum rc rc = observe_held(r->app, r->clients[0], &n, &e);
	if (rc != RC_OK && !is_ours(rc)) {
		went_offline(r, rc, e.text);
		return false;
	}
	r->held_pause_ms *= 2;
	if (r->held_pause_ms > most)
		r->held_pause_ms = most;
	r->next_held_ms = clock_mono_ms() + r->held_pause_ms;
	return true;
}

/* As the plan says how many there are. */
static void mind_held(struct reconcile *r, const struct plan *plan)
{
	if (plan->held_rooms == 0) {
		r->held_pause_ms = 0;
	} else if (!r->held_pause_ms) {
		r->held_pause_ms = HELD_LOOK_MS;
		r->next_held_ms = clock_mono_ms() + HELD_LOOK_MS;
	}
}

static void log_performed(
	const struct plan *plan, const struct perform_result *res)
{
	log_info("plan performed", LI("steps", plan->n), LI("done", res->done),
		LI("failed", res->failed), LI("blocked", res->blocked),
		LI("put_off", res->put_off));
}

/* Agents' acknowledgements and their answers to requests are looked for every
 * second, whatever else there is to do; trouble with it is said once. True when
 * there is something new to plan. */
static bool mind_tokens(struct reconcile *r)
{
	struct err e = { 0 };
	bool clear = false, lost = false;
	enum rc rc = tokens_look_for_acks(r->app, &e);
	if (rc == RC_OK)
		rc = tokens_rotate(r->app, &r->rotating, &clear, &e);
	if (rc == RC_OK)
		rc = tokens_check_one(r->app, &lost, &e);
	if (rc != RC_OK && !r->tokens_trouble)
		log_warn("agents' answers could not be looked for",
			LS("error", e.text));
	r->tokens_trouble = rc != RC_OK;
	return clear || lost;
}

/* What else there is to do while a plan is being performed. */
static enum pressing meanwhile(struct app *app)
{
	struct reconcile *r = app->reconcile;
	const bool pressing = mind_tokens(r);
	pthread_mutex_lock(&r->lock);
	bool dirty = r->dirty;
	pthread_mutex_unlock(&r->lock);
	if (reload_tick(app) || pressing)
		return PRESSING_ALL;
	return dirty || clock_mono_ms() >= r->next_look_ms ? PRESSING_SOON
							   : PRESSING_NOT;
}

/* Said loudly, once for as long as they are the same. */
static void tell_troubles(struct reconcile *r, const struct plan *plan)
{
	uint64_t hash = plan->n_troubles;
	for (size_t i = 0; i < plan->n_troubles; i++)
		hash = hash * 31 + text_hash(plan->troubles[i].where) * 7 +
			text_hash(plan->troubles[i].why);
	if (hash == r->troubles)
		return;
	r->troubles = hash;
	for (size_t i = 0; i < plan->n_troubles; i++)
		log_error("a room cannot be kept as declared",
			LS("room", plan->troubles[i].where),
			LS("why", plan->troubles[i].why));
}

static enum rc plan_now(struct reconcile *r, struct arena *a, struct plan *ret,
	bool *around, struct err *e)
{
	struct plan_how how = reconcile_how(r->app, direct_allowance(r));
	struct store_snapshot now = { 0 };
	how.direct_from = r->direct_from;
	take_dirty(r); /* the plan knows whatever it was */
	enum rc rc = app_snapshot(r->app, a, &now, e);
	if (rc == RC_OK)
		rc = plan_make(&r->app->fleet, &how, &now, a, ret, e);
	if (rc == RC_OK)
		tell_troubles(r, ret);
	if (rc == RC_OK)
		mind_held(r, ret);
	if (rc == RC_OK)
		r->direct_from = ret->direct_next;
	/* Those before have their turn again. */
	if (rc == RC_OK && how.direct_from > 0 && ret->direct_next == 0 &&
		ret->direct_later > 0)
		*around = true;
	return rc;
}

/* Of a step that was put off, or of direct rooms that had to wait; 0: none. */
static int64_t next_attempt(struct reconcile *r, const struct plan *plan,
	const struct perform_result *res)
{
	if (plan->direct_later == 0 || direct_allowance(r) > 0)
		return res->next_attempt_ms;
	const int64_t direct = next_direct_ms(r);
	return res->next_attempt_ms && res->next_attempt_ms < direct
		? res->next_attempt_ms
		: direct;
}

/* Plans and performs; *again: something was done, so look at the plan once
 * more at once. False when this round is over. */
static bool act(struct reconcile *r, bool *again)
{
	struct arena a = { 0 };
	struct plan plan = { 0 };
	struct perform_result res = { 0 };
	struct err e = { 0 };
	bool around = false;
	*again = false;
	enum rc rc = plan_now(r, &a, &plan, &around, &e);
	if (rc == RC_OK)
		rc = perform(r->app, &plan, r->clients, r->n_clients, meanwhile,
			&res, &e);
	if (rc != RC_OK)
		store_trouble(r, e.text);
	else if (plan.n > 0)
		log_performed(&plan, &res);
	r->next_attempt_ms = next_attempt(r, &plan, &res);
	*again = res.done > 0 || res.blocked > 0 || res.cut_short || around;
	r->rounds -= res.direct_made > 0 || res.cut_short;
	if (res.done > 0)
		r->failures = 0;
	arena_free(&a);
	if (rc == RC_OK && res.offline != RC_OK) {
		went_offline(r, res.offline, res.why);
		return false;
	}
	if (rc == RC_OK)
		r->failures = 0;
	return rc == RC_OK;
}

static void repaired(struct reconcile *r)
{
	pthread_mutex_lock(&r->lock);
	bool first = !r->state.repaired;
	r->state.repaired = r->state.store_ok = true;
	pthread_mutex_unlock(&r->lock);
	if (first)
		log_info("as declared, as far as it can be",
			LI("ms", clock_wall_ms() - r->app->started_ms));
}

/* Until the next look, or the next attempt. */
static int64_t rest_ms(const struct reconcile *r)
{
	int64_t ms = r->next_look_ms - clock_mono_ms();
	const int64_t held = r->next_held_ms - clock_mono_ms();
	const int64_t again = r->next_attempt_ms - clock_wall_ms();
	if (r->held_pause_ms && held < ms)
		ms = held;
	if (r->next_attempt_ms && again < ms)
		ms = again;
	return ms;
}

/* Until then, or until something happens. */
static void rest(struct reconcile *r)
{
	for (;;) {
		if (mind_tokens(r))
			return;
		const int64_t ms = rest_ms(r);
		if (app_stopping() || ms <= 0 || reload_tick(r->app))
			return;
		const int64_t tick = r->rotating ? FAST_MS : TICK_MS;
		wait_ms(r, ms < tick ? ms : tick);
		ping_try(r);
		if (!app_stopping() && take_dirty(r)) {
			/* Whoever asks for a token does it once. */
			if (mind_tokens(r))
				return;
			wait_ms(r, SETTLE_MS);
			take_dirty(r);
			return;
		}
	}
}

/* What changed in the files takes effect; false when this round is over. */
static bool take_up(struct reconcile *r)
{
	struct err e = { 0 };
	bool exchanged = false;
	if (reload_tick(r->app) &&
		reload_now(r->app, &exchanged, &e) != RC_OK) {
		store_trouble(r, e.text);
		return false;
	}
	if (!exchanged)
		return true;
	/* reconcile.interval may be a shorter one now. */
	int64_t soon =
		clock_mono_ms() + config_int(&r->app->config, SET_INTERVAL);
	if (r->next_look_ms > soon)
		r->next_look_ms = soon;
	atomic_store(&r->app->mentions,
		reconcile_direct_mode(r->app) == DIRECT_ON_DEMAND);
	/* Whose department is another has its file in another place. */
	if (tokens_check_files(r->app, &e) == RC_OK)
		return true;
	store_trouble(r, e.text);
	return false;
}

/* Before anything is registered again with the old ones. */
static bool take_tokens(struct reconcile *r)
{
	struct err e = { 0 };
	bool taken = false;
	if (!newtokens_changed(r->app, &r->registration_seen) ||
		follow_tokens(r, &taken, &e) == RC_OK)
		return true;
	store_trouble(r, e.text);
	return false;
}

static void round_trip(struct reconcile *r)
{
	struct reconcile_state st;
	struct err e = { 0 };
	if (!take_up(r))
		return;
	reconcile_state(r, &st);
	if (!st.connected) {
		enum rc rc = reconcile_connect(r, &e);
		if (rc != RC_OK) {
			went_offline(r, rc, e.text);
			return;
		}
	}
	if (store_check(r->app->store, &e) != RC_OK) {
		store_trouble(r, e.text);
		return;
	}
	if (!take_tokens(r))
		return;
	reload_registration(r->app);
	ping_try(r);
	bool again = false;
	if (!look(r) || !look_at_held(r))
		return;
	const size_t asked = aliases_look(r);
	const bool acted = act(r, &again);
	aliases_done(r, asked);
	if (!acted)
		return;
	if (again && ++r->rounds < ROUNDS_MAX)
		return;
	if (again)
		log_warn("the plan does not come to an end: it rests until the "
			 "next look",
			LI("rounds", r->rounds));
	r->rounds = 0;
	repaired(r);
	rest(r);
}

static void *loop(void *arg)
{
	struct reconcile *r = arg;
	while (!app_stopping())
		round_trip(r);
	pthread_mutex_lock(&r->lock);
	r->ended = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

enum rc reconcile_start(struct reconcile *r, struct err *e)
{
	if (pthread_create(&r->thread, NULL, loop, r) != 0)
		return err_set(e, RC_NOMEM, "no thread could be started");
	r->started = true;
	return RC_OK;
}

void reconcile_stop(struct reconcile *r, int grace_ms)
{
	if (!r || !r->started)
		return;
	struct timespec until = clock_after(grace_ms);
	atomic_store(&app_stop, true);
	wanted_tell(
		r->app->wanted, NULL, RC_STOPPING, "the service is stopping");
	reconcile_wake(r);
	pthread_mutex_lock(&r->lock);
	while (!r->ended)
		if (pthread_cond_timedwait(&r->wake, &r->lock, &until) != 0)
			break;
	pthread_mutex_unlock(&r->lock);
	atomic_store(&app_abort, true);
	pthread_join(r->thread, NULL);
	r->started = false;
}
