/*
 * appservice/http_server.h: an HTTP listener (libmicrohttpd's home), TCP or
 * Unix socket. A table of routes says which handler a method and path has,
 * whether it needs the token, and how large its body may be; the listener does
 * everything else: framing checks, authentication before the body is read,
 * limits, one deadline for each request, JSON errors with errcode and error.
 *
 * A small pool of threads runs handlers; a handler may block briefly. The
 * handler's strings are borrowed and end with it.
 */
#ifndef APPSERVICE_HTTP_SERVER_H
#define APPSERVICE_HTTP_SERVER_H

#include "base/buf.h"
#include "base/secret.h"
#include "base/str.h"

struct http_server;

enum route_flags {
	ROUTE_OPEN = 0,     /* anybody who can connect */
	ROUTE_HS_TOKEN = 1, /* the homeserver's token, AS-40 to AS-47 */
	ROUTE_LEGACY = 2,   /* how older homeservers call it, AS-97 */
	ROUTE_LOOKUP = 4,   /* what cannot be decoded names nothing, AS-91a */
};

/* One request as a handler sees it. */
struct http_call {
	const char *method;
	const char *route;     /* the pattern that matched */
	const char *params[4]; /* captured, percent-decoded once, in order */
	const char *body;      /* NUL-terminated */
	size_t body_n;
	void *server_arg; /* http_server_options.arg */
	/* For http_call_query() only. */
	void *connection;
	/* The answer: 200 and `{}` unless the handler says otherwise. */
	int status;
	struct buf answer;
	const char *content_type; /* application/json unless set (a constant) */
};

/* A query parameter, percent-decoded; NULL when missing. Freed with the call. */
const char *http_call_query(struct http_call *c, const char *name);
/* Answers with a Matrix error; status and errcode from one table by rc. */
void http_call_error(struct http_call *c, enum rc rc, const char *text);
/* Answers with a given status and errcode. */
void http_call_fail(
	struct http_call *c, int status, const char *errcode, const char *text);

/*
 * A row of a route table. Pattern segments: literal, `{x}` (one segment), or a
 * final `{x*}` (the rest of the path, raw slashes included, AS-29).
 */
struct route {
	const char *method;
	const char *pattern;
	unsigned flags; /* enum route_flags */
	size_t max_body;
	void (*handler)(struct http_call *c);
};

struct http_server_options {
	const char *listen; /* "127.0.0.1:29400", "[::1]:0"; NULL with unix */
	const char *unix_path; /* socket file, mode 0600; NULL with listen */
	const struct route *routes;
	size_t n_routes;
	/* What stands for both tokens: SHA-256 of the hs_token; compared in
	 * constant time. */
	const unsigned char *token_digest; /* SHA256_LEN bytes; NULL: none */
	/* Whether another one is right as well; by any of its threads. NULL:
	 * none is. */
	bool (*is_right)(void *token_arg, const unsigned char *digest);
	void *token_arg;
	const char *base_path; /* path of appservice.url, "" for none (AS-06) */
	bool no_legacy;        /* ROUTE_LEGACY rows do not exist, AS-98 */
	bool no_query_token;   /* not without the header as well, AS-44 */
	int threads;           /* 0: 4 */
	int deadline_ms;       /* of a whole request; 0: 30,000 */
	void *arg;
};

/* Listens and serves. RC_BUSY: the address is taken; RC_IO; RC_INVALID. */
MUST_CHECK enum rc http_server_start(const struct http_server_options *o,
	struct http_server **ret, struct err *e);
/* The port that it listens on (for port 0); 0 for a Unix socket. */
int http_server_port(const struct http_server *s);
/* Answers new requests 503, waits up to wait_ms for running ones, stops and
 * frees. NULL is fine. */
void http_server_stop(struct http_server *s, int wait_ms);

#endif
