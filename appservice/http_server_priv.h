/*
 * appservice/http_server_priv.h: what the listener is made of. Routing and
 * sockets know nothing of the HTTP library; http_server.c joins them to it.
 */
#ifndef APPSERVICE_HTTP_SERVER_PRIV_H
#define APPSERVICE_HTTP_SERVER_PRIV_H

#include <pthread.h>

#include "appservice/http_server.h"
#include "base/arena.h"

/* --- http_route.c: paths, credentials; pure ------------------------------- */

#define ROUTE_PARAMS ARRAY_LEN(((struct http_call *)NULL)->params)

struct route_table {
	const struct route *routes;
	size_t n;
	const char *base_path; /* "" or "/x/y" */
};

struct route_match {
	const struct route *route;       /* NULL: none */
	bool path_known;                 /* by another method */
	struct str params[ROUTE_PARAMS]; /* as they stand in the path */
	size_t n;
};

/* The first route that has this path and method. */
struct route_match route_find(
	const struct route_table *t, const char *path, const char *method);
/* The methods of a path, "GET, PUT", for the Allow header. */
void route_allow(
	const struct route_table *t, const char *path, struct buf *out);

/* Decodes %XX once; NULL for a bad escape, %00 or what is not UTF-8. Out of
 * memory shows in the arena. */
char *percent_decode(struct arena *a, struct str s);
/* --- http_heads.c: framing and credentials; pure -------------------------- */

struct heads {
	unsigned lengths, codings, authorizations; /* how many there are */
	const char *length, *coding, *authorization;
	bool bad_name, expects;
};
void heads_add(struct heads *h, const char *name, const char *value);
/* There is one way to tell where the request ends. */
bool framing_ok(const struct heads *h, bool http_1_1);
/* INT64_MAX when it is beyond counting; 0 when not said. */
int64_t declared_length(const struct heads *h);

/* The tokens of a request, each compared as it is found. */
struct presented {
	const struct secret *digest; /* of the right one */
	bool right, wrong, malformed;
};
/* An empty one is malformed. */
void present_token(struct presented *p, struct str token);
void present_header(struct presented *p, const struct heads *h);

/* --- http_listen.c: sockets ----------------------------------------------- */

/* Binds and listens; *ret_fd is non-blocking. */
MUST_CHECK enum rc listen_tcp(
	const char *address, int *ret_fd, int *ret_port, struct err *e);
MUST_CHECK enum rc listen_unix(const char *path, int *ret_fd, struct err *e);

/* --- http_watch.c: connections and their deadlines ------------------------ */

/*
 * Every connection has one moment at which it is cut off: the library's own
 * timeout starts again with each byte, so a client that sends one byte now and
 * then would stay for ever. Also counts the requests that run, for an orderly
 * stop. Any thread.
 */
struct watched;
struct watch {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	struct watched *connections;
	size_t active; /* requests between watch_begin() and watch_end() */
	int64_t deadline_ms;
	int64_t wake_ms; /* when the thread looks again */
	bool running;    /* lock, changed and thread exist */
	bool stopping, ending;
};

MUST_CHECK enum rc watch_start(
	struct watch *w, int64_t deadline_ms, struct err *e);
/* A connection came; NULL when out of memory. */
struct watched *watch_open(struct watch *w, int fd);
/* It goes; before its descriptor is closed. NULL is fine. */
void watch_close(struct watch *w, struct watched *c);
/* Its next request has begun: a new deadline. False (and not counted) once
 * stopping. */
bool watch_begin(struct watch *w, struct watched *c);
/* The request is with its handler (no deadline), or back from it (a new one
 * for the answer). */
void watch_handler(struct watch *w, struct watched *c, bool in);
/* A request that watch_begin() counted is over. */
void watch_end(struct watch *w, struct watched *c);
/* Refuses further requests and waits until none runs, at most wait_ms. */
void watch_drain(struct watch *w, int64_t wait_ms);
/* Ends the thread; no connection may be left. */
void watch_finish(struct watch *w);

#endif
