/*
 * A request, as the HTTP library (home of libmicrohttpd) tells of it, in three
 * parts: its headers, by which it is routed, authenticated and checked before
 * any of its body is read; pieces of its body; its end, when the handler runs.
 *
 * Version 0.9.75 accepts two lengths, or a length with chunks, and thereby
 * what one side takes for one request and the other for two; so framing is
 * checked here. It decodes paths before it shows them, so it is given a
 * decoder that does nothing. It cannot answer in the middle of a body.
 *
 * A connection goes on after its first request only when that has shown the
 * right token: what strangers get is one answer and the end.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appservice/http_server_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/poison.h"

/* The pool of one connection: its headers and a piece of its body. Larger ones
 * are mapped and unmapped for each connection. */
#define CONNECTION_MEMORY (32 * KIB)
/* Our own limit is lower: this one would close without a choice. */
#define CONNECTIONS 100000u
/* A connection that has shown the token may be idle for as many deadlines. */
#define IDLE_DEADLINES 4

struct request {
	struct http_call call;
	struct http_server *server;
	struct MHD_Connection *connection;
	struct conn *conn;
	struct arena arena;
	const struct route *route;
	struct buf body, allow;
	int64_t begun_us;
	bool counted; /* among the server's active requests */
	bool refused; /* the answer is there before the handler */
};

/* --- what the headers say ------------------------------------------------- */

static enum MHD_Result head_seen(
	void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	heads_add(arg, name, value ? value : "");
	return MHD_YES;
}

/* Names of parameters are decoded too, AS-30; hardly any has to be. The library
 * has made its pluses spaces. */
static bool is_named(struct request *r, const char *got, const char *name)
{
	if (strchr(got, '%'))
		got = percent_decode(&r->arena, str_of(got));
	return text_eq(got, name);
}

struct query_tokens {
	struct request *request;
	struct presented *presented;
};

static enum MHD_Result query_token_seen(
	void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct query_tokens *q = arg;
	char *token;

	(void)kind;
	if (!is_named(q->request, name, "access_token"))
		return MHD_YES;
	token = percent_decode(&q->request->arena, str_of(value ? value : ""));
	present_token(q->presented, str_of(token ? token : ""));
	if (token)
		wipe(token, strlen(token));
	return MHD_YES;
}

/* A homeserver may send its token in the header, in the query, or in both;
 * whatever is there must be right. */
static bool refuse_token(struct request *r, const struct heads *h)
{
	struct presented p = { .digest = &r->server->token_digest,
		.is_right = r->server->is_right,
		.arg = r->server->token_arg };
	struct query_tokens q = { r, &p };

	if (!(r->route->flags & ROUTE_HS_TOKEN))
		return false;
	present_header(&p, h);
	if (h->authorizations || !r->server->no_query_token)
		MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND,
			query_token_seen, &q);
	r->conn->known = p.right && !p.wrong && !p.malformed;
	if (p.wrong)
		http_call_error(&r->call, RC_FORBIDDEN,
			"this is not the hs_token of the registration");
	else if (!r->conn->known)
		http_call_fail(&r->call, MHD_HTTP_UNAUTHORIZED,
			"M_MISSING_TOKEN",
			"expected one header Authorization: Bearer <hs_token>");
	return !r->conn->known;
}

/* --- a request's beginning ------------------------------------------------ */

/* Finds the route; true when there is none and the answer says so. */
static bool refuse_route(struct request *r, const char *path,
	const char *method, struct route_match *m)
{
	const struct route_table *t = &r->server->table;
	struct str of_target = origin_form(str_of(path));

	if (of_target.n)
		path = of_target.p;
	*m = route_find(t, path, method);
	r->route = m->route;
	if (m->route) {
		r->call.route = m->route->pattern;
		return false;
	}
	if (m->path_known) {
		route_allow(t, path, &r->allow);
		http_call_fail(&r->call, MHD_HTTP_METHOD_NOT_ALLOWED,
			"M_UNRECOGNIZED",
			"this path does not have this method");
	} else {
		http_call_fail(&r->call, MHD_HTTP_NOT_FOUND, "M_UNRECOGNIZED",
			"there is nothing at this path");
	}
	return true;
}

static bool refuse_params(struct request *r, const struct route_match *m)
{
	enum rc malformed =
		r->route->flags & ROUTE_LOOKUP ? RC_NOT_FOUND : RC_INVALID;

	for (size_t i = 0; i < m->n; i++) {
		r->call.params[i] = percent_decode(&r->arena, m->params[i]);
		if (r->call.params[i])
			continue;
		if (arena_ok(&r->arena))
			http_call_error(&r->call, malformed,
				"the path is not percent-encoded UTF-8");
		else
			http_call_error(&r->call, RC_NOMEM, "out of memory");
		return true;
	}
	return false;
}

/* Everything that is known before the body; true when the answer is there. */
static bool refuse(struct request *r, const char *path, const char *method,
	const struct heads *h, bool framed)
{
	struct route_match m;

	if (!r->counted) {
		http_call_error(&r->call, RC_STOPPING,
			"the service is stopping; try again soon");
		return true;
	}
	if (refuse_route(r, path, method, &m) || refuse_token(r, h))
		return true;
	if (!framed) {
		http_call_fail(&r->call, MHD_HTTP_BAD_REQUEST, "M_UNKNOWN",
			"where the request ends is not clear: expected one "
			"Content-Length or Transfer-Encoding: chunked");
		return true;
	}
	if (declared_length(h) > (int64_t)r->route->max_body) {
		http_call_error(
			&r->call, RC_TOO_LARGE, "the body is too large");
		return true;
	}
	return refuse_params(r, &m);
}

static struct request *request_new(
	struct http_server *s, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *r;

	if (!info || !info->socket_context)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->server = s;
	r->connection = c;
	r->conn = info->socket_context;
	r->begun_us = clock_mono_us();
	r->call.server_arg = s->arg;
	r->call.connection = r;
	r->call.status = MHD_HTTP_OK;
	buf_init(&r->call.answer, LIMIT_DOCUMENT);
	buf_init(&r->allow, LIMIT_ID);
	r->counted = server_begin(s);
	/* The first one's time runs since the connection was accepted. */
	if (r->conn->served)
		conn_deadline(r->conn, s->deadline_ms);
	r->conn->served = true;
	return r;
}

/* --- answers -------------------------------------------------------------- */

static struct MHD_Response *make_response(struct request *r, bool last)
{
	struct http_call *c = &r->call;
	const char *type =
		c->content_type ? c->content_type : "application/json";
	struct MHD_Response *response;
	size_t n;
	char *text;

	if (!c->answer.n)
		buf_add(&c->answer, "{}");
	if (buf_rc(&c->answer))
		http_call_error(c, buf_rc(&c->answer),
			"the answer does not fit into memory");
	n = c->answer.n;
	text = buf_take(&c->answer);
	if (!text)
		return NULL;
	response =
		MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return NULL;
	}
	if (!MHD_add_response_header(
		    response, MHD_HTTP_HEADER_CONTENT_TYPE, type) ||
		(r->allow.n &&
			!MHD_add_response_header(response,
				MHD_HTTP_HEADER_ALLOW, buf_str(&r->allow))) ||
		(last &&
			!MHD_add_response_header(response,
				MHD_HTTP_HEADER_CONNECTION, "close"))) {
		MHD_destroy_response(response);
		return NULL;
	}
	return response;
}

static void note_refusal(struct request *r)
{
	log_refusal(r->server, r->call.route, r->call.status,
		buf_str(&r->call.answer));
}

/* last: the connection ends with this answer. */
static enum MHD_Result request_answer(struct request *r, bool last)
{
	struct MHD_Response *response;
	enum MHD_Result queued;

	if (r->refused)
		note_refusal(r);
	if (!last && r->call.status == MHD_HTTP_OK && !r->call.answer.n &&
		!r->call.content_type)
		return MHD_queue_response(
			r->connection, MHD_HTTP_OK, r->server->plain);
	response = make_response(r, last);
	if (!response)
		return MHD_NO;
	queued = MHD_queue_response(
		r->connection, (unsigned)r->call.status, response);
	MHD_destroy_response(response);
	return queued;
}

/* --- the three parts of a request ----------------------------------------- */

static enum MHD_Result request_begin(struct request *r, const char *path,
	const char *method, const char *version)
{
	struct heads h = { 0 };
	bool framed;

	MHD_get_connection_values(
		r->connection, MHD_HEADER_KIND, head_seen, &h);
	framed = framing_ok(&h, text_eq(version, MHD_HTTP_VERSION_1_1));
	r->call.method = method;
	r->refused = refuse(r, path, method, &h, framed);
	if (!r->refused) {
		buf_init(&r->body, r->route->max_body);
		return MHD_YES;
	}
	/* Of who has shown the token, a small body is read and dropped, and the
	 * connection goes on. */
	if (r->conn->known && framed && r->counted && !h.expects &&
		!h.codings && declared_length(&h) <= (int64_t)LIMIT_SMALL_BODY)
		return MHD_YES;
	conn_linger(r->conn);
	return request_answer(r, true);
}

/* The library cannot answer in the middle of a body: it is done without it. */
static enum MHD_Result refuse_body(struct request *r)
{
	enum rc rc = buf_rc(&r->body);

	r->refused = true;
	http_call_error(&r->call, rc,
		rc == RC_TOO_LARGE ? "the body is too large" : "out of memory");
	note_refusal(r);
	conn_answer(r->conn, r->call.status, buf_str(&r->call.answer));
	conn_linger(r->conn);
	return MHD_NO;
}

static enum MHD_Result request_body(
	struct request *r, const char *data, size_t *n)
{
	size_t got = *n;

	*n = 0;
	if (r->refused)
		return MHD_YES;
	buf_addn(&r->body, data, got);
	return buf_rc(&r->body) ? refuse_body(r) : MHD_YES;
}

static enum MHD_Result request_end(struct request *r)
{
	if (!r->refused) {
		r->call.body = buf_str(&r->body);
		r->call.body_n = r->body.n;
		r->route->handler(&r->call);
		/* The handler's time is not the client's. */
		conn_deadline(r->conn, r->server->deadline_ms);
	}
	return request_answer(r, !r->conn->known);
}

/* --- what the library calls ----------------------------------------------- */

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection,
	const char *url, const char *method, const char *version,
	const char *data, size_t *n, void **context)
{
	const struct loop *l = arg;
	struct request *r = *context;

	if (!r) {
		r = request_new(l->server, connection);
		*context = r;
		return r ? request_begin(r, url, method, version) : MHD_NO;
	}
	if (*n)
		return request_body(r, data, n);
	return request_end(r);
}

static void on_completed(void *arg, struct MHD_Connection *connection,
	void **context, enum MHD_RequestTerminationCode why)
{
	struct http_server *s = ((const struct loop *)arg)->server;
	struct request *r = *context;

	(void)connection;
	if (!r)
		return;
	if (log_enabled(LOG_DEBUG))
		log_debug("request", LS("method", r->call.method),
			LS("route", r->call.route),
			LI("status", r->call.status), LI("ended", why),
			LI("us", clock_mono_us() - r->begun_us));
	if (r->counted)
		server_end(s);
	conn_deadline(r->conn,
		s->deadline_ms * (r->conn->known ? IDLE_DEADLINES : 1));
	buf_free(&r->body);
	buf_free(&r->call.answer);
	buf_free(&r->allow);
	arena_free(&r->arena);
	free(r);
	*context = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection,
	void **context, enum MHD_ConnectionNotificationCode what)
{
	struct loop *l = arg;

	(void)connection;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		conn_closed(*context);
		*context = NULL;
		return;
	}
	*context = l->handing;
	l->handing = NULL;
}

static size_t leave_escaped(
	void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg;
	(void)connection;
	return strlen(text);
}

PRINTF_LIKE(2, 0)
static void on_message(void *arg, const char *format, va_list args)
{
	char text[256];
	const char *said = text;

	(void)arg;
	vsnprintf(text, sizeof(text), format, args);
	log_debug("HTTP library", LS("text", said));
}

static void on_panic(
	void *arg, const char *file, unsigned line, const char *reason)
{
	(void)arg;
	log_error("HTTP library cannot go on", LS("file", file),
		LI("line", line), LS("reason", reason));
	abort();
}

/* --- queries -------------------------------------------------------------- */

struct wanted {
	struct request *request;
	const char *name, *value;
	bool found;
};

static enum MHD_Result query_seen(
	void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct wanted *w = arg;

	(void)kind;
	if (w->found || !is_named(w->request, name, w->name))
		return MHD_YES;
	w->found = true;
	w->value = value ? value : "";
	return MHD_YES;
}

/* The token is nobody's business behind this, AS-48. */
const char *http_call_query(struct http_call *c, const char *name)
{
	struct request *r = c->connection;
	struct wanted w = { .request = r, .name = name };

	if (text_eq(name, "access_token"))
		return NULL;

	/* The library's own look-up does not tell upper from lower case. */
	MHD_get_connection_values(
		r->connection, MHD_GET_ARGUMENT_KIND, query_seen, &w);
	return w.found ? percent_decode(&r->arena, str_of(w.value)) : NULL;
}

/* --- the library's instance ------------------------------------------------ */

struct MHD_Daemon *request_daemon(struct loop *l)
{
	MHD_set_panic_func(on_panic, NULL);
	/* The logger comes first, or it misses what the others say. TURBO: what
	 * is handed over can be read at once, and conn_linger() ends it. */
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
			MHD_USE_TURBO | MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER,
		on_message, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK,
		leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		l, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
		MHD_OPTION_END);
}

struct MHD_Response *request_plain_answer(void)
{
	static char nothing[] = "{}";
	struct MHD_Response *r = MHD_create_response_from_buffer(
		sizeof(nothing) - 1, nothing, MHD_RESPMEM_PERSISTENT);

	if (r &&
		MHD_add_response_header(
			r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json"))
		return r;
	if (r)
		MHD_destroy_response(r);
	return NULL;
}
