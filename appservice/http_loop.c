/*
 * The threads that serve connections. A connection that is accepted waits here
 * until a whole request head has arrived and http_gate.c finds it plain; only
 * then the HTTP library gets it. So idle and slow strangers cost a descriptor
 * and 200 bytes each, of which the oldest go first when there are many, and
 * nobody sees the library's own error pages, which are HTML.
 *
 * A connection belongs to one thread from beginning to end, and there are no
 * locks. Every connection has one moment at which it is cut off, whatever
 * arrives: a client that sends one byte now and then, or reads nothing, has no
 * more time than others.
 */
#define _GNU_SOURCE /* accept4(); and alloca(), which is not wanted */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "appservice/http_server_priv.h"
#include "base/clock.h"
#undef alloca
#include "base/poison.h"

#define NEVER INT64_MAX
#define EVENTS 64
/* How long, and for how much, an answered client is listened to. */
#define LINGER_MS 2000
#define LINGER_MAX (1 * MIB)
/* Pause before accepting again when there are no descriptors. */
#define DEAF_MS 100

/* --- the list of connections ---------------------------------------------- */

static struct conn *conn_new(struct loop *l, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->loop = l;
	c->fd = fd;
	c->linger_fd = -1;
	c->prev = l->last;
	if (l->last)
		l->last->next = c;
	else
		l->first = c;
	l->last = c;
	l->n++;
	atomic_fetch_add(&l->server->connections, 1);
	return c;
}

static void conn_free(struct conn *c)
{
	struct loop *l = c->loop;

	if (c->prev)
		c->prev->next = c->next;
	else
		l->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		l->last = c->prev;
	l->n--;
	atomic_fetch_sub(&l->server->connections, 1);
	free(c);
}

/* Of one that the library does not have. */
static void drop(struct conn *c)
{
	close(c->fd);
	conn_free(c);
}

void conn_deadline(struct conn *c, int64_t ms)
{
	c->deadline_ms = clock_mono_ms() + ms;
	if (c->deadline_ms < c->loop->look_ms)
		c->loop->look_ms = c->deadline_ms;
}

static void cut_off(struct conn *c)
{
	if (c->state != CONN_HANDED) {
		drop(c);
		return;
	}
	/* The library sees the end of the connection and closes it. */
	shutdown(c->fd, SHUT_RDWR);
	c->deadline_ms = NEVER;
}

/* The oldest connection, of those that have shown the token or of others. */
static bool cut_oldest(struct loop *l, bool known)
{
	for (struct conn *c = l->first; c; c = c->next) {
		if (c->known != known || c->deadline_ms == NEVER)
			continue;
		cut_off(c);
		return true;
	}
	return false;
}

/* --- what epoll tells ----------------------------------------------------- */

static bool poll_fd(struct loop *l, int fd, uint32_t events, void *tag)
{
	struct epoll_event e = { .events = events, .data.ptr = tag };

	return !epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e);
}

static void unpoll_fd(struct loop *l, int fd)
{
	struct epoll_event e = { 0 };

	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, &e);
}

/* One thread is woken for a connection: of those that are not busy the one that
 * has listened for the longest time. */
static bool listen_on(struct loop *l)
{
	l->deaf = !poll_fd(
		l, l->server->fd, EPOLLIN | EPOLLEXCLUSIVE, &l->server->fd);
	return !l->deaf;
}

static void listen_later(struct loop *l)
{
	int64_t again = clock_mono_ms() + DEAF_MS;

	unpoll_fd(l, l->server->fd);
	l->deaf = true;
	if (again < l->look_ms)
		l->look_ms = again;
}

/* The next connection goes to another thread: who has several at once must not
 * have them all behind one request that takes long. */
static void listen_behind_others(struct loop *l)
{
	unpoll_fd(l, l->server->fd);
	if (!listen_on(l))
		listen_later(l);
}

/* --- answered, and going -------------------------------------------------- */

/* It is short: what does not fit into the socket at once is lost. */
void conn_answer(struct conn *c, int status, const char *body)
{
	char date[40] = "", answer[1000];
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	int n = snprintf(answer, sizeof(answer),
		"HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n"
		"Content-Type: application/json\r\nContent-Length: %zu\r\n"
		"\r\n%s",
		status, MHD_get_reason_phrase_for((unsigned)status), date,
		strlen(body), body);
	send(c->fd, answer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void conn_linger(struct conn *c)
{
	if (c->linger_fd < 0)
		c->linger_fd = dup(c->fd);
}

/* No more is sent; the client closes once it has read the answer. */
static void begin_to_linger(struct conn *c)
{
	struct loop *l = c->loop;

	if (c->polled)
		unpoll_fd(l, c->fd);
	c->state = CONN_LINGERS;
	shutdown(c->fd, SHUT_WR);
	conn_deadline(c, LINGER_MS);
	if (!poll_fd(l, c->fd, EPOLLIN | EPOLLRDHUP, c))
		drop(c);
}

static void drain(struct conn *c)
{
	struct loop *l = c->loop;
	ssize_t n = recv(c->fd, l->peek, sizeof(l->peek), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		c->drained += (size_t)n;
	if (n <= 0 || c->drained > LINGER_MAX)
		drop(c);
}

void conn_closed(struct conn *c)
{
	if (c->linger_fd < 0) {
		conn_free(c);
		return;
	}
	c->fd = c->linger_fd;
	c->polled = false;
	if (c->deadline_ms == NEVER)
		drop(c);
	else
		begin_to_linger(c);
}

/* --- before the library --------------------------------------------------- */

static const struct refusal {
	int status;
	const char *errcode, *text;
} refusals[] = {
	{ 400, "M_UNKNOWN",
		"this is no HTTP request: its first line or a header is "
		"malformed" },
	{ 413, "M_TOO_LARGE", "the body is too large" },
	{ 414, "M_TOO_LARGE", "the path is too long" },
	{ 431, "M_TOO_LARGE", "the headers are too large, or too many" },
	{ 505, "M_UNKNOWN", "expected HTTP/1.1 or HTTP/1.0" },
};

static void refuse(struct conn *c, int status)
{
	const struct refusal *r = &refusals[0];
	char body[200];

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (refusals[i].status == status)
			r = &refusals[i];
	snprintf(body, sizeof(body), "{\"errcode\":\"%s\",\"error\":\"%s\"}",
		r->errcode, r->text);
	log_refusal(c->loop->server, NULL, status, body);
	conn_answer(c, status, body);
	begin_to_linger(c);
}

static void hand_over(struct conn *c)
{
	static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct loop *l = c->loop;

	if (c->polled)
		unpoll_fd(l, c->fd);
	c->polled = false;
	c->state = CONN_HANDED;
	l->handing = c;
	MHD_add_connection(l->daemon, c->fd, &nobody, sizeof(nobody));
	l->pending = true;
	if (!l->handing)
		return;
	/* Not taken, and closed. */
	l->handing = NULL;
	conn_free(c);
}

/* Something has arrived, or the client has ended. */
static void look(struct conn *c, bool ended)
{
	struct loop *l = c->loop;
	ssize_t n =
		recv(c->fd, l->peek, sizeof(l->peek), MSG_PEEK | MSG_DONTWAIT);
	int status = 0;

	if (n > 0)
		status = gate_check(&c->gate, l->peek, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		ended = true;
	if (status == 200) {
		hand_over(c);
		return;
	}
	if (status) {
		refuse(c, status);
		return;
	}
	/* Once for each arrival: what has been looked at stays there. */
	if (!ended && !c->polled)
		c->polled =
			poll_fd(l, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, c);
	if (ended || !c->polled)
		drop(c);
}

/* A loop cuts off only its own, and so has room for some always. */
static bool is_full(const struct loop *l)
{
	const struct http_server *s = l->server;

	return l->n >= s->loop_room &&
		atomic_load(&s->connections) >= s->max_connections;
}

static void accept_failed(struct loop *l, int error)
{
	bool used_up = error == EMFILE || error == ENFILE || error == ENOBUFS ||
		error == ENOMEM;

	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	if (!used_up || !cut_oldest(l, false))
		listen_later(l);
}

/* One at a time: others may come to threads that have less to do. */
static void accept_one(struct loop *l)
{
	int fd = accept4(
		l->server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c;

	if (fd < 0) {
		accept_failed(l, errno);
		return;
	}
	listen_behind_others(l);
	if (is_full(l) && !cut_oldest(l, false))
		cut_oldest(l, true);
	c = conn_new(l, fd);
	if (!c) {
		close(fd);
		return;
	}
	conn_deadline(c, l->server->deadline_ms);
	look(c, false);
}

static void conn_event(struct conn *c, uint32_t events)
{
	if (c->state == CONN_LINGERS)
		drain(c);
	else if (c->state == CONN_WAITS)
		look(c, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

/* --- the loop ------------------------------------------------------------- */

/* Cuts off those whose time is over, and finds the next moment to look. */
static void look_at_deadlines(struct loop *l)
{
	int64_t now = clock_mono_ms();
	struct conn *next;

	l->look_ms = NEVER;
	if (l->deaf && !listen_on(l))
		l->look_ms = now + DEAF_MS;
	for (struct conn *c = l->first; c; c = next) {
		next = c->next;
		if (c->deadline_ms <= now)
			cut_off(c);
		else if (c->deadline_ms < l->look_ms)
			l->look_ms = c->deadline_ms;
	}
}

static int wait_ms(const struct loop *l)
{
	if (l->pending)
		return 0;
	if (l->look_ms == NEVER)
		return -1;
	int64_t left = l->look_ms - clock_mono_ms();
	if (left <= 0)
		return 0;
	return left < 60000 ? (int)left : 60000;
}

/* Accepting comes last: it may cut off a connection that is among the events.
 * Those that the library has are not. */
static void handle(struct loop *l, const struct epoll_event *events, int n)
{
	bool accept = false;

	for (int i = 0; i < n; i++) {
		void *tag = events[i].data.ptr;

		if (tag == &l->server->fd)
			accept = true;
		else if (tag == l)
			l->pending = true;
		else if (tag)
			conn_event(tag, events[i].events);
	}
	if (accept)
		accept_one(l);
}

static void run_library(struct loop *l)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(l->daemon);
	/* It has no timeouts of its own: only what is to be done at once. */
	l->pending = MHD_get_timeout(l->daemon, &ms) == MHD_YES;
}

static void *loop_main(void *arg)
{
	struct loop *l = arg;
	struct epoll_event events[EVENTS];

	while (!atomic_load(&l->server->ending)) {
		int n = epoll_wait(l->epoll_fd, events, EVENTS, wait_ms(l));

		handle(l, events, n);
		if (l->pending)
			run_library(l);
		if (clock_mono_ms() >= l->look_ms)
			look_at_deadlines(l);
	}
	return NULL;
}

static enum rc poll_all(struct loop *l, struct err *e)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!info || l->epoll_fd < 0 ||
		!poll_fd(l, info->epoll_fd, EPOLLIN, l) ||
		!poll_fd(l, l->server->end_fd, EPOLLIN, NULL) || !listen_on(l))
		return err_set(
			e, RC_IO, "watching sockets: %s", strerror(errno));
	return RC_OK;
}

enum rc loop_start(struct loop *l, struct http_server *s, struct err *e)
{
	enum rc rc;
	int error;

	l->server = s;
	l->epoll_fd = -1;
	l->look_ms = NEVER;
	l->daemon = request_daemon(l);
	if (!l->daemon)
		return err_set(e, RC_IO, "the HTTP library did not start");
	rc = poll_all(l, e);
	if (rc)
		return rc;
	error = pthread_create(&l->thread, NULL, loop_main, l);
	if (error)
		return err_set(
			e, RC_IO, "starting a thread: %s", strerror(error));
	l->started = true;
	return RC_OK;
}

void loop_finish(struct loop *l)
{
	struct conn *next;

	if (l->started)
		pthread_join(l->thread, NULL);
	/* Closes those that the library has. */
	if (l->daemon)
		MHD_stop_daemon(l->daemon);
	for (struct conn *c = l->first; c; c = next) {
		next = c->next;
		drop(c);
	}
	if (l->server && l->epoll_fd >= 0)
		close(l->epoll_fd);
}
