/*
 * The listener on the wire: where a request ends, how large it may be, and what
 * becomes of its connection.
 */
#include "tests/unit/http_listener.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

#include "base/poison.h"

static char heard[10000];

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

/* --- bodies --------------------------------------------------------------- */

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
		const char *answer = client_ask(*state, cases[i].request);

		if (client_status(answer) != 200 ||
			!strstr(answer, cases[i].want))
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

	int before = atomic_load(&listener_handled);

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		const char *answer = client_ask(*state, requests[i]);

		if (client_status(answer) != 400 ||
			count(answer, "HTTP/1.") != 1)
			fail_msg("%s\nheard: %s", requests[i], answer);
		assert_error_body(answer, "M_UNKNOWN");
	}
	assert_int_equal(atomic_load(&listener_handled), before);
}

/* Who has no right to ask learns nothing else, but the connection ends too. */
static void test_smuggling_unauthorized(void **state)
{
	const char *answer = client_ask(*state,
		REQ("PUT " V1 "/transactions/1",
			HOST "Content-Length: 5\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n"
			     "0\r\n\r\nGET /nothing HTTP/1.1\r\n" HOST "\r\n"));

	assert_int_equal(client_status(answer), 401);
	assert_int_equal(count(answer, "HTTP/1."), 1);
	answer = client_ask(*state,
		REQ("PUT /no",
			HOST "Content-Length: 5\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n"
			     "0\r\n\r\nGET /nothing HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(client_status(answer), 404);
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
	const char *answer =
		client_ask(*state, TXN "Content-Length: 300001\r\n\r\n");

	assert_int_equal(client_status(answer), 413);
	assert_error_body(answer, "M_TOO_LARGE");
	answer = client_ask(
		*state, TXN "Content-Length: 9223372036854775807\r\n\r\n");
	assert_int_equal(client_status(answer), 413);
	answer = client_ask(*state,
		REQ("GET /open/a", HOST CLOSE "Content-Length: 1\r\n\r\nx"));
	assert_int_equal(client_status(answer), 413);
}

/* As large as allowed, in many pieces. */
static void test_largest(void **state)
{
	char *body = filler(300000);
	int fd = client_connect(*state);

	assert_true(client_say(fd, TXN CLOSE "Content-Length: 300000\r\n\r\n"));
	assert_true(client_say_n(fd, body, 300000));
	client_hear_all(fd, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 200);
	assert_non_null(strstr(heard, "\"n\":300000,\"body\":\"long\""));
	close(fd);
	free(body);
}

/* One chunk of n bytes. */
static bool say_chunk(int fd, const char *body, size_t n)
{
	char head[32];

	snprintf(head, sizeof(head), "%zx\r\n", n);
	return client_say(fd, head) && client_say_n(fd, body, n) &&
		client_say(fd, "\r\n");
}

/* With chunks it shows only later, and is answered then, AS-31. */
static void test_too_large_chunked(void **state)
{
	char *body = filler(100000);
	int before = atomic_load(&listener_handled);
	int fd = client_connect(*state);

	client_say(fd, TXN "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 4; i++)
		assert_true(say_chunk(fd, body, 100000));
	client_say(fd, "0\r\n\r\n");
	client_hear_all(fd, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 413);
	assert_int_equal(count(heard, "HTTP/1."), 1);
	assert_error_body(heard, "M_TOO_LARGE");
	close(fd);

	/* One that does not end is cut off. */
	fd = client_connect(*state);
	client_say(fd, TXN "Transfer-Encoding: chunked\r\n\r\n");
	int sent = 0;
	while (sent < 1000 && say_chunk(fd, body, 100000))
		sent++;
	assert_in_range(sent, 3, 999);
	assert_int_equal(atomic_load(&listener_handled), before);
	close(fd);
	free(body);
}

/* Of who has shown the token a small refused body is read, and the connection
 * goes on; the same on a connection that has shown it before. */
static void test_refused_goes_on(void **state)
{
	const char *answer = client_ask(*state,
		TXN "Content-Length: 2\r\n\r\n{}"
		    "PUT /no HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"
		    "PUT " V1 "/transactions/%zz HTTP/1.1\r\n" HOST AUTH
		    "Content-Length: 5\r\n\r\nhello"
		    "GET /nothing HTTP/1.1\r\n" HOST CLOSE "\r\n");

	assert_int_equal(count(answer, "HTTP/1.1 404"), 1);
	assert_int_equal(count(answer, "HTTP/1.1 400"), 1);
	assert_int_equal(count(answer, "HTTP/1.1 200"), 2);
}

/* A stranger has one answer, and the end: also where that is no refusal, and
 * on a connection that was the homeserver's, when the token is wrong. */
static void test_stranger_has_one(void **state)
{
#define GET_MORE "GET /nothing HTTP/1.1\r\n" HOST "\r\n"
	static const struct {
		const char *request;
		int status;
	} cases[] = {
		{ "GET /nothing HTTP/1.1\r\n" HOST "\r\n" GET_MORE, 200 },
		{ "GET /no HTTP/1.1\r\n" HOST "\r\n" GET_MORE, 404 },
		{ "POST /nothing HTTP/1.1\r\n" HOST
		  "Content-Length: 2\r\n\r\n{}" GET_MORE,
			405 },
		{ "PUT " V1 "/transactions/1 HTTP/1.1\r\n" HOST
		  "Content-Length: 2\r\n\r\n{}" GET_MORE,
			401 },
		{ "GET /nothing\r\n\r\n" GET_MORE, 400 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *answer = client_ask(*state, cases[i].request);

		if (client_status(answer) != cases[i].status ||
			count(answer, "HTTP/1.1") != 1 ||
			!strstr(answer, "\r\nConnection: close\r\n"))
			fail_msg("%s: %s", cases[i].request, answer);
	}
	const char *answer = client_ask(*state,
		TXN "Content-Length: 2\r\n\r\n{}"
		    "PUT " V1 "/transactions/2 HTTP/1.1\r\n" HOST
		    "Authorization: Bearer x\r\nContent-Length: "
		    "2\r\n\r\n{}" GET_MORE);
	assert_int_equal(count(answer, "HTTP/1.1"), 2);
	assert_int_equal(count(answer, "HTTP/1.1 403"), 1);
}

static void test_keep_alive(void **state)
{
	int fd = client_connect(*state);

	for (int i = 0; i < 3; i++) {
		assert_true(client_say(fd, TXN "Content-Length: 2\r\n\r\n{}"));
		client_hear_until(
			fd, "\"two words\":null}", heard, sizeof(heard));
		assert_int_equal(client_status(heard), 200);
	}
	close(fd);
}

static void test_expect(void **state)
{
	int fd = client_connect(*state);

	client_say(fd,
		TXN CLOSE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	client_hear_until(fd, "\r\n\r\n", heard, sizeof(heard));
	assert_string_equal(heard, "HTTP/1.1 100 Continue\r\n\r\n");
	client_say(fd, "{}");
	client_hear_all(fd, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 200);
	close(fd);

	/* Refused: no invitation to send the body. */
	fd = client_connect(*state);
	client_say(fd,
		"PUT " V1 "/transactions/1 HTTP/1.1\r\n" HOST
		"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	client_hear_all(fd, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 401);
	assert_null(strstr(heard, "100 Continue"));
	close(fd);
}

static void test_no_host(void **state)
{
	assert_int_equal(client_status(client_ask(
				 *state, REQ("GET /nothing", CLOSE "\r\n"))),
		400);
}

/* --- ends ------------------------------------------------------------------- */

/* A body that is shorter than its length is nothing that anybody handles. */
static void test_short_body(void **state)
{
	static const char *const requests[] = {
		TXN "Content-Length: 10\r\n\r\n{}",
		TXN "Content-Length: 10\r\n\r\n",
		TXN "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
		TXN "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		TXN "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		TXN "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
	};
	int before = atomic_load(&listener_handled);

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		int fd = client_connect(*state);

		client_say(fd, requests[i]);
		shutdown(fd, SHUT_WR);
		if (client_hear_all(fd, heard, sizeof(heard)) != 0)
			fail_msg("%s: heard %s", requests[i], heard);
		close(fd);
	}
	assert_int_equal(atomic_load(&listener_handled), before);
}

/* Chunks that are none, of who has the token: nothing is handled, there is one
 * answer and the end. */
static void test_bad_chunks(void **state)
{
	static const char *const chunks[] = {
		"x\r\n",
		"-1\r\nhello\r\n0\r\n\r\n",
		"+5\r\nhello\r\n0\r\n\r\n",
		"0x5\r\nhello\r\n0\r\n\r\n",
		" 5\r\nhello\r\n0\r\n\r\n",
		"5 \r\nhello\r\n0\r\n\r\n",
		"\r\nhello\r\n0\r\n\r\n",
		";x\r\nhello\r\n0\r\n\r\n",
		"5\r\nhelloworld\r\n0\r\n\r\n",
		"10000000000000000\r\nhello\r\n0\r\n\r\n",
		"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
	};
	int before = atomic_load(&listener_handled);
	char request[1000];

	for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
		snprintf(request, sizeof(request),
			TXN "Transfer-Encoding: chunked\r\n\r\n%sGET /nothing "
			    "HTTP/1.1\r\n" HOST "\r\n",
			chunks[i]);
		const char *answer = client_ask(*state, request);
		int status = client_status(answer);
		if ((status != 400 && status != 413) ||
			count(answer, "HTTP/1.1 ") != 1)
			fail_msg("%s: heard %s", chunks[i], answer);
	}
	assert_int_equal(atomic_load(&listener_handled), before);
}

/* A chunk that says it has 16 EB is answered when it has become too large. */
static void test_absurd_chunk(void **state)
{
	char *body = filler(300001);
	int fd = client_connect(*state);

	client_say(fd,
		TXN "Transfer-Encoding: chunked\r\n\r\n"
		    "ffffffffffffffff\r\n");
	assert_true(client_say_n(fd, body, 300001));
	client_hear_all(fd, heard, sizeof(heard));
	assert_int_equal(client_status(heard), 413);
	assert_error_body(heard, "M_TOO_LARGE");
	close(fd);
	free(body);
}

/* What stands behind the chunks is no header: neither token nor length. */
static void test_trailers(void **state)
{
	const char *answer = client_ask(*state,
		TXN CLOSE "Transfer-Encoding: chunked\r\n\r\n"
			  "2\r\n{}\r\n0\r\nContent-Length: 90\r\n"
			  "Authorization: Bearer x\r\n\r\n");

	assert_int_equal(client_status(answer), 200);
	assert_non_null(strstr(answer, "\"n\":2,\"body\":\"{}\""));
	answer = client_ask(*state,
		REQ("PUT " V1 "/transactions/1",
			HOST CLOSE "Transfer-Encoding: chunked\r\n\r\n"
				   "2\r\n{}\r\n0\r\n" AUTH "\r\n"));
	assert_int_equal(client_status(answer), 401);
}

/* Several requests at once, each answered in its turn. */
static void test_pipelined(void **state)
{
	const char *answer = client_ask(*state,
		TXN "Content-Length: 3\r\n\r\none"
		    "PUT " V1 "/transactions/2 HTTP/1.1\r\n" HOST AUTH
		    "Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
		    "PUT " V1 "/transactions/3 HTTP/1.1\r\n" HOST AUTH CLOSE
		    "Content-Length: 5\r\n\r\nthree");
	const char *one = strstr(answer, "\"body\":\"one\"");
	const char *two = strstr(answer, "\"body\":\"two\"");
	const char *three = strstr(answer, "\"body\":\"three\"");

	assert_true(one && two && three && one < two && two < three);
	assert_int_equal(count(answer, "HTTP/1.1 200"), 3);
}

/* --- the limit of a transaction ---------------------------------------------- */

static size_t largest_seen;

static void weigh(struct http_call *c)
{
	largest_seen = c->body_n;
}

static const struct route largest_route[] = {
	{ "PUT", V1 "/transactions/{txn}", ROUTE_HS_TOKEN, LIMIT_TRANSACTION,
		weigh },
};

/* Sends all of it, however long it takes. */
static bool say_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* A transaction of n bytes; the answer's status. */
static int weigh_in(
	const struct http_server *s, const char *body, size_t n, bool chunked)
{
	char head[300];
	int fd = client_connect(s);

	if (chunked)
		snprintf(head, sizeof(head),
			TXN CLOSE "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
			n);
	else
		snprintf(head, sizeof(head),
			TXN CLOSE "Content-Length: %zu\r\n\r\n", n);
	client_say(fd, head);
	say_all(fd, body, n);
	if (chunked)
		client_say(fd, "\r\n0\r\n\r\n");
	client_hear_all(fd, heard, sizeof(heard));
	close(fd);
	return client_status(heard);
}

/* AS-31: 32 MiB, and not one byte more, in either way. */
static void test_limit(void **state)
{
	size_t most = 33554432;
	struct http_server_options o = listener_options();
	char *body = filler(most + 1);

	(void)state;
	o.routes = largest_route;
	o.n_routes = 1;
	struct http_server *s = listener_start(&o);
	for (int chunked = 0; chunked < 2; chunked++) {
		largest_seen = 0;
		assert_int_equal(weigh_in(s, body, most, chunked), 200);
		assert_int_equal(largest_seen, most);
		largest_seen = 0;
		assert_int_equal(weigh_in(s, body, most + 1, chunked), 413);
		assert_error_body(heard, "M_TOO_LARGE");
		assert_int_equal(largest_seen, 0);
	}
	http_server_stop(s, 1000);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LISTENER(test_bodies),
		WITH_LISTENER(test_smuggling),
		WITH_LISTENER(test_smuggling_unauthorized),
		WITH_LISTENER(test_too_large_declared),
		WITH_LISTENER(test_largest),
		WITH_LISTENER(test_too_large_chunked),
		WITH_LISTENER(test_refused_goes_on),
		WITH_LISTENER(test_stranger_has_one),
		WITH_LISTENER(test_keep_alive),
		WITH_LISTENER(test_expect),
		WITH_LISTENER(test_no_host),
		WITH_LISTENER(test_short_body),
		WITH_LISTENER(test_bad_chunks),
		WITH_LISTENER(test_absurd_chunk),
		WITH_LISTENER(test_trailers),
		WITH_LISTENER(test_pipelined),
		cmocka_unit_test(test_limit),
	};

	log_setup(LOG_ERROR, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
