/*
 * The shape of a request's head: what is let through to the HTTP library, what
 * is refused, and that all of it is answered in JSON.
 */
#include "tests/unit/http_listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appservice/http_server_priv.h"
#include "base/log.h"

#include "base/poison.h"

#define GET(heads) "GET /nothing HTTP/1.1\r\n" heads "\r\n"
#define LINE(line) line "\r\n" HOST "\r\n"

static const struct {
	const char *head;
	int status; /* 0: more must come */
} cases[] = {
	{ GET(HOST), 200 },
	{ GET("Host:x\r\n"), 200 },
	{ GET("Host: \r\n"), 200 },
	{ GET("hOST:\t x\r\nX-Y!#$%&'*+-.^_`|~9: a\tb\r\n"), 200 },
	{ GET(HOST "Accept: \xc3\xa9\xff\r\n"), 200 },
	{ "GET /nothing HTTP/1.0\r\n\r\n", 200 },
	{ LINE("GET /a/%2e%2E/..//b;c?d=e&f HTTP/1.1"), 200 },
	{ LINE("GET /\xe2\x82\xac HTTP/1.1"), 200 },
	{ LINE("OPTIONS * HTTP/1.1"), 200 },
	{ LINE("GET http://h:1/nothing HTTP/1.1"), 200 },
	{ LINE("GET HTTPS://h?a HTTP/1.1"), 200 },
	/* line ends */
	{ "GET /nothing HTTP/1.1\nHost: x\n\n", 400 },
	{ "GET /nothing HTTP/1.1\r\nHost: x\n\r\n", 400 },
	{ "GET /nothing HTTP/1.1\r\nHost: x\r\n\n", 400 },
	{ "GET /nothing HTTP/1.1\r\nHost: x\r\r\n\r\n", 400 },
	{ GET("Host: x\rX: y\r\n"), 400 },
	{ "\r\n" GET(HOST), 400 },
	{ " " GET(HOST), 400 },
	/* the request line */
	{ LINE("GET  /nothing HTTP/1.1"), 400 },
	{ LINE("GET /nothing  HTTP/1.1"), 400 },
	{ LINE("GET /nothing HTTP/1.1 "), 400 },
	{ LINE("GET /no thing HTTP/1.1"), 400 },
	{ LINE("GET\t/nothing HTTP/1.1"), 400 },
	{ LINE("GET /no\tthing HTTP/1.1"), 400 },
	{ LINE("GET /no\x7fthing HTTP/1.1"), 400 },
	{ LINE("GET /nothing#x HTTP/1.1"), 400 },
	{ LINE("GET nothing HTTP/1.1"), 400 },
	{ LINE("GET ** HTTP/1.1"), 400 },
	{ LINE("GET ftp://h/nothing HTTP/1.1"), 400 },
	{ LINE("GET http:///nothing HTTP/1.1"), 400 },
	{ LINE("CONNECT h:1 HTTP/1.1"), 400 },
	{ LINE("G<T /nothing HTTP/1.1"), 400 },
	{ LINE("GET"), 400 },
	{ LINE("GET "), 400 },
	{ LINE("GET /nothing"), 400 },
	{ LINE("GET /nothing "), 400 },
	{ LINE("GET /nothing HTTP"), 400 },
	{ LINE("GET /nothing http/1.1"), 400 },
	{ LINE("GET /nothing HTTP/1.10"), 400 },
	{ LINE("GET /nothing HTTP/11"), 400 },
	{ LINE("GET /nothing HTTP/x.1"), 400 },
	{ LINE("GET /nothing HTTP/0.9"), 505 },
	{ LINE("GET /nothing HTTP/1.2"), 505 },
	{ LINE("PRI * HTTP/2.0"), 505 },
	{ LINE("GET /nothing HTTP/3.1"), 505 },
	{ "\x16\x03\x01\x02", 400 },
	/* headers */
	{ GET(HOST " folded: x\r\n"), 400 },
	{ GET(HOST "X: a\r\n b\r\n"), 400 },
	{ GET(HOST "X: a\r\n\tb\r\n"), 400 },
	{ GET("Host : x\r\n"), 400 },
	{ GET(HOST "X\t: x\r\n"), 400 },
	{ GET(HOST ": x\r\n"), 400 },
	{ GET(HOST "X\r\n"), 400 },
	{ GET(HOST "X(: x\r\n"), 400 },
	{ GET(HOST "X\xc3\xa9: x\r\n"), 400 },
	{ GET(HOST "X: a\x01\r\n"), 400 },
	{ GET(HOST "X: a\x7f\r\n"), 400 },
	{ GET(HOST "X: a\x1b[0m\r\n"), 400 },
	{ GET(""), 400 },
	{ GET(HOST HOST), 400 },
	{ GET(HOST "hosT: y\r\n"), 400 },
	{ "GET /nothing HTTP/1.0\r\n" HOST HOST "\r\n", 400 },
	/* lengths that are none */
	{ GET(HOST "Content-Length: 0\r\n"), 200 },
	{ GET(HOST "Content-Length: 000000000000000000000000000009\r\n"), 200 },
	{ GET(HOST "Content-Length: 9223372036854775807\r\n"), 200 },
	{ GET(HOST "Content-Length: 99999999999999999999\r\n"), 413 },
	{ GET(HOST "Content-Length:\r\n"), 400 },
	{ GET(HOST "Content-Length: +1\r\n"), 400 },
	{ GET(HOST "Content-Length: -1\r\n"), 400 },
	{ GET(HOST "Content-Length: 0x1\r\n"), 400 },
	{ GET(HOST "Content-Length: 1 1\r\n"), 400 },
	{ GET(HOST "Content-Length: 1, 1\r\n"), 400 },
	{ GET(HOST "content-length: 1 \r\n"), 400 },
	/* not whole */
	{ "", 0 },
	{ "GET /nothing HTTP/1.1", 0 },
	{ "GET /nothing HTTP/1.1\r\n", 0 },
	{ "GET /nothing HTTP/1.1\r\n" HOST, 0 },
	{ "GET /nothing HTTP/1.1\r\n" HOST "\r", 0 },
};

/* What is said of a head when it comes in pieces of this size. */
static int in_pieces(const char *head, size_t n, size_t piece)
{
	struct gate g = { 0 };
	int status = 0;

	for (size_t got = 0; got < n && !status;) {
		got = n - got < piece ? n : got + piece;
		status = gate_check(&g, head, got);
	}
	return status;
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].head);

		for (size_t piece = 1; piece <= n + 1; piece++) {
			int status = in_pieces(cases[i].head, n, piece);
			if (status != cases[i].status)
				fail_msg("%s by %zu: expected %d, found %d",
					cases[i].head, piece, cases[i].status,
					status);
		}
	}
}

/* A NUL is no byte of a head, wherever it stands. */
static void test_nul(void **state)
{
	const char head[] = GET(HOST "X: abc\r\n");

	(void)state;
	for (size_t at = 0; at < sizeof(head) - 3; at++) {
		char copy[sizeof(head)];

		memcpy(copy, head, sizeof(head));
		copy[at] = '\0';
		assert_int_equal(in_pieces(copy, sizeof(head) - 1, 7), 400);
	}
}

/* What comes behind a head is not looked at. */
static void test_behind(void **state)
{
	const char head[] = GET(HOST) "\0\n\r\x01 anything";

	(void)state;
	assert_int_equal(in_pieces(head, sizeof(head) - 1, sizeof(head)), 200);
}

/* --- on the wire ---------------------------------------------------------- */

/* AS-24, AS-25: the same over a socket, in JSON, once, and the connection ends;
 * nothing of it reaches a handler. */
static void test_answers(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (cases[i].status == 0 || cases[i].status == 200)
			continue;
		int before = atomic_load(&listener_handled);
		const char *answer = client_ask(*state, cases[i].head);

		if (client_status(answer) != cases[i].status)
			fail_msg("%s: heard %s", cases[i].head, answer);
		assert_error_body(answer,
			cases[i].status == 413 ? "M_TOO_LARGE" : "M_UNKNOWN");
		assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
		assert_non_null(strstr(answer, "\r\nDate: "));
		assert_null(strstr(strstr(answer, "\r\n\r\n{"), "}HTTP/"));
		assert_int_equal(atomic_load(&listener_handled), before);
	}
}

/* HTTP/0.9 has no head; its client waits for the answer. */
static void test_http_0_9(void **state)
{
	assert_int_equal(
		client_status(client_ask(*state, "GET /nothing\r\n")), 400);
}

static void test_http_1_0(void **state)
{
	static const struct client_case one[] = {
		{ "GET /nothing HTTP/1.0\r\n", 200, "{}" },
	};

	client_cases(*state, one, 1);
}

/* A head of n bytes, with this in its middle as often as it fits. */
static char *long_head(size_t n, const char *begin, const char *part)
{
	char *head = malloc(n + 1);
	size_t end = strlen("\r\n\r\n"), at = strlen(begin);

	assert_non_null(head);
	memcpy(head, begin, at);
	for (size_t k = strlen(part); at + k + end <= n; at += k)
		memcpy(head + at, part, k);
	/* Of one byte less than asked for, at times. */
	memcpy(head + at, "\r\n\r\n", end + 1);
	return head;
}

static const struct {
	const char *begin, *part;
	int status; /* of one that is too long */
} longest[] = {
	{ "GET /nothing HTTP/1.1\r\n" HOST "X: ", "y", 431 },
	{ "GET /nothing HTTP/1.1\r\n" HOST "X: y", "\r\nX: y", 431 },
	{ "GET /nothing HTTP/1.1\r\n" HOST "X:", "\r\nX:", 431 },
	{ "GET /nothing HTTP/1.1\r\n" HOST "Cookie: a", "b", 431 },
	{ "GET /nothing HTTP/1.1\r\n" HOST "Cookie: a", ";b", 431 },
	{ "GET /nothing HTTP/1.1\r\n" HOST "Cookie: a", ",", 431 },
	{ "GET /nothing HTTP/1.1\r\n" HOST "Cookie: a", "\r\nCookie: b", 431 },
};

/* AS-25: the largest heads that are let through are taken by the library as
 * well, which would answer in HTML; larger ones are refused. */
static void test_longest(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(longest); i++) {
		size_t most = 0;

		for (size_t n = 100; n <= HEAD_MAX + 100; n += 4) {
			char *head =
				long_head(n, longest[i].begin, longest[i].part);
			int status = in_pieces(head, strlen(head), n);
			free(head);
			if (status == 200)
				most = n;
			else
				assert_int_equal(status, longest[i].status);
		}
		assert_in_range(most, 300, HEAD_MAX);
		char *head = long_head(most, longest[i].begin, longest[i].part);
		const char *answer = client_ask(*state, head);
		if (client_status(answer) != 200)
			fail_msg(
				"%zu of %s: %s", most, longest[i].part, answer);
		free(head);
		head = long_head(
			most + 1000, longest[i].begin, longest[i].part);
		answer = client_ask(*state, head);
		assert_int_equal(client_status(answer), longest[i].status);
		assert_error_body(answer, "M_TOO_LARGE");
		free(head);
	}
}

/* A target of n bytes made of this. */
static const char *ask_target(
	const struct http_server *s, size_t n, const char *part)
{
	static const char end[] = " HTTP/1.1\r\n" HOST "\r\n";
	char *head = long_head(n, "GET /nothing?", part);
	size_t at = strlen(head) - 4;
	char *whole = malloc(at + sizeof(end));

	assert_non_null(whole);
	memcpy(whole, head, at);
	memcpy(whole + at, end, sizeof(end));
	const char *answer = client_ask(s, whole);
	free(head);
	free(whole);
	return answer;
}

static void test_long_target(void **state)
{
	assert_int_equal(client_status(ask_target(*state, 16000, "x")), 200);
	assert_int_equal(client_status(ask_target(*state, 220, "&x")), 200);
	const char *answer = ask_target(*state, 17000, "x");
	assert_int_equal(client_status(answer), 414);
	assert_error_body(answer, "M_TOO_LARGE");
	/* Many parameters are many records. */
	answer = ask_target(*state, 15000, "&");
	assert_int_equal(client_status(answer), 431);
	assert_error_body(answer, "M_TOO_LARGE");
	/* One that does not end. */
	char *head = long_head(200000, "GET /", "x");
	answer = client_ask(*state, head);
	assert_int_equal(client_status(answer), 414);
	free(head);
}

/* The target with a server before it is the same path. */
static void test_absolute_form(void **state)
{
	static const struct client_case targets[] = {
		{ REQ("GET http://anywhere:1/nothing", ""), 200, "{}" },
		{ REQ("GET HTTP://x/open/a%2Fb?q=c", ""), 200,
			"\"p0\":\"a/b\",\"p1\":null,\"n\":0,\"body\":\"\","
			"\"token\":null,\"q\":\"c\"" },
		{ REQ("POST https://x" V1 "/ping", AUTH), 200, "\"n\":0" },
		{ REQ("POST https://x" V1 "/ping?access_token=x", AUTH), 403,
			"M_FORBIDDEN" },
		{ REQ("GET http://x", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET http://x?/nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET http://x//nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("GET /http://x/nothing", ""), 404, "M_UNRECOGNIZED" },
		{ REQ("OPTIONS *", ""), 404, "M_UNRECOGNIZED" },
	};

	client_cases(*state, targets, ARRAY_LEN(targets));
}

/* In pieces, as slow as they come. */
static void test_byte_by_byte(void **state)
{
	const char request[] =
		"PUT " V1 "/transactions/1 HTTP/1.1\r\n" HOST AUTH CLOSE
		"Content-Length: 2\r\n\r\n{}";
	char heard[2000];
	int fd = client_connect(*state), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (size_t i = 0; i < sizeof(request) - 1; i++)
		assert_true(client_say_n(fd, request + i, 1));
	client_hear_all(fd, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 200);
	assert_non_null(strstr(heard, "\"body\":\"{}\""));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_behind),
		WITH_LISTENER(test_answers),
		WITH_LISTENER(test_http_0_9),
		WITH_LISTENER(test_http_1_0),
		WITH_LISTENER(test_longest),
		WITH_LISTENER(test_long_target),
		WITH_LISTENER(test_absolute_form),
		WITH_LISTENER(test_byte_by_byte),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
