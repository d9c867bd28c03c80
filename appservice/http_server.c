/*
 * The listener: what the HTTP library (home of libmicrohttpd) calls. A request
 * comes in three parts: its headers, by which it is routed, authenticated and
 * checked before any of its body is read; pieces of its body; its end, when
 * the handler runs.
 *
 * Version 0.9.75 accepts two lengths, or a length with chunks, and thereby
 * what one side takes for one request and the other for two; so framing is
 * checked here. It decodes paths before it shows them, so it is given a
 * decoder that does nothing. It cannot answer in the middle of a body.
 */
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appservice/http_server_priv.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/poison.h"

#define DEFAULT_THREADS 4
#define DEFAULT_DEADLINE_MS 30000
#define IDLE_TIMEOUT_S 30u
#define CONNECTIONS 256u
/* The pool of one connection: its headers and a piece of its body. */
#define CONNECTION_MEMORY (64 * KIB)

struct http_server {
	struct MHD_Daemon *daemon;
	struct watch watch;
	struct route_table table;
	struct secret token_digest;
	char *base_path;
	char *unix_path; /* NULL until it is bound */
	int port;
	void *arg;
	_Atomic int64_t refusal_logged_ms;
};

struct request {
	struct http_call call;
	struct http_server *server;
	struct MHD_Connection *connection;
	struct watched *watched;
	struct arena arena;
	const struct route *route;
	struct buf body, allow;
	size_t dropped; /* bytes of a body that nobody will read */
	int64_t begun_us;
	bool counted; /* among the watch's active requests */
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
	if (!text_eq(name, "access_token"))
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
	struct presented p = { .digest = &r->server->token_digest };
	struct query_tokens q = { r, &p };

	if (r->route->auth == ROUTE_OPEN)
		return false;
	present_header(&p, h);
	MHD_get_connection_values(
		r->connection, MHD_GET_ARGUMENT_KIND, query_token_seen, &q);
	if (p.wrong)
		http_call_error(&r->call, RC_FORBIDDEN,
			"this is not the hs_token of the registration");
	else if (!p.right || p.malformed)
		http_call_fail(&r->call, MHD_HTTP_UNAUTHORIZED,
			"M_MISSING_TOKEN",
			"expected one header Authorization: Bearer <hs_token>");
	return p.wrong || p.malformed || !p.right;
}

/* --- a request's beginning ------------------------------------------------ */

/* Finds the route; true when there is none and the answer says so. */
static bool refuse_route(struct request *r, const char *path,
	const char *method, struct route_match *m)
{
	const struct route_table *t = &r->server->table;

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
	for (size_t i = 0; i < m->n; i++) {
		r->call.params[i] = percent_decode(&r->arena, m->params[i]);
		if (r->call.params[i])
			continue;
		if (arena_ok(&r->arena))
			http_call_error(&r->call, RC_INVALID,
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
	r->watched = info->socket_context;
	r->begun_us = clock_mono_us();
	r->call.server_arg = s->arg;
	r->call.connection = r;
	r->call.status = MHD_HTTP_OK;
	buf_init(&r->call.answer, LIMIT_DOCUMENT);
	buf_init(&r->allow, LIMIT_ID);
	r->counted = watch_begin(&s->watch, r->watched);
	return r;
}

/* --- answers -------------------------------------------------------------- */

/* Somebody should look when the homeserver is refused; but strangers must not
 * fill the log. */
static void log_refusal(struct request *r)
{
	int64_t now = clock_mono_ms();

	if (r->call.status < MHD_HTTP_BAD_REQUEST ||
		now - atomic_load(&r->server->refusal_logged_ms) < 1000)
		return;
	atomic_store(&r->server->refusal_logged_ms, now);
	log_warn("request refused", LS("route", r->call.route),
		LI("status", r->call.status),
		LS("answer", buf_str(&r->call.answer)));
}

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

/* last: the connection ends with this answer. */
static enum MHD_Result request_answer(struct request *r, bool last)
{
	struct MHD_Response *response;
	enum MHD_Result queued;

	if (r->refused)
		log_refusal(r);
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
	/* A small body is read and dropped, so that the client surely sees
	 * the answer and may go on using the connection. One that may be
	 * large is not waited for. */
	if (framed && r->counted && !h.expects && !h.codings &&
		declared_length(&h) <= (int64_t)LIMIT_SMALL_BODY)
		return MHD_YES;
	return request_answer(r, true);
}

static enum MHD_Result request_body(
	struct request *r, const char *data, size_t *n)
{
	size_t got = *n;

	*n = 0;
	if (!r->refused) {
		buf_addn(&r->body, data, got);
		if (!buf_rc(&r->body))
			return MHD_YES;
		http_call_error(
			&r->call, buf_rc(&r->body), "the body is too large");
		r->refused = true;
		buf_free(&r->body);
	}
	/* There is no answering before the end of the body: as much again is
	 * read, then the connection is cut. */
	r->dropped += got;
	return r->dropped <= LIMIT_SMALL_BODY + r->body.max ? MHD_YES : MHD_NO;
}

static enum MHD_Result request_end(struct request *r)
{
	struct watch *w = &r->server->watch;

	if (!r->refused) {
		r->call.body = buf_str(&r->body);
		r->call.body_n = r->body.n;
		watch_handler(w, r->watched, true);
		r->route->handler(&r->call);
		watch_handler(w, r->watched, false);
	}
	return request_answer(r, false);
}

/* --- what the library calls ----------------------------------------------- */

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection,
	const char *url, const char *method, const char *version,
	const char *data, size_t *n, void **context)
{
	struct request *r = *context;

	if (!r) {
		r = request_new(arg, connection);
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
	struct http_server *s = arg;
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
		watch_end(&s->watch, r->watched);
	buf_wipe(&r->body);
	buf_free(&r->call.answer);
	buf_free(&r->allow);
	arena_free(&r->arena);
	free(r);
	*context = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection,
	void **context, enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = arg;
	const union MHD_ConnectionInfo *info;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		watch_close(&s->watch, *context);
		*context = NULL;
		return;
	}
	info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	*context = info ? watch_open(&s->watch, info->connect_fd) : NULL;
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
	const char *name, *value;
	bool found;
};

static enum MHD_Result query_seen(
	void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct wanted *w = arg;

	(void)kind;
	if (w->found || !text_eq(name, w->name))
		return MHD_YES;
	w->found = true;
	w->value = value ? value : "";
	return MHD_YES;
}

const char *http_call_query(struct http_call *c, const char *name)
{
	struct wanted w = { .name = name };
	struct request *r = c->connection;

	/* The library's own look-up does not tell upper from lower case. */
	MHD_get_connection_values(
		r->connection, MHD_GET_ARGUMENT_KIND, query_seen, &w);
	return w.found ? percent_decode(&r->arena, str_of(w.value)) : NULL;
}

/* --- start and stop ------------------------------------------------------- */

static enum rc check_options(const struct http_server_options *o, struct err *e)
{
	if (!o->listen == !o->unix_path)
		return err_set(e, RC_INVALID,
			"expected an address or a socket's path, and not both");
	for (size_t i = 0; i < o->n_routes; i++)
		if (o->routes[i].auth == ROUTE_HS_TOKEN && !o->token_digest)
			return err_set(e, RC_INVALID,
				"%s needs a token and there is none",
				o->routes[i].pattern);
	return RC_OK;
}

/* Copies what must outlive the options. */
static enum rc copy_options(struct http_server *s,
	const struct http_server_options *o, struct err *e)
{
	const char *base = o->base_path ? o->base_path : "";
	size_t n = strlen(base);

	while (n && base[n - 1] == '/')
		n--;
	s->base_path = strndup(base, n);
	if (!s->base_path)
		return err_nomem(e);
	if (o->token_digest &&
		secret_set(&s->token_digest, (const char *)o->token_digest,
			SHA256_LEN))
		return err_nomem(e);
	s->table.routes = o->routes;
	s->table.n = o->n_routes;
	s->table.base_path = s->base_path;
	s->arg = o->arg;
	return RC_OK;
}

static enum rc bind_socket(struct http_server *s,
	const struct http_server_options *o, int *fd, struct err *e)
{
	enum rc rc;

	if (o->listen)
		return listen_tcp(o->listen, fd, &s->port, e);
	rc = listen_unix(o->unix_path, fd, e);
	if (rc)
		return rc;
	s->unix_path = strdup(o->unix_path);
	if (s->unix_path)
		return RC_OK;
	unlink(o->unix_path);
	close(*fd);
	return err_nomem(e);
}

static enum rc start_daemon(
	struct http_server *s, int fd, int threads, struct err *e)
{
	MHD_set_panic_func(on_panic, NULL);
	/* The logger comes first, or it misses what the others say. */
	s->daemon = MHD_start_daemon(
		MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG,
		0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER,
		on_message, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_THREAD_POOL_SIZE, (unsigned)threads,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK,
		leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_END);
	/* Whether the library has closed fd then is not defined: it is left. */
	if (!s->daemon)
		return err_set(e, RC_IO, "the HTTP server did not start");
	return RC_OK;
}

enum rc http_server_start(const struct http_server_options *o,
	struct http_server **ret, struct err *e)
{
	struct http_server *s = NULL;
	int fd = -1;
	enum rc rc = check_options(o, e);

	if (rc)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	atomic_init(&s->refusal_logged_ms, -1000);
	rc = copy_options(s, o, e);
	if (rc)
		goto out;
	rc = watch_start(&s->watch,
		o->deadline_ms ? o->deadline_ms : DEFAULT_DEADLINE_MS, e);
	if (rc)
		goto out;
	rc = bind_socket(s, o, &fd, e);
	if (rc)
		goto out;
	rc = start_daemon(s, fd, o->threads ? o->threads : DEFAULT_THREADS, e);
out:
	if (rc)
		http_server_stop(s, 0);
	else
		*ret = s;
	return rc;
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}

/*
 * Without MHD_quiesce_daemon(): while it takes the listening socket from the
 * workers, one of them may do so too, and the second to do it aborts the
 * process. New requests are answered 503 instead until the running ones are
 * done.
 */
void http_server_stop(struct http_server *s, int wait_ms)
{
	if (!s)
		return;
	if (s->unix_path)
		unlink(s->unix_path);
	if (s->daemon) {
		watch_drain(&s->watch, wait_ms);
		MHD_stop_daemon(s->daemon);
	}
	watch_finish(&s->watch);
	secret_fini(&s->token_digest);
	free(s->base_path);
	free(s->unix_path);
	free(s);
}
