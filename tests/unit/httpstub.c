/*
 * tests/unit/httpstub.c: the server of httpstub.h: just enough of HTTP/1.1 for
 * one client with bodies of a known length.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "tests/unit/httpstub.h"

#include "base/poison.h"

struct httpstub {
	int listener;
	int wake[2]; /* closing the second end stops the thread */
	pthread_t thread;
	httpstub_answer *answer;
	void *arg;
	char url[64];
};

static int hex(char c)
{
	const char *digits = "0123456789abcdef";
	const char *p = strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);

	return c && p ? (int)(p - digits) : -1;
}

static void percent_decode(char *s)
{
	char *w = s;

	for (; *s; s++) {
		int high = *s == '%' ? hex(s[1]) : -1;
		int low = high >= 0 ? hex(s[2]) : -1;

		if (low >= 0) {
			*w++ = (char)(high * 16 + low);
			s += 2;
		} else {
			*w++ = *s;
		}
	}
	*w = '\0';
}

/* The value of a header, NUL put behind it; NULL when there is none. */
static char *header(char *headers, const char *name)
{
	size_t n = strlen(name);

	for (char *line = strstr(headers, "\r\n"); line;
		line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, n) == 0)
			return line + 2 + n;
	return NULL;
}

static bool fill(int fd, struct buf *in)
{
	char piece[4096];
	ssize_t n = recv(fd, piece, sizeof(piece), 0);

	if (n > 0)
		buf_addn(in, piece, (size_t)n);
	return n > 0 && buf_rc(in) == RC_OK;
}

/* The whole request into `in`; the offset of its body, 0 when it broke. */
static size_t take(int fd, struct buf *in)
{
	size_t body;
	char *length;

	while (!strstr(buf_str(in), "\r\n\r\n"))
		if (!fill(fd, in))
			return 0;
	body = (size_t)(strstr(in->p, "\r\n\r\n") - in->p) + 4;
	length = header(in->p, "content-length: ");
	while (length && in->n - body < strtoul(length, NULL, 10)) {
		if (!fill(fd, in))
			return 0;
		length = header(in->p, "content-length: ");
	}
	return body;
}

static void send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		p += sent;
		n -= (size_t)sent;
	}
}

static void serve(struct httpstub *s, int fd)
{
	struct buf in, body;
	char head[160], *method, *target, *bearer, *end;
	size_t at;
	int status;

	buf_init(&in, LIMIT_TRANSACTION);
	buf_init(&body, LIMIT_TRANSACTION);
	at = take(fd, &in);
	if (!at)
		goto out;
	method = in.p;
	bearer = header(in.p, "authorization: bearer ");
	if (bearer)
		bearer[strcspn(bearer, "\r")] = '\0';
	end = strchr(method, ' ');
	*end = '\0';
	target = end + 1;
	target[strcspn(target, " ")] = '\0';
	percent_decode(target);
	status = s->answer(s->arg,
		&(struct httpstub_request){ .method = method,
			.target = target,
			.bearer = bearer ? bearer : "",
			.body = in.p + at },
		&body);
	if (!status)
		goto out;
	snprintf(head, sizeof(head),
		"HTTP/1.1 %d Stub\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\nConnection: close\r\n\r\n",
		status, body.n);
	send_all(fd, head, strlen(head));
	send_all(fd, buf_str(&body), body.n);
out:
	buf_free(&in);
	buf_free(&body);
}

static void *run(void *arg)
{
	struct httpstub *s = arg;
	struct pollfd fds[] = { { .fd = s->listener, .events = POLLIN },
		{ .fd = s->wake[0], .events = POLLIN } };

	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		int fd = accept(s->listener, NULL, NULL);

		if (fd < 0)
			continue;
		serve(s, fd);
		close(fd);
	}
	return NULL;
}

static bool open_listener(struct httpstub *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	if (s->listener < 0 ||
		bind(s->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
		listen(s->listener, 16) != 0 ||
		getsockname(s->listener, (struct sockaddr *)&at, &n) != 0)
		return false;
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u",
		(unsigned)ntohs(at.sin_port));
	return true;
}

struct httpstub *httpstub_start(httpstub_answer *answer, void *arg)
{
	struct httpstub *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->answer = answer;
	s->arg = arg;
	if (open_listener(s) && pipe(s->wake) == 0 &&
		pthread_create(&s->thread, NULL, run, s) == 0)
		return s;
	free(s);
	return NULL;
}

const char *httpstub_url(const struct httpstub *s)
{
	return s->url;
}

void httpstub_stop(struct httpstub *s)
{
	if (!s)
		return;
	close(s->wake[1]);
	pthread_join(s->thread, NULL);
	close(s->wake[0]);
	close(s->listener);
	free(s);
}
