/*
 * `muster serve`: everything that can be wrong is found before the first
 * request; then the listener, the loop and the admin socket run until a signal.
 *
 * Order of the end: no new step, what runs is finished (6.5 s, then its
 * requests are cut), no new connection, what is being answered is finished,
 * store. What hangs longer than that (a file system whose server is away) is
 * left: all of it ends within 10 s.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "appservice/http_server.h"
#include "appservice/intake/intake.h"
#include "appservice/newtokens.h"
#include "appservice/ops/api.h"
#include "appservice/ops/verbs.h"
#include "appservice/reconcile/reconcile.h"
#include "appservice/reconcile/wanted.h"
#include "appservice/reload.h"
#include "appservice/standby.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

#define FINISH_STEPS_MS 6500
#define FINISH_ANSWERS_MS 2000
#define END_MS 9500

struct service {
	struct app app;
	struct intake intake;
	struct http_server *intake_server, *ops_server, *health_server;
	struct newtokens newtokens;
};

/* --- what the intake tells and asks --------------------------------------- */

static void on_changed(void *arg)
{
	struct app *app = arg;
	reconcile_reached(app->reconcile);
	reconcile_wake(app->reconcile);
}

/* Once a look has found what it was, the plan is made again. */
static void on_refused(void *arg)
{
	struct app *app = arg;
	reconcile_doubt(app->reconcile);
}

static void on_pinged(void *arg, const char *txn)
{
	struct app *app = arg;
	reconcile_pinged(app->reconcile, txn);
}

/* Nobody else is asked for at the homeserver, nor in the store. */
static enum rc need_user(void *arg, const char *user_id, struct err *e)
{
	struct app *app = arg;
	app_hold(app);
	const struct person *p = fleet_person(&app->fleet, user_id);
	bool ours = text_eq(user_id, app->sender_id) ||
		(p && p->deployed && !p->human);
	app_let_go(app);
	return ours ? wanted_account(app, user_id, e)
		    : err_set(e, RC_NOT_FOUND, "no such agent");
}

/* Only a room of the policy that exists, as far as is known. It is looked into
 * why the homeserver does not know that. */
static enum rc has_alias(void *arg, const char *alias, struct err *e)
{
	struct app *app = arg;
	struct arena a = { 0 };
	struct store_room row = { 0 };
	enum rc rc = store_room_get(app->store, alias, &a, &row, e);
	bool there =
		row.declared && row.room_id && !row.direct && !row.missing_ms;
	there = there && reconcile_alias_asked(app->reconcile, alias);
	if (rc == RC_OK && !there)
		rc = err_set(e, RC_NOT_FOUND, "no such room");
	arena_free(&a);
	return rc;
}

/* --- starting ------------------------------------------------------------------ */

static enum rc listen_intake(struct service *s, struct err *e)
{
	struct app *app = &s->app;
	s->intake = (struct intake){ .store = app->store,
		.changed = on_changed,
		.refused = on_refused,
		.mentions = &app->mentions,
		.pinged = on_pinged,
		.need_user = need_user,
		.has_alias = has_alias,
		.arg = app };
	newtokens_init(&s->newtokens, app);
	const struct http_server_options o = {
		.listen = config_text(&app->config, SET_AS_LISTEN),
		.routes = intake_routes,
		.n_routes = intake_n_routes,
		.is_right = newtokens_is_right,
		.token_arg = &s->newtokens,
		.base_path = app_base_path(app),
		.no_legacy = !config_bool(&app->config, SET_AS_LEGACY_PATHS),
		.no_query_token =
			!config_bool(&app->config, SET_AS_QUERY_TOKEN),
		.arg = &s->intake,
	};
	enum rc rc = http_server_start(&o, &s->intake_server, e);
	return rc == RC_OK ? rc : err_wrap(e, rc, "appservice.listen");
}

static enum rc listen_ops(struct service *s, struct err *e)
{
	struct app *app = &s->app;
	const struct http_server_options socket = {
		.unix_path = config_text(&app->config, SET_OPS_SOCKET),
		.routes = api_routes,
		.n_routes = api_n_routes,
		.base_path = "",
		.arg = app,
	};
	enum rc rc = file_mkdirs_of(socket.unix_path, 0700, e);
	if (rc == RC_OK)
		rc = http_server_start(&socket, &s->ops_server, e);
	if (rc != RC_OK)
		return err_wrap(e, rc, "ops.socket");
	const struct http_server_options health = {
		.listen = config_text(&app->config, SET_OPS_LISTEN),
		.routes = health_routes,
		.n_routes = health_n_routes,
		.base_path = "",
		.arg = app,
	};
	if (!health.listen)
		return RC_OK;
	rc = http_server_start(&health, &s->health_server, e);
	return rc == RC_OK ? rc : err_wrap(e, rc, "ops.listen");
}

/* A homeserver that is away is waited for; one that is another, or does not
 * know us, needs a person. */
static enum rc first_contact(struct app *app, struct err *e)
{
	log_info("connecting",
		LS("homeserver", config_text(&app->config, SET_HS_URL)));
	enum rc rc = reconcile_connect(app->reconcile, e);
	if (rc == RC_OK || rc == RC_UNAUTHORIZED || rc == RC_INVALID ||
		rc == RC_STOPPING)
		return rc;
	log_warn("the homeserver cannot be used yet: trying again with growing "
		 "pauses",
		LS("url", config_text(&app->config, SET_HS_URL)),
		LS("error", e->text));
	return RC_OK;
}

/* Strangers who connect take some: as many as the system lets us have. */
static void raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static enum rc start(struct service *s, struct err *e)
{
	struct app *app = &s->app;
	bool other = false;
	raise_descriptors();
	enum rc rc = app_load_registration(app, &other, NULL, e);
	if (rc == RC_OK)
		app_log_fingerprints(app);
	if (rc == RC_OK)
		rc = app_check_runtime(app, e);
	if (rc == RC_OK)
		rc = standby_open_store(app, e);
	if (rc == RC_OK)
		rc = reconcile_new(app, &app->reconcile, e);
	if (rc == RC_OK)
		rc = reload_new(app, e);
	if (rc == RC_OK)
		rc = listen_intake(s, e);
	if (rc == RC_OK)
		rc = listen_ops(s, e);
	if (rc == RC_OK)
		rc = first_contact(app, e);
	if (rc == RC_OK)
		rc = reconcile_start(app->reconcile, e);
	return rc;
}

static void stop(struct service *s)
{
	struct app *app = &s->app;
	reconcile_stop(app->reconcile, FINISH_STEPS_MS);
	http_server_stop(s->intake_server, FINISH_ANSWERS_MS);
	newtokens_fini(&s->newtokens);
	http_server_stop(s->ops_server, 100);
	http_server_stop(s->health_server, 100);
	reconcile_free(app->reconcile);
	app->reconcile = NULL;
}

/* --- signals ------------------------------------------------------------- */

/*
 * A thread of its own takes the signals, so that one is heard also while the
 * first contact with a silent homeserver is still waiting.
 */
struct ear {
	sigset_t set;
	pthread_t thread;
	sem_t heard;
	atomic_bool serving; /* there is something to finish */
	pthread_mutex_t lock;
	struct app *app; /* who reads anew on SIGHUP; NULL: nobody yet, or no
			    more */
	bool hung_up;    /* it came before there was anybody */
	atomic_bool closing; /* SIGUSR1 is from ear_close() */
};

/* The next signal; 0 when `until` (0: never) has come before. */
static int next_signal(const struct ear *ear, int64_t until)
{
	int64_t left = until ? until - clock_mono_ms() : END_MS;
	const struct timespec most = { left / 1000, left % 1000 * 1000000 };
	if (left <= 0)
		return 0;
	int sig = sigtimedwait(&ear->set, NULL, &most);
	return sig > 0 ? sig : -1;
}

/* Whatever was committed is on the disk, and the journal says what was not. */
static void end_without_waiting(void)
{
	log_warn("ended while something does not answer, a shared file system "
		 "perhaps: look at its mount",
		LI("after_ms", END_MS));
	_exit(EXIT_OK);
}

static void hang_up(struct ear *ear)
{
	log_info("reading the configuration again", LS("signal", "SIGHUP"));
	pthread_mutex_lock(&ear->lock);
	if (ear->app)
		reload_ask(ear->app);
	ear->hung_up = !ear->app;
	pthread_mutex_unlock(&ear->lock);
}

static void attend(struct ear *ear, struct app *app)
{
	pthread_mutex_lock(&ear->lock);
	ear->app = app;
	if (app && ear->hung_up)
		reload_ask(app);
	pthread_mutex_unlock(&ear->lock);
}

static void *listen_to_signals(void *arg)
{
	struct ear *ear = arg;
	int64_t end = 0;
	for (;;) {
		int sig = next_signal(ear, end);
		if (sig == 0)
			end_without_waiting();
		if (sig == SIGUSR1 && atomic_load(&ear->closing))
			return NULL;
		if (sig == SIGHUP)
			hang_up(ear);
		if (sig != SIGTERM && sig != SIGINT)
			continue;
		bool again = atomic_exchange(&app_stop, true);
		log_info("stopping", LS("signal", strsignal(sig)));
		/* Asked twice, or before there was anything to finish: at
		 * once. */
		if (again || !atomic_load(&ear->serving))
			atomic_store(&app_abort, true);
		if (!end)
			end = clock_mono_ms() + END_MS;
		sem_post(&ear->heard);
	}
}

/* The signals are blocked before the first thread starts, so that only the ear
 * gets them. */
static enum rc ear_open(struct ear *ear, struct err *e)
{
	sigemptyset(&ear->set);
	sigaddset(&ear->set, SIGTERM);
	sigaddset(&ear->set, SIGINT);
	sigaddset(&ear->set, SIGHUP);
	sigaddset(&ear->set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &ear->set, NULL);
	sem_init(&ear->heard, 0, 0);
	pthread_mutex_init(&ear->lock, NULL);
	if (pthread_create(&ear->thread, NULL, listen_to_signals, ear) != 0)
		return err_set(e, RC_NOMEM, "no thread could be started");
	return RC_OK;
}

static void ear_close(struct ear *ear)
{
	atomic_store(&ear->closing, true);
	pthread_kill(ear->thread, SIGUSR1);
	pthread_join(ear->thread, NULL);
	sem_destroy(&ear->heard);
	pthread_mutex_destroy(&ear->lock);
}

static int run(struct cli *cli, struct ear *ear)
{
	struct service s;
	struct err e = { 0 };
	memset(&s, 0, sizeof(s));
	int status = cli_load(cli, &s.app, FOR_SERVICE);
	if (status != EXIT_OK) {
		app_free(&s.app);
		return status;
	}
	enum rc rc = start(&s, &e);
	if (rc == RC_OK) {
		atomic_store(&ear->serving, true);
		attend(ear, &s.app);
		app_hold(&s.app); /* the loop runs already */
		log_info("serving", LS("version", MUSTER_VERSION),
			LS("listen", config_text(&s.app.config, SET_AS_LISTEN)),
			LI("agents", s.app.fleet.n_agents),
			LI("rooms", s.app.fleet.n_rooms));
		app_let_go(&s.app);
		while (sem_wait(&ear->heard) != 0)
			continue;
	}
	int64_t since = s.app.started_ms;
	attend(ear, NULL);
	stop(&s);
	app_free(&s.app);
	if (rc == RC_OK || rc == RC_STOPPING) {
		log_info("stopped", LI("uptime_ms", clock_wall_ms() - since));
		return EXIT_OK;
	}
	return cli_fail(
		rc == RC_INVALID ? EXIT_WRONG : EXIT_FAILED, "%s", e.text);
}

int verb_serve(struct cli *cli)
{
	struct ear ear = { .serving = false };
	struct err e = { 0 };
	if (ear_open(&ear, &e) != RC_OK)
		return cli_fail(EXIT_FAILED, "%s", e.text);
	int status = run(cli, &ear);
	ear_close(&ear);
	return status;
}
