/*
 * matrix/http.h: one HTTP exchange (libcurl's home). A struct http keeps one
 * connection alive and belongs to one thread at a time. Redirects are not
 * followed, proxies of the environment are not used, only http and https are
 * spoken, every request has a deadline, and a raised stop flag ends a running
 * one within a second. The program ignores SIGPIPE.
 */
#ifndef MATRIX_HTTP_H
#define MATRIX_HTTP_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/secret.h"

struct http;

/* What was in the way of an answer, where that can be told. */
enum http_trouble {
	HTTP_FINE,         /* nothing, or it cannot be told */
	HTTP_NAME_UNKNOWN, /* nobody knows the host's name */
	HTTP_REFUSED,      /* nobody listens there */
	HTTP_UNREACHABLE,  /* there is no way there */
	HTTP_SILENT,       /* nothing came in time */
	HTTP_TLS,          /* it does not speak TLS, or not ours */
	HTTP_CERTIFICATE,  /* its certificate is not accepted */
	HTTP_NOT_HTTP,     /* it speaks something else, or hangs up */
};

struct http_options {
	const char *ca_file;     /* NULL: the system's */
	const char *unix_socket; /* NULL: TCP */
	const atomic_bool *stop; /* NULL: cannot be stopped; outlives us */
	size_t max_answer;       /* bytes of a body; 0: LIMIT_ANSWER */
};

struct http_request {
	const char *method; /* "GET", "PUT", "POST", "DELETE" */
	const char *url;
	const struct secret *bearer; /* Authorization; NULL: none */
	const char *body;            /* NULL: none; JSON otherwise */
	size_t body_n;
	int timeout_ms; /* 0: 30 s */
	bool once;      /* sent at most once, though the connection breaks */
};

struct http_answer {
	int status;
	struct buf body;
	int64_t retry_after_ms; /* from Retry-After; -1: not said */
	char server[64];        /* Server header; "" when there is none */
	int64_t date_ms;        /* from Date; 0: not said */
};

/* Once in main, before the first thread; and after the last. */
MUST_CHECK enum rc http_global_init(struct err *e);
void http_global_fini(void);

/* Copies the options' strings. */
MUST_CHECK enum rc http_new(
	const struct http_options *o, struct http **ret, struct err *e);
void http_free(struct http *h);
void http_set_stop(struct http *h, const atomic_bool *stop);

/* Of the last http_do(). */
enum http_trouble http_trouble(const struct http *h);

/* Before it is first filled, and when it is done with. */
void http_answer_init(struct http_answer *a);
void http_answer_free(struct http_answer *a);

/*
 * Sends the request and reads the whole answer, whatever its status (RC_OK
 * means that there is an answer). RC_NETWORK: no connection, broken
 * connection, name or certificate, in words; RC_TIMEOUT; RC_TOO_LARGE;
 * RC_STOPPING; RC_INVALID: no http URL, or a token that is no header value.
 * Never names the token. When a connection that was kept breaks before any
 * byte of the answer, the request is sent again on a new one, unless `once`.
 */
MUST_CHECK enum rc http_do(struct http *h, const struct http_request *q,
	struct http_answer *a, struct err *e);

#endif
