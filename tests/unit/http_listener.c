/*
 * tests/unit/http_listener.c: the listener and the client of the HTTP tests.
 */
#include "tests/unit/http_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

#include "base/poison.h"

/* --- the server under test ------------------------------------------------ */

atomic_int listener_handled;
atomic_int listener_slow;

/* What the handler saw: parameters, the body's length, a query parameter. */
static void echo(struct http_call *c)
{
	const char *q = http_call_query(c, "q");
	struct jb b;

	atomic_fetch_add(&listener_handled, 1);
	jb_init(&b, &c->answer);
	jb_obj(&b, NULL);
	jb_str(&b, "method", c->method);
	jb_str(&b, "route", c->route);
	jb_str(&b, "p0", c->params[0]);
	jb_str(&b, "p1", c->params[1]);
	jb_int(&b, "n", (int64_t)c->body_n);
	jb_str(&b, "body", c->body_n < 100 ? c->body : "long");
	jb_str(&b, "token", http_call_query(c, "access_token"));
	jb_str(&b, "q", q);
	jb_str(&b, "two words", http_call_query(c, "two words"));
	jb_end_obj(&b);
}

static void nothing(struct http_call *c)
{
	(void)c;
	atomic_fetch_add(&listener_handled, 1);
}

static void slow(struct http_call *c)
{
	atomic_store(&listener_slow, 1);
	clock_sleep_ms(*(int *)c->server_arg);
	atomic_store(&listener_slow, 2);
}

static void big(struct http_call *c)
{
	static const char line[1000] = "";

	while (c->answer.n < LISTENER_BIG)
		buf_addn(&c->answer, line, sizeof(line));
}

static void metrics(struct http_call *c)
{
	c->content_type = "text/plain";
	buf_add(&c->answer, "up 1\n");
}

static void fails(struct http_call *c)
{
	buf_add(&c->answer, "half of an answer");
	http_call_error(c, RC_EXISTS, "there is \"one\" already");
}

#define OPEN_ROUTES 4

static const struct route routes[] = {
	{ "PUT", V1 "/transactions/{txn}", ROUTE_HS_TOKEN, 300000, echo },
	{ "POST", V1 "/ping", ROUTE_HS_TOKEN, 1000, echo },
	{ "GET", V1 "/users/{user*}", ROUTE_HS_TOKEN, 0, echo },
	{ "GET", V1 "/two/{a}/x/{b}", ROUTE_HS_TOKEN, 0, echo },
	/* from here on without a token */
	{ "GET", "/open/{x}", ROUTE_OPEN, 0, echo },
	{ "DELETE", "/open/{x}", ROUTE_OPEN, 100, echo },
	{ "GET", "/nothing", ROUTE_OPEN, 0, nothing },
	{ "GET", "/slow", ROUTE_OPEN, 0, slow },
	{ "GET", "/big", ROUTE_OPEN, 0, big },
	{ "GET", "/metrics", ROUTE_OPEN, 0, metrics },
	{ "GET", "/fails", ROUTE_OPEN, 0, fails },
};

int listener_slow_ms = 300;
static unsigned char digest[SHA256_LEN];

struct http_server_options listener_options(void)
{
	assert_true(sha256(TOKEN, strlen(TOKEN), digest));
	return (struct http_server_options){
		.listen = "127.0.0.1:0",
		.routes = routes,
		.n_routes = ARRAY_LEN(routes),
		.token_digest = digest,
		.arg = &listener_slow_ms,
	};
}

struct http_server_options listener_open_options(void)
{
	struct http_server_options o = listener_options();

	o.token_digest = NULL;
	o.routes = &routes[OPEN_ROUTES];
	o.n_routes = ARRAY_LEN(routes) - OPEN_ROUTES;
	return o;
}

struct http_server *listener_start(const struct http_server_options *o)
{
	struct http_server *s = NULL;
	struct err e = { 0 };

	assert_ok(http_server_start(o, &s, &e), e);
	return s;
}

int listener_setup(void **state)
{
	struct http_server_options o = listener_options();

	*state = listener_start(&o);
	return 0;
}

int listener_teardown(void **state)
{
	http_server_stop(*state, 2000);
	return 0;
}

/* --- a client ------------------------------------------------------------- */

int client_connect(const struct http_server *s)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)http_server_port(s)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval limit = { .tv_sec = 60 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

bool client_say_n(int fd, const char *text, size_t n)
{
	return send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

bool client_say(int fd, const char *text)
{
	return client_say_n(fd, text, strlen(text));
}

/* Whoever was stopped goes on. */
static ssize_t recv_on(int fd, char *out, size_t size)
{
	ssize_t got;

	do
		got = recv(fd, out, size, 0);
	while (got < 0 && errno == EINTR);
	return got;
}

size_t client_hear_all(int fd, char *out, size_t size)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = recv_on(fd, out + n, size - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	out[n] = '\0';
	return n;
}

void client_hear_until(int fd, const char *text, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	while (!strstr(out, text)) {
		ssize_t got = recv_on(fd, out + n, size - 1 - n);
		if (got <= 0)
			fail_msg("expected '%s', heard '%s'", text, out);
		n += (size_t)got;
		out[n] = '\0';
	}
}

static char heard[10000];

const char *client_ask(const struct http_server *s, const char *request)
{
	int fd = client_connect(s);

	client_say(fd, request);
	client_hear_all(fd, heard, sizeof(heard));
	close(fd);
	return heard;
}

int client_status(const char *answer)
{
	if (strncmp(answer, "HTTP/1.1 ", 9) != 0)
		return 0;
	return (int)strtol(answer + 9, NULL, 10);
}

void assert_error_body(const char *answer, const char *errcode)
{
	const char *body = strstr(answer, "\r\n\r\n");
	struct json *doc = NULL;
	struct err e = { 0 };

	assert_non_null(body);
	body += 4;
	assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
	assert_ok(json_parse(body, strlen(body), NULL, &doc, &e), e);
	assert_string_equal(js_get_str(json_root(doc), "errcode"), errcode);
	assert_non_null(js_get_str(json_root(doc), "error"));
	json_free(doc);
}

void client_cases(
	const struct http_server *s, const struct client_case *cases, size_t n)
{
	char request[4096];

	for (size_t i = 0; i < n; i++) {
		const struct client_case *c = &cases[i];

		snprintf(request, sizeof(request), "%s" HOST CLOSE "\r\n",
			c->request);
		const char *answer = client_ask(s, request);
		if (client_status(answer) != c->status)
			fail_msg("%s: expected %d, heard %s", c->request,
				c->status, answer);
		if (c->status == 200) {
			if (!strstr(answer, c->want))
				fail_msg("%s: expected %s, heard %s",
					c->request, c->want, answer);
		} else {
			assert_error_body(answer, c->want);
		}
	}
}
