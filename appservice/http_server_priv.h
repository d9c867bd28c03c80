/*
 * appservice/http_server_priv.h: what the listener is made of. Routes, headers
 * and sockets know nothing of the HTTP library; http_loop.c and http_request.c
 * join them to it.
 */
#ifndef APPSERVICE_HTTP_SERVER_PRIV_H
#define APPSERVICE_HTTP_SERVER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "appservice/http_server.h"
#include "base/arena.h"
#include "base/limits.h"

struct MHD_Daemon;
struct MHD_Response;

/* --- http_route.c: paths; pure -------------------------------------------- */

#define ROUTE_PARAMS ARRAY_LEN(((struct http_call *)NULL)->params)

struct route_table {
	const struct route *routes;
	size_t n;
	const char *base_path; /* "" or "/x/y" */
	bool no_legacy;        /* without the rows that are ROUTE_LEGACY */
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

/* The path of "http://server/path?query" and the rest; empty when it is none. */
struct str origin_form(struct str target);

/* Decodes %XX once; NULL for a bad escape, %00 or what is not UTF-8. Out of
 * memory shows in the arena. */
char *percent_decode(struct arena *a, struct str s);

/* --- http_gate.c: the shape of a request's head; pure --------------------- */

/* A request line and headers; what homeservers send has under 1 KiB. */
#define HEAD_MAX (16 * KIB)

/* How far it has come; zeroed at first. */
struct gate {
	size_t seen, begun; /* bytes looked at; where their last line begins */
	size_t lines, cost;
	unsigned hosts;
	bool http_1_1;
};
/* The first n bytes of a connection, each time from the first one on. 0: more
 * must come; 200: there is a whole head; else the status to refuse it with. */
int gate_check(struct gate *g, const char *p, size_t n);

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

/* The characters of a method or of a header's name. */
bool is_token(char c);

/* The tokens of a request, each compared as it is found. */
struct presented {
	const struct secret *digest; /* of the right one */
	bool (*is_right)(void *arg, const unsigned char *digest); /* or NULL */
	void *arg;
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

/* --- http_loop.c: connections --------------------------------------------- */

struct loop;

/* One connection. It belongs to the thread of its loop. */
struct conn {
	struct conn *prev, *next; /* the oldest first */
	struct loop *loop;
	int64_t deadline_ms; /* monotonic: when it is cut off */
	struct gate gate;
	size_t drained;
	int fd;
	int linger_fd; /* keeps the socket when the library closes it; or -1 */
	enum {
		CONN_WAITS,  /* its first head is not whole yet */
		CONN_HANDED, /* the HTTP library has it */
		CONN_LINGERS /* answered: what still comes is dropped */
	} state;
	bool polled; /* fd is in the loop's epoll set */
	bool known;  /* has shown the right token */
	bool served; /* its first request has begun */
};

/*
 * A thread that serves connections: its own instance of the HTTP library, and
 * what waits before it and lingers after it.
 */
struct loop {
	struct http_server *server;
	struct MHD_Daemon *daemon;
	struct conn *first, *last;
	struct conn *handing; /* while the library takes it */
	size_t n;
	int64_t look_ms; /* when a deadline may have passed */
	pthread_t thread;
	int epoll_fd;
	bool deaf;    /* not accepting: out of descriptors */
	bool pending; /* the library has something to do */
	bool started; /* the thread exists */
	char peek[HEAD_MAX];
};

MUST_CHECK enum rc loop_start(
	struct loop *l, struct http_server *s, struct err *e);
/* After http_server.ending: joins the thread and closes its connections. */
void loop_finish(struct loop *l);
/* Cuts it off in ms from now, and not earlier. */
void conn_deadline(struct conn *c, int64_t ms);
/* Sends an answer that does not come from the library. */
void conn_answer(struct conn *c, int status, const char *body);
/* When the library closes it, the socket stays until the client has read the
 * answer: closed with unread bytes in it, the answer might be lost. */
void conn_linger(struct conn *c);
/* The library has closed it. */
void conn_closed(struct conn *c);

/* --- http_request.c: what the HTTP library calls -------------------------- */

/* The library's instance for one loop; NULL when it does not start. */
struct MHD_Daemon *request_daemon(struct loop *l);
/* What every request is answered that has nothing to say. */
struct MHD_Response *request_plain_answer(void);

/* --- http_answer.c -------------------------------------------------------- */

/* A log line for a refusal, at most one a second. */
void log_refusal(struct http_server *s, const char *route, int status,
	const char *answer);

/* --- http_server.c -------------------------------------------------------- */

struct http_server {
	struct route_table table;
	struct secret token_digest;
	bool (*is_right)(void *token_arg, const unsigned char *digest);
	void *token_arg;
	struct MHD_Response *plain;
	char *base_path;
	char *unix_path; /* NULL until it is bound */
	void *arg;
	struct loop *loops;
	size_t n_loops;
	size_t max_connections; /* of all loops, where each has its room */
	size_t loop_room;
	atomic_size_t connections;
	int64_t deadline_ms;
	int port;
	int fd;     /* listens; -1: not yet */
	int end_fd; /* readable when the loops shall end; -1: not yet */
	bool no_query_token;
	_Atomic int64_t refusal_logged_ms;
	atomic_bool stopping, ending;
	/* Requests between their begin and their end. */
	atomic_int active;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	bool lock_made;
};

/* Counts a request; false, and not counted, once stopping. */
bool server_begin(struct http_server *s);
/* One that was counted is over. */
void server_end(struct http_server *s);

#endif
