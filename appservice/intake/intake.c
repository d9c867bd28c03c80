/*
 * The routes of the Application Service API and what answers them. The log
 * has one line for a transaction and never what is in it.
 */
#include "appservice/intake/intake.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

/* Homeservers send some hundred KiB at the most, as a rule. */
#define LARGE_BODY (1 * MIB)

static void refuse_transaction(struct http_call *c, const char *txn,
	const struct intake_result *r, const struct err *e)
{
	log_warn("transaction refused", LS("txn", txn), LI("bytes", c->body_n),
		LS("why", (const char *)e->text));
	http_call_fail(
		c, 400, r->not_json ? "M_NOT_JSON" : "M_BAD_JSON", e->text);
}

static void put_transaction(struct http_call *c)
{
	struct intake *in = c->server_arg;
	const char *txn = c->params[0];
	struct intake_result r = { 0 };
	struct err e = { 0 };
	int64_t begun_us = clock_mono_us();

	if (!in->store) {
		http_call_error(c, RC_PENDING,
			"events are taken when the service runs; this is its "
			"registration");
		return;
	}
	enum rc rc = intake_transaction(in, txn, c->body, c->body_n, &r, &e);
	if (in->refused && (rc == RC_INVALID || r.quarantined > 0))
		in->refused(in->arg);
	if (rc == RC_INVALID) {
		refuse_transaction(c, txn, &r, &e);
		return;
	}
	if (rc) {
		log_error("transaction not stored", LS("txn", txn),
			LS("why", (const char *)e.text));
		http_call_error(
			c, rc, "it could not be stored; it may come again");
		return;
	}
	log_info("transaction", LS("txn", txn), LI("events", r.events),
		LI("applied", r.applied), LI("quarantined", r.quarantined),
		LI("repeated", r.repeated),
		LI("us", clock_mono_us() - begun_us));
	if (r.changed && in->changed)
		in->changed(in->arg);
	if (c->body_n > LARGE_BODY)
		give_back_memory();
}

/* Some homeservers send no body, some `null` for the id. */
static void post_ping(struct http_call *c)
{
	struct intake *in = c->server_arg;
	struct json *doc = NULL;
	struct err e = { 0 };
	const char *txn = NULL;

	if (c->body_n) {
		enum rc rc = json_parse_any(c->body, c->body_n, NULL, &doc, &e);
		if (rc == RC_NOMEM) {
			http_call_error(c, rc, "out of memory");
			return;
		}
		if (rc) {
			http_call_fail(c, 400, "M_NOT_JSON", e.text);
			return;
		}
		if (js_type(json_root(doc)) != JS_OBJ) {
			http_call_fail(
				c, 400, "M_BAD_JSON", "expected an object");
			goto out;
		}
		txn = js_get_str(json_root(doc), "transaction_id");
	}
	if (in->pinged)
		in->pinged(in->arg, txn);
out:
	json_free(doc);
}

/*
 * The homeserver believes a 200 and a 404. What cannot be said now is neither
 * (AS-91c), and no fault of the one who asks, whatever the reason.
 */
static enum rc to_be_asked_again(enum rc rc)
{
	static const enum rc as_they_are[] = { RC_NOMEM, RC_IO, RC_CORRUPT,
		RC_BUSY, RC_PENDING, RC_STOPPING, RC_NETWORK, RC_TIMEOUT };

	for (size_t i = 0; i < ARRAY_LEN(as_they_are); i++)
		if (rc == as_they_are[i])
			return rc;
	return RC_REMOTE;
}

static void answer_query(
	struct http_call *c, enum rc rc, const char *none, const struct err *e)
{
	if (rc == RC_OK)
		return;
	if (rc == RC_NOT_FOUND) {
		http_call_error(c, rc, none);
		return;
	}
	http_call_error(c, to_be_asked_again(rc), e->text);
	log_warn("the homeserver asked for what is not there yet",
		LS("id", c->params[0]), LI("status", c->status),
		LS("why", (const char *)e->text));
}

static enum rc not_running(struct err *e)
{
	return err_set(e, RC_PENDING,
		"agents and rooms are there when the service runs; this is its "
		"registration");
}

/* An agent that is declared is registered at once. */
static void get_user(struct http_call *c)
{
	struct intake *in = c->server_arg;
	struct err e = { 0 };

	enum rc rc = in->store ? in->need_user(in->arg, c->params[0], &e)
			       : not_running(&e);
	answer_query(c, rc, "no such agent", &e);
}

/* Rooms are made when they are declared, never when asked for. */
static void get_room(struct http_call *c)
{
	struct intake *in = c->server_arg;
	struct err e = { 0 };

	enum rc rc = in->store ? in->has_alias(in->arg, c->params[0], &e)
			       : not_running(&e);
	answer_query(c, rc, "no such room", &e);
}

static void get_thirdparty(struct http_call *c)
{
	http_call_error(c, RC_NOT_FOUND, "no third-party network is served");
}

static void reverse_lookup(struct http_call *c, const char *parameter)
{
	if (http_call_query(c, parameter))
		get_thirdparty(c);
	else
		http_call_fail(c, 400, "M_MISSING_PARAM",
			"expected the parameter userid, or alias for a "
			"location");
}

static void get_thirdparty_user(struct http_call *c)
{
	reverse_lookup(c, "userid");
}

static void get_thirdparty_location(struct http_call *c)
{
	reverse_lookup(c, "alias");
}

#define ROUTE(verb, path, limit, more, fn)                                     \
	{                                                                      \
		.method = (verb), .pattern = (path),                           \
		.flags = ROUTE_HS_TOKEN | (more), .max_body = (limit),         \
		.handler = (fn)                                                \
	}
#define OLD ROUTE_LEGACY
#define PUT_ROUTE(path, more, fn)                                              \
	ROUTE("PUT", path, LIMIT_TRANSACTION, more, fn)
#define POST_ROUTE(path, more, fn)                                             \
	ROUTE("POST", path, LIMIT_SMALL_BODY, more, fn)
#define GET_ROUTE(path, more, fn)                                              \
	ROUTE("GET", path, LIMIT_SMALL_BODY, (more) | ROUTE_LOOKUP, fn)

/* Each path as it is now, and as older homeservers call it. */
#define NOW "/_matrix/app/v1"
#define THEN "/_matrix/app/unstable"

const struct route intake_routes[] = {
	PUT_ROUTE(NOW "/transactions/{txn}", 0, put_transaction),
	PUT_ROUTE("/transactions/{txn}", OLD, put_transaction),
	POST_ROUTE(NOW "/ping", 0, post_ping),
	POST_ROUTE(THEN "/fi.mau.msc2659/ping", OLD, post_ping),
	GET_ROUTE(NOW "/users/{user*}", 0, get_user),
	GET_ROUTE("/users/{user*}", OLD, get_user),
	GET_ROUTE(NOW "/rooms/{alias*}", 0, get_room),
	GET_ROUTE("/rooms/{alias*}", OLD, get_room),
	GET_ROUTE(NOW "/thirdparty/protocol/{protocol}", 0, get_thirdparty),
	GET_ROUTE(THEN "/thirdparty/protocol/{protocol}", OLD, get_thirdparty),
	GET_ROUTE(NOW "/thirdparty/user/{protocol}", 0, get_thirdparty),
	GET_ROUTE(THEN "/thirdparty/user/{protocol}", OLD, get_thirdparty),
	GET_ROUTE(NOW "/thirdparty/location/{protocol}", 0, get_thirdparty),
	GET_ROUTE(THEN "/thirdparty/location/{protocol}", OLD, get_thirdparty),
	GET_ROUTE(NOW "/thirdparty/user", 0, get_thirdparty_user),
	GET_ROUTE(THEN "/thirdparty/user", OLD, get_thirdparty_user),
	GET_ROUTE(NOW "/thirdparty/location", 0, get_thirdparty_location),
	GET_ROUTE(THEN "/thirdparty/location", OLD, get_thirdparty_location),
};
const size_t intake_n_routes = ARRAY_LEN(intake_routes);
