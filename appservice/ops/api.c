/*
 * The routes of the admin socket and of the health listener.
 */
#include <string.h>

#include "appservice/intake/intake.h"
#include "appservice/ops/api.h"
#include "appservice/ops/asks.h"
#include "appservice/ops/figures.h"
#include "appservice/ops/views.h"
#include "appservice/reconcile/reconcile.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"

#include "base/poison.h"

#define VIEW_PATH "/v1/"

/* Of the route of its name. */
static void get_view(struct http_call *c)
{
	struct err e = { 0 };
	const struct view *view = view_by_name(c->route + strlen(VIEW_PATH));
	if (!view) {
		http_call_error(c, RC_NOT_FOUND, "no such document");
		return;
	}
	buf_clear(&c->answer);
	if (!view->waits)
		app_hold(c->server_arg);
	enum rc rc = view->write(c->server_arg, &c->answer, &e);
	if (!view->waits)
		app_let_go(c->server_arg);
	if (rc == RC_OK)
		rc = buf_rc(&c->answer);
	if (rc != RC_OK)
		http_call_error(c, rc, e.text);
}

/* Reads what was kept aside once more. */
static void retry_quarantined(struct http_call *c)
{
	struct app *app = c->server_arg;
	struct arena a = { 0 };
	struct intake_retry r = { 0 };
	struct err e = { 0 };
	struct jb b;
	int64_t id = 0;
	if (!str_i64(str_of(c->params[0]), 1, JSON_INT_MAX, &id)) {
		http_call_error(c, RC_INVALID, "expected the id of an event");
		return;
	}
	enum rc rc = intake_retry(app->store, id, &a, &r, &e);
	if (rc != RC_OK) {
		http_call_error(c, rc, e.text);
		goto out;
	}
	log_info("quarantine retried", LI("id", id), LI("left", r.left),
		LI("events", r.events), LI("applied", r.applied),
		LI("quarantined", r.quarantined));
	if (r.changed && app->reconcile)
		reconcile_wake(app->reconcile);
	buf_clear(&c->answer);
	jb_init(&b, &c->answer);
	jb_obj(&b, NULL);
	jb_int(&b, "id", id);
	jb_bool(&b, "applied", r.left);
	jb_str(&b, "reason", r.reason);
	jb_int(&b, "events", (int64_t)r.events);
	jb_int(&b, "quarantined", (int64_t)r.quarantined);
	jb_end_obj(&b);
out:
	arena_free(&a);
}

static void get_live(struct http_call *c)
{
	(void)c; /* that it answers is the answer */
}

static void get_ready(struct http_call *c)
{
	struct jb b;
	struct buf why_not;
	buf_init(&why_not, LIMIT_SMALL_BODY);
	bool ready = view_ready(c->server_arg, &why_not);
	buf_clear(&c->answer);
	jb_init(&b, &c->answer);
	jb_obj(&b, NULL);
	jb_bool(&b, "ready", ready);
	jb_raw(&b, "why_not", buf_str(&why_not));
	jb_end_obj(&b);
	buf_free(&why_not);
	if (!ready)
		c->status = 503;
}

static void get_metrics(struct http_call *c)
{
	struct figures f = { 0 };
	struct arena a = { 0 };
	struct err e = { 0 };
	app_hold(c->server_arg);
	enum rc rc = figures_take(c->server_arg, &a, &f, NULL, &e);
	app_let_go(c->server_arg);
	if (rc != RC_OK) {
		http_call_error(c, rc, e.text);
		goto out;
	}
	buf_clear(&c->answer);
	c->content_type = FIGURES_CONTENT_TYPE;
	figures_write(&f, &c->answer);
out:
	arena_free(&a);
}

/* Each by its name, so that what is only done or only looked at is known by its
 * path: 405 and not 404. */
#define VIEW(name)                                                             \
	{                                                                      \
		"GET", VIEW_PATH name, ROUTE_OPEN, LIMIT_SMALL_BODY, get_view  \
	}

#define HEALTH                                                                 \
	{ "GET", "/health/live", ROUTE_OPEN, LIMIT_SMALL_BODY, get_live },     \
	{                                                                      \
		"GET", "/health/ready", ROUTE_OPEN, LIMIT_SMALL_BODY,          \
			get_ready                                              \
	}

const struct route api_routes[] = {
	{ "GET", "/v1/progress", ROUTE_OPEN, LIMIT_SMALL_BODY, get_progress },
	VIEW("status"),
	VIEW("agents"),
	VIEW("rooms"),
	VIEW("plan"),
	VIEW("doctor"),
	VIEW("journal"),
	VIEW("quarantine"),
	VIEW("audit"),
	{ "POST", "/v1/quarantine/{id}/retry", ROUTE_OPEN, LIMIT_SMALL_BODY,
		retry_quarantined },
	{ "POST", "/v1/retire", ROUTE_OPEN, LIMIT_SMALL_BODY, ask_retire },
	{ "POST", "/v1/approve", ROUTE_OPEN, LIMIT_SMALL_BODY, ask_approve },
	{ "POST", "/v1/retry", ROUTE_OPEN, LIMIT_SMALL_BODY, ask_retry },
	{ "POST", "/v1/direct", ROUTE_OPEN, LIMIT_SMALL_BODY, ask_direct },
	{ "POST", "/v1/rotate", ROUTE_OPEN, LIMIT_SMALL_BODY, ask_rotate },
	{ "POST", "/v1/revoke", ROUTE_OPEN, LIMIT_SMALL_BODY, ask_revoke },
	HEALTH,
};
const size_t api_n_routes = ARRAY_LEN(api_routes);

const struct route health_routes[] = {
	HEALTH,
	{ "GET", "/metrics", ROUTE_OPEN, LIMIT_SMALL_BODY, get_metrics },
};
const size_t health_n_routes = ARRAY_LEN(health_routes);
