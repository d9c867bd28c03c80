/*
 * The listener's beginning and end: what it was told, its socket, its threads.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <microhttpd.h>

#include "appservice/http_server_priv.h"
#include "base/clock.h"
#include "base/poison.h"

#define DEFAULT_THREADS 4
#define DEFAULT_DEADLINE_MS 30000
/* Connections of one listener, and the part of the process's descriptors that
 * they may have. */
#define CONNECTIONS 1024
#define DESCRIPTORS_PART 4
/* What a thread has of them at least, whatever the others have. */
#define ROOM_PART 8
#define ROOM_MIN 16

/* --- requests that run ---------------------------------------------------- */

bool server_begin(struct http_server *s)
{
	atomic_fetch_add(&s->active, 1);
	if (!atomic_load(&s->stopping))
		return true;
	server_end(s);
	return false;
}

void server_end(struct http_server *s)
{
	if (atomic_fetch_sub(&s->active, 1) != 1 || !atomic_load(&s->stopping))
		return;
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

/* Waits until none runs, at most wait_ms. */
static void wait_idle(struct http_server *s, int wait_ms)
{
	struct timespec until = clock_after(wait_ms);
	int error = 0;

	pthread_mutex_lock(&s->lock);
	while (atomic_load(&s->active) && !error)
		error = pthread_cond_timedwait(&s->idle, &s->lock, &until);
	pthread_mutex_unlock(&s->lock);
}

/* --- start ---------------------------------------------------------------- */

static enum rc check_options(const struct http_server_options *o, struct err *e)
{
	if (!o->listen == !o->unix_path)
		return err_set(e, RC_INVALID,
			"expected an address or a socket's path, and not both");
	for (size_t i = 0; i < o->n_routes; i++)
		if (o->routes[i].flags & ROUTE_HS_TOKEN && !o->token_digest &&
			!o->is_right)
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
	s->is_right = o->is_right;
	s->token_arg = o->token_arg;
	s->table.routes = o->routes;
	s->table.n = o->n_routes;
	s->table.base_path = s->base_path;
	s->table.no_legacy = o->no_legacy;
	s->no_query_token = o->no_query_token;
	s->deadline_ms = o->deadline_ms ? o->deadline_ms : DEFAULT_DEADLINE_MS;
	s->arg = o->arg;
	return RC_OK;
}

/* What the threads share. */
static enum rc make_parts(struct http_server *s, struct err *e)
{
	pthread_condattr_t attr;

	s->plain = request_plain_answer();
	if (!s->plain || pthread_condattr_init(&attr))
		return err_nomem(e);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	s->lock_made = !pthread_mutex_init(&s->lock, NULL) &&
		!pthread_cond_init(&s->idle, &attr);
	pthread_condattr_destroy(&attr);
	s->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!s->lock_made || s->end_fd < 0)
		return err_set(e, RC_IO, "the HTTP server did not start");
	return RC_OK;
}

static enum rc bind_socket(struct http_server *s,
	const struct http_server_options *o, struct err *e)
{
	enum rc rc;

	if (o->listen)
		return listen_tcp(o->listen, &s->fd, &s->port, e);
	rc = listen_unix(o->unix_path, &s->fd, e);
	if (rc)
		return rc;
	s->unix_path = strdup(o->unix_path);
	if (s->unix_path)
		return RC_OK;
	unlink(o->unix_path);
	return err_nomem(e);
}

static size_t max_connections(void)
{
	struct rlimit limit;
	size_t n = CONNECTIONS;

	if (!getrlimit(RLIMIT_NOFILE, &limit) &&
		limit.rlim_cur / DESCRIPTORS_PART < n)
		n = (size_t)limit.rlim_cur / DESCRIPTORS_PART;
	return n;
}

static enum rc start_loops(struct http_server *s, size_t n, struct err *e)
{
	enum rc rc = RC_OK;

	s->max_connections = max_connections();
	s->loop_room = s->max_connections / ROOM_PART;
	if (s->loop_room < ROOM_MIN)
		s->loop_room = ROOM_MIN;
	s->loops = calloc(n, sizeof(*s->loops));
	if (!s->loops)
		return err_nomem(e);
	s->n_loops = n;
	for (size_t i = 0; i < n && !rc; i++)
		rc = loop_start(&s->loops[i], s, e);
	return rc;
}

enum rc http_server_start(const struct http_server_options *o,
	struct http_server **ret, struct err *e)
{
	struct http_server *s = NULL;
	enum rc rc = check_options(o, e);

	if (rc)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->fd = s->end_fd = -1;
	atomic_init(&s->refusal_logged_ms, -1000);
	rc = copy_options(s, o, e);
	if (!rc)
		rc = make_parts(s, e);
	if (!rc)
		rc = bind_socket(s, o, e);
	if (!rc)
		rc = start_loops(s,
			(size_t)(o->threads ? o->threads : DEFAULT_THREADS), e);
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

/* --- stop ----------------------------------------------------------------- */

static void end_loops(struct http_server *s)
{
	const uint64_t one = 1;

	atomic_store(&s->ending, true);
	/* Stays readable, so that each of them is woken. */
	if (s->end_fd >= 0) {
		ssize_t done = write(s->end_fd, &one, sizeof(one));
		(void)done; /* it has room for 2^64 of them */
	}
	for (size_t i = 0; i < s->n_loops; i++)
		loop_finish(&s->loops[i]);
}

/* While the running requests come to their end, new ones are answered 503. */
void http_server_stop(struct http_server *s, int wait_ms)
{
	if (!s)
		return;
	if (s->unix_path)
		unlink(s->unix_path);
	atomic_store(&s->stopping, true);
	if (s->lock_made)
		wait_idle(s, wait_ms);
	end_loops(s);
	if (s->fd >= 0)
		close(s->fd);
	if (s->end_fd >= 0)
		close(s->end_fd);
	if (s->plain)
		MHD_destroy_response(s->plain);
	if (s->lock_made) {
		pthread_cond_destroy(&s->idle);
		pthread_mutex_destroy(&s->lock);
	}
	secret_fini(&s->token_digest);
	free(s->loops);
	free(s->base_path);
	free(s->unix_path);
	free(s);
}
