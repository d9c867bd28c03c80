/*
 * The listener, asked over real sockets byte by byte.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "appservice/http_server.h"
#include "appservice/intake/intake.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

#define TOKEN "hs-token-for-tests"
#define AUTH "Authorization: Bearer " TOKEN "\r\n"
#define HOST "Host: x\r\n"
#define CLOSE "Connection: close\r\n"
#define V1 "/_matrix/app/v1"

/* --- the server under test ------------------------------------------------ */

static atomic_int handled;
static atomic_int slow_running;

/* What the handler saw: parameters, the body's length, a query parameter. */
static void echo(struct http_call *c)
{
	const char *q = http_call_query(c, "q");
	struct jb b;

	atomic_fetch_add(&handled, 1);
	jb_init(&b, &c->answer);
	jb_obj(&b, NULL);
	jb_str(&b, "method", c->method);
	jb_str(&b, "route", c->route);
	jb_str(&b, "p0", c->params[0]);
	jb_str(&b, "p1", c->params[1]);
	jb_int(&b, "n", (int64_t)c->body_n);
	jb_str(&b, "body", c->body_n < 100 ? c->body : "long");
	jb_str(&b, "q", q);
	jb_end_obj(&b);
}

static void nothing(struct http_call *c)
{
	(void)c;
	atomic_fetch_add(&handled, 1);
}

static void slow(struct http_call *c)
{
	atomic_store(&slow_running, 1);
	clock_sleep_ms(*(int *)c->server_arg);
	atomic_store(&slow_running, 2);
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

static const struct route routes[] = {
	{ "PUT", V1 "/transactions/{txn}", ROUTE_HS_TOKEN, 300000, echo },
	{ "POST", V1 "/ping", ROUTE_HS_TOKEN, 1000, echo },
	{ "GET", V1 "/users/{user*}", ROUTE_HS_TOKEN, 0, echo },
	{ "GET", V1 "/two/{a}/x/{b}", ROUTE_HS_TOKEN, 0, echo },
	{ "GET", "/open/{x}", ROUTE_OPEN, 0, echo },
	{ "DELETE", "/open/{x}", ROUTE_OPEN, 100, echo },
	{ "GET", "/nothing", ROUTE_OPEN, 0, nothing },
	{ "GET", "/slow", ROUTE_OPEN, 0, slow },
	{ "GET", "/metrics", ROUTE_OPEN, 0, metrics },
	{ "GET", "/fails", ROUTE_OPEN, 0, fails },
};

static int slow_ms = 300;
static unsigned char digest[SHA256_LEN];

static struct http_server_options options(void)
{
	assert_true(sha256(TOKEN, strlen(TOKEN), digest));
	return (struct http_server_options){
		.listen = "127.0.0.1:0",
		.routes = routes,
		.n_routes = ARRAY_LEN(routes),
		.token_digest = digest,
		.arg = &slow_ms,
	};
}

static struct http_server *start(const struct http_server_options *o)
{
	struct http_server *s = NULL;
	struct err e = { 0 };

	assert_ok(http_server_start(o, &s, &e), e);
	return s;
}

static int server_setup(void **state)
{
	struct http_server_options o = options();

	*state = start(&o);
	return 0;
}

static int server_teardown(void **state)
{
	http_server_stop(*state, 2000);
	return 0;
}

/* --- a client -------------------------------------------------------------- */

static int connect_to(const struct http_server *s)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)http_server_port(s)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

/* False when the other side has gone. */
static bool say_n(int fd, const char *text, size_t n)
{
	return send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool say(int fd, const char *text)
{
	return say_n(fd, text, strlen(text));
}

/* Everything until the other side closes; how many bytes. */
static size_t hear_all(int fd, char *out, size_t size)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, out + n, size - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	out[n] = '\0';
	return n;
}

/* Until this text is there. */
static void hear_until(int fd, const char *text, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	while (!strstr(out, text)) {
		ssize_t got = recv(fd, out + n, size - 1 - n, 0);
		if (got <= 0)
			fail_msg("expected '%s', heard '%s'", text, out);
		n += (size_t)got;
		out[n] = '\0';
	}
}

static char heard[200000];

/* One request on a connection of its own; the answer is in heard. */
static const char *ask(const struct http_server *s, const char *request)
{
	int fd = connect_to(s);

	say(fd, request);
	hear_all(fd, heard, sizeof(heard));
	close(fd);
	return heard;
}

static int status_of(const char *answer)
{
	if (strncmp(answer, "HTTP/1.1 ", 9) != 0)
		return 0;
	return (int)strtol(answer + 9, NULL, 10);
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

/* Every refusal is an object of two strings, as JSON. */
static void assert_error_body(const char *answer, const char *errcode)
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

struct ask_case {
	const char *request; /* a blank line is added */
	int status;
	const char *want; /* the errcode, or a part of the answer */
};

static void run_cases(
	const struct http_server *s, const struct ask_case *cases, size_t n)
{
	char request[4096];

	for (size_t i = 0; i < n; i++) {
		const struct ask_case *c = &cases[i];

		snprintf(request, sizeof(request), "%s" HOST CLOSE "\r\n",
			c->request);
		const char *answer = ask(s, request);
		if (status_of(answer) != c->status)
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

#define REQ(line, heads) line " HTTP/1.1\r\n" heads

/* --- routes ------------------------------------------------------------------ */

static void test_routes(void **state)
{
	static const struct ask_case cases[] = {
		{ REQ("GET /nothing", ""), 200, "\r\n\r\n{}" },
		{ REQ("GET /nothing?x=1&y", ""), 200, "\r\n\r\n{}" },
		{ REQ("GET /open/a", ""), 200, "\"p0\":\"a\"" },
		{ REQ("GET " V1 "/two/a/x/b", AUTH), 200,
			"\"p0\":\"a\",\"p1\":\"b\"" },
		{ REQ("GET /metrics", ""), 200,
			"Content-Type: text/plain\r\n" },
		{ REQ("GET /fails", ""), 409, "M_UNKNOWN" },
		/* no such path, whoever asks */
		{ REQ("GET /", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open/", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open/a/", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /open/a/b", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET //nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /nothing/", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /Nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /nothin", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /nothingg", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/users/", AUTH), 404, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/two/a/y/b", AUTH), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /_matrix/foo", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("PUT /_matrix/app/v2/transactions/1", AUTH), 404,
			"M_UNRECOGNIZED" },
		/* no such method, whoever asks */
		{ REQ("POST /open/a", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("OPTIONS /open/a", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/ping", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("GET " V1 "/transactions/1", AUTH), 405,
			"M_UNRECOGNIZED" },
		{ REQ("put " V1 "/transactions/1", AUTH), 405,
			"M_UNRECOGNIZED" },
	};

	run_cases(*state, cases, ARRAY_LEN(cases));
}

static void test_allow(void **state)
{
	const char *answer =
		ask(*state, REQ("POST /open/a", HOST CLOSE "\r\n"));

	assert_int_equal(status_of(answer), 405);
	assert_non_null(strstr(answer, "\r\nAllow: GET, DELETE\r\n"));
	answer = ask(*state, REQ("GET /no", HOST CLOSE "\r\n"));
	assert_null(strstr(answer, "Allow"));
}

static void test_error_replaces_answer(void **state)
{
	const char *answer = ask(*state, REQ("GET /fails", HOST CLOSE "\r\n"));

	assert_non_null(strstr(answer,
		"\r\n\r\n{\"errcode\":\"M_UNKNOWN\","
		"\"error\":\"there is \\\"one\\\" already\"}"));
	assert_null(strstr(answer, "half"));
}

static void test_base_path(void **state)
{
	static const struct ask_case cases[] = {
		{ REQ("GET /bridge/x/nothing", ""), 200, "{}" },
		{ REQ("GET /bridge/x/open/a", ""), 200, "\"p0\":\"a\"" },
		{ REQ("POST /bridge/x" V1 "/ping", AUTH), 200, "\"n\":0" },
		{ REQ("GET /nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /bridge/xnothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /bridge/x", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /bridge/x//nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("POST /bridge/x/nothing", ""), 405, "M_UNRECOGNIZED" },
	};
	struct http_server_options o = options();

	(void)state;
	o.base_path = "/bridge/x/";
	struct http_server *s = start(&o);
	run_cases(s, cases, ARRAY_LEN(cases));
	http_server_stop(s, 1000);
}

static void test_decoding(void **state)
{
	static const struct ask_case cases[] = {
		{ REQ("GET /open/%40a%3Ahs", ""), 200, "\"p0\":\"@a:hs\"" },
		{ REQ("GET /open/@a:hs", ""), 200, "\"p0\":\"@a:hs\"" },
		{ REQ("GET /open/a+b", ""), 200, "\"p0\":\"a+b\"" },
		{ REQ("GET /open/a%2Bb", ""), 200, "\"p0\":\"a+b\"" },
		{ REQ("GET /open/a%2fb", ""), 200, "\"p0\":\"a/b\"" },
		{ REQ("GET /open/%252F", ""), 200, "\"p0\":\"%2F\"" },
		{ REQ("GET /open/%E2%82%AC", ""), 200,
			"\"p0\":\"\xe2\x82\xac\"" },
		{ REQ("GET /open/a%20b", ""), 200, "\"p0\":\"a b\"" },
		/* the rest of the path, slashes raw or not */
		{ REQ("GET " V1 "/users/@a/b:hs", AUTH), 200,
			"\"p0\":\"@a/b:hs\"" },
		{ REQ("GET " V1 "/users/%40a%2Fb%3Ahs", AUTH), 200,
			"\"p0\":\"@a/b:hs\"" },
		{ REQ("GET " V1 "/users/@a/b/:hs/", AUTH), 200,
			"\"p0\":\"@a/b/:hs/\"" },
		/* broken */
		{ REQ("GET /open/%", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%4", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%zz", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%-1", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/a%00b", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%ff", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%c0%af", ""), 400, "M_INVALID_PARAM" },
		{ REQ("GET /open/%ed%a0%80", ""), 400, "M_INVALID_PARAM" },
	};

	run_cases(*state, cases, ARRAY_LEN(cases));
}

static void test_query(void **state)
{
	static const struct ask_case cases[] = {
		{ REQ("GET /open/a", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?q=x", ""), 200, "\"q\":\"x\"" },
		{ REQ("GET /open/a?p=1&q=%40a%2Bb%3Ahs", ""), 200,
			"\"q\":\"@a+b:hs\"" },
		{ REQ("GET /open/a?q=a+b", ""), 200, "\"q\":\"a b\"" },
		{ REQ("GET /open/a?q=1&q=2", ""), 200, "\"q\":\"1\"" },
		{ REQ("GET /open/a?Q=x", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?q", ""), 200, "\"q\":\"\"" },
		{ REQ("GET /open/a?q=", ""), 200, "\"q\":\"\"" },
		{ REQ("GET /open/a?q=%zz", ""), 200, "\"q\":null" },
		{ REQ("GET /open/a?q=a%26b", ""), 200, "\"q\":\"a&b\"" },
	};

	run_cases(*state, cases, ARRAY_LEN(cases));
}

/* --- tokens -------------------------------------------------------------------- */

#define PING(query, heads) REQ("POST " V1 "/ping" query, heads)

static void test_auth(void **state)
{
	static const struct ask_case cases[] = {
		{ PING("", AUTH), 200, "\"n\":0" },
		{ PING("?access_token=" TOKEN, ""), 200, "\"n\":0" },
		{ PING("?access_token=" TOKEN, AUTH), 200, "\"n\":0" },
		{ PING("?access_token=hs%2Dtoken-for-tests", ""), 200,
			"\"n\":0" },
		{ PING("", "authorization: bEARER " TOKEN "\r\n"), 200,
			"\"n\":0" },
		{ PING("", "Authorization: Bearer  " TOKEN "\r\n"), 200,
			"\"n\":0" },
		/* none, or none that can be read */
		{ PING("", ""), 401, "M_MISSING_TOKEN" },
		{ PING("?Access_Token=" TOKEN, ""), 401, "M_MISSING_TOKEN" },
		{ PING("?access_token", ""), 401, "M_MISSING_TOKEN" },
		{ PING("?access_token=", ""), 401, "M_MISSING_TOKEN" },
		{ PING("", "Authorization: \r\n"), 401, "M_MISSING_TOKEN" },
		{ PING("", "Authorization: Bearer\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: Bearer \r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: " TOKEN "\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: Basic " TOKEN "\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", "Authorization: Bearer " TOKEN " x\r\n"), 401,
			"M_MISSING_TOKEN" },
		{ PING("", AUTH AUTH), 401, "M_MISSING_TOKEN" },
		{ PING("?access_token=" TOKEN, "Authorization: Basic x\r\n"),
			401, "M_MISSING_TOKEN" },
		/* a wrong one anywhere */
		{ PING("", "Authorization: Bearer x\r\n"), 403, "M_FORBIDDEN" },
		{ PING("", "Authorization: Bearer hs-token-for-test\r\n"), 403,
			"M_FORBIDDEN" },
		{ PING("", "Authorization: Bearer " TOKEN "s\r\n"), 403,
			"M_FORBIDDEN" },
		{ PING("", "Authorization: Bearer HS-token-for-tests\r\n"), 403,
			"M_FORBIDDEN" },
		{ PING("?access_token=x", ""), 403, "M_FORBIDDEN" },
		{ PING("?access_token=x", AUTH), 403, "M_FORBIDDEN" },
		{ PING("?access_token=" TOKEN, "Authorization: Bearer x\r\n"),
			403, "M_FORBIDDEN" },
		{ PING("?access_token=" TOKEN "&access_token=x", ""), 403,
			"M_FORBIDDEN" },
		{ PING("?access_token=" TOKEN "&access_token=x", AUTH), 403,
			"M_FORBIDDEN" },
		/* an open route looks at none */
		{ REQ("GET /nothing?access_token=x",
			  "Authorization: Bearer x\r\n"),
			200, "{}" },
		/* a wrong path says nothing about the token */
		{ REQ("GET /_matrix/foo?access_token=x", ""), 404,
			"M_UNRECOGNIZED" },
	};

	run_cases(*state, cases, ARRAY_LEN(cases));
}

/* Refused before the body is looked at, and without a word of the token. */
static void test_auth_before_body(void **state)
{
	int before = atomic_load(&handled);
	const char *answer = ask(*state,
		PING("",
			HOST CLOSE "Authorization: Bearer secret-guess\r\n"
				   "Content-Length: 4\r\n\r\nnope"));

	assert_int_equal(status_of(answer), 403);
	assert_null(strstr(answer, "secret-guess"));
	assert_null(strstr(answer, TOKEN));
	assert_int_equal(atomic_load(&handled), before);
}

static void test_token_needed(void **state)
{
	struct http_server_options o = options();
	struct http_server *s = NULL;
	struct err e = { 0 };

	(void)state;
	o.token_digest = NULL;
	assert_rc(http_server_start(&o, &s, &e), RC_INVALID);
	assert_null(s);
	/* Without such a route none is needed. */
	o.routes = &routes[4];
	o.n_routes = ARRAY_LEN(routes) - 4;
	s = start(&o);
	http_server_stop(s, 1000);
}

/* --- bodies -------------------------------------------------------------------- */

#define TXN REQ("PUT " V1 "/transactions/1", HOST AUTH)

static void test_bodies(void **state)
{
	static const struct {
		const char *request;
		const char *want;
	} cases[] = {
		{ TXN CLOSE "Content-Length: 5\r\n\r\nhello",
			"\"n\":5,\"body\":\"hello\"" },
		{ TXN CLOSE "Content-Length: 005\r\n\r\nhello",
			"\"n\":5,\"body\":\"hello\"" },
		{ TXN CLOSE "Content-Length: 0\r\n\r\n",
			"\"n\":0,\"body\":\"\"" },
		{ TXN CLOSE "\r\n", "\"n\":0,\"body\":\"\"" },
		{ TXN CLOSE "Content-Type: text/plain\r\n"
			    "Content-Length: 2\r\n\r\n{}",
			"\"body\":\"{}\"" },
		{ TXN CLOSE "Transfer-Encoding: chunked\r\n\r\n"
			    "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
			"\"n\":6,\"body\":\"hello!\"" },
		{ TXN CLOSE "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
			"\"n\":0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *answer = ask(*state, cases[i].request);

		if (status_of(answer) != 200 || !strstr(answer, cases[i].want))
			fail_msg("%s: expected %s, heard %s", cases[i].request,
				cases[i].want, answer);
	}
}

/* What two servers may take for different requests is answered once, with a
 * refusal, and the connection ends. */
static void test_smuggling(void **state)
{
	static const char *const requests[] = {
		TXN "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
		TXN "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		TXN "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "0\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		TXN "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
		    "0\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		TXN "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		TXN "Transfer-Encoding: identity\r\n\r\n",
		TXN "Transfer-Encoding: chunked\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		TXN "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		TXN "Content-Length : 38\r\n\r\n"
		    "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /open/a HTTP/1.1\r\n" HOST
		"Content-Length: 38\r\nTransfer-Encoding: chunked\r\n\r\n"
		"0\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT " V1 "/transactions/1 HTTP/1.0\r\n" HOST AUTH
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	};

	int before = atomic_load(&handled);

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		const char *answer = ask(*state, requests[i]);

		if (status_of(answer) != 400 || count(answer, "HTTP/1.") != 1)
			fail_msg("%s\nheard: %s", requests[i], answer);
		assert_error_body(answer, "M_UNKNOWN");
	}
	assert_int_equal(atomic_load(&handled), before);
}

/* Who has no right to ask learns nothing else, but the connection ends too. */
static void test_smuggling_unauthorized(void **state)
{
	const char *answer = ask(*state,
		REQ("PUT " V1 "/transactions/1",
			HOST "Content-Length: 5\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n"
			     "0\r\n\r\nGET /nothing HTTP/1.1\r\n" HOST "\r\n"));

	assert_int_equal(status_of(answer), 401);
	assert_int_equal(count(answer, "HTTP/1."), 1);
	answer = ask(*state,
		REQ("PUT /no",
			HOST "Content-Length: 5\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n"
			     "0\r\n\r\nGET /nothing HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(status_of(answer), 404);
	assert_int_equal(count(answer, "HTTP/1."), 1);
}

static char *filler(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	memset(p, 'x', n);
	return p;
}

/* Refused by its headers; nobody waits for a large body. */
static void test_too_large_declared(void **state)
{
	const char *answer = ask(*state, TXN "Content-Length: 300001\r\n\r\n");

	assert_int_equal(status_of(answer), 413);
	assert_error_body(answer, "M_TOO_LARGE");
	answer = ask(*state, TXN "Content-Length: 9223372036854775807\r\n\r\n");
	assert_int_equal(status_of(answer), 413);
	answer = ask(*state,
		REQ("GET /open/a", HOST CLOSE "Content-Length: 1\r\n\r\nx"));
	assert_int_equal(status_of(answer), 413);
}

/* As large as allowed, in many pieces. */
static void test_largest(void **state)
{
	char *body = filler(300000);
	int fd = connect_to(*state);

	assert_true(say(fd, TXN CLOSE "Content-Length: 300000\r\n\r\n"));
	assert_true(say_n(fd, body, 300000));
	hear_all(fd, heard, sizeof(heard));
	assert_int_equal(status_of(heard), 200);
	assert_non_null(strstr(heard, "\"n\":300000,\"body\":\"long\""));
	close(fd);
	free(body);
}

/* One chunk of n bytes. */
static bool say_chunk(int fd, const char *body, size_t n)
{
	char head[32];

	snprintf(head, sizeof(head), "%zx\r\n", n);
	return say(fd, head) && say_n(fd, body, n) && say(fd, "\r\n");
}

/* With chunks it shows only later; up to a limit the answer still comes. */
static void test_too_large_chunked(void **state)
{
	char *body = filler(100000);
	int before = atomic_load(&handled);
	int fd = connect_to(*state);

	say(fd, TXN CLOSE "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 4; i++)
		assert_true(say_chunk(fd, body, 100000));
	say(fd, "0\r\n\r\n");
	hear_all(fd, heard, sizeof(heard));
	assert_int_equal(status_of(heard), 413);
	assert_error_body(heard, "M_TOO_LARGE");
	close(fd);

	/* One that does not end is cut off. */
	fd = connect_to(*state);
	say(fd, TXN CLOSE "Transfer-Encoding: chunked\r\n\r\n");
	int sent = 0;
	while (sent < 1000 && say_chunk(fd, body, 100000))
		sent++;
	assert_in_range(sent, 3, 999);
	assert_int_equal(hear_all(fd, heard, sizeof(heard)), 0);
	assert_int_equal(atomic_load(&handled), before);
	close(fd);
	free(body);
}

/* A small refused body is read, and the connection goes on. */
static void test_refused_goes_on(void **state)
{
	const char *answer = ask(*state,
		"POST " V1 "/ping HTTP/1.1\r\n" HOST
		"Content-Length: 5\r\n\r\nhello"
		"PUT /no HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"
		"GET /nothing HTTP/1.1\r\n" HOST CLOSE "\r\n");

	assert_int_equal(count(answer, "HTTP/1.1 401"), 1);
	assert_int_equal(count(answer, "HTTP/1.1 404"), 1);
	assert_int_equal(count(answer, "HTTP/1.1 200"), 1);
}

static void test_keep_alive(void **state)
{
	int fd = connect_to(*state);

	for (int i = 0; i < 3; i++) {
		assert_true(say(fd, TXN "Content-Length: 2\r\n\r\n{}"));
		hear_until(fd, "\"q\":null}", heard, sizeof(heard));
		assert_int_equal(status_of(heard), 200);
	}
	close(fd);
}

static void test_expect(void **state)
{
	int fd = connect_to(*state);

	say(fd, TXN CLOSE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	hear_until(fd, "\r\n\r\n", heard, sizeof(heard));
	assert_string_equal(heard, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "{}");
	hear_all(fd, heard, sizeof(heard));
	assert_int_equal(status_of(heard), 200);
	close(fd);

	/* Refused: no invitation to send the body. */
	fd = connect_to(*state);
	say(fd,
		"PUT " V1 "/transactions/1 HTTP/1.1\r\n" HOST
		"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	hear_all(fd, heard, sizeof(heard));
	assert_int_equal(status_of(heard), 401);
	assert_null(strstr(heard, "100 Continue"));
	close(fd);
}

static void test_no_host(void **state)
{
	assert_int_equal(
		status_of(ask(*state, REQ("GET /nothing", CLOSE "\r\n"))), 400);
}

/* --- deadlines ----------------------------------------------------------------- */

/* Sends one byte every 50 ms; how long until the other side closed. */
static int64_t dribble(int fd, const char *byte)
{
	int64_t begun = clock_mono_ms();
	char c;

	while (clock_mono_ms() - begun < 5000) {
		if (!say(fd, byte))
			break;
		clock_sleep_ms(50);
		ssize_t got = recv(fd, &c, 1, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
	}
	return clock_mono_ms() - begun;
}

static void test_deadline(void **state)
{
	struct http_server_options o = options();

	(void)state;
	o.deadline_ms = 400;
	slow_ms = 1000;
	struct http_server *s = start(&o);

	/* headers that do not end */
	int fd = connect_to(s);
	say(fd, "GET /nothing HTTP/1.1\r\nX-A: ");
	assert_in_range(dribble(fd, "a"), 200, 1500);
	close(fd);

	/* a body that does not end */
	fd = connect_to(s);
	say(fd, TXN "Content-Length: 1000\r\n\r\n");
	assert_in_range(dribble(fd, "a"), 200, 1500);
	close(fd);

	/* nothing at all */
	fd = connect_to(s);
	int64_t begun = clock_mono_ms();
	assert_int_equal(hear_all(fd, heard, sizeof(heard)), 0);
	assert_in_range(clock_mono_ms() - begun, 200, 1500);
	close(fd);

	/* the handler's time is not the client's */
	const char *answer = ask(s, REQ("GET /slow", HOST CLOSE "\r\n"));
	assert_int_equal(status_of(answer), 200);

	http_server_stop(s, 1000);
	slow_ms = 300;
}

/* --- sockets ------------------------------------------------------------------- */

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"",
		":1",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:x",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"::1:80",
		"[::1]",
		"[]:80",
		"[::1:80",
		"no.such.host.invalid:80",
	};
	struct http_server_options o = options();
	struct http_server *s = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		o.listen = bad[i];
		if (http_server_start(&o, &s, &e) != RC_INVALID)
			fail_msg("'%s' was taken", bad[i]);
		assert_null(s);
	}
	/* taken already */
	char taken[32];
	snprintf(
		taken, sizeof(taken), "127.0.0.1:%d", http_server_port(*state));
	o.listen = taken;
	assert_rc(http_server_start(&o, &s, &e), RC_BUSY);
	assert_non_null(strstr(e.text, taken));
	/* both, or none */
	o.unix_path = "/tmp/x";
	assert_rc(http_server_start(&o, &s, &e), RC_INVALID);
	o.listen = o.unix_path = NULL;
	assert_rc(http_server_start(&o, &s, &e), RC_INVALID);
}

static int connect_unix(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A socket file that nobody listens on. */
static void leave_stale(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
}

static void test_unix(void **state)
{
	char dir[] = "/tmp/test_http_server.XXXXXX";
	char path[64], file[64];
	struct http_server_options o = options();
	struct http_server *second = NULL;
	struct err e = { 0 };
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	snprintf(file, sizeof(file), "%s/file", dir);
	o.listen = NULL;
	o.unix_path = path;

	leave_stale(path);
	umask(0);
	struct http_server *s = start(&o);
	umask(022);
	assert_int_equal(http_server_port(s), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	int fd = connect_unix(path);
	assert_true(fd >= 0);
	say(fd, REQ("GET /open/a", HOST CLOSE "\r\n"));
	hear_all(fd, heard, sizeof(heard));
	assert_int_equal(status_of(heard), 200);
	close(fd);

	/* Somebody answers on it: that one keeps it. */
	assert_rc(http_server_start(&o, &second, &e), RC_BUSY);
	assert_non_null(strstr(e.text, path));
	fd = connect_unix(path);
	assert_true(fd >= 0);
	close(fd);

	http_server_stop(s, 1000);
	assert_int_equal(access(path, F_OK), -1);

	/* A file that is no socket stays. */
	fclose(fopen(file, "w"));
	o.unix_path = file;
	assert_rc(http_server_start(&o, &second, &e), RC_INVALID);
	assert_int_equal(access(file, F_OK), 0);
	unlink(file);
	o.unix_path = "";
	assert_rc(http_server_start(&o, &second, &e), RC_INVALID);
	o.unix_path = "/tmp/"
		      "a-path-that-is-longer-than-the-one-hundred-and-seven-"
		      "bytes-that-the-system-has-room-for-in-the-address-of-a-"
		      "socket";
	assert_rc(http_server_start(&o, &second, &e), RC_INVALID);
	o.unix_path = "/no/such/directory/socket";
	assert_rc(http_server_start(&o, &second, &e), RC_IO);
	rmdir(dir);
}

/* --- stop ----------------------------------------------------------------------- */

struct stopping {
	struct http_server *s;
	int wait_ms;
	atomic_bool done;
};

static void *stop_main(void *arg)
{
	struct stopping *st = arg;

	http_server_stop(st->s, st->wait_ms);
	atomic_store(&st->done, true);
	return NULL;
}

static void wait_for(const atomic_int *what, int value)
{
	for (int i = 0; i < 500 && atomic_load(what) != value; i++)
		clock_sleep_ms(10);
	assert_int_equal(atomic_load(what), value);
}

/* What runs gets its answer; what comes now is sent away. */
static void test_stop_waits(void **state)
{
	struct http_server_options o = options();
	struct http_server *s = start(&o);
	struct stopping st = { .s = s, .wait_ms = 5000 };
	pthread_t thread;
	int running = connect_to(s), idle[3];

	(void)state;
	slow_ms = 1000;
	atomic_store(&slow_running, 0);
	assert_true(say(running, REQ("GET /slow", HOST CLOSE "\r\n")));
	wait_for(&slow_running, 1);
	/* Connected now, so not to the thread that is busy. */
	for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
		idle[i] = connect_to(s);
		assert_true(say(idle[i], REQ("GET /nothing", HOST "\r\n")));
		hear_until(idle[i], "{}", heard, sizeof(heard));
	}
	assert_int_equal(pthread_create(&thread, NULL, stop_main, &st), 0);
	clock_sleep_ms(100);
	bool early = atomic_load(&st.done);
	size_t sent_away = 0;
	for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
		say(idle[i], REQ("GET /nothing", HOST "\r\n"));
		hear_all(idle[i], heard, sizeof(heard));
		sent_away += status_of(heard) == 503;
		close(idle[i]);
	}
	hear_all(running, heard, sizeof(heard));
	close(running);
	pthread_join(thread, NULL);
	assert_false(early);
	assert_int_equal(status_of(heard), 200);
	assert_int_equal(atomic_load(&slow_running), 2);
	assert_int_equal(sent_away, ARRAY_LEN(idle));
	slow_ms = 300;
}

/* It does not wait for one that never comes to its end. */
static void test_stop_gives_up(void **state)
{
	struct http_server_options o = options();
	struct http_server *s = start(&o);
	int fd = connect_to(s);

	(void)state;
	assert_true(say(fd, TXN "Content-Length: 1000\r\n\r\nx"));
	clock_sleep_ms(100);
	int64_t begun = clock_mono_ms();
	http_server_stop(s, 300);
	assert_in_range(clock_mono_ms() - begun, 250, 3000);
	assert_int_equal(hear_all(fd, heard, sizeof(heard)), 0);
	close(fd);
	http_server_stop(NULL, 0);
}

/* One that waits does not hold up the others. */
static void test_threads(void **state)
{
	int fds[3];

	slow_ms = 1000;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = connect_to(*state);
		say(fds[i], REQ("GET /slow", HOST CLOSE "\r\n"));
	}
	int64_t begun = clock_mono_ms();
	size_t quick = 0;
	/* A connection may meet a busy thread; most do not. */
	for (int i = 0; i < 8; i++) {
		ask(*state, REQ("GET /nothing", HOST CLOSE "\r\n"));
		quick += clock_mono_ms() - begun < 500;
		begun = clock_mono_ms();
	}
	assert_in_range(quick, 5, 8);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		hear_all(fds[i], heard, sizeof(heard));
		assert_int_equal(status_of(heard), 200);
		close(fds[i]);
	}
	slow_ms = 300;
}

/* The Application Service API's own routes, with nothing behind them. */
static void test_intake_routes(void **state)
{
	static const struct ask_case cases[] = {
		{ REQ("POST " V1 "/ping", AUTH), 200, "\r\n\r\n{}" },
		{ REQ("POST /_matrix/app/unstable/fi.mau.msc2659/ping", AUTH),
			200, "\r\n\r\n{}" },
		{ REQ("PUT " V1 "/transactions/1%2F2", AUTH), 503,
			"M_UNKNOWN" },
		{ REQ("PUT /transactions/1", AUTH), 503, "M_UNKNOWN" },
		{ REQ("PUT /transactions/1", ""), 401, "M_MISSING_TOKEN" },
		{ REQ("GET " V1 "/users/@a/b:hs", AUTH), 404, "M_NOT_FOUND" },
		{ REQ("GET /rooms/%23a:hs", AUTH), 404, "M_NOT_FOUND" },
		{ REQ("GET /rooms/%23a:hs", ""), 401, "M_MISSING_TOKEN" },
		{ REQ("GET " V1 "/thirdparty/user/irc", AUTH), 404,
			"M_NOT_FOUND" },
		{ REQ("GET " V1 "/thirdparty/user", AUTH), 400,
			"M_MISSING_PARAM" },
		{ REQ("GET " V1 "/thirdparty/user?alias=x", AUTH), 400,
			"M_MISSING_PARAM" },
		{ REQ("GET " V1 "/thirdparty/user?userid=x", AUTH), 404,
			"M_NOT_FOUND" },
		{ REQ("GET " V1 "/thirdparty/location?alias=x", AUTH), 404,
			"M_NOT_FOUND" },
		{ REQ("GET /_matrix/app/unstable/thirdparty/location", AUTH),
			400, "M_MISSING_PARAM" },
		{ REQ("POST /users/@a:b", ""), 405, "M_UNRECOGNIZED" },
		{ REQ("DELETE " V1 "/thirdparty/user", ""), 405,
			"M_UNRECOGNIZED" },
		{ REQ("POST "
		      "/_matrix/app/unstable/org.matrix.msc3983/keys/claim",
			  AUTH),
			404, "M_UNRECOGNIZED" },
	};
	struct http_server_options o = options();
	struct intake in = { 0 };

	(void)state;
	o.routes = intake_routes;
	o.n_routes = intake_n_routes;
	o.arg = &in;
	struct http_server *s = start(&o);
	run_cases(s, cases, ARRAY_LEN(cases));
	http_server_stop(s, 1000);
}

static void test_errors(void **state)
{
	static const struct {
		enum rc rc;
		int status;
		const char *errcode;
	} cases[] = {
		{ RC_NOMEM, 500, "M_UNKNOWN" },
		{ RC_INVALID, 400, "M_INVALID_PARAM" },
		{ RC_NOT_FOUND, 404, "M_NOT_FOUND" },
		{ RC_EXISTS, 409, "M_UNKNOWN" },
		{ RC_TOO_LARGE, 413, "M_TOO_LARGE" },
		{ RC_BUSY, 503, "M_UNKNOWN" },
		{ RC_IO, 500, "M_UNKNOWN" },
		{ RC_NETWORK, 502, "M_UNKNOWN" },
		{ RC_TIMEOUT, 504, "M_UNKNOWN" },
		{ RC_UNAUTHORIZED, 401, "M_UNKNOWN_TOKEN" },
		{ RC_FORBIDDEN, 403, "M_FORBIDDEN" },
		{ RC_EXCLUSIVE, 400, "M_EXCLUSIVE" },
		{ RC_LIMITED, 429, "M_LIMIT_EXCEEDED" },
		{ RC_REMOTE, 502, "M_UNKNOWN" },
		{ RC_CORRUPT, 500, "M_UNKNOWN" },
		{ RC_STOPPING, 503, "M_UNKNOWN" },
		{ RC_OK, 500, "M_UNKNOWN" },
		{ (enum rc)1000, 500, "M_UNKNOWN" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_call c = { .status = 200 };
		char want[100];

		buf_init(&c.answer, LIMIT_DOCUMENT);
		http_call_error(&c, cases[i].rc, "why");
		assert_int_equal(c.status, cases[i].status);
		snprintf(want, sizeof(want),
			"{\"errcode\":\"%s\",\"error\":\"why\"}",
			cases[i].errcode);
		assert_string_equal(buf_str(&c.answer), want);
		buf_free(&c.answer);
	}
}

#define WITH_SERVER(fn)                                                        \
	cmocka_unit_test_setup_teardown(fn, server_setup, server_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_routes),
		WITH_SERVER(test_allow),
		WITH_SERVER(test_error_replaces_answer),
		cmocka_unit_test(test_base_path),
		WITH_SERVER(test_decoding),
		WITH_SERVER(test_query),
		WITH_SERVER(test_auth),
		WITH_SERVER(test_auth_before_body),
		cmocka_unit_test(test_token_needed),
		WITH_SERVER(test_bodies),
		WITH_SERVER(test_smuggling),
		WITH_SERVER(test_smuggling_unauthorized),
		WITH_SERVER(test_too_large_declared),
		WITH_SERVER(test_largest),
		WITH_SERVER(test_too_large_chunked),
		WITH_SERVER(test_refused_goes_on),
		WITH_SERVER(test_keep_alive),
		WITH_SERVER(test_expect),
		WITH_SERVER(test_no_host),
		cmocka_unit_test(test_deadline),
		WITH_SERVER(test_addresses),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_stop_waits),
		cmocka_unit_test(test_stop_gives_up),
		WITH_SERVER(test_threads),
		cmocka_unit_test(test_intake_routes),
		cmocka_unit_test(test_errors),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
