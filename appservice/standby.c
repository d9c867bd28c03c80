/*
 * A service that waits for its store answers those who operate it, and nobody
 * else. It does not listen where the homeserver would send transactions: the
 * registered one may be the other service, and a port that is closed is what
 * load balancers and homeservers understand; whatever was sent here would have to
 * be refused, and is sent again anyway.
 *
 * A service whose store is lost ends as if it was killed. Whatever it has
 * committed in time is there for the one that takes over, its journal says what
 * was not done, and there is nothing that it may still do.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appservice/http_server.h"
#include "appservice/ops/verbs.h"
#include "appservice/standby.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

#define SAY_EVERY_MS 60000

struct standby {
	const char *path; /* of the store */
	int64_t said_ms;  /* when the log was told; 0: not yet */
	char holder[400]; /* of whom */
	struct http_server *ops, *health;
	struct err failed;    /* they could not be started */
	pthread_mutex_t lock; /* of what follows */
	struct store_holder now;
};

/* --- what it answers --------------------------------------------------------- */

static void say_why(struct standby *w, char *out, size_t room)
{
	pthread_mutex_lock(&w->lock);
	const struct store_holder h = w->now;
	pthread_mutex_unlock(&w->lock);
	snprintf(out, room,
		"waiting for the store %s, which is in use by %s: taking over "
		"when that one ends, or nothing has been heard of it for %lld "
		"s (now: %lld s)",
		w->path, h.words, (long long)(h.takeover_ms / 1000),
		(long long)(h.silent_ms / 1000));
}

static void refuse(struct http_call *c)
{
	char why[1024];
	say_why(c->server_arg, why, sizeof(why));
	http_call_error(c, RC_PENDING, why);
}

static void get_live(struct http_call *c)
{
	(void)c; /* that it answers is the answer */
}

static void get_ready(struct http_call *c)
{
	struct jb b;
	char why[1024];
	say_why(c->server_arg, why, sizeof(why));
	buf_clear(&c->answer);
	jb_init(&b, &c->answer);
	jb_obj(&b, NULL);
	jb_bool(&b, "ready", false);
	jb_arr(&b, "why_not");
	jb_str(&b, NULL, why);
	jb_end_arr(&b);
	jb_end_obj(&b);
	c->status = 503;
}

#define HEALTH                                                                 \
	{ "GET", "/health/live", ROUTE_OPEN, LIMIT_SMALL_BODY, get_live },     \
	{                                                                      \
		"GET", "/health/ready", ROUTE_OPEN, LIMIT_SMALL_BODY,          \
			get_ready                                              \
	}

static const struct route socket_routes[] = {
	HEALTH,
	{ "GET", "/v1/{x*}", ROUTE_OPEN, LIMIT_SMALL_BODY, refuse },
	{ "POST", "/v1/{x*}", ROUTE_OPEN, LIMIT_SMALL_BODY, refuse },
};

static const struct route tcp_routes[] = {
	HEALTH,
	{ "GET", "/metrics", ROUTE_OPEN, LIMIT_SMALL_BODY, refuse },
};

static enum rc listen(struct app *app, struct err *e)
{
	struct standby *w = app->standby;
	const struct http_server_options socket = {
		.unix_path = config_text(&app->config, SET_OPS_SOCKET),
		.routes = socket_routes,
		.n_routes = ARRAY_LEN(socket_routes),
		.base_path = "",
		.threads = 1,
		.arg = w,
	};
	enum rc rc = http_server_start(&socket, &w->ops, e);
	if (rc != RC_OK)
		return err_wrap(e, rc, "ops.socket");
	const struct http_server_options tcp = {
		.listen = config_text(&app->config, SET_OPS_LISTEN),
		.routes = tcp_routes,
		.n_routes = ARRAY_LEN(tcp_routes),
		.base_path = "",
		.threads = 1,
		.arg = w,
	};
	if (!tcp.listen)
		return RC_OK;
	rc = http_server_start(&tcp, &w->health, e);
	return rc == RC_OK ? rc : err_wrap(e, rc, "ops.listen");
}

/* --- waiting -------------------------------------------------------------------- */

/* At once, when it is somebody else's, and every minute. */
static void say(struct standby *w, const struct store_holder *h)
{
	const int64_t now = clock_mono_ms();
	if (w->said_ms && now - w->said_ms < SAY_EVERY_MS &&
		text_eq(w->holder, h->words))
		return;
	w->said_ms = now;
	memcpy(w->holder, h->words, sizeof(w->holder));
	log_warn("waiting for the store: another service has it",
		LS("store", w->path), LS("holder", h->words),
		LI("silent_ms", h->silent_ms),
		LI("takeover_ms", h->takeover_ms));
}

static bool on_waiting(void *arg, const struct store_holder *h)
{
	struct app *app = arg;
	struct standby *w = app->standby;
	const bool first = !w->said_ms;
	pthread_mutex_lock(&w->lock);
	w->now = *h;
	pthread_mutex_unlock(&w->lock);
	say(w, h);
	if (first && listen(app, &w->failed) != RC_OK)
		return false;
	return !app_stopping();
}

/* Without a look at the configuration, which would have to be waited for. */
static void on_lost(void *arg, const char *why)
{
	(void)arg;
	log_error("the store is lost to another service, or may be: ending at "
		  "once",
		LS("why", why));
	_exit(EXIT_FAILED);
}

enum rc standby_open_store(struct app *app, struct err *e)
{
	struct standby w = { .path = config_text(
				     &app->config, SET_STORE_PATH) };
	const struct store_options o = {
		.waiting = on_waiting, .lost = on_lost, .arg = app
	};
	pthread_mutex_init(&w.lock, NULL);
	app->standby = &w;
	enum rc rc = app_open_store(app, &o, e);
	http_server_stop(w.ops, 0);
	http_server_stop(w.health, 0);
	app->standby = NULL;
	pthread_mutex_destroy(&w.lock);
	if (w.failed.rc != RC_OK)
		return err_set(e, w.failed.rc, "%s", w.failed.text);
	if (rc == RC_OK && w.said_ms)
		log_info("the store is ours now", LS("store", w.path));
	return rc;
}
