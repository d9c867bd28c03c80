/*
 * tests/unit/script_server.c: a scripted HTTP server for tests: plain sockets
 * and poll() in one thread.
 */
#include "tests/unit/script_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/poison.h"

#define ANSWERS 256
#define REQUESTS 1024
#define CLIENTS 16
#define TICK_MS 20

enum act { SAY, SAY_AND_CLOSE, RESET, SILENT };

struct answer {
	enum act act;
	char *text;
};

struct request {
	char *line;
	char *text;
};

struct client {
	int fd;
	char *p;
	size_t n;
};

struct script {
	pthread_t thread;
	atomic_bool stop;
	int listener;
	char url[64];

	pthread_mutex_t lock; /* for everything below */
	struct answer answers[ANSWERS];
	size_t said, written; /* answers given, and written down */
	struct answer otherwise;
	struct request requests[REQUESTS];
	size_t asked;
	size_t connections;

	struct client clients[CLIENTS]; /* the thread's own */
	size_t n_clients;
};

/* --- listening --------------------------------------------------------- */

static int listen_tcp(char *url, size_t n)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
		listen(fd, CLIENTS) != 0 ||
		getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		abort();
	snprintf(url, n, "http://127.0.0.1:%d", ntohs(at.sin_port));
	return fd;
}

static int listen_unix(const char *path, char *url, size_t n)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
		listen(fd, CLIENTS) != 0)
		abort();
	snprintf(url, n, "http://localhost");
	return fd;
}

/* --- one request ------------------------------------------------------- */

/* The length of the whole request at the start of p; 0: not all here yet. */
static size_t whole_request(const char *p, size_t n)
{
	const char *end = strstr(p, "\r\n\r\n");
	if (end == NULL)
		return 0;
	size_t head = (size_t)(end - p) + 4;
	size_t body = 0;
	for (const char *h = p; h < end; h = strstr(h, "\r\n") + 2) {
		if (strncasecmp(h, "Content-Length:", 15) == 0)
			body = (size_t)strtoul(h + 15, NULL, 10);
	}
	return n >= head + body ? head + body : 0;
}

static struct answer note_request(struct script *s, const char *p, size_t n)
{
	pthread_mutex_lock(&s->lock);
	assert(s->asked < REQUESTS);
	struct request *r = &s->requests[s->asked++];
	r->text = strndup(p, n);
	r->line = strndup(p, strcspn(p, "\r"));
	struct answer a = s->otherwise;
	if (s->said < s->written)
		a = s->answers[s->said++];
	pthread_mutex_unlock(&s->lock);
	return a;
}

static void send_all(int fd, const char *p)
{
	size_t n = strlen(p);
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return; /* the client had enough */
		p += sent;
		n -= (size_t)sent;
	}
}

/* False when the connection is over. */
static bool act(const struct client *c, struct answer a)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	switch (a.act) {
	case SAY:
		send_all(c->fd, a.text);
		return true;
	case SAY_AND_CLOSE:
		send_all(c->fd, a.text);
		return false;
	case RESET:
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		return false;
	case SILENT:
		break;
	}
	return true;
}

/* --- the thread -------------------------------------------------------- */

static void welcome(struct script *s)
{
	int fd = accept(s->listener, NULL, NULL);
	if (fd < 0)
		return;
	if (s->n_clients == CLIENTS) {
		close(fd);
		return;
	}
	s->clients[s->n_clients++] = (struct client){ .fd = fd };
	pthread_mutex_lock(&s->lock);
	s->connections++;
	pthread_mutex_unlock(&s->lock);
}

static void goodbye(struct script *s, size_t i)
{
	close(s->clients[i].fd);
	free(s->clients[i].p);
	s->clients[i] = s->clients[--s->n_clients];
}

/* Reads what is there and answers every whole request; false at the end. */
static bool serve(struct script *s, struct client *c)
{
	char chunk[16384];
	ssize_t got = recv(c->fd, chunk, sizeof(chunk), 0);
	if (got <= 0)
		return false;
	char *longer = malloc(c->n + (size_t)got + 1);
	if (longer == NULL)
		abort();
	if (c->n > 0)
		memcpy(longer, c->p, c->n);
	memcpy(longer + c->n, chunk, (size_t)got);
	c->n += (size_t)got;
	longer[c->n] = '\0';
	free(c->p);
	c->p = longer;

	for (;;) {
		size_t n = whole_request(c->p, c->n);
		if (n == 0)
			return true;
		struct answer a = note_request(s, c->p, n);
		c->n -= n;
		memmove(c->p, c->p + n, c->n + 1);
		if (!act(c, a))
			return false;
	}
}

static void *run(void *arg)
{
	struct script *s = arg;
	while (!atomic_load(&s->stop)) {
		struct pollfd fds[CLIENTS + 1];
		size_t n = s->n_clients;
		for (size_t i = 0; i < n; i++)
			fds[i] = (struct pollfd){ s->clients[i].fd, POLLIN, 0 };
		fds[n] = (struct pollfd){ s->listener, POLLIN, 0 };
		if (poll(fds, n + 1, TICK_MS) <= 0)
			continue;
		for (size_t i = n; i-- > 0;) {
			if (fds[i].revents != 0 && !serve(s, &s->clients[i]))
				goodbye(s, i);
		}
		if (fds[n].revents != 0)
			welcome(s);
	}
	while (s->n_clients > 0)
		goodbye(s, 0);
	return NULL;
}

/* --- what tests call --------------------------------------------------- */

struct script *script_start(const char *unix_path)
{
	struct script *s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	pthread_mutex_init(&s->lock, NULL);
	s->listener = unix_path != NULL
		? listen_unix(unix_path, s->url, sizeof(s->url))
		: listen_tcp(s->url, sizeof(s->url));
	script_otherwise(s, 500, "nothing is written down for this request");
	if (pthread_create(&s->thread, NULL, run, s) != 0)
		abort();
	return s;
}

void script_stop(struct script *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	close(s->listener);
	for (size_t i = 0; i < s->written; i++)
		free(s->answers[i].text);
	for (size_t i = 0; i < s->asked; i++) {
		free(s->requests[i].text);
		free(s->requests[i].line);
	}
	free(s->otherwise.text);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *script_url(const struct script *s)
{
	return s->url;
}

static char *make_answer(int status, const char *head, const char *body)
{
	size_t room = strlen(head) + strlen(body) + 128;
	char *text = malloc(room);
	if (text == NULL)
		abort();
	snprintf(text, room,
		"HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\n%s\r\n%s",
		status, strlen(body), head, body);
	return text;
}

static void write_down(struct script *s, enum act what, char *text)
{
	pthread_mutex_lock(&s->lock);
	assert(s->written < ANSWERS);
	s->answers[s->written++] = (struct answer){ what, text };
	pthread_mutex_unlock(&s->lock);
}

void script_say(
	struct script *s, int status, const char *head, const char *body)
{
	write_down(s, SAY, make_answer(status, head, body));
}

void script_say_and_close(struct script *s, int status, const char *body)
{
	write_down(s, SAY_AND_CLOSE, make_answer(status, "", body));
}

void script_reset(struct script *s)
{
	write_down(s, RESET, NULL);
}

void script_be_silent(struct script *s)
{
	write_down(s, SILENT, NULL);
}

void script_otherwise(struct script *s, int status, const char *body)
{
	pthread_mutex_lock(&s->lock);
	free(s->otherwise.text);
	s->otherwise = (struct answer){ SAY, make_answer(status, "", body) };
	pthread_mutex_unlock(&s->lock);
}

size_t script_requests(struct script *s)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->asked;
	pthread_mutex_unlock(&s->lock);
	return n;
}

size_t script_connections(struct script *s)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->connections;
	pthread_mutex_unlock(&s->lock);
	return n;
}

const char *script_line(struct script *s, size_t i)
{
	return i < script_requests(s) ? s->requests[i].line : NULL;
}

const char *script_text(struct script *s, size_t i)
{
	return i < script_requests(s) ? s->requests[i].text : NULL;
}

const char *script_body(struct script *s, size_t i)
{
	const char *text = script_text(s, i);
	return text != NULL ? strstr(text, "\r\n\r\n") + 4 : NULL;
}
